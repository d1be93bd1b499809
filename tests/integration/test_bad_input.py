"""Bad requests get a clear error, nothing is left behind, and the next request works."""
import io
import re
import struct
import zlib

import grpc
import headroom_api as api
import pytest
from cluster import wait_for
from PIL import Image

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def png(width, height, **options):
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(out, "PNG", **options)
    return out.getvalue()


def lying_png(width, height):
    """A PNG of 8×8 pixels whose header says otherwise, with a right CRC."""
    data = bytearray(png(8, 8))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def encoded(image_format, size=(64, 48)):
    out = io.BytesIO()
    Image.new("RGB", size, (10, 200, 90)).save(out, image_format)
    return out.getvalue()


def image_request(*images, **fields):
    return api.ask("What is this?", images, max_tokens=4, **fields)


def with_sampling(**values):
    request = api.ask("Hello", max_tokens=4)
    for name, value in values.items():
        setattr(request.sampling, name, value)
    return request


def with_messages(*messages):
    request = api.gateway_pb2.GenerateRequest(max_tokens=4)
    for role, text in messages:
        request.messages.add(role=role).content.add(text=text)
    return request


BAD = {
    "no bytes": lambda: image_request(b""),
    "one byte": lambda: image_request(b"\x89"),
    "not an image": lambda: image_request(b"hello world, this is text" * 10),
    "truncated png header": lambda: image_request(png(100, 100)[:20]),
    "truncated png data": lambda: image_request(png(100, 100)[:60]),
    "truncated jpeg": lambda: image_request(encoded("JPEG")[:100]),
    "truncated webp": lambda: image_request(encoded("WEBP")[:40]),
    "truncated gif": lambda: image_request(encoded("GIF")[:60]),
    "truncated bmp": lambda: image_request(encoded("BMP")[:100]),
    "tiff": lambda: image_request(encoded("TIFF")),
    "svg": lambda: image_request(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "60000x60000 header": lambda: image_request(lying_png(60000, 60000)),
    "2^31 wide header": lambda: image_request(lying_png(2**31 - 1, 1)),
    "zero wide header": lambda: image_request(lying_png(0, 8)),
    "header lies small": lambda: image_request(lying_png(9, 9)),
    "header lies large": lambda: image_request(lying_png(2000, 2000)),
    "100 images": lambda: image_request(*[png(8, 8)] * 100),
    "extreme aspect ratio": lambda: image_request(png(20000, 1)),
    "negative slice limit": lambda: image_request(png(8, 8), max_slice_nums=-1),
    "zero slice limit": lambda: image_request(png(8, 8), max_slice_nums=0),
    "huge slice limit": lambda: image_request(png(8, 8), max_slice_nums=2**31 - 1),
    "empty prompt": lambda: api.ask(""),
    "no messages": lambda: api.gateway_pb2.GenerateRequest(),
    "message without content": lambda: api.gateway_pb2.GenerateRequest(messages=[api.gateway_pb2.Message(role="user")]),
    "part without anything": lambda: api.gateway_pb2.GenerateRequest(
        messages=[api.gateway_pb2.Message(role="user", content=[api.gateway_pb2.ContentPart()])]),
    "over-long prompt": lambda: api.ask("word " * 20000),
    "15 MiB of newlines": lambda: api.ask("\n" * (15 << 20)),
    "request id with a space": lambda: api.ask("Hello", request_id="two words"),
    "long request id": lambda: api.ask("Hello", request_id="x" * 129),
    "unknown role": lambda: with_messages(("wizard", "Hello")),
    "empty message of the user at the end": lambda: with_messages(("user", "Hello"), ("assistant", "Hi"), ("user", "")),
    "nothing to go on from": lambda: api.ask("Hello", continue_final_message=True),
    "to go on and to begin": lambda: api.ask("Hello", continue_final_message=True, add_generation_prompt=True),
    "tool without a name": lambda: api.ask("Hello", tools=[api.gateway_pb2.Tool(description="x")]),
    "schema that is no JSON": lambda: api.ask("Hello", tools=[api.gateway_pb2.Tool(name="f", parameters_json="{")]),
    "schema that is no object": lambda: api.ask("Hello", tools=[api.gateway_pb2.Tool(name="f", parameters_json="[1]")]),
    "schema nested too deep": lambda: api.ask("Hello", tools=[api.gateway_pb2.Tool(name="f", parameters_json='{"a":' * 200 + "1" + "}" * 200)]),
    "forced call whose schema nests deep": lambda: api.ask(
        "Hello", tools=[api.gateway_pb2.Tool(name="f", parameters_json='{"a":' * 100_000 + "1" + "}" * 100_000)],
        tool_choice=api.gateway_pb2.ToolChoice(mode=api.gateway_pb2.ToolChoice.REQUIRED)),
    "argument that the template does not read": lambda: api.ask("Hello", template_arguments_json='{"enable_thinking": true}'),
    "argument that no template may read": lambda: api.ask("Hello", template_arguments_json='{"messages": []}'),
    "257 tools": lambda: api.ask("Hello", tools=[api.gateway_pb2.Tool(name="f")] * 257),
    "call by the user": lambda: api.gateway_pb2.GenerateRequest(
        messages=[api.gateway_pb2.Message(role="user", content=[api.gateway_pb2.ContentPart(text="x")], tool_calls=[api.gateway_pb2.ToolCall(name="f")])]),
    "max_tokens 0": lambda: api.ask("Hello", max_tokens=0),
    "max_tokens negative": lambda: api.ask("Hello", max_tokens=-5),
    "max_tokens huge": lambda: api.ask("Hello", max_tokens=2**31 - 1),
    "temperature negative": lambda: with_sampling(temperature=-1),
    "temperature nan": lambda: with_sampling(temperature=float("nan")),
    "temperature infinite": lambda: with_sampling(temperature=float("inf")),
    "top_p 0": lambda: with_sampling(top_p=0),
    "top_p above 1": lambda: with_sampling(top_p=1.5),
    "top_k negative": lambda: with_sampling(top_k=-2),
    "repetition penalty 0": lambda: with_sampling(repetition_penalty=0),
    "stop string empty": lambda: api.ask("Hello", stop=[""]),
    "stop string long": lambda: api.ask("Hello", stop=["x" * 1000]),
    "stop strings many": lambda: api.ask("Hello", stop=["x"] * 100),
    "too many choices": lambda: api.ask("Hello", n=17),
    "too many logprobs": lambda: api.ask("Hello", logprobs=21),
    "stop id outside": lambda: api.ask("Hello", stop_token_ids=[2**31 - 1]),
    "min_tokens above max_tokens": lambda: api.ask("Hello", max_tokens=4, min_tokens=5),
    "bias outside": lambda: api.ask("Hello", sampling=api.gateway_pb2.Sampling(logit_bias={-1: 1.0})),
    "bias that is no number": lambda: api.ask("Hello", sampling=api.gateway_pb2.Sampling(logit_bias={1: float("nan")})),
    "penalty out of range": lambda: api.ask("Hello", sampling=api.gateway_pb2.Sampling(presence_penalty=2.01)),
    "unknown model": lambda: api.ask("Hello", model="gpt-17"),
    "priority out of range": lambda: api.ask("Hello", priority=10**6),
}


def check_next_request_works(gateway):
    text, _ = api.collect(gateway.Generate(api.ask("Hello", max_tokens=2)))
    assert isinstance(text, str)


@pytest.mark.parametrize("name", BAD)
def test_bad_request(name, gateway):
    with pytest.raises(grpc.RpcError) as error:
        api.collect(gateway.Generate(BAD[name]()))
    assert error.value.code() in (INVALID, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND), error.value
    assert (error.value.code() == grpc.StatusCode.NOT_FOUND) == (name == "unknown model")
    details = error.value.details()
    assert len(details) > 10, details
    assert "/" not in details.replace("w/h", "") or "://" in details, f"no paths in messages to clients: {details}"
    assert not re.search("0x[0-9a-f]{6}", details), f"no pointers in messages to clients: {details}"
    check_next_request_works(gateway)


def test_the_wrong_field_is_named(gateway):
    with pytest.raises(grpc.RpcError) as error:
        gateway.Complete(BAD["argument that the template does not read"]())
    assert api.wrong_field(error.value) == "template_arguments_json.enable_thinking"


def test_message_above_the_receive_limit(gateway):
    with pytest.raises(grpc.RpcError) as error:
        api.collect(gateway.Generate(image_request(b"\x89PNG" + bytes(30 << 20))))
    assert error.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, INVALID)
    check_next_request_works(gateway)


def test_large_texts_at_once_are_refused_before_any_work(cluster, gateway):
    """Each costs its bytes twice, not the many times of them that tokenizing would."""
    calls = [api.gateway(cluster.address).Complete.future(api.ask("\n" * (15 << 20)), timeout=120) for _ in range(12)]
    for call in calls:
        assert call.code() in (INVALID, grpc.StatusCode.RESOURCE_EXHAUSTED), call.details()
    assert any(call.code() == INVALID and "2047 tokens" in call.details() for call in calls)
    wait_for(lambda: gateway.GetStatus(api.gateway_pb2.GetStatusRequest()).host_bytes_used == 0, "host memory is given back")
    check_next_request_works(gateway)


def raw_generate(cluster, message):
    call = api.channel(cluster.address).unary_stream(
        "/headroom.v1.Gateway/Generate", request_serializer=lambda raw: raw, response_deserializer=lambda raw: raw)
    return list(call(message, timeout=60))


@pytest.mark.parametrize("raw", [
    b"\xff\xff\xff\xff",                                # no protobuf
    b"\x12\x0b\x0a\x04user\x12\x03\x0a\x01\xff",        # text that is not UTF-8
], ids=["garbage", "invalid UTF-8"])
def test_message_that_is_not_ours(cluster, gateway, raw):
    with pytest.raises(grpc.RpcError) as error:
        raw_generate(cluster, raw)
    assert error.value.code() == INVALID
    assert "UTF-8" in error.value.details()
    check_next_request_works(gateway)


def test_good_formats_are_read(gateway):
    for image_format in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        _, finish = api.collect(gateway.Generate(image_request(encoded(image_format))))
        assert finish.usage.images == 1


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 3), (200, 8), (8, 200), (113, 112)])
def test_small_and_thin_images_work(gateway, size):
    _, finish = api.collect(gateway.Generate(image_request(png(*size))))
    assert finish.usage.pieces >= 1


def test_prompt_that_just_fits(gateway):
    """A prompt of 2047 tokens and one answer token fill max_model_len of deploy/demo.yaml; a longer one is refused."""
    used = gateway.Complete(api.ask("a b", max_tokens=1)).finish.usage.prompt_tokens
    per_word = gateway.Complete(api.ask("a b b", max_tokens=1)).finish.usage.prompt_tokens - used
    words = (2048 - 1 - used) // per_word
    fits = api.ask("a b" + " b" * words, max_tokens=1)
    assert gateway.Complete(fits).finish.usage.prompt_tokens <= 2047
    with pytest.raises(grpc.RpcError) as error:
        gateway.Complete(api.ask("a b" + " b" * (words + 2), max_tokens=1))
    assert error.value.code() == INVALID
    assert "2047 tokens" in error.value.details()
