"""The same programs on a card: device.kind cuda, the emulated libraries in front of the toolkit's (tests/emulation). What a user sees is what the CPU shows."""
import json
import os
import pathlib
import subprocess
import urllib.request

import headroom_api as api
import pytest
from cluster import DEMO_MODEL, ROOT, Cluster, binary_dir, guarded_environment
from golden import GOLDEN, compare

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


def test_a_picture_on_a_grid_is_read_on_the_card(mode, tmp_path):
    """GLM-4.1V; the demo model's pictures are slices."""
    directory = GOLDEN / "glm4v"
    cluster = Cluster(mode, tmp_path, directory, settings=(*SETTINGS, "model.dtype=fp32"), environment=CARD)
    try:
        cluster.start()
        assert compare(directory, cluster.address, prompt_max=40) > 0
        cluster.wait_idle()
    finally:
        cluster.stop()


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


def test_plan_of_the_card_is_what_workers_reserve(on_card, mode, tmp_path):
    """`headroom plan` has no card: it knows the emulated one from a file, as any other from the catalogue."""
    devices = tmp_path / "devices.yaml"
    devices.write_text("emulated: {memory: 1GiB, context_floor: 512MiB, libraries: 128MiB, capability: 80, multiprocessors: 108}\n")
    for worker in on_card.status().cluster.workers:
        role = "all" if mode == "up" else {api.common_pb2.ROLE_VISION: "vision", api.common_pb2.ROLE_LLM: "llm"}[worker.roles[0]]
        command = [str(binary_dir() / "headroom"), "plan", *on_card.flags(), "--devices", str(devices), "--device", "emulated", "--role", role, "--json"]
        planned = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert planned.returncode == 0, planned.stderr
        lines = json.loads(planned.stdout)["devices"][0]["ranks"][0]["lines"]
        assert {line["component"]: line["bytes"] for line in lines} == {line.component: line.planned_bytes for line in worker.ledger.lines}
        reserved = {line.component: line.reserved_bytes for line in worker.ledger.lines}
        for line in lines:
            # What pools have promised goes up and down.
            if line["component"] not in ("kv_pool", "embedding_store"):
                assert reserved[line["component"]] in (line["bytes"], 0), line
        assert reserved["llm_workspace" if role != "vision" else "vision_workspace"] > 4 << 20, "cuBLASLt's workspace lies in it"


def refused_start(**variables):
    """What a start says that ends at the card."""
    command = [str(binary_dir() / "headroom"), "up", "--config", str(ROOT / "deploy" / "demo.yaml"), "--set", "device.kind=cuda",
               "--set", f"model.path={DEMO_MODEL}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=guarded_environment(variables))
    assert ended.returncode != 0
    return ended.stderr


def test_without_a_card_the_start_says_so():
    """Without the emulation in front, libcudart finds no driver (or, on a machine with a card, is shown none), or there is no libcudart."""
    said = refused_start(CUDA_VISIBLE_DEVICES="")
    assert "no NVIDIA driver was found; CUDA 13.0 needs an NVIDIA driver of version 580 or newer" in said or "libraries do not load" in said or \
        "the driver shows no card" in said, said


def test_an_old_driver_is_named_with_what_is_needed():
    said = refused_start(**CARD, EMULATED_GPU_DRIVER="12040")
    assert "its driver knows CUDA up to 12.4; CUDA 13.0 needs an NVIDIA driver of version 580 or newer" in said, said


def test_a_container_without_its_card_is_told_apart():
    assert "the driver shows no card" in refused_start(**CARD, CUDA_VISIBLE_DEVICES="")
