"""Embeddings of pictures: the rows that the llm reads, over gRPC and over HTTP, equal to those of the published model code."""
import base64
import json
import struct
import urllib.request

import pytest

import headroom_api as api
from cluster import ROOT, Cluster

GOLDEN = ROOT / "tests" / "golden" / "minicpmv"
# As golden_check: relative to the largest number.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def golden(mode, tmp_path_factory):
    served = Cluster(mode, tmp_path_factory.mktemp("golden"), GOLDEN, settings=["model.dtype=fp32"])
    try:
        yield served.start()
        served.wait_idle()
    finally:
        served.stop()


def expected_rows(case):
    """Of the reference's resampler: (shape, numbers)."""
    data = (GOLDEN / "expected" / f"{case}.safetensors").read_bytes()
    header_bytes = struct.unpack("<Q", data[:8])[0]
    tensor = json.loads(data[8:8 + header_bytes])["resampler"]
    begin, end = (8 + header_bytes + offset for offset in tensor["data_offsets"])
    return tensor["shape"], struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])


def picture(case):
    messages = json.loads((GOLDEN / "expected" / f"{case}.json").read_text())["messages"]
    return (GOLDEN / next(part["image"] for message in messages for part in message["content"] if "image" in part)).read_bytes()


def assert_close(numbers, expected):
    assert len(numbers) == len(expected)
    scale = max(abs(number) for number in expected)
    worst = max(abs(a - b) for a, b in zip(numbers, expected))
    assert worst <= TOLERANCE * scale, (worst, scale)


def over_http(url, **body):
    request = urllib.request.Request(f"{url}/v1/embeddings", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def uri(data):
    return "data:image/png;base64," + base64.b64encode(data).decode()


@pytest.mark.parametrize("case", ["small", "wide", "tall_thin"])
def test_rows_are_those_of_the_published_code(golden, case):
    shape, expected = expected_rows(case)
    pieces = list(api.gateway(golden.address).Embed(api.gateway_pb2.EmbedRequest(images=[api.gateway_pb2.Image(data=picture(case))])))
    assert [(piece.piece, piece.first_row) for piece in pieces] == [(i, 0) for i in range(shape[0])]
    assert all(list(piece.piece_rows) == [shape[1]] * shape[0] and piece.columns == shape[2] for piece in pieces)
    assert_close([number for piece in pieces for number in struct.unpack(f"<{len(piece.values) // 4}f", piece.values)], expected)
    usage = pieces[-1].finish.usage
    assert (usage.images, usage.pieces, usage.image_tokens) == (1, shape[0], shape[0] * shape[1])

    answer = over_http(golden.url, input=[uri(picture(case))])
    assert answer["data"][0]["shape"] == [shape[0] * shape[1], shape[2]]
    assert answer["data"][0]["piece_rows"] == [shape[1]] * shape[0]
    assert_close(answer["data"][0]["embedding"], expected)
    coded = over_http(golden.url, input=uri(picture(case)), encoding_format="base64")["data"][0]["embedding"]
    values = base64.b64decode(coded)
    assert list(struct.unpack(f"<{len(values) // 4}f", values)) == pytest.approx(answer["data"][0]["embedding"], rel=1e-6)


def test_max_slice_nums_cuts_less(golden):
    small = over_http(golden.url, input=uri(picture("wide")), max_slice_nums=1)
    assert len(small["data"][0]["piece_rows"]) == 1
    assert small["usage"]["prompt_tokens"] == small["data"][0]["shape"][0] == small["data"][0]["piece_rows"][0]
