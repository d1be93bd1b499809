#!/usr/bin/env python3
"""What HTTP clients cost the gateway when they are many, large or slow: resident memory and CPU of its process, what its host budget says, and how long
others take beside them. Real processes on loopback; this one is the clients.

    PYTHONPATH=tests/integration build/venv/bin/python tools/bench/http_load.py --binary-dir build/release [--only idle,heads,bodies,waiting] [--connections 10000]

idle     keep-alive connections that have been used once
heads    connections that send a head byte by byte (slow loris)
bodies   large bodies at once, more than the budget has room for: those that are too many are refused before they are read
waiting  streams that wait for admission: the room is held by others, and fresh ones are small enough to pass them
Not a test: it prints figures of the machine that it runs on.
"""
import argparse
import asyncio
import collections
import json
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "integration"))
from gateway_load import HOUR_MS, SLOTS, cpu_percent, milliseconds, process_figures, say, until  # noqa: E402

MIB = 1 << 20
OPENING_AT_ONCE = 200
FRESH = 500
IDLE_S = 3


class Client:
    """One connection, bytes as they are."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @staticmethod
    async def connect(port):
        return Client(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, path, fields="", method="GET"):
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())

    async def status(self):
        """Of the next answer, whose body is read over."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
        await self.reader.readexactly(length)
        return int(head.split()[1])

    def close(self):
        self.writer.close()


async def beside(port):
    """Seconds of short requests on one connection, one after the other."""
    client = await Client.connect(port)
    seconds = []
    for _ in range(FRESH):
        begin = time.monotonic()
        client.send("/live")
        assert await client.status() == 200
        seconds.append(time.monotonic() - begin)
    client.close()
    return milliseconds(seconds)


async def gather(count, one):
    """`one(index)` for each, so many at once."""
    room = asyncio.Semaphore(OPENING_AT_ONCE)

    async def bounded(index):
        async with room:
            return await one(index)
    return await asyncio.gather(*(bounded(index) for index in range(count)), return_exceptions=True)


def outcomes(results):
    return dict(collections.Counter(result if isinstance(result, int) else type(result).__name__ for result in results))


async def many(cluster, label, count, one):
    """Opens `count` with one(index) -> Client, and says what they cost while they are open."""
    pid = cluster.processes["gateway"].popen.pid
    rss_before = process_figures(pid)[0]
    say(f"{label}: before", rss_mib=rss_before >> 20, **await beside(cluster.http_port))
    begin = time.monotonic()
    clients = await gather(count, one)
    opened = [client for client in clients if isinstance(client, Client)]
    opened_s = round(time.monotonic() - begin, 1)
    rss, _, threads = process_figures(pid)
    used = cluster.status().host_bytes_used
    say(f"{label}: open", connections=len(opened), opened_s=opened_s, rss_mib=rss >> 20, bytes_each=(rss - rss_before) // max(1, len(opened)),
        charged_each=used // max(1, len(opened)), threads=threads, cpu_percent=await cpu_percent(pid, IDLE_S))
    say(f"{label}: others beside", **await beside(cluster.http_port))
    for client in opened:
        client.close()


async def idle(cluster, arguments):
    async def one(_):
        client = await Client.connect(cluster.http_port)
        client.send("/live")
        assert await client.status() == 200
        return client
    await many(cluster, "idle", arguments.connections, one)


async def heads(cluster, arguments):
    async def one(_):
        client = await Client.connect(cluster.http_port)
        client.writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\nX: ")
        return client
    await many(cluster, "heads", arguments.connections, one)


async def bodies(cluster, arguments):
    pid = cluster.processes["gateway"].popen.pid
    size = arguments.body_mib * MIB
    part = b"x" * MIB
    peak = 0

    async def one(_):
        client = await Client.connect(cluster.http_port)
        client.send("/v1/chat/completions", f"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {size}\r\n", "POST")
        status = await client.status()
        if status != 100:
            return status
        for _ in range(arguments.body_mib):
            client.writer.write(part)
            await client.writer.drain()
        return await client.status()

    async def watch():
        nonlocal peak
        while True:
            peak = max(peak, process_figures(pid)[0])
            await asyncio.sleep(0.02)
    watching = asyncio.create_task(watch())
    begin = time.monotonic()
    load = asyncio.create_task(gather(arguments.bodies, one))
    await asyncio.sleep(0.2)
    figures = await beside(cluster.http_port)
    results = await load
    seconds = time.monotonic() - begin
    watching.cancel()
    say("bodies: others beside", **figures)
    say("bodies: done", seconds=round(seconds, 1), peak_rss_mib=peak >> 20, answers=outcomes(results))


def chat(max_tokens, **fields):
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": max_tokens, "temperature": 0, **fields})
    return f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n", body.encode()


async def ask(port, **fields):
    """A connection whose chat has been sent."""
    client = await Client.connect(port)
    head, body = chat(**fields)
    client.send("/v1/chat/completions", head, "POST")
    client.writer.write(body)
    return client


async def short_answers(port, count):
    """Seconds of short whole answers, one after the other on connections of their own."""
    seconds = []
    for _ in range(count):
        begin = time.monotonic()
        client = await ask(port, max_tokens=1)
        assert await client.status() == 200
        client.close()
        seconds.append(time.monotonic() - begin)
    return milliseconds(seconds)


async def waiting(cluster, arguments):
    gateway, scheduler = (cluster.processes[name].popen.pid for name in ("gateway", "scheduler"))
    port, count = cluster.http_port, arguments.connections
    say("waiting: alone", **await short_answers(port, FRESH))
    # Those that stream hold the room, which few of the longest sequences take.
    holders = [await ask(port, max_tokens=8_000, stream=True) for _ in range(16)]
    await until(lambda: cluster.status().cluster.grants_active > 0 and cluster.status().cluster.queue_entries > 0, "the room to be taken")
    running = cluster.status().cluster.grants_active
    rss_before = process_figures(gateway)[0]
    say("waiting: room is held", by=running, rss_mib=rss_before >> 20, gateway_cpu=await cpu_percent(gateway, IDLE_S),
        scheduler_cpu=await cpu_percent(scheduler, IDLE_S))
    begin = time.monotonic()
    clients = await gather(count, lambda _: ask(port, max_tokens=8_000, stream=True))
    opened = [client for client in clients if isinstance(client, Client)]
    await until(lambda: cluster.status().cluster.queue_entries + running >= len(opened) + len(holders), "all to wait")
    opened_s = round(time.monotonic() - begin, 1)
    rss, _, threads = process_figures(gateway)
    used = cluster.status().host_bytes_used
    say("waiting: open", streams=len(opened), opened_s=opened_s, rss_mib=rss >> 20, bytes_each=(rss - rss_before) // max(1, len(opened)),
        charged_each=used // max(1, len(opened)), threads=threads, gateway_cpu=await cpu_percent(gateway, IDLE_S),
        scheduler_cpu=await cpu_percent(scheduler, IDLE_S), scheduler_mib=process_figures(scheduler)[0] >> 20)
    say("waiting: others beside", **await short_answers(port, FRESH))
    begin = time.monotonic()
    for client in opened + holders:
        client.close()
    await until(lambda: not cluster.status().requests_running and not cluster.status().cluster.queue_entries, "all to be gone")
    left_s = time.monotonic() - begin
    cluster.wait_idle()
    say("waiting: all have left", seconds=round(left_s, 2), rss_mib=process_figures(gateway)[0] >> 20)


async def run(arguments):
    os.environ["HEADROOM_BINARY_DIR"] = str(pathlib.Path(arguments.binary_dir).resolve())
    import cluster as clusters
    settings = [f"gateway.http_connections_max={arguments.connections + 1000}", "gateway.http_idle_ms_max=600000", "gateway.http_head_ms_max=600000",
                f"gateway.http_body_bytes_max={arguments.body_mib * MIB + MIB}", "log.level=warning"]
    most = arguments.connections + 1000
    full = [f"gateway.requests_running_max={most}", f"scheduler.queue_entries_max={most}", "scheduler.queue_bytes_max=1GiB",
            f"scheduler.queue_wait_ms_max={HOUR_MS}", f"gateway.queue_wait_ms_max={HOUR_MS}", f"gateway.deadline_ms_default={HOUR_MS}",
            "scheduler.overtakes_max=1000000", "gateway.host_bytes_max=8GiB", f"knobs.max_num_seqs={SLOTS}", "knobs.max_model_len=8192",
            "device.memory=140MiB"]
    measures = {"idle": (idle, []), "heads": (heads, []), "bodies": (bodies, []), "waiting": (waiting, full)}
    with tempfile.TemporaryDirectory() as folder:
        endless = clusters.make_endless_model(pathlib.Path(folder), clusters.DEMO_MODEL)
        for name in arguments.only.split(","):
            measure, more = measures[name]
            logs = pathlib.Path(folder) / name
            logs.mkdir()
            model = endless if more else clusters.DEMO_MODEL
            cluster = clusters.Cluster("binaries", logs, model=model, settings=settings + more)
            try:
                await measure(cluster.start(), arguments)
            finally:
                cluster.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary-dir", required=True)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--bodies", type=int, default=64)
    parser.add_argument("--body-mib", type=int, default=64)
    parser.add_argument("--only", default="idle,heads,bodies,waiting")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
