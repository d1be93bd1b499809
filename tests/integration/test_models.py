"""Two models in one process, each with its share of the device: who is asked, what each may hold, and that the sum stays within the device."""
import json
import threading
import urllib.request

import grpc
import headroom_api as api
import outside
import pytest
from cluster import DEMO_MODEL, PATIENCE_S, ROOT, Cluster, make_endless_model, over_http, wait_for
from test_cli import headroom
from test_full_budget import GRPC_BYTES, HOST, run_all, sanitized

MIB = 1 << 20
DEVICE = 512 * MIB
SEQUENCES, LENGTH = 4, 512
TEXT_MODEL = ROOT / "tests" / "golden" / "llama"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {"demo": {"path": DEMO_MODEL, "aliases": "eyes,default", "share": 0.5},
            "endless": {"path": make_endless_model(tmp_path_factory.mktemp("model"), TEXT_MODEL), "share": 0.25, "dtype": "fp32",
                        "knobs.max_num_seqs": SEQUENCES, "knobs.max_model_len": LENGTH}}


@pytest.fixture(scope="module")
def running(models, tmp_path_factory):
    settings = [f"device.memory={DEVICE}", *(f"{key}={value}" for key, value in HOST.items())]
    one = Cluster("up", tmp_path_factory.mktemp("logs"), models=models, settings=settings)
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


def config_flags(models, *settings):
    flags = [f"models.{name}.{key}={value}" for name, keys in models.items() for key, value in keys.items()]
    return [part for setting in (f"device.memory={DEVICE}", *flags, *settings) for part in ("--set", setting)]


def code_and_text(call):
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()


def test_each_answers_to_its_names(cluster, gateway, samples):
    sample = samples[0]
    for name in ("demo", "eyes", "default"):
        answer = gateway.Complete(api.ask(sample["question"], [sample["image"]], model=name))
        assert answer.text == sample["answer"], name
    text = gateway.Complete(api.ask("Tell me.", model="endless", max_tokens=9))
    assert (text.finish.reason, text.finish.usage.completion_tokens) == (api.LENGTH, 9)

    code, words = code_and_text(lambda: gateway.Complete(api.ask("Hello", model="gpt-17")))
    assert code == grpc.StatusCode.NOT_FOUND and "unknown model 'gpt-17'; served are 'demo', 'endless'" in words
    code, words = code_and_text(lambda: gateway.Complete(api.ask("Hello")))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "names no model" in words
    code, words = code_and_text(lambda: gateway.Complete(api.ask("See?", [sample["image"]], model="endless")))
    assert code == grpc.StatusCode.INVALID_ARGUMENT, words
    code, words = code_and_text(lambda: gateway.Complete(api.ask("Hello", model="endless", max_tokens=LENGTH)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and str(LENGTH) in words, "each has its own limits"


def test_http_lists_and_chooses(cluster, samples):
    status, body, _ = over_http(cluster, "/v1/models")
    listed = {model["id"]: model for model in body["data"]}
    assert status == 200 and list(listed) == ["demo", "endless"] and all(model["ready"] for model in listed.values())
    assert listed["demo"]["aliases"] == ["eyes", "default"] and listed["endless"]["max_model_len"] == LENGTH
    assert over_http(cluster, "/v1/models/eyes") [:2] == (200, listed["demo"])

    messages = [{"role": "user", "content": "Hello"}]
    for asked, name in (("eyes", "demo"), ("demo", "demo"), ("endless", "endless")):
        status, body, _ = over_http(cluster, "/v1/chat/completions", {"model": asked, "messages": messages, "max_tokens": 3})
        assert (status, body.get("model")) == (200, name), body
        status, body, _ = over_http(cluster, "/v1/headroom/price", {"model": asked, "messages": messages, "max_tokens": 3})
        assert (status, body.get("model")) == (200, name), body
    tokens = {name: over_http(cluster, "/tokenize", {"model": name, "prompt": "Hello there"})[1]["tokens"] for name in ("demo", "endless")}
    assert tokens["demo"] != tokens["endless"], "each has its own tokenizer"
    for name, ids in tokens.items():
        assert over_http(cluster, "/detokenize", {"model": name, "tokens": ids}) [:2] == (200, {"prompt": "Hello there"})
    for extra, wanted, code in (({"model": "gpt-17"}, 404, "model_not_found"), ({}, 400, "missing_required_parameter")):
        status, body, _ = over_http(cluster, "/v1/chat/completions", {**extra, "messages": messages})
        assert (status, body["error"]["code"], body["error"]["param"]) == (wanted, code, "model"), body
        assert "'demo', 'endless'" in body["error"]["message"]
    sample = samples[0]
    for way in (("--url", cluster.url), ("--gateway", cluster.address)):
        result = headroom("ask", *way, "--model", "default", "--image", DEMO_MODEL / "samples" / sample["name"], sample["question"])
        assert result.returncode == 0 and sample["answer"] in result.stdout, result.stderr


def test_status_shows_each(cluster, models):
    shown = {model.name: model for model in cluster.status().models}
    assert list(shown) == ["demo", "endless"]
    assert all(model.ready and not model.not_ready and model.host_bytes > 0 for model in shown.values())
    assert list(shown["demo"].aliases) == ["eyes", "default"] and shown["demo"].images and not shown["endless"].images
    assert shown["endless"].max_model_len == LENGTH
    result = headroom("status", "--gateway", cluster.address)
    assert result.returncode == 0, result.stderr
    for words in ("demo = eyes, default", "of endless", "memory of cpu/demo", "memory of cpu/endless"):
        assert words in result.stdout, result.stdout
    result = headroom("ask", "--gateway", cluster.address, "--model", "endless", "--max-tokens", "3", "Hello")
    assert result.returncode == 0, result.stderr


def test_the_plan_is_what_the_workers_took(cluster, models):
    out = headroom("plan", "--json", *config_flags(models), "--config", ROOT / "deploy" / "demo.yaml")
    assert out.returncode == 0, out.stderr
    plans = {plan["name"]: plan["devices"][0] for plan in json.loads(out.stdout)["models"]}
    assert sum(device["memory_bytes"] for device in plans.values()) == DEVICE * 3 // 4
    workers = {worker.device: worker for worker in cluster.status().cluster.workers if api.common_pb2.ROLE_LLM in worker.roles}
    for name in models:
        ledger = workers[f"cpu/{name}"].ledger
        planned = {line.component: line.planned_bytes for line in ledger.lines}
        assert sum(planned.values()) == ledger.total_bytes == plans[name]["memory_bytes"]
        rank = plans[name]["ranks"][0]
        assert workers[f"cpu/{name}"].capacity.kv_blocks == rank["kv_blocks"]
        for line in rank["lines"]:
            # What the machine may lack is known to workers alone, and the pool pays for it.
            if line["component"] not in ("kv_pool", "other_processes", "headroom"):
                assert planned[line["component"]] == line["bytes"], (name, line)


def test_metrics_tell_them_apart(cluster, gateway):
    gateway.Complete(api.ask("Hello", model="endless", max_tokens=2))
    text = urllib.request.urlopen(f"http://127.0.0.1:{cluster.metrics_port('gateway')}/metrics", timeout=PATIENCE_S).read().decode()
    for name in ("demo", "endless"):
        for sample in (f'headroom_memory_device_bytes{{device="cpu/{name}"}}', f'headroom_llm_running_sequences{{model="{name}"}}',
                       f'headroom_gateway_model_ready{{model="{name}"}} 1', f'headroom_gateway_model_host_bytes{{model="{name}"}}'):
            assert sample in text, sample
    assert 'headroom_gateway_requests_total{model="endless",outcome="ok"}' in text


def test_shares_above_the_device_are_refused(models):
    too_much = config_flags(models, "models.demo.share=0.9")
    for command in ("plan", "up"):
        result = headroom(command, *too_much)
        assert result.returncode in (1, 2)
        assert "models.demo.share 0.9, models.endless.share 0.25" in result.stderr, result.stderr


def test_a_full_model_holds_up_no_other(cluster, gateway):
    """Twice as many as fit of one model; the other answers meanwhile as if it were alone."""
    long = api.ask("Tell me everything.", model="endless", max_tokens=LENGTH - 64)
    finishes = []

    def run():
        finishes.append(api.collect(gateway.Generate(long))[1])

    threads = [threading.Thread(target=run) for _ in range(3 * SEQUENCES)]
    for thread in threads:
        thread.start()
    wait_for(lambda: cluster.status().cluster.queue_entries >= SEQUENCES, "requests to wait for the full model")
    for _ in range(3):
        gateway.Complete(api.ask("Hello", model="demo", max_tokens=2))
    assert cluster.status().cluster.queue_entries > 0, "the full model was full all the while"
    for thread in threads:
        thread.join()
    assert [finish.reason for finish in finishes] == [api.LENGTH] * 3 * SEQUENCES


def test_the_full_budget_of_both(cluster, gateway, samples):
    """As many sequences of full length as each promises, at once: the ledgers hold at every look, the process stays within both plans."""
    capacity = {worker.device: worker.capacity for worker in cluster.status().cluster.workers if api.common_pb2.ROLE_LLM in worker.roles}
    prompt = gateway.Complete(api.ask("Go.", model="endless", max_tokens=1)).finish.usage.prompt_tokens
    full = {"endless": False, "demo": False}

    def look():
        status = cluster.status()
        for worker in status.cluster.workers if status else ():
            name = worker.device.removeprefix("cpu/")
            for line in worker.ledger.lines:
                assert line.used_bytes <= line.reserved_bytes <= line.planned_bytes, (name, line)
            assert sum(line.planned_bytes for line in worker.ledger.lines) == worker.ledger.total_bytes
            if api.common_pb2.ROLE_LLM in worker.roles and worker.reserved.slots == worker.capacity.slots:
                full[name] = True

    def ask(name, tokens, images=()):
        _, finish = api.collect(gateway.Generate(api.ask("Go.", images, model=name, max_tokens=tokens)))
        assert finish.usage.completion_tokens <= tokens

    jobs = [lambda: ask("endless", LENGTH - prompt) for _ in range(2 * SEQUENCES)]
    jobs += [lambda index=index: ask("demo", 64, [samples[index % len(samples)]["image"]]) for index in range(capacity["cpu/demo"].slots)]
    with outside.Repeat(look, 0.02):
        run_all(jobs)
    assert full["endless"], "the slots of the smaller one were never all taken"
    if sanitized():
        pytest.skip("a sanitizer's shadow is no part of the plan")
    ledgers = {worker.device: worker.ledger for worker in cluster.status().cluster.workers}
    promised = sum(line.planned_bytes for ledger in ledgers.values() for line in ledger.lines
                   if line.component not in ("headroom", "other_processes"))
    # Two llm-workers, one vision-worker.
    host = HOST["gateway.host_bytes_max"] + HOST["scheduler.queue_bytes_max"] + HOST["vision_worker.host_bytes_max"] \
        + 2 * HOST["llm_worker.host_bytes_max"] + 5 * GRPC_BYTES
    seen = outside.memory_of(cluster.processes["up"].popen.pid)
    print("peak", seen["VmHWM"], "plans", promised, "host budgets", host)
    assert seen["VmHWM"] <= promised + host, (seen, ledgers)
