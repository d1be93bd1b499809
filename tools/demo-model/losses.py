"""The dense labels' heads (training only) and the losses."""
import torch
import torch.nn.functional as F
from torch import nn

from labels import NUMBERS
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


class ReadingHeads(nn.Module):
    """How letters and shapes follow one another, asked of the decoder's first two layers at the image tokens; and where
    its third layer should look (with its first head) while it spells or counts. Without these the decoder takes long to
    find the next letter."""

    def __init__(self, width):
        super().__init__()
        self.order = nn.Linear(width, 2 * NUMBERS)
        self.before = nn.Linear(width, 2 * CLASSES)
        self.among = nn.Linear(width, 2 * NUMBERS)
        self.earlier = nn.Linear(width, 2 * CLASSES)

    def forward(self, hidden, asked, known, mask, batch, places):
        """hidden: [pictures, tokens, width] after the first and the second layer; asked and known: queries and keys of the
        third layer's first head; places: where the image tokens are. Returns the loss and the share of right looks."""
        at_images = [F.layer_norm(h[:, places], h.shape[-1:]) for h in hidden]
        loss = 0.0
        for name, head in self.named_children():
            labels = torch.from_numpy(batch[name])
            there = (labels >= 0).any(-1)
            if there.any():
                out = head(at_images[0 if name == "before" else 1][there]).unflatten(-1, (2, -1))
                loss = loss + F.cross_entropy(out.flatten(0, 1), labels[there].flatten())
        pointers = torch.from_numpy(batch["pointers"])
        picture, position = (pointers >= 0).nonzero(as_tuple=True)
        position = position + len(batch["head"])
        scores = torch.einsum("nd,ntd->nt", asked[picture, position], known[picture]) / asked.shape[-1] ** 0.5
        scores = scores.masked_fill(~mask[position], float("-inf"))
        wanted = places[pointers[pointers >= 0]]
        return loss + F.cross_entropy(scores, wanted), (scores.argmax(-1) == wanted).float().mean()
