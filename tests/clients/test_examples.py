"""Everything in examples/, run as a person would."""
import json
import os
import pathlib
import subprocess
import sys

import pytest
from cluster import DEMO_MODEL, ROOT, binary_dir

EXAMPLES = ROOT / "examples"
COMMANDS = {
    "chat.sh": [str(EXAMPLES / "chat.sh")],
    **{path.name: [sys.executable, str(path)] for path in sorted(EXAMPLES.glob("*.py"))},
    "chat_grpc.cc": [str(binary_dir() / "headroom-example-chat")],
}


def test_every_example_is_here():
    assert set(COMMANDS) == {path.name for path in EXAMPLES.iterdir()} - {"README.md", "CMakeLists.txt"}


@pytest.mark.parametrize("name", COMMANDS)
def test_it_answers(name, cluster, sample):
    environment = {**os.environ, "HEADROOM_URL": cluster.url, "HEADROOM_ADDRESS": cluster.address, "HEADROOM_MODEL": "demo"}
    picture = pathlib.Path(DEMO_MODEL) / "samples" / sample["image"]
    ran = subprocess.run([*COMMANDS[name], str(picture), sample["question"]], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    answer = ran.stdout.strip()
    if name == "chat.sh":
        events = [line.removeprefix("data: ") for line in answer.split("\n\n")]
        assert events[-1] == "[DONE]"
        answer = "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1])
    assert answer == sample["answer"]
