"""The real services, started with the command lines, configuration and probes that the chart renders for the demo model. The tests are the stages of
one life, in this order."""
import os
import subprocess
import urllib.request

import pytest
from chart import NAMESPACE, RELEASE, ROOT, component, of_kind, render_set
from pods import Cluster, binary_dir, wait_for


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    objects = render_set("demo")
    one = Cluster(objects, {"models": ROOT / "models"}, tmp_path_factory.mktemp("pods"))
    try:
        yield one
    finally:
        one.kill()


def test_probes_follow_the_service(cluster):
    """A gateway without workers is alive, started and not ready; workers become ready by themselves, and then the gateway is."""
    first = cluster.of("scheduler") + cluster.of("gateway")
    cluster.start(first)
    for pod in first:
        pod.wait_probe("startupProbe")
        assert pod.probe("livenessProbe")
    assert all(pod.probe("readinessProbe") for pod in cluster.of("scheduler"))
    assert not any(pod.probe("readinessProbe") for pod in cluster.of("gateway"))
    workers = cluster.of("vision-worker") + cluster.of("llm-worker")
    cluster.start(workers)
    for pod in workers:
        pod.wait_probe("startupProbe")
    for pod in cluster.pods:
        pod.wait_probe("readinessProbe")
        assert pod.probe("livenessProbe")
    assert len(cluster.pods) == 6

    def all_registered():
        """Under their pods' names and addresses, which is what others dial."""
        command = [binary_dir() / "headroom", "status", "--gateway", f"{cluster.of('gateway')[1].address}:7700"]
        text = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        return all(pod.name in text and f"{pod.address}:{pod.port('grpc')}" in text for pod in workers)
    wait_for(all_registered, "all workers to register")


def test_helm_tests_pass(cluster):
    """The pods of `helm test`, in their order."""
    pods = sorted((one for one in of_kind(cluster.objects, "Pod")), key=lambda one: int(one["metadata"]["annotations"]["helm.sh/hook-weight"]))
    assert [one["metadata"]["name"].rpartition("-")[2] for one in pods] == ["status", "ask", "stream", "image", "idle"]
    names = cluster.service_names() | {"/tests/": str(ROOT / "helm" / "headroom" / "files") + "/"}
    for one in pods:
        container = one["spec"]["containers"][0]
        arguments = container["args"]
        for text, other in names.items():
            arguments = [argument.replace(text, other) for argument in arguments]
        result = subprocess.run([binary_dir() / container["command"][0], *arguments], capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, f"{one['metadata']['name']}: {result.stdout}{result.stderr}"
        if one["metadata"]["name"].endswith("-image"):
            assert result.stdout == "MUSIC\n"


def test_nothing_else_listens(cluster):
    """The pod's address and the declared ports, nothing more; the gateway's public ports are those on every address, which is the pod's here."""
    for pod in cluster.pods:
        assert pod.listeners() == {(pod.address, port["containerPort"]) for port in pod.container["ports"]}, pod.name


def test_metrics_are_where_the_pod_monitor_looks(cluster):
    endpoint = next(one for one in of_kind(render_set("monitored"), "PodMonitor"))["spec"]["podMetricsEndpoints"][0]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for pod in cluster.pods:
        with opener.open(f"http://{pod.address}:{pod.port(endpoint['port'])}{endpoint['path']}", timeout=60) as answer:
            assert b"headroom_" in answer.read()


@pytest.mark.skipif(bool(os.environ.get("HEADROOM_SANITIZE")), reason="sanitizers need memory of their own")
def test_pods_keep_to_their_memory(cluster):
    """High-water marks of all processes of a pod, which count shared pages more than once, are within its limit."""
    for pod in cluster.pods:
        limit = int(pod.container["resources"]["limits"]["memory"].removesuffix("Mi")) << 20
        assert pod.resident_bytes() <= limit, pod.name


def test_liveness_outlives_the_peers(cluster):
    """Without scheduler, gateways are not ready; nobody is restarted for it. A new scheduler heals all."""
    scheduler, = cluster.of("scheduler")
    assert scheduler.terminate() == 0
    for pod in cluster.of("gateway"):
        wait_for(lambda pod=pod: not pod.probe("readinessProbe"), f"{pod.name} to be not ready")
    for pod in cluster.pods:
        if pod is not scheduler:
            assert pod.probe("livenessProbe"), pod.name
    assert all(pod.probe("readinessProbe") for pod in cluster.of("llm-worker") + cluster.of("vision-worker"))
    cluster.start([scheduler])
    for pod in cluster.pods:
        pod.wait_probe("readinessProbe")


def test_sigterm_ends_every_pod(cluster):
    for kind in ("gateway", "llm-worker", "vision-worker", "scheduler"):
        for pod in cluster.of(kind):
            assert pod.terminate() == 0, pod.log_path.read_text()[-2000:]
    drains = {pod.name: pod.log_path.read_text() for pod in cluster.pods}
    for name, log in drains.items():
        wanted = 10_000 if "scheduler" in name else 30_000
        assert f"drain_ms_max={wanted}" in log, log[-500:]


def test_names_of_the_release():
    """What the documents say to type: the Service of the gateway is RELEASE-headroom-gateway."""
    services = {one["metadata"]["name"]: one for one in of_kind(render_set("demo"), "Service")}
    assert component(services[f"{RELEASE}-headroom-gateway"]["metadata"]) == "gateway"
    assert NAMESPACE not in services
