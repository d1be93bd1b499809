#!/usr/bin/env python3
"""Compares headroom-tokenize with the Hugging Face `tokenizers` library, id for id and text for text.

    pip install tokenizers
    python tests/tokenizer/compare_with_hf.py --tool build/release/bin/headroom-tokenize \
        --golden tests/golden/minicpmv/tokenizer.json --work build/tokenizer --seed 1 --count 20000 [--big-vocab]

Random strings (the seed is printed) are encoded by both with several tokenizers made from the golden one: as it is;
with merges at the borders of words, so that a word that is cut elsewhere shows; with added tokens of every kind of
flag; with the patterns of other model families; with --big-vocab also with a vocabulary of 151,643 entries that is
trained here once and kept in --work.

The two do not know the same Unicode. Code points on which they differ are found by trying each one, and left out of
the strings if, and only if, they are unassigned in the older table of the two; any other difference is a failure.
"""

import argparse
import copy
import json
import pathlib
import random
import string
import subprocess
import sys
import sysconfig
import time
import unicodedata

import tokenizers
from tokenizers import Regex, Tokenizer, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# Planes 0 to 3 and the assigned part of plane 14; the rest is unassigned or private use in every version.
PROBED = [c for c in CODE_POINTS if 0x80 <= c < 0x33480 or 0xE0000 <= c < 0xE0200]
SPACE = "\u2581"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PUNCTUATION = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
ODD = r"^\w+\b|\W{2,3}+|\d{,2}\S|(?<=a)b*?c|[\-x^-]++|$|\Bq"


def byte_alphabet():
    characters = {}
    others = 0
    for byte in range(256):
        if 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or byte >= 0xAE:
            characters[byte] = chr(byte)
        else:
            characters[byte] = chr(256 + others)
            others += 1
    return characters


def added(token_id, content, **flags):
    entry = {
        "id": token_id,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": False,
    }
    entry.update(flags)
    return entry


def splits(*patterns):
    steps = [{"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False} for pattern in patterns]
    steps.append({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False})
    return {"type": "Sequence", "pretokenizers": steps}


def is_text(token):
    """Added tokens that are looked for in the text of users as well."""
    content = token["content"]
    return not token["special"] and (not content.strip(f" \n\t{SPACE}") or len(content) == 1)


def without(file, is_out):
    """`file` without some added tokens. Those that are no entries keep their ids, under names that no string has."""
    tokens = [{**t, "content": f"\x01{t['id']}\x01"} if is_out(t) else t for t in file["added_tokens"]
              if not is_out(t) or t["content"] not in file["model"]["vocab"]]
    return {**file, "added_tokens": tokens}


def with_seams(base):
    """A vocabulary whose merges are at the borders of words: it shows where a word was cut."""
    file = copy.deepcopy(base)
    alphabet = byte_alphabet()
    vocab = {alphabet[byte]: byte for byte in range(256)}
    merges = []
    for x in b" t'1.\n":
        pairs = [(x, y) for y in range(0xC2, 0xF5)] + [(y, x) for y in range(0x80, 0xC0)]
        pairs += [(x, y) for y in b" t'1.\nsS"]
        for left, right in pairs:
            token = alphabet[left] + alphabet[right]
            if token not in vocab:
                vocab[token] = len(vocab)
                merges.append([alphabet[left], alphabet[right]])
    file["model"]["vocab"] = vocab
    file["model"]["merges"] = merges
    file["added_tokens"] = [
        added(len(vocab) + i, t["content"], special=True) for i, t in enumerate(base["added_tokens"])
    ]
    return file


def with_flags(base):
    file = copy.deepcopy(base)
    first = 1 + max(t["id"] for t in base["added_tokens"])
    extra = [
        ("<left>", {"lstrip": True}),
        ("<right>", {"rstrip": True, "special": True}),
        ("<both>", {"lstrip": True, "rstrip": True}),
        ("word", {"single_word": True}),
        ("<single>", {"single_word": True, "lstrip": True, "special": True}),
        ("caf\u00e9", {"normalized": True}),
        ("\u1e0a", {"normalized": True, "special": True}),
        ("raw e\u0301", {}),
        ("<im", {}),
        ("<image>x", {}),
        ("\u4f60\u597d", {"single_word": True, "normalized": True}),
    ]
    file["added_tokens"] += [added(first + i, content, **flags) for i, (content, flags) in enumerate(extra)]
    return file


def with_gpt2(base):
    file = copy.deepcopy(base)
    file["normalizer"] = None
    file["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    file["model"]["merges"] = [" ".join(pair) for pair in pairs_of(base)]
    # Not beside tokens with rstrip: there the reference gives the white space twice, to the token that takes it and
    # to these.
    first = 1 + max(t["id"] for t in base["added_tokens"])
    file["added_tokens"] += [
        added(first, "  "),
        added(first + 1, "    ", normalized=True),
        added(first + 2, " \n", special=True),
    ]
    return file


def with_ignored_merges(base):
    file = copy.deepcopy(base)
    file["model"]["ignore_merges"] = True
    file["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}]}
    merges = pairs_of(base)
    file["model"]["merges"] = merges[: len(merges) // 2]
    return file


def with_patterns(base, *patterns):
    file = copy.deepcopy(base)
    file["pre_tokenizer"] = splits(*patterns)
    return file


def pairs_of(file):
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in file["model"]["merges"]]


def train_big(golden, path, seed):
    """151,643 entries from the Python library and made-up words of several scripts."""
    rng = random.Random(seed)
    sources = sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [source.read_text(encoding="utf-8", errors="ignore") for source in sources]
    scripts = [
        range(0x61, 0x7B),
        range(0x3B1, 0x3CA),
        range(0x430, 0x450),
        range(0x4E00, 0x5600),
        range(0x3041, 0x3094),
        range(0xAC00, 0xAE00),
        range(0x5D0, 0x5EB),
        range(0x627, 0x64B),
        range(0x905, 0x93A),
    ]
    for _ in range(60):
        stems = []
        for script in scripts:
            stems += ["".join(chr(rng.choice(script)) for _ in range(rng.randint(2, 9))) for _ in range(450)]
        texts.append(" ".join(word for word in stems for _ in range(2)))
    tokenizer = Tokenizer.from_str(
        json.dumps({**golden, "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}})
    )
    special = [t["content"] for t in golden["added_tokens"]]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=151643, min_frequency=2, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(special)
    path.write_text(tokenizer.to_str(), encoding="utf-8")


class Strings:
    """Random valid Unicode text, and text of the kinds that go wrong."""

    POOLS = [
        string.ascii_letters,
        string.printable,
        " \t\n\r\u00a0\u0085\u1680\u2003\u2028\u202f\u3000\u180e\u200b\ufeff",
        "".join(map(chr, range(0x300, 0x370))) + "aeiouAEIOU",
        "".join(map(chr, range(0x1100, 0x1200))),
        "".join(map(chr, range(0xAC00, 0xAC80))) + "".join(map(chr, range(0x1161, 0x11C3))),
        "\ufb00\ufb01\ufb02\ufb03\ufb04\ufb05\ufb06\u0132\u01c5",
        "".join(map(chr, range(0x4E00, 0x4F00))) + "\uff0c\u3002\uff01\uff1f",
        "".join(map(chr, range(0xF900, 0xFA6E))),
        "0123456789\u0660\u0967\u00b2\u00bd\u2160\u2460\U0001d7d8",
        "".join(map(chr, range(0x900, 0x980))),
        "".join(map(chr, range(0x600, 0x670))),
        "\u1e9b\u0323\u212b\u2126\u0344\u0958\u0f43\u2adc\u1fee\u0387",
        "".join(map(chr, range(0x1F300, 0x1F650))) + "\u200d\ufe0f",
        "'sStTdDmM\u017f\u212allvereVERE ",
        "_-/\\|*&^%$#@!~`()[]{}<>.,:;\"'+=?",
    ]
    EMOJI = [
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
        "\U0001f3f3\ufe0f\u200d\U0001f308",
        "\U0001f1e9\U0001f1ea",
        "\U0001f44d\U0001f3fd",
    ]

    def __init__(self, rng, markers, excluded):
        self.rng = rng
        self.markers = markers
        self.pools = ["".join(c for c in pool if ord(c) not in excluded) for pool in self.POOLS]
        self.all = [c for c in CODE_POINTS if c not in excluded]
        self.low = [c for c in self.all if c < 0x3400]
        sources = sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:60]
        self.lines = [
            line for source in sources for line in source.read_text(encoding="utf-8", errors="ignore").splitlines(True)
        ]
        self.lines = ["".join(c for c in line if ord(c) not in excluded) for line in self.lines]

    def from_pools(self):
        pools = self.rng.sample(self.pools, self.rng.randint(1, 4))
        return "".join(self.rng.choice(self.rng.choice(pools)) for _ in range(self.rng.randint(1, 60)))

    def any_unicode(self):
        source = self.rng.choice([self.all, self.low])
        return "".join(chr(self.rng.choice(source)) for _ in range(self.rng.randint(1, 40)))

    def code(self):
        start = self.rng.randrange(len(self.lines))
        return "".join(self.lines[start : start + self.rng.randint(1, 8)])

    def runs(self):
        return "".join(
            self.rng.choice(" \n\ta1.\u00e9\u4e2d'") * self.rng.choice([1, 2, 3, 5, 17, 64, 200])
            for _ in range(self.rng.randint(1, 6))
        )

    def marked(self):
        parts = []
        for _ in range(self.rng.randint(1, 6)):
            marker = self.rng.choice(self.markers)
            cut = self.rng.randint(0, len(marker)) if self.rng.random() < 0.25 else len(marker)
            parts.append(marker[:cut])
            parts.append(
                self.rng.choice(["", "", " ", "  ", "\n", "\u3000 ", "a", "\u0301", "1", "_", self.from_pools()])
            )
        return "".join(parts)

    def emoji(self):
        return "".join(
            self.rng.choice(self.EMOJI + [self.rng.choice(self.pools[13])]) for _ in range(self.rng.randint(1, 12))
        )

    def one(self):
        kinds = [self.from_pools, self.any_unicode, self.code, self.runs, self.marked, self.emoji]
        chosen = self.rng.choices(kinds, [6, 3, 3, 1, 4, 1], k=self.rng.choice([1, 1, 1, 2, 3]))
        return "".join(kind() for kind in chosen)


class Comparison:
    def __init__(self, tool, work):
        self.tool = tool
        self.work = work
        self.compared = 0
        self.failures = 0

    def ours(self, path, mode, lines):
        data = "".join(json.dumps(line) + "\n" for line in lines)
        result = subprocess.run([self.tool, str(path), mode], input=data, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"{self.tool} failed: {result.stderr}")
        answers = [json.loads(line) for line in result.stdout.split("\n")[:-1]]
        assert len(answers) == len(lines)
        return answers

    def write(self, name, file):
        path = self.work / f"{name}.json"
        path.write_text(json.dumps(file), encoding="utf-8")
        return path

    def differing(self, file, name, probes):
        """Indices of `probes` that the two encode differently."""
        path = self.write(name, file)
        expected = [e.ids for e in Tokenizer.from_file(str(path)).encode_batch(probes, add_special_tokens=False)]
        return [i for i, (a, e) in enumerate(zip(self.ours(path, "all", probes), expected)) if a.get("ids") != e]

    def check(self, name, path, mode, texts, reference_path=None):
        reference = Tokenizer.from_file(str(reference_path or path))
        reference.encode_special_tokens = mode == "non-special"
        expected = reference.encode_batch(texts, add_special_tokens=False)
        failures = 0
        for text, answer, wanted in zip(texts, self.ours(path, mode, texts), expected):
            decoded = reference.decode(wanted.ids, skip_special_tokens=False)
            if answer.get("ids") != wanted.ids or answer.get("decoded") != decoded:
                failures += 1
                if failures <= 3:
                    print(f"  DIFFERENT {text!r}\n    ours {answer}\n    theirs {wanted.ids} {decoded!r}")
        print(f"{name:>14} {mode:>11}: {len(texts)} strings, {failures} different", flush=True)
        self.compared += len(texts)
        self.failures += failures

    def check_decode(self, name, path, rng, count):
        reference = Tokenizer.from_file(str(path))
        size = reference.get_vocab_size()
        ids = [[rng.randrange(size) for _ in range(rng.randint(1, 30))] for _ in range(count)]
        expected = reference.decode_batch(ids, skip_special_tokens=False)
        failures = sum(a.get("decoded") != e for a, e in zip(self.ours(path, "all", ids), expected))
        print(f"{name:>14}      decode: {count} id lists, {failures} different", flush=True)
        self.compared += count
        self.failures += failures


def show_ranges(code_points):
    ranges = []
    for c in sorted(code_points):
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in ranges)


def find_excluded(comparison, base):
    """Code points whose properties differ; ends the program if one of them is assigned in both tables."""
    seams = with_seams(base)
    seams["normalizer"] = None
    classes = set()
    for number, probe in enumerate((" {0}t {0}\n{0}'t", "'{0}t{0}1.{0}{0}")):
        found = comparison.differing(seams, f"probe-classes-{number}", [probe.format(chr(c)) for c in PROBED])
        classes |= {PROBED[i] for i in found}
    # Cut before each unassigned code point: then `t` is not merged with what follows.
    unassigned = with_patterns(seams, {"Regex": r"\p{Cn}"})
    path = comparison.write("probe-unassigned", unassigned)
    suspects = sorted(classes)
    ours = comparison.ours(path, "all", [f"t{chr(c)}" for c in suspects])
    theirs = Tokenizer.from_file(str(path)).encode_batch([f"t{chr(c)}" for c in suspects])
    cut_before = unassigned["model"]["vocab"]["t"]
    wrong = {c for c, a, e in zip(suspects, ours, theirs) if (a["ids"][0] == cut_before) == (e.ids[0] == cut_before)}
    print(f"word classes differ on {len(classes)} code points, unassigned in one table: {show_ranges(classes - wrong)}")

    # A table that lacks a combining mark takes it for a letter: nothing moves across it. The class of an assigned
    # mark never changes (Unicode's stability policy), so a difference of this form means that one table is older.
    as_letter = "e\u0345{0}\u0334"  # combining classes 240 and 1, the highest and the lowest
    probes = [as_letter.format(chr(c)) for c in PROBED]
    normalizing = comparison.write("probe-marks", {**seams, "normalizer": {"type": "NFC"}})
    reference = Tokenizer.from_file(str(normalizing)).normalizer
    marks = set()
    for c, probe, answer in zip(PROBED, probes, comparison.ours(normalizing, "all", probes)):
        expected = reference.normalize_str(probe)
        if answer["decoded"] != expected:
            marks.add(c)
            if as_letter.format(chr(c)) not in (answer["decoded"], expected):
                wrong.add(c)
    print(f"normalization differs on {len(marks)} code points, unassigned in one table: {show_ranges(marks - wrong)}")
    if wrong:
        sys.exit(f"FAILED: these differ although both tables have them: {show_ranges(wrong)}")
    return classes | marks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True, help="the headroom-tokenize program")
    parser.add_argument("--golden", required=True, type=pathlib.Path, help="a tokenizer.json")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder for files made here")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument(
        "--count", type=int, default=20000, help="strings for the golden tokenizer; the variants get an eighth each"
    )
    parser.add_argument("--big-vocab", action="store_true", help="also a vocabulary of 151,643 entries, trained once")
    arguments = parser.parse_args()
    print(f"tokenizers {tokenizers.__version__}, seed {arguments.seed}", flush=True)
    arguments.work.mkdir(parents=True, exist_ok=True)
    base = json.loads(arguments.golden.read_text(encoding="utf-8"))
    comparison = Comparison(arguments.tool, arguments.work)
    excluded = find_excluded(comparison, base)

    files = {
        "golden": base,
        "seams": with_seams(base),
        "flags": with_flags(base),
        "gpt2": with_gpt2(base),
        "ignore-merges": with_ignored_merges(base),
        "llama3": with_patterns(base, {"Regex": LLAMA3}),
        "gpt4o": with_patterns(with_seams(base), {"Regex": GPT4O}),
        "sequence": with_patterns(
            base,
            {"Regex": r"\p{N}{1,3}"},
            {"Regex": "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"},
            {"String": "e*"},
            {"Regex": PUNCTUATION},
        ),
        "odd-pattern": with_patterns(with_seams(base), {"Regex": ODD}),
    }
    counts = {name: arguments.count if name == "golden" else arguments.count // 8 + 1 for name in files}
    if arguments.big_vocab:
        path = arguments.work / "big-vocab-151643.json"
        if not path.exists():
            start = time.time()
            train_big(base, path, seed=6)
            print(f"trained the big vocabulary in {time.time() - start:.0f} s", flush=True)
        files["big"] = json.loads(path.read_text(encoding="utf-8"))
        print(f"big vocabulary: {len(files['big']['model']['vocab'])} entries")
        counts["big"] = arguments.count

    rng = random.Random(arguments.seed)
    for name, file in files.items():
        path = comparison.write(name, file)
        # The reference has no mode without those that are no text, but a file without them behaves like it.
        bare = comparison.write(f"{name}-bare", without(file, lambda token: not is_text(token)))
        contents = [t["content"] for t in file["added_tokens"]]
        texts = Strings(rng, contents + [unicodedata.normalize("NFD", content) for content in contents], excluded)
        for mode, share in (("all", 2), ("non-special", 4), ("none", 4)):
            comparison.check(
                name, path, mode, [texts.one() for _ in range(counts[name] // share)], bare if mode == "none" else None
            )
        comparison.check_decode(name, path, rng, counts[name] // 4)
    print(f"{comparison.compared} compared, {comparison.failures} different (seed {arguments.seed})")
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    sys.exit(main())
