"""The `openai` package: every answer is validated strictly with its own types."""
import openai
import pytest
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseCompletedEvent

MODEL = "demo"


@pytest.fixture(scope="module")
def client(base_url):
    return openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)


def strict(kind, answer):
    """As the package reads it, and again without any leniency."""
    kind.model_validate_json(answer.model_dump_json(exclude_unset=True), strict=False)
    return answer


def picture(sample, **fields):
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": sample["uri"], **fields}},
                                         {"type": "text", "text": sample["question"]}]}]


def test_models(client):
    listed = client.models.list()
    assert [model.id for model in listed] == [MODEL]
    assert strict(Model, client.models.retrieve(MODEL)).id == MODEL
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("other/model")
    assert error.value.code == "model_not_found"


def test_pictures_are_read(client, samples):
    for sample in samples:
        answer = strict(ChatCompletion, client.chat.completions.create(model=MODEL, messages=picture(sample), temperature=0))
        assert answer.choices[0].message.content == sample["answer"]
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.prompt_tokens_details.cached_tokens == 0
        assert answer.usage.prompt_tokens_details.image_tokens > 0
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        assert answer.system_fingerprint.startswith("fp_")


def test_detail_low_is_one_piece(client, sample):
    tokens = {}
    for detail in ("low", "high"):
        answer = client.chat.completions.create(model=MODEL, messages=picture(sample, detail=detail), temperature=0)
        tokens[detail] = answer.usage.prompt_tokens_details.image_tokens
    assert tokens["low"] <= tokens["high"]


def test_stream(client, sample):
    text, usage, finish = "", None, None
    for chunk in client.chat.completions.create(model=MODEL, messages=picture(sample), temperature=0, stream=True,
                                                stream_options={"include_usage": True}):
        strict(ChatCompletionChunk, chunk)
        if chunk.usage is not None:
            assert chunk.choices == []
            usage = chunk.usage
            continue
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
    assert text == sample["answer"] and finish == "stop" and usage.completion_tokens > 0


def test_several_pictures_and_roles(client, samples):
    messages = [{"role": "developer", "content": "Answer."}]
    for sample in samples[:2]:
        messages += picture(sample) + [{"role": "assistant", "content": sample["answer"]}]
    answer = client.chat.completions.create(model=MODEL, messages=messages + picture(samples[0]), max_completion_tokens=5)
    assert answer.usage.completion_tokens <= 5


def test_max_tokens_and_stop(client, sample):
    cut = client.chat.completions.create(model=MODEL, messages=picture(sample), temperature=0, max_tokens=1)
    assert cut.choices[0].finish_reason == "length" and cut.usage.completion_tokens == 1
    stopped = client.chat.completions.create(model=MODEL, messages=picture(sample), temperature=0, stop=sample["answer"][1:3])
    assert stopped.choices[0].message.content == sample["answer"][:1] and stopped.choices[0].finish_reason == "stop"


def test_responses(client, sample):
    answer = client.responses.create(model=MODEL, temperature=0, store=False, input=[{"role": "user", "content": [
        {"type": "input_image", "image_url": sample["uri"], "detail": "auto"}, {"type": "input_text", "text": sample["question"]}]}])
    strict(Response, answer)
    assert answer.output_text == sample["answer"] and answer.status == "completed"
    assert answer.usage.input_tokens_details.cached_tokens == 0
    cut = client.responses.create(model=MODEL, input="Read.", max_output_tokens=1)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"


def test_responses_stream(client, sample):
    events = list(client.responses.create(model=MODEL, temperature=0, stream=True, input=[{"role": "user", "content": [
        {"type": "input_image", "image_url": sample["uri"], "detail": "auto"}, {"type": "input_text", "text": sample["question"]}]}]))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == sample["answer"]
    assert isinstance(events[-1], ResponseCompletedEvent)
    assert events[-1].response.output_text == sample["answer"]


def test_choices_with_logprobs(client, samples):
    answer = strict(ChatCompletion, client.chat.completions.create(
        model=MODEL, messages=picture(samples[0]), n=3, seed=7, logprobs=True, top_logprobs=2))
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    tokens = 0
    for choice in answer.choices:
        said = choice.logprobs.content
        assert b"".join(bytes(token.bytes) for token in said).decode() == choice.message.content
        for token in said:
            assert token.logprob <= 0 and len(token.top_logprobs) == 2
            assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob
        tokens += len(said)
    # The token that ends an answer is counted and not told.
    assert tokens <= answer.usage.completion_tokens <= tokens + 3


def test_completions(client):
    answer = strict(Completion, client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=4, temperature=0, logprobs=2,
                                                          extra_body={"ignore_eos": True}))
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 4
    assert len(answer.choices[0].logprobs.tokens) == 4
    chunks = list(client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=4, temperature=0, stream=True,
                                            extra_body={"ignore_eos": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text


@pytest.mark.parametrize("fields, code, param", [
    ({"temperature": 3}, "invalid_value", "temperature"),
    ({"n": 17}, "invalid_value", "n"),
    ({"store": True}, "unsupported_value", "store"),
    ({"functions": [{"name": "f"}]}, "unsupported_parameter", "functions"),
    ({"extra_body": {"guided_regex": "a+"}}, "unsupported_parameter", "guided_regex"),
    ({"extra_body": {"temprature": 1}}, "unknown_parameter", "temprature"),
    ({"extra_body": {"messages": []}}, "invalid_value", "messages"),
    ({"max_tokens": 1, "max_completion_tokens": 2}, "invalid_value", "max_completion_tokens"),
    ({"max_tokens": 1_000_000}, "context_length_exceeded", None),
])
def test_refusals_name_the_field(client, fields, code, param):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}], **fields)
    assert (error.value.code, error.value.param) == (code, param)
    assert error.value.request_id and error.value.body["message"]


def test_prompt_that_is_too_long(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "long " * 100_000}])
    assert error.value.code == "context_length_exceeded"


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
    assert error.value.code == "model_not_found"


def test_picture_that_is_none(client):
    for uri, words in [("https://example.com/x.png", "no data URI"), ("data:image/png;base64,aGk=", "image 1")]:
        with pytest.raises(openai.BadRequestError, match=words):
            client.chat.completions.create(model=MODEL, messages=picture({"uri": uri, "question": "?"}))


def test_client_that_leaves_a_stream(client, cluster, sample):
    stream = client.chat.completions.create(model=MODEL, messages=picture(sample), stream=True)
    next(iter(stream))
    stream.close()
    cluster.wait_idle()


def test_request_id_is_the_clients(client):
    answer = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "x"}], max_tokens=1, extra_headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.parse().id == "chatcmpl-mine-1"


def test_embeddings_of_pictures(client, samples):
    """The package asks for base64 unless told otherwise, and reads float32 from it."""
    pictures = [samples[0]["uri"], samples[1]["uri"]]
    numbers = strict(CreateEmbeddingResponse, client.embeddings.create(model=MODEL, input=pictures, encoding_format="float"))
    decoded = strict(CreateEmbeddingResponse, client.embeddings.create(model=MODEL, input=pictures))
    for ours, theirs in zip(numbers.data, decoded.data, strict=True):
        rows, columns = ours.shape
        assert len(ours.embedding) == rows * columns and sum(ours.piece_rows) == rows
        assert theirs.embedding == pytest.approx(ours.embedding, rel=1e-6)
    assert numbers.usage.prompt_tokens == sum(entry.shape[0] for entry in numbers.data)
    with pytest.raises(openai.BadRequestError) as error:
        client.embeddings.create(model=MODEL, input=[pictures[0], "a text"])
    assert (error.value.param, error.value.code) == ("input[1]", "unsupported_value")
