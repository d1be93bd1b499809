"""Models come and go with their workers: one gateway, one scheduler, and workers of two models that start and stop while requests run. And a model
whose files the gateway cannot read."""
import threading

import grpc
import headroom_api as api
import pytest
from cluster import DEMO_MODEL, PATIENCE_S, ROOT, Cluster, Process, free_port, make_endless_model, over_http, wait_for

TEXT_MODEL = ROOT / "tests" / "golden" / "llama"


@pytest.fixture
def cluster(tmp_path):
    """The demo model's workers run; those of "other" do not yet, and the files of "gone" are not there."""
    models = {"demo": {"path": DEMO_MODEL}, "other": {"path": make_endless_model(tmp_path, TEXT_MODEL), "dtype": "fp32"},
              "gone": {"path": tmp_path / "nothing-here", "aliases": "away"}}
    one = Cluster("binaries", tmp_path, models=models, settings=["llm_worker.model=demo", "vision_worker.model=demo", "device.memory=256MiB",
                                                                 "device.threads=1"])
    try:
        yield one.start()
    finally:
        statuses = one.stop()
    assert set(statuses.values()) == {0}, statuses


def other_worker(cluster, log_dir, life):
    port = free_port()
    own = ("llm_worker.model=other", f"llm_worker.name=other-{life}", f"llm_worker.listen=127.0.0.1:{port}", "llm_worker.metrics_listen=127.0.0.1:0")
    flags = [part for setting in own for part in ("--set", setting)]
    return Process(f"other-{life}", ["llm-worker", *cluster.flags(), *flags], log_dir)


def model_status(cluster, name):
    return next(model for model in cluster.status().models if model.name == name)


def refused(gateway, name):
    with pytest.raises(grpc.RpcError) as error:
        gateway.Complete(api.ask("Hello", model=name, max_tokens=2), timeout=PATIENCE_S)
    return error.value.code(), api.error_info(error.value)[0].reason, error.value.details()


class Asking:
    """Asks one model without a pause; every answer must come."""

    def __init__(self, gateway, name):
        self.gateway, self.name, self.answers, self.failure, self.going = gateway, name, 0, None, True
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while self.going:
            try:
                self.gateway.Complete(api.ask("Hello", model=self.name, max_tokens=4), timeout=PATIENCE_S)
                self.answers += 1
            except grpc.RpcError as error:
                self.failure = error
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.going = False
        self.thread.join()
        assert self.failure is None, self.failure


def test_workers_of_a_model_come_and_go(cluster, tmp_path):
    gateway = api.gateway(cluster.address)
    with Asking(gateway, "demo") as demo:
        assert not model_status(cluster, "other").ready
        code, reason, words = refused(gateway, "other")
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "NO_WORKER") and "'other'" in words, words

        # It comes: the gateway needs no restart.
        worker = other_worker(cluster, tmp_path, 1)
        cluster.processes["other-1"] = worker
        wait_for(lambda: model_status(cluster, "other").ready, "the other model to be ready")
        gateway.Complete(api.ask("Hello", model="other", max_tokens=4))

        # It goes while it answers: what runs is finished, then nobody is left, and the demo model notices nothing.
        long = gateway.Generate(api.ask("Tell me.", model="other", max_tokens=1500))
        first = next(long)
        worker.signal_end()
        wait_for(lambda: not model_status(cluster, "other").ready, "the other model to drain")
        text, finish = api.collect(long)
        assert (first.text_delta + text, finish.usage.completion_tokens) and finish.reason == api.LENGTH
        assert worker.wait() == 0
        del cluster.processes["other-1"]
        code, reason, words = refused(gateway, "other")
        assert code == grpc.StatusCode.UNAVAILABLE and reason in ("NO_WORKER", "DRAINING") and "'other'" in words, words

        # And comes again.
        cluster.processes["other-2"] = other_worker(cluster, tmp_path, 2)
        wait_for(lambda: model_status(cluster, "other").ready, "the other model to be ready again")
        gateway.Complete(api.ask("Hello", model="other", max_tokens=4))
        before = demo.answers
        wait_for(lambda: demo.answers > before or demo.failure, "the demo model to go on")
    assert cluster.processes["other-2"].terminate() == 0
    del cluster.processes["other-2"]
    cluster.wait_idle()


def test_a_model_without_files_is_said_and_the_others_are_served(cluster):
    gateway = api.gateway(cluster.address)
    gone = model_status(cluster, "gone")
    assert not gone.ready and not gone.HasField("fingerprint") and "could not load" in gone.not_ready
    for name in ("gone", "away"):
        code, reason, words = refused(gateway, name)
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_NOT_LOADED")
        assert "'gone'; served are 'demo', 'other'" in words and "nothing-here" not in words, words
        status, body, headers = over_http(cluster, "/v1/chat/completions", {"model": name, "messages": [{"role": "user", "content": "Hello"}]})
        assert (status, body["error"]["code"], headers["x-should-retry"]) == (503, "model_not_loaded", "true"), body
        assert int(headers["retry-after-ms"]) > 0
    assert "a model cannot be loaded" in cluster.processes["gateway"].log()
    gateway.Complete(api.ask("Hello", model="demo", max_tokens=2))


def test_a_worker_must_know_which_it_serves(cluster, tmp_path):
    own = [part for setting in ("llm_worker.model=", "llm_worker.listen=127.0.0.1:0", "llm_worker.metrics_listen=127.0.0.1:0")
           for part in ("--set", setting)]
    worker = Process("which", ["llm-worker", *cluster.flags(), *own], tmp_path)
    assert worker.wait() == 1
    assert "llm_worker.model is '': it must name one of the models 'demo', 'other', 'gone'" in worker.log()
