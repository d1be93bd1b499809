"""tools/hardware-report with an emulated card in the place of the real one: what it packs runs elsewhere, says what is well, and finds a card that is not."""
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]).resolve()
EMULATED = BUILD / "emulation" / "lib"
PARTS = {"machine": "not tried", "floor": "as expected", "operations": "as expected", "golden": "as expected", "kernels": "as expected", "speed": "as expected",
         "sanitizer": "not tried"}
GOLDEN = ("llama", "qwen2", "minicpmv")  # an emulated card needs a minute for some of the others

pytestmark = pytest.mark.skipif(not (EMULATED / "libcudart.so.13").exists() or not (BUILD / "lib" / "libheadroom_cuda.so").exists(),
                                reason="no CUDA toolkit: nothing of CUDA was built")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    packed = folder / "report.tar.xz"
    subprocess.run([ROOT / "tools" / "hardware-report", "pack", packed, "--build", BUILD, "--golden", *GOLDEN], check=True)
    subprocess.run(["tar", "xf", packed], cwd=folder, check=True)
    return folder / "headroom-hardware-report"


def report(unpacked, out, *arguments, **variables):
    """Exit status and parts; without the machine's tools, which speak of its own cards."""
    environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(EMULATED), "EMULATED_GPU_MEMORY": "2GiB", **variables}
    done = subprocess.run([unpacked / "hardware-report", "run", out, "--shrink", "64", "--slower", "20", *arguments], env=environment, capture_output=True, text=True,
                          check=False)
    return done.returncode, json.loads((out / "summary.json").read_text())["parts"], done.stdout + done.stderr


# Takes what the real tool takes (2025.3.1), and ends as it does: with the program's exit status, or 9 for what it found.
SANITIZER = """#!/bin/sh
[ "$1 $3 $4 $5 $6" = "--tool --nvtx yes --error-exitcode 9" ] || exit 2
case "$2" in memcheck | racecheck | initcheck) ;; *) exit 2 ;; esac
echo "========= COMPUTE-SANITIZER $2"
shift 6
"$@" --gtest_list_tests || exit
exit $FOUND
"""


@pytest.mark.parametrize("found, said", [("0", "as expected"), ("9", "NOT AS EXPECTED")])
def test_compute_sanitizer_is_asked_where_it_is(unpacked, tmp_path, found, said):
    """A stand-in: the real one needs a driver. Only this part is looked at, so the others get no time."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "compute-sanitizer").write_text(SANITIZER)
    (tools / "compute-sanitizer").chmod(0o755)
    code = ("import importlib.machinery, importlib.util, sys; loader = importlib.machinery.SourceFileLoader('report', sys.argv[1]);"
            "report = importlib.util.module_from_spec(importlib.util.spec_from_loader('report', loader)); loader.exec_module(report);"
            "report.Report(sys.argv[2], 5).sanitizer()")
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "LD_LIBRARY_PATH": str(EMULATED), "FOUND": found}
    subprocess.run(["python3", "-c", code, unpacked / "hardware-report", tmp_path / "out"], env=environment, check=True)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["parts"] == {"sanitizer": said}
    text = (tmp_path / "out" / "sanitizer.txt").read_text()
    for tool in ("memcheck", "racecheck", "initcheck"):
        assert f"COMPUTE-SANITIZER {tool}" in text


def test_a_card_that_is_well(unpacked, tmp_path):
    status, parts, output = report(unpacked, tmp_path / "out", "--minutes", "90")
    assert parts == PARTS, output
    assert status == 0
    speed = (tmp_path / "out" / "speed.txt").read_text().splitlines()
    assert len(speed) > 30 and any(line.startswith("decode attention") for line in speed)


def test_a_card_that_breaks_is_not_as_expected(unpacked, tmp_path):
    status, parts, _ = report(unpacked, tmp_path / "out", "--minutes", "30", EMULATED_GPU_FAULTS="launch:1")
    assert status == 1
    assert parts["operations"] == parts["golden"] == parts["speed"] == "NOT AS EXPECTED"


def test_what_was_done_stays_when_time_is_over(unpacked, tmp_path):
    status, parts, _ = report(unpacked, tmp_path / "out", "--minutes", "0.02")
    assert status == 1
    assert parts.keys() == PARTS.keys()
    assert "out of time" in (tmp_path / "out" / "golden.txt").read_text()
