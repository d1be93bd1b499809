"""Draws the pictures the demo model learns from, with everything that is known about them.

A picture is laid out in a frame whose unit is a pixel of a piece (112 x 112 for a square one) and drawn at `scale`
times that size; its marks (letters and shapes) keep their places as fractions of the frame."""
import zlib
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

import fonts
import vocabulary as v

CELL = 112          # side of a piece
PITCH = 14.0        # least mean distance of letters in a piece, in its pixels: one a patch


@dataclass
class Level:
    """How hard the pictures are: grows while training goes on."""
    fonts: list
    longest: int = 6            # letters in a line
    reverse: float = 0.0        # share of light text on dark ground
    two_lines: float = 0.0      # share of square text pictures with two lines
    shares: tuple = (0.6, 0.25, 0.15)  # text, several shapes, one shape
    doubles: float = 0.0        # share of random strings in which one letter is written twice
    held_out: bool = False      # draw strings from the part that training never sees


@dataclass
class Picture:
    image: Image.Image
    marks: list                 # (x, y, class, colour), x and y as fractions
    ground: int                 # colour of the background
    asks: list                  # (kind, question, answer, what is counted)
    facts: dict = field(default_factory=dict)


def is_held_out(text):
    """A tenth of all strings, by their checksum, is kept for evaluation."""
    return zlib.crc32(text.encode()) % 10 == 0


def make_word(rng, length, level):
    """A random string of the given length, or now and then a real word of at most that length."""
    while True:
        if rng.random() < 0.2:
            word = v.WORDS[rng.integers(len(v.WORDS))]
        else:
            pool = v.ALPHABET if rng.random() < 0.7 else v.ALPHABET[:26]
            word = "".join(pool[i] for i in rng.integers(len(pool), size=length))
            if level.doubles and rng.random() < level.doubles:
                at = int(rng.integers(1, length))
                word = word[:at] + word[at - 1] + word[at + 1:]
        if len(word) <= length and is_held_out(word) == level.held_out:
            return word


def shade(rng, name):
    """A colour within the range of a name."""
    return tuple(int(min(255, max(0, c + rng.integers(-14, 15)))) for c in v.COLOURS[name])


def pick(rng, options):
    options = list(options)
    return options[rng.integers(len(options))]


def two_colours(rng, reverse):
    """Names of text and background colour."""
    dark, light = pick(rng, v.DARK), pick(rng, v.LIGHT)
    if rng.random() < reverse:
        return (light, dark) if light in ("white", "yellow") and dark != "brown" else (light, "black")
    return dark, light


def ask(rng, kind, answer, x=""):
    return kind, pick(rng, v.wordings(kind, x)), answer, x


class Canvas:
    """A picture being drawn, in frame coordinates."""

    def __init__(self, frame, scale, ground):
        self.frame, self.scale = frame, scale
        self.image = Image.new("RGB", (round(frame[0] * scale), round(frame[1] * scale)), ground)
        self.draw = ImageDraw.Draw(self.image)
        self.marks = []

    def mark(self, x, y, name, colour):
        self.marks.append((x / self.frame[0], y / self.frame[1], v.MARK_ID[name], v.COLOUR_ID[colour]))

    def word(self, rng, text, face, box, ink, colour, pitch_limit=22.0):
        """One word inside box (x0, y0, x1, y1): letters at least PITCH apart on average."""
        x0, y0, x1, y1 = box
        room = (x1 - x0) - 4
        widest = max(PITCH, min(pitch_limit, room / len(text), (y1 - y0) * 0.75))
        pitch = rng.uniform(PITCH, widest)
        size = max(8, round(pitch * rng.uniform(1.2, 1.55) * self.scale))
        widths = [fonts.advance(face, size, c) / self.scale for c in text]
        extra = max(0.0, pitch - sum(widths) / len(text))
        total = sum(widths) + extra * len(text)
        if total > room:                       # wide letters: a smaller size keeps them inside
            size = max(8, int(size * (room - extra * len(text)) / sum(widths)))
            widths = [fonts.advance(face, size, c) / self.scale for c in text]
            total = sum(widths) + extra * len(text)
        half = fonts.cap_height(face, size) / self.scale / 2
        x = x0 + 2 + rng.uniform(0, max(0.0, room - total)) + extra / 2
        y = rng.uniform(y0 + half + 2, max(y0 + half + 2, y1 - half - 2))
        font = fonts.load(face, size)
        for letter, width in zip(text, widths):
            self.draw.text((x * self.scale, (y + half) * self.scale), letter, font=font, fill=ink, anchor="ls")
            self.mark(x + width / 2, y, letter, colour)
            x += width + extra

    def shape(self, kind, x, y, size, ink, colour):
        """A filled shape of the given size around (x, y)."""
        s, h = self.scale, size / 2
        box = ((x - h) * s, (y - h) * s, (x + h) * s, (y + h) * s)
        if kind == "circle":
            self.draw.ellipse(box, fill=ink)
        elif kind == "square":
            self.draw.rectangle(box, fill=ink)
        else:
            self.draw.polygon([((x - h) * s, (y + h) * s), ((x + h) * s, (y + h) * s), (x * s, (y - h) * s)], fill=ink)
        self.mark(x, y, kind, colour)


def text_picture(rng, level, frame, scale, boxes):
    """Words, one in each box; the answer joins them with spaces."""
    colour, ground = two_colours(rng, level.reverse)
    canvas = Canvas(frame, scale, shade(rng, ground))
    face, ink = pick(rng, level.fonts), shade(rng, colour)
    words, longest = [], level.longest if len(boxes) < 3 else min(level.longest, 5)
    for box in boxes:
        fits = int((box[2] - box[0] - 4) / PITCH / 1.08)
        length = int(rng.integers(2, min(longest, fits) + 1))
        words.append(make_word(rng, length, level))
        canvas.word(rng, words[-1], face, box, ink, colour)
    asks = [ask(rng, "read", " ".join(words)), ask(rng, "text colour", colour), ask(rng, "background colour", ground)]
    return Picture(canvas.image, canvas.marks, v.COLOUR_ID[ground], asks, {"font": face, "text": words})


def shapes_picture(rng, level, frame, scale):
    """One to six shapes that do not touch, to be counted."""
    ground = pick(rng, v.LIGHT if rng.random() >= level.reverse else v.DARK)
    canvas = Canvas(frame, scale, shade(rng, ground))
    wanted, placed = int(rng.integers(1, 7)), []
    inks = [c for c in (v.DARK if ground in v.LIGHT else ("white", "yellow"))]
    kinds = list(v.SHAPES) if rng.random() < 0.6 else [pick(rng, v.SHAPES)]
    counts = dict.fromkeys(v.SHAPES, 0)
    for _ in range(60):
        size = rng.uniform(17, 32)
        x, y = rng.uniform(size / 2 + 2, frame[0] - size / 2 - 2), rng.uniform(size / 2 + 2, frame[1] - size / 2 - 2)
        if all(max(abs(x - a), abs(y - b)) > (size + s) / 2 + 4 for a, b, s in placed):
            kind, colour = pick(rng, kinds), pick(rng, inks)
            placed.append((x, y, size))
            counts[kind] += 1
            canvas.shape(kind, x, y, size, shade(rng, colour), colour)
            if len(placed) == wanted:
                break
    present = [k for k in v.SHAPES if counts[k]]
    first = pick(rng, present)
    second = pick(rng, [k for k in v.SHAPES if k != first])
    asks = [ask(rng, "count", str(counts[k]), v.PLURALS[k]) for k in (first, second)]
    asks.append(ask(rng, "count", str(len(placed)), "shapes") if rng.random() < 0.7
                else ask(rng, "background colour", ground))
    return Picture(canvas.image, canvas.marks, v.COLOUR_ID[ground], asks, {"counts": counts})


def one_shape_picture(rng, level, frame, scale):
    """A single shape, small or large."""
    colour, ground = two_colours(rng, level.reverse)
    canvas = Canvas(frame, scale, shade(rng, ground))
    size = rng.uniform(22, min(frame) - 16)
    x, y = (rng.uniform(size / 2 + 3, side - size / 2 - 3) for side in frame)
    kind = pick(rng, v.SHAPES)
    canvas.shape(kind, x, y, size, shade(rng, colour), colour)
    asks = [ask(rng, "which shape", kind), ask(rng, "shape colour", colour), ask(rng, "background colour", ground)]
    return Picture(canvas.image, canvas.marks, v.COLOUR_ID[ground], asks, {"shape": kind})


def draw_picture(rng, level, frame, scale, text_only=False):
    """A picture for a frame: of one cell, or of several in a row (a sign) or in a column (a list)."""
    columns, rows = max(1, round(frame[0] / CELL)), max(1, round(frame[1] / CELL))
    if columns * rows > 1:
        w, h = frame[0] / columns, frame[1] / rows
        boxes = [(c * w, r * h + 0.12 * h, c * w + w, r * h + 0.88 * h) for r in range(rows) for c in range(columns)]
        if columns == 2 and rows == 1 and rng.random() < 0.3:     # one long word across both
            boxes = [(8, 12, frame[0] - 8, h - 12)]
        return text_picture(rng, level, frame, scale, boxes)
    kind = rng.random()
    if text_only or kind < level.shares[0]:
        w, h = frame
        if rng.random() < level.two_lines:
            cut = rng.uniform(0.42, 0.58) * h
            boxes = [(0, 0, w, cut - 2), (0, cut + 2, w, h)]
        else:
            boxes = [(0, 0, w, h)]
        return text_picture(rng, level, frame, scale, boxes)
    if kind < level.shares[0] + level.shares[1]:
        return shapes_picture(rng, level, frame, scale)
    return one_shape_picture(rng, level, frame, scale)
