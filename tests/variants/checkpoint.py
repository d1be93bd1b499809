"""Random weights with the published names and shapes, and safetensors files, one or several, that hold them."""
import json
import math

import numpy as np

from forward import bf16, head_size

DTYPES = ("BF16", "F16", "F32")


def stored(values, dtype):
    """Bytes in the file, and the numbers that they stand for."""
    if dtype == "BF16":
        rounded = bf16(values)
        return (rounded.astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes(), rounded
    narrow = values.astype("<f2" if dtype == "F16" else "<f4")
    return narrow.tobytes(), narrow.astype(np.float64)


def linear(name, out, into, bias):
    shapes = {name + ".weight": (out, into)}
    return {**shapes, name + ".bias": (out,)} if bias else shapes


def norm(name, width):
    return {name + ".weight": (width,), name + ".bias": (width,)}


def decoder_shapes(config):
    architecture = config["architectures"][0]
    glm = architecture == "Glm4vForConditionalGeneration"
    top = "llm." if architecture == "MiniCPMV" else ""
    model = top + ("model.language_model." if glm else "model.")
    width, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    size = head_size(config)
    kv = (config.get("num_key_value_heads") or heads) * size
    qkv_only = architecture in ("MiniCPMV", "Qwen2ForCausalLM") or glm
    qkv_bias, out_bias = (True, False) if qkv_only else (config.get("attention_bias", False),) * 2
    shapes = {model + "embed_tokens.weight": (config["vocab_size"], width), model + "norm.weight": (width,)}
    for i in range(config["num_hidden_layers"]):
        layer = f"{model}layers.{i}."
        shapes |= {layer + "input_layernorm.weight": (width,), layer + "post_attention_layernorm.weight": (width,)}
        shapes |= linear(layer + "self_attn.q_proj", heads * size, width, qkv_bias)
        shapes |= linear(layer + "self_attn.k_proj", kv, width, qkv_bias) | linear(layer + "self_attn.v_proj", kv, width, qkv_bias)
        shapes |= linear(layer + "self_attn.o_proj", width, heads * size, out_bias)
        if architecture == "HunYuanVLForConditionalGeneration" and config["use_qk_norm"]:
            shapes |= {layer + f"self_attn.{part}_layernorm.weight": (size,) for part in ("query", "key")}
        if architecture == "Qwen3ForCausalLM":
            shapes |= {layer + f"self_attn.{part}_norm.weight": (size,) for part in "qk"}
        if glm:
            shapes |= {layer + f"post_{part}_layernorm.weight": (width,) for part in ("self_attn", "mlp")}
            shapes |= linear(layer + "mlp.gate_up_proj", 2 * inner, width, False)
        else:
            shapes |= linear(layer + "mlp.gate_proj", inner, width, False) | linear(layer + "mlp.up_proj", inner, width, False)
        shapes |= linear(layer + "mlp.down_proj", width, inner, False)
    if not config.get("tie_word_embeddings", False):
        shapes[top + "lm_head.weight"] = (config["vocab_size"], width)
    return shapes


def random_values(rng, name, shape):
    """Scales that keep every activation near 1, so that neither softmax nor rounding runs wild."""
    noise = rng.standard_normal(shape)
    if len(shape) == 1:
        is_gain = name.endswith("weight")
        return 1 + 0.15 * noise if is_gain else 0.1 * noise
    if "embed_tokens" in name or name == "resampler.query":
        return 0.7 * noise
    if "position_embedding" in name:
        return 0.4 * noise
    gain = 2.0 if "lm_head" in name else 0.7 if any(part in name for part in ("o_proj", "out_proj", "attn.proj", "down_proj", "fc2")) else 1.0
    return gain * noise / math.sqrt(math.prod(shape[1:]))


def make(rng, shapes):
    """name → (dtype, shape, bytes), and name → exact numbers."""
    mixed = rng.random() < 0.4
    common = str(rng.choice(DTYPES, p=[0.6, 0.2, 0.2]))
    tensors, numbers = {}, {}
    for name, shape in shapes.items():
        dtype = str(rng.choice(DTYPES)) if mixed else common
        data, numbers[name] = stored(random_values(rng, name, shape), dtype)
        tensors[name] = (dtype, shape, data)
    return tensors, numbers


def write_file(path, tensors, metadata=None, padding=0):
    header, at = {"__metadata__": metadata} if metadata else {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode() + b" " * padding
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values()))


def write_shards(rng, folder, tensors, count):
    """model.safetensors, or `count` shards and their index; tensors in any order."""
    names = list(tensors)
    rng.shuffle(names)
    metadata = {"format": "pt"} if rng.random() < 0.7 else None
    padding = int(rng.integers(0, 9))
    if count == 1:
        write_file(folder / "model.safetensors", {name: tensors[name] for name in names}, metadata, padding)
        return
    cuts = np.sort(rng.choice(np.arange(1, len(names)), count - 1, replace=False))
    where = {}
    for i, part in enumerate(np.split(np.array(names, object), cuts)):
        file = f"model-{i + 1:05}-of-{count:05}.safetensors"
        write_file(folder / file, {name: tensors[name] for name in part}, metadata, padding)
        where |= {name: file for name in part}
    total = sum(len(data) for _, _, data in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_expected(path, tensors):
    write_file(path, {name: ("F32", values.shape, values.astype("<f4").tobytes()) for name, values in sorted(tensors.items())})
