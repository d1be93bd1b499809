"""golden_check on random directories in the layout of tests/golden: it must pass all of them, on every instruction set of this machine, and must
report the ones that are spoilt. --seed=N replays one."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from directory import make_directory

TIMEOUT_S = 300
ISAS = ("avx2", "avx512", "avx512_bf16", "amx")
WITHIN, PAST, CANNOT_RUN = 0, 1, 2
# Steps that are much smaller than the prompt, and blocks of the least size.
SMALL_STEPS = ("--max-num-batched-tokens=7", "--block-size=8", "--max-patches-per-step=1")
SLICES, GRID, LINES = 0, 2, 12  # seeds of directories with pictures: MiniCPM-V, GLM-4.1V, HunyuanOCR


def golden_check(folder, *arguments):
    program = pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]) / "bin" / "golden_check"
    return subprocess.run([str(program), *arguments, str(folder)], capture_output=True, text=True, timeout=TIMEOUT_S)


def output(result):
    return f"exit status {result.returncode}\n{result.stdout}{result.stderr}"


@pytest.fixture(scope="session")
def isas(tmp_path_factory):
    """Instruction sets that this machine has."""
    folder = make_directory(0, tmp_path_factory.mktemp("probe") / "model", cases=1)
    results = {isa: golden_check(folder, f"--isa={isa}") for isa in ISAS}
    missing = [isa for isa, result in results.items() if "is forced, but this machine has" in result.stderr]
    assert "avx2" not in missing
    return [isa for isa in ISAS if isa not in missing]


def test_random_directories_are_within_tolerance(seed, isas, tmp_path):
    print(f"seed {seed}")
    folder = make_directory(seed, tmp_path / "model")
    for number, isa in enumerate(isas):
        for dtype in ("fp32", "bf16"):
            steps = SMALL_STEPS if (seed + number) % 2 else ()
            result = golden_check(folder, f"--isa={isa}", f"--dtype={dtype}", *steps)
            assert result.returncode == WITHIN, f"seed {seed}, {isa}, {dtype}, {steps}: {output(result)}"
            assert "2 cases: 2 within tolerance, 0 past it, 0 could not be run" in result.stdout


def edit_json(path, edit):
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def flip_bit(path, from_end, bit):
    data = bytearray(path.read_bytes())
    data[-from_end] ^= 1 << bit
    path.write_bytes(bytes(data))


def other_greedy_id(case):
    case["greedy_ids"][0] = (case["greedy_ids"][0] + 1) % 100


def other_norm(config):
    config["norm_mean"] = [mean + 0.01 for mean in config.get("norm_mean", [0.5] * 3)]


def other_sections(config):
    text = config["text_config"]
    rope = text.get("rope_parameters") or text["rope_scaling"]
    rope["mrope_section"] = rope["mrope_section"][1:] + rope["mrope_section"][:1]


def other_places(config):
    rope = config["rope_scaling"]
    rope["xdrope_section"] = rope["xdrope_section"][1:] + rope["xdrope_section"][:1]


SPOILS = {
    "prompt ids": lambda d: edit_json(d / "expected/case0.json", lambda case: case["prompt_ids"].__setitem__(-1, case["prompt_ids"][0])),
    "pixels": lambda d: edit_json(d / "expected/case0.json", lambda case: case["piece_sha256"].__setitem__(0, "0" * 64)),
    "greedy ids": lambda d: edit_json(d / "expected/case0.json", other_greedy_id),
    "expected numbers": lambda d: flip_bit(d / "expected/case0.safetensors", from_end=1, bit=6),
    "mean of the pixels": lambda d: edit_json(d / "preprocessor_config.json", other_norm),
    "rotation": lambda d: edit_json(d / "config.json", lambda config: config.update(rope_theta=2 * config.get("rope_theta", 1e4), rope_parameters=None)),
    "norm epsilon": lambda d: edit_json(d / "config.json", lambda config: config.update(rms_norm_eps=0.01)),
    "tokenizer": lambda d: edit_json(d / "tokenizer.json", lambda file: file["model"]["merges"].clear()),
}
GRID_SPOILS = {
    "pixels": lambda d: edit_json(d / "expected/case0.json", lambda case: case["pixels_sha256"].__setitem__(0, "0" * 64)),
    "sections": lambda d: edit_json(d / "config.json", other_sections),
    "norm epsilon": lambda d: edit_json(d / "config.json", lambda config: config["text_config"].update(rms_norm_eps=0.01)),
    "tower's epsilon": lambda d: edit_json(d / "config.json", lambda config: config["vision_config"].update(rms_norm_eps=0.1)),
    "bound of pixels": lambda d: edit_json(d / "preprocessor_config.json", lambda file: file["size"].update(longest_edge=file["size"]["shortest_edge"])),
}
LINES_SPOILS = {
    "pixels": GRID_SPOILS["pixels"],
    "sections": lambda d: edit_json(d / "config.json", other_places),
    "alpha": lambda d: edit_json(d / "config.json", lambda config: config["rope_scaling"].update(alpha=7 * config["rope_scaling"]["alpha"])),
    "norm epsilon": lambda d: edit_json(d / "config.json", lambda config: config.update(rms_norm_eps=0.01)),
    "tower's epsilon": GRID_SPOILS["tower's epsilon"],
}


def sound_directory(seed, folder):
    folder = make_directory(seed, folder, cases=1)
    assert list(folder.glob("images/case0*")), "not the seed of a directory with pictures"
    assert golden_check(folder).returncode == WITHIN
    return folder


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """Directories by seed, made once and not spoilt."""
    made = {}

    def of(seed):
        if seed not in made:
            made[seed] = sound_directory(seed, tmp_path_factory.mktemp("sound") / "model")
        return made[seed]

    return of


SPOILT = [(seed, name, spoil) for seed, spoils in ((SLICES, SPOILS), (GRID, GRID_SPOILS), (LINES, LINES_SPOILS)) for name, spoil in spoils.items()]


@pytest.mark.parametrize("seed_of, name, spoil", SPOILT, ids=[f"{seed}-{name}" for seed, name, _ in SPOILT])
def test_a_spoilt_directory_is_reported(seed_of, name, spoil, sound, tmp_path):
    folder = shutil.copytree(sound(seed_of), tmp_path / "model")
    spoil(folder)
    result = golden_check(folder)
    assert result.returncode == PAST, f"{name}: {output(result)}"


def test_a_directory_with_a_missing_tensor_cannot_be_run(sound, tmp_path):
    folder = shutil.copytree(sound(SLICES), tmp_path / "model")
    edit_json(folder / "config.json", lambda config: config.update(num_hidden_layers=config["num_hidden_layers"] + 1))
    result = golden_check(folder)
    assert result.returncode == CANNOT_RUN, output(result)
    assert "missing from the checkpoint" in result.stderr
