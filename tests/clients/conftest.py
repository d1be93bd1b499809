"""Clients of others against the real gateway with the demo model. They run in an environment of their own (requirements.txt)."""
import base64
import json
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
# What frameworks report to their makers stays here.
os.environ.update(OPENAI_AGENTS_DISABLE_TRACING="1", LITELLM_LOCAL_MODEL_COST_MAP="True", LANGSMITH_TRACING="false")

from cluster import DEMO_MODEL, Cluster  # noqa: E402


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    served = Cluster("up", tmp_path_factory.mktemp("logs"))
    try:
        yield served.start()
        served.check_alive()
        served.wait_idle()
    finally:
        statuses = served.stop()
    assert set(statuses.values()) == {0}, f"exit statuses after SIGTERM: {statuses}"


@pytest.fixture(scope="session")
def base_url(cluster):
    return cluster.url + "/v1"


@pytest.fixture(scope="session")
def samples():
    """The demo model's pictures: {uri, question, answer}."""
    folder = DEMO_MODEL / "samples"
    listed = json.loads((folder / "samples.json").read_text())
    return [{**sample, "uri": "data:image/png;base64," + base64.b64encode((folder / sample["image"]).read_bytes()).decode()}
            for sample in listed]


@pytest.fixture(scope="session")
def sample(samples):
    return samples[0]
