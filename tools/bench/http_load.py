#!/usr/bin/env python3
"""What HTTP clients cost the gateway when they are many, large or slow: resident memory and CPU of its process, what its host budget says, and how long
others take beside them. Real processes on loopback; this one is the clients.

    PYTHONPATH=tests/integration build/venv/bin/python tools/bench/http_load.py --binary-dir build/release [--only idle,heads,bodies] [--connections 10000]

idle     keep-alive connections that have been used once
heads    connections that send a head byte by byte (slow loris)
bodies   large bodies at once, more than the budget has room for: those that are too many are refused before they are read
Not a test: it prints figures of the machine that it runs on.
"""
import argparse
import asyncio
import collections
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "integration"))
from gateway_load import cpu_percent, milliseconds, process_figures, say  # noqa: E402

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


async def run(arguments):
    os.environ["HEADROOM_BINARY_DIR"] = str(pathlib.Path(arguments.binary_dir).resolve())
    import cluster as clusters
    settings = [f"gateway.http_connections_max={arguments.connections + 1000}", "gateway.http_idle_ms_max=600000", "gateway.http_head_ms_max=600000",
                f"gateway.http_body_bytes_max={arguments.body_mib * MIB + MIB}", "log.level=warning"]
    with tempfile.TemporaryDirectory() as logs:
        cluster = clusters.Cluster("binaries", pathlib.Path(logs), settings=settings).start()
        try:
            for name in arguments.only.split(","):
                await {"idle": idle, "heads": heads, "bodies": bodies}[name](cluster, arguments)
        finally:
            cluster.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary-dir", required=True)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--bodies", type=int, default=64)
    parser.add_argument("--body-mib", type=int, default=64)
    parser.add_argument("--only", default="idle,heads,bodies")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
