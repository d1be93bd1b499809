"""Random requests at 100 % of the budget: as many sequences as the plan promises, as long as they may be, the largest pictures, cancellations,
with the allocation guard armed. The ledger holds at every look, the process stays within what was planned, and no request is lost."""
import io
import json
import random
import subprocess
import threading
import time

import grpc
import pytest
from PIL import Image

import headroom_api as api
import outside
from cluster import PATIENCE_S, ROOT, Cluster, binary_dir, guarded_environment, make_endless_model, wait_for
from ledgers import Ledgers

SEQUENCES = 8
LENGTH = 1024
MIB = 1 << 20
PIXELS_MAX = 4_000_000
HOST = {"gateway.host_bytes_max": 128 * MIB, "vision_worker.host_bytes_max": 192 * MIB, "llm_worker.host_bytes_max": 64 * MIB,
        "scheduler.queue_bytes_max": 16 * MIB}
# gRPC's own bound in each server (ServerHostOptions); `headroom up` has one server for each service.
GRPC_BYTES = 256 * MIB
KNOBS = [f"knobs.max_num_seqs={SEQUENCES}", f"knobs.max_model_len={LENGTH}", "knobs.max_num_batched_tokens=512",
         "knobs.max_patches_per_step=2100", "knobs.embedding_store_pages=240", f"gateway.image_pixels_max={PIXELS_MAX}"]


def exact_device(model):
    """Bytes of a device whose pool holds SEQUENCES sequences of LENGTH tokens and not a block more."""
    settings = [flag for setting in [f"model.path={model}", *KNOBS] for flag in ("--set", setting)]

    def plan(memory):
        out = subprocess.run([binary_dir() / "headroom", "plan", "--json", *settings, "--set", f"device.memory={memory}"],
                             check=True, capture_output=True, text=True).stdout
        return json.loads(out)["devices"][0]["ranks"][0]

    roomy = plan(1 << 30)
    blocks = SEQUENCES * LENGTH // roomy["knobs"]["block_size"]
    # Up to a page may be lost to the rounding of the arena.
    memory = (1 << 30) - (roomy["kv_blocks"] - blocks) * roomy["kv_block_bytes"]
    tight = plan(memory)
    assert tight["full_length_seqs"] == SEQUENCES and tight["kv_blocks"] - blocks <= 1, tight
    return memory


def noise_picture(generator, width, height, image_format):
    picture = Image.frombytes("RGB", (width, height), generator.randbytes(3 * width * height))
    data = io.BytesIO()
    picture.save(data, image_format, **({"quality": 85} if image_format == "JPEG" else {}))
    return data.getvalue()


@pytest.fixture(scope="module")
def pictures():
    """By growing number of pieces; the last are as large as the gateway lets in."""
    folder = ROOT / "tests" / "golden" / "minicpmv" / "images"
    generator = random.Random(5)
    return [(folder / "small.png").read_bytes(), (folder / "photo.jpg").read_bytes(), (folder / "tall_thin.png").read_bytes(),
            noise_picture(generator, 2000, 2000, "JPEG"), noise_picture(generator, 8000, 500, "JPEG"), noise_picture(generator, 500, 8000, "JPEG")]


@pytest.fixture(scope="module")
def group():
    made = outside.ControlGroup("headroom-full-budget")
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def full_cluster(mode, group, tmp_path_factory):
    model = make_endless_model(tmp_path_factory.mktemp("model"))
    settings = [f"device.memory={exact_device(model)}", *KNOBS, *(f"{key}={value}" for key, value in HOST.items())]
    cluster = Cluster(mode, tmp_path_factory.mktemp("logs"), model=model, settings=settings, prefix=group.prefix())
    try:
        yield cluster.start()
        cluster.check_alive()
    finally:
        statuses = cluster.stop()
    assert set(statuses.values()) == {0}, f"exit statuses after SIGTERM: {statuses}"


def workers(cluster):
    """(process, lines of its ledger, host budget in bytes) of every process with a device."""
    per_service = {"gateway": HOST["gateway.host_bytes_max"] + GRPC_BYTES, "scheduler": HOST["scheduler.queue_bytes_max"] + GRPC_BYTES,
                   "vision-worker": HOST["vision_worker.host_bytes_max"] + GRPC_BYTES, "llm-worker": HOST["llm_worker.host_bytes_max"] + GRPC_BYTES}
    ledgers = Ledgers(cluster).look()
    if cluster.mode == "up":
        return [(cluster.processes["up"], ledgers[0], sum(per_service.values()))]
    return [(cluster.processes[name], lines, per_service[name]) for name, lines in zip(("vision-worker", "llm-worker"), ledgers)]


def promised(lines):
    return sum(line["planned"] for component, line in lines.items() if component not in ("headroom", "other_processes"))


def test_the_guard_is_armed(full_cluster):
    if "LD_PRELOAD" not in guarded_environment():
        pytest.skip("a sanitizer owns malloc: the allocation guard watches the unit tests only")
    for process in full_cluster.processes.values():
        assert "libheadroom_allocation_guard.so" in outside.maps(process.popen.pid), process.name


def sanitized():
    return "LD_PRELOAD" not in guarded_environment()


def test_after_the_start_the_process_is_within_its_plan(full_cluster):
    """Nothing has been asked yet: arena, libraries and floor alone must cover it, without a byte of the host budgets."""
    if sanitized():
        pytest.skip("a sanitizer's shadow is no part of the plan")
    for process, lines, _ in workers(full_cluster):
        seen = outside.memory_of(process.popen.pid)
        assert seen["VmHWM"] <= promised(lines), (process.name, seen, lines)
        # The other way round: all of the arena is there, so nothing of it will have to be found later.
        arena = sum(line["planned"] for component, line in lines.items()
                    if component not in ("headroom", "other_processes", "libraries", "graphs", "context_floor"))
        assert seen["RssAnon"] >= arena, (process.name, seen, lines)


def test_weights_are_not_charged_twice(full_cluster, group):
    if group.path is None:
        pytest.skip("no control group can be made here")
    assert group.file_cache() < 8 * MIB + sum(outside.memory_of(p.popen.pid)["RssFile"] for p in full_cluster.processes.values())


def run_all(jobs):
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_as_many_full_length_sequences_as_promised(full_cluster, pictures):
    gateway, ledgers = api.gateway(full_cluster.address), Ledgers(full_cluster)
    requests = []
    for picture in pictures:
        prompt = gateway.Complete(api.ask("What is this?", [picture], max_tokens=1)).finish.usage.prompt_tokens
        requests.append((api.ask("What is this?", [picture], max_tokens=LENGTH - prompt), LENGTH))
    finishes = []

    def run(index):
        request, length = requests[index % len(requests)]
        _, finish = api.collect(gateway.Generate(request))
        assert finish.reason == api.LENGTH and finish.usage.prompt_tokens + finish.usage.completion_tokens == length
        finishes.append(finish)

    with outside.Repeat(ledgers.look, 0.02) as looks:
        run_all([lambda index=index: run(index) for index in range(3 * SEQUENCES)])
        wait_for(lambda: looks.calls > 3 or looks.failure, "a few looks at the ledger")
    assert len(finishes) == 3 * SEQUENCES, "a request was lost"
    if full_cluster.mode == "up":
        assert ledgers.full, "the whole pool was never promised at once"
    full_cluster.wait_idle()


class Outcomes:
    def __init__(self):
        self.lock, self.counts = threading.Lock(), {}

    def add(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1


def one_request(gateway, generator, pictures, outcomes):
    chosen = [generator.choice(pictures) for _ in range(generator.choice([0, 0, 1, 1, 2]))]
    request = api.ask("word " * generator.randint(1, 60), chosen, max_tokens=generator.choice([1, 8, 64, 300]))
    request.sampling.temperature, request.sampling.seed = generator.choice([0.0, 1.0]), generator.randint(0, 1 << 30)
    stream = gateway.Generate(request)
    patience = generator.choice([None, None, 0, 0.01, 0.2])
    try:
        if patience is not None:
            time.sleep(patience)
            stream.cancel()
        text, finish = api.collect(stream)
        assert finish.usage.completion_tokens <= request.max_tokens
        outcomes.add("done")
    except grpc.RpcError as error:
        # A large picture and a long answer, or two of the former, are more than a sequence may have: a refusal with the limit, at once.
        too_long = error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
        outcomes.add("cancelled" if patience is not None else "too long" if too_long and chosen else f"{error.code()}: {error.details()}")


def test_random_requests_with_cancellations(full_cluster, pictures):
    seed = random.SystemRandom().randrange(1 << 30)
    print("seed", seed)
    gateway, ledgers, outcomes = api.gateway(full_cluster.address), Ledgers(full_cluster), Outcomes()
    clients, each = 2 * SEQUENCES, 6

    def client(index):
        generator = random.Random(seed + index)
        for _ in range(each):
            one_request(gateway, generator, pictures, outcomes)

    with outside.Repeat(ledgers.look, 0.02):
        run_all([lambda index=index: client(index) for index in range(clients)])
    assert sum(outcomes.counts.values()) == clients * each, f"a request was lost: {outcomes.counts}, seed {seed}"
    assert set(outcomes.counts) <= {"done", "cancelled", "too long"}, f"{outcomes.counts}, seed {seed}"
    assert outcomes.counts.get("done", 0) > 0
    full_cluster.wait_idle()


def test_nothing_is_held_afterwards(full_cluster):
    def quiet():
        ledgers = Ledgers(full_cluster).look()
        return all(lines["kv_pool"]["used"] == 0 and lines["kv_pool"]["reserved"] == 0 for lines in ledgers)
    wait_for(quiet, "the pool to be empty")


def test_the_process_never_went_beyond_plan_and_host_budget(full_cluster, group):
    if sanitized():
        pytest.skip("a sanitizer's shadow is no part of the plan")
    total = 0
    for process, lines, host in workers(full_cluster):
        seen = outside.memory_of(process.popen.pid)
        print(process.name, "peak", seen["VmHWM"], "plan", promised(lines), "host budget", host)
        assert seen["VmHWM"] <= promised(lines) + host, (process.name, seen, lines)
        total += promised(lines) + host
    if group.path is None:
        pytest.skip("no control group can be made here: only the process was looked at")
    # Sandboxed decoders and services without a device run in the group too.
    decoders = 1 << 30
    others = 2 * GRPC_BYTES + HOST["gateway.host_bytes_max"] + HOST["scheduler.queue_bytes_max"]
    print("control group: peak", group.peak(), "promised", total + decoders)
    assert group.peak() <= total + decoders + (0 if full_cluster.mode == "up" else others)
