"""Writes the tiny pictures beside it, and for each NAME.rgb: width and height as two little-endian uint32, then the pixels that
Pillow's Image.open(...).convert("RGB") gives.

usage: make_fixtures.py FOLDER      needs Pillow and numpy (made with Pillow 13.0.0)

PNG files are built by hand here, since Pillow writes neither all colour types nor interlaced files.
"""
import io
import itertools
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

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
        high = 1 << depth
        if colour == 0 and depth == 16:
            high = 600  # both sides of the saturation at 255
        pixels = random.integers(0, high, (height, width, CHANNELS[colour]))
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
    exif[0x0112] = 6  # orientation: rotate; must be ignored
    yield "jpeg_exif.jpg", saved(image, format="JPEG", quality=85, exif=exif.tobytes())
    yield "webp_lossy.webp", saved(image, format="WEBP", quality=80)
    yield "webp_lossless.webp", saved(image, format="WEBP", lossless=True)
    alpha = image.copy()
    alpha.putalpha(Image.fromarray(smooth(37, 29)[:, :, 0]))
    yield "webp_alpha_lossy.webp", saved(alpha, format="WEBP", quality=80)
    yield "webp_alpha_lossless.webp", saved(alpha, format="WEBP", lossless=True, exact=True)
    frames = [image, Image.fromarray(255 - smooth(37, 29))]
    yield "webp_animated.webp", saved(frames[0], format="WEBP", save_all=True, append_images=frames[1:], lossless=True)


def main():
    folder = Path(sys.argv[1])
    random = np.random.default_rng(20)
    files = [(name + ".png", data) for name, data in every_png(random, 11, 9)] + list(others())
    for name, data in files:
        (folder / name).write_bytes(data)
        image = Image.open(io.BytesIO(data)).convert("RGB")
        header = struct.pack("<II", *image.size)
        (folder / name).with_suffix(".rgb").write_bytes(header + np.asarray(image).tobytes())


if __name__ == "__main__":
    main()
