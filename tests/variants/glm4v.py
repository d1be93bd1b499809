"""What GLM-4.1V computes: one grid of patches a picture, the tower with rotary positions, the merger, and a decoder that counts on three axes; and
random configurations of them."""
import hashlib
import math

import numpy as np
from PIL import Image

from checkpoint import linear, norm
from forward import F32, Decoder, Layers, heads
from picture import one_of
from rope import rates_and_factor

MERGER_EPS = 1e-5
RATIO_MAX = 200
BICUBIC_A = -0.75
erf = np.vectorize(math.erf)


def text_config(rng, config):
    """Makes the flat configuration of a decoder that of this one; what config.json holds is nested()."""
    partial = one_of(rng, 0.5, 0.5, 1.0, 0.25)
    size = int(one_of(rng, 24, 32, 48, 64, 40))
    heads_count = config["num_attention_heads"]
    pairs = int(size * partial) // 2
    first, second = sorted(rng.choice(np.arange(1, pairs), 2, replace=False))
    rope = {"rope_type": "default", "mrope_section": [int(first), int(second - first), int(pairs - second)]}
    config |= {"hidden_size": heads_count * size, "attention_bias": True, "tie_word_embeddings": False}
    for key in ("rope_scaling", "rope_parameters", "partial_rotary_factor"):
        config.pop(key, None)
    if rng.random() < 0.5:
        config["rope_parameters"] = rope | {"rope_theta": config.get("rope_theta", 1e4), "partial_rotary_factor": partial}
    else:
        config |= {"rope_scaling": rope, "partial_rotary_factor": partial}


def vision_config(rng, config):
    count, size, patch = int(rng.integers(1, 4)), int(one_of(rng, 8, 12, 20, 32, 40, 64)), int(one_of(rng, 14, 14, 14, 8, 16, 7))
    return {"model_type": "glm4v_vision", "hidden_size": count * size, "depth": int(rng.integers(1, 4)), "num_heads": count,
            "attention_bias": bool(rng.random() < 0.3), "intermediate_size": int(rng.integers(17, 250)), "hidden_act": "silu", "in_channels": 3,
            "image_size": patch * int(one_of(rng, 24, 8, 5, 16)), "patch_size": patch, "temporal_patch_size": int(one_of(rng, 2, 2, 2, 1)),
            "spatial_merge_size": int(one_of(rng, 2, 2, 2, 1, 3)), "out_hidden_size": config["hidden_size"],
            "rms_norm_eps": one_of(rng, 1e-5, 1e-6, 1e-3)}


def vision_shapes(vision):
    width, out, inner, patch, merge = (vision[key] for key in ("hidden_size", "out_hidden_size", "intermediate_size", "patch_size",
                                                               "spatial_merge_size"))
    top = "model.visual."
    shapes = {top + "patch_embed.proj.weight": (width, 3, vision["temporal_patch_size"], patch, patch), top + "patch_embed.proj.bias": (width,),
              top + "post_conv_layernorm.weight": (width,), top + "post_layernorm.weight": (width,),
              top + "embeddings.position_embedding.weight": ((vision["image_size"] // patch) ** 2, width)}
    for i in range(vision["depth"]):
        block = f"{top}blocks.{i}."
        shapes |= {block + "norm1.weight": (width,), block + "norm2.weight": (width,)}
        shapes |= linear(block + "attn.qkv", 3 * width, width, vision["attention_bias"]) | linear(block + "attn.proj", width, width, False)
        shapes |= linear(block + "mlp.gate_proj", out, width, False) | linear(block + "mlp.up_proj", out, width, False)
        shapes |= linear(block + "mlp.down_proj", width, out, False)
    shapes |= {top + "downsample.weight": (out, width, merge, merge), top + "downsample.bias": (out,)}
    shapes |= linear(top + "merger.proj", out, out, False) | norm(top + "merger.post_projection_norm", out)
    shapes |= linear(top + "merger.gate_proj", inner, out, False) | linear(top + "merger.up_proj", inner, out, False)
    return shapes | linear(top + "merger.down_proj", out, inner, False)


def resized(width, height, factor, frames, least, most, enlarges=True):
    """(width, height): multiples of `factor`, frames · width · height within the bounds where that can be."""
    if enlarges and min(width, height) < factor:
        scale = max(factor / width, factor / height)
        width, height = int(width * scale), int(height * scale)
    assert max(width, height) <= RATIO_MAX * min(width, height)
    sides = [round(side / factor) * factor for side in (width, height)]
    pixels = frames * sides[0] * sides[1]
    if pixels > most:
        by = math.sqrt(frames * width * height / most)
        return tuple(max(factor, math.floor(side / by / factor) * factor) for side in (width, height))
    if pixels < least:
        by = math.sqrt(least / (frames * width * height))
        return tuple(math.ceil(side * by / factor) * factor for side in (width, height))
    return tuple(sides)


def in_merge_order(cells, merge):
    """[rows, columns, …] → [rows · columns, …]: block by block of merge × merge."""
    rows, columns, *rest = cells.shape
    blocks = cells.reshape(rows // merge, merge, columns // merge, merge, *rest).swapaxes(1, 2)
    return blocks.reshape(rows * columns, *rest)


def cubic_weights(part):
    """Of the four taps around a place `part` behind the second."""
    def near(x):
        return ((BICUBIC_A + 2) * x - (BICUBIC_A + 3)) * x * x + 1

    def far(x):
        return ((BICUBIC_A * x - 5 * BICUBIC_A) * x + 8 * BICUBIC_A) * x - 4 * BICUBIC_A

    return np.stack([far(part + 1), near(part), near(1 - part), far(2 - part)], -1)


def stretched(table, count):
    """[side, …] → [count, …] along the first axis."""
    side = len(table)
    places = (np.arange(count) + 0.5) / count * side - 0.5
    first = np.floor(places).astype(int)
    taps = np.clip(first[:, None] + np.arange(-1, 3), 0, side - 1)
    return np.einsum("nt,nt...->n...", cubic_weights(places - first), table[taps])


class Eyes(Layers):
    """Tower and merger: one picture at a time."""

    def __init__(self, config, preprocessor, weights, rounding):
        super().__init__(weights, rounding)
        self.vision, self.preprocessor = config["vision_config"], preprocessor

    def silu_mlp(self, x, name):
        gate, up = self.linear(x, name + "gate_proj"), self.linear(x, name + "up_proj")
        return self.linear(self.r(self.r(gate / (1 + np.exp(-gate))) * up), name + "down_proj")

    def patches(self, pixels):
        mean, std = (np.array(self.preprocessor[key], F32) for key in ("image_mean", "image_std"))
        values = ((pixels.astype(F32) / F32(255) - mean) / std).astype(np.float64)
        side, merge, frames = self.vision["patch_size"], self.vision["spatial_merge_size"], self.vision["temporal_patch_size"]
        rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
        cells = values.reshape(rows, side, columns, side, 3).transpose(0, 2, 4, 1, 3)[:, :, :, None].repeat(frames, 3)
        return self.r(in_merge_order(cells, merge).reshape(rows * columns, -1)), (rows, columns)

    def turns(self, rows, columns):
        """Cosines and sines [patches, head / 2] of rows, then columns."""
        size = self.vision["hidden_size"] // self.vision["num_heads"]
        rates = (1 / F32(10000) ** (np.arange(0, size // 2, 2, dtype=F32) / F32(size // 2))).astype(F32)
        row, column = np.meshgrid(np.arange(rows, dtype=F32), np.arange(columns, dtype=F32), indexing="ij")
        angles = np.concatenate([row[..., None] * rates, column[..., None] * rates], -1)
        angles = in_merge_order(angles, self.vision["spatial_merge_size"])
        return np.cos(angles).astype(np.float64), np.sin(angles).astype(np.float64)

    def turn(self, x, cos, sin):
        left, right = np.split(x, 2, -1)
        return self.r(np.concatenate([left * cos - right * sin, right * cos + left * sin], -1))

    def tower(self, pixels):
        """After the last norm, [patches in merge order, width]."""
        x, (rows, columns) = self.patches(pixels)
        top, eps, count = "model.visual.", self.vision["rms_norm_eps"], self.vision["num_heads"]
        kernel = self.w[top + "patch_embed.proj.weight"]
        x = self.r(x @ kernel.reshape(len(kernel), -1).T + self.w[top + "patch_embed.proj.bias"])
        x = self.rms_norm(x, top + "post_conv_layernorm", eps)
        side = self.vision["image_size"] // self.vision["patch_size"]
        table = self.w[top + "embeddings.position_embedding.weight"].reshape(side, side, -1)
        places = stretched(stretched(table, rows).swapaxes(0, 1), columns).swapaxes(0, 1)
        x = self.r(x + self.r(in_merge_order(places, self.vision["spatial_merge_size"])))
        cos, sin = self.turns(rows, columns)
        for i in range(self.vision["depth"]):
            block = f"{top}blocks.{i}."
            q, k, v = np.split(self.linear(self.rms_norm(x, block + "norm1", eps), block + "attn.qkv"), 3, -1)
            q, k, v = heads(q, count), heads(k, count), heads(v, count)
            x = self.r(x + self.linear(self.attend(self.turn(q, cos, sin), self.turn(k, cos, sin), v), block + "attn.proj"))
            x = self.r(x + self.silu_mlp(self.rms_norm(x, block + "norm2", eps), block + "mlp."))
        return self.rms_norm(x, top + "post_layernorm", eps), (rows, columns)

    def embed(self, x, rows, columns):
        top, merge = "model.visual.", self.vision["spatial_merge_size"]
        blocks = x.reshape(-1, merge * merge, x.shape[-1]).swapaxes(1, 2)
        kernel = self.w[top + "downsample.weight"]
        x = self.r(blocks.reshape(len(blocks), -1) @ kernel.reshape(len(kernel), -1).T + self.w[top + "downsample.bias"])
        y = self.layer_norm(self.linear(x, top + "merger.proj"), top + "merger.post_projection_norm", MERGER_EPS)
        y = self.r(0.5 * y * (1 + erf(y / math.sqrt(2))))
        return self.silu_mlp(y, top + "merger.")


class Text(Decoder):
    """Sandwich norms, gate and up in one matrix, part of a head turned in neighbouring pairs, each by one of three axes."""
    prefix, head = "model.language_model.", "lm_head.weight"

    def rotate(self, x, places):
        rope = self.config.get("rope_parameters") or self.config["rope_scaling"]
        partial = rope.get("partial_rotary_factor") or self.config["partial_rotary_factor"]
        turned = int(self.size * partial)
        rates, _ = rates_and_factor(self.config, turned)
        axis = np.repeat(np.arange(3), rope["mrope_section"])
        angles = places.astype(F32)[:, axis] * rates.astype(F32)
        cos, sin = self.r(np.cos(angles).astype(np.float64)), self.r(np.sin(angles).astype(np.float64))
        even, odd = x[..., 0:turned:2], x[..., 1:turned:2]
        y = x.copy()
        y[..., 0:turned:2] = self.r(self.r(even * cos) + self.r(-odd * sin))
        y[..., 1:turned:2] = self.r(self.r(odd * cos) + self.r(even * sin))
        return y

    def after_attention(self, y, layer):
        return self.rms_norm(y, layer + "post_self_attn_layernorm", self.eps)

    def mlp(self, y, layer):
        gate, up = np.split(self.linear(y, layer + "mlp.gate_up_proj"), 2, -1)
        down = self.linear(self.r(self.r(gate / (1 + np.exp(-gate))) * up), layer + "mlp.down_proj")
        return self.rms_norm(down, layer + "post_mlp_layernorm", self.eps)


class GridSight:
    """How a model is asked about pictures that are resized to one grid each; the same methods as MiniCpmV."""
    embeddings_name = "merger"
    parts_joined_by = ""
    large = False

    def __init__(self, rng, config, vision):
        self.config = config
        self.merge, self.factor = vision["spatial_merge_size"], vision["patch_size"] * vision["spatial_merge_size"]
        self.frames = vision["temporal_patch_size"]
        self.least = self.frames * self.factor**2 * int(rng.integers(1, 5))
        self.most = self.least + self.frames * self.factor**2 * int(rng.integers(4, 40))
        self.area = 2 * self.most // self.frames
        self.preprocessor = {"size": {"shortest_edge": self.least, "longest_edge": self.most}, "patch_size": vision["patch_size"],
                             "temporal_patch_size": self.frames, "merge_size": self.merge,
                             "image_mean": [round(float(x), 4) for x in rng.uniform(0.3, 0.6, 3)],
                             "image_std": [round(float(x), 4) for x in rng.uniform(0.2, 0.6, 3)]}

    def slice_limit(self, rng):
        return None

    def text(self, words, index, rows):
        return words.picture(None, None, rows)

    def describe(self, pieces, grids):
        return {"pixels_sha256": [hashlib.sha256(np.ascontiguousarray(piece).tobytes()).hexdigest() for piece in pieces],
                "grid_thw": [[1, *grid] for grid in grids]}

    def vision_rows(self, counts):
        first = np.cumsum([0, *counts])
        rows = [[i, row] for i, count in enumerate(counts) for row in sorted({0, 1 % count, count // 2, count - 1})]
        return rows, [int(first[i]) + row for i, row in rows]

    def stack(self, embeddings):
        return np.concatenate(embeddings)


class Glm4v(GridSight):
    architecture = "Glm4vForConditionalGeneration"
    words, decoder = "glm", Text

    def __init__(self, rng, config):
        text_config(rng, config)
        vision = config["vision_config"] = vision_config(rng, config)
        super().__init__(rng, config, vision)

    def shapes(self):
        return vision_shapes(self.config["vision_config"])

    def eyes(self, weights, rounding):
        return Eyes(self.config, self.preprocessor, weights, rounding)

    def cut(self, picture, limit):
        size = resized(*picture.size, self.factor, self.frames, self.least, self.most)
        return (size[0] // self.factor) * (size[1] // self.factor), [np.asarray(picture.resize(size, Image.BICUBIC))]

    def places(self, tokens, bounds, grids):
        """[tokens, 3]: sequence, row and column of each token of a prompt."""
        places, number, at = [], 0, 0
        for (begin, end), (rows, columns) in zip(bounds, grids):
            places += [(number + i,) * 3 for i in range(begin - at)]
            number += begin - at
            rows, columns = rows // self.merge, columns // self.merge
            places += [(number, number + i // columns, number + i % columns) for i in range(end - begin)]
            number, at = number + max(rows, columns), end
        return np.array(places + [(number + i,) * 3 for i in range(tokens - at)])

    def nested(self, config, words):
        """config.json of the flat configuration."""
        vision, architectures = config["vision_config"], config["architectures"]
        text = {key: value for key, value in config.items() if key not in ("vision_config", "architectures")}
        return {"architectures": architectures, "model_type": "glm4v", "text_config": text | {"model_type": "glm4v_text"}, "vision_config": vision,
                "tie_word_embeddings": False, "image_token_id": words.id(words.markers["unk"])}
