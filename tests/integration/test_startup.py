"""What a service shows while its weights load, and how it ends then. Reads are slowed down by slow_reads.cc."""
import os
import pathlib
import re
import shutil
import subprocess

import headroom_api as api
import pytest
from cluster import DEMO_MODEL, Cluster, binary_dir, wait_for
from grpc_health_free import check_health

WORKERS = ("vision-worker", "llm-worker")
LOADING = api.cluster_pb2.WORKER_STATE_LOADING


class SlowLoad:
    """A copy of the demo model whose reads take delay_ms each until let_go()."""

    def __init__(self, folder, delay_ms):
        self.model = folder / "model"
        shutil.copytree(DEMO_MODEL, self.model)
        self.delay = folder / "delay"
        self.delay.write_text(str(delay_ms))
        library = pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]) / "tests" / "slow_reads.so"
        assert library.exists(), f"build all targets first: {library.name} is missing"
        # A sanitizer's runtime wants to be the first library.
        sanitizer = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]))
        self.environment = {"LD_PRELOAD": str(library), "HEADROOM_TEST_READ_DELAY": str(self.delay), "ASAN_OPTIONS": sanitizer}

    def let_go(self):
        self.delay.unlink()


@pytest.fixture
def launch(mode, tmp_path):
    """launch(delay_ms) gives a cluster that loads that slowly, and the load."""
    made = []

    def start(delay_ms):
        load = SlowLoad(tmp_path, delay_ms)
        made.append(Cluster(mode, tmp_path, model=load.model, environment=load.environment))
        made[-1].launch()
        return made[-1], load

    yield start
    for cluster in made:
        for process in cluster.processes.values():
            if process.alive():
                process.kill()


def loading_workers(cluster):
    """Those that have read something and not everything."""
    cluster.check_alive()
    status = cluster.status()
    return [] if status is None else [w for w in status.cluster.workers if w.state == LOADING and 0 < w.load_progress < 1]


def both_load(cluster):
    return len(loading_workers(cluster)) == 2


def log(cluster, service):
    return cluster.processes["up" if cluster.mode == "up" else service].log()


def test_progress_shows(launch):
    cluster, load = launch(delay_ms=400)
    wait_for(lambda: both_load(cluster), "both workers to load")
    before = {worker.worker: worker.load_progress for worker in loading_workers(cluster)}
    wait_for(lambda: any(w.load_progress > before[w.worker] for w in loading_workers(cluster)), "progress")
    assert not cluster.status().ready
    shown = subprocess.run([binary_dir() / "headroom", "status", "--gateway", cluster.address], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 1 and re.search(r"llm .* loading \d+ %", shown.stdout), shown.stdout
    addresses = [cluster.address]
    if cluster.mode == "binaries":
        addresses += [f"127.0.0.1:{cluster.ports[worker]}" for worker in WORKERS]
    for address in addresses:
        assert check_health(address) == "NOT_SERVING"
        assert check_health(address, service="live") == "SERVING"
    for worker in WORKERS:
        wait_for(lambda one=worker: re.search(r'"loading weights" percent=\d+ bytes=\d+ of_bytes=\d+ bytes_per_second=\d+', log(cluster, one)),
                 f"a line of progress in the log of {worker}")
    load.let_go()
    cluster.wait_ready()
    assert "weights loaded" in log(cluster, "llm-worker")
    assert api.gateway(cluster.address).Complete(api.ask("Hello", max_tokens=2)).finish.usage.completion_tokens > 0
    assert set(cluster.stop().values()) == {0}


def test_sigterm_ends_a_load(launch):
    cluster, _ = launch(delay_ms=400)
    wait_for(lambda: both_load(cluster), "both workers to load")
    assert set(cluster.stop().values()) == {0}
    for worker in WORKERS:
        assert "stopped while loading weights" in log(cluster, worker)
        assert "weights loaded" not in log(cluster, worker)


def test_failed_load_ends_the_process(launch):
    cluster, load = launch(delay_ms=400)
    wait_for(lambda: both_load(cluster), "both workers to load")
    weights = load.model / "model.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    load.let_go()
    for name in ["up"] if cluster.mode == "up" else WORKERS:
        assert cluster.processes[name].wait() == 1
        assert "weights cannot be loaded: model.safetensors: changed while in use" in cluster.processes[name].log()
    for name, process in cluster.processes.items():
        if name in ("gateway", "scheduler"):
            assert process.terminate() == 0
