"""Rolling restart under load: every service in turn gets SIGTERM and is started again while clients ask without pause. No request may fail.

Two vision-workers, two llm-workers, one scheduler, two gateways. What a rollout asks of clients, and all of it: one that is refused by a gateway which
goes, before the first text, asks the other gateway. Refused is UNAVAILABLE, and the CANCELLED with which gRPC itself drops a call that was on its way
when the server closed (proto/README.md). Either at any other time counts as a failure, and so does everything else."""
import dataclasses
import itertools
import threading
import time

import grpc
import headroom_api as api
import pytest
from cluster import PATIENCE_S, ROOT, Process, free_port, make_endless_model, wait_for
from grpc_health_free import check_health
from test_bad_input import png

SECTIONS = {"gateway": "gateway", "scheduler": "scheduler", "vision": "vision_worker", "llm": "llm_worker"}
BINARIES = {"gateway": "gateway", "scheduler": "scheduler", "vision": "vision-worker", "llm": "llm-worker"}
CLIENTS = 6
# Requests that must be answered before each restart and after the last one.
BETWEEN = 12


def refused_on_leaving(error):
    """The gateway did not begin: it said so, or its gRPC server dropped the call unseen, in words that no service of ours uses."""
    if not isinstance(error, grpc.RpcError):
        return False
    return error.code() == grpc.StatusCode.UNAVAILABLE or (error.code() == grpc.StatusCode.CANCELLED and error.details() == "CANCELLED")


class Service:
    """One process and its successors, always on the same ports."""

    def __init__(self, name, log_dir, model, scheduler_port):
        self.name = name
        self.kind = name.split("-")[0]
        self.log_dir = log_dir
        self.port = scheduler_port if self.kind == "scheduler" else free_port()
        section = SECTIONS[self.kind]
        settings = {"model.path": model, "device.memory": "256MiB", "device.threads": 1, f"{section}.listen": f"127.0.0.1:{self.port}",
                    f"{section}.metrics_listen": "127.0.0.1:0", "gateway.http_listen": "127.0.0.1:0"}
        if self.kind != "scheduler":
            settings[f"{section}.scheduler"] = f"127.0.0.1:{scheduler_port}"
        if self.kind in ("vision", "llm"):
            settings[f"{section}.name"] = name
        self.flags = ["--config", str(ROOT / "deploy" / "demo.yaml")]
        for key, value in settings.items():
            self.flags += ["--set", f"{key}={value}"]
        self.lives = 0
        self.going = False
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.lives += 1
        self.process = Process(f"{self.name}.{self.lives}", [BINARIES[self.kind], *self.flags], self.log_dir)

    def serves(self):
        assert self.process.alive(), self.process.log()[-4000:]
        try:
            return check_health(self.address, timeout=5) == "SERVING"
        except grpc.RpcError:
            return False


@dataclasses.dataclass
class Kind:
    request: object
    tokens: int
    streams: bool


def mix():
    picture, large = png(300, 200), png(640, 480)
    return [
        Kind(api.ask("What is this?", [picture], max_tokens=8), 8, True),
        Kind(api.ask("Tell me everything about memory.", max_tokens=300), 300, True),
        Kind(api.ask("Which of the two?", [picture, large], max_tokens=40), 40, False),
        Kind(api.ask("Hello", max_tokens=60), 60, False),
    ]


class Load:
    def __init__(self, gateways):
        self.gateways = gateways
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.answered = self.failovers = 0
        self.failures = []
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        stubs = [api.gateway(gateway.address) for gateway in self.gateways]
        kinds = itertools.cycle(mix()[number % 4:] + mix()[:number % 4])
        turn = number
        while not self.stopping.is_set():
            kind = next(kinds)
            end = time.monotonic() + PATIENCE_S
            while True:
                gateway = self.gateways[turn % len(stubs)]
                lives = gateway.lives
                began = [False]
                try:
                    self.ask(stubs[turn % len(stubs)], kind, began)
                    break
                except (grpc.RpcError, AssertionError) as error:
                    goes = gateway.going or gateway.lives != lives
                    if not refused_on_leaving(error) or began[0] or not goes or time.monotonic() > end:
                        with self.lock:
                            self.failures.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {gateway.name} {kind.tokens} tokens, began {began[0]}: {error}")
                        break
                    with self.lock:
                        self.failovers += 1
                    turn += 1
                    time.sleep(0.05)
            turn += 1

    def ask(self, stub, kind, began):
        if kind.streams:
            def deltas():
                for response in stub.Generate(kind.request, timeout=PATIENCE_S):
                    began[0] = True
                    yield response
            _, finish = api.collect(deltas())
        else:
            finish = stub.Complete(kind.request, timeout=PATIENCE_S).finish
        assert finish.reason == api.LENGTH and finish.usage.completion_tokens == kind.tokens, finish
        with self.lock:
            self.answered += 1

    def wait_for_more(self, count):
        target = self.answered + count
        wait_for(lambda: self.answered >= target or self.failures, f"{count} more answers")
        assert not self.failures, self.failures[:3]

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class Rollout:
    def __init__(self, log_dir, model):
        scheduler_port = free_port()
        names = ["scheduler", "vision-0", "vision-1", "llm-0", "llm-1", "gateway-0", "gateway-1"]
        self.services = {name: Service(name, log_dir, model, scheduler_port) for name in names}
        self.gateways = [self.services["gateway-0"], self.services["gateway-1"]]

    def status(self):
        for gateway in self.gateways:
            try:
                return api.gateway(gateway.address).GetStatus(api.gateway_pb2.GetStatusRequest(), timeout=5)
            except grpc.RpcError:
                continue
        return None

    def all_serve(self):
        status = self.status()
        return (all(service.serves() for service in self.services.values()) and status is not None and
                sum(worker.placeable for worker in status.cluster.workers) == 4)

    def restart(self, name):
        service = self.services[name]
        service.going = True
        assert service.process.terminate() == 0, service.process.log()[-4000:]
        service.start()
        wait_for(self.all_serve, f"{name} to serve again")
        service.going = False

    def idle(self):
        """No request, grant or leg is left, and no KV block or pinned embedding is promised to anyone."""
        status = self.status()
        if status is None or status.requests_running or status.host_bytes_used:
            return False
        cluster = status.cluster
        if cluster.grants_pending or cluster.grants_active or cluster.queue_entries or len(cluster.workers) != 4:
            return False
        kv = [line for worker in cluster.workers for line in worker.ledger.lines if line.component == "kv_pool"]
        return (all(not worker.active_legs and not worker.pending_legs and worker.reserved.ByteSize() == 0 for worker in cluster.workers) and
                len(kv) == 4 and all(line.reserved_bytes == line.used_bytes == 0 for line in kv))

    def stop(self):
        order = [*self.gateways, *(s for s in self.services.values() if s.kind in ("llm", "vision")), self.services["scheduler"]]
        return {service.name: service.process.terminate() for service in order}


@pytest.fixture
def rollout(mode, tmp_path):
    if mode != "binaries":
        pytest.skip("needs services in processes of their own")
    one = Rollout(tmp_path, make_endless_model(tmp_path))
    yield one
    for service in one.services.values():
        if service.process.alive():
            service.process.kill()


def test_no_request_fails(rollout):
    wait_for(rollout.all_serve, "all services to serve")
    load = Load(rollout.gateways)
    try:
        for name in rollout.services:
            load.wait_for_more(BETWEEN)
            rollout.restart(name)
        load.wait_for_more(BETWEEN)
    finally:
        load.stop()
        print(f"{len(rollout.services)} restarts, {load.answered} requests answered, {load.failovers} times the other gateway, "
              f"{len(load.failures)} failures")
    assert not load.failures, load.failures[:3]
    wait_for(rollout.idle, "all ledgers to be zero")
    assert set(rollout.stop().values()) == {0}
