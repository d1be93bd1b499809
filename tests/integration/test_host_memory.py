"""Start in a control group that is smaller than what was promised: the promise shrinks or the start is refused, and the kernel kills nobody."""
import io
import random
import threading

import grpc
import pytest
from PIL import Image

import headroom_api as api
import outside
from cluster import PATIENCE_S, Cluster, guarded_environment

MIB = 1 << 20
CLIENTS = 16


@pytest.fixture
def start_in(tmp_path):
    """start_in(limit, settings) launches `headroom up` in a group of so many bytes, without swap."""
    made = []

    def start(limit, settings):
        group = outside.ControlGroup("headroom-host-memory")
        if group.path is None:
            pytest.skip("no control group can be made here")
        made.append((None, group))
        try:
            group.limit(limit)
        except OSError as error:
            pytest.skip(f"the control group takes no limit: {error}")
        cluster = Cluster("up", tmp_path, settings=settings, prefix=group.prefix())
        made[-1] = (cluster, group)
        cluster.launch()
        return cluster, group

    yield start
    for cluster, group in made:
        for process in cluster.processes.values() if cluster else ():
            if process.alive():
                process.kill()
        group.remove()


def test_more_than_the_machine_has_is_an_error(tmp_path):
    cluster = Cluster("up", tmp_path, settings=["device.memory=64TiB"])
    cluster.launch()
    process = cluster.processes["up"]
    assert process.wait() == 1
    assert f"device.memory is {64 << 40} bytes, but the machine or its control group has" in process.log()


def test_what_cannot_fit_is_refused(start_in):
    cluster, _ = start_in(1024 * MIB, ["device.memory=1GiB"])
    process = cluster.processes["up"]
    assert process.wait() == 1, process.log()[-4000:]
    for words in ("does not fit", f"of {1024 * MIB} bytes are available", f"{1024 * MIB} of device.memory", "gateway.image_pixels_max"):
        assert words in process.log(), process.log()[-4000:]


@pytest.mark.skipif("LD_PRELOAD" not in guarded_environment(), reason="a sanitizer's shadow is no part of the plan")
def test_in_a_small_group_budgets_shrink_and_pictures_do_not_kill(start_in):
    limit = 1536 * MIB
    cluster, group = start_in(limit, ["device.memory=256MiB"])
    cluster.wait_ready()
    assert "a host budget that is not set is lowered" in cluster.processes["up"].log()
    status = cluster.status()
    promised = status.host_bytes_capacity + sum(worker.capacity.host_bytes for worker in status.cluster.workers)
    assert 0 < promised < limit - 256 * MIB

    picture = io.BytesIO()
    Image.frombytes("RGB", (6000, 1000), random.Random(3).randbytes(6000 * 1000 * 3)).save(picture, "PNG", compress_level=1)
    outcomes = []

    def client():
        try:
            request = api.ask("What is this?", [picture.getvalue()], max_tokens=2)
            api.gateway(cluster.address).Complete(request, timeout=PATIENCE_S)
            outcomes.append("done")
        except grpc.RpcError as error:
            outcomes.append(error.code().name)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(outcomes, "peak", group.peak())
    assert len(outcomes) == CLIENTS and "done" in outcomes
    cluster.check_alive()
    cluster.wait_idle()
    assert cluster.stop() == {"up": 0}
