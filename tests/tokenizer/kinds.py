"""Small tokenizers of every kind of pipeline that published models have, trained here with the `tokenizers` library.

Each kind is a tokenizer.json as a dict. The trained vocabularies stand on the Python library's own text and made-up
words (seeded): nothing of any published tokenizer is in them.
"""

import json
import pathlib
import random
import sysconfig

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPACE = "\u2581"
SPECIAL = ["<unk>", "<s>", "</s>", "<|user|>", "<|end|>"]
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
HAN_APART = (
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
SCRIPTS = ((0x61, 0x7B), (0x3B1, 0x3CA), (0x430, 0x450), (0x4E00, 0x4E40), (0x3041, 0x3094), (0xAC00, 0xAC40),
           (0x5D0, 0x5EB), (0x627, 0x64B), (0x905, 0x93A), (0xE01, 0xE2F))


def corpus(seed=11):
    """Lines of text to train on."""
    rng = random.Random(seed)
    lines = []
    for source in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:25]:
        lines += source.read_text(encoding="utf-8", errors="ignore").splitlines(keepends=True)[:250]
    for low, high in SCRIPTS:
        words = ["".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 6))) for _ in range(40)]
        lines += [" ".join(rng.choices(words, k=12)) for _ in range(25)]
    lines += ["1234 " * 5, "It's we'll they've I'm \u00e9t\u00e9 caf\u00e9 na\u00efve\n\n\n", "\U0001f600\U0001f44d\u200d\ufe0f" * 3]
    return lines


def bytes_of(token):
    return f"<0x{token:02X}>"


def train(pre_tokenizer, normalizer=None, alphabet=(), special=SPECIAL, size=1000):
    """Vocabulary and merges of a BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, show_progress=False, special_tokens=list(special),
                                  initial_alphabet=list(alphabet), limit_alphabet=max(250, len(alphabet)))
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], model["merges"]


def added(content, **flags):
    return AddedToken(content, **{"normalized": False, "special": False, **flags})


# Of every flag, beside the special ones.
EXTRA = [
    added("<left>", lstrip=True), added("<right>", rstrip=True, special=True), added("word", single_word=True),
    added("<both>", lstrip=True, rstrip=True), added("caf\u00e9", normalized=True), added("<im"), added("<image>x"),
]
# Runs of white space, as Gemma and Phi have them. Not beside tokens with rstrip: there the reference gives the white
# space twice, or breaks.
BLANK = [added("\n\n"), added("\n\n\n"), added("   "), added("\t", normalized=True), added("<left>", lstrip=True)]


def build(vocab, merges, normalizer=None, pre_tokenizer=None, decoder=None, post=None, extra=EXTRA, **model):
    """tokenizer.json as a dict."""
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(pair) for pair in merges], **model))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if decoder is not None:
        tokenizer.decoder = decoder
    if post is not None:
        tokenizer.post_processor = post
    tokenizer.add_special_tokens([added(content, special=True) for content in SPECIAL if content in vocab])
    tokenizer.add_tokens(list(extra))
    return json.loads(tokenizer.to_str())


def around(*names, vocab):
    template = " ".join("$A" if name == "$" else name for name in names)
    return processors.TemplateProcessing(single=template, special_tokens=[(n, vocab[n]) for n in names if n != "$"])


def byte_level_kinds():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocab, merges = train(gpt2, alphabet=alphabet)
    decoder = decoders.ByteLevel()

    def split(pattern, behavior="isolated", invert=False):
        return pre_tokenizers.Split(pattern, behavior, invert)

    def sequence(*steps):
        return pre_tokenizers.Sequence(list(steps))

    words = {
        "smollm": sequence(pre_tokenizers.Digits(True), gpt2),
        "digit-runs": sequence(pre_tokenizers.Digits(False), pre_tokenizers.ByteLevel(add_prefix_space=True, trim_offsets=False)),
        "llama3": sequence(split(Regex(LLAMA3)), byte_level),
        "kimi": sequence(split(Regex(HAN_APART)), byte_level),
        "deepseek": sequence(split(Regex(r"\p{N}{1,3}")), split(Regex("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+")),
                             split(Regex("\\s?[A-Za-z\u00b5\u00c0-\u00d6]+")), split(Regex(r"\s+$")), byte_level),
        "falcon": sequence(pre_tokenizers.Punctuation("contiguous"), gpt2, pre_tokenizers.Digits(False),
                           split(Regex("[0-9][0-9][0-9]"))),
        "bloom": sequence(split(Regex(" ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+")), byte_level),
        "whitespace": sequence(pre_tokenizers.Whitespace(), byte_level),
        "delimiter": sequence(pre_tokenizers.CharDelimiterSplit("e"), pre_tokenizers.WhitespaceSplit(), byte_level),
        "bert": sequence(pre_tokenizers.BertPreTokenizer(), byte_level),
        "spelled": sequence(gpt2, pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="first")),
    }
    kinds = {name: build(vocab, merges, pre_tokenizer=step, decoder=decoder) for name, step in words.items()}
    for behavior in ("isolated", "removed", "contiguous", "merged_with_previous", "merged_with_next"):
        for invert in (False, True):
            step = sequence(split(Regex(r"\s|[0-9]|x*"), behavior, invert), split("e", behavior, invert), byte_level)
            kinds[f"split-{behavior}{'-inverted' * invert}"] = build(vocab, merges, pre_tokenizer=step, decoder=decoder)
        step = sequence(pre_tokenizers.Punctuation(behavior), byte_level)
        kinds[f"punctuation-{behavior}"] = build(vocab, merges, pre_tokenizer=step, decoder=decoder)
    for name, steps in {
        "qwen2": [normalizers.NFC()],
        "lower-nfkc": [normalizers.Strip(), normalizers.Lowercase(), normalizers.NFKC()],
        "no-accents": [normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip(left=False)],
        "nfkd-replace": [normalizers.NFKD(), normalizers.Replace(Regex(r"[aeiou]{2,}|\d"), "-"), normalizers.Replace("th", "")],
        "nmt-prepend": [normalizers.Nmt(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Prepend("x ")],
    }.items():
        extra = BLANK if name == "qwen2" else EXTRA
        kinds[name] = build(vocab, merges, normalizers.Sequence(steps), sequence(split(Regex(QWEN)), byte_level), decoder,
                            extra=extra)
    kinds["ignore-merges"] = build(vocab, merges[: len(merges) // 2], pre_tokenizer=words["llama3"], decoder=decoder,
                                   ignore_merges=True,
                                   post=processors.Sequence([processors.ByteLevel(trim_offsets=False), around("<s>", "$", "</s>", vocab=vocab)]))
    kinds.update(lacking_bytes(vocab, merges, words["llama3"], decoder))
    return kinds


def lacking_bytes(vocab, merges, pre_tokenizer, decoder):
    """Vocabularies without the bytes E0 to FF and a newline, which become the unknown token or nothing."""
    missing = [chr(c) for c in range(0xE0, 0x100)] + ["\u010a"]
    keeps = lambda token: token in SPECIAL or not any(c in token for c in missing)  # noqa: E731
    short = {token: i for i, token in enumerate(sorted(filter(keeps, vocab), key=vocab.get))}
    left = [pair for pair in merges if all(map(keeps, pair))]
    settings = {
        "dropped": {}, "unk": {"unk_token": "<unk>"}, "unk-fused": {"unk_token": "<unk>", "fuse_unk": True},
    }
    return {f"bytes-{name}": build(short, left, pre_tokenizer=pre_tokenizer, decoder=decoder, **model)
            for name, model in settings.items()}


def sentencepiece_kinds():
    metaspace = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    fallback = [bytes_of(byte) for byte in range(256)]
    vocab, merges = train(metaspace, special=SPECIAL + fallback, size=1400)
    partial = {token: id for token, id in vocab.items() if token not in fallback[0x80:0xE4]}
    partial = {token: i for i, token in enumerate(sorted(partial, key=partial.get))}
    plain = {token: i for i, token in enumerate(sorted(set(vocab) - set(fallback), key=vocab.get))}
    whole = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    replace = normalizers.Replace(" ", SPACE)
    fuse = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    llama = decoders.Sequence(fuse + [decoders.Strip(content=" ", left=1, right=0)])
    prepend = normalizers.Sequence([normalizers.Prepend(SPACE), replace])
    bos = around("<s>", "$", vocab=vocab)

    def spaces(scheme, split):
        return pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=split)

    kinds = {
        "llama2": build(vocab, merges, prepend, None, llama, bos, **whole),
        "mistral": build(vocab, merges, None, spaces("first", False), llama, bos, **whole),
        "gemma": build(vocab, merges, replace, pre_tokenizers.Split(" ", "merged_with_previous"), decoders.Sequence(fuse), bos, extra=BLANK, **whole),
        "phi3": build(vocab, merges, prepend, None, llama, bos,
                      extra=[added("<|user|>", rstrip=True, special=True), added("<|end|>", rstrip=True, special=True),
                             added("</s>", rstrip=True, special=False)], **whole),
        "normalized-markers": build(vocab, merges, prepend, None, llama, bos,
                                    extra=[added("<s>", normalized=True, special=True), added("<new>", normalized=True)], **whole),
        "deepseek-v1": build(vocab, merges, None, pre_tokenizers.Sequence([spaces("first", True), pre_tokenizers.Digits(True)]),
                             decoders.Metaspace(replacement=SPACE, prepend_scheme="first"), bos, **whole),
        "some-bytes": build(partial, merges, prepend, None, llama, **whole),
        "some-bytes-each": build(partial, merges, prepend, None, llama, **{**whole, "fuse_unk": False}),
        "unknown-each": build(plain, merges, None, spaces("always", True), decoders.Metaspace(), unk_token="<unk>"),
        "unknown-fused": build(plain, merges, None, spaces("always", False), decoders.Metaspace(), unk_token="<unk>", fuse_unk=True),
        "unknown-dropped": build(plain, merges, None, spaces("never", True), decoders.Metaspace(prepend_scheme="never")),
        "no-decoder": build(plain, merges, None, pre_tokenizers.Whitespace(), None, unk_token="<unk>"),
        "strip-both": build(vocab, merges, prepend, None,
                            decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Replace(SPACE, " "),
                                               decoders.Replace("ab", "+"), decoders.Strip("e", 2, 0)]), bos, **whole),
    }
    return kinds


def all_kinds():
    return {**byte_level_kinds(), **sentencepiece_kinds()}
