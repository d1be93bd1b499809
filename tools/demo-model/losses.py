"""The dense labels' heads (training only) and the losses."""
import torch
import torch.nn.functional as F
from torch import nn

import vocabulary as v

EMPTY_WEIGHT = 0.05
CLASSES, COLOURS = len(v.MARKS), len(v.COLOUR_NAMES)


class DenseHeads(nn.Module):
    """What stands in the left and right half of a patch, in which colour; on which ground (queries only)."""

    def __init__(self, tower_width, query_width):
        super().__init__()
        self.tower = nn.Linear(tower_width, 2 * (CLASSES + COLOURS))
        self.queries = nn.Linear(query_width, 2 * (CLASSES + COLOURS) + COLOURS)
        weights = torch.ones(CLASSES)
        weights[0] = EMPTY_WEIGHT
        self.register_buffer("weights", weights)

    def slots(self, out, labels):
        """Loss over [pieces, places, 2 slots] and how many of the marks were right."""
        out = out.float().unflatten(-1, (2, CLASSES + COLOURS))
        kinds, colours = labels[:, 0], labels[:, 1]
        kind_out = out[..., :CLASSES]
        loss = F.cross_entropy(kind_out.flatten(0, 2), kinds.flatten(), self.weights)
        loss = loss + 0.3 * F.cross_entropy(out[..., CLASSES:].flatten(0, 2), colours.flatten())
        marked = kinds > 0
        right = (kind_out.argmax(-1) == kinds)[marked].float().mean()
        return loss, right

    def forward(self, tower, queries, tower_labels, query_labels, ground):
        """Both losses of one group of pieces; ground: colour a piece."""
        a, seen = self.slots(self.tower(tower), tower_labels)
        out = self.queries(queries)
        b, kept = self.slots(out[..., :-COLOURS], query_labels)
        grounds = out[..., -COLOURS:].float().flatten(0, 1)
        c = F.cross_entropy(grounds, ground[:, None].expand(-1, queries.shape[1]).flatten())
        return a + b + 0.3 * c, seen, kept
