import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import headroom_api as api  # noqa: E402
from cluster import DEMO_MODEL, Cluster  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--cluster", choices=("up", "binaries"), default="up", help="one process, or four binaries")


@pytest.fixture(scope="session")
def mode(request):
    return request.config.getoption("--cluster")


@pytest.fixture(scope="session")
def shared_cluster(mode, tmp_path_factory):
    cluster = Cluster(mode, tmp_path_factory.mktemp("logs"))
    try:
        yield cluster.start()
        cluster.check_alive()
    finally:
        statuses = cluster.stop()
    assert set(statuses.values()) == {0}, f"exit statuses after SIGTERM: {statuses}"


@pytest.fixture
def cluster(shared_cluster):
    """A running cluster shared by the tests of a file; after each test nothing of its requests may be left."""
    yield shared_cluster
    shared_cluster.wait_idle()


@pytest.fixture
def gateway(cluster):
    return api.gateway(cluster.address)


@pytest.fixture(scope="session")
def samples():
    """The demo model's sample pictures: list of {image: bytes, question, answer}."""
    folder = DEMO_MODEL / "samples"
    listed = json.loads((folder / "samples.json").read_text())
    return [{**sample, "image": (folder / sample["image"]).read_bytes(), "name": sample["image"]} for sample in listed]
