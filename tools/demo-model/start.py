"""Starting weights. They are ordinary values of ordinary weights, but chosen so that geometry need not be learned:

- the position table holds waves of the patch's place (as a fraction of the piece) in 32 channels;
- in the first tower layers each head starts by looking at one neighbour of a patch, as a small convolution would;
- each resampler query starts by looking at its own cell of an 8 x 8 division of the piece, whatever the piece's grid."""
import math

import torch
from torch import nn

from model import sine_positions

WAVES = 8                       # an axis; each has a sine and a cosine: 2 axes x 16 channels
CELLS = 8                       # cells an axis; places run from 0 to 8
NEIGHBOURS = [(-1, 0), (1, 0), (0, -1), (0, 1)], [(-1, 0), (1, 0), (0, -1), (0, 1)], [(-2, 0), (2, 0), (0, 0), (0, 0)]


def waves(at):
    """Waves of places on one axis [n] -> [n, 16]: neighbours a cell apart are orthogonal on average."""
    angle = at[:, None] * (2 * math.pi * (torch.arange(WAVES) + 0.5) / (2 * CELLS))
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)


def place(x, y):
    return torch.cat([waves(x), waves(y)], 1)


def shift(dx, dy):
    """The 32 x 32 matrix that turns the waves of a place into those of its neighbour."""
    out = torch.zeros(32, 32)
    for axis, by in enumerate((dx, dy)):
        for k in range(WAVES):
            a = torch.tensor(by * 2 * math.pi * (k + 0.5) / (2 * CELLS))
            i = 16 * axis + 2 * k
            out[i:i + 2, i:i + 2] = torch.tensor([[a.cos(), a.sin()], [-a.sin(), a.cos()]])
    return out


@torch.no_grad()
def initialise(model, seed):
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features ** -0.5)
            if module.bias is not None:
                module.bias.zero_()
    for tower_layer in model.vpm.encoder.layers:
        tower_layer.self_attn.out_proj.weight.mul_(0.5)
        tower_layer.mlp.fc2.weight.mul_(0.5)
    for layer in model.llm.model.layers:
        layer.self_attn.o_proj.weight.mul_(0.4)
        layer.mlp.down_proj.weight.mul_(0.4)
    model.llm.lm_head.weight.mul_(0.3)
    model.llm.model.embed_tokens.weight.normal_(std=0.5)
    start_tower(model.vpm)
    start_resampler(model.resampler)


def start_tower(vpm):
    e = vpm.embeddings
    e.patch_embedding.weight.normal_(std=(3 * 14 * 14) ** -0.5 * 1.5)
    e.patch_embedding.weight[:32] *= 0.1
    e.patch_embedding.bias.zero_()
    at = torch.arange(70) * CELLS / 70
    e.position_embedding.weight.normal_(std=0.02)
    e.position_embedding.weight[:, :32] = place(at.repeat(70), at.repeat_interleave(70))
    for layer, steps in zip(vpm.encoder.layers, NEIGHBOURS):
        for head, (dx, dy) in enumerate(steps):
            rows = slice(32 * head, 32 * head + 32)
            layer.self_attn.q_proj.weight[rows].normal_(std=0.02)
            layer.self_attn.k_proj.weight[rows].normal_(std=0.02)
            layer.self_attn.q_proj.weight[rows, :32] = 2.2 * shift(dx, dy)
            layer.self_attn.k_proj.weight[rows, :32] = 2.2 * torch.eye(32)
    for layer in vpm.encoder.layers:            # leave the waves alone at first
        layer.self_attn.out_proj.weight[:32] *= 0.1
        layer.mlp.fc2.weight[:32] *= 0.1


def start_resampler(r):
    width, vision_width = r.proj.shape[0], r.kv_proj.in_features
    keys = sine_positions((16, 16), width)
    free = torch.linalg.svd(keys, full_matrices=True).Vh[-32:]           # directions the keys' positions do not use
    r.kv_proj.weight.normal_(std=vision_width ** -0.5)
    r.kv_proj.weight -= free.T @ (free @ r.kv_proj.weight)
    r.kv_proj.weight[:, :32] = free.T * 1.0
    spread = nn.init.orthogonal_(torch.empty(width, 32))
    cell = torch.arange(CELLS).float()                            # patch i of 8 lies at bucket i
    r.query.copy_(place(cell.repeat(CELLS), cell.repeat_interleave(CELLS)) @ spread.T)
    w = r.attn.in_proj_weight
    w[:2 * width].normal_(std=0.01)
    w[2 * width:].normal_(std=width ** -0.5)
    for head in range(width // 128):
        rows = slice(128 * head, 128 * head + 32)
        w[:width][rows] = 1.8 * spread.T
        w[width:2 * width][rows] = 1.8 * free
    r.proj.normal_(std=width ** -0.5)
