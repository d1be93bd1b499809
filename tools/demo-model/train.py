"""Trains the demo model: python train.py --out DIR [--until STEP] [--threads N]. Resumes from DIR/state.pt."""
import argparse
import json
import os
import signal
import time
from collections import defaultdict
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

import batches
import labels
import model as architecture
import start
from losses import DenseHeads, ReadingHeads
from schedule import dense_only, schedule

SEED = 20261122
HEADS = Path(__file__).parent / "heads.safetensors"     # the dense heads of the shipped checkpoint
RATE, WARM_UP, FLOOR = 1.5e-3, 200, 0.02
DENSE = 0.4             # weight of the dense losses beside the answers
READING = 0.3           # weight of the labels of reading order
AVERAGE = 0.998         # of the shipped weights


class Trainer:
    def __init__(self, out, total, shipped=None):
        self.out, self.total, self.step, self.seconds, self.first = out, total, 0, 0.0, 0
        self.model = architecture.MiniCPMV()
        start.initialise(self.model, SEED)
        config = self.model.config
        self.dense = DenseHeads(config["vision_config"]["hidden_size"], config["hidden_size"])
        self.reading = ReadingHeads(config["hidden_size"])
        decayed, plain = [], []
        for module in (self.model, self.dense):
            for name, p in module.named_parameters():
                (decayed if p.dim() > 1 and "embed" not in name and "query" not in name else plain).append(p)
        self.optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0},
                                            {"params": list(self.reading.parameters()), "weight_decay": 0.02}],
                                           lr=RATE, betas=(0.9, 0.98), fused=True)
        self.average = {k: t.clone() for k, t in self.model.state_dict().items()}
        if (out / "state.pt").exists():
            self.load()
        elif shipped:
            self.begin_from(shipped)

    def begin_from(self, folder):
        """Goes on from a shipped checkpoint and the heads beside this file; the optimiser starts anew."""
        with safe_open(folder / "model.safetensors", "pt") as f:
            self.first = self.step = int(f.metadata()["step"])
        self.model.load_state_dict({k: t.float() for k, t in load_file(folder / "model.safetensors").items()})
        self.average = {k: t.clone() for k, t in self.model.state_dict().items()}
        heads = load_file(HEADS)
        for name, module in (("dense", self.dense), ("reading", self.reading)):
            module.load_state_dict({k.removeprefix(name + "."): t for k, t in heads.items() if k.startswith(name + ".")})

    def load(self):
        state = torch.load(self.out / "state.pt", weights_only=False)
        self.model.load_state_dict(state["model"])
        self.dense.load_state_dict(state["dense"])
        self.reading.load_state_dict(state["reading"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step, self.seconds = state["average"], state["step"], state["seconds"]
        self.first = state.get("first", 0)

    def save(self):
        state = {"model": self.model.state_dict(), "dense": self.dense.state_dict(),
                 "reading": self.reading.state_dict(), "average": self.average,
                 "optimizer": self.optimizer.state_dict(), "step": self.step, "seconds": self.seconds,
                 "first": self.first}
        torch.save(state, self.out / "state.new")
        (self.out / "state.new").rename(self.out / "state.pt")

    def rate(self):
        """Learning rate: warm-up, level, then a cosine down over the last 45 % of the steps."""
        warm = min(1.0, (self.step - self.first + 1) / WARM_UP)
        late = max(0.0, (self.step / self.total - 0.55) / 0.45)
        fall = 0.5 * (1 + torch.cos(torch.tensor(min(1.0, late) * torch.pi)).item())
        return RATE * warm * (FLOOR + (1 - FLOOR) * fall)

    def losses(self, batch, seen):
        """Loss of a batch; `seen` collects what the log shows."""
        images, dense, groups = [], 0.0, len(batch["grids"])
        ground = torch.from_numpy(batch["ground"])
        for pixels, grid, tower_labels, query_labels in zip(
                batch["pixels"], batch["grids"], batch["tower"], batch["queries"]):
            x, y = self.model.see(torch.from_numpy(pixels), grid)
            times = len(pixels) // len(ground)
            loss, tower, kept = self.dense(x, y, torch.from_numpy(tower_labels), torch.from_numpy(query_labels),
                                           ground.repeat_interleave(times))
            dense = dense + loss / groups
            images.append(y.unflatten(0, (len(ground), times)))
            if grid == (8, 8) and groups == 1:
                where = "dense only" if dense_only(self.step) else "with answers"
                seen[f"tower, {where}"].append(tower.item())
                seen[f"kept, {where}"].append(kept.item())
        seen["dense"].append(dense.item())
        if dense_only(self.step):
            return dense
        answers = self.answers(batch, torch.cat(images, 1).flatten(1, 2), seen)
        return answers + DENSE * dense

    def answers(self, batch, images, seen):
        """Loss of the answers; notes which were right in every token."""
        watched = self.model.llm.model.layers[:3]
        for layer in watched:
            layer.watch = []
        out, targets = answer_logits(self.model, batch, images)
        hidden, (asked, known) = [layer.watch[1] for layer in watched[:2]], watched[2].watch[0]
        for layer in watched:
            layer.watch = None
        wanted = targets != labels.NO_LABEL
        loss = F.cross_entropy(out, targets[wanted])
        right = torch.ones_like(targets, dtype=torch.bool)
        right[wanted] = out.argmax(-1) == targets[wanted]
        many = "several" if batch["cells"] else "one"
        for kind, good in zip(batch["kinds"].flatten(), right.all(-1).flatten().tolist()):
            seen[f"{kind}, {many}"].append(float(good))
        seen["answers"].append(loss.item())
        head, length = torch.from_numpy(batch["head"]), batch["ids"].shape[-1]
        _, mask = architecture.packed_mask(len(head), batches.QUESTIONS, length)
        places = (head == self.model.image_token).nonzero()[:, 0]
        follow, found = self.reading(hidden, asked, known, mask, batch, places)
        seen["follow"].append(follow.item())
        seen[f"looks, {many}"].append(found.item())
        return loss + READING * follow

    def train(self, save_every, until):
        log, seen = (self.out / "log.jsonl").open("a"), defaultdict(list)
        saved = began = time.monotonic()
        before, asked = self.seconds, []
        signal.signal(signal.SIGTERM, lambda *_: asked.append("stop"))
        for step, batch in batches.stream(self.step, schedule, SEED):
            assert step == self.step
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate()
            self.losses(batch, seen).backward()
            parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            keep = min(AVERAGE, (self.step + 1) / (self.step + 10))
            state = self.model.state_dict()
            torch._foreach_lerp_(list(self.average.values()), [state[k] for k in self.average], 1 - keep)
            self.step += 1
            now = time.monotonic()
            self.seconds = before + now - began
            if self.step % 50 == 0:
                line = {"step": self.step, "seconds": round(self.seconds), "rate": round(self.rate(), 6)}
                line |= {k: round(sum(v) / len(v), 3) for k, v in sorted(seen.items())}
                print(json.dumps(line), file=log, flush=True)
                seen.clear()
            done = asked or self.step >= until
            if done or now - saved > save_every:
                self.save()
                saved = now
            if done:
                return


def answer_logits(model, batch, images):
    """Logits [answer tokens, vocabulary] and targets [pictures, questions, length] of a batch."""
    ids, targets = torch.from_numpy(batch["ids"]), torch.from_numpy(batch["targets"])
    size, questions, length = ids.shape
    head = torch.from_numpy(batch["head"]).expand(size, -1)
    positions, mask = architecture.packed_mask(head.shape[1], questions, length)
    x = model.embed(torch.cat([head, ids.flatten(1)], 1), images)
    hidden = model.decode(x, positions, mask, head.shape[1]).unflatten(1, (questions, length))
    return model.llm.lm_head(hidden[targets != labels.NO_LABEL]).float(), targets


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/demo-model"))
    parser.add_argument("--total", type=int, default=9000, help="steps the learning rate is planned for")
    parser.add_argument("--until", type=int, help="stop after this step (default: --total)")
    parser.add_argument("--shipped", type=Path, help="without a state in --out, go on from this checkpoint")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=float, default=150, help="seconds between checkpoints")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)      # moments of unused position rows fade to denormal numbers, which are slow
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "pid").write_text(str(os.getpid()))      # SIGTERM saves and stops
    Trainer(options.out, options.total, options.shipped).train(options.save_every, options.until or options.total)


if __name__ == "__main__":
    main()
