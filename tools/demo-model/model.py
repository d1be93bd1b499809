"""MiniCPM-V 2.6 at toy width in PyTorch, with the published tensor names, so that its state is the checkpoint."""
import math

import torch
import torch.nn.functional as F
from torch import nn

import geometry

CONFIG = {
    "architectures": ["MiniCPMV"], "model_type": "minicpmv", "version": 2.6, "torch_dtype": "bfloat16",
    "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "max_position_embeddings": 8192, "vocab_size": 512, "tie_word_embeddings": False, "attention_dropout": 0.0,
    "use_sliding_window": False, "bos_token_id": 489, "eos_token_id": 491, "query_num": 64, "image_size": 448,
    "patch_size": 14, "slice_mode": True, "batch_vision_input": True, "drop_vision_last_layer": False,
    "use_image_id": True,
    "slice_config": {"max_slice_nums": 9, "patch_size": 14, "model_type": "minicpmv", "scale_resolution": 112},
    "vision_config": {"model_type": "siglip", "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
                      "num_attention_heads": 4, "patch_size": 14, "image_size": 980},
}
IMAGE_TOKEN = 488


class Bag(nn.Module):
    """A module that only holds others or parameters under given names."""

    def __init__(self, **members):
        super().__init__()
        for name, member in members.items():
            setattr(self, name, member)


def split_heads(x, heads):
    return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def merge_heads(x):
    return x.transpose(1, 2).flatten(2)


class VisionLayer(nn.Module):
    def __init__(self, width, inner, heads):
        super().__init__()
        self.heads = heads
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.self_attn = Bag(**{n + "_proj": nn.Linear(width, width) for n in ("q", "k", "v", "out")})
        self.mlp = Bag(fc1=nn.Linear(width, inner), fc2=nn.Linear(inner, width))

    def forward(self, x):
        y, a = self.layer_norm1(x), self.self_attn
        q, k, v = (split_heads(p(y), self.heads) for p in (a.q_proj, a.k_proj, a.v_proj))
        x = x + a.out_proj(merge_heads(F.scaled_dot_product_attention(q, k, v)))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.layer_norm2(x)), approximate="tanh"))


class Vision(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c["hidden_size"]
        self.embeddings = Bag(patch_embedding=nn.Conv2d(3, width, 14, 14), position_embedding=nn.Embedding(4900, width))
        layer = lambda: VisionLayer(width, c["intermediate_size"], c["num_attention_heads"])
        self.encoder = Bag(layers=nn.ModuleList(layer() for _ in range(c["num_hidden_layers"])))
        self.post_layernorm = nn.LayerNorm(width, 1e-6)
        self.rows = {}

    def forward(self, pixels, grid):
        """pixels: bytes [pieces, patches, 588] of pieces with the same grid (rows, columns)."""
        if grid not in self.rows:
            self.rows[grid] = torch.from_numpy(geometry.position_rows(*grid))
        e = self.embeddings
        x = pixels.float().mul_(2 / 255).sub_(1).to(e.patch_embedding.weight.dtype)
        x = F.linear(x, e.patch_embedding.weight.flatten(1), e.patch_embedding.bias)
        x = x + e.position_embedding.weight[self.rows[grid]]
        for layer in self.encoder.layers:
            x = layer(x)
        return self.post_layernorm(x)


def sine_positions(grid, width):
    """Positions of the resampler's keys: the column in the first half, the row in the second."""
    rates = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    table = lambda n: torch.cat([f(torch.arange(n)[:, None] * rates) for f in (torch.sin, torch.cos)], 1)
    rows, columns = grid
    return torch.cat([table(columns).repeat(rows, 1), table(rows).repeat_interleave(columns, 0)], 1).float()


class Resampler(nn.Module):
    def __init__(self, width, vision_width, queries):
        super().__init__()
        self.query = nn.Parameter(torch.zeros(queries, width))
        self.kv_proj = nn.Linear(vision_width, width, bias=False)
        self.attn = Bag(in_proj_weight=nn.Parameter(torch.zeros(3 * width, width)),
                        in_proj_bias=nn.Parameter(torch.zeros(3 * width)), out_proj=nn.Linear(width, width))
        self.ln_q, self.ln_kv, self.ln_post = (nn.LayerNorm(width, 1e-6) for _ in range(3))
        self.proj = nn.Parameter(torch.zeros(width, width))
        self.positions = {}

    def forward(self, x, grid):
        width = self.proj.shape[0]
        if grid not in self.positions:
            self.positions[grid] = sine_positions(grid, width)
        y = self.ln_kv(self.kv_proj(x))
        (wq, wk, wv), (bq, bk, bv) = self.attn.in_proj_weight.chunk(3), self.attn.in_proj_bias.chunk(3)
        q = F.linear(self.ln_q(self.query), wq, bq).expand(len(x), -1, -1)
        k, v = F.linear(y + self.positions[grid].to(y.dtype), wk, bk), F.linear(y, wv, bv)
        heads = width // 128
        z = F.scaled_dot_product_attention(*(split_heads(t, heads) for t in (q, k, v)))
        return self.ln_post(self.attn.out_proj(merge_heads(z))) @ self.proj


class DecoderLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.watch = None       # training sets a list here, to be given the queries and keys of the first head
        width, self.heads, self.kv_heads = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
        kv = width // self.heads * self.kv_heads
        self.input_layernorm = nn.RMSNorm(width, c["rms_norm_eps"])
        self.post_attention_layernorm = nn.RMSNorm(width, c["rms_norm_eps"])
        self.self_attn = Bag(q_proj=nn.Linear(width, width), k_proj=nn.Linear(width, kv), v_proj=nn.Linear(width, kv),
                             o_proj=nn.Linear(width, width, bias=False))
        inner = c["intermediate_size"]
        self.mlp = Bag(gate_proj=nn.Linear(width, inner, bias=False), up_proj=nn.Linear(width, inner, bias=False),
                       down_proj=nn.Linear(inner, width, bias=False))

    def forward(self, x, cos, sin, mask, first=0):
        """The layer's output at positions from `first` on."""
        y, a = self.input_layernorm(x), self.self_attn
        q = rotate(split_heads(a.q_proj(y[:, first:]), self.heads), cos[first:], sin[first:])
        k, v = rotate(split_heads(a.k_proj(y), self.kv_heads), cos, sin), split_heads(a.v_proj(y), self.kv_heads)
        if self.watch is not None:
            self.watch.append((q[:, 0], k[:, 0]))
        times = self.heads // self.kv_heads
        k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
        x = x[:, first:] + a.o_proj(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask[first:])))
        y, m = self.post_attention_layernorm(x), self.mlp
        return x + m.down_proj(F.silu(m.gate_proj(y)) * m.up_proj(y))


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class MiniCPMV(nn.Module):
    def __init__(self, config=CONFIG):
        super().__init__()
        c, self.config, self.image_token = config, config, IMAGE_TOKEN
        width = c["hidden_size"]
        self.vpm = Vision(c["vision_config"])
        self.resampler = Resampler(width, c["vision_config"]["hidden_size"], c["query_num"])
        self.llm = Bag(
            model=Bag(embed_tokens=nn.Embedding(c["vocab_size"], width),
                      layers=nn.ModuleList(DecoderLayer(c) for _ in range(c["num_hidden_layers"])),
                      norm=nn.RMSNorm(width, c["rms_norm_eps"])),
            lm_head=nn.Linear(width, c["vocab_size"], bias=False))

    def see(self, pixels, grid):
        """Tower output and image embeddings of pieces with one grid."""
        x = self.vpm(pixels, grid)
        return x, self.resampler(x, grid)

    def angles(self, positions):
        size = self.config["hidden_size"] // self.config["num_attention_heads"]
        rates = self.config["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angle = (positions[:, None] * rates).float()
        return torch.cat([angle, angle], 1).cos(), torch.cat([angle, angle], 1).sin()

    def embed(self, ids, images=None):
        """Embeddings of ids [batch, length] with images [batch, tokens, width] over the placeholders."""
        x = self.llm.model.embed_tokens(ids)
        if images is not None:
            x = x.masked_scatter((ids == self.image_token)[..., None], images)
        return x

    def decode(self, x, positions, mask, first=0):
        """Final hidden states of embedded sequences from position `first` on; mask is true where a row may look."""
        cos, sin = (t.to(x.dtype) for t in self.angles(positions))
        for layer in self.llm.model.layers[:-1]:
            x = layer(x, cos, sin, mask)
            if layer.watch is not None:
                layer.watch.append(x)
        x = self.llm.model.layers[-1](x, cos, sin, mask, first)
        return self.llm.model.norm(x)


def packed_mask(head, tails, length):
    """Rows of a shared head followed by `tails` independent continuations of `length`: positions and who sees whom."""
    total = head + tails * length
    at = torch.arange(total)
    branch = torch.where(at < head, -1, (at - head) // length)
    mask = (at[:, None] >= at) & ((branch[:, None] == branch) | (branch == -1))
    positions = torch.where(at < head, at, head + (at - head) % length)
    return positions, mask
