"""Dense labels: what training knows about each place of a picture beyond the answers."""
import numpy as np

import vocabulary as v

NO_LABEL = -100
NUMBERS = 24                    # marks of a picture that are numbered
FIRST_SHAPE = v.MARK_ID[v.SHAPES[0]]


def slots(marks, box, rows, columns):
    """Class and colour of the mark in each half patch of a piece that shows the box (x0, y0, x1, y1) of the picture.
    Two marks in one slot leave it without a label."""
    classes = np.zeros((rows, 2 * columns), np.int64)
    colours = np.full((rows, 2 * columns), NO_LABEL, np.int64)
    x0, y0, x1, y1 = box
    for x, y, kind, colour in marks:
        r, c = int((y - y0) / (y1 - y0) * rows // 1), int((x - x0) / (x1 - x0) * 2 * columns // 1)
        if 0 <= r < rows and 0 <= c < 2 * columns:
            taken = classes[r, c] != 0
            classes[r, c] = NO_LABEL if taken else kind
            colours[r, c] = NO_LABEL if taken else colour
    return np.stack([classes.reshape(rows * columns, 2), colours.reshape(rows * columns, 2)])


def slot_of(x, y, box):
    """Number of the 64 queries and of the half (0 left, 1 right) that a place of the picture falls to in a piece that
    shows the box, or None where it lies outside."""
    r, c = int((y - box[1]) / (box[3] - box[1]) * 8 // 1), int((x - box[0]) / (box[2] - box[0]) * 16 // 1)
    return (8 * r + c // 2, c % 2) if 0 <= r < 8 and 0 <= c < 16 else None


class Order:
    """How the marks of a picture follow one another. `labels` [4, image tokens, 2] holds for each half of a token

    - the number of its mark in the picture,
    - for a letter, the letter before it in its word (0: none),
    - for a shape, its number among those of its kind,
    - for a letter, the letter two before it in its word (0: none), which tells double letters apart.

    Marks of pictures with slices are looked for in the slices."""

    def __init__(self, picture, boxes):
        self.labels = np.full((4, 64 * len(boxes), 2), NO_LABEL, np.int64)
        self.boxes, self.words, self.places = boxes, picture.facts.get("text", []), []
        marks = [(self.find(x, y), kind) for x, y, kind, _ in picture.marks]
        if not self.words:
            marks.sort(key=lambda m: m[0])
        starts = set(np.cumsum([0] + [len(w) for w in self.words]).tolist())
        last, earlier, count = 0, 0, {}
        for number, (place, kind) in enumerate(marks):
            count[kind] = count.get(kind, 0) + 1
            self.places.append((place[0], kind))
            self.labels[(0, *place)] = min(number + 1, NUMBERS - 1)
            if self.words:
                if number in starts:
                    last = earlier = 0
                self.labels[(1, *place)] = last
                self.labels[(3, *place)] = earlier
            else:
                self.labels[(2, *place)] = count[kind]
            last, earlier = kind, last

    def find(self, x, y):
        """(image token, half) that shows a place best."""
        for i in range(1 if len(self.boxes) > 1 else 0, len(self.boxes)):
            slot = slot_of(x, y, self.boxes[i])
            if slot:
                return 64 * i + slot[0], slot[1]
        raise ValueError((x, y))

    def looks(self, kind, subject):
        """The image token to look at for each character of an answer (-1: none): each letter in turn where it is read,
        the last of its kind where it is counted."""
        if kind == "read":
            tokens, letters = [], iter(self.places)
            for word in self.words:
                tokens += [next(letters)[0] for _ in word] + [-1]
            return tokens[:-1]
        if kind == "count":
            counted = [t for t, k in self.places if subject == "shapes" or v.PLURALS[v.SHAPES[k - FIRST_SHAPE]] == subject]
            return counted[-1:]
        return []
