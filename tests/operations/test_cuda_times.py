"""tools/cuda-times: what docs/cuda.md says is what it prints, and what it counts is the model that `headroom plan` counts."""
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "cuda-times"
HEADROOM = pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]) / "bin" / "headroom"


def run(*arguments):
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def steps():
    return json.loads(run("--json").stdout)


def test_the_docs_say_what_it_prints(tmp_path):
    checked = run("--check")
    assert checked.returncode == 0, checked.stderr
    # A figure that somebody changed by hand is found, and mended.
    text = (ROOT / "docs" / "cuda.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| gate and up |"))
    changed = tmp_path / "cuda.md"
    changed.write_text(text.replace(row, row.replace(" / ", " / 1", 1)))
    assert run("--check", "--file", changed).returncode == 1
    assert run("--file", changed).returncode == 0
    assert changed.read_text() == text


def weight_bytes(kernels, rows):
    """Of the products, from their FLOP: 2 bytes a weight, 2 FLOP a weight and row."""
    return sum(kernel["calls"] * kernel["flop"] / rows(kernel) for kernel in kernels if kernel["kind"] == "product")


def test_it_counts_the_weights_that_the_plan_counts(steps):
    planned = subprocess.run([HEADROOM, "plan", "--device", "h200", "--json", ROOT / "models" / "cards" / "minicpm-v-2_6"], capture_output=True, text=True,
                             timeout=120, check=True)
    lines = {line["component"]: line["bytes"] for line in json.loads(planned.stdout)["devices"][0]["ranks"][0]["lines"]}
    table = 2 * 151666 * 3584
    for sequences in (1, 8, 32):
        counted = weight_bytes(steps["decode"][str(sequences)], lambda kernel: sequences)
        # Norms and biases are what it leaves out.
        assert counted == pytest.approx(lines["llm_weights"] - table + lines["head_weights"], rel=1e-3)
    tower = [kernel for kernel in steps["encode"]["1"] if not kernel["name"].startswith("resampler")]
    assert weight_bytes(tower, lambda kernel: 1024) == pytest.approx(lines["vision_weights"] - 2 * 70 * 70 * 1152, rel=1e-2)


def test_a_step_reads_its_weights_and_its_cache_at_least(steps):
    for sequences in (1, 8, 32):
        kernels = steps["decode"][str(sequences)]
        attention = next(kernel for kernel in kernels if kernel["name"].startswith("attention"))
        assert attention["calls"] * attention["bytes"] > 28 * 2 * 2 * 4 * 128 * 4096 * sequences
    for cases in steps.values():
        for kernels in cases.values():
            for kernel in kernels:
                # More bandwidth is never slower, and fewer multiprocessors never faster.
                assert kernel["expected_us"]["A100-80"] >= kernel["expected_us"]["H100"] >= kernel["expected_us"]["H200"] > 0, kernel["name"]
