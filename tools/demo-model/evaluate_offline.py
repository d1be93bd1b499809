"""Exact answers of a checkpoint on the held-out set, in PyTorch.

usage: python evaluate_offline.py MODEL_DIR [--pictures 1000] [--bf16] [--wrong FILE]"""
import argparse
import json
from pathlib import Path

import torch

import held_out
from reader import Reader


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--bf16", action="store_true", help="compute in bf16 rather than fp32")
    parser.add_argument("--wrong", type=Path, help="write the wrong answers here, one JSON object a line")
    options = parser.parse_args()
    reader, table = Reader(options.model, torch.bfloat16 if options.bf16 else torch.float32), held_out.Table()
    wrong = []
    for i in range(options.pictures):
        picture = held_out.item(i)
        answer, _ = reader.answer(picture.image, picture.question)
        table.add(picture, answer == picture.answer)
        if answer != picture.answer:
            wrong.append({"picture": i, "question": picture.question, "answer": answer, "expected": picture.answer,
                          "pieces": picture.pieces, "font": picture.font})
    if options.wrong:
        options.wrong.write_text("".join(json.dumps(line) + "\n" for line in wrong))
    print(table)


if __name__ == "__main__":
    main()
