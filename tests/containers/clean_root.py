"""The stages of deploy/docker/Dockerfile.cpu without a container engine: roots that mmdebstrap makes, and the same build.sh inside them."""
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = "deploy/docker/build.sh"
CACHE = "/tmp/ccache"


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def debian_sources():
    """The machine's own sources of Debian bookworm, without those of others."""
    folder = pathlib.Path("/etc/apt")
    for path in [*sorted((folder / "sources.list.d").glob("*.sources")), folder / "sources.list"]:
        if path.exists() and "bookworm" in path.read_text() and ("debian-archive-keyring" in path.read_text() or path.name == "sources.list"):
            return path
    raise AssertionError("apt of this machine has no sources of Debian bookworm")


def make_base(base):
    """What debian:bookworm-slim holds: the essential packages and apt, without documentation."""
    run("mmdebstrap", "--quiet", "--variant=minbase", "--format=directory", "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*", "bookworm", base, debian_sources())
    shutil.copy("/etc/resolv.conf", base / "etc/resolv.conf")


def copy_root(source, target):
    run("cp", "-a", source, target)


def inside(root, *command, binds=(), **options):
    """Runs a command in the root, as root, in a mount namespace of its own: nothing stays mounted."""
    script = ["set -e", f"mount -t proc proc {root}/proc"]
    for host, at in binds:
        (root / at.lstrip("/")).mkdir(parents=True, exist_ok=True)
        script.append(f"mount --bind {host} {root}{at}")
    script.append(f'exec chroot {root} "$@"')
    return run("unshare", "--mount", "sh", "-c", "\n".join(script), "sh", *command, **options)


def copy_sources(target):
    """COPY . /src: the files of the working tree that Git does not ignore."""
    target.mkdir()
    listed = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", stdout=subprocess.PIPE).stdout
    names = b"\0".join(name for name in listed.split(b"\0") if name and (ROOT / name.decode()).exists())
    archive = run("tar", "-C", ROOT, "--null", "-T", "-", "-c", input=names, stdout=subprocess.PIPE).stdout
    run("tar", "-C", target, "-x", "--no-same-owner", input=archive)


def compiler_cache():
    """The machine's ccache, so that a test need not compile what was compiled; empty when there is none."""
    asked = subprocess.run(["ccache", "--get-config", "cache_dir"], capture_output=True, text=True)
    folder = pathlib.Path(asked.stdout.strip()) if asked.returncode == 0 else None
    return [(folder, CACHE)] if folder and folder.is_dir() else []


def build_stage(root, out, cached):
    """FROM debian AS build: sources in, stripped programs in `out`."""
    copy_sources(root / "src")
    inside(root, f"/src/{BUILD}", "build-packages")
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "CCACHE_DIR": CACHE}
    # A part of the cache's keys.
    environment.update({name: value for name, value in os.environ.items() if name.startswith(("LANG", "LC_"))})
    inside(root, "nice", "-n", "10", f"/src/{BUILD}", "build", "/out", binds=compiler_cache() if cached else (), env=environment)
    copy_root(root / "out", out)


def runtime_stage(root, out):
    """FROM debian: libraries, account, programs."""
    shutil.copy(ROOT / BUILD, root / "tmp/build.sh")
    inside(root, "/tmp/build.sh", "runtime-packages")
    inside(root, "/tmp/build.sh", "user")
    (root / "tmp/build.sh").unlink()
    run("cp", "-a", f"{out}/.", root)


def bytes_of(path):
    return int(run("du", "--summarize", "--bytes", path, stdout=subprocess.PIPE).stdout.split()[0])
