"""The ranges that stand beside the fields of the public protocol are those that the gateway enforces."""
import math
import re

import grpc
import pytest

import headroom_api as api

PICTURE = api.gateway_pb2.Image(data=(api.ROOT / "models" / "demo" / "samples" / "text.png").read_bytes())
# message → how a request with one field set is sent.
REQUESTS = {
    "GenerateRequest": lambda gateway, field: gateway.Complete(api.ask("Hello", **{"max_tokens": 1, **field})),
    "EmbedRequest": lambda gateway, field: list(gateway.Embed(api.gateway_pb2.EmbedRequest(images=[PICTURE], **field))),
    "Sampling": lambda gateway, field: gateway.Complete(
        api.ask("Hello", max_tokens=1, sampling=api.gateway_pb2.Sampling(**field))),
    "GetHistoryRequest": lambda gateway, field: gateway.GetHistory(api.cluster_pb2.GetHistoryRequest(**field)),
    "GetRefusalsRequest": lambda gateway, field: gateway.GetRefusals(api.cluster_pb2.GetRefusalsRequest(**field)),
}
# Numbers without a range of their own: any seed; max_tokens depends on the prompt, min_tokens on that, ids on the model: they have tests of their own.
WITHOUT_RANGE = {("Sampling", "seed"), ("GenerateRequest", "max_tokens"), ("GenerateRequest", "min_tokens"), ("GenerateRequest", "stop_token_ids")}
NUMBER = r"(?:optional )?(float|double|u?int(?:32|64)) (\w+) = \d+;"
RANGE = r"\s*// ([\[(])(-?[\d.]+), (-?[\d.]+|inf)([\])])"
STEP = {"float": 0.01, "int32": 1, "int64": 1}
TYPE_MAX = {"int32": 2**31 - 1, "int64": 2**63 - 1}


def messages():
    """name → body, of the files that clients need."""
    text = "".join((api.ROOT / "proto" / "headroom" / "v1" / name).read_text() for name in ("gateway.proto", "cluster.proto"))
    return dict(re.findall(r"^message (\w+) \{\n(.*?)^\}", text, flags=re.MULTILINE | re.DOTALL))


def ranges():
    """(message, field, type, least, most, least is outside)"""
    found = []
    for message in REQUESTS:
        for kind, field, opening, least, most, _ in re.findall(NUMBER + RANGE, messages()[message]):
            number = float if kind == "float" else int
            found.append((message, field, kind, number(least), math.inf if most == "inf" else number(most), opening == "("))
    return found


def test_every_number_has_a_range():
    for message in REQUESTS:
        fields = {(message, field) for _, field in re.findall(NUMBER, messages()[message])}
        stated = {(message, field) for stated_in, field, *_ in ranges() if stated_in == message}
        assert fields - stated == {entry for entry in WITHOUT_RANGE if entry[0] == message}
    assert len(ranges()) >= 10


@pytest.mark.parametrize("message, field, kind, least, most, open_below", ranges(), ids=lambda value: str(value))
def test_range(gateway, message, field, kind, least, most, open_below):
    def send(value):
        return REQUESTS[message](gateway, {field: value})

    step = STEP[kind]
    inside = [least + step if open_below else least, TYPE_MAX[kind] if most == math.inf else most]
    outside = [least if open_below else least - step] + ([] if most == math.inf else [most + step])
    for value in inside:
        send(value)
    for value in outside:
        with pytest.raises(grpc.RpcError) as error:
            send(value)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT, error.value
        details = error.value.details()
        limits = [field, f"{value:.10g}", f"{least:.10g}"] + ([] if most == math.inf else [f"{most:.10g}"])
        assert all(limit in details for limit in limits), details
