"""Builds the demo model's own byte-level tokenizer in the Hugging Face layout.

Capitals and digits are never merged, so a string such as KAT7 is one token a character."""
import json

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import vocabulary

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
MARKERS = ["<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "</image>", "<ref>", "</ref>", "<box>",
           "</box>", "<quad>", "</quad>", "<point>", "</point>", "<slice>", "</slice>", "<image_id>", "</image_id>"]
MARKERS += [f"<|reserved_special_token_{i}|>" for i in range(6)]
SIZE = 512
SYSTEM = "You are a helpful assistant."
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\n" + SYSTEM +
    "<|im_end|>\n{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
# Everyday words, so that ordinary text is not all single bytes.
FILLER = ("the of and to in is it that for on with this you are be as at by have from or one what which there how "
          "many do see picture image please tell me describe answer hello thanks words letters number colours shapes "
          "between left right top bottom first second last line list sign name where when who can will not no yes "
          "small large big round corner middle under over between nothing something anything time people good").split()


def corpus():
    """Text the merges are learned from: every question, many times, and the filler words."""
    for _ in range(20):
        yield from vocabulary.all_questions()
        yield from ["system", "user", "assistant", SYSTEM]
        yield from vocabulary.COLOUR_NAMES
        yield from vocabulary.SHAPES
    yield from FILLER
    yield " ".join(FILLER)
    yield " ".join(vocabulary.COLOUR_NAMES) + " " + " ".join(vocabulary.SHAPES)


def build():
    """The tokenizer, with the markers at its end."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=SIZE - len(MARKERS), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    layout = json.loads(tokenizer.to_str())
    base = layout["model"]["vocab"]
    for left, right in layout["model"]["merges"]:
        assert not (left[-1] in vocabulary.ALPHABET and right[0] in vocabulary.ALPHABET), (left, right)
    base["<unk>"] = len(base)   # a base entry that is also declared special, as published
    layout["added_tokens"] = [
        {"id": base["<unk>"] + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True} for i, text in enumerate(MARKERS)]
    return Tokenizer.from_str(json.dumps(layout))


def tokenizer_config(tokenizer):
    """The contents of tokenizer_config.json."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {
        "add_prefix_space": False, "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
        "unk_token": "<unk>", "errors": "replace", "clean_up_tokenization_spaces": False,
        "split_special_tokens": False, "model_max_length": 1000000, "tokenizer_class": "MiniCPMVTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
        "added_tokens_decoder": {str(tokenizer.token_to_id(t)): {"content": t, **flags} for t in MARKERS},
    }


def prompt_head(cells):
    """The text before the question: system message, and the placeholders of one picture with or without slices."""
    text = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<image_id>0</image_id><image>{'<unk>' * 64}</image>"
    if cells:
        columns, rows = cells
        text += "\n".join([("<slice>" + "<unk>" * 64 + "</slice>") * columns] * rows)
    return text + "\n"


def prompt_tail(question):
    """The text from the question to where the answer begins."""
    return f"{question}<|im_end|>\n<|im_start|>assistant\n"
