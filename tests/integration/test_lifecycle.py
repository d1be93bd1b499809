"""Interruption, start, drain, loss and return of services. The model never ends an answer by itself (cluster.make_endless_model)."""
import socket
import subprocess
import threading
import urllib.request

import grpc
import headroom_api as api
import pytest
from cluster import Cluster, binary_dir, make_endless_model, wait_for
from grpc_health_free import check_health
from test_bad_input import png


def long_request(**fields):
    return api.ask("Tell me everything about memory.", max_tokens=1500, **fields)


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    return make_endless_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def running(mode, endless, tmp_path_factory):
    """One cluster for the tests that do it no harm."""
    one = Cluster(mode, tmp_path_factory.mktemp("logs"), model=endless)
    try:
        yield one.start()
        one.check_alive()
    finally:
        statuses = one.stop()
    assert set(statuses.values()) == {0}


@pytest.fixture
def cluster(running):
    yield running
    running.wait_idle()


@pytest.fixture
def gateway(cluster):
    return api.gateway(cluster.address)


@pytest.fixture
def own_cluster(mode, endless, tmp_path):
    """Makes clusters that a test may break; ends what is left of them."""
    made = []

    def make(**options):
        made.append(Cluster(mode, tmp_path, model=endless, **options))
        return made[-1].start()

    yield make
    for one in made:
        for process in one.processes.values():
            if process.alive():
                process.kill()


# A request with a picture and a short answer.
PICTURE = api.ask("What is this?", [png(300, 200)], max_tokens=8)


def test_cancellation_frees_everything(cluster, gateway):
    stream = gateway.Generate(long_request())
    assert next(stream).text_delta is not None
    stream.cancel()
    with pytest.raises(grpc.RpcError) as error:
        for _ in stream:
            pass
    assert error.value.code() == grpc.StatusCode.CANCELLED
    cluster.wait_idle()


def test_client_that_vanishes_frees_everything(cluster):
    channel = api.channel(cluster.address)
    stream = api.gateway_pb2_grpc.GatewayStub(channel).Generate(long_request())
    next(stream)
    channel.close()
    cluster.wait_idle()


def test_deadline_is_kept(cluster, gateway):
    stream = gateway.Generate(long_request(), timeout=0.25)
    with pytest.raises(grpc.RpcError) as error:
        api.collect(stream)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    cluster.wait_idle()


def test_status_counts_requests(cluster, gateway):
    stream = gateway.Generate(long_request())
    next(stream)
    wait_for(lambda: cluster.status().requests_running >= 1, "a running request to be counted")
    command = [binary_dir() / "headroom", "status", "--gateway", cluster.address, "--idle-within-seconds"]
    busy = subprocess.run([*command, "0"], capture_output=True, text=True, timeout=120)
    assert busy.returncode == 1 and "not idle" in busy.stderr
    stream.cancel()
    assert subprocess.run([*command, "100"], capture_output=True, timeout=120).returncode == 0


def test_sigterm_lets_streams_finish(own_cluster):
    cluster = own_cluster()
    stream = api.gateway(cluster.address).Generate(long_request())
    first = next(stream)
    statuses = {}
    stopper = threading.Thread(target=lambda: statuses.update(cluster.stop()))
    stopper.start()
    text, finish = api.collect(stream)
    stopper.join()
    assert finish.reason == api.LENGTH and finish.usage.completion_tokens == 1500
    assert first is not None and isinstance(text, str)
    assert set(statuses.values()) == {0}


def test_drain_has_an_end(own_cluster):
    """With no time to drain, SIGTERM cuts a running answer."""
    cluster = own_cluster(settings=["cluster.drain_ms_max=0"])
    stream = api.gateway(cluster.address).Generate(long_request())
    next(stream)
    statuses = cluster.stop()
    with pytest.raises(grpc.RpcError):
        api.collect(stream)
    assert set(statuses.values()) == {0}


def test_nothing_listens_after_the_end(own_cluster):
    cluster = own_cluster()
    cluster.stop()
    with pytest.raises(grpc.RpcError) as error:
        api.gateway(cluster.address).GetStatus(api.gateway_pb2.GetStatusRequest(), timeout=5)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE


def machine_has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.skipif(not machine_has_ipv6(), reason="this machine has no IPv6")
def test_a_cluster_on_ipv6_alone(own_cluster):
    cluster = own_cluster(host="[::1]")
    assert api.gateway(cluster.address).Complete(PICTURE, timeout=60).finish.usage.completion_tokens == 8
    for name in cluster.SERVICES:
        with urllib.request.urlopen(f"http://[::1]:{cluster.metrics_port(name)}/metrics", timeout=30) as answer:
            assert b"headroom_build_info" in answer.read()
    assert set(cluster.stop().values()) == {0}


def test_reflection_is_off_unless_asked_for(own_cluster):
    cluster = own_cluster(settings=["gateway.reflection=false"])
    call = api.channel(cluster.address).stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=lambda raw: raw, response_deserializer=lambda raw: raw)
    with pytest.raises(grpc.RpcError) as error:
        next(call(iter([b"\x3a\x00"]), timeout=30))
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_gateway_refuses_above_its_limit(own_cluster):
    cluster = own_cluster(settings=["gateway.requests_running_max=1"])
    gateway = api.gateway(cluster.address)
    stream = gateway.Generate(long_request())
    next(stream)
    with pytest.raises(grpc.RpcError) as error:
        gateway.Complete(api.ask("Hello", max_tokens=1))
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    info, retry = api.error_info(error.value)
    assert info.domain == "headroom" and info.reason
    assert retry is not None
    stream.cancel()
    cluster.wait_idle()


def test_request_that_can_never_fit(own_cluster):
    """A pool of few blocks: the plan still promises one full sequence, so only the model limit refuses; image budgets refuse by name."""
    cluster = own_cluster(settings=["vision_worker.patches_in_flight_max=10"])
    with pytest.raises(grpc.RpcError) as error:
        gateway = api.gateway(cluster.address)
        gateway.Complete(api.ask("What?", [png(64, 64)], max_tokens=1))
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    info, _ = api.error_info(error.value)
    assert info.metadata["budget"] == "patches"


def needs_binaries(mode):
    if mode != "binaries":
        pytest.skip("needs services in processes of their own")


@pytest.mark.parametrize("service", ["llm-worker", "vision-worker"])
def test_killed_worker_comes_back(own_cluster, mode, service):
    needs_binaries(mode)
    cluster = own_cluster()
    gateway = api.gateway(cluster.address)
    before = gateway.Complete(PICTURE).text
    cluster.processes[service].kill()
    wait_for(lambda: not cluster_ready(cluster), "the gateway to notice the loss")
    wait_for(lambda: check_health(cluster.address) == "NOT_SERVING", "the health service to say so")
    # The gateway lives on: what restarts it must not ask for its peers.
    assert check_health(cluster.address, service="live") == "SERVING"
    cluster.start_service(service)
    cluster.wait_ready()
    assert gateway.Complete(PICTURE).text == before
    cluster.wait_idle()


def cluster_ready(cluster):
    status = cluster.status()
    return status is not None and status.ready


def test_killed_scheduler_comes_back(own_cluster, mode):
    """Streams that run do not notice; new requests work again once it is back."""
    needs_binaries(mode)
    cluster = own_cluster()
    gateway = api.gateway(cluster.address)
    stream = gateway.Generate(long_request())
    next(stream)
    cluster.processes["scheduler"].kill()
    cluster.start_service("scheduler")
    _, finish = api.collect(stream)
    assert finish.reason == api.LENGTH and finish.usage.completion_tokens == 1500
    cluster.wait_ready()
    assert gateway.Complete(PICTURE).finish.usage.images == 1
    cluster.wait_idle()


def test_killed_gateway_leaves_nothing_behind(own_cluster, mode):
    needs_binaries(mode)
    cluster = own_cluster()
    stream = api.gateway(cluster.address).Generate(long_request())
    next(stream)
    cluster.processes["gateway"].kill()
    cluster.start_service("gateway")
    cluster.wait_ready()
    cluster.wait_idle()


def test_gateway_killed_while_the_vision_leg_is_active(own_cluster, mode):
    needs_binaries(mode)
    cluster = own_cluster()
    # A client that reads no further keeps the leg: what was encoded waits for it. Its window holds a piece or two.
    with grpc.insecure_channel(cluster.address, options=[("grpc.http2.bdp_probe", 0)]) as channel:
        pictures = [api.gateway_pb2.Image(data=png(1200, 900))] * 2
        stream = api.gateway_pb2_grpc.GatewayStub(channel).Embed(api.gateway_pb2.EmbedRequest(images=pictures))
        assert len(next(stream).piece_rows) > 3
        active = [worker for worker in cluster.status().cluster.workers if worker.active_legs]
        assert len(active) == 1 and active[0].reserved.embedding_bytes > 0
        cluster.processes["gateway"].kill()
        cluster.start_service("gateway")
        cluster.wait_ready()
        cluster.wait_idle()


def test_idle_workers_wait_for_no_grant(own_cluster):
    """The scheduler tells workers that drain when no grant is on its way to them; without that they would wait for one."""
    cluster = own_cluster()
    statuses = cluster.stop()
    assert set(statuses.values()) == {0}, statuses
    lines = "".join(process.log() for process in cluster.processes.values()).splitlines()
    drained = [line for line in lines if " drained " in line]
    assert len(drained) == 2 and all("released=true" in line for line in drained), drained
