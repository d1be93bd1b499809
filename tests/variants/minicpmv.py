"""What MiniCPM-V 2.6 has beside its decoder: slices of a picture, the tower, the resampler; and random configurations of them."""
import math

import numpy as np
from PIL import Image

from checkpoint import linear, norm
from forward import F32, Layers, exact, heads
from picture import digest, one_of

RESAMPLER_HEAD = 128
RESAMPLER_EPS = 1e-6


def vision_config(rng, config):
    """Adds what MiniCPM-V has beside its language model; returns preprocessor_config.json."""
    heads, size = int(rng.integers(1, 4)), int(one_of(rng, 18, 24, 32, 40, 56, 64, 72, 80, 9))
    patch = int(one_of(rng, 14, 14, 14, 14, 8, 16, 7))
    image = int(one_of(rng, 70 * patch, 70 * patch, 32 * patch, 16 * patch + 5, 50 * patch, 27 * patch))
    drop = one_of(rng, True, False, None)
    vision = {"model_type": "siglip", "hidden_size": heads * size, "intermediate_size": int(rng.integers(20, 300)),
              "num_hidden_layers": int(rng.integers(1, 4)) + (drop is not False), "num_attention_heads": heads,
              "patch_size": patch, "image_size": image}
    if rng.random() < 0.2:
        vision["layer_norm_eps"] = 1e-5
    queries, limit = int(one_of(rng, 64, 64, 16, 25, 1, 49, 100)), int(one_of(rng, *range(1, 10), 9, 9, 16, 20))
    resolution = int(one_of(rng, 448, 112, 56, 140, 224, 100, 2 * patch))
    ids = bool(rng.random() < 0.7)
    config |= {"model_type": "minicpmv", "version": one_of(rng, 2.6, "2.6"), "query_num": queries, "image_size": 448, "patch_size": patch,
               "slice_mode": True, "use_image_id": ids, "vision_config": vision, "batch_vision_input": True,
               "slice_config": {"max_slice_nums": limit, "patch_size": patch, "model_type": "minicpmv", "scale_resolution": resolution}}
    if drop is not None:
        config["drop_vision_last_layer"] = drop  # absent: the class default, which is true
    if resolution == 448 and rng.random() < 0.5:
        del config["slice_config"]["scale_resolution"]
    preprocessor = {"max_slice_nums": limit, "scale_resolution": resolution, "patch_size": patch, "use_image_id": ids, "image_feature_size": queries,
                    "slice_mode": True, "version": 2.6}
    if rng.random() < 0.6:
        preprocessor |= {"norm_mean": [round(float(x), 4) for x in rng.uniform(0.3, 0.6, 3)],
                         "norm_std": [round(float(x), 4) for x in rng.uniform(0.2, 0.6, 3)]}
    return preprocessor


def vision_layers_in_file(rng, config):
    layers = config["vision_config"]["num_hidden_layers"]
    dropped = config.get("drop_vision_last_layer", True)
    return layers - 1 if dropped and rng.random() < 0.5 else layers


def vision_shapes(config, layers):
    vision, width = config["vision_config"], config["vision_config"]["hidden_size"]
    inner, side, hidden = vision["intermediate_size"], vision["patch_size"], config["hidden_size"]
    shapes = {"vpm.embeddings.patch_embedding.weight": (width, 3, side, side), "vpm.embeddings.patch_embedding.bias": (width,),
              "vpm.embeddings.position_embedding.weight": ((vision["image_size"] // side) ** 2, width)}
    for i in range(layers):
        layer = f"vpm.encoder.layers.{i}."
        shapes |= norm(layer + "layer_norm1", width) | norm(layer + "layer_norm2", width)
        for part in ("q", "k", "v", "out"):
            shapes |= linear(f"{layer}self_attn.{part}_proj", width, width, True)
        shapes |= linear(layer + "mlp.fc1", inner, width, True) | linear(layer + "mlp.fc2", width, inner, True)
    shapes |= norm("vpm.post_layernorm", width) | {"resampler.kv_proj.weight": (hidden, width), "resampler.proj": (hidden, hidden)}
    shapes |= {"resampler.query": (config["query_num"], hidden), "resampler.attn.in_proj_weight": (3 * hidden, hidden),
               "resampler.attn.in_proj_bias": (3 * hidden,)}
    for name in ("ln_q", "ln_kv", "ln_post"):
        shapes |= norm("resampler." + name, hidden)
    return shapes | linear("resampler.attn.out_proj", hidden, hidden, True)


def snap(length, unit):
    return max(round(length / unit) * unit, unit)


class Slicing:
    def __init__(self, side, patch, limit):
        self.side, self.patch, self.limit = side, patch, limit

    def fit(self, width, height, enlarge):
        if enlarge or width * height > self.side**2:
            ratio = width / height
            height = int(self.side / math.sqrt(ratio))
            width = int(height * ratio)
        return snap(width, self.patch), snap(height, self.patch)

    def grid(self, width, height):
        """(columns, rows), or None: the picture stays whole."""
        wanted = min(math.ceil(width * height / self.side**2), self.limit)
        if wanted <= 1:
            return None
        pairs = [(columns, total // columns) for total in (wanted - 1, wanted, wanted + 1) if 1 < total <= self.limit
                 for columns in range(1, total + 1) if total % columns == 0]
        return min(pairs, key=lambda pair: abs(math.log(width / height) - math.log(pair[0] / pair[1])))

    def cut(self, picture):
        """The grid, and the pieces as 8-bit [height, width, 3]: overview, then slices row by row."""
        cells = self.grid(*picture.size)
        pieces = [np.asarray(picture.resize(self.fit(*picture.size, cells is None), Image.BICUBIC))]
        if cells is not None:
            columns, rows = cells
            width, height = self.fit(snap(picture.width, columns) / columns, snap(picture.height, rows) / rows, True)
            sheet = np.asarray(picture.resize((width * columns, height * rows), Image.BICUBIC))
            pieces += [band for strip in np.split(sheet, rows, 0) for band in np.split(strip, columns, 1)]
        return cells, pieces


def strip(pixels, side):
    """Bytes of a piece with its patches side by side, (3, P, P · N)."""
    rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
    cells = pixels.reshape(rows, side, columns, side, 3).transpose(4, 1, 0, 2, 3)
    return np.ascontiguousarray(cells).tobytes()


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

    def embed(self, x, rows, columns):
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


class MiniCpmV:
    """How a model of this family is asked about pictures; the same methods as Glm4v."""
    architecture = "MiniCPMV"
    embeddings_name = "resampler"
    parts_joined_by = "\n"

    def __init__(self, rng, config):
        self.config, self.preprocessor = config, vision_config(rng, config)
        self.layers = vision_layers_in_file(rng, config)
        self.area = self.preprocessor["scale_resolution"] ** 2 * 12
        self.large = self.preprocessor["scale_resolution"] > 300

    def shapes(self):
        return vision_shapes(self.config, self.layers)

    def eyes(self, weights, rounding):
        return Eyes(self.config, self.preprocessor, weights, rounding)

    def slice_limit(self, rng):
        """What a case may ask for; None: nothing."""
        return int(rng.integers(1, 10)) if rng.random() < 0.4 else None

    def cut(self, picture, limit):
        """The text's view of the picture, and its pieces as 8-bit [height, width, 3]."""
        return Slicing(self.preprocessor["scale_resolution"], self.preprocessor["patch_size"], limit or self.preprocessor["max_slice_nums"]).cut(picture)

    def text(self, words, index, cells):
        return words.picture(index if self.preprocessor["use_image_id"] else None, cells, self.config["query_num"])

    def describe(self, pieces, grids):
        """What a case says of pieces that the words do not."""
        strips = [strip(piece, self.preprocessor["patch_size"]) for piece in pieces]
        return {"piece_sha256": [digest([s]) for s in strips], "pixels_sha256": digest(strips), "tgt_sizes": [list(grid) for grid in grids]}

    def vision_rows(self, counts):
        """(piece, row) of the tower's output that a case holds, and how it names them."""
        rows = [[i, row] for i, count in enumerate(counts) for row in sorted({0, 1 % count, count // 2, count - 1})]
        return rows, rows

    def stack(self, embeddings):
        return np.stack(embeddings)
