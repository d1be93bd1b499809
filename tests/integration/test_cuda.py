"""The same programs on a card: device.kind cuda, the emulated libraries in front of the toolkit's (tests/emulation). What a user sees is what the CPU shows."""
import os
import pathlib
import subprocess
import urllib.request

import headroom_api as api
import pytest
from cluster import DEMO_MODEL, ROOT, Cluster, binary_dir, guarded_environment

BUILD = pathlib.Path(os.environ["HEADROOM_BINARY_DIR"])
EMULATED = BUILD / "emulation" / "lib"
CARD_BYTES = 1 << 30
CARD = {"LD_LIBRARY_PATH": str(EMULATED), "EMULATED_GPU_MEMORY": "1GiB", "EMULATED_GPU_STREAMS": "eager", "EMULATED_GPU_CHECKS": "0",
        # The emulation computes on the threads that ask, and keeps there what it needs.
        "HEADROOM_ALLOCATION_GUARD": "off"}
SETTINGS = ("device.kind=cuda", f"device.memory={CARD_BYTES}", "knobs.max_num_seqs=4", "knobs.max_model_len=512")

pytestmark = pytest.mark.skipif(not (EMULATED / "libcublasLt.so.13").exists() or not (BUILD / "lib" / "libheadroom_cuda.so").exists(),
                                reason="no CUDA 13 toolkit with cuBLASLt, cuBLAS and NCCL: the backend is not built")


@pytest.fixture(scope="module")
def on_card(mode, tmp_path_factory):
    cluster = Cluster(mode, tmp_path_factory.mktemp("logs"), settings=SETTINGS, environment=CARD)
    try:
        yield cluster.start()
        cluster.check_alive()
    finally:
        statuses = cluster.stop()
    assert set(statuses.values()) == {0}, f"exit statuses after SIGTERM: {statuses}"


def test_samples_are_read_on_the_card(on_card, samples):
    gateway = api.gateway(on_card.address)
    for sample in samples:
        text, finish = api.collect(gateway.Generate(api.ask(sample["question"], [sample["image"]], max_tokens=64)))
        assert text == sample["answer"], sample["name"]
        assert finish.reason == api.STOP
    on_card.wait_idle()


def test_a_seed_gives_one_answer(on_card, samples):
    gateway = api.gateway(on_card.address)
    request = api.ask(samples[0]["question"], [samples[0]["image"]], max_tokens=8, sampling={"temperature": 1.5, "top_p": 0.95, "seed": 7})
    assert gateway.Complete(request).text == gateway.Complete(request).text
    on_card.wait_idle()


def test_ledger_is_that_of_the_card(on_card):
    status = on_card.status()
    for worker in status.cluster.workers:
        assert worker.ledger.device == "cuda"
        assert sum(line.planned_bytes for line in worker.ledger.lines) == CARD_BYTES
        lines = {line.component: line for line in worker.ledger.lines}
        assert lines["context_floor"].reserved_bytes == 512 << 20
        assert lines["libraries"].reserved_bytes >= 128 << 20
        assert lines["other_processes"].planned_bytes == 0
    with urllib.request.urlopen(f"http://127.0.0.1:{on_card.metrics_port('llm-worker')}/metrics", timeout=30) as answer:
        assert 'headroom_memory_device_bytes{device="cuda"} 1073741824' in answer.read().decode()


def test_without_a_card_the_start_says_so():
    """Without the emulation in front, libcudart finds no driver, or there is no libcudart."""
    command = [str(binary_dir() / "headroom"), "up", "--config", str(ROOT / "deploy" / "demo.yaml"), "--set", "device.kind=cuda",
               "--set", f"model.path={DEMO_MODEL}"]
    environment = guarded_environment({"CUDA_VISIBLE_DEVICES": ""})
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert ended.returncode != 0
    assert "no card that can be used" in ended.stderr or "libraries do not load" in ended.stderr, ended.stderr
