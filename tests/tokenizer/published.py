#!/usr/bin/env python3
"""Published vocabularies: those that the source package llama-cpp-python carries (fetched, not kept: their licences
differ), with the ids that their own tokenizers gave for some fifty strings.

    build/venv/bin/python tests/tokenizer/published.py --tool build/release/bin/headroom-tokenize --work build/tokenizer [--folder FOLDER]

The files have vocabulary and merges (or scores); the pipeline around them is written down here, as each model's
tokenizer.json has it. FOLDER: where the files lie already.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tarfile

from compare_with_hf import Comparison, LLAMA3, added

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "small_model"))
import gguf_to_hf  # noqa: E402

PACKAGE = "llama-cpp-python==0.3.36"
SPACE = "\u2581"
SPECIAL, DEFINED = 3, 4  # token types
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
NO_REGEX = {**BYTE_LEVEL, "use_regex": False}
NFC = {"type": "NFC"}
# normalizer, pre_tokenizer
BYTE_LEVEL_MODELS = {
    "gpt-2": (None, BYTE_LEVEL), "starcoder": (None, sequence(DIGITS, BYTE_LEVEL)), "refact": (None, sequence(DIGITS, BYTE_LEVEL)),
    "command-r": (NFC, sequence(DIGITS, BYTE_LEVEL)), "mpt": (NFC, BYTE_LEVEL),
    "llama-bpe": (None, sequence(split(LLAMA3), NO_REGEX)), "qwen2": (NFC, sequence(split(QWEN), NO_REGEX)),
    "falcon": (None, sequence({"type": "Punctuation", "behavior": "Contiguous"}, BYTE_LEVEL,
                              {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]"))),
}
SENTENCEPIECE_MODELS = ("llama-spm", "phi-3")


def merges_of(tokens, scores):
    """Every way in which a piece is two others, the best piece first."""
    ids = {token: i for i, token in enumerate(tokens)}
    found = []
    for token, i in ids.items():
        cuts = [(token[:at], token[at:]) for at in range(1, len(token)) if token[:at] in ids and token[at:] in ids]
        found += [(-scores[i], ids[left], ids[right], left, right) for left, right in cuts]
    return [[left, right] for *_, left, right in sorted(found)]


def tokenizer_json(name, metadata):
    tokens = metadata["tokenizer.ggml.tokens"]
    kinds = metadata["tokenizer.ggml.token_type"]
    file = {
        "version": "1.0", "post_processor": None, "normalizer": None, "pre_tokenizer": None, "decoder": BYTE_LEVEL,
        "added_tokens": [added(i, tokens[i], special=kinds[i] == SPECIAL) for i in range(len(tokens)) if kinds[i] in (SPECIAL, DEFINED)],
    }
    model = {"type": "BPE", "unk_token": None, "vocab": {token: i for i, token in enumerate(tokens)}}
    if name in SENTENCEPIECE_MODELS:
        file["normalizer"] = {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": SPACE}, {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]}
        steps = [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                 {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
        file["decoder"] = {"type": "Sequence", "decoders": steps}
        pieces = [token if kind == 1 else "" for token, kind in zip(tokens, kinds)]
        model.update(unk_token="<unk>", fuse_unk=True, byte_fallback=True, merges=merges_of(pieces, metadata["tokenizer.ggml.scores"]))
    else:
        file["normalizer"], file["pre_tokenizer"] = BYTE_LEVEL_MODELS[name]
        model.update(merges=metadata["tokenizer.ggml.merges"], ignore_merges=name == "llama-bpe")
    return {**file, "model": model}


def fetch(work):
    folder = work / "published"
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob("*.gz")):
        command = [sys.executable, "-m", "pip", "download", "-q", PACKAGE, "--no-deps", "--no-binary", "llama-cpp-python", "-d", folder]
        subprocess.run(command, check=True)
    (archive,) = folder.glob("*.gz")
    with tarfile.open(archive) as tar:
        for member in tar:
            if "/models/ggml-vocab-" in member.name:
                (folder / pathlib.PurePosixPath(member.name).name).write_bytes(tar.extractfile(member).read())
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    folder = arguments.folder or fetch(arguments.work)
    comparison = Comparison(arguments.tool, arguments.work)
    different = 0
    for name in (*BYTE_LEVEL_MODELS, *SENTENCEPIECE_MODELS):
        metadata, _, _ = gguf_to_hf.read(folder / f"ggml-vocab-{name}.gguf")
        path = comparison.write(f"published-{name}", tokenizer_json(name, metadata))
        texts = (folder / f"ggml-vocab-{name}.gguf.inp").read_bytes().decode("utf-8").split("\n__ggml_vocab_test__\n")
        lines = (folder / f"ggml-vocab-{name}.gguf.out").read_text().split("\n")
        wanted = [[int(word) for word in line.split()] for line in lines[: len(texts)]]
        answers = comparison.ours(path, "all", texts)
        wrong = [(t, a, w) for t, a, w in zip(texts, answers, wanted) if a.get("ids") != w]
        print(f"{name:>12}: {len(texts)} strings, {len(wrong)} different", flush=True)
        for text, answer, ids in wrong[:2]:
            print(f"  DIFFERENT {text!r}\n    ours   {answer}\n    theirs {ids}")
        different += len(wrong)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
