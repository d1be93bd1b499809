#!/usr/bin/env python3
"""What `record` stored on two cards, output by output: the same bits where PTX promises them, else as close as the workload states.

    python3 tests/emulation/kernels/compare.py FOLDER FOLDER

Exits with 1 when an output differs by more, or when the two did not run the same."""
import csv
import math
import pathlib
import struct
import sys

KEY = ('workload', 'output', 'type', 'relative', 'absolute')


def read(folder):
    with open(folder / 'outputs.tsv', encoding='utf-8') as file:
        return list(csv.DictReader(file, delimiter='\t'))


def words(data, type_):
    """Numbers, and their bits."""
    if type_ == 'bf16':
        bits = struct.unpack(f'<{len(data) // 2}H', data)
        return struct.unpack(f'<{len(bits)}f', b''.join(struct.pack('<HH', 0, b) for b in bits)), bits
    count = len(data) // 4
    return struct.unpack(f'<{count}{ {"f32": "f", "s32": "i", "u32": "I"}[type_] }', data), struct.unpack(f'<{count}I', data)


def distance(x, y, relative, absolute):
    """1 is as far as is allowed."""
    if math.isnan(x) or math.isnan(y) or math.isinf(x) or math.isinf(y):
        return 0 if x == y or (math.isnan(x) and math.isnan(y)) else math.inf
    allowed = relative * abs(x) + absolute
    return abs(x - y) / allowed if allowed > 0 else 0 if x == y else math.inf


def compare(one, other, row):
    """Elements, those with the same bits, the worst distance and where it is."""
    relative, absolute = float(row['relative']), float(row['absolute'])
    (xs, x_bits), (ys, y_bits) = (words((folder / row['file']).read_bytes(), row['type']) for folder in (one, other))
    if len(xs) != len(ys):
        return len(xs), 0, math.inf, f'{len(xs)} and {len(ys)} elements'
    exact = relative == 0 and absolute == 0
    same, worst, where = 0, 0, ''
    for k, (x, y) in enumerate(zip(xs, ys)):
        if x_bits[k] == y_bits[k]:
            same += 1
            continue
        far = math.inf if exact else distance(x, y, relative, absolute)
        if far > worst or not where:
            worst, where = far, f'element {k}: {x} and {y}'
    return len(xs), same, worst, where


def main(one, other):
    for folder in (one, other):
        print(f'{folder}: {(folder / "card.txt").read_text(encoding="utf-8").strip()}')
    rows = read(one)
    if [[row[key] for key in KEY] for row in rows] != [[row[key] for key in KEY] for row in read(other)]:
        print('DIFFER: the two did not run the same workloads')
        return 1
    bad = 0
    for row in rows:
        count, same, worst, where = compare(one, other, row)
        rule = 'bits' if float(row['relative']) == 0 == float(row['absolute']) else f'{row["relative"]} of the value + {row["absolute"]}'
        verdict = 'same' if same == count else f'{worst:.3g} of what is allowed ({rule}), {where}'
        if worst > 1:
            bad += 1
            verdict = f'DIFFERS by {verdict}'
        print(f'{row["workload"]} output {row["output"]}: {same} of {count} elements have the same bits; {verdict}')
    print(f'{len(rows) - bad} of {len(rows)} outputs agree')
    return 1 if bad or not rows else 0


if __name__ == '__main__':
    if len(sys.argv) != 3:
        print(__doc__)
        sys.exit(2)
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
