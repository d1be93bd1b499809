"""The images, built as a user builds them: buildah on deploy/docker/Dockerfile.cpu and Dockerfile.cuda as they are.

No registry is asked: the image that the Dockerfile begins with is made here, by mmdebstrap, and takes its name; for CUDA it holds the toolkit's run-time
libraries of this machine, whose nvcc the build stage sees. The machine's ccache is lent to the build. Everything happens in a mount namespace of its own
and below one folder, so that nothing stays mounted or stored whatever ends it."""
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CUDA = pathlib.Path("/usr/local/cuda")
CUDA_LIBRARIES = ("libcudart.so.13", "libcublasLt.so.13")

# Names of steps and what they run; $b is buildah with its storage. The chroot isolation needs no container runtime.
STEPS = {
    # What debian:bookworm-slim holds: the essential packages and apt, without documentation; and the environment that it sets.
    "base": '''mmdebstrap --quiet --variant=minbase "--dpkgopt=path-exclude=/usr/share/doc/*" "--dpkgopt=path-exclude=/usr/share/man/*" \
      "--dpkgopt=path-exclude=/usr/share/locale/*" bookworm base.tar "$sources"
    scratch=$($b from scratch)
    $b add --quiet $scratch base.tar /
    for library in $libraries; do $b add --quiet $scratch $library /usr/local/lib/; done
    $b run --isolation chroot $scratch ldconfig
    $b config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin $scratch
    $b commit --quiet --rm $scratch "$base"''',
    "image": '$b bud --isolation chroot --pull-never $volumes --file context/$dockerfile --tag "$image" context',
    "root": '''$b inspect --type image "$image" >inspect.json
    cp --archive "$($b mount $($b from --pull-never "$image"))" root''',
}


@dataclasses.dataclass
class Image:
    root: pathlib.Path  # its files, for this test to run: a container engine's copy of them
    config: dict  # User, Cmd, Env, ExposedPorts, StopSignal, …
    bytes: int  # of its layers, not compressed
    seconds: dict  # by step


def debian_sources():
    """The machine's own sources of Debian bookworm, without those of others."""
    folder = pathlib.Path("/etc/apt")
    for path in [*sorted((folder / "sources.list.d").glob("*.sources")), folder / "sources.list"]:
        if path.exists() and "bookworm" in path.read_text() and ("debian-archive-keyring" in path.read_text() or path.name == "sources.list"):
            return path
    raise AssertionError("apt of this machine has no sources of Debian bookworm")


def copy_context(target):
    """What a fresh clone holds: the files of the working tree that Git does not ignore."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def has_toolkit():
    return (CUDA / "bin/nvcc").exists() and all((CUDA / "lib" / library).exists() for library in CUDA_LIBRARIES)


def build(name, kind, work):
    """Builds the image `name` of Dockerfile.KIND in the folder `work`; what it leaves there is the image's root alone."""
    dockerfile = f"deploy/docker/Dockerfile.{kind}"
    for tool in ("buildah", "mmdebstrap"):
        assert shutil.which(tool), f"{tool} is not installed: tools/test --all installs it"
    copy_context(work / "context")
    (work / "tmp").mkdir()
    cache = pathlib.Path(os.environ.get("CCACHE_DIR", pathlib.Path.home() / ".cache/ccache"))
    cache.mkdir(parents=True, exist_ok=True)
    volumes, libraries = f"--volume {cache}:/var/cache/ccache", ""
    if kind == "cuda":
        volumes += f" --volume {CUDA.resolve()}:{CUDA}:ro"
        libraries = " ".join(str(CUDA / "lib" / library) for library in CUDA_LIBRARIES)
    base = re.search(r"^ARG BASE=(\S+)$", (work / "context" / dockerfile).read_text(), re.MULTILINE).group(1)
    environment = f'''b="buildah --root {work}/storage --runroot {work}/run"; export TMPDIR={work}/tmp
sources={debian_sources()} dockerfile={dockerfile} base={base} image={name} volumes="{volumes}" libraries="{libraries}"'''
    script = "\n".join(["set -eu", environment, *(f"{text}\necho 'step done: {step}'" for step, text in STEPS.items())])
    seconds, log, last = {}, [], time.monotonic()
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", script], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            log.append(line)
            if line.startswith("step done: "):
                seconds[line.split()[-1]], last = round(time.monotonic() - last), time.monotonic()
    assert process.returncode == 0, "".join(log)[-8000:]
    inspected = json.loads((work / "inspect.json").read_text())
    layers = json.loads(inspected["Manifest"])["layers"]
    for rest in ("context", "storage", "run", "tmp"):
        shutil.rmtree(work / rest)
    (work / "base.tar").unlink()
    return Image(work / "root", inspected["OCIv1"]["config"], sum(layer["size"] for layer in layers), seconds)
