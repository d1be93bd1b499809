"""The published preprocessing of MiniCPM-V 2.6: how a picture becomes pieces, and a piece becomes patches."""
import math

import numpy as np
from PIL import Image

PATCH = 14


def snap(length, unit):
    return max(round(length / unit) * unit, unit)


def fit(width, height, side, enlarge):
    """The size, in whole patches, of about side x side pixels with the same ratio."""
    if width * height > side * side or enlarge:
        ratio = width / height
        height = int(side / math.sqrt(ratio))
        width = int(height * ratio)
    return snap(width, PATCH), snap(height, PATCH)


def grid(width, height, side, limit):
    """(columns, rows) of the slices, or None where the picture stays in one piece."""
    wanted = min(math.ceil(width * height / side**2), limit)
    if wanted <= 1:
        return None
    best, least = None, math.inf
    for total in (wanted - 1, wanted, wanted + 1):
        if total == 1 or total > limit:
            continue
        for columns in range(1, total + 1):
            if total % columns:
                continue
            error = abs(math.log(width / height) - math.log(columns / (total // columns)))
            if error < least:
                best, least = (columns, total // columns), error
    return best


def plan(width, height, side, limit=9):
    """Overview size, grid and slice size of a picture: ((w, h), (columns, rows) or None, (w, h) or None)."""
    cells = grid(width, height, side, limit)
    if cells is None:
        return fit(width, height, side, True), None, None
    columns, rows = cells
    slice_size = fit(snap(width, columns) / columns, snap(height, rows) / rows, side, True)
    return fit(width, height, side, False), cells, slice_size


def cut(image, side, limit=9):
    """The pieces of a picture as 8-bit arrays of height x width x 3: the overview, then the slices row by row."""
    image = image.convert("RGB")
    overview, cells, size = plan(*image.size, side, limit)
    pieces = [np.asarray(image.resize(overview, Image.BICUBIC))]
    if cells:
        (columns, rows), (w, h) = cells, size
        whole = np.asarray(image.resize((w * columns, h * rows), Image.BICUBIC))
        pieces += [whole[r * h:(r + 1) * h, c * w:(c + 1) * w] for r in range(rows) for c in range(columns)]
    return pieces


def patches(piece):
    """A piece as rows of 588 bytes, one a patch, in the order channel, y, x of the convolution's weight."""
    h, w = piece.shape[0] // PATCH, piece.shape[1] // PATCH
    return piece.reshape(h, PATCH, w, PATCH, 3).transpose(0, 2, 4, 1, 3).reshape(h * w, 3 * PATCH * PATCH)


_EDGES = np.array([np.float32(1 / 70 + (1 / 70) * i) for i in range(69)], np.float32)


def buckets(n):
    """Rows of the 70-row position table for n patches, with the reference's float32 arithmetic (groups of eight)."""
    step = float(np.float32(1) / np.float32(n))
    at = np.empty(n, np.float32)
    for i in range(n):
        start = i - i % 8
        if start + 8 <= n:
            at[i] = np.float32(float(np.float32(step * start)) + step * (i - start))
        else:
            at[i] = np.float32(step * i)
    return np.searchsorted(_EDGES, at, side="right")


def position_rows(h, w):
    """Indices into the learned position table for an h x w grid of patches."""
    return (buckets(h)[:, None] * 70 + buckets(w)).ravel()
