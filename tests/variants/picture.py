"""Pictures as people see them, and random ones of every kind that files hold.

Needs Pillow 13, with which the golden data was made: older ones begin with the horizontal pass also where a picture loses most of its rows, and
differ in the last bit.
"""
import hashlib
import math

import numpy as np
from PIL import Image, ImageOps


def as_seen(picture):
    """RGB of an opened file as people see it: turned as its EXIF says, grey of 16 bits by the high byte, alpha dropped."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return picture.convert("RGB")


def one_of(rng, *choices):
    return choices[int(rng.integers(len(choices)))]


def digest(strips):
    return hashlib.sha256(b"".join(strips)).hexdigest()


def random_size(rng, area):
    """(width, height): ordinary, one pixel thin, or far from square; about `area` pixels at most."""
    kind = rng.choice(["plain", "plain", "plain", "line", "extreme", "tiny"])
    if kind == "tiny":
        return tuple(int(n) for n in rng.integers(1, 24, 2))
    if kind == "line":
        size = (1, int(rng.integers(1, 400)))
    elif kind == "extreme":
        short = int(rng.integers(1, 9))
        size = (short, int(short * rng.integers(10, 120)))
    else:
        ratio = math.exp(rng.uniform(-1.6, 1.6))
        pixels = rng.uniform(0.02, 1) * area
        size = (max(1, int(math.sqrt(pixels * ratio))), max(1, int(math.sqrt(pixels / ratio))))
    return size if rng.random() < 0.5 else size[::-1]


def shades(rng, width, height, channels):
    """Smooth waves and noise, 8-bit [height, width, channels]."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    planes = []
    for _ in range(channels):
        a, b = rng.uniform(-0.2, 0.2, 2)
        planes.append(127 + 100 * np.sin(a * x + b * y + rng.uniform(0, 6)) + rng.normal(0, rng.choice([2, 40]), x.shape))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


KINDS = ("RGB", "RGBA", "P", "P+alpha", "L", "LA", "16", "1", "grey+key", "RGB+key", "grey JPEG", "JPEG", "CMYK JPEG", "WebP", "WebP+alpha")


def write_random(rng, folder, name, area):
    """Makes a picture file and returns its path below the folder's parent."""
    kind = str(rng.choice(KINDS))
    width, height = random_size(rng, area)
    ending = ".jpg" if "JPEG" in kind else ".webp" if "WebP" in kind else ".png"
    if ending == ".webp" and rng.random() < 0.3:
        ending = ".png"  # a name says nothing about the format
    path = folder / (name + ending)
    rgb = shades(rng, width, height, 3)
    options = {}
    if kind == "RGB" or kind == "JPEG":
        picture = Image.fromarray(rgb)
    elif kind in ("RGBA", "WebP+alpha"):
        picture = Image.fromarray(shades(rng, width, height, 4), "RGBA")
    elif kind.startswith("P"):
        picture = Image.fromarray(rgb).quantize(int(rng.choice([2, 3, 11, 16, 200, 256])))
        options = {"transparency": 1} if kind == "P+alpha" else {}
    elif kind == "LA":
        picture = Image.fromarray(shades(rng, width, height, 2), "LA")
    elif kind == "16":
        picture = Image.fromarray(rgb[..., 0].astype(np.uint16) * np.uint16(one_of(rng, 2, 257)))
    elif kind == "1":
        picture = Image.fromarray(rgb[..., 0]).convert("1")
    elif kind in ("L", "grey+key", "grey JPEG"):
        picture = Image.fromarray(rgb[..., 0])
        options = {"transparency": int(rng.integers(256))} if kind == "grey+key" else {}
    elif kind == "RGB+key":
        picture, options = Image.fromarray(rgb), {"transparency": tuple(int(n) for n in rgb[0, 0])}
    elif kind == "CMYK JPEG":
        picture = Image.fromarray(shades(rng, width, height, 4), "CMYK")
    else:
        picture = Image.fromarray(rgb)
    if "JPEG" in kind:
        options = {"format": "JPEG", "quality": int(rng.integers(30, 100)), "progressive": bool(rng.random() < 0.5)}
        if kind == "JPEG":
            options["subsampling"] = int(rng.integers(3))
        if rng.random() < 0.3:  # an orientation, as phones write it
            exif = Image.Exif()
            exif[0x0112] = int(rng.integers(2, 9))
            options["exif"] = exif
    elif "WebP" in kind:
        options = {"format": "WEBP", "lossless": True, "exact": True}
    picture.save(path, **options)
    return f"{folder.name}/{path.name}"
