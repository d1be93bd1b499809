"""headroom ask, status and config as a person uses them; start-up errors of the services."""
import json
import os
import subprocess

import pytest
from cluster import DEMO_MODEL, ROOT, binary_dir, free_port


def headroom(*arguments, stdin="", program="headroom"):
    return subprocess.run([str(binary_dir() / program), *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=120)


# Start-up errors must not depend on what else listens on this machine.
FREE_PORTS = [flag for section in ("gateway", "scheduler", "vision_worker", "llm_worker") for key in ("listen", "metrics_listen")
              for flag in ("--set", f"{section}.{key}=127.0.0.1:0")] + ["--set", "gateway.http_listen=127.0.0.1:0"]


def sample_path(sample):
    return DEMO_MODEL / "samples" / sample["name"]


def test_ask(cluster, samples):
    for sample in samples:
        result = headroom("ask", "--gateway", cluster.address, "--temperature", 0, "--image", sample_path(sample), sample["question"])
        assert result.returncode == 0, result.stderr
        assert result.stdout == sample["answer"] + "\n"


def test_ask_streams_and_reads_standard_input(cluster, samples):
    sample = samples[0]
    result = headroom("ask", "--gateway", cluster.address, "--temperature=0", "--stream", "--usage", "--image", sample_path(sample), "-",
                      stdin=sample["question"] + "\n")
    assert result.returncode == 0, result.stderr
    assert result.stdout == sample["answer"] + "\n"
    assert "answer tokens" in result.stderr


def test_ask_over_http(cluster, samples):
    sample = samples[0]
    asked = ("--temperature", 0, "--image", sample_path(sample), sample["question"])
    for more in ((), ("--stream", "--usage", "--model", "demo")):
        result = headroom("ask", "--url", cluster.url, *more, *asked)
        assert result.returncode == 0, result.stderr
        assert result.stdout == sample["answer"] + "\n"
    assert "answer tokens" in result.stderr


@pytest.mark.parametrize("url, arguments, words", [
    (None, ("--temperature", 3), "temperature is 3"),
    (None, ("--model", "other"), "unknown model 'other'"),
    ("https://127.0.0.1", (), "http://"),
    ("http://127.0.0.1:1", (), "127.0.0.1:1"),
])
def test_ask_over_http_errors(cluster, url, arguments, words):
    result = headroom("ask", "--url", url or cluster.url, *arguments, "Read.")
    assert result.returncode == 1 and words in result.stderr


def test_ask_two_images(cluster, samples):
    result = headroom("ask", "--gateway", cluster.address, "--image", sample_path(samples[0]), "--image", sample_path(samples[1]), "Which?")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--image", "/no/such/picture.png", "What?"], "no such file"),
    (["--image", str(ROOT), "What?"], "not a file"),
    (["--colour", "What?"], "unknown flag --colour"),
    (["--max-tokens", "many", "What?"], "wants an integer"),
    (["--max-tokens", "0", "What?"], "max_tokens"),
    (["--max-tokens"], "wants a value"),
    (["--image", str(ROOT / "README.md"), "What?"], "not valid"),
    (["--timeout", "1e300", "What?"], "--timeout must be"),
    (["--timeout", "-1", "What?"], "--timeout must be"),
    (["--gateway", "nonsense", "What?"], "wants HOST:PORT"),
    (["--gateway", "", "What?"], "wants HOST:PORT"),
    (["--gateway", "::1:7700", "What?"], "an IPv6 address in brackets as in [::1]:7700"),
    ([], "nothing to ask"),
])
def test_ask_errors(cluster, arguments, words):
    result = headroom("ask", "--gateway", cluster.address, *arguments)
    assert result.returncode != 0
    assert words in result.stderr
    assert result.stdout == ""


def test_ask_an_endless_prompt(cluster):
    with open("/dev/zero", "rb") as endless:
        result = subprocess.run([binary_dir() / "headroom", "ask", "--gateway", cluster.address], stdin=endless, capture_output=True, text=True,
                                timeout=120)
    assert result.returncode == 2
    assert "the prompt has more than" in result.stderr


def test_a_full_disk_is_an_error(cluster):
    for arguments in (["ask", "--gateway", cluster.address, "Hello"], ["status", "--gateway", cluster.address],
                      ["plan", "--device", "rtx3090", DEMO_MODEL]):
        with open("/dev/full", "w") as full:
            result = subprocess.run([binary_dir() / "headroom", *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
        assert result.returncode == 1, arguments
        assert "cannot be written" in result.stderr


def test_ask_more_than_the_gateway_takes(cluster, tmp_path):
    picture = tmp_path / "large.png"
    picture.write_bytes(b"\x89PNG" + bytes(11 << 20))
    result = headroom("ask", "--gateway", cluster.address, "--image", picture, "--image", picture, "Which?")
    assert result.returncode == 1
    assert "the request is too large" in result.stderr
    assert "the cluster is full" not in result.stderr


def test_ask_without_a_cluster():
    result = headroom("ask", "--gateway", f"127.0.0.1:{free_port()}", "Hello")
    assert result.returncode == 1
    assert "no gateway answers" in result.stderr


def test_status(cluster):
    result = headroom("status", "--gateway", cluster.address)
    assert result.returncode == 0, result.stderr
    for word in ("gateway", "ready", "scheduler", "vision", "llm", "KV", "memory of cpu", "planned"):
        assert word in result.stdout, result.stdout


def test_help_and_unknown_commands():
    assert headroom("--help").returncode == 0
    assert headroom("ask", "--help").returncode == 0
    assert headroom("dance").returncode == 2
    assert headroom().returncode == 2
    for program in ("gateway", "scheduler", "vision-worker", "llm-worker"):
        assert headroom("--help", program=program).returncode == 0


def test_refusal_reference_is_current():
    page = (ROOT / "docs" / "refusals.md").read_text()
    assert headroom("reasons").stdout == page, "run: headroom reasons > docs/refusals.md"
    assert headroom("reasons", "all").returncode == 2


def test_api_reference():
    page = (ROOT / "docs" / "openai-api.md").read_text()
    assert headroom("api").stdout == page, "run: headroom api > docs/openai-api.md"
    assert headroom("api", "all").returncode == 2


def test_configuration_reference_is_current():
    assert headroom("config").stdout == (ROOT / "docs" / "configuration.md").read_text()


@pytest.mark.parametrize("program", ["gateway", "scheduler", "vision-worker", "llm-worker", "headroom"])
def test_every_program_checks_the_whole_configuration(program, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("gateway:\n  listne: 127.0.0.1:1\n")
    up = ["up"] if program == "headroom" else []
    result = headroom(*up, "--config", bad, program=program)
    assert result.returncode == 2
    assert "bad.yaml:2: unknown key 'gateway.listne'" in result.stderr


MODEL_ERRORS = {
    "missing": (lambda path: None, "model"),
    "a file": (lambda path: path.write_text("x"), "director"),
    "empty": (lambda path: path.mkdir(), "config.json"),
}


@pytest.mark.parametrize("program", ["gateway", "vision-worker", "llm-worker", "headroom"])
@pytest.mark.parametrize("kind", MODEL_ERRORS)
def test_bad_model_directory(program, kind, tmp_path):
    prepare, word = MODEL_ERRORS[kind]
    path = tmp_path / "model"
    prepare(path)
    check_start_error(program, path, word)


def copy_of_demo(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    for file in DEMO_MODEL.iterdir():
        if file.is_file():
            (path / file.name).write_bytes(file.read_bytes())
    return path


def check_start_error(program, model, word):
    up = ["up"] if program == "headroom" else []
    result = headroom(*up, "--config", ROOT / "deploy" / "demo.yaml", *FREE_PORTS, "--set", f"model.path={model}", program=program)
    assert result.returncode == 1, result.stderr
    assert word in result.stderr.splitlines()[-1], result.stderr


def test_truncated_checkpoint(tmp_path):
    model = copy_of_demo(tmp_path)
    weights = model / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    check_start_error("headroom", model, "model.safetensors")


def test_unknown_architecture(tmp_path):
    model = copy_of_demo(tmp_path)
    config = model / "config.json"
    config.write_text(config.read_text().replace("MiniCPMV", "Perceptron9000"))
    check_start_error("headroom", model, "Perceptron9000")


def test_missing_tokenizer(tmp_path):
    model = copy_of_demo(tmp_path)
    (model / "tokenizer.json").unlink()
    check_start_error("headroom", model, "tokenizer.json")


def test_device_too_small():
    result = headroom("up", "--config", ROOT / "deploy" / "demo.yaml", *FREE_PORTS, "--set", f"model.path={DEMO_MODEL}", "--set",
                      "device.memory=16MiB")
    assert result.returncode == 1
    assert "fit" in result.stderr.splitlines()[-1] or "needs" in result.stderr.splitlines()[-1], result.stderr


def test_port_in_use(cluster):
    result = headroom("up", "--config", ROOT / "deploy" / "demo.yaml", *FREE_PORTS, "--set", f"model.path={DEMO_MODEL}", "--set",
                      f"gateway.listen={cluster.address}")
    assert result.returncode == 1
    assert "in use" in result.stderr.splitlines()[-1], result.stderr


def test_readme_shows_the_samples(samples):
    readme = (ROOT / "README.md").read_text()
    for sample in samples:
        assert f"samples/{sample['name']}) | {sample['question']} | {sample['answer']} |" in readme


GOLDEN = ROOT / "tests" / "golden" / "minicpmv"


def test_plan_is_a_gate(tmp_path):
    result = headroom("plan", "--device", "rtx3090", "--device", "cpu:256MiB", "--json", GOLDEN)
    assert result.returncode == 0, result.stderr
    for device in json.loads(result.stdout)["devices"]:
        assert sum(line["bytes"] for line in device["ranks"][0]["lines"]) == device["memory_bytes"]
    assert headroom("plan", "--device", "cpu:256MiB", GOLDEN / "config.json").returncode == 0

    result = headroom("plan", "--device", "cpu:2MiB", GOLDEN)
    assert result.returncode == 1
    assert "does not fit on cpu:2MiB" in result.stdout
    result = headroom("plan", "--device", "cpu:256MiB", "--host-memory", "1MiB", GOLDEN)
    assert result.returncode == 1
    assert "host memory: needs" in result.stderr

    values = tmp_path / "values.yaml"
    result = headroom("plan", "--device", "cpu:256MiB", "--role", "llm", "--helm-values", values, GOLDEN)
    assert result.returncode == 0, result.stderr
    assert "deviceBytes: 268435456" in values.read_text()


@pytest.mark.parametrize("arguments, words", [
    (["--device", "abacus", GOLDEN], "not known"),
    (["--gpu-memory-utilization", "nan", GOLDEN], "wants a number"),
    (["--max-num-seqs", "9223372036854775808", GOLDEN], "wants an integer"),
    (["--max-model-len", "-1", GOLDEN], "max_model_len: -1"),
    (["--devices", "/no/such/file.yaml", GOLDEN], "cannot be opened"),
    (["/no/such/model"], "model"),
    ([GOLDEN, GOLDEN], "unexpected argument"),
    (["--helm-values", "x.yaml", GOLDEN], "--role"),
    ([], "which model?"),
])
def test_plan_errors(arguments, words):
    result = headroom("plan", *arguments)
    assert result.returncode == 2
    assert words in result.stderr
