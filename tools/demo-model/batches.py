"""Turns pictures into training batches, in a process of its own. A batch is made of one geometry, so nothing is padded
but the questions."""
import multiprocessing
from dataclasses import dataclass

import numpy as np

import geometry
import labels
import pictures
import tokenizer as tok

SIDE = pictures.CELL            # scale_resolution
QUESTIONS = 2                   # a picture: the first it comes with (reading, where there is text) and another

# Frames that stay in one piece but are not square, and frames of several pieces.
OBLONG = [(126, 98), (98, 126), (140, 86), (86, 140), (158, 79)]
WIDE = [(224, 112), (224, 112), (336, 112)]
TALL = [(112, 224), (112, 336), (112, 336)]
LONG = [(448, 112), (112, 448)]


@dataclass
class Encoder:
    """Token ids of prompts; heads are cached by their grid."""
    tokenizer: object

    def __post_init__(self):
        self.heads = {}

    def head(self, cells):
        if cells not in self.heads:
            self.heads[cells] = np.array(self.tokenizer.encode(tok.prompt_head(cells)).ids, np.int64)
        return self.heads[cells]

    def tail(self, question, answer):
        """Ids of question and answer, and where the answer (with its end mark) begins."""
        asked = self.tokenizer.encode(tok.prompt_tail(question)).ids
        return asked + self.tokenizer.encode(answer + "<|im_end|>").ids, len(asked)


def scale_for(rng, frame, same):
    """A drawing scale that keeps the frame's geometry; mostly 1."""
    wanted = geometry.plan(*frame, SIDE)
    for _ in range(8):
        if rng.random() < same:
            break
        scale = rng.uniform(0.8, 1.15)
        if geometry.plan(round(frame[0] * scale), round(frame[1] * scale), SIDE) == wanted:
            return scale
    return 1.0


def make_batch(rng, level, encoder, frame, size, text_only=False):
    """A batch of `size` pictures of one frame: arrays ready for the trainer."""
    overview, cells, slice_size = geometry.plan(*frame, SIDE)
    columns, rows = cells or (1, 1)
    boxes = [(0, 0, 1, 1)]
    if cells:
        boxes += [(c / columns, r / rows, (c + 1) / columns, (r + 1) / rows) for r in range(rows) for c in range(columns)]
    sizes = [overview] + [slice_size] * (len(boxes) - 1)
    out = {"cells": cells, "head": encoder.head(cells), "grids": [(h // 14, w // 14) for w, h in sizes[:2]]}
    pixels, tower, queries = ([[] for _ in boxes] for _ in range(3))
    ground, tails, kinds, orders, looks = [], [], [], [], []
    for _ in range(size):
        picture = pictures.draw_picture(rng, level, frame, scale_for(rng, frame, 0.7), text_only)
        for i, piece in enumerate(geometry.cut(picture.image, SIDE)):
            pixels[i].append(geometry.patches(piece))
            tower[i].append(labels.slots(picture.marks, boxes[i], sizes[i][1] // 14, sizes[i][0] // 14))
            queries[i].append(labels.slots(picture.marks, boxes[i], 8, 8))
        ground.append(picture.ground)
        order = labels.Order(picture, boxes)
        orders.append(order.labels)
        asks = [picture.asks[0], picture.asks[rng.integers(1, len(picture.asks))]]
        tails += [encoder.tail(question, answer) for _, question, answer, _ in asks]
        looks += [order.looks(kind, subject) for kind, _, _, subject in asks]
        kinds.append([kind for kind, *_ in asks])
    longest = -(-max(len(ids) for ids, _ in tails) // 4) * 4
    ids = np.full((len(tails), longest), encoder.tokenizer.token_to_id("<|endoftext|>"), np.int64)
    targets = np.full((len(tails), longest), labels.NO_LABEL, np.int64)
    for i, (line, start) in enumerate(tails):
        ids[i, :len(line)] = line
        targets[i, start - 1:len(line) - 1] = line[start:]
    pointers = np.full((len(tails), longest), -1, np.int64)
    for i, tokens in enumerate(looks):
        start = tails[i][1] - 1
        pointers[i, start:start + len(tokens)] = tokens
    out["pointers"] = pointers.reshape(size, QUESTIONS * longest)
    for k, name in enumerate(("order", "before", "among", "earlier")):
        out[name] = np.stack([o[k] for o in orders])
    join = lambda parts: np.stack(parts, 1).reshape(-1, *parts[0][0].shape) if parts else None
    groups = [slice(0, 1), slice(1, None)] if cells else [slice(0, 1)]
    for name, parts in (("pixels", pixels), ("tower", tower), ("queries", queries)):
        out[name] = [join([np.stack(p) for p in parts[g]]) for g in groups]
    out["ground"], out["kinds"] = np.array(ground), np.array(kinds)
    out["ids"] = ids.reshape(size, QUESTIONS, longest)
    out["targets"] = targets.reshape(size, QUESTIONS, longest)
    return out


def batch_of_step(step, schedule, encoder, seed):
    """The batch of a step, the same whenever it is made."""
    rng = np.random.default_rng((seed, step))
    plan = schedule(step)
    kind = rng.random()
    for frames, share, size, text_only in plan["frames"]:
        if kind < share:
            frame = frames[rng.integers(len(frames))]
            return make_batch(rng, plan["level"], encoder, frame, size, text_only)
        kind -= share
    return make_batch(rng, plan["level"], encoder, (SIDE, SIDE), plan["batch"])


def _work(queue, start, schedule, seed):
    encoder, step = Encoder(tok.build()), start
    while True:
        queue.put((step, batch_of_step(step, schedule, encoder, seed)))
        step += 1


def stream(start, schedule, seed):
    """Batches from a step on, made ahead by one worker process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(maxsize=6)
    context.Process(target=_work, args=(queue, start, schedule, seed), daemon=True).start()
    while True:
        yield queue.get()
