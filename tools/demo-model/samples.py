"""The six sample pictures: draws them, and checks that a checkpoint answers them.

usage: python samples.py make MODEL_DIR    draws each sample in several ways and keeps the one answered most surely
       python samples.py check MODEL_DIR   exits with 0 if every sample is answered as expected"""
import json
import sys
from pathlib import Path

import numpy as np

import pictures
import vocabulary as v
from reader import Reader, open_picture

TRIES = 40
FACES = ["OpenSans-Regular", "Carlito-Bold", "DejaVuSans-Bold", "LiberationSans-Bold", "Roboto-Bold", "Lato-Bold"]
INK = {**v.DARK, **v.LIGHT}


def words(rng, frame, texts, colour, ground):
    """Words, one a cell."""
    canvas, face = pictures.Canvas(frame, 1.0, INK[ground]), pictures.pick(rng, FACES)
    columns, rows = round(frame[0] / pictures.CELL), round(frame[1] / pictures.CELL)
    w, h = frame[0] / columns, frame[1] / rows
    size = np.random.default_rng(rng.integers(1 << 30))
    state = size.bit_generator.state
    for i, text in enumerate(texts):
        size.bit_generator.state = state                # the same random numbers: words of like size and place
        x, y = i % columns * w, i // columns * h
        canvas.word(size, text, face, (x + 6, y + 0.2 * h, x + w - 6, y + 0.8 * h), INK[colour], colour)
    return canvas.image


def text(rng, frame, choices, colour, ground):
    """One of several texts, and the answer."""
    texts = pictures.pick(rng, choices)
    return words(rng, frame, texts, colour, ground), " ".join(texts)


def shapes(rng, counts, ground):
    """Shapes at random places of a 3 x 3 division."""
    canvas = pictures.Canvas((112, 112), 1.0, INK[ground])
    kinds = [kind for kind, n in counts.items() for _ in range(n)]
    for kind, cell in zip(kinds, rng.permutation(9)):
        x, y = 20 + 36 * (cell % 3) + rng.uniform(-3, 3), 20 + 36 * (cell // 3) + rng.uniform(-3, 3)
        colour = pictures.pick(rng, ["red", "blue", "green", "purple", "black"])
        canvas.shape(kind, x, y, rng.uniform(20, 26), INK[colour], colour)
    return canvas.image


def one_shape(rng, kind, colour, ground):
    canvas = pictures.Canvas((112, 112), 1.0, INK[ground])
    canvas.shape(kind, *rng.uniform(48, 64, 2), rng.uniform(50, 70), INK[colour], colour)
    return canvas.image


WORDS = ["HELLO", "MUSIC", "WATER"]
SIGNS = [["OPEN", "ALL", "DAY"], ["HOT", "TEA", "HERE"], ["BIG", "SALE", "TODAY"]]
LISTS = [["TEA", "MILK", "EGGS"], ["RICE", "FISH", "SALT"], ["BREAD", "MILK", "TEA"]]
# Each: file, question, and a function from a random generator to (picture, answer).
SAMPLES = [
    ("text.png", "What does it say?", lambda r: text(r, (112, 112), [[w] for w in WORDS], "black", "white")),
    ("sign.png", "What does the sign say?", lambda r: text(r, (336, 112), SIGNS, "blue", "yellow")),
    ("list.png", "Read the text.", lambda r: text(r, (112, 336), LISTS, "green", "white")),
    ("count.png", "How many circles are there?",
     lambda r: (shapes(r, {"circle": 3, "square": 1, "triangle": 1}, "white"), "3")),
    ("colour.png", "What colour is the text?", lambda r: (words(r, (112, 112), ["SALE"], "purple", "yellow"), "purple")),
    ("shape.png", "Which shape is it?", lambda r: (one_shape(r, "triangle", "red", "gray"), "triangle")),
]


def make(reader, folder):
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for number, (name, question, draw) in enumerate(SAMPLES):
        surest = -1.0
        for attempt in range(TRIES):
            image, expected = draw(np.random.default_rng((number, attempt)))
            answer, margin = reader.answer(image, question)
            margin = margin if answer == expected else 0.0
            if margin > surest:
                best, best_answer, surest = image, expected, margin
        best.save(folder / name, optimize=True)
        listed.append({"image": name, "question": question, "answer": best_answer})
    (folder / "samples.json").write_text(json.dumps(listed, indent=1) + "\n")


def check(reader, folder):
    good = True
    for sample in json.loads((folder / "samples.json").read_text()):
        answer, margin = reader.answer(open_picture(folder / sample["image"]), sample["question"])
        right = answer == sample["answer"]
        good &= right
        print(f"{'ok   ' if right else 'WRONG'} {sample['image']:12} {sample['question']} -> {answer!r} (margin {margin:.2f})")
    return good


def main():
    action, folder = sys.argv[1], Path(sys.argv[2])
    reader = Reader(folder)
    if action == "make":
        make(reader, folder / "samples")
    sys.exit(0 if check(reader, folder / "samples") else 1)


if __name__ == "__main__":
    main()
