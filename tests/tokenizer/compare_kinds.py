#!/usr/bin/env python3
"""Compares headroom-tokenize with the `tokenizers` library on every kind of tokenizer in kinds.py, and with `tiktoken` on
ranks: ids and decoded text of random strings, decoded text of random ids.

    build/venv/bin/python tests/tokenizer/compare_kinds.py --tool build/release/bin/headroom-tokenize \
        --work build/tokenizer-kinds --count 20000 [--seed 1] [--only NAME]

The strings hold characters that had their properties already in Unicode 3.2, and emoji: the libraries at work know six
different versions of Unicode between them. compare_with_hf.py covers the rest for the byte-level kinds.
"""

import argparse
import base64
import json
import pathlib
import random
import sys
import time
import unicodedata

import tiktoken
import tokenizers
from tokenizers import Tokenizer

import kinds
from compare_with_hf import CODE_POINTS, Comparison, Strings, added, byte_alphabet, is_text, without

OLD = unicodedata.ucd_3_2_0
EMOJI = range(0x1F300, 0x1F650)
MODES = (("all", 4), ("whole", 1), ("non-special", 1), ("none", 2))  # and how many eighths of the strings each has
BATCH = 2500  # the library's answers take much memory


def is_settled(code_point):
    character = chr(code_point)
    category = unicodedata.category(character)
    return code_point in EMOJI or (category not in ("Cn", "Co") and OLD.category(character) == category)


class KindComparison(Comparison):
    """Against Tokenizers of the library."""

    def check_kind(self, name, path, reference, bare, strings, rng):
        begin = time.time()
        failures = self.failures
        at = 0
        for mode, share in MODES:
            end = at + -(-len(strings) * share // 8)
            for start in range(at, end, BATCH):
                self.check_batch(name, path, mode, bare if mode == "none" else reference, strings[start : min(end, start + BATCH)])
            at = end
        size = 1 + max(reference.get_vocab(with_added_tokens=True).values())
        ids = [[rng.randrange(size) for _ in range(rng.randint(1, 20))] for _ in range(max(1, len(strings) // 8))]
        decoded = reference.decode_batch(ids, skip_special_tokens=False)
        self.compare(name, "decode", ids, self.ours(path, "all", ids), [{"decoded": t} for t in decoded])
        failed = self.failures - failures
        print(f"{name:>38}: {failed} different, {time.time() - begin:.1f} s", flush=True)

    def check_batch(self, name, path, mode, library, strings):
        library.encode_special_tokens = mode == "non-special"
        expected = [e.ids for e in library.encode_batch(strings, add_special_tokens=mode == "whole")]
        texts = library.decode_batch(expected, skip_special_tokens=False)
        wanted = [{"ids": ids, "decoded": text} for ids, text in zip(expected, texts)]
        self.compare(name, mode, strings, self.ours(path, mode, strings), wanted)
        library.encode_special_tokens = False

    def compare(self, name, what, inputs, answers, expected):
        shown = 0
        for given, answer, wanted in zip(inputs, answers, expected):
            self.compared += 1
            if all(answer.get(key) == value for key, value in wanted.items()):
                continue
            self.failures += 1
            shown += 1
            if shown <= 2:
                print(f"  DIFFERENT {name} {what} {given!r}\n    ours   {answer}\n    theirs {wanted}")


def check_config_tokens(comparison, work, files, strings, rng):
    """Tokens that only tokenizer_config.json knows, and flags that it changes."""
    file = files["smollm"]
    size = 1 + max(max(file["model"]["vocab"].values()), max(t["id"] for t in file["added_tokens"]))
    tokens = [added(size, "<tool>"), added(size + 1, "<|end_of_text|>", special=True, rstrip=True),
              {**file["added_tokens"][-1], "lstrip": True}, {**file["added_tokens"][3], "lstrip": True}]
    folder = work / "config-tokens"
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    decoder = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}), encoding="utf-8")

    def reference(keeps):
        library = Tokenizer.from_str(json.dumps(without(file, lambda token: not keeps(token))))
        new = [t for t in tokens if keeps(t)]
        library.add_tokens([tokenizers.AddedToken(**{k: v for k, v in t.items() if k != "id"}) for t in new])
        return library

    strings = [s.replace("<im", "<tool>").replace("word", "<|end_of_text|>") for s in strings]
    comparison.check_kind("config-tokens", folder, reference(lambda t: True), reference(is_text), strings, rng)


def check_tiktoken(comparison, work, files, strings):
    """Ranks made of the byte-level vocabulary: an entry for each token, in order of its id."""
    alphabet = {c: b for b, c in byte_alphabet().items()}
    vocab = files["llama3"]["model"]["vocab"]
    entries = [bytes(alphabet[c] for c in token) for token in sorted(vocab, key=vocab.get) if token not in kinds.SPECIAL]
    ranks = {entry: rank for rank, entry in enumerate(entries)}
    for name, pattern, count in (("TikTokenTokenizer", kinds.HAN_APART, 0), ("QWenTokenizer", kinds.QWEN, 208),
                                 ("ChatGLM4Tokenizer", kinds.LLAMA3, 0)):
        folder = work / f"tiktoken-{name}"
        folder.mkdir(exist_ok=True)
        lines = "".join(f"{base64.b64encode(entry).decode()} {rank}\n" for entry, rank in ranks.items())
        (folder / "tiktoken.model").write_text(lines)
        special = {content: len(ranks) + count + i for i, content in enumerate(kinds.SPECIAL)}
        decoder = {str(i): {k: v for k, v in added(0, c, special=True).items() if k != "id"} for c, i in special.items()}
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, "added_tokens_decoder": decoder}))
        # Intersections of classes are spelled otherwise in the syntax of Rust's regex, which tiktoken takes.
        library = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
        texts = [unicodedata.normalize("NFC", s) if name == "QWenTokenizer" else s for s in strings]
        expected = [library.encode(text, allowed_special="all") for text in texts]
        wanted = [{"ids": ids, "decoded": library.decode(ids)} for ids in expected]
        begin, failures = time.time(), comparison.failures
        comparison.compare(name, "all", texts, comparison.ours(folder, "all", texts), wanted)
        print(f"{name:>38}: {comparison.failures - failures} different, {time.time() - begin:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    print(f"tokenizers {tokenizers.__version__}, tiktoken {tiktoken.__version__}, seed {arguments.seed}", flush=True)
    arguments.work.mkdir(parents=True, exist_ok=True)
    rng = random.Random(arguments.seed)
    files = kinds.all_kinds()
    markers = kinds.SPECIAL + [t.content for t in kinds.EXTRA] + ["<new>", kinds.SPACE, "<0x41>"]
    source = Strings(rng, markers, {c for c in CODE_POINTS if not is_settled(c)})
    strings = [source.one()[: rng.choice([20, 60, 60, 400])] for _ in range(arguments.count)]
    comparison = KindComparison(arguments.tool, arguments.work)
    for name, file in files.items():
        if arguments.only not in name:
            continue
        path = comparison.write(name, file)
        bare = without(file, lambda token: not is_text(token))
        rng.shuffle(strings)
        comparison.check_kind(name, path, Tokenizer.from_file(str(path)), Tokenizer.from_str(json.dumps(bare)), strings, rng)
    if arguments.only in "config-tokens":
        check_config_tokens(comparison, arguments.work, files, strings, rng)
    if arguments.only in "tiktoken":
        check_tiktoken(comparison, arguments.work, files, strings)
    print(f"{comparison.compared} compared, {comparison.failures} different (seed {arguments.seed})")
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    sys.exit(main())
