"""What decoders compute, and what all parts share, in float64 numpy, written from the published model code.

A Rounding says what happens to the result of every operation: nothing, or it is rounded to bf16, which shows how far the published code is from the
exact numbers when it runs in bf16. Angles are float32 in both, as published: they are buffers, not weights.
"""
import math

import numpy as np

from rope import rates_and_factor

F32 = np.float32


def exact(x):
    return x


def bf16(x):
    """Nearest bf16, ties to even, as float64."""
    bits = np.ascontiguousarray(x, F32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return rounded.view(F32).astype(np.float64)


def softmax(scores):
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


class Layers:
    """Weights by their published names, and the operations that all parts share."""

    def __init__(self, weights, rounding):
        self.w = {name: rounding(value) for name, value in weights.items()}
        self.r = rounding

    def linear(self, x, name):
        y = x @ self.w[name + ".weight"].T
        bias = self.w.get(name + ".bias")
        return self.r(y if bias is None else y + bias)

    def layer_norm(self, x, name, eps):
        centred = x - x.mean(-1, keepdims=True)
        unit = centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + eps)
        return self.r(unit * self.w[name + ".weight"] + self.w[name + ".bias"])

    def rms_norm(self, x, name, eps):
        unit = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
        return self.r(self.r(unit) * self.w[name + ".weight"])

    def attend(self, q, k, v, mask=None):
        """q [heads, queries, size], k and v [heads or fewer, keys, size] → [queries, heads · size]."""
        shared = q.shape[0] // k.shape[0]
        k, v = k.repeat(shared, 0), v.repeat(shared, 0)
        scores = self.r(self.r(q @ k.transpose(0, 2, 1)) / math.sqrt(q.shape[-1]))
        if mask is not None:
            scores = np.where(mask, scores, -np.inf)
        mixed = self.r(self.r(softmax(scores)) @ v)
        return mixed.transpose(1, 0, 2).reshape(q.shape[1], -1)


def heads(x, count):
    return x.reshape(len(x), count, -1).transpose(1, 0, 2)


def head_size(config):
    of_class = 128 if config["architectures"] == ["Qwen3ForCausalLM"] else config["hidden_size"] // config["num_attention_heads"]
    return config.get("head_dim") or of_class


class Decoder(Layers):
    """Qwen2, Qwen3, Llama, Mistral, and the language model of MiniCPM-V: one sequence and its cache."""

    def __init__(self, config, weights, rounding=exact):
        super().__init__(weights, rounding)
        self.config, self.eps = config, config.get("rms_norm_eps", 1e-6)
        self.query_heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.query_heads
        self.size = head_size(config)
        self.forget()

    def forget(self):
        self.cache = [(np.zeros((self.kv_heads, 0, self.size)),) * 2 for _ in range(self.config["num_hidden_layers"])]
        self.next_place = 0

    @property
    def prefix(self):
        return "llm.model." if self.config["architectures"] == ["MiniCPMV"] else "model."

    @property
    def head(self):
        if self.config.get("tie_word_embeddings", False):
            return self.prefix + "embed_tokens.weight"
        return self.prefix.removesuffix("model.") + "lm_head.weight"

    def embed(self, ids):
        return self.w[self.prefix + "embed_tokens.weight"][ids]

    def rotate(self, x, places):
        rates, factor = rates_and_factor(self.config, self.size)
        angles = places[:, :1].astype(F32) * rates.astype(F32)
        return self.turn_halves(x, factor * np.cos(angles).astype(np.float64), factor * np.sin(angles).astype(np.float64))

    def turn_halves(self, x, cos, sin):
        half, cos, sin = self.size // 2, self.r(cos), self.r(sin)
        left, right = x[..., :half], x[..., half:]
        cross = np.concatenate([self.r(-right * sin), self.r(left * sin)], -1)
        return self.r(self.r(x * np.concatenate([cos, cos], -1)) + cross)

    def head_norm(self, x, name):
        """Over each head, where the model has it."""
        return self.rms_norm(x, name, self.eps) if name + ".weight" in self.w else x

    def turned(self, x, layer, part, places):
        """Queries or keys, as the attention sees them."""
        return self.rotate(self.head_norm(x, f"{layer}self_attn.{part}_norm"), places)

    def after_attention(self, y, layer):
        return y

    def mlp(self, y, layer):
        gate = self.linear(y, layer + "mlp.gate_proj")
        inner = self.r(self.r(gate / (1 + np.exp(-gate))) * self.linear(y, layer + "mlp.up_proj"))
        return self.linear(inner, layer + "mlp.down_proj")

    def attention(self, y, layer, index, places):
        known = self.cache[index][0].shape[1]
        mask = np.arange(known + len(y)) <= np.arange(known, known + len(y))[:, None]
        q = self.turned(heads(self.linear(y, layer + "self_attn.q_proj"), self.query_heads), layer, "q", places)
        k = self.turned(heads(self.linear(y, layer + "self_attn.k_proj"), self.kv_heads), layer, "k", places)
        v = heads(self.linear(y, layer + "self_attn.v_proj"), self.kv_heads)
        k, v = (np.concatenate(pair, 1) for pair in zip(self.cache[index], (k, v)))
        self.cache[index] = k, v
        return self.after_attention(self.linear(self.attend(q, k, v, mask), layer + "self_attn.o_proj"), layer)

    def extend(self, x, places=None):
        """Embeddings of the tokens that follow → logits after each of them. `places` [tokens, axes]; None: one after the other on every axis."""
        if places is None:
            places = np.arange(self.next_place, self.next_place + len(x))[:, None].repeat(4, 1)
        self.next_place = int(places.max()) + 1
        for i in range(len(self.cache)):
            layer = f"{self.prefix}layers.{i}."
            x = self.r(x + self.attention(self.rms_norm(x, layer + "input_layernorm", self.eps), layer, i, places))
            x = self.r(x + self.mlp(self.rms_norm(x, layer + "post_attention_layernorm", self.eps), layer))
        return self.r(self.rms_norm(x, self.prefix + "norm", self.eps) @ self.w[self.head].T)
