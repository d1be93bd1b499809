"""Hundreds of HTTP streams that wait for admission: what they hold is counted, others pass them, and nothing of them is left when they leave.
tools/bench/http_load.py measures ten thousand."""
import json
import select
import socket

import pytest

from cluster import DEMO_MODEL, Cluster, make_endless_model, wait_for

WAITING = 300
HOLDERS = 8
# One place is for those beside them.
RUNNING_MAX = WAITING + HOLDERS + 1
# Of a request and of its connection (docs/memory.md); the message and the tokens come to it.
CHARGED_EACH = (64 + 8) << 10


@pytest.fixture(scope="module")
def full(mode, tmp_path_factory):
    """Room for few of the longest sequences, which never end by themselves, beside slots for short ones."""
    model = make_endless_model(tmp_path_factory.mktemp("model"), DEMO_MODEL)
    settings = ["knobs.max_num_seqs=32", "knobs.max_model_len=8192", "device.memory=200MiB", "scheduler.overtakes_max=1000000",
                f"gateway.requests_running_max={RUNNING_MAX}", "gateway.host_bytes_max=256MiB", "scheduler.queue_wait_ms_max=600000",
                "gateway.queue_wait_ms_max=600000"]
    cluster = Cluster(mode, tmp_path_factory.mktemp("logs"), model=model, settings=settings)
    try:
        yield cluster.start()
        cluster.check_alive()
    finally:
        statuses = cluster.stop()
    assert set(statuses.values()) == {0}


def send(cluster, max_tokens, stream):
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": max_tokens, "stream": stream}).encode()
    client = socket.create_connection(("127.0.0.1", cluster.http_port), timeout=120)
    client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    return client


def status_of(client):
    return int(client.recv(4096).split()[1])


def answered(clients):
    return select.select(clients, [], [], 0)[0]


def test_those_who_wait_are_counted_and_harm_nobody(full):
    holders = [send(full, 8000, True) for _ in range(HOLDERS)]
    wait_for(lambda: full.status().cluster.queue_entries > 0, "the room to be taken")
    waiting = [send(full, 8000, True) for _ in range(WAITING)]
    wait_for(lambda: full.status().requests_running == HOLDERS + WAITING, "all to be in")
    wait_for(lambda: full.status().cluster.queue_entries + full.status().cluster.grants_active == HOLDERS + WAITING, "all to wait")
    assert full.status().cluster.queue_entries >= WAITING
    assert not answered(waiting), "the head of a stream goes out with its grant"
    used = full.status().host_bytes_used
    assert WAITING * CHARGED_EACH < used < full.status().host_bytes_capacity

    assert status_of(send(full, 1, False)) == 200, "a short one passes"
    last = send(full, 8000, True)
    wait_for(lambda: full.status().requests_running == RUNNING_MAX, "the last place to be taken")
    assert status_of(send(full, 1, False)) == 503, "one above the limit"

    last.close()
    for client in waiting[: WAITING // 2]:
        client.close()
    wait_for(lambda: full.status().requests_running == HOLDERS + WAITING - WAITING // 2, "half to be gone")
    assert full.status().host_bytes_used < used * 2 // 3
    assert not answered(waiting[WAITING // 2:])
    for client in waiting[WAITING // 2:] + holders:
        client.close()
    full.wait_idle()
