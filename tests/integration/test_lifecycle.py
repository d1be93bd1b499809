"""Start, drain, loss and return of services."""
import threading

import grpc
import headroom_api as api
import pytest
from cluster import wait_for
from grpc_health_free import check_health
from test_requests import long_request


def test_sigterm_lets_streams_finish(own_cluster):
    cluster = own_cluster()
    stream = api.gateway(cluster.address).Generate(long_request())
    first = next(stream)
    statuses = {}
    stopper = threading.Thread(target=lambda: statuses.update(cluster.stop()))
    stopper.start()
    text, finish = api.collect(stream)
    stopper.join()
    assert finish.reason in (api.STOP, api.LENGTH)
    assert first is not None and isinstance(text, str)
    assert set(statuses.values()) == {0}


def test_nothing_listens_after_the_end(own_cluster):
    cluster = own_cluster()
    cluster.stop()
    with pytest.raises(grpc.RpcError) as error:
        api.gateway(cluster.address).GetStatus(api.gateway_pb2.GetStatusRequest(), timeout=5)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE


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
        from test_bad_input import png
        gateway.Complete(api.ask("What?", [png(64, 64)], max_tokens=1))
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    info, _ = api.error_info(error.value)
    assert info.metadata["budget"] == "patches"


def needs_binaries(mode):
    if mode != "binaries":
        pytest.skip("needs services in processes of their own")


@pytest.mark.parametrize("service", ["llm-worker", "vision-worker"])
def test_killed_worker_comes_back(own_cluster, mode, service, samples):
    needs_binaries(mode)
    cluster = own_cluster()
    gateway = api.gateway(cluster.address)
    cluster.processes[service].kill()
    wait_for(lambda: not cluster_ready(cluster), "the gateway to notice the loss")
    assert check_health(cluster.address) == "NOT_SERVING"
    cluster.start_service(service)
    cluster.wait_ready()
    sample = samples[0]
    text, _ = api.collect(gateway.Generate(api.ask(sample["question"], [sample["image"]])))
    assert text == sample["answer"]
    cluster.wait_idle()


def cluster_ready(cluster):
    status = cluster.status()
    return status is not None and status.ready


def test_killed_scheduler_comes_back(own_cluster, mode, samples):
    """Streams that run do not notice; new requests work again once it is back."""
    needs_binaries(mode)
    cluster = own_cluster()
    gateway = api.gateway(cluster.address)
    stream = gateway.Generate(long_request())
    next(stream)
    cluster.processes["scheduler"].kill()
    cluster.start_service("scheduler")
    _, finish = api.collect(stream)
    assert finish.reason in (api.STOP, api.LENGTH)
    cluster.wait_ready()
    sample = samples[0]
    text, _ = api.collect(gateway.Generate(api.ask(sample["question"], [sample["image"]])))
    assert text == sample["answer"]
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
