"""A seed → a directory in the layout of tests/golden: a random model of one of the architectures, requests, and what they give.

    python directory.py SEED FOLDER
"""
import itertools
import json
import pathlib
import sys

import numpy as np
from PIL import Image

import checkpoint
from forward import Decoder, bf16, exact, head_size
from glm4v import Glm4v, GridSight
from hunyuan_vl import HunyuanVl
from minicpmv import MiniCpmV
from picture import as_seen, one_of, write_random
from prompt import Words, random_text
from rope import random_scaling

# Where the rounding of the published code alone stays below this, the case may leave its error out: golden_check then allows 0.02.
GENTLE = 0.009
# What the published classes assume where config.json is silent.
CLASS_DEFAULTS = {"rms_norm_eps": 1e-6, "rope_theta": 1e4, "tie_word_embeddings": False, "hidden_act": "silu"}
SIGHTS = {"MiniCPMV": MiniCpmV, Glm4v.architecture: Glm4v, HunyuanVl.architecture: HunyuanVl}  # the others read text only
TEXTS = ("Qwen2ForCausalLM", "LlamaForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM")
TURNS = [architecture for pair in zip(itertools.cycle(SIGHTS), TEXTS) for architecture in pair]  # of seeds
RATIO_MAX = 200  # of a picture's sides, for every family
HEAD_SIZES = (8, 10, 16, 20, 24, 32, 36, 40, 48, 64, 72, 80, 96, 128)


def divisors(n):
    return [i for i in range(1, n + 1) if n % i == 0]


def relative(got, wanted):
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def decoder_config(rng, architecture):
    heads = int(rng.integers(1, 9))
    size = int(one_of(rng, *HEAD_SIZES))
    config = {"architectures": [architecture], "num_attention_heads": heads, "num_key_value_heads": int(one_of(rng, *divisors(heads))),
              "intermediate_size": int(rng.integers(17, 320)), "num_hidden_layers": int(rng.integers(1, 5)), "hidden_act": "silu",
              "rms_norm_eps": one_of(rng, 1e-5, 1e-6, 1e-3),
              "rope_theta": one_of(rng, 1e4, 1e6, 5e5, 500.0, 12345.6), "max_position_embeddings": int(one_of(rng, 8192, 4096, 32768)),
              "tie_word_embeddings": bool(rng.random() < 0.4), "torch_dtype": "bfloat16"}
    if architecture == "MiniCPMV":
        config["hidden_size"] = int(one_of(rng, 128, 256, 384, 160, 192, 252, 320))  # the resampler has one head for each whole 128
        heads = int(one_of(rng, *[n for n in divisors(config["hidden_size"]) if n <= 24 and config["hidden_size"] // n % 2 == 0]))
        config |= {"num_attention_heads": heads, "num_key_value_heads": int(one_of(rng, *divisors(heads)))}
    elif architecture in SIGHTS:
        return config
    elif architecture == "Qwen2ForCausalLM":
        config["hidden_size"] = heads * size
    else:
        config |= {"hidden_size": int(rng.integers(20, 200)), "head_dim": size, "rope_scaling": None}
        if rng.random() < 0.3:
            config |= {"hidden_size": heads * size, "head_dim": None}
        if architecture == "LlamaForCausalLM":
            config["mlp_bias"] = False
        if architecture == "MistralForCausalLM":
            config["sliding_window"] = None
        elif rng.random() < 0.5:
            config["attention_bias"] = bool(rng.random() < 0.7)
        if architecture == "Qwen3ForCausalLM" and config["head_dim"] is None:
            del config["head_dim"]  # the class default: 128, whatever the width
    if config["num_key_value_heads"] == config["num_attention_heads"] and architecture == "LlamaForCausalLM" and rng.random() < 0.3:
        del config["num_key_value_heads"]  # the class default: as many as there are heads
    head = head_size(config)
    scaling = random_scaling(rng, head, config["max_position_embeddings"])
    if scaling and rng.random() < 0.5:
        config["rope_parameters"] = scaling | {"rope_theta": config["rope_theta"]}  # as newer files have it
    elif scaling:
        config["rope_scaling"] = scaling
    for key, default in CLASS_DEFAULTS.items():
        if config[key] == default and rng.random() < 0.5:
            del config[key]
    return config


class Model:
    def __init__(self, architecture, rng, folder):
        self.rng, self.folder, self.architecture = rng, folder, architecture
        self.sees = self.architecture in SIGHTS
        family = getattr(SIGHTS.get(self.architecture), "words", "chatml")
        if self.architecture == "LlamaForCausalLM" and rng.random() < 0.4:
            family = "llama3"
        self.words = Words(rng, self.sees, family)
        self.config = decoder_config(rng, self.architecture)
        self.config["vocab_size"] = self.words.size + int(one_of(rng, 0, 1, 7, 64, 190))
        stops = self.words.stops()
        self.config["eos_token_id"] = one_of(rng, stops, stops[0])
        self.sight = SIGHTS[self.architecture](rng, self.config) if self.sees else None
        shapes = checkpoint.decoder_shapes(self.config) | (self.sight.shapes() if self.sees else {})
        tensors, self.weights = checkpoint.make(rng, shapes)
        if rng.random() < 0.3:  # tensors that no architecture uses
            tensors["model.rotary_emb.inv_freq"] = ("F32", (4,), bytes(16))
            tensors["vpm.embeddings.position_ids"] = ("I64", (1, 3), bytes(24))
        (folder / "expected").mkdir(parents=True)
        checkpoint.write_shards(rng, folder, tensors, int(rng.integers(1, 6)))
        grid = isinstance(self.sight, GridSight)
        self.write("config.json", self.sight.nested(self.config, self.words) if grid else self.config)
        self.write("tokenizer.json", self.words.file)
        self.write("tokenizer_config.json", self.words.config())
        if rng.random() < 0.2:
            self.write("generation_config.json", {"do_sample": True, "temperature": 0.7, "eos_token_id": stops})
        if self.sees:
            (folder / "images").mkdir()
            markers = self.words.markers if not grid and (self.words.markers["unk"] != "<unk>" or rng.random() < 0.8) else {}
            self.write("preprocessor_config.json", {**self.sight.preprocessor, **markers})
        roundings = (exact, bf16)
        self.decoders = {rounding: (self.sight.decoder if grid else Decoder)(self.config, self.weights, rounding) for rounding in roundings}
        self.eyes = {rounding: self.sight.eyes(self.weights, rounding) for rounding in roundings} if self.sees else {}

    def write(self, name, value):
        (self.folder / name).write_text(json.dumps(value, ensure_ascii=bool(self.rng.random() < 0.5)))

    def messages(self, pictures):
        """Random turns that show the pictures in order; parts are texts and pictures."""
        rng = self.rng
        turns = [{"role": "system", "content": [{"text": random_text(rng, 2)}]}] if rng.random() < 0.3 else []
        for last in [False] * int(rng.choice([0, 0, 1, 2])) + [True]:
            shown = pictures if last else pictures[:int(rng.integers(len(pictures) + 1))]
            pictures = pictures[len(shown):]
            parts = [{"image": path} for path in shown]
            for _ in range(int(rng.integers(0 if parts else 1, 3))):
                parts.insert(int(rng.integers(len(parts) + 1)), {"text": random_text(rng, 4 if rng.random() < 0.8 else 60)})
            turns.append({"role": "user", "content": parts})
            if not last:
                turns.append({"role": "assistant", "content": [{"text": random_text(rng, 3)}]})
        for turn in turns:
            if rng.random() < 0.2 and len(turn["content"]) == 1 and "text" in turn["content"][0]:
                turn["content"] = turn["content"][0]["text"]
        return turns

    def pieces_of(self, messages, slice_limit):
        """Prompt text of the messages, and all pieces of their pictures."""
        pieces, pictures, turns = [], 0, []
        for message in messages:
            content = message["content"] if isinstance(message["content"], list) else [{"text": message["content"]}]
            texts = []
            for part in content:
                if "text" in part:
                    texts.append(part["text"])
                    continue
                with Image.open(self.folder / part["image"]) as picture:
                    layout, cut = self.sight.cut(as_seen(picture), slice_limit)
                texts.append(self.sight.text(self.words, pictures, layout))
                pieces += cut
                pictures += 1
            turns.append((message["role"], (self.sight.parts_joined_by if self.sees else "\n").join(texts)))
        return self.words.render(turns), pieces

    def see(self, case, pieces, expected):
        """Fills in what the case says about pictures; returns, for exact and bf16 arithmetic, the embeddings; and the places of the prompt's tokens,
        None where they follow one another."""
        case["image_bounds"] = self.words.bounds(case["prompt_ids"])
        assert len(case["image_bounds"]) == len(pieces)
        towers, embeddings, grids = {}, {}, []
        for rounding, eyes in self.eyes.items():
            seen = [eyes.tower(piece) for piece in pieces]
            towers[rounding], grids = [x for x, _ in seen], [grid for _, grid in seen]
            embeddings[rounding] = [eyes.embed(x, *grid) for x, grid in seen]
        case |= self.sight.describe(pieces, grids)
        rows, case["vision_rows"] = self.sight.vision_rows([len(x) for x in towers[exact]])
        expected["vision"] = np.stack([towers[exact][i][row] for i, row in rows])
        name, stacked = self.sight.embeddings_name, {rounding: self.sight.stack(each) for rounding, each in embeddings.items()}
        expected[name] = stacked[exact]
        case["bf16"] = {"vision_rel_error": relative(np.concatenate(towers[bf16]), np.concatenate(towers[exact])),
                        f"{name}_rel_error": relative(stacked[bf16], stacked[exact])}
        places = getattr(self.sight, "places", None)
        return embeddings, places and places(len(case["prompt_ids"]), case["image_bounds"], grids)

    def random_picture(self, name, area):
        while True:
            path = write_random(self.rng, self.folder / "images", name, area)
            with Image.open(self.folder / path) as picture:
                if max(picture.size) <= RATIO_MAX * min(picture.size):
                    return path
            (self.folder / path).unlink()

    def decode(self, rounding, case, embeddings, places, greedy_ids=None):
        """Logits after each prompt token, logits of each step, and the ids: the best ones, or those given."""
        decoder = self.decoders[rounding]
        decoder.forget()
        x = decoder.embed(case["prompt_ids"]).copy()
        for (begin, end), rows in zip(case.get("image_bounds", []), embeddings):
            x[begin:end] = rows
        prompt = decoder.extend(x, places)
        steps, ids = [prompt[-1]], []
        wanted = len(greedy_ids) if greedy_ids else int(self.rng.integers(1, 13))
        for step in range(wanted):
            ids.append(greedy_ids[step] if greedy_ids else int(steps[-1].argmax()))
            stopped = self.sees and not greedy_ids and ids[-1] in np.atleast_1d(self.config["eos_token_id"])
            if stopped or step + 1 == wanted:
                break
            steps.append(decoder.extend(decoder.embed(ids[-1:]))[0])
        return prompt, np.stack(steps), ids

    def case(self, name):
        rng, case, expected = self.rng, {"name": name, "max_slice_nums": None, "bf16": {}}, {}
        embeddings, places = {exact: [], bf16: []}, None
        if self.sees or rng.random() < 0.5:
            area = self.sight.area if self.sees else 0
            count = int(rng.choice([0, 1, 1, 1, 2, 3, 12], p=[0.1, 0.2, 0.2, 0.2, 0.17, 0.1, 0.03])) if self.sees else 0
            small = count > 3 or self.sees and self.sight.large and rng.random() < 0.7
            paths = [self.random_picture(f"{name}-{i}", area // (12 if small else 1)) for i in range(count)]
            case["messages"] = self.messages(paths)
            case["max_slice_nums"] = self.sight.slice_limit(rng) if self.sees else None
            text, pieces = self.pieces_of(case["messages"], case["max_slice_nums"])
            case["prompt_ids"] = self.words.encode(text)
            case |= {"image_bounds": [], "tgt_sizes": []} if self.sees else {}
            if pieces:
                embeddings, places = self.see(case, pieces, expected)
        else:
            case["text"] = random_text(rng, 6 if rng.random() < 0.6 else 120) + ("<|im_end|>x" if rng.random() < 0.3 else "")
            if rng.random() < 0.1:
                case["text"] = "x"  # one token: nothing has a probability
            case |= {"prompt_ids": self.words.encode(case["text"]), "greedy_ignores_eos": True}
        prompt, steps, ids = self.decode(exact, case, embeddings[exact], places)
        rough_prompt, rough_steps, _ = self.decode(bf16, case, embeddings[bf16], places, ids)
        best = np.sort(steps, -1)
        case |= {"greedy_ids": ids, "step_gaps": [float(gap) for gap in best[:, -1] - best[:, -2]]}
        expected["logits_steps"] = steps
        case["bf16"]["logits_steps_rel_error"] = relative(rough_steps, steps)
        positions = sorted({0, len(prompt) // 3, len(prompt) // 2, len(prompt) - 1})
        if self.sees:
            case["logits_prompt_positions"] = positions
            expected["logits_prompt"] = prompt[positions]
            case["bf16"]["logits_prompt_rel_error"] = relative(rough_prompt[positions], prompt[positions])
        else:
            after = np.arange(len(prompt) - 1), case["prompt_ids"][1:]
            logprobs = [(x - np.log(np.exp(x).sum(-1, keepdims=True)))[after] for x in (prompt, rough_prompt)]
            expected["prompt_logprobs"] = logprobs[0]
            if len(prompt) > 1:
                case["bf16"]["prompt_logprobs_rel_error"] = relative(logprobs[1], logprobs[0])
        if max(case["bf16"].values()) < GENTLE and rng.random() < 0.7:
            del case["bf16"]
        self.write(f"expected/{name}.json", case)
        checkpoint.write_expected(self.folder / "expected" / f"{name}.safetensors", expected)

    def tokenizer_strings(self):
        texts = [random_text(self.rng, 5) for _ in range(20)] + list(self.words.markers.values())
        ids = [self.words.encode(text) for text in texts]
        decoded = [self.words.library.decode(each, skip_special_tokens=False) for each in ids]
        self.write("expected/tokenizer.json", [{"text": t, "ids": i, "decoded": d} for t, i, d in zip(texts, ids, decoded)])


def make_directory(seed, folder, cases=2):
    folder = pathlib.Path(folder)
    model = Model(TURNS[seed % len(TURNS)], np.random.default_rng(seed), folder)
    for number in range(cases):
        model.case(f"case{number}")
    model.tokenizer_strings()
    return folder


if __name__ == "__main__":
    print(make_directory(int(sys.argv[1]), sys.argv[2]))
