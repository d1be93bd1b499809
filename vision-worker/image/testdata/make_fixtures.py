"""Writes the tiny pictures beside it, and for each NAME.rgb: width and height as two little-endian uint32, then the pixels that Pillow gives,
turned by exif_transpose, as convert("RGB") has them: alpha dropped. NAME.white.rgb is the same on a white ground, where a picture has alpha.

usage: make_fixtures.py FOLDER      needs Pillow, numpy (made with Pillow 13.0.0) and jpegtran (Debian's libjpeg-turbo-progs)

PNG, GIF and BMP files are built by hand here where Pillow does not write the variant.
"""
import io
import itertools
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def pack_row(row, depth):
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = "".join(format(int(v), f"0{depth}b") for v in row.ravel())
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def scan_lines(pixels, depth, filters):
    """Filters none, sub and up are enough to exercise the decoder's unfilter step."""
    step = max(1, pixels.shape[2] * depth // 8)
    previous = None
    out = b""
    for row in pixels:
        raw = pack_row(row, depth)
        kind = next(filters) if previous is not None else 0
        if kind == 1:
            line = bytes((raw[i] - (raw[i - step] if i >= step else 0)) & 255 for i in range(len(raw)))
        elif kind == 2:
            line = bytes((a - b) & 255 for a, b in zip(raw, previous))
        else:
            line = raw
        out += bytes([kind]) + line
        previous = raw
    return out


def png(pixels, depth, colour, interlaced=False, palette=None, transparency=None):
    height, width, _ = pixels.shape
    filters = itertools.cycle([0, 1, 2])
    if interlaced:
        parts = (pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7)
        data = b"".join(scan_lines(part, depth, filters) for part in parts if part.size)
    else:
        data = scan_lines(pixels, depth, filters)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced)))
    out += chunk(b"gAMA", struct.pack(">I", 100000))  # must not change a pixel
    if palette is not None:
        out += chunk(b"PLTE", palette)
    if transparency is not None:
        out += chunk(b"tRNS", transparency)
    return out + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def every_png(random, width, height):
    kinds = [(0, d) for d in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)] + [(c, d) for c in (2, 4, 6) for d in (8, 16)]
    for (colour, depth), interlaced in itertools.product(kinds, (False, True)):
        pixels = random.integers(0, 1 << depth, (height, width, CHANNELS[colour]))
        name = f"png_c{colour}_d{depth}{'_interlaced' if interlaced else ''}"
        palette = random.integers(0, 256, 3 << depth, np.uint8).tobytes() if colour == 3 else None
        yield name, png(pixels, depth, colour, interlaced, palette)
        if interlaced:
            continue
        if colour == 3:
            alpha = random.integers(0, 256, 1 << depth, np.uint8).tobytes()
            yield name + "_trns", png(pixels, depth, colour, interlaced, palette, alpha)
        if colour in (0, 2):
            key = b"".join(struct.pack(">H", int(v)) for v in pixels[0, 0])
            yield name + "_trns", png(pixels, depth, colour, interlaced, palette, key)


def smooth(width, height):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 5) * np.cos(y / 7)], -1).astype(np.uint8)


def saved(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def others():
    image = Image.fromarray(smooth(37, 29))
    yield "jpeg_420.jpg", saved(image, format="JPEG", quality=85)
    yield "jpeg_444_progressive.jpg", saved(image, format="JPEG", quality=90, subsampling=0, progressive=True)
    yield "jpeg_grey.jpg", saved(image.convert("L"), format="JPEG", quality=85)
    yield "jpeg_cmyk.jpg", saved(image.convert("CMYK"), format="JPEG", quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "jpeg_exif.jpg", saved(image, format="JPEG", quality=85, exif=exif.tobytes())
    yield "webp_lossy.webp", saved(image, format="WEBP", quality=80)
    yield "webp_lossless.webp", saved(image, format="WEBP", lossless=True)
    alpha = image.copy()
    alpha.putalpha(Image.fromarray(smooth(37, 29)[:, :, 0]))
    yield "webp_alpha_lossy.webp", saved(alpha, format="WEBP", quality=80)
    yield "webp_alpha_lossless.webp", saved(alpha, format="WEBP", lossless=True, exact=True)
    frames = [image, Image.fromarray(255 - smooth(37, 29))]
    yield "webp_animated.webp", saved(frames[0], format="WEBP", save_all=True, append_images=frames[1:], lossless=True)


def exif_block(value, order="<", kind=3, count=1, tag=0x0112, entries=1, before=b""):
    """A TIFF structure of one directory whose last entry is the tag."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHL", tag, kind, count) + struct.pack(order + ("H2x" if kind == 3 else "L"), value)
    return head + struct.pack(order + "LH", 8, entries) + before + entry + bytes(4)


def with_app1(jpeg, body):
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def turned():
    image = Image.fromarray(smooth(23, 14))
    jpeg = saved(image, format="JPEG", quality=90)
    for orientation in range(1, 9):
        yield f"jpeg_orientation{orientation}.jpg", with_app1(jpeg, b"Exif\0\0" + exif_block(orientation, "<>"[orientation % 2]))
    exif = b"Exif\0\0"
    unknown = struct.pack("<HHLL", 0x0100, 99, 7, 7)  # a type that does not exist is skipped
    astray = struct.pack("<HHLL", 0x010F, 2, 50, 1 << 30)  # more than the block has: skipped
    outside = struct.pack("<HHLL", 0x010F, 2, 20, 40)  # begins inside, ends outside: reading stops
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    for name, body in [
            ("long", exif + exif_block(6, kind=4)), ("two_values", exif + exif_block(6, count=2)),
            ("twice_named", exif + exif + exif_block(6)), ("nine", exif + exif_block(9)), ("zero", exif + exif_block(0)),
            ("text", exif + exif_block(0x36, kind=2)), ("unknown_type", exif + exif_block(6, entries=2, before=unknown)),
            ("astray", exif + exif_block(6, entries=2, before=astray)), ("outside", exif + exif_block(6, entries=2, before=outside)),
            ("many_entries", exif + exif_block(6, entries=65535)), ("far_directory", exif + b"II*\0" + b"\xff" * 8),
            ("no_tiff", exif + b"hello, world"), ("xmp", xmp)]:
        yield f"jpeg_exif_{name}.jpg", with_app1(jpeg, body)
    yield "jpeg_exif_and_xmp.jpg", with_app1(with_app1(jpeg, exif + exif_block(3)), xmp)
    yield "jpeg_exif_nine_and_xmp.jpg", with_app1(with_app1(jpeg, exif + exif_block(9)), xmp)
    yield "jpeg_exif_twice.jpg", with_app1(with_app1(jpeg, exif + exif_block(3)), exif + exif_block(6))
    scan = jpeg.index(b"\xff\xda")
    yield "jpeg_exif_late.jpg", jpeg[:scan] + with_app1(b"\xff\xd8", exif + exif_block(6))[2:] + jpeg[scan:]
    grey = saved(image.convert("L"), format="JPEG", quality=90, progressive=True)
    yield "jpeg_orientation5_grey.jpg", with_app1(grey, exif + exif_block(5))
    yield "jpeg_mpo.jpg", saved(image, format="MPO", save_all=True, append_images=[image.rotate(180)], exif=exif + exif_block(8))
    for name, options in [("png_orientation6", {}), ("webp_orientation7_lossless", {"format": "WEBP", "lossless": True})]:
        kind = options.get("format", "PNG")
        yield f"{name}.{kind.lower()}", saved(image, exif=exif_block(int(name[name.index("tion") + 4])), **{"format": kind, **options})
    late = saved(image, format="PNG")
    yield "png_orientation5_late.png", late[:-12] + chunk(b"eXIf", exif_block(5)) + late[-12:]
    broken = bytearray(chunk(b"eXIf", b"II*\0" + b"\xff" * 8))
    yield "png_exif_far_directory.png", late[:33] + bytes(broken) + late[33:]
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp[29:]
    yield "png_xmp.png", late[:33] + chunk(b"iTXt", text) + late[33:]
    alpha = image.copy()
    alpha.putalpha(Image.fromarray(smooth(23, 14)[:, :, 2]))
    yield "png_orientation8_alpha.png", saved(alpha, format="PNG", exif=exif_block(8))
    yield "webp_orientation6_alpha.webp", saved(alpha, format="WEBP", lossless=True, exact=True, exif=exif_block(6))
    yield "webp_xmp.webp", saved(image, format="WEBP", lossless=True, xmp=xmp[29:])
    interlaced = png(smooth(23, 14).astype(int), 8, 2, True)
    yield "png_orientation2_interlaced.png", interlaced[:33] + chunk(b"eXIf", exif_block(2)) + interlaced[33:]


def gif_frame(image, left=0, top=0, interlaced=False, palette=None):
    """Image descriptor and codes of 9 bits, cleared before they grow."""
    width, height = image.shape[1], image.shape[0]
    rows = [y for first, step in [(0, 8), (4, 8), (2, 4), (1, 2)] for y in range(first, height, step)] if interlaced else range(height)
    bits = ""  # least significant first
    for i, value in enumerate(int(v) for y in rows for v in image[y]):
        if i % 100 == 0:
            bits += format(256, "09b")[::-1]
        bits += format(value, "09b")[::-1]
    bits += format(257, "09b")[::-1]
    bits += "0" * (-len(bits) % 8)
    data = bytes(int(bits[i:i + 8][::-1], 2) for i in range(0, len(bits), 8))
    blocks = b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255))
    flags = (0x40 if interlaced else 0) | (0x87 if palette is not None else 0)
    return struct.pack("<cHHHHB", b",", left, top, width, height, flags) + (palette or b"") + b"\x08" + blocks + b"\0"


def gifs(random):
    def screen(width, height, palette=b"", bits=8):
        return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80 | (bits - 1) if palette else 0, 3, 0) + palette
    colours = random.integers(0, 256, 768, np.uint8).tobytes()
    local = random.integers(0, 256, 768, np.uint8).tobytes()
    image = random.integers(0, 256, (13, 17))
    control = b"!\xf9\x04\x01\x0a\x00" + bytes([int(image[4, 5])]) + b"\0"
    comment = b"!\xfe\x05hello\x02ab\x00!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
    yield "gif_plain", screen(17, 13, colours) + gif_frame(image) + b";"
    yield "gif_interlaced", screen(17, 13, colours) + comment + gif_frame(image, interlaced=True) + b";"
    yield "gif_transparent", screen(17, 13, colours) + control + gif_frame(image) + b";"
    yield "gif_local_palette", screen(17, 13, colours) + gif_frame(image, palette=local) + b";"
    yield "gif_no_palette", screen(17, 13) + gif_frame(image) + b";"
    yield "gif_small_palette", screen(17, 13, colours[:12], bits=2) + gif_frame(image % 4) + b";"
    yield "gif_part_of_screen", screen(20, 20, colours) + gif_frame(image, 2, 3) + b";"
    yield "gif_part_transparent", screen(20, 20, colours) + control + gif_frame(image, 2, 3) + b";"
    yield "gif_beyond_screen", screen(10, 20, colours) + gif_frame(image, 4, 1) + b";"
    yield "gif_animated", screen(17, 13, colours) + comment + control + gif_frame(image) + control + gif_frame(255 - image) + b";"
    yield "gif_no_trailer", screen(17, 13, colours) + gif_frame(image)
    yield "gif_by_pillow", saved(Image.fromarray(smooth(37, 29)).quantize(32), format="GIF")


def bmp(rows, width, height, bits, palette=b"", compression=0, masks=b"", info=40, colours=0, offset=None):
    """`height` below 0: rows from the top."""
    if info == 12:
        header = struct.pack("<LHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<LllHHLLllLL", info, width, height, 1, bits, compression, len(rows), 2835, 2835, colours, 0)
        header += masks.ljust(max(info - 40, len(masks)), b"\0")
    start = 14 + len(header) + len(palette) if offset is None else offset
    return b"BM" + struct.pack("<LHHL", 14 + len(header) + len(palette) + len(rows), 0, 0, start) + header + palette + rows


def bmps(random):
    width, height = 13, 7
    pad = lambda row: row + bytes(-len(row) % 4)
    palette = lambda n, size=4: b"".join(random.integers(0, 256, 3, np.uint8).tobytes() + bytes(size - 3) for _ in range(n))
    for bits in (1, 4, 8):
        indices = random.integers(0, 1 << bits, (height, width, 1))
        rows = b"".join(pad(pack_row(row, bits)) for row in indices)
        yield f"bmp_{bits}", bmp(rows, width, height, bits, palette(1 << bits))
        yield f"bmp_{bits}_core", bmp(rows, width, height, bits, palette(1 << bits, 3), info=12)
        yield f"bmp_{bits}_top_down", bmp(rows, width, -height, bits, palette(1 << bits))
    indices = random.integers(0, 5, (height, width, 1))
    yield "bmp_8_few_colours", bmp(b"".join(pad(pack_row(row, 8)) for row in indices), width, height, 8, palette(5), colours=5)
    raw = {bits: b"".join(pad(random.integers(0, 256, width * bits // 8, np.uint8).tobytes()) for _ in range(height)) for bits in (16, 24, 32)}
    for bits in (16, 24, 32):
        yield f"bmp_{bits}", bmp(raw[bits], width, height, bits)
        yield f"bmp_{bits}_top_down", bmp(raw[bits], width, -height, bits)
    fields = lambda *masks: b"".join(struct.pack("<L", m) for m in masks)
    yield "bmp_16_565", bmp(raw[16], width, height, 16, compression=3, masks=fields(0xF800, 0x7E0, 0x1F))
    yield "bmp_16_555_fields", bmp(raw[16], width, height, 16, compression=3, masks=fields(0x7C00, 0x3E0, 0x1F))
    yield "bmp_32_fields", bmp(raw[32], width, height, 32, compression=3, masks=fields(0xFF000000, 0xFF0000, 0xFF00))
    yield "bmp_32_v3_alpha", bmp(raw[32], width, height, 32, compression=3, masks=fields(0xFF0000, 0xFF00, 0xFF, 0xFF000000), info=56)
    yield "bmp_32_v5_alpha", bmp(raw[32], width, height, 32, compression=3, masks=fields(0xFF, 0xFF00, 0xFF0000, 0xFF000000), info=124)
    yield "bmp_32_v4_no_alpha", bmp(raw[32], width, height, 32, compression=3, masks=fields(0xFF0000, 0xFF00, 0xFF, 0), info=108)
    runs = [b"\x05\x03\x00\x08abcdefgh\x00\x00", b"\x0d\x07\x00\x00", b"\x00\x0dABCDEFGHIJKLM\x00\x00\x00",
            b"\x06\x09\x00\x02\x03\x01", b"\x04\x21\x00\x00", b"\x0d\x11\x00\x00", b"\x0d\x12\x00\x01"]
    yield "bmp_rle8", bmp(b"".join(runs), width, height, 8, palette(256), compression=1)
    nibbles = [b"\x0d\x12\x00\x00"] * 4 + [b"\x05\x34\x00\x08\x12\x34\x56\x78\x00\x00", b"\x00\x0d\x12\x34\x56\x78\x9a\xbc\xd0\x00\x00\x00",
                                           b"\x0d\xef\x00\x01"]
    yield "bmp_rle4", bmp(b"".join(nibbles), width, height, 4, palette(16), compression=2)


def arithmetic(folder):
    """Pillow writes no arithmetic coding; jpegtran recodes the same coefficients."""
    for name, options in [("jpeg_420", []), ("jpeg_444_progressive", ["-progressive"]), ("jpeg_cmyk", [])]:
        data = (folder / f"{name}.jpg").read_bytes()
        yield f"{name}_arithmetic.jpg", subprocess.run(["jpegtran", "-arithmetic", *options], input=data, capture_output=True, check=True).stdout


def on_white(image):
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def keyed(data, colour, depth):
    """Grey and RGB of 16 bits with a transparent colour, which Pillow compares with samples that it has narrowed."""
    at = data.index(b"tRNS") + 4
    raw = zlib.decompress(data[data.index(b"IDAT") + 4:-16])
    channels = CHANNELS[colour]
    width, height = struct.unpack(">II", data[16:24])
    step = channels * depth // 8
    rows, previous = [], bytes(width * step)
    for y in range(height):
        line = bytearray(raw[y * (1 + width * step) + 1:(y + 1) * (1 + width * step)])
        kind = raw[y * (1 + width * step)]
        for i in range(len(line)):
            line[i] = (line[i] + (0, line[i - step] if i >= step else 0, previous[i])[kind]) & 255
        rows.append(bytes(line))
        previous = bytes(line)
    samples = np.frombuffer(b"".join(rows), ">u2").reshape(height, width, channels)
    key = np.frombuffer(data[at:at + 2 * channels], ">u2")
    high = np.broadcast_to((samples >> 8).astype(np.uint8), (height, width, 3)).copy()
    return Image.fromarray(np.dstack([high, np.where((samples == key).all(-1), 0, 255).astype(np.uint8)]))


def judge(name, data):
    """What to see: with alpha dropped, and on white where that differs in kind."""
    if name.startswith("png_c0_d16") or name == "png_c2_d16_trns":
        # The high byte; Pillow's convert("RGB") saturates 16-bit grey at 255.
        if name.endswith("_trns"):
            image = keyed(data, int(name[5]), 16)
            return image.convert("RGB"), on_white(image)
        image = Image.open(io.BytesIO(data))
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB"), None
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if name in ("png_c0_d2_trns", "png_c0_d4_trns"):
        # Pillow compares the transparent sample with samples that it has stretched to 8 bits.
        at = data.index(b"tRNS") + 4
        key = int.from_bytes(data[at:at + 2], "big") * {"2": 85, "4": 17}[name[8]]
        grey = np.asarray(image)
        return image.convert("RGB"), on_white(Image.fromarray(np.dstack([grey, grey, grey, np.where(grey == key, 0, 255).astype(np.uint8)])))
    alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return image.convert("RGB"), on_white(image.convert("RGBA")) if alpha else None


def write(path, image):
    path.write_bytes(struct.pack("<II", *image.size) + np.asarray(image).tobytes())


def main():
    folder = Path(sys.argv[1])
    random = np.random.default_rng(20)
    files = [(name + ".png", data) for name, data in every_png(random, 11, 9)] + list(others()) + list(turned())
    files += [(name + ".gif", data) for name, data in gifs(random)] + [(name + ".bmp", data) for name, data in bmps(random)]
    for name, data in files:
        (folder / name).write_bytes(data)
    files += arithmetic(folder)
    for name, data in files:
        path = folder / name
        path.write_bytes(data)
        dropped, white = judge(path.stem, data)
        write(path.with_suffix(".rgb"), dropped)
        if white is not None:
            write(path.with_suffix(".white.rgb"), white)


if __name__ == "__main__":
    main()
