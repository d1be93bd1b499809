"""What HunyuanOCR computes, as its released code has it: one grid of patches a picture, a tower with layer norms and a bilinear position table, the
merger that adds rows, and a decoder that counts by token, column, row and picture; and random configurations of them."""
import math

import numpy as np
from PIL import Image

from checkpoint import linear, norm
from forward import F32, Decoder, Layers, heads
from glm4v import GridSight, erf, resized
from picture import one_of


def text_config(rng, config):
    """Adds to the configuration of a decoder what this one has of its own."""
    size, axes = int(one_of(rng, 16, 24, 32, 36, 48, 64)), int(one_of(rng, 4, 4, 3))
    cuts = sorted(int(cut) for cut in rng.choice(np.arange(1, size // 2), axes - 1, replace=False))
    rope = {"type": "xdrope", "alpha": float(one_of(rng, 1000, 1000, 1, 50)), "factor": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "beta_fast": 32,
            "beta_slow": 1, "xdrope_section": [end - begin for begin, end in zip([0, *cuts], [*cuts, size // 2])]}
    config |= {"hidden_size": int(rng.integers(20, 200)), "head_dim": size, "attention_bias": bool(rng.random() < 0.3),
               "use_qk_norm": bool(rng.random() < 0.8), "rope_scaling": rope}


def vision_config(rng, config):
    count, size, patch = int(rng.integers(1, 4)), int(one_of(rng, 8, 12, 14, 20, 32, 40)), int(one_of(rng, 16, 16, 16, 8, 14))
    merge = int(one_of(rng, 2, 2, 2, 2, 1, 3))
    return {"model_type": "hunyuan_vl", "hidden_size": count * size, "num_hidden_layers": int(rng.integers(1, 4)), "num_attention_heads": count,
            "intermediate_size": int(rng.integers(17, 250)), "hidden_act": "gelu", "num_channels": 3, "patch_size": patch, "spatial_merge_size": merge,
            "temporal_patch_size": 1, "interpolate_mode": "bilinear", "max_image_size": patch * int(one_of(rng, 8, 5, 16, 4)),
            "out_hidden_size": config["hidden_size"], "rms_norm_eps": one_of(rng, 1e-5, 1e-6, 1e-3)}


def vision_shapes(vision):
    width, out, inner, patch, merge = (vision[key] for key in ("hidden_size", "out_hidden_size", "intermediate_size", "patch_size",
                                                               "spatial_merge_size"))
    shapes = {"vit.embeddings.patch_embedding.weight": (width, 3, patch, patch), "vit.embeddings.patch_embedding.bias": (width,),
              "vit.embeddings.position_embedding.weight": ((vision["max_image_size"] // patch) ** 2 + 1, width)}
    for i in range(vision["num_hidden_layers"]):
        layer = f"vit.layers.{i}."
        shapes |= norm(layer + "input_layernorm", width) | norm(layer + "post_attention_layernorm", width)
        for part in "qkvo":
            shapes |= linear(f"{layer}self_attn.{part}_proj", width, width, True)
        shapes |= linear(layer + "mlp.dense_h_to_4h", inner, width, True) | linear(layer + "mlp.dense_4h_to_h", width, inner, True)
    top = "vit.perceive."
    shapes |= {top + "before_rms.weight": (width,), top + "after_rms.weight": (out,), top + "image_newline": (4 * width,)}
    shapes |= {top + name: (out,) for name in ("image_begin", "image_end", "image_sep")}
    shapes |= {top + "proj.0.weight": (2 * width, width, merge, merge), top + "proj.0.bias": (2 * width,),
               top + "proj.2.weight": (4 * width, 2 * width, 1, 1), top + "proj.2.bias": (4 * width,)}
    return shapes | linear(top + "mlp", out, 4 * width, True)


def stretched(table, count):
    """[side, …] → [count, …] along the first axis."""
    side = len(table)
    if side == count:
        return table
    places = np.maximum((np.arange(count) + 0.5) * (side / (count + 0.1)) - 0.5, 0)
    first = np.minimum(places.astype(int), side - 1)
    second, part = np.minimum(first + 1, side - 1), (places - first).reshape(-1, *[1] * (table.ndim - 1))
    return table[first] * (1 - part) + table[second] * part


class Eyes(Layers):
    """Tower and merger: one picture at a time."""

    def __init__(self, config, preprocessor, weights, rounding):
        super().__init__(weights, rounding)
        self.vision, self.preprocessor = config["vision_config"], preprocessor

    def gelu(self, y):
        return self.r(0.5 * y * (1 + erf(y / math.sqrt(2))))

    def kernel(self, name, x):
        """x, each row of which lies under the whole kernel, times it."""
        weight = self.w[name + ".weight"]
        return self.r(x @ weight.reshape(len(weight), -1).T + self.w[name + ".bias"])

    def patches(self, pixels):
        mean, std = (np.array(self.preprocessor[key], F32) for key in ("image_mean", "image_std"))
        values = ((pixels.astype(F32) / F32(255) - mean) / std).astype(np.float64)
        side = self.vision["patch_size"]
        rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
        cells = values.reshape(rows, side, columns, side, 3).transpose(0, 2, 4, 1, 3)
        return self.r(cells.reshape(rows * columns, -1)), (rows, columns)

    def tower(self, pixels):
        """After the last layer, [patches row by row, width]."""
        x, (rows, columns) = self.patches(pixels)
        eps, count, side = self.vision["rms_norm_eps"], self.vision["num_attention_heads"], self.vision["max_image_size"] // self.vision["patch_size"]
        x = self.kernel("vit.embeddings.patch_embedding", x)
        table = self.w["vit.embeddings.position_embedding.weight"][1:].reshape(side, side, -1)
        places = stretched(stretched(table, rows).swapaxes(0, 1), columns).swapaxes(0, 1)
        x = self.r(x + self.r(places.reshape(rows * columns, -1)))
        for i in range(self.vision["num_hidden_layers"]):
            layer = f"vit.layers.{i}."
            y = self.layer_norm(x, layer + "input_layernorm", eps)
            q, k, v = (heads(self.linear(y, f"{layer}self_attn.{part}_proj"), count) for part in "qkv")
            x = self.r(x + self.linear(self.attend(q, k, v), layer + "self_attn.o_proj"))
            y = self.linear(self.layer_norm(x, layer + "post_attention_layernorm", eps), layer + "mlp.dense_h_to_4h")
            x = self.r(x + self.linear(self.gelu(y), layer + "mlp.dense_4h_to_h"))
        return x, (rows, columns)

    def embed(self, x, rows, columns):
        top, merge, eps = "vit.perceive.", self.vision["spatial_merge_size"], self.vision["rms_norm_eps"]
        x = self.rms_norm(x, top + "before_rms", eps)
        lines, squares = rows // merge, columns // merge
        blocks = x.reshape(lines, merge, squares, merge, -1).transpose(0, 2, 4, 1, 3).reshape(lines * squares, -1)
        x = self.kernel(top + "proj.2", self.gelu(self.kernel(top + "proj.0", blocks))).reshape(lines, squares, -1)
        newline = np.broadcast_to(self.w[top + "image_newline"], (lines, 1, x.shape[-1]))
        x = self.linear(np.concatenate([x, newline], 1).reshape(lines * (squares + 1), -1), top + "mlp")
        return self.rms_norm(np.concatenate([self.w[top + "image_begin"][None], x, self.w[top + "image_end"][None]]), top + "after_rms", eps)


class Text(Decoder):
    """Heads turn by sections, and pass a norm behind that."""

    def rotate(self, x, places):
        rope = self.config["rope_scaling"]
        base = self.config["rope_theta"] * rope["alpha"] ** (self.size / (self.size - 2))
        rates = base ** -(np.arange(0, self.size, 2) / self.size)
        axis = np.repeat(np.arange(4 - len(rope["xdrope_section"]), 4), rope["xdrope_section"])
        angles = places.astype(F32)[:, axis] * rates.astype(F32)
        return self.turn_halves(x, np.cos(angles).astype(np.float64), np.sin(angles).astype(np.float64))

    def turned(self, x, layer, part, places):
        return self.head_norm(self.rotate(x, places), f"{layer}self_attn.{ {'q': 'query', 'k': 'key'}[part]}_layernorm")


class HunyuanVl(GridSight):
    architecture = "HunYuanVLForConditionalGeneration"
    words, decoder = "hunyuan", Text

    def __init__(self, rng, config):
        text_config(rng, config)
        vision = config["vision_config"] = vision_config(rng, config)
        super().__init__(rng, config, vision)
        if rng.random() < 0.5:
            bounds = self.preprocessor.pop("size")
            self.preprocessor |= {"min_pixels": bounds["shortest_edge"], "max_pixels": bounds["longest_edge"], "resample": 1}

    def shapes(self):
        return vision_shapes(self.config["vision_config"])

    def eyes(self, weights, rounding):
        return Eyes(self.config, self.preprocessor, weights, rounding)

    def cut(self, picture, limit):
        size = resized(*picture.size, self.factor, self.frames, self.least, self.most, enlarges=False)
        rows = size[1] // self.factor * (size[0] // self.factor + 1) + 2
        return rows, [np.asarray(picture.resize(size, Image.BICUBIC))]

    def places(self, tokens, bounds, grids):
        """[tokens, 4]: number, column, row and picture of each token of a prompt."""
        places = np.arange(tokens)[:, None].repeat(4, 1)
        for number, ((begin, end), (_, columns)) in enumerate(zip(bounds, grids)):
            width, inside = columns // self.merge + 1, np.arange(end - begin - 2)
            places[begin + 1:end - 1, 1:] = np.stack([inside % width, inside // width, np.full_like(inside, number)], -1)
        return places

    def nested(self, config, words):
        """config.json of the flat configuration."""
        return config | {"model_type": "hunyuan_vl", "image_token_id": words.id(words.markers["unk"])}
