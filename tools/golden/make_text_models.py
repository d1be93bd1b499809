#!/usr/bin/env python3
"""Golden directories of text-only families at toy size, made with the published model code (transformers from PyPI).

    python3 -m venv /tmp/hf && /tmp/hf/bin/pip install torch transformers safetensors
    /tmp/hf/bin/python tools/golden/make_text_models.py tests/golden

Weights are random (seeded) and stored in bf16; the expected outputs are fp32 on the same numbers, eager attention. The
tokenizer is that of tests/golden/llama. The layout of `expected/` stands in tests/golden/README.md."""
import json
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file

TOKENS = 24
CASES = {"short": "Hello", "long": "The quick brown fox jumps over 13 lazy dogs; " * 26}
COMMON = dict(vocab_size=1224, max_position_embeddings=4096, eos_token_id=1203, torch_dtype="bfloat16")
MODELS = {
    # Norms of each head before the rotation, a head_dim that does not follow from the width, untied head.
    "qwen3": transformers.Qwen3Config(hidden_size=160, intermediate_size=352, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2,
                                      head_dim=40, rms_norm_eps=1e-6, rope_theta=1000000.0, tie_word_embeddings=False, attention_bias=False, **COMMON),
    # Full attention (sliding_window null), groups of three.
    "mistral": transformers.MistralConfig(hidden_size=192, intermediate_size=416, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
                                          head_dim=32, rms_norm_eps=1e-5, rope_theta=100000.0, sliding_window=None, **COMMON),
    # Half of a head turns, in neighbouring pairs; norms behind attention and MLP; gate and up in one matrix.
    "glm4": transformers.Glm4Config(hidden_size=144, intermediate_size=320, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
                                    head_dim=48, rms_norm_eps=1e-5, pad_token_id=1203, **COMMON),
    # Queries, keys and values in one matrix, gate and up in another.
    "phi3": transformers.Phi3Config(hidden_size=160, intermediate_size=352, num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=5,
                                    rms_norm_eps=1e-5, pad_token_id=1203, bos_token_id=1, **COMMON),
}


def random_model(name, config):
    torch.manual_seed(sum(name.encode()))
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager", torch_dtype=torch.float32).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith("norm.weight"):
                value.copy_(1 + 0.2 * torch.randn_like(value))
            else:
                value.copy_(torch.randn_like(value) * (0.05 if value.dim() == 2 and "embed" not in key else 0.5))
            value.copy_(value.bfloat16().float())
    return model


@torch.no_grad()
def forced_logits(model, prompt, answer):
    """Logits behind the prompt and behind each forced token of the answer: [1 + len(answer), vocabulary]; and of the whole prompt."""
    ids = torch.tensor([prompt + answer])
    logits = model(input_ids=ids, use_cache=False).logits[0].float()
    return logits[len(prompt) - 1:], logits[:len(prompt)]


def case(model, half, tokenizer, name, text):
    prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    answer = []
    for _ in range(TOKENS):
        answer.append(int(forced_logits(model, prompt, answer)[0][-1].argmax()))
    steps, of_prompt = forced_logits(model, prompt, answer[:-1])
    best = steps.topk(2).values
    gaps = (best[:, 0] - best[:, 1]).tolist()
    rounded, _ = forced_logits(half, prompt, answer[:-1])
    logprobs = torch.log_softmax(of_prompt[:-1], dim=-1)[torch.arange(len(prompt) - 1), torch.tensor(prompt[1:])]
    facts = {"name": name, "text": text, "prompt_ids": prompt, "greedy_ids": answer, "greedy_ignores_eos": True,
             "bf16": {"logits_steps_rel_error": float((rounded - steps).norm() / steps.norm())}, "step_gaps": gaps, "min_top2_gap": min(gaps)}
    return facts, {"logits_steps": steps.contiguous(), "prompt_logprobs": logprobs.contiguous()}


def main(root):
    for name, config in MODELS.items():
        target = root / name
        shutil.rmtree(target, ignore_errors=True)
        (target / "expected").mkdir(parents=True)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy2(root / "llama" / file, target / file)
        model = random_model(name, config)
        half = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager", torch_dtype=torch.bfloat16).eval()
        half.load_state_dict({key: value.bfloat16() for key, value in model.state_dict().items()})
        save_file({key: value.bfloat16().contiguous() for key, value in model.state_dict().items()}, target / "model.safetensors", {"format": "pt"})
        facts = config.to_dict() | {"architectures": [type(model).__name__]}
        (target / "config.json").write_text(json.dumps(facts, indent=1) + "\n")
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(target / "tokenizer.json"))
        for label, text in CASES.items():
            told, tensors = case(model, half, tokenizer, label, text)
            (target / "expected" / f"{label}.json").write_text(json.dumps(told) + "\n")
            save_file(tensors, target / "expected" / f"{label}.safetensors")
            print(name, label, len(told["prompt_ids"]), "ids, smallest gap", told["min_top2_gap"], "bf16", told["bf16"])


main(pathlib.Path(sys.argv[1]))
