#!/usr/bin/env python3
"""What many requests at once cost the gateway: memory and threads of its process, CPU while they wait, and how long a fresh short request takes
beside them. Four real processes on loopback, the demo model changed so that it never ends an answer by itself.

    PYTHONPATH=tests/integration build/venv/bin/python tools/bench/gateway_load.py --binary-dir build/release [--waiting 10000] [--streaming 2000]

First `--waiting` requests wait for admission: each is priced at a whole sequence of the longest kind while others hold the room; fresh ones are
small enough to pass them. Then `--streaming` requests stream at once. Not a test: it prints figures of the machine that it runs on.
"""
import argparse
import asyncio
import os
import pathlib
import sys
import tempfile
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "integration"))
HOUR_MS = 3_600_000
# Below the server's limit for one connection.
CALLS_OF_A_CONNECTION = 1_000
OPENING_AT_ONCE = 256
# Of the worker while requests wait: some hold the room, fresh ones pass through the rest.
SLOTS = 64
# Opened and counted first, so that what the many cost can be told from what the few cost that stream all the while.
FIRST = 16


def process_figures(pid):
    """Resident bytes, CPU seconds and threads of a process."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return int(status["VmRSS"].split()[0]) * 1024, cpu_s, int(status["Threads"])


async def cpu_percent(pid, seconds):
    """Of one core, over so many seconds from now."""
    before = process_figures(pid)[1]
    await asyncio.sleep(seconds)
    return round(100 * (process_figures(pid)[1] - before) / seconds, 2)


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


class Load:
    """Open streams of one gateway, over as many connections as they need."""

    def __init__(self, api, address, count):
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        self.api = api
        self.channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(count // CALLS_OF_A_CONNECTION + 1)]
        self.stubs = [api.gateway_pb2_grpc.GatewayStub(channel) for channel in self.channels]
        self.calls, self.tasks = [], []
        self.started, self.ended, self.failed = 0, 0, {}

    async def open(self, count, max_tokens):
        room = asyncio.Semaphore(OPENING_AT_ONCE)
        for index in range(count):
            async with room:
                call = self.stubs[index % len(self.stubs)].Generate(self.api.ask("Hello", max_tokens=max_tokens))
                self.calls.append(call)
                self.tasks.append(asyncio.create_task(self.read(call)))
            if index % OPENING_AT_ONCE == 0:
                await asyncio.sleep(0.01)

    async def read(self, call):
        try:
            first = True
            async for _ in call:
                self.started += first
                first = False
            self.ended += 1
        except asyncio.CancelledError:
            pass
        except grpc.aio.AioRpcError as error:
            self.failed[error.code().name] = self.failed.get(error.code().name, 0) + 1

    async def close(self):
        for call in self.calls:
            call.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for channel in self.channels:
            await channel.close()


async def fresh_requests(api, stub, count):
    """Seconds of `count` short requests, one after the other."""
    seconds = []
    for _ in range(count):
        begin = time.monotonic()
        async for _ in stub.Generate(api.ask("Hi", max_tokens=1)):
            pass
        seconds.append(time.monotonic() - begin)
    return seconds


def say(label, **figures):
    print(f"{label:28}", *(f"{name} {value}" for name, value in figures.items()), sep="  ", flush=True)


def milliseconds(values):
    return {"p50_ms": round(1e3 * quantile(values, 0.5), 1), "p99_ms": round(1e3 * quantile(values, 0.99), 1)}


async def until(condition, what, patience_s=600):
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited {patience_s} s in vain for {what}")
        await asyncio.sleep(0.2)


async def measure(api, cluster, label, count, max_tokens, reached, fresh, idle_s):
    """Opens `count` streams, waits until `reached(load, status, how many)`, and says what they cost."""
    pid = cluster.processes["gateway"].popen.pid
    load = Load(api, cluster.address, count)
    beside = grpc.aio.insecure_channel(cluster.address, options=[("grpc.use_local_subchannel_pool", 1)])
    stub = api.gateway_pb2_grpc.GatewayStub(beside)
    say(f"{label}: alone", **milliseconds(await fresh_requests(api, stub, fresh)))
    bytes_before, _, threads_before = process_figures(pid)
    say(f"{label}: before", rss_mib=bytes_before >> 20, threads=threads_before)
    await load.open(FIRST, max_tokens)
    await until(lambda: reached(load, cluster.status(), FIRST), f"the first {FIRST}; failed: {load.failed}")
    say(f"{label}: {FIRST} of them", started=load.started, cpu_percent=await cpu_percent(pid, idle_s))
    begin = time.monotonic()
    await load.open(count - FIRST, max_tokens)
    await until(lambda: reached(load, cluster.status(), count), f"{label}; failed: {load.failed}")
    opened_s = time.monotonic() - begin
    status = cluster.status()
    bytes_during, _, threads = process_figures(pid)
    say(f"{label}: during", requests=status.requests_running, started=load.started, opened_s=round(opened_s, 1), rss_mib=bytes_during >> 20,
        bytes_each=(bytes_during - bytes_before) // count, charged_each=status.host_bytes_used // max(1, status.requests_running),
        threads=threads, cpu_percent=await cpu_percent(pid, idle_s))
    say(f"{label}: fresh beside them", **milliseconds(await fresh_requests(api, stub, fresh)))
    say(f"{label}: after those", requests=cluster.status().requests_running, ended=load.ended, failed=load.failed)
    await load.close()
    cluster.wait_idle()
    say(f"{label}: all cancelled", rss_mib=process_figures(pid)[0] >> 20, threads=process_figures(pid)[2])
    await beside.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary-dir", default="build/release")
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--streaming", type=int, default=2_000)
    parser.add_argument("--fresh", type=int, default=200, help="short requests whose times are taken")
    parser.add_argument("--idle-s", type=float, default=10, help="how long CPU time is counted")
    given = parser.parse_args()
    os.environ["HEADROOM_BINARY_DIR"] = str(pathlib.Path(given.binary_dir).resolve())
    from cluster import DEMO_MODEL, Cluster, make_endless_model
    import headroom_api as api

    most = max(given.waiting, given.streaming) + 64
    common = [f"gateway.requests_running_max={most}", f"scheduler.queue_entries_max={most}", "scheduler.queue_bytes_max=1GiB",
              f"scheduler.queue_wait_ms_max={HOUR_MS}", f"gateway.queue_wait_ms_max={HOUR_MS}", f"gateway.deadline_ms_default={HOUR_MS}",
              "scheduler.overtakes_max=1000000", "gateway.host_bytes_max=8GiB", "log.level=warning"]
    with tempfile.TemporaryDirectory() as folder:
        model = make_endless_model(pathlib.Path(folder), DEMO_MODEL)

        def run(name, settings, *arguments):
            log_dir = pathlib.Path(folder) / name
            log_dir.mkdir()
            cluster = Cluster("binaries", log_dir, model=model, settings=common + settings)
            try:
                cluster.start()
                asyncio.run(measure(api, cluster, name, *arguments, given.fresh, given.idle_s))
            finally:
                cluster.stop()

        if given.waiting:
            # Room for very few of the longest sequences beside slots for short ones.
            run("waiting", [f"knobs.max_num_seqs={SLOTS}", "knobs.max_model_len=8192", "device.memory=140MiB"], given.waiting, 8_000,
                lambda load, status, opened: status.cluster.queue_entries + load.started >= opened)
        if given.streaming:
            tokens, seqs = 400, given.streaming + 16
            run("streaming", [f"knobs.max_num_seqs={seqs}", f"knobs.max_num_batched_tokens={max(1_024, 2 * seqs)}",
                              "knobs.max_model_len=480", "device.memory=3GiB", f"llm_worker.waiting_requests_max={seqs}"],
                given.streaming, tokens, lambda load, _, opened: load.started == opened)


if __name__ == "__main__":
    main()
