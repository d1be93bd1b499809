#!/usr/bin/env python3
"""gguf_to_hf.py FILE.gguf OUT: a directory in Hugging Face layout from a GGUF file of a Llama-like model.

Weights become bf16, from fp32, fp16 and the simple formats of 8 and 4 bits. Needs numpy alone.
"""
import json
import pathlib
import struct
import sys

import numpy as np

# Of the format's value types: what struct unpacks; 8 is a string, 9 an array.
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
CONTROL = 3  # token type
NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def unpack(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def string(self):
        (size,) = self.unpack("Q")
        self.at += size
        return bytes(self.data[self.at - size : self.at]).decode("utf-8")

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            inner, count = self.unpack("IQ")
            return [self.value(inner) for _ in range(count)]
        return self.unpack(SCALARS[kind])[0]


def read(path):
    """Metadata, and {name: (shape, type, where its bytes begin)}; the bytes."""
    data = memoryview(np.memmap(path, dtype=np.uint8, mode="r"))
    reader = Reader(data)
    magic, version, tensors, entries = reader.unpack("4sIQQ")
    assert magic == b"GGUF" and version in (2, 3), f"{path} is no GGUF file of version 2 or 3"
    metadata = {}
    for _ in range(entries):
        key = reader.string()
        (kind,) = reader.unpack("I")
        metadata[key] = reader.value(kind)
    table = {}
    for _ in range(tensors):
        name = reader.string()
        (rank,) = reader.unpack("I")
        shape = reader.unpack(f"{rank}Q")[::-1]  # the last of GGUF's is the slowest
        kind, offset = reader.unpack("IQ")
        table[name] = (shape, kind, offset)
    alignment = metadata.get("general.alignment", 32)
    begin = -(-reader.at // alignment) * alignment
    return metadata, {name: (shape, kind, begin + offset) for name, (shape, kind, offset) in table.items()}, data


def weights(data, shape, kind, begin):
    """fp32 values. Quantized ones come in blocks of 32 with an fp16 scale, some with an fp16 minimum as well; of a byte
    with two values the low half is one of the first 16."""
    count = int(np.prod(shape))

    def blocks(*fields):
        layout = np.dtype(list(fields))
        return np.frombuffer(data, layout, count // 32, begin)

    def halves(packed):
        return np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)

    if kind == 0:
        values = np.frombuffer(data, "<f4", count, begin)
    elif kind == 1:
        values = np.frombuffer(data, "<f2", count, begin)
    elif kind == 2:
        block = blocks(("scale", "<f2"), ("packed", "u1", 16))
        values = block["scale"].astype(np.float32)[:, None] * (halves(block["packed"]) - 8)
    elif kind == 3:
        block = blocks(("scale", "<f2"), ("least", "<f2"), ("packed", "u1", 16))
        values = block["scale"].astype(np.float32)[:, None] * halves(block["packed"]) + block["least"].astype(np.float32)[:, None]
    elif kind == 8:
        block = blocks(("scale", "<f2"), ("values", "i1", 32))
        values = block["scale"].astype(np.float32)[:, None] * block["values"]
    else:
        raise SystemExit(f"tensor type {kind} is not known here")
    return values.astype(np.float32).reshape(shape)


def unpermuted(rows, heads):
    """GGUF has the two halves of a head, which rotary embedding turns together, row by row; Hugging Face one after the
    other."""
    shape = rows.shape
    return rows.reshape(heads, shape[0] // heads // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def bf16(values):
    """Bits of the nearest bf16, ties to even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_checkpoint(path, metadata, table, data):
    heads = {"attn_q": metadata["llama.attention.head_count"], "attn_k": metadata["llama.attention.head_count_kv"]}
    header, at = {}, 0
    names = []
    for name, (shape, _, _) in table.items():
        parts = name.split(".")
        target = NAMES[parts[-2]] + ".weight"
        if parts[0] == "blk":
            target = f"model.layers.{parts[1]}.{target}"
        size = 2 * int(np.prod(shape))
        header[target] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
        names.append((name, parts[-2]))
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, part in names:
            values = weights(data, *table[name])
            file.write(bf16(unpermuted(values, heads[part]) if part in heads else values).tobytes())


def config_of(metadata, table):
    llama = {key.removeprefix("llama."): value for key, value in metadata.items() if key.startswith("llama.")}
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_act": "silu",
        "hidden_size": llama["embedding_length"], "intermediate_size": llama["feed_forward_length"],
        "num_hidden_layers": llama["block_count"], "num_attention_heads": llama["attention.head_count"],
        "num_key_value_heads": llama["attention.head_count_kv"], "rms_norm_eps": llama["attention.layer_norm_rms_epsilon"],
        "rope_theta": llama["rope.freq_base"], "max_position_embeddings": llama["context_length"],
        "vocab_size": llama["vocab_size"], "tie_word_embeddings": "output.weight" not in table,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"], "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
    }


def tokenizer_of(metadata):
    assert metadata["tokenizer.ggml.model"] == "gpt2" and metadata["tokenizer.ggml.pre"] == "smollm"
    tokens = metadata["tokenizer.ggml.tokens"]
    special = [i for i, kind in enumerate(metadata["tokenizer.ggml.token_type"]) if kind == CONTROL]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i], **flags} for i in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": tokens[metadata["tokenizer.ggml.unknown_token_id"]],
            "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(tokens)}, "merges": metadata["tokenizer.ggml.merges"],
        },
    }


def convert(source, out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    metadata, table, data = read(source)
    assert metadata["general.architecture"] == "llama"

    def write(name, content):
        (out / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    tokens = metadata["tokenizer.ggml.tokens"]
    write("config.json", config_of(metadata, table))
    write("tokenizer.json", tokenizer_of(metadata))
    write("tokenizer_config.json", {
        "bos_token": tokens[metadata["tokenizer.ggml.bos_token_id"]], "eos_token": tokens[metadata["tokenizer.ggml.eos_token_id"]],
        "chat_template": metadata["tokenizer.chat_template"],
    })
    write_checkpoint(out / "model.safetensors", metadata, table, data)


if __name__ == "__main__":
    convert(*sys.argv[1:3])
