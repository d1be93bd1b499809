"""Random byte-level BPE tokenizers in the published file layout, chat templates, and the ids of a prompt by the Hugging Face tokenizers library."""
import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DIGITS_IN_THREES = SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)
MARKERS = {"unk": "<unk>", "im_start": "<image>", "im_end": "</image>", "slice_start": "<slice>", "slice_end": "</slice>",
           "im_id_start": "<image_id>", "im_id_end": "</image_id>"}
OTHER_MARKERS = {"unk": "<|pad|>", "im_start": "[IMG]", "im_end": "[/IMG]", "slice_start": "[TILE]", "slice_end": "[/TILE]",
                 "im_id_start": "[NO]", "im_id_end": "[/NO]"}
CHAT_ML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
GLM_MARKERS = {"unk": "<|image|>", "im_start": "<|begin_of_image|>", "im_end": "<|end_of_image|>"}
HUNYUAN_MARKERS = {"unk": "<｜hy_place▁holder▁no▁102｜>", "im_start": "<｜hy_place▁holder▁no▁100｜>", "im_end": "<｜hy_place▁holder▁no▁101｜>"}
HUNYUAN = ("<｜hy_begin▁of▁sentence｜>", "<｜hy_User｜>", "<｜hy_Assistant｜>", "<｜hy_place▁holder▁no▁2｜>", "<｜hy_place▁holder▁no▁3｜>")
BEHIND = {"system": "<｜hy_place▁holder▁no▁3｜>", "user": "<｜hy_User｜>", "assistant": "<｜hy_Assistant｜>"}  # of Hunyuan's messages
GLM = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
LLAMA_3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
PHRASES = ("What is it?", "the memory that a server promises", "Read the text, please.", "How many circles are there: 3, 14 or 159?", "line\nbreak",
           "two\n\nbreaks", "  spaces   inside ", "\ttab", "na\u00efve cafe\u0301", "\u4e2d\u6587 \u5185\u5b58", "\u0443\u0440\u043e\u043a",
           "\U0001f600 and \U0001f469\u200d\U0001f467", "it's we'LL don't", "f(x) = {a: [1, 2]};", "a < b && c > d", "!", "~", "Z\u0323\u0307",
           "100 000", "\u1112\u1161\u11ab", "x", "A much longer sentence about nothing at all, which goes on, and on; and ends.")


def random_text(rng, phrases_max):
    joiner = str(rng.choice([" ", "\n", "", ". "]))
    return joiner.join(str(rng.choice(PHRASES)) for _ in range(int(rng.integers(1, phrases_max + 1))))


class Words:
    """tokenizer.json, tokenizer_config.json and what they make of a request."""

    def __init__(self, rng, vision, family):
        self.markers = dict(MARKERS if rng.random() < 0.7 else OTHER_MARKERS) if vision else {}
        self.markers = {"glm": GLM_MARKERS, "hunyuan": HUNYUAN_MARKERS}.get(family, self.markers)
        self.family = family
        control = list({"llama3": LLAMA_3, "glm": GLM, "hunyuan": HUNYUAN}.get(family, CHAT_ML))
        special = control + list(self.markers.values()) + [f"<|reserved_{i}|>" for i in range(int(rng.integers(4)))]
        self.file = self.make_file(rng, special)
        self.library = Tokenizer.from_str(json.dumps(self.file))
        assert all(self.id(token["content"]) == token["id"] for token in self.file["added_tokens"])
        self.size = 1 + max(self.library.get_vocab().values())
        self.default_system = str(rng.choice(["You are a helpful assistant.", "Answer briefly.\nNever lie.", ""])) or None
        if family != "chatml":
            self.default_system = None
        self.spelling = int(rng.integers(2))
        self.named_templates = rng.random() < 0.15

    def make_file(self, rng, special):
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trained.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=int(rng.integers(257, 420)), initial_alphabet=alphabet, show_progress=False)
        trained.train_from_iterator([str(rng.choice(PHRASES)) for _ in range(60)], trainer)
        file = json.loads(trained.to_str())
        model = file["model"]
        # Ids mean nothing, so they come in any order. A special token may be a base entry as well, as <unk> is in the published file; the library
        # numbers the others on from the end of the vocabulary.
        inside = [content for content in special if rng.random() < 0.3]
        tokens = list(model["vocab"]) + inside
        ids = [int(i) for i in (rng.permutation(len(tokens)) if rng.random() < 0.4 else range(len(tokens)))]
        model["vocab"] = dict(zip(tokens, ids))
        outside = [content for content in special if content not in inside]
        added = {content: model["vocab"][content] for content in inside} | {content: len(tokens) + i for i, content in enumerate(outside)}
        pairs = [merge if isinstance(merge, list) else merge.split(" ") for merge in model["merges"]]
        model["merges"] = pairs if rng.random() < 0.5 else [" ".join(pair) for pair in pairs]
        pattern = SPLIT if rng.random() < 0.8 else DIGITS_IN_THREES
        pieces = [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                  {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]
        file.update(
            normalizer={"type": "NFC"} if rng.random() < 0.8 else None, pre_tokenizer={"type": "Sequence", "pretokenizers": pieces},
            post_processor={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            added_tokens=[{"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                          for content, i in added.items()])
        return file

    def id(self, content):
        return self.library.token_to_id(content)

    def encode(self, text):
        return self.library.encode(text, add_special_tokens=False).ids

    def stops(self):
        if self.family == "glm":
            return [self.id("<|endoftext|>"), self.id("<|user|>")]
        if self.family == "hunyuan":
            return [self.id("<｜hy_place▁holder▁no▁2｜>")]
        return [self.id("<|eot_id|>")] if self.family == "llama3" else [self.id("<|im_end|>"), self.id("<|endoftext|>")]

    def jinja(self):
        if self.family == "glm":
            return ("[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
                    "{% if part.type == 'image' %}<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
                    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}")
        if self.family == "hunyuan":
            return (HUNYUAN[0] + "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
                    "{% if part.type == 'image' %}" + "".join(HUNYUAN_MARKERS[name] for name in ("im_start", "unk", "im_end")) +
                    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}" +
                    "".join("{% if m.role == '" + role + "' %}" + mark + "{% endif %}" for role, mark in BEHIND.items()) + "{% endfor %}")
        if self.family == "llama3":
            return ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
                    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
                    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
                    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
        system = f"<|im_start|>system\n{self.default_system}<|im_end|>\n"
        if self.spelling:
            first = "{% if loop.first and messages[0]['role'] != 'system' %}{{ '" + system.replace("\n", "\\n") + "' }}{% endif %}"
            return ("{% for message in messages %}" + (first if self.default_system else "") + "{{'<|im_start|>' + message['role'] + '\\n' + "
                    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
                    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
        first = "{% if loop.first and m['role'] != 'system' %}" + system + "{% endif %}"
        return ("{% for m in messages %}" + (first if self.default_system else "") + "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
                "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")

    def config(self):
        bos = {"llama3": "<|begin_of_text|>", "glm": None, "hunyuan": HUNYUAN[0]}.get(self.family, "<|im_start|>")
        template = self.jinja()
        if self.named_templates:
            template = [{"name": "tool_use", "template": "{{ tools }}"}, {"name": "default", "template": template}]
        return {"add_prefix_space": False, "bos_token": bos, "errors": "replace", "clean_up_tokenization_spaces": False, "chat_template": template}

    def render(self, messages):
        """messages: [(role, text)]."""
        if self.family == "glm":
            return "[gMASK]<sop>" + "".join(f"<|{role}|>\n{text}" for role, text in messages) + "<|assistant|>\n"
        if self.family == "hunyuan":
            return HUNYUAN[0] + "".join(text + BEHIND[role] for role, text in messages)
        if self.family == "llama3":
            turns = "".join(f"<|start_header_id|>{role}<|end_header_id|>\n\n{text.strip()}<|eot_id|>" for role, text in messages)
            return f"<|begin_of_text|>{turns}<|start_header_id|>assistant<|end_header_id|>\n\n"
        if self.default_system and messages[0][0] != "system":
            messages = [("system", self.default_system), *messages]
        return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in messages) + "<|im_start|>assistant\n"

    def picture(self, index, cells, queries):
        """The text that stands for a picture; index is None where pictures are not numbered."""
        m = self.markers
        fill = m["unk"] * queries
        text = "" if index is None else f"{m['im_id_start']}{index}{m['im_id_end']}"
        text += m["im_start"] + fill + m["im_end"]
        if cells is not None:
            columns, rows = cells
            text += "\n".join([(m["slice_start"] + fill + m["slice_end"]) * columns] * rows)
        return text

    def bounds(self, ids):
        """[start, end) of each run of places for a picture's embeddings."""
        starts, ends = ({self.id(self.markers[name]) for name in names if name in self.markers}
                        for names in (("im_start", "slice_start"), ("im_end", "slice_end")))
        starts = [i + 1 for i, token in enumerate(ids) if token in starts]
        ends = [i for i, token in enumerate(ids) if token in ends]
        return [list(pair) for pair in zip(starts, ends)]
