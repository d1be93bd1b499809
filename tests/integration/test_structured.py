"""Answers that keep to a schema and forced calls through the public API, on the demo model, which was trained for neither: what
comes is right all the same, at any temperature. tests/clients has what frameworks ask for."""
import json
import re
import shutil

import headroom_api as api
import jsonschema
import pytest
from cluster import DEMO_MODEL, Cluster
from grpc import RpcError, StatusCode

# Whatever is written is short, so that no answer is cut.
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["text", "shape", None, "a \"quoted\" word"]},
        "sides": {"type": "integer", "minimum": 3, "maximum": 40},
        "words": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{1,6}$"}, "minItems": 1, "maxItems": 3},
        "where": {"$ref": "#/$defs/place"},
    },
    "required": ["kind", "words", "where"],
    "additionalProperties": False,
    "$defs": {"place": {"oneOf": [{"type": "null"}, {"type": "number", "minimum": -1.5, "maximum": 1.5}]}},
}
TOOLS = {
    "look": {"type": "object", "properties": {"at": {"enum": ["left", "right"]}}, "required": ["at"], "additionalProperties": False},
    "read": {"type": "object", "properties": {"line": {"$ref": "#/$defs/n"}}, "additionalProperties": False,
             "$defs": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}},
}


def request(temperature=1.0, seed=1, tools=(), **fields):
    asked = api.ask("What is there?", max_tokens=fields.pop("max_tokens", 400), **fields)
    asked.sampling.temperature = temperature
    asked.sampling.seed = seed
    for name in tools:
        asked.tools.add(name=name, parameters_json=json.dumps(TOOLS[name]))
    return asked


def of_schema(schema=None, **fields):
    asked = request(**fields)
    asked.response_format.json_schema = json.dumps(SCHEMA if schema is None else schema)
    return asked


def check(text, schema):
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))


@pytest.mark.parametrize("temperature", [0, 1, 2])
def test_every_choice_keeps_to_the_schema(gateway, temperature):
    for seed in range(4):
        answer = gateway.Complete(of_schema(temperature=temperature, seed=seed, n=3, logprobs=1, prompt_logprobs=0))
        assert len(answer.choices) == 3 and answer.prompt_logprobs
        for choice in answer.choices:
            assert choice.finish.reason == api.STOP
            check(choice.text, SCHEMA)
            assert b"".join(token.text for token in choice.logprobs).decode() == choice.text


def test_a_stream_is_the_whole_answer(gateway):
    text, finish = api.collect(gateway.Generate(of_schema(seed=5)))
    assert finish.reason == api.STOP and text == gateway.Complete(of_schema(seed=5)).text


def test_json_object(gateway):
    asked = request(temperature=0, max_tokens=300)
    asked.response_format.json_object = True
    answer = gateway.Complete(asked)
    assert answer.text.lstrip().startswith("{")
    if answer.finish.reason == api.STOP:
        assert isinstance(json.loads(answer.text), dict)


def test_pictures_and_prompts_have_formats_as_well(gateway, samples):
    asked = api.ask(samples[0]["question"], [samples[0]["image"]], max_tokens=200)
    asked.response_format.json_schema = json.dumps({"type": "object", "properties": {"says": {"enum": ["HELLO", "BYE"]}},
                                                    "required": ["says"], "additionalProperties": False})
    assert json.loads(gateway.Complete(asked).text)["says"] in ("HELLO", "BYE")
    asked = of_schema({"const": ["once", 1]})
    asked.ClearField("messages")
    asked.prompt = "Once"
    assert json.loads(gateway.Complete(asked).text) == ["once", 1]


def test_forced_calls(gateway):
    for seed in range(3):
        asked = request(seed=seed, tools=("look", "read"))
        asked.tool_choice.mode = api.gateway_pb2.ToolChoice.REQUIRED
        answer = gateway.Complete(asked)
        [call] = answer.choices[0].tool_calls
        assert call.id and not answer.text and answer.finish.reason == api.common_pb2.FINISH_REASON_TOOL_CALLS
        check(call.arguments_json, TOOLS[call.name])
        asked.tool_choice.function = "read"
        asked.parallel_tool_calls = False
        [call] = gateway.Complete(asked).choices[0].tool_calls
        assert call.name == "read"
        check(call.arguments_json, TOOLS["read"])


def test_a_forced_call_streams_its_name_first(gateway):
    asked = request(tools=("look", "read"))
    asked.tool_choice.mode = api.gateway_pb2.ToolChoice.REQUIRED
    deltas = [delta for piece in gateway.Generate(asked) for delta in piece.tool_calls]
    assert deltas[0].name in TOOLS and deltas[0].id and not any(delta.name or delta.index for delta in deltas[1:])
    assert len(deltas) > 2, "arguments come in pieces"
    check("".join(delta.arguments_delta for delta in deltas), TOOLS[deltas[0].name])


def refusal(gateway, asked):
    with pytest.raises(RpcError) as error:
        gateway.Complete(asked)
    assert error.value.code() == StatusCode.INVALID_ARGUMENT, error.value.details()
    return api.wrong_field(error.value), error.value.details()


def test_what_cannot_be_kept_is_refused(gateway):
    field, words = refusal(gateway, of_schema({"type": "object", "properties": {"a": {"contains": {}}}}))
    assert field == "response_format.json_schema" and "\"/properties/a/contains\"" in words
    field, words = refusal(gateway, of_schema({"type": "string", "minLength": 300}, max_tokens=9))
    assert field == "max_tokens" and re.search(r"is 9; the shortest answer .* has \d+ tokens", words)
    assert refusal(gateway, of_schema(stop=["}"]))[0] == "stop"
    assert refusal(gateway, of_schema(tools=("look",)))[0] == "response_format"
    asked = request(tools=("look",))
    asked.tool_choice.function = "other"
    assert refusal(gateway, asked)[0] == "tool_choice"
    assert refusal(gateway, request(template_arguments_json='{"enable_thinking": true}'))[0] == "template_arguments_json.enable_thinking"


def test_schemas_of_any_kind_end_at_once(gateway):
    """What is hostile is refused or served; the gateway lives."""
    deep = {}
    for _ in range(60):
        deep = {"items": deep}
    wide = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(2000)}}
    states = {"type": "string", "not": {"pattern": "(a|b)*a(a|b){12}"}}
    for schema in (deep, wide, states, {"$ref": "#"}, {"enum": []}, {"type": "string", "pattern": "(" * 2000}):
        assert refusal(gateway, of_schema(schema))[0] == "response_format.json_schema"
    asked = of_schema()
    asked.response_format.json_schema = "[" * 60_000
    assert refusal(gateway, asked)[0] == "response_format.json_schema"
    check(gateway.Complete(of_schema()).text, SCHEMA)


THINK_END = 506  # in place of a reserved token


@pytest.fixture(scope="module")
def thinker(mode, tmp_path_factory):
    """The demo model with a template that begins thoughts, unless it is told not to."""
    folder = tmp_path_factory.mktemp("thinker")
    shutil.copytree(DEMO_MODEL, folder / "model")
    tokenizer = json.loads((folder / "model" / "tokenizer.json").read_text())
    for token, content in ((THINK_END, "</think>"), (THINK_END + 1, "<think>")):
        [added] = [entry for entry in tokenizer["added_tokens"] if entry["id"] == token]
        tokenizer["model"]["vocab"].pop(added["content"], None)
        added.update(content=content, special=False)
    (folder / "model" / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((DEMO_MODEL / "tokenizer_config.json").read_text())
    config.pop("added_tokens_decoder", None)
    template = config.pop("chat_template")
    (folder / "model" / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "model" / "chat_template.jinja").write_text(
        template + "{% if add_generation_prompt %}<think>{% if enable_thinking is false %}</think>{% endif %}{% endif %}")
    cluster = Cluster(mode, folder, model=folder / "model")
    try:
        yield api.gateway(cluster.start().address)
    finally:
        statuses = cluster.stop()
    assert set(statuses.values()) == {0}


def test_the_text_begins_behind_thoughts(thinker):
    asked = of_schema(seed=3, n=2)
    asked.sampling.logit_bias[THINK_END] = 5
    for choice in thinker.Complete(asked).choices:
        # A model that was not trained to think may stop thinking at any time, or never.
        if choice.text or choice.finish.reason == api.STOP:
            check(choice.text, SCHEMA)
    asked.sampling.logit_bias[THINK_END] = 100
    answer = thinker.Complete(asked)
    for choice in answer.choices:
        assert choice.reasoning == "" and choice.finish.reason == api.STOP
        check(choice.text, SCHEMA)
    assert answer.finish.reasoning_tokens == 2, "the marks"
    forced = request(tools=("look", "read"))
    forced.sampling.logit_bias[THINK_END] = 100
    forced.tool_choice.mode = api.gateway_pb2.ToolChoice.REQUIRED
    [call] = thinker.Complete(forced).choices[0].tool_calls
    check(call.arguments_json, TOOLS[call.name])


def test_templates_are_told_not_to_think(thinker):
    asked = of_schema(template_arguments_json='{"enable_thinking": false}')
    answer = thinker.Complete(asked)
    assert answer.choices[0].reasoning == "" and answer.finish.reasoning_tokens == 0
    check(answer.text, SCHEMA)
    thinking = request(max_tokens=20, temperature=0)
    answer = thinker.Complete(thinking)
    assert answer.finish.reasoning_tokens > 0 and answer.choices[0].reasoning and not answer.text
