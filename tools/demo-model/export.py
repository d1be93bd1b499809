"""Writes the averaged weights of a training run as a checkpoint in the published layout, and the training's dense heads
beside this file, so that training can go on from the two.

usage: python export.py --run build/demo-model --to models/demo"""
import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

import tokenizer as tok
from model import CONFIG
from train import HEADS

PREPROCESSOR = {
    "image_processor_type": "MiniCPMVImageProcessor", "max_slice_nums": 9, "scale_resolution": 112, "patch_size": 14,
    "use_image_id": True, "image_feature_size": 64, "slice_mode": True, "norm_mean": [0.5, 0.5, 0.5],
    "norm_std": [0.5, 0.5, 0.5], "version": 2.6, "im_start": "<image>", "im_end": "</image>",
    "slice_start": "<slice>", "slice_end": "</slice>", "unk": "<unk>", "im_id_start": "<image_id>",
    "im_id_end": "</image_id>",
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, default=Path("build/demo-model"))
    parser.add_argument("--to", type=Path, default=Path("models/demo"))
    options = parser.parse_args()
    state = torch.load(options.run / "state.pt", weights_only=False)
    tokenizer = tok.build()
    assert tokenizer.get_vocab_size() == CONFIG["vocab_size"]
    assert [tokenizer.token_to_id(t) for t in ("<|endoftext|>", "<|im_end|>")] == [CONFIG[k + "_token_id"] for k in ("bos", "eos")]
    options.to.mkdir(parents=True, exist_ok=True)
    tensors = {k: t.to(torch.bfloat16).contiguous() for k, t in state["average"].items()}
    save_file(tensors, options.to / "model.safetensors", metadata={"format": "pt", "step": str(state["step"])})
    (options.to / "model.safetensors").chmod(0o644)
    heads = {f"{part}.{k}": t for part in ("dense", "reading") for k, t in state[part].items()}
    save_file(heads, HEADS)
    HEADS.chmod(0o644)
    generation = {"eos_token_id": [CONFIG["eos_token_id"], CONFIG["bos_token_id"]], "pad_token_id": CONFIG["bos_token_id"],
                  "do_sample": False}
    for name, value in (("config.json", CONFIG), ("preprocessor_config.json", PREPROCESSOR),
                        ("generation_config.json", generation), ("tokenizer_config.json", tok.tokenizer_config(tokenizer))):
        (options.to / name).write_text(json.dumps(value, indent=1) + "\n")
    tokenizer.save(str(options.to / "tokenizer.json"))
    print(f"step {state['step']}: {sum(t.numel() for t in tensors.values())} parameters -> {options.to}")


if __name__ == "__main__":
    main()
