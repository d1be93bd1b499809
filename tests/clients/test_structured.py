"""Answers that keep to a schema, and forced calls, as frameworks ask for them. The demo model knows neither tools nor JSON: what
comes is right all the same, at any temperature."""
import asyncio
import json
from typing import Annotated, Literal

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseFunctionToolCall
from pydantic import BaseModel, Field

MODEL = "demo"
QUESTION = [{"role": "user", "content": "What is there?"}]


class Reading(BaseModel, extra="forbid"):
    """Every text of it is short, so that no answer is cut."""

    kind: Literal["text", "shape", "a \"quoted\" kind"]
    count: Annotated[int, Field(ge=0, le=12)]
    words: Annotated[list[Annotated[str, Field(max_length=8)]], Field(max_length=3)]
    certain: bool


class Shelf(BaseModel):
    name: Annotated[str, Field(pattern="^[a-z]{2,5}$")]
    readings: Annotated[list[Reading], Field(min_length=1, max_length=2)]


@pytest.fixture(scope="module")
def client(base_url):
    return openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)


def strict(kind, answer):
    kind.model_validate_json(answer.model_dump_json(exclude_unset=True), strict=False)
    return answer


@pytest.mark.parametrize("temperature", [0, 1, 2])
def test_parse(client, temperature):
    for seed, kind in ((1, Reading), (2, Shelf)):
        answer = client.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=kind, temperature=temperature, seed=seed,
                                               n=2)
        strict(ChatCompletion, answer)
        for choice in answer.choices:
            assert choice.finish_reason == "stop" and isinstance(choice.message.parsed, kind), choice
        response = client.responses.parse(model=MODEL, input="What is there?", text_format=kind, temperature=temperature)
        assert isinstance(response.output_parsed, kind)


def test_json_object(client):
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, response_format={"type": "json_object"}, temperature=1, seed=3,
                                            max_tokens=400, logprobs=True, top_logprobs=2, extra_body={"prompt_logprobs": 1})
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
    assert answer.choices[0].message.content.lstrip().startswith("{")
    assert answer.choices[0].logprobs.content and answer.prompt_logprobs


def test_stream_of_a_schema(client):
    with client.chat.completions.stream(model=MODEL, messages=QUESTION, response_format=Reading, temperature=1) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Reading)


def test_completions(client):
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": [["a"], {"b": None}]}}}
    answer = client.completions.create(model=MODEL, prompt="Once", extra_body={"response_format": schema})
    assert json.loads(answer.choices[0].text) in (["a"], {"b": None})


def tools(*kinds):
    return [openai.pydantic_function_tool(kind) for kind in kinds]


def test_named_tool(client):
    for temperature in (0, 1):
        answer = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=tools(Reading, Shelf), temperature=temperature,
                                                tool_choice={"type": "function", "function": {"name": "Shelf"}})
        choice = strict(ChatCompletion, answer).choices[0]
        assert choice.finish_reason == "tool_calls" and choice.message.content is None
        [call] = choice.message.tool_calls
        assert call.function.name == "Shelf" and Shelf.model_validate_json(call.function.arguments)


def test_required_tool_streams_its_name_first(client):
    for seed in range(3):
        name, arguments, finish, names_at = "", "", None, []
        for number, chunk in enumerate(client.chat.completions.create(model=MODEL, messages=QUESTION, tools=tools(Reading, Shelf), seed=seed,
                                                                      tool_choice="required", temperature=1, stream=True,
                                                                      parallel_tool_calls=False)):
            [choice] = strict(ChatCompletionChunk, chunk).choices
            for call in choice.delta.tool_calls or []:
                assert call.index == 0
                if call.function.name:
                    names_at.append((number, arguments))
                    name = call.function.name
                    assert call.id
                arguments += call.function.arguments or ""
            finish = choice.finish_reason or finish
        assert finish == "tool_calls" and len(names_at) == 1 and names_at[0][1] == ""
        {"Reading": Reading, "Shelf": Shelf}[name].model_validate_json(arguments)


def test_forced_calls_of_responses(client):
    tool = {"type": "function", "name": "f", "parameters": Reading.model_json_schema(), "strict": True}
    for choice in ("required", {"type": "function", "name": "f"}):
        arguments, done = "", None
        for event in client.responses.create(model=MODEL, input="What?", tools=[tool], tool_choice=choice, stream=True, temperature=1):
            if event.type == "response.function_call_arguments.delta":
                arguments += event.delta
            if event.type == "response.function_call_arguments.done":
                assert event.arguments == arguments
            if event.type == "response.completed":
                done = strict(Response, event.response)
        [item] = done.output
        assert isinstance(item, ResponseFunctionToolCall) and item.arguments == arguments
        assert Reading.model_validate_json(arguments)


def refused(client, **fields):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=MODEL, messages=QUESTION, **fields)
    return error.value


def form(schema):
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}


def test_what_cannot_be_kept_is_refused(client):
    error = refused(client, response_format=form({"type": "object", "properties": {"a": {"type": "array", "contains": {}}}}))
    assert error.param == "response_format.json_schema.schema" and "/properties/a/contains" in error.message
    error = refused(client, response_format=form({"const": "x" * 300}), max_tokens=7)
    assert error.param == "max_tokens" and "is 7; the shortest answer" in error.message
    assert refused(client, response_format={"type": "json_object"}, stop="}").param == "stop"
    bad = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "unevaluatedProperties": False}}}
    error = refused(client, tools=tools(Reading) + [bad], tool_choice="required")
    assert error.param == "tools[1].function.parameters" and "\"/unevaluatedProperties\"" in error.message


def test_length_cuts(client):
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, response_format=form({"type": "string", "minLength": 200}),
                                            max_tokens=60 * 4, temperature=1)
    choice = answer.choices[0]
    assert choice.finish_reason == ("length" if answer.usage.completion_tokens == 240 else "stop")


def test_instructor(base_url):
    import instructor

    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
        patched = instructor.from_openai(openai.OpenAI(base_url=base_url, api_key="none", max_retries=0), mode=mode)
        reading = patched.chat.completions.create(model=MODEL, messages=QUESTION, response_model=Reading, max_retries=0, temperature=1)
        assert isinstance(reading, Reading), mode


def test_langchain(base_url):
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=base_url, api_key="none", model=MODEL, temperature=1, max_retries=0, use_responses_api=False)
    for method in ("json_schema", "function_calling"):
        assert isinstance(chat.with_structured_output(Shelf, method=method).invoke("What is there?"), Shelf), method


def test_pydantic_ai(base_url):
    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    for kind in (OpenAIResponsesModel, OpenAIChatModel):
        for output in (Reading, NativeOutput(Reading), [Reading, Shelf]):
            provider = OpenAIProvider(openai_client=openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0))
            agent = Agent(kind(MODEL, provider=provider), output_type=output, retries=0)
            assert isinstance(agent.run_sync("What is there?").output, (Reading, Shelf)), (kind, output)


def test_openai_agents(base_url):
    from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool

    seen = []

    @function_tool
    def look(shelf: Literal["upper", "lower"], certain: bool) -> str:
        """Looks at a shelf."""
        seen.append((shelf, certain))
        return "Two cups."

    async def run(kind):
        model = kind(model=MODEL, openai_client=openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0))
        forced = Agent(name="looks", model=model, tools=[look], tool_use_behavior="stop_on_first_tool",
                       model_settings=ModelSettings(tool_choice="required", temperature=1))
        assert (await Runner.run(forced, "Look.")).final_output == "Two cups."
        streamed = Runner.run_streamed(forced, "Look.")
        async for _ in streamed.stream_events():
            pass
        assert streamed.final_output == "Two cups."
        typed = Agent(name="reads", model=model, output_type=Reading, model_settings=ModelSettings(temperature=1))
        assert isinstance((await Runner.run(typed, "Read.")).final_output, Reading)

    for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
        asyncio.run(run(kind))
    assert len(seen) == 4 and all(shelf in ("upper", "lower") for shelf, _ in seen)
