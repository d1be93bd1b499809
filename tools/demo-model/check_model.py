"""Compares the PyTorch model with the outputs of the published code on a golden checkpoint.

usage: python check_model.py GOLDEN_DIR   (the project's minicpmv golden folder)"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from reader import Reader, open_picture


def main(folder):
    reader, worst = Reader(folder), 0.0
    for path in sorted((folder / "expected").glob("*.json")):
        case = json.loads(path.read_text())
        if isinstance(case, list) or case["max_slice_nums"]:
            continue
        expected = load_file(path.with_suffix(".safetensors"))
        seen = [reader.see(open_picture(folder / part["image"]))
                for message in case["messages"] for part in message["content"] if "image" in part]
        images = torch.cat(seen) if seen else None
        out = reader.logits(case["prompt_ids"] + case["greedy_ids"][:-1], images)[len(case["prompt_ids"]) - 1:]
        error = ((out - expected["logits_steps"]).norm() / expected["logits_steps"].norm()).item()
        worst = max(worst, error)
        print(f"{case['name']:12} {error:.1e} ids {'equal' if out.argmax(-1).tolist() == case['greedy_ids'] else 'DIFFER'}")
    return worst < 1e-4


if __name__ == "__main__":
    sys.exit(0 if main(Path(sys.argv[1])) else 1)
