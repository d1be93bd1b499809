"""Questions that need no worker, over gRPC: tokens of a text, text of tokens, the price of a request. As over HTTP."""
import json
import urllib.request

import grpc
import pytest

import headroom_api as api

pb = api.gateway_pb2


def over_http(cluster, path, **body):
    request = urllib.request.Request(cluster.url + path, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_tokens_there_and_back(cluster, gateway):
    text = "HELLO, ünïcode 🎈"
    tokens = gateway.Tokenize(pb.TokenizeRequest(text=text, token_texts=True))
    assert b"".join(tokens.token_texts).decode() == text
    assert gateway.Detokenize(pb.DetokenizeRequest(tokens=tokens.tokens)).text.decode() == text
    assert gateway.Tokenize(pb.TokenizeRequest(text="")).tokens == []
    answer = over_http(cluster, "/tokenize", prompt=text)
    assert answer["tokens"] == tokens.tokens and answer["max_model_len"] == tokens.max_model_len
    assert over_http(cluster, "/detokenize", tokens=list(tokens.tokens))["prompt"] == text


def test_messages_become_the_prompt_of_generate(gateway):
    request = api.ask("What is it?", system="Be short.", max_tokens=1)
    tokens = gateway.Tokenize(pb.TokenizeRequest(messages=request.messages))
    assert len(tokens.tokens) == gateway.Complete(request).finish.usage.prompt_tokens


def test_the_price_is_what_the_request_then_uses(cluster, gateway, samples):
    request = api.ask(samples[0]["question"], [samples[0]["image"]], max_tokens=16)
    price = gateway.Price(request)
    usage = gateway.Complete(request).finish.usage
    for count in ("prompt_tokens", "image_tokens", "images", "pieces"):
        assert getattr(price.usage, count) == getattr(usage, count)
    assert price.max_tokens == 16 and price.llm.slots == 1 and price.vision.slots == 1
    assert not gateway.Price(api.ask("Hello")).HasField("vision")


def test_a_size_has_the_price_of_the_picture(cluster, gateway, samples):
    for sample in samples:
        width, height = (int.from_bytes(sample["image"][at:at + 4], "big") for at in (16, 20))
        size = {"width": width, "height": height, "format": "png", "size_bytes": len(sample["image"])}
        request = api.ask(sample["question"], [sample["image"]], max_tokens=16)
        whole = gateway.Price(request)
        request.messages[-1].content[0].image.CopyFrom(pb.Image(size=pb.ImageSize(**size)))
        assert gateway.Price(request) == whole, sample["name"]
        answer = over_http(cluster, "/v1/headroom/price", max_tokens=16, messages=[{"role": "user", "content": [
            {"type": "image_size", "image_size": size}, {"type": "text", "text": sample["question"]}]}])
        assert answer["price"]["llm"]["kv_blocks"] == whole.llm.kv_blocks
        assert answer["price"]["vision"]["host_bytes"] == whole.vision.host_bytes


@pytest.mark.parametrize("size, words", [
    ({"width": 0, "height": 5}, "at least 1"),
    ({"width": 40000, "height": 5}, "image_side_max"),
    ({"width": 30000, "height": 30000}, "image_pixels_max"),
    ({"width": 5, "height": 5, "format": "tiff"}, "size.format is 'tiff'"),
    ({"width": 5, "height": 5, "size_bytes": -1}, "size.size_bytes is -1"),
])
def test_bad_sizes_are_refused(gateway, size, words):
    request = api.ask("Hello")
    request.messages[-1].content.add(image=pb.Image(size=pb.ImageSize(**size)))
    with pytest.raises(grpc.RpcError) as error:
        gateway.Price(request)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "image 1: " in error.value.details() and words in error.value.details()


def test_a_size_alone_is_no_picture(gateway, samples):
    size = pb.Image(size=pb.ImageSize(width=9, height=9))
    request = api.ask("Hello")
    request.messages[-1].content.add(image=size)
    for call in (lambda: gateway.Complete(request), lambda: list(gateway.Embed(pb.EmbedRequest(images=[size])))):
        with pytest.raises(grpc.RpcError) as error:
            call()
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "a size alone is enough for a price" in error.value.details()
    request.messages[-1].content[-1].image.data = samples[0]["image"]
    with pytest.raises(grpc.RpcError) as error:
        gateway.Price(request)
    assert "size excludes data" in error.value.details()


@pytest.mark.parametrize("ask, words", [
    (lambda gateway: gateway.Tokenize(pb.TokenizeRequest()), "either text or messages"),
    (lambda gateway: gateway.Tokenize(pb.TokenizeRequest(text="a", messages=api.ask("a").messages)), "either text or messages"),
    (lambda gateway: gateway.Tokenize(pb.TokenizeRequest(text="a " * 1_000_000)), "has more than"),
    (lambda gateway: gateway.Detokenize(pb.DetokenizeRequest(tokens=[-1])), "token -1 is none of the vocabulary"),
    (lambda gateway: gateway.Detokenize(pb.DetokenizeRequest(tokens=[0] * 131_073)), "at most 131072"),
])
def test_bad_questions_are_refused(gateway, ask, words):
    with pytest.raises(grpc.RpcError) as error:
        ask(gateway)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert words in error.value.details()
