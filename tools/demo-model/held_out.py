"""The held-out set: pictures with one question each, of strings that training never shows; half of those with text in
fonts that training never shows. Picture i is the same whenever it is made (with the same font packages)."""
from collections import Counter
from dataclasses import dataclass

import numpy as np
from PIL import Image

import batches
import fonts
import geometry
import pictures

SEED = 4_2026
FRAMES = [([(112, 112)], 0.62), (batches.OBLONG, 0.12), ([(224, 112), (112, 224)], 0.12),
          ([(336, 112), (112, 336)], 0.11), (batches.LONG, 0.03)]
TEXT_QUESTIONS = [0.6, 0.2, 0.2]        # shares of reading, text colour, background colour


@dataclass
class Item:
    image: Image.Image
    kind: str
    question: str
    answer: str
    pieces: int
    font: str               # "" where there is no text


def item(i):
    """Number i of the held-out set."""
    rng = np.random.default_rng((SEED, i))
    unseen = rng.random() < 0.5
    level = pictures.Level(fonts.UNSEEN if unseen else fonts.SEEN, longest=7, two_lines=0.3, reverse=0.3,
                           shares=(0.6, 0.27, 0.13), held_out=True)
    choices = FRAMES[rng.choice(len(FRAMES), p=[share for _, share in FRAMES])][0]
    frame = choices[rng.integers(len(choices))]
    text_only = geometry.plan(*frame, batches.SIDE)[1] is not None
    picture = pictures.draw_picture(rng, level, frame, batches.scale_for(rng, frame, 0.5), text_only)
    font = picture.facts.get("font", "")
    kind, question, answer, _ = picture.asks[rng.choice(3, p=TEXT_QUESTIONS) if font else rng.integers(3)]
    cells = geometry.plan(*picture.image.size, batches.SIDE)[1]
    return Item(picture.image, kind, question, answer, 1 + cells[0] * cells[1] if cells else 1, font)


class Table:
    """Counts of right answers by question, by number of pieces and by font."""

    def __init__(self):
        self.asked, self.right = Counter(), Counter()

    def add(self, picture, good):
        font = picture.font and (picture.font if picture.font in fonts.UNSEEN else "training fonts")
        keys = ["all", f"question: {picture.kind}", f"pieces: {picture.pieces}"]
        keys += [f"font: {font}"] if font else []
        keys += ["reads, unseen font" if font in fonts.UNSEEN else "reads, training font"] if picture.kind == "read" else []
        for key in keys:
            self.asked[key] += 1
            self.right[key] += good

    def __str__(self):
        lines = ["| held-out pictures | asked | exact |", "| --- | --- | --- |"]
        for key in ["all", *sorted(k for k in self.asked if k != "all")]:
            lines.append(f"| {key} | {self.asked[key]} | {100 * self.right[key] / self.asked[key]:.1f} % |")
        return "\n".join(lines)
