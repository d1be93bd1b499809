"""Every family that is served, through the whole cluster: greedy answers are those of the published model code (tests/golden), pictures included."""
import json

import pytest

import headroom_api as api
from cluster import ROOT, Cluster
from ledgers import Ledgers

GOLDEN = ROOT / "tests" / "golden"
FAMILIES = ["glm4v", "llama", "llama3", "minicpmv", "mistral", "qwen2", "qwen3"]
# As golden_check: ids are judged up to the first step whose best two logits are nearer than this.
GAP = 0.01


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    directory = GOLDEN / request.param
    served = Cluster("up", tmp_path_factory.mktemp(request.param), directory, settings=["model.dtype=fp32"])
    try:
        yield directory, served.start()
        served.wait_idle()
    finally:
        served.stop()


def test_every_golden_directory_is_listed():
    assert {path.parent.name for path in GOLDEN.glob("*/config.json")} == set(FAMILIES)


def cases(directory):
    for path in sorted((directory / "expected").glob("*.json")):
        case = json.loads(path.read_text())
        if "messages" in case or "text" in case:
            yield case


def request_of(directory, case):
    wanted = api.gateway_pb2.GenerateRequest(logprobs=0, max_tokens=len(case["greedy_ids"]), sampling={"temperature": 0})
    if "text" in case:
        wanted.prompt = case["text"]
        wanted.ignore_eos = True
        return wanted
    if case.get("max_slice_nums"):
        wanted.max_slice_nums = case["max_slice_nums"]
    for message in case["messages"]:
        said = wanted.messages.add(role=message["role"])
        content = message["content"] if isinstance(message["content"], list) else [{"text": message["content"]}]
        for part in content:
            if "image" in part:
                said.content.add(image=api.gateway_pb2.Image(data=(directory / part["image"]).read_bytes()))
            else:
                said.content.add(text=part["text"])
    return wanted


def judged(case, stopped):
    """The ids that an answer must begin with. The one that stops it is not shown."""
    near = next((i for i, gap in enumerate(case["step_gaps"]) if gap < GAP), len(case["step_gaps"]))
    shown = len(case["greedy_ids"]) - (1 if stopped else 0)
    return case["greedy_ids"][:min(near, shown)]


def test_answers_are_those_of_the_published_code(family):
    directory, served = family
    stub, ledgers, compared = api.gateway(served.address), Ledgers(served), 0
    for case in cases(directory):
        pieces = list(stub.Generate(request_of(directory, case)))
        ids = [token.token for piece in pieces for token in piece.logprobs]
        finish = pieces[-1].finish
        expected = judged(case, finish.reason == api.STOP)
        assert finish.usage.prompt_tokens == len(case["prompt_ids"]), case["name"]
        assert ids[:len(expected)] == expected, case["name"]
        compared += len(expected)
        ledgers.look()
    assert compared > 0


# The allocation guard watches every step of the services, so that nothing is taken which the ledger does not know.
def test_memory_is_used_as_planned_and_given_back(family):
    directory, served = family
    served.wait_idle()
    for lines in Ledgers(served).look():
        assert lines["kv_pool"]["high_water"] > 0 and lines["kv_pool"]["used"] == 0
        if (directory / "images").is_dir():
            assert lines["embedding_store"]["high_water"] > 0
