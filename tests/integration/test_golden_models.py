"""Every family that is served, through the whole cluster: greedy answers are those of the published model code (tests/golden), pictures included."""
import pytest

from cluster import Cluster
from golden import FAMILIES, GOLDEN, compare
from ledgers import Ledgers


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    directory = GOLDEN / request.param
    served = Cluster("up", tmp_path_factory.mktemp(request.param), directory, settings=["model.dtype=fp32"])
    try:
        yield directory, served.start()
        served.wait_idle()
    finally:
        served.stop()


def test_answers_are_those_of_the_published_code(family):
    directory, served = family
    ledgers = Ledgers(served)
    assert compare(directory, served.address, lambda case: ledgers.look()) > 0


# The allocation guard watches every step of the services, so that nothing is taken which the ledger does not know.
def test_memory_is_used_as_planned_and_given_back(family):
    directory, served = family
    served.wait_idle()
    for lines in Ledgers(served).look():
        assert lines["kv_pool"]["high_water"] > 0 and lines["kv_pool"]["used"] == 0
        if (directory / "images").is_dir():
            assert lines["embedding_store"]["high_water"] > 0
