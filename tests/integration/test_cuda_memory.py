"""What a card's memory is really taken for, held to the plan: each line that the emulated card makes too big refuses the start by name; what grows later, and
a card on which nothing works any more, are told. Emulated (tests/emulation): how a real card and its libraries count is not known from here."""
import re
import urllib.request

import grpc
import headroom_api as api
import pytest
from cluster import PATIENCE_S, Cluster, make_endless_model, wait_for
from test_cuda import CARD, CARD_BYTES, SETTINGS, pytestmark  # noqa: F401

MIB = 1 << 20
# Few buckets of rows, so that their first runs take little time on the emulated card.
SMALL = (*SETTINGS, "knobs.max_num_batched_tokens=64", "knobs.max_patches_per_step=1152")


def cluster_of(mode, tmp_path, environment=None, settings=(), **more):
    return Cluster(mode, tmp_path, settings=(*SMALL, *settings), environment={**CARD, **(environment or {})}, **more)


def refusal(tmp_path, environment, settings=()):
    """Of a start that must be refused."""
    cluster = cluster_of("up", tmp_path, environment, settings)
    cluster.launch()
    process = cluster.processes["up"]
    try:
        assert process.wait() != 0
    finally:
        if process.alive():
            process.kill()
    return process.log()


@pytest.mark.parametrize("environment, line, what, key", [
    ({"EMULATED_GPU_CONTEXT": "520MiB"}, "context floor", "context took 545259520 bytes", "device.context_floor"),
    ({"EMULATED_GPU_MODULE": "20MiB"}, "context floor", "kernel modules took", "device.context_floor"),
    ({"EMULATED_CUBLAS_HANDLE": "130MiB"}, "libraries", "handles and streams took 136314880 bytes", "device.libraries"),
    ({"EMULATED_GPU_GRANULE": "100MiB"}, "arena", "its reservation took", "device.memory"),
    ({"EMULATED_CUBLAS_KERNEL": "60MiB", "EMULATED_GPU_MEMORY": "2GiB"}, "libraries", "a first run took", "device.libraries"),
    ({"EMULATED_CUBLAS_KERNEL": "500MiB"}, "libraries", "a first run found no memory", "device.libraries"),
    ({"EMULATED_GPU_GRAPH": "2MiB"}, "graphs", "a first run took", "knobs.decode_graphs to false"),
])
def test_a_line_above_its_plan_refuses_the_start_by_name(tmp_path, environment, line, what, key):
    log = refusal(tmp_path, environment)
    assert re.search(rf"device cuda: {line}: {what}.*planned.*{re.escape(key)}", log), log[-4000:]


def ledger_lines(cluster):
    """Of one device, which its workers tell alike as soon as the one that was ready first has reported again."""
    def told():
        ledgers = [{line.component: line for line in worker.ledger.lines} for worker in cluster.status().cluster.workers]
        graphs = ledgers[0]["graphs"]  # taken last: before, the ledger is one from while they warmed up
        settled = not graphs.planned_bytes or graphs.used_bytes
        return ledgers[0] if settled and all(ledger == ledgers[0] for ledger in ledgers) else None
    return wait_for(told, "workers of a device to tell the same of it")


def series(cluster, service, name):
    """The value of `name{labels}`; None where it is not shown."""
    with urllib.request.urlopen(f"http://127.0.0.1:{cluster.metrics_port(service)}/metrics", timeout=30) as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)", answer.read().decode(), flags=re.MULTILINE)
    return float(found.group(1)) if found else None


def gauge(cluster, name, service="up"):
    """Of the card."""
    return series(cluster, service, f'headroom_{name}_bytes{{device="cuda"}}')


def growth(cluster):
    return gauge(cluster, "card_growth")


def test_what_was_measured_stands_beside_the_plan(tmp_path, samples):
    """The key that a refusal names lets the same card start; graphs that are turned off take nothing; nothing grows while it serves."""
    cluster = cluster_of("up", tmp_path, {"EMULATED_CUBLAS_HANDLE": "130MiB", "EMULATED_GPU_GRAPH": "2MiB"},
                         ("device.libraries=200MiB", "knobs.decode_graphs=false"))
    try:
        cluster.start()
        lines = ledger_lines(cluster)
        assert lines["context_floor"].planned_bytes == 512 * MIB
        assert 400 * MIB < lines["context_floor"].used_bytes <= 512 * MIB
        assert lines["libraries"].planned_bytes == 200 * MIB
        assert 130 * MIB < lines["libraries"].used_bytes <= 200 * MIB
        assert lines["graphs"].planned_bytes == lines["graphs"].used_bytes == 0
        wait_for(lambda: growth(cluster) == 0, "the growth of a worker that is ready")
        gateway = api.gateway(cluster.address)
        for sample in samples[:2]:
            assert api.collect(gateway.Generate(api.ask(sample["question"], [sample["image"]], max_tokens=64)))[0] == sample["answer"]
        wait_for(lambda: growth(cluster) is not None, "another look at the card")
        assert growth(cluster) == 0
    finally:
        assert set(cluster.stop().values()) == {0}


def test_a_card_that_is_full_to_the_last_byte_serves(tmp_path):
    """Lines outside of the arena are planned as they were measured, and the arena takes all of the rest: whatever load, warm-up, graphs or requests took beside
    their lines would not be there. As many full-length answers at once as are promised."""
    model = make_endless_model(tmp_path)
    first = cluster_of("up", tmp_path, settings=("knobs.max_model_len=200",), model=model)
    try:
        lines = ledger_lines(first.start())
    finally:
        assert set(first.stop().values()) == {0}
    exact = ("knobs.max_model_len=200", f"device.context_floor={lines['context_floor'].used_bytes}", f"device.libraries={lines['libraries'].used_bytes}")
    cluster = cluster_of("up", tmp_path, settings=exact, model=model)
    try:
        cluster.start()
        lines = ledger_lines(cluster)
        planned = sum(line.planned_bytes for line in lines.values())
        assert planned == CARD_BYTES
        spare = lines["headroom"].planned_bytes + lines["graphs"].planned_bytes - lines["graphs"].used_bytes
        wait_for(lambda: growth(cluster) is not None, "a look at the card since it is ready")
        assert gauge(cluster, "card_free") <= spare + 2 * MIB
        gateway = api.gateway(cluster.address)
        calls = [gateway.Complete.future(api.ask("x", max_tokens=160), timeout=2 * PATIENCE_S) for _ in range(4)]
        for call in calls:
            assert call.result().finish.usage.completion_tokens == 160
        cluster.wait_idle()
        wait_for(lambda: growth(cluster) is not None, "a look at the card")
        assert growth(cluster) == 0
        assert gauge(cluster, "card_own") <= gauge(cluster, "memory_process_planned")
    finally:
        assert set(cluster.stop().values()) == {0}


def test_what_a_library_takes_later_is_told(tmp_path):
    """Every thousandth launch something takes a MiB. Before the worker is ready that is part of what is measured; afterwards it is growth."""
    faults = ",".join(f"grow:{number}" for number in range(1000, 60_000, 1000))
    cluster = cluster_of("up", tmp_path, {"EMULATED_GPU_FAULTS": faults, "EMULATED_GPU_GROWTH": "1MiB"})
    try:
        cluster.start()
        lines = ledger_lines(cluster)
        assert 0 < lines["graphs"].used_bytes <= lines["graphs"].planned_bytes
        gateway = api.gateway(cluster.address)

        def grown():
            gateway.Complete(api.ask("Tell me about tea.", max_tokens=32), timeout=PATIENCE_S)
            return growth(cluster)
        assert wait_for(grown, "growth to be seen") % MIB == 0
        assert "this process takes more of the device than when it was ready" in cluster.processes["up"].log()
    finally:
        assert set(cluster.stop().values()) == {0}


@pytest.mark.parametrize("fault, what", [
    ("malloc:1", "device memory: the plan takes"),
    ("hostalloc:1", "pinning"), ("hostalloc:2", "pinning"), ("hostalloc:3", "pinning"),
    ("launch:1", "fails on demand"),
])
def test_every_allocation_and_launch_of_a_start_may_fail(tmp_path, fault, what):
    log = refusal(tmp_path, {"EMULATED_GPU_FAULTS": fault})
    assert what in log, log[-4000:]
    assert "terminate called" not in log and "Segmentation" not in log


class OneIsFaulty(Cluster):
    """An environment of its own for one of the binaries."""

    def __init__(self, *arguments, faulty, faults, **more):
        super().__init__("binaries", *arguments, **more)
        self.faulty, self.faults = faulty, faults

    def start_service(self, name):
        healthy = self.environment
        if name == self.faulty:
            self.environment = {**healthy, "EMULATED_GPU_FAULTS": self.faults}
        super().start_service(name)
        self.environment = healthy


@pytest.mark.parametrize("faults, reason", [
    ("launch:6000", "unspecified launch failure"),  # an error that stays
    ("xid:6000", "the driver (reports XID 79 of|has lost) the card"),
], ids=["launch", "xid"])
def test_a_card_that_breaks_ends_its_worker_and_frees_its_legs(tmp_path, faults, reason):
    """In the middle of an answer. The alert HeadroomWorkerLost reads the gauge that is looked at here."""
    cluster = OneIsFaulty(tmp_path, faulty="llm-worker", faults=faults, model=make_endless_model(tmp_path), settings=SMALL, environment=CARD)
    worker = None
    try:
        cluster.start()
        worker = cluster.processes["llm-worker"]
        with pytest.raises(grpc.RpcError) as refused:
            for _ in range(100):
                api.collect(api.gateway(cluster.address).Generate(api.ask("x", max_tokens=400), timeout=PATIENCE_S))
        assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL), refused.value
        assert worker.wait() != 0
        assert re.search(f"device cuda: .*{reason}", worker.log()), worker.log()[-4000:]
        del cluster.processes["llm-worker"]
        wait_for(lambda: series(cluster, "scheduler", 'headroom_scheduler_workers{role="llm",state="lost"}') == 1, "the worker to count as lost")

        def free():
            state = cluster.status()
            return state is not None and not state.cluster.grants_active and not state.cluster.grants_pending and not state.requests_running
        wait_for(free, "the legs of the lost worker to be free")
        cluster.check_alive()
    finally:
        cluster.stop()
