"""Model directories as people have them, made from the demo model: each starts and answers as it does."""
import json
import shutil
import struct

import headroom_api as api
import pytest
from cluster import DEMO_MODEL, Cluster

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def read_tensors(path):
    """{name: (dtype, shape, bytes)} of a safetensors file."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + size])
    header.pop("__metadata__", None)
    data = raw[8 + size:]
    return {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]) for name, entry in header.items()}


def write_tensors(path, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def split(model):
    """Two shards instead of the one file; which tensors lie where."""
    whole = model / "model.safetensors"
    tensors = read_tensors(whole)
    whole.unlink()
    names = list(tensors)
    parts = [{name: tensors[name] for name in names[start::2]} for start in (0, 1)]
    return parts, {name: shard for shard, part in zip(SHARDS, parts) for name in part}


def shards_without_index(model):
    parts, _ = split(model)
    for shard, part in zip(SHARDS, parts):
        write_tensors(model / shard, part)


def index_over_an_old_copy(model):
    """A tensor lies in both shards: zeros where the index does not look."""
    parts, index = split(model)
    name, (dtype, shape, data) = next(iter(parts[0].items()))
    parts[1][name] = (dtype, shape, bytes(len(data)))
    for shard, part in zip(SHARDS, parts):
        write_tensors(model / shard, part)
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def defaults_and_tokens_of_no_use(model):
    """top_k −1 as other servers write "off", and a pad token that was added without resizing the model."""
    generation = model / "generation_config.json"
    generation.write_text(json.dumps({**json.loads(generation.read_text()), "top_k": -1, "repetition_penalty": 0}))
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    rows = json.loads((model / "config.json").read_text())["vocab_size"]
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": rows, "content": "<pad>"})
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))


def what_trainers_save(model):
    """Truncation and padding of the last training, and markers that only tokenizer_config.json knows to be tokens."""
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    tokenizer["padding"] = {"strategy": {"Fixed": 512}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0,
                            "pad_type_id": 0, "pad_token": "<pad>"}
    markers = [token for token in tokenizer["added_tokens"] if token["content"].startswith("<|im_")]
    assert len(markers) == 2
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token not in markers]
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((model / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in markers}
    (model / "tokenizer_config.json").write_text(json.dumps(config))


def template_in_a_file(model):
    """As transformers saves it since 2025; what still stands in tokenizer_config.json loses."""
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "chat_template.jinja").write_text(config["chat_template"])
    (model / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": "old {{ messages[0].content }}"}))


def template_with_tools(model):
    """With a branch for tools, in the shape that Qwen2.5 and what was tuned from it have."""
    (model / "chat_template.jinja").write_text("""{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'assistant' and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""")


@pytest.mark.parametrize("change", [shards_without_index, index_over_an_old_copy, defaults_and_tokens_of_no_use, what_trainers_save, template_in_a_file, template_with_tools])
def test_starts_and_answers(change, mode, tmp_path, samples):
    model = tmp_path / "model"
    shutil.copytree(DEMO_MODEL, model)
    change(model)
    cluster = Cluster(mode, tmp_path, model=model)
    try:
        cluster.start()
        for sample in samples[:2]:
            request = api.ask(sample["question"], images=[sample["image"]])
            request.sampling.top_k = -1
            assert api.gateway(cluster.address).Complete(request).text == sample["answer"]
    finally:
        statuses = cluster.stop()
    assert set(statuses.values()) == {0}
