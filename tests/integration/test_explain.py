"""headroom explain: who held the memory, why a request was refused, and that what it says would fit does fit."""
import contextlib
import datetime
import json
import time

import grpc
import headroom_api as api
import pytest
from cluster import DEMO_MODEL, ROOT, Cluster, make_endless_model, wait_for
from test_bad_input import png
from test_cli import headroom

# Room for little more than one sequence of 2048 tokens: 128 blocks of 16.
SETTINGS = ("knobs.max_num_seqs=4", "knobs.max_model_len=2048", "knobs.max_num_batched_tokens=2048", "knobs.max_patches_per_step=2048",
            "knobs.embedding_store_pages=4", "gateway.queue_wait_ms_max=300")
PROMPT = "Tell me everything about memory."


class SmallCluster(Cluster):
    """The llm role's device is small; a vision-worker of its own has the usual one."""

    def start(self):
        if self.mode == "up":
            self.settings.append(self.small_device)
        return super().start()

    def start_service(self, name):
        usual = self.settings
        if name == "llm-worker":
            self.settings = [*usual, self.small_device]
        super().start_service(name)
        self.settings = usual


@pytest.fixture(scope="module")
def running(mode, tmp_path_factory):
    model = make_endless_model(tmp_path_factory.mktemp("model"))
    one = SmallCluster(mode, tmp_path_factory.mktemp("logs"), model=model, settings=SETTINGS)
    one.small_device = f"device.memory={device_bytes(model, mode)}"
    try:
        yield one.start()
        one.check_alive()
    finally:
        statuses = one.stop()
    assert set(statuses.values()) == {0}


def device_bytes(model, mode):
    """A device of the llm role (of both, in one process) whose KV pool gets 150 blocks."""
    role = "all" if mode == "up" else "llm"
    knobs = [f"--{setting.split('.')[1].split('=')[0].replace('_', '-')}={setting.split('=')[1]}" for setting in SETTINGS[:5]]
    result = headroom("plan", model, "--device", "cpu:1GiB", "--role", role, "--json", *knobs)
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)["devices"][0]["ranks"][0]
    lines = {line["component"]: line["bytes"] for line in plan["lines"]}
    block_bytes = lines["kv_pool"] // plan["kv_blocks"]
    return (1 << 30) - lines["kv_pool"] - lines["headroom"] + 150 * block_bytes


@pytest.fixture
def cluster(running):
    yield running
    running.wait_idle()


@pytest.fixture
def gateway(cluster):
    return api.gateway(cluster.address)


def kv_blocks(cluster):
    return max(worker.capacity.kv_blocks for worker in cluster.status().cluster.workers)


def explain(cluster, *arguments):
    return headroom("explain", *arguments, "--gateway", cluster.address)


def refusal_of(cluster, request_id):
    result = explain(cluster, "refusal", request_id, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["refusals"][0]


def remedy_of(refusal, what):
    found = [remedy for remedy in refusal["remedies"] if remedy["what"] == what]
    assert found, refusal
    return found[0]


@contextlib.contextmanager
def holder(cluster, gateway, request_id):
    """A request that holds most of the pool for as long as it takes to make 1900 tokens: some seconds."""
    cluster.wait_idle()
    stream = gateway.Generate(api.ask(PROMPT, max_tokens=1900, request_id=request_id))
    next(stream)
    yield
    stream.cancel()


def refused(gateway, **fields):
    with pytest.raises(grpc.RpcError) as error:
        gateway.Complete(api.ask(PROMPT, **fields))
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    return error.value


def test_who_holds_it_now(cluster, gateway):
    with holder(cluster, gateway, "held-now"):
        def row():
            lines = explain(cluster, "--at", "now").stdout.splitlines()
            return next((line for line in lines if line.strip().startswith("held-now") and "active since" in line), None)
        cells = wait_for(row, "the holder to be shown").split()
    # request, tenant, role, worker, slots, blocks, bytes …
    assert cells[2:5] == ["llm", "llm-0", "1"]
    assert 1900 // 16 <= int(cells[5]) <= 2048 // 16


def test_pressure_names_the_holder_and_the_answer_that_would_have_fitted(cluster, gateway):
    with holder(cluster, gateway, "holder-1"):
        error = refused(gateway, max_tokens=1900, request_id="refused")
    info, _ = api.error_info(error)
    refusal = refusal_of(cluster, "refused")
    assert refusal["refused_by"] == "scheduler"
    assert refusal["reason"] == info.reason == "WAIT_TOO_LONG"
    shortfall = refusal["shortfall"]
    assert shortfall["budget"] == info.metadata["budget"] == "kv_blocks"
    assert shortfall["needed"] == info.metadata["needed"]
    assert kv_blocks(cluster) - int(shortfall["free"]) >= 1900 // 16

    # In words, with who held the blocks then.
    text = explain(cluster, "refusal", "refused").stdout
    for words in ("WAIT_TOO_LONG", "kv_blocks of llm-0 on cpu", "short by", "max_tokens at most", "device.memory at least", "holder-1"):
        assert words in text, text

    # What it says would have fitted beside the holder fits, and one token more does not.
    remedy = remedy_of(refusal, "max_tokens")
    most = int(remedy["fits"])
    assert int(remedy["now"]) == 1900 and 1 <= most < 1900
    with holder(cluster, gateway, "holder-2"):
        refused(gateway, max_tokens=most + 1)
    with holder(cluster, gateway, "holder-3"):
        assert gateway.Complete(api.ask(PROMPT, max_tokens=most)).finish.usage.completion_tokens == most


def test_the_past_stays_when_it_is_over(cluster, gateway):
    stream = gateway.Generate(api.ask(PROMPT, [png(60, 60)], max_tokens=1500, request_id="gone-by-now"))
    next(stream)
    # A clock time: an age would grow by what it takes to start the program, which may be longer than the request.
    held_at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    time.sleep(0.3)
    stream.cancel()
    cluster.wait_idle()
    assert "gone-by-now" not in explain(cluster, "--at", "now").stdout

    def remembered():
        text = explain(cluster, "--at", held_at, "--for", "10m").stdout
        return "gone-by-now" in text and "went on for" in text and "reserved and used over time" in text
    wait_for(remembered, "the past to show it")


def test_what_never_fits_and_what_would(cluster, gateway):
    # Two pieces fit in the store; this picture is cut into more.
    picture = png(1400, 1400)
    with pytest.raises(grpc.RpcError) as error:
        gateway.Complete(api.ask("What is this?", [picture], max_tokens=4, request_id="too-many-pieces"))
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    refusal = refusal_of(cluster, "too-many-pieces")
    assert refusal["shortfall"]["budget"] == "embedding_bytes"
    assert refusal["unit_bytes"] == "1"
    pieces = remedy_of(refusal, "pieces")
    assert int(pieces["fits"]) == 2 < int(pieces["now"])
    store = remedy_of(refusal, "knobs.embedding_store_pages")
    assert int(store["now"]) == 4 and int(store["fits"]) == 2 * int(pieces["now"])
    # One piece: it fits.
    finish = gateway.Complete(api.ask("What is this?", [picture], max_tokens=4, max_slice_nums=1)).finish
    assert finish.usage.pieces <= 2


def test_refused_by_the_gateway(cluster, gateway):
    with pytest.raises(grpc.RpcError) as error:
        gateway.Complete(api.ask(PROMPT, max_tokens=5000, request_id="too-long"))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    refusal = refusal_of(cluster, "too-long")
    assert refusal["refused_by"] == "gateway"
    assert refusal["shortfall"]["budget"] == "model_len"
    most = int(remedy_of(refusal, "max_tokens")["fits"])
    assert most == 2048 - int(refusal["price"]["prompt_tokens"])
    assert gateway.Complete(api.ask(PROMPT, max_tokens=most)).finish.usage.completion_tokens == most


@pytest.mark.parametrize("arguments, status, words", [
    (["--at", "tomorrow"], 2, "is no moment"),
    (["--at", "now", "--for", "soon"], 2, "no span of time"),
    (["--at", "-20h"], 1, "does not remember so far back"),
    (["refusal", "nobody"], 1, "no refusal of that request"),
    (["refusal", "a", "b"], 2, "unexpected argument"),
    ([], 2, "explain refusal"),
    (["--when", "now"], 2, "unknown flag"),
])
def test_bad_arguments(cluster, arguments, status, words):
    result = explain(cluster, *arguments)
    assert result.returncode == status, result.stdout + result.stderr
    assert words in result.stderr


def test_plan_lines_without_a_cluster():
    result = headroom("explain", "plan", "all", DEMO_MODEL, "--device", "cpu:512MiB", "--isa", "avx2")
    assert result.returncode == 0, result.stderr
    for words in ("KV pool:", "llm weights:", "vision workspace:", "one memory for", "align(n)"):
        assert words in result.stdout
    assert "no line 'pool'" in headroom("explain", "plan", "pool", DEMO_MODEL).stderr
    assert headroom("explain", "plan").returncode == 2
    assert headroom("explain", "plan", "kv_pool", ROOT / "models" / "cards" / "minicpm-v-2_6", "--device", "cpu:8GiB").returncode == 1


def test_operators_can_turn_it_off(mode, tmp_path):
    one = Cluster(mode, tmp_path, settings=("gateway.explain=false",))
    try:
        one.start()
        result = explain(one, "refusal")
        assert result.returncode == 1
        assert "gateway.explain" in result.stderr
        assert "gateway.explain" in explain(one, "--at", "now").stderr
    finally:
        statuses = one.stop()
    assert set(statuses.values()) == {0}
