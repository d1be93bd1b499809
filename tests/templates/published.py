"""The 70 chat templates of published models that the source package llama-cpp-python carries. They are fetched, not kept:
their licences differ."""
import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile

PACKAGE = "llama-cpp-python"
VERSION = "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
INSIDE = "vendor/llama.cpp/models/templates/"
COUNT = 70


def cache():
    return pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]).parent / "templates-cache"


def download():
    """The archive, or None where pip cannot get it."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{PACKAGE.replace('-', '_')}-{VERSION}.tar.gz"
    if not archive.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", f"{PACKAGE}=={VERSION}", "--no-deps", "--no-binary", PACKAGE, "-d", str(folder)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if result.returncode != 0 or not archive.exists():
            print(result.stderr[-2000:])
            return None
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert found == SHA256, f"{archive} has SHA-256 {found}"
    return archive


def templates():
    """{name: text}, or None where they cannot be had."""
    archive = download()
    if archive is None:
        return None
    texts = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if INSIDE in member.name and member.name.endswith(".jinja"):
                texts[pathlib.PurePosixPath(member.name).name] = tar.extractfile(member).read().decode("utf-8")
    assert len(texts) == COUNT, f"{len(texts)} templates"
    return texts
