"""Starts real Headroom processes on loopback for a test, as one process or as four binaries, and stops them again."""
import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO_MODEL = ROOT / "models" / "demo"
# A state that a test waits for comes within this or never: sanitizer builds on a loaded machine are slow.
PATIENCE_S = 120


def binary_dir():
    return pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]) / "bin"


def guarded_environment(extra=None):
    """Environment of servers under test: a thread that computes and allocates ends its process (common/testing/allocation_guard.h). Sanitizer
    builds own malloc, so there the guard watches unit tests only."""
    environment = {**os.environ, **(extra or {})}
    cache = (pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]) / "CMakeCache.txt").read_text()
    sanitized = any(line.startswith("HEADROOM_SANITIZE:") and line.split("=", 1)[1].strip() for line in cache.splitlines())
    if not sanitized:
        guard = pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]) / "lib" / "libheadroom_allocation_guard.so"
        assert guard.exists(), f"build all targets first: {guard.name} is missing"
        environment["LD_PRELOAD"] = ":".join(filter(None, [str(guard), environment.get("LD_PRELOAD")]))
    return environment


def make_endless_model(folder, source=ROOT / "tests" / "golden" / "minicpmv"):
    """`source`, by default the random golden model, with the head's rows of all stop ids set to zero: their logit is 0, the best of the others is
    always above it, so a greedy answer never ends before max_tokens. What a test needs that interrupts an answer."""
    model = folder / f"endless-{source.name}"
    shutil.copytree(source, model, ignore=shutil.ignore_patterns("expected", "images"))
    weights = model / "model.safetensors"
    stop_ids = [token["id"] for token in json.loads((model / "tokenizer.json").read_text())["added_tokens"]]
    with open(weights, "r+b") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_bytes))
        head = header.get("llm.lm_head.weight") or header["lm_head.weight"]
        row_bytes = head["shape"][1] * 2
        for row in stop_ids:
            file.seek(8 + header_bytes + head["data_offsets"][0] + row * row_bytes)
            file.write(bytes(row_bytes))
    return model


def _claim_ports():
    """A run of ports that no other test process on this machine picks from: it holds a lock file until it ends. From below the range of outgoing
    connections: one of those, of a client that dials the very port before its server is up, would take it."""
    first_outgoing = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    folder = pathlib.Path(tempfile.gettempdir()) / "headroom-test-ports"
    folder.mkdir(exist_ok=True)
    starts = list(range(10_240, first_outgoing - PORTS_PER_RUN, PORTS_PER_RUN))
    random.shuffle(starts)
    for start in starts:
        lock = open(folder / str(start), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _locks.append(lock)
        return iter(range(start, start + PORTS_PER_RUN))
    raise AssertionError(f"all {len(starts)} runs of test ports are in use: {folder}")


def free_port():
    global _ports
    while True:
        port = next(_ports, None)
        if port is None:
            _ports = _claim_ports()
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


PORTS_PER_RUN = 128
_ports = iter(())
_locks = []


def over_http(cluster, path, body=None):
    """A GET, or a POST of `body` as JSON: (status, answer as read from JSON, headers)."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(cluster.url + path, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def wait_for(condition, what, patience_s=PATIENCE_S):
    """Polls until condition() is truthy and returns its value."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {patience_s} s in vain for: {what}")


class Process:
    """One Headroom process; its log goes to a file that failing tests can show."""

    def __init__(self, name, arguments, log_dir, environment=None, prefix=()):
        self.name = name
        self.log_path = log_dir / f"{name}.log"
        self.log_file = open(self.log_path, "ab")
        self.popen = subprocess.Popen(
            [*prefix, str(binary_dir() / arguments[0]), *arguments[1:]],
            stdout=self.log_file, stderr=self.log_file, stdin=subprocess.DEVNULL, env=guarded_environment(environment))

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.popen.poll() is None

    def signal_end(self):
        """SIGTERM, as an orchestrator would."""
        if self.alive():
            self.popen.send_signal(signal.SIGTERM)

    def terminate(self):
        """SIGTERM; returns the exit status."""
        self.signal_end()
        return self.wait()

    def wait(self):
        status = self.popen.wait(PATIENCE_S)
        self.log_file.close()
        return status

    def kill(self):
        self.popen.kill()
        self.popen.wait(PATIENCE_S)
        self.log_file.close()


class Cluster:
    """mode "up": one process. mode "binaries": gateway, scheduler, vision-worker and llm-worker."""

    SERVICES = ("scheduler", "vision-worker", "llm-worker", "gateway")

    def __init__(self, mode, log_dir, model=DEMO_MODEL, settings=(), environment=None, prefix=(), host="127.0.0.1", models=None):
        self.mode = mode
        self.host = host  # as in HOST:PORT
        self.log_dir = log_dir
        self.model = model
        self.models = models or {}  # instead of `model`: {name: {key: value}}, entries of the list `models`
        self.ports = {name: free_port() for name in self.SERVICES}
        self.metrics_ports = {name: free_port() for name in self.SERVICES}
        self.http_port = free_port()
        self.settings = list(settings)
        self.environment = environment
        self.prefix = list(prefix)  # of the command that starts a process
        self.processes = {}

    @property
    def address(self):
        return f"{self.host}:{self.ports['gateway']}"

    @property
    def url(self):
        return f"http://{self.host}:{self.http_port}"

    def flags(self):
        scheduler = f"{self.host}:{self.ports['scheduler']}"
        sections = {"gateway": "gateway", "scheduler": "scheduler", "vision-worker": "vision_worker", "llm-worker": "llm_worker"}
        settings = ["log.level=info", f"gateway.http_listen={self.host}:{self.http_port}"]
        for name, keys in self.models.items():
            settings += [f"models.{name}.{key}={value}" for key, value in keys.items()]
        if not self.models:
            settings.append(f"model.path={self.model}")
        for name, section in sections.items():
            settings.append(f"{section}.listen={self.host}:{self.ports[name]}")
            settings.append(f"{section}.metrics_listen={self.host}:{self.metrics_ports[name]}")
            if name != "scheduler":
                settings.append(f"{section}.scheduler={scheduler}")
        flags = ["--config", str(ROOT / "deploy" / "demo.yaml")]
        for setting in settings + self.settings:
            flags += ["--set", setting]
        return flags

    def start(self):
        self.launch()
        self.wait_ready()
        return self

    def launch(self):
        if self.mode == "up":
            self.processes["up"] = Process("up", ["headroom", "up", *self.flags()], self.log_dir, self.environment, self.prefix)
        else:
            for name in self.SERVICES:
                self.start_service(name)

    def start_service(self, name):
        self.processes[name] = Process(name, [name, *self.flags()], self.log_dir, self.environment, self.prefix)

    def check_alive(self):
        for process in self.processes.values():
            assert process.alive(), f"{process.name} died with {process.popen.returncode}:\n{process.log()[-4000:]}"

    def status(self):
        import headroom_api as api
        try:
            return api.gateway(self.address).GetStatus(api.gateway_pb2.GetStatusRequest(), timeout=5)
        except grpc.RpcError:
            return None

    def wait_ready(self):
        def ready():
            self.check_alive()
            status = self.status()
            # `ready` says that some model is; where models come and go with their workers, that may be all there is.
            return status is not None and status.ready and (self.mode != "up" or all(model.ready for model in status.models))
        wait_for(ready, "the cluster to be ready")

    def wait_idle(self):
        """No grant, leg, request or host byte is left anywhere: what must hold after every request, however it ended."""
        def idle():
            self.check_alive()
            status = self.status()
            if status is None or status.requests_running or status.host_bytes_used:
                return False
            cluster = status.cluster
            if cluster.grants_pending or cluster.grants_active or cluster.queue_entries:
                return False
            return all(not worker.active_legs and not worker.pending_legs and worker.reserved.ByteSize() == 0
                       for worker in cluster.workers)
        wait_for(idle, "the cluster to be idle")

    def metrics_port(self, name):
        return self.metrics_ports["gateway" if self.mode == "up" else name]

    def stop(self):
        """SIGTERM to everything; returns the exit statuses by name."""
        order = ["gateway", "llm-worker", "vision-worker", "scheduler", "up"]
        return {name: self.processes[name].terminate() for name in order if name in self.processes}
