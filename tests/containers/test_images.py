"""The images that buildah makes of deploy/docker/Dockerfile.cpu and Dockerfile.cuda, and their services: as their account, without capabilities, all of
it read-only.

No container engine is at hand to run them. The commands, configurations and mounts of the compose files run here in the image's root, in a network
namespace where their host names lead to loopback. The card is an emulated one, or there is none."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import built_image
import pytest
from compose_file import Mount, mounts, own_services, read

ROOT = built_image.ROOT
BUILD = pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]).resolve()
EMULATED = BUILD / "emulation" / "lib"
ARCHITECTURES = ("80", "86", "89", "90", "100", "120")
PATIENCE_S = 120
PROGRAMS = ("headroom", "gateway", "scheduler", "vision-worker", "llm-worker", "headroom-image-decoder")
LIBRARIES_MISSING = 'for p in "$@"; do ldd /usr/local/bin/$p || exit 1; done | grep "not found"'

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="building and running an image needs mounts, and so the super-user")


def built(kind, compose):
    work = BUILD / f"image-{kind}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        made = built_image.build(own_services(read(compose))["headroom"]["image"], kind, work)
        print(f"image for {kind}: {made.bytes / 1e6:.0f} MB; seconds: {made.seconds}")
        yield made
    finally:
        shutil.rmtree(work)


@pytest.fixture(scope="module")
def cpu_image():
    yield from built("cpu", "single.yaml")


@pytest.fixture(scope="module")
def cuda_image():
    if not built_image.has_toolkit():
        pytest.skip(f"no CUDA 13 toolkit in {built_image.CUDA}")
    yield from built("cuda", "cuda.yaml")


@pytest.fixture(params=["cpu", "cuda"])
def image(request):
    return request.getfixturevalue(f"{request.param}_image")


class Pod:
    """A network namespace with loopback only, and in it containers: the image's root with a service's mounts, all read-only but its tmpfs."""

    def __init__(self, image, services, logs, environment=None, also_mounted=()):
        self.root, self.services, self.logs, self.also_mounted = image.root, services, logs, also_mounted
        self.environment = dict(each.split("=", 1) for each in image.config["Env"]) | (environment or {})
        self.processes = {}
        # What a container engine writes.
        (self.root / "etc/hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *services)))
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"], stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"up\n"

    def command(self, name, arguments):
        service = self.services[name]
        user, group = service["user"].split(":")
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        script = ["set -e", f"mount --bind {self.root} {self.root}", f"cd {self.root}", f"mount -t proc proc {self.root}/proc"]
        for mount in [*mounts(service), *self.also_mounted]:
            at = self.root / mount.target.lstrip("/")
            if mount.source.is_dir():
                at.mkdir(parents=True, exist_ok=True)
            else:
                at.parent.mkdir(parents=True, exist_ok=True)
                at.touch()
            script += [f"mount --bind {mount.source} {at}", f"mount -o remount,bind,ro {at}"]
        for path, _, options in (text.partition(":") for text in service.get("tmpfs", [])):
            script.append(f"mount -t tmpfs -o {options} tmpfs {self.root}{path}")
        script += [f"mount -o remount,bind,ro {self.root}",
                   f"exec chroot {self.root} setpriv --reuid={user} --regid={group} --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs"
                   ' -- "$@"']
        # Every program is replaced by the next, so that the process id is the service's in the end.
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "unshare", "--mount", "sh", "-c", "\n".join(script), "sh", *arguments]

    def start(self, name, *arguments):
        log = open(self.logs / f"{name}.log", "wb")
        command = self.command(name, [*self.services[name]["command"], *arguments])
        environment = self.environment | self.services[name].get("environment", {})
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def ask(self, name, *arguments):
        return subprocess.run(self.command(name, arguments), capture_output=True, text=True, timeout=PATIENCE_S, env=self.environment)

    def log(self, name):
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(PATIENCE_S) for name, process in self.processes.items()}

    def close(self):
        for process in [*self.processes.values(), self.holder]:
            if process.poll() is None:
                process.kill()
            process.wait()


def wait_ready(pod, name):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        for each, process in pod.processes.items():
            assert process.poll() is None, f"{each} died:\n{pod.log(each)[-4000:]}"
        # The health check of the compose file.
        check = pod.services[name]["healthcheck"]["test"]
        assert check[0] == "CMD"
        if pod.ask(name, *check[1:]).returncode == 0:
            return
        time.sleep(0.2)
    raise AssertionError("not ready:\n" + "\n".join(pod.log(each)[-4000:] for each in pod.processes))


def test_image_says_how_it_runs(image):
    assert image.config["User"] == "65532:65532" and image.config["StopSignal"] == "SIGTERM"
    assert "Entrypoint" not in image.config and "Volumes" not in image.config
    assert set(image.config["ExposedPorts"]) == {f"{port}/tcp" for ports in (range(7700, 7704), range(7710, 7714), (7720,)) for port in ports}
    accounts = (line.split(":") for line in (image.root / "etc/passwd").read_text().splitlines())
    assert [(account[0], account[6]) for account in accounts if account[2:4] == ["65532", "65532"]] == [("headroom", "/usr/sbin/nologin")]
    command = ["chroot", "--userspec", image.config["User"], image.root, *image.config["Cmd"]]
    said = subprocess.run(command, capture_output=True, text=True, env=dict(each.split("=", 1) for each in image.config["Env"]))
    assert said.returncode == 0 and said.stdout.startswith("usage: headroom COMMAND"), said.stderr


def test_image_holds_what_runs_and_no_more(image):
    for name in PROGRAMS:
        sections = subprocess.run(["readelf", "-S", "-W", image.root / "usr/local/bin" / name], capture_output=True, text=True, check=True).stdout
        assert ".text" in sections and ".symtab" not in sections and ".debug" not in sections, name
    found = subprocess.run(["chroot", image.root, "sh", "-c", LIBRARIES_MISSING, "sh", *PROGRAMS], capture_output=True, text=True)
    assert found.returncode == 1 and not found.stdout, found.stdout + found.stderr
    # What the build stage alone has.
    for path in ("usr/bin/g++", "usr/bin/cmake", "usr/bin/ninja", "usr/bin/ccache", "usr/bin/pip3", "usr/local/cuda/bin", "src", "out", "tmp/build.sh"):
        assert not (image.root / path).exists(), path


def test_the_backend_has_code_for_every_card_and_its_libraries(cuda_image):
    library = cuda_image.root / "usr/local/lib/libheadroom_cuda.so"
    checked = subprocess.run(["python3", ROOT / "tools/kernel_resources/machine_code.py", "--architectures", *ARCHITECTURES, "--", library],
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    found = subprocess.run(["chroot", cuda_image.root, "ldd", "/usr/local/lib/libheadroom_cuda.so"], capture_output=True, text=True, check=True).stdout
    assert "not found" not in found and "libcudart.so.13 =>" in found and "libcublasLt.so.13 =>" in found, found
    # What a container runtime puts into it, and the driver that it asks for first.
    environment = dict(each.split("=", 1) for each in cuda_image.config["Env"])
    assert environment["NVIDIA_REQUIRE_CUDA"] == "cuda>=13.0" and environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


def test_without_a_driver_the_service_says_so(cuda_image, tmp_path):
    pod = Pod(cuda_image, own_services(read("cuda.yaml")), tmp_path)
    try:
        pod.start("headroom")
        assert pod.processes["headroom"].wait(PATIENCE_S) != 0
        assert "no NVIDIA driver was found; CUDA 13.0 needs an NVIDIA driver of version 580 or newer" in pod.log("headroom")
    finally:
        pod.close()


@pytest.mark.skipif(not (EMULATED / "libcublasLt.so.13").exists(), reason="no emulated libraries in this build")
def test_the_service_answers_on_an_emulated_card(cuda_image, tmp_path):
    card = {"LD_LIBRARY_PATH": "/opt/emulated", "EMULATED_GPU_MEMORY": "1GiB", "EMULATED_GPU_STREAMS": "eager", "EMULATED_GPU_CHECKS": "0"}
    pod = Pod(cuda_image, own_services(read("cuda.yaml")), tmp_path, card, [Mount(EMULATED, "/opt/emulated", True)])
    try:
        pod.start("headroom", "--set", "device.memory=1GiB", "--set", "knobs.max_num_seqs=4", "--set", "knobs.max_model_len=512")
        wait_ready(pod, "headroom")
        assert "Emulated GPU" in pod.log("headroom")
        ask_a_sample(pod, "headroom")
        assert set(pod.stop().values()) == {0}
    finally:
        pod.close()


def ask_a_sample(pod, front):
    sample = json.loads((ROOT / "models/demo/samples/samples.json").read_text())[0]
    answer = pod.ask(front, "headroom", "ask", "--temperature", "0", "--image", f"/model/samples/{sample['image']}", sample["question"])
    assert answer.returncode == 0 and answer.stdout == sample["answer"] + "\n", answer.stderr


@pytest.mark.parametrize("name, front", [("single.yaml", "headroom"), ("cluster.yaml", "gateway")])
def test_services_answer(cpu_image, tmp_path, name, front):
    pod = Pod(cpu_image, own_services(read(name)), tmp_path)
    try:
        for service in pod.services:
            pod.start(service)
        wait_ready(pod, front)
        for service, process in pod.processes.items():
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert set(fields["Uid"].split()) == {"65532"} and fields["NoNewPrivs"] == "1", service
            assert all(int(fields[caps], 16) == 0 for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")), service
        for path in ("/anywhere", "/tmp/anywhere", "/model/anywhere"):
            written = pod.ask(front, "touch", path)
            assert written.returncode != 0 and "Read-only file system" in written.stderr, (path, written.stderr)
        ask_a_sample(pod, front)
        assert set(pod.stop().values()) == {0}
    finally:
        pod.close()
