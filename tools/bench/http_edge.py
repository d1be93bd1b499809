#!/usr/bin/env python3
"""What the gateway adds to a request, and what its data plane carries. Four real processes on loopback, the demo model; this process is the clients.

    PYTHONPATH=tests/integration build/venv/bin/python tools/bench/http_edge.py --binary-dir build/release [--rounds 500]

latency   one token of a short text: straight from scheduler and llm-worker with the same ids, through the gateway over gRPC, over HTTP; in turns
rate      the same over HTTP from several connections at once, and the price alone, which asks no worker
pictures  prices of one picture of 300 KB and of 4 MB, from several connections: HTTP, JSON, base64, header and hash of the picture, no decoding
Not a test: it prints figures of the machine that it runs on, and ratios within one run.
"""
import argparse
import asyncio
import base64
import importlib
import io
import json
import os
import pathlib
import random
import sys
import tempfile
import time

import grpc
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "integration"))
from gateway_load import milliseconds, process_figures, quantile, say  # noqa: E402
from http_load import Client  # noqa: E402

TEXT = "What does it say?"
CONNECTIONS = 8
RATE_S = 5


class Direct:
    """A request as the gateway makes it of the workers: Reserve, then Generate. Prompt and price are known before."""

    def __init__(self, api, cluster):
        names = ("scheduler_pb2", "scheduler_pb2_grpc", "llm_pb2", "llm_pb2_grpc")
        self.scheduler_pb2, scheduler_grpc, self.llm_pb2, llm_grpc = (importlib.import_module(f"headroom.v1.{name}") for name in names)
        address = "{}:{}".format
        self.scheduler = scheduler_grpc.SchedulerStub(api.channel(address(cluster.host, cluster.ports["scheduler"])))
        self.llm = llm_grpc.LlmStub(api.channel(address(cluster.host, cluster.ports["llm-worker"])))
        self.common_pb2, self.cluster_pb2 = api.common_pb2, api.cluster_pb2
        gateway = api.gateway(cluster.address)
        request = api.ask(TEXT, max_tokens=1)
        self.price = gateway.Price(request)
        self.ids = gateway.Tokenize(api.gateway_pb2.TokenizeRequest(messages=request.messages)).tokens
        self.model = gateway.GetStatus(api.gateway_pb2.GetStatusRequest()).fingerprint

    def ask(self):
        grant_id = self.common_pb2.GrantId(high=random.getrandbits(64), low=random.getrandbits(64))
        context = self.common_pb2.RequestContext(request_id="direct")
        tokens = len(self.ids)
        price = self.cluster_pb2.Price(llm=self.price.llm, sequence_tokens=tokens + 1, prompt_tokens=tokens)
        reserve = self.scheduler_pb2.ReserveRequest(context=context, model=self.model, price=price, wait_ms_max=60_000, grant_id=grant_id)
        grant = self.scheduler.Reserve(reserve).grant
        greedy = self.llm_pb2.TokenSampling(temperature=0, top_p=1, repetition_penalty=1)
        generate = self.llm_pb2.LlmGenerateRequest(context=context, grant=grant, model=self.model, prompt_ids=self.ids, sampling=greedy,
                                                   max_tokens=1, n=1)
        assert sum(event.has_token for event in self.llm.Generate(generate)) == 1


def chat_body(content, **fields):
    return json.dumps({"messages": [{"role": "user", "content": content}], "max_tokens": 1, "temperature": 0, **fields}).encode()


async def post(client, path, body):
    client.send(path, f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n", "POST")
    client.writer.write(body)
    await client.writer.drain()
    status = await client.status()
    assert status == 200, status


async def latency(api, cluster, rounds):
    direct, gateway = Direct(api, cluster), api.gateway(cluster.address)
    http = await Client.connect(cluster.http_port)
    request, body = api.ask(TEXT, max_tokens=1), chat_body(TEXT)
    seconds = {"direct": [], "gRPC": [], "HTTP": []}

    async def timed(name, call):
        begin = time.monotonic()
        made = call()
        if asyncio.iscoroutine(made):
            await made
        seconds[name].append(time.monotonic() - begin)
    for _ in range(rounds):
        await timed("direct", direct.ask)
        await timed("gRPC", lambda: gateway.Complete(request))
        await timed("HTTP", lambda: post(http, "/v1/chat/completions", body))
    base = seconds["direct"]
    for name, values in seconds.items():
        added = {f"p{share}": round(quantile(values, share / 100) / quantile(base, share / 100), 2) for share in (50, 99)}
        say(f"latency: {name}", **milliseconds(values), **{f"{key}_to_direct": ratio for key, ratio in added.items()})


async def rate(cluster, path, body, seconds):
    """Requests a second over CONNECTIONS connections, and the gateway's CPU seconds for each."""
    pid = cluster.processes["gateway"].popen.pid
    clients = [await Client.connect(cluster.http_port) for _ in range(CONNECTIONS)]
    end, done = time.monotonic() + seconds, 0

    async def run(client):
        nonlocal done
        while time.monotonic() < end:
            await post(client, path, body)
            done += 1
    cpu_before, begin = process_figures(pid)[1], time.monotonic()
    await asyncio.gather(*(run(client) for client in clients))
    took = time.monotonic() - begin
    cpu = process_figures(pid)[1] - cpu_before
    for client in clients:
        client.close()
    return {"a_second": round(done / took), "a_second_and_core": round(done / max(cpu, 1e-9)), "rss_mib": process_figures(pid)[0] >> 20}


def noise_jpeg(size_bytes):
    """A JPEG of about so many bytes: of noise each pixel takes 0.6."""
    side = int((size_bytes / 0.6) ** 0.5)
    data = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(1).randbytes(3 * side * side)).save(data, "JPEG", quality=75)
    return data.getvalue()


async def run(arguments):
    os.environ["HEADROOM_BINARY_DIR"] = str(pathlib.Path(arguments.binary_dir).resolve())
    import cluster as clusters
    import headroom_api as api
    with tempfile.TemporaryDirectory() as folder:
        cluster = clusters.Cluster("binaries", pathlib.Path(folder), settings=["log.level=warning", "gateway.host_bytes_max=2GiB"])
        try:
            cluster.start()
            await latency(api, cluster, arguments.rounds)
            say("rate: answers of one token", **await rate(cluster, "/v1/chat/completions", chat_body(TEXT), RATE_S))
            say("rate: prices", **await rate(cluster, "/v1/headroom/price", chat_body(TEXT), RATE_S))
            for size in (300_000, 4_000_000):
                picture = noise_jpeg(size)
                uri = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
                body = chat_body([{"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": TEXT}])
                say(f"pictures: {len(picture)} bytes", **await rate(cluster, "/v1/headroom/price", body, RATE_S))
        finally:
            cluster.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary-dir", required=True)
    parser.add_argument("--rounds", type=int, default=500)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
