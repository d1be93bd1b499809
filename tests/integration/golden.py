"""Cases of tests/golden as requests, and their answers beside those of the published model code."""
import json

import headroom_api as api
from cluster import ROOT

GOLDEN = ROOT / "tests" / "golden"
FAMILIES = sorted(path.parent.name for path in GOLDEN.glob("*/config.json"))
# As golden_check: ids are judged up to the first step whose best two logits are nearer than this.
GAP = 0.01


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


def compare(directory, address, after=lambda case: None, prompt_max=None):
    """Asks for the greedy answer of each case whose prompt is not longer. Returns how many ids were compared."""
    stub, compared = api.gateway(address), 0
    for case in cases(directory):
        if prompt_max and len(case["prompt_ids"]) > prompt_max:
            continue
        pieces = list(stub.Generate(request_of(directory, case)))
        ids = [token.token for piece in pieces for token in piece.logprobs]
        finish = pieces[-1].finish
        expected = judged(case, finish.reason == api.STOP)
        assert finish.usage.prompt_tokens == len(case["prompt_ids"]), case["name"]
        assert ids[:len(expected)] == expected, case["name"]
        compared += len(expected)
        after(case)
    return compared
