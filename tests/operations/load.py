"""Load for the observed cluster: every kind of request that a panel shows, from several clients at once."""
import collections
import json
import threading
import time
import urllib.request

import grpc
import headroom_api as api
from cluster import DEMO_MODEL

CLIENTS = 18
PRESSURE = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)


class Load:
    def __init__(self, address, url):
        folder = DEMO_MODEL / "samples"
        self.samples = [(sample["question"], (folder / sample["image"]).read_bytes()) for sample in json.loads((folder / "samples.json").read_text())]
        self.address, self.url = address, url
        self.outcomes = collections.Counter()
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        assert self.outcomes["ok"] > 0, self.outcomes

    def run(self, seconds):
        time.sleep(seconds)

    def _client(self, number):
        stub = api.gateway(self.address)
        turn = number
        while not self.stopping.is_set():
            turn += 1
            try:
                self._request(stub, number, turn)
                outcome = "ok"
            except grpc.RpcError as error:
                outcome = error.code().name
                if error.code() in PRESSURE:
                    self.stopping.wait(0.3)
            with self.lock:
                self.outcomes[outcome] += 1

    def _request(self, stub, number, turn):
        question, image = self.samples[turn % len(self.samples)]
        kind = turn % 8
        if kind == 0:
            raise_after_cancel(stub.Generate(api.ask("Tell me a long story.", max_tokens=1200)))
        elif kind == 1:
            stub.Complete(api.ask(question, [b"\x89PNG not a picture"]))
        elif kind == 2:
            # Bytes that nobody has sent before: no embeddings of them are cached.
            stub.Complete(api.ask(question, [image + turn.to_bytes(4, "big") + bytes([number])], max_tokens=16), timeout=60)
        elif kind == 3:
            stub.Complete(api.ask("x " * 5000), timeout=60)
        elif kind == 4:
            api.collect(stub.Generate(api.ask(question, [image, self.samples[turn // 2 % len(self.samples)][1]], max_tokens=24), timeout=60))
        elif kind == 5:
            stub.GetStatus(api.gateway_pb2.GetStatusRequest(), timeout=60)
            urllib.request.urlopen(self.url + "/health", timeout=60).close()
        else:
            request = api.ask("Hello", max_tokens=700)
            request.sampling.temperature = 1.5
            request.sampling.seed = turn
            api.collect(stub.Generate(request, timeout=60))


def raise_after_cancel(stream):
    """A client that loses interest after the first words."""
    next(stream, None)
    stream.cancel()
    for _ in stream:
        pass
