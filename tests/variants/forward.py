"""What the three architectures compute, in float64 numpy, written from the published model code.

A Rounding says what happens to the result of every operation: nothing, or it is rounded to bf16, which shows how far the published code is from the
exact numbers when it runs in bf16. Angles are float32 in both, as published: they are buffers, not weights.
"""
import math

import numpy as np

from rope import rates_and_factor

F32 = np.float32
RESAMPLER_HEAD = 128
RESAMPLER_EPS = 1e-6


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
        self.config = config
        self.prefix = "llm." if config["architectures"] == ["MiniCPMV"] else ""
        self.query_heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.query_heads
        self.size = head_size(config)
        self.cache = [(np.zeros((self.kv_heads, 0, self.size)),) * 2 for _ in range(config["num_hidden_layers"])]

    def embed(self, ids):
        return self.w[self.prefix + "model.embed_tokens.weight"][ids]

    def rotate(self, x, first):
        half = self.size // 2
        rates, factor = rates_and_factor(self.config, self.size)
        angles = np.arange(first, first + x.shape[1], dtype=F32)[:, None] * rates.astype(F32)
        cos, sin = self.r(factor * np.cos(angles).astype(np.float64)), self.r(factor * np.sin(angles).astype(np.float64))
        left, right = x[..., :half], x[..., half:]
        cross = np.concatenate([self.r(-right * sin), self.r(left * sin)], -1)
        return self.r(self.r(x * np.concatenate([cos, cos], -1)) + cross)

    def head_norm(self, x, name):
        """Of Qwen3, over each head; of the others nothing."""
        return self.rms_norm(x, name, self.config.get("rms_norm_eps", 1e-6)) if name + ".weight" in self.w else x

    def extend(self, x):
        """Embeddings of the tokens that follow → logits after each of them."""
        eps, r = self.config.get("rms_norm_eps", 1e-6), self.r
        known = self.cache[0][0].shape[1]
        mask = np.arange(known + len(x)) <= np.arange(known, known + len(x))[:, None]
        for i in range(len(self.cache)):
            layer = f"{self.prefix}model.layers.{i}."
            y = self.rms_norm(x, layer + "input_layernorm", eps)
            q = self.rotate(self.head_norm(heads(self.linear(y, layer + "self_attn.q_proj"), self.query_heads), layer + "self_attn.q_norm"), known)
            k = self.rotate(self.head_norm(heads(self.linear(y, layer + "self_attn.k_proj"), self.kv_heads), layer + "self_attn.k_norm"), known)
            v = heads(self.linear(y, layer + "self_attn.v_proj"), self.kv_heads)
            k, v = (np.concatenate(pair, 1) for pair in zip(self.cache[i], (k, v)))
            self.cache[i] = k, v
            x = r(x + self.linear(self.attend(q, k, v, mask), layer + "self_attn.o_proj"))
            y = self.rms_norm(x, layer + "post_attention_layernorm", eps)
            gate = self.linear(y, layer + "mlp.gate_proj")
            inner = r(r(gate / (1 + np.exp(-gate))) * self.linear(y, layer + "mlp.up_proj"))
            x = r(x + self.linear(inner, layer + "mlp.down_proj"))
        x = self.rms_norm(x, self.prefix + "model.norm", eps)
        tied = self.config.get("tie_word_embeddings", False)
        head = self.prefix + ("model.embed_tokens.weight" if tied else "lm_head.weight")
        return self.r(x @ self.w[head].T)


def torch_arange(start, step, count):
    """torch.arange in float32 on x86: pairs of groups of eight count on from a rounded first element, what is left below sixteen is computed one
    by one. (Plain groups of eight would give the same buckets for a table side of 70, and others for many other sides.)"""
    values = np.empty(count, F32)
    for i in range(count):
        first = i - i % 8
        grouped = i < count - count % 16
        values[i] = F32(float(F32(start + step * first)) + step * (i - first)) if grouped else F32(start + step * i)
    return values


def position_buckets(count, side):
    """Row (or column) of the learned position table for each of `count` patch rows (or columns)."""
    edges = torch_arange(1 / side, 1 / side, math.ceil((1 - 1 / side) / (1 / side)))
    places = torch_arange(0.0, float(F32(1) / F32(count)), count)
    return np.searchsorted(edges, places, side="right")


class Eyes(Layers):
    """Vision tower and resampler of MiniCPM-V 2.6: one piece at a time."""

    def __init__(self, config, preprocessor, weights, rounding=exact):
        super().__init__(weights, rounding)
        self.config, self.vision, self.preprocessor = config, config["vision_config"], preprocessor
        dropped = 1 if config.get("drop_vision_last_layer", True) else 0
        self.layers = self.vision["num_hidden_layers"] - dropped

    def patches(self, pixels):
        """8-bit [height, width, 3] → [patches, 3 · P · P] and the grid (rows, columns)."""
        mean, std = (np.array(self.preprocessor.get(key, [0.5] * 3), F32) for key in ("norm_mean", "norm_std"))
        values = ((pixels.astype(F32) / F32(255) - mean) / std).astype(np.float64)
        side = self.vision["patch_size"]
        rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
        cells = values.reshape(rows, side, columns, side, 3).transpose(0, 2, 4, 1, 3)
        return self.r(cells.reshape(rows * columns, -1)), (rows, columns)

    def tower(self, pixels):
        """After the last layer norm, [patches, width]."""
        x, (rows, columns) = self.patches(pixels)
        eps, count = self.vision.get("layer_norm_eps", 1e-6), self.vision["num_attention_heads"]
        kernel = self.w["vpm.embeddings.patch_embedding.weight"]
        x = self.r(x @ kernel.reshape(len(kernel), -1).T + self.w["vpm.embeddings.patch_embedding.bias"])
        side = self.vision["image_size"] // self.vision["patch_size"]
        index = position_buckets(rows, side)[:, None] * side + position_buckets(columns, side)
        x = self.r(x + self.w["vpm.embeddings.position_embedding.weight"][index.ravel()])
        for i in range(self.layers):
            layer = f"vpm.encoder.layers.{i}."
            y = self.layer_norm(x, layer + "layer_norm1", eps)
            q, k, v = (heads(self.linear(y, f"{layer}self_attn.{part}_proj"), count) for part in "qkv")
            x = self.r(x + self.linear(self.attend(q, k, v), layer + "self_attn.out_proj"))
            y = self.linear(self.layer_norm(x, layer + "layer_norm2", eps), layer + "mlp.fc1")
            y = self.r(0.5 * y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3))))
            x = self.r(x + self.linear(y, layer + "mlp.fc2"))
        return self.layer_norm(x, "vpm.post_layernorm", eps), (rows, columns)

    def positions(self, rows, columns):
        """[rows · columns, width]: the column in the first half, the row in the second; sines, then cosines."""
        quarter = self.config["hidden_size"] // 4
        rates = F32(1) / F32(10000) ** (np.arange(quarter, dtype=F32) / F32(quarter))

        def waves(count):
            angles = np.arange(count, dtype=F32)[:, None] * rates
            return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float64)

        return self.r(np.concatenate([np.tile(waves(columns), (rows, 1)), np.repeat(waves(rows), columns, 0)], 1))

    def resample(self, x, rows, columns):
        """Tower output of one piece → [query_num, hidden]."""
        norm = lambda y, name: self.layer_norm(y, "resampler." + name, RESAMPLER_EPS)
        y = norm(self.r(x @ self.w["resampler.kv_proj.weight"].T), "ln_kv")
        queries = norm(self.w["resampler.query"], "ln_q")
        inputs = (queries, self.r(y + self.positions(rows, columns)), y)
        weights = np.split(self.w["resampler.attn.in_proj_weight"], 3)
        biases = np.split(self.w["resampler.attn.in_proj_bias"], 3)
        count = self.config["hidden_size"] // RESAMPLER_HEAD
        q, k, v = (heads(self.r(a @ w.T + b), count) for a, w, b in zip(inputs, weights, biases))
        pooled = self.linear(self.attend(q, k, v), "resampler.attn.out_proj")
        return self.r(norm(pooled, "ln_post") @ self.w["resampler.proj"])
