"""Runs a checkpoint in the published layout in PyTorch: the offline counterpart of the C++ services."""
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer

import geometry
import model as architecture
import tokenizer as tok


class Reader:
    """A loaded checkpoint that answers questions about pictures, greedily."""

    def __init__(self, folder, dtype=torch.float32):
        folder = Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.model = architecture.MiniCPMV(self.config)
        self.model.image_token = self.tokenizer.token_to_id("<unk>")
        self.model.load_state_dict({k: t.float() for k, t in load_file(folder / "model.safetensors").items()})
        self.model.to(dtype).eval()
        self.side = self.config["slice_config"]["scale_resolution"]
        self.stops = {self.tokenizer.token_to_id(t) for t in ("<|im_end|>", "<|endoftext|>")}

    @torch.no_grad()
    def see(self, image):
        """Image embeddings [tokens, width] of a picture."""
        out = []
        for piece in geometry.cut(image, self.side, self.config["slice_config"]["max_slice_nums"]):
            grid = piece.shape[0] // geometry.PATCH, piece.shape[1] // geometry.PATCH
            pixels = torch.from_numpy(np.ascontiguousarray(geometry.patches(piece)))[None]
            out.append(self.model.see(pixels, grid)[1][0])
        return torch.cat(out)

    @torch.no_grad()
    def logits(self, ids, images):
        """Logits at every position of a sequence of ids, with the embeddings of its pictures in place."""
        x = self.model.embed(torch.tensor(ids)[None], images)
        length = x.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        return self.model.llm.lm_head(self.model.decode(x, torch.arange(length), mask))[0].float()

    def answer(self, image, question, limit=32):
        """The greedy answer, and the least distance between the best and the second-best logit on its way."""
        cells = geometry.plan(*image.size, self.side)[1]
        ids = self.tokenizer.encode(tok.prompt_head(cells) + tok.prompt_tail(question)).ids
        images, start, margin = self.see(image), len(ids), float("inf")
        while len(ids) - start < limit:
            best = self.logits(ids, images)[-1].topk(2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            if best.indices[0].item() in self.stops:
                break
            ids.append(best.indices[0].item())
        return self.tokenizer.decode(ids[start:]), margin


def open_picture(path):
    return Image.open(path).convert("RGB")
