import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(ROOT / "tests" / "integration"), str(ROOT / "tools" / "dashboards")]

from cluster import Cluster  # noqa: E402
from load import Load  # noqa: E402
from prometheus import Prometheus, scrape  # noqa: E402

# Small enough that the load fills it: requests queue, and some wait in vain.
SETTINGS = ("device.memory=180MiB", "knobs.max_num_seqs=8", "gateway.queue_wait_ms_max=250", "scheduler.queue_entries_max=12",
            "gateway.requests_running_max=16")
LOAD_S = 24
SCRAPES = 8


def pytest_addoption(parser):
    parser.addoption("--cluster", choices=("up", "binaries"), default="up", help="one process, or four binaries")
    parser.addoption("--draw", metavar="FOLDER", help="also draw the dashboards as SVG into this folder")


class Observed:
    """A cluster that has been under load, what each service showed meanwhile, and the Prometheus that watched."""

    def __init__(self, mode, folder):
        self.mode = mode
        self.cluster = Cluster(mode, folder, settings=SETTINGS)
        services = ("gateway",) if mode == "up" else Cluster.SERVICES
        self.targets = {service: f"127.0.0.1:{self.cluster.metrics_ports[service]}" for service in services}
        self.prometheus = Prometheus(folder, list(self.targets.values()))
        self.scrapes = {service: [] for service in services}

    def watch(self):
        self.cluster.start()
        self.prometheus.start()
        self.load = Load(self.cluster.address, self.cluster.url)
        self.began = self.prometheus.now()
        with self.load:
            for _ in range(SCRAPES):
                self.load.run(LOAD_S / SCRAPES)
                for service, target in self.targets.items():
                    self.scrapes[service].append(scrape(target))
        self.cluster.check_alive()
        # What happened last is seen when a scrape begins after it.
        self.prometheus.wait_for_scrape()
        self.ended = self.prometheus.now()

    def stop(self):
        self.prometheus.stop()
        return self.cluster.stop()


@pytest.fixture(scope="session")
def observed(request, tmp_path_factory):
    watched = Observed(request.config.getoption("--cluster"), tmp_path_factory.mktemp("operations"))
    try:
        watched.watch()
        yield watched
        watched.cluster.wait_idle()
    finally:
        statuses = watched.stop()
    assert set(statuses.values()) == {0}, f"exit statuses after SIGTERM: {statuses}"
