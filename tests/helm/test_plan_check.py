"""`headroom plan` and the chart: the values file that it writes, and the hook Job's command lines, both with the real program and the demo model."""
import subprocess

import helm_python as helm
import pytest
import yaml
from chart import RELEASE, ROOT, named, render, value_set
from pods import binary_dir

MODEL = ROOT / "models" / "demo"
LLM = ["--role=llm", "--max-num-seqs=8", "--max-model-len=2048", "--max-num-batched-tokens=1024"]
VISION = ["--role=vision", "--max-patches-per-step=1280", "--set=vision_worker.decoders=2"]


def headroom(*arguments):
    return subprocess.run([binary_dir() / "headroom", *map(str, arguments)], capture_output=True, text=True, timeout=300)


def plan_values(folder, pool, *arguments):
    path = folder / f"{pool}.yaml"
    result = headroom("plan", MODEL, "--helm-values", path, "--pool", pool, *arguments)
    assert result.returncode == 0, result.stderr
    return yaml.safe_load(path.read_text())


def run_check(objects, folder, models=ROOT / "models"):
    """The hook Job's containers, as they would run, with the claim's contents in `models`: {pool: result}."""
    job = named(objects, "Job", f"{RELEASE}-headroom-plan")
    data = named(objects, "ConfigMap", f"{RELEASE}-headroom-plan")["data"]
    for file, text in data.items():
        (folder / file).write_text(text.replace("/models", str(models)))
    results = {}
    for container in job["spec"]["template"]["spec"]["containers"]:
        assert container["command"] == ["headroom", "plan"]
        results[container["name"]] = headroom("plan", *[one.replace("/etc/headroom", str(folder)) for one in container["args"]])
    return results


def test_the_checked_configuration_is_the_workers_own():
    objects = render(value_set("demo"))
    data = named(objects, "ConfigMap", f"{RELEASE}-headroom-plan")["data"]
    assert sorted(data) == ["llm.yaml", "vision.yaml"]
    for file, text in data.items():
        assert text == named(objects, "ConfigMap", f"{RELEASE}-headroom-{file.removesuffix('.yaml')}")["data"]["headroom.yaml"]


def test_what_fits_passes(tmp_path):
    results = run_check(render(value_set("demo")), tmp_path)
    assert sorted(results) == ["llm", "vision"]
    for pool, result in results.items():
        assert result.returncode == 0, f"{pool}: {result.stdout}{result.stderr}"


def test_the_defaults_fit_the_model_that_they_are_for(tmp_path):
    """MiniCPM-V 2.6, whose config.json is enough to plan."""
    results = run_check(render(value_set("minimal")), tmp_path, ROOT / "models" / "cards" / "minicpm-v-2_6")
    for pool, result in results.items():
        assert result.returncode == 0, f"{pool}: {result.stdout}{result.stderr}"
    assert "8099175152 parameters" in results["llm"].stdout
    # All 32 sequences of 4096 tokens, and more.
    assert "max_num_seqs is 32" in results["llm"].stdout


@pytest.mark.parametrize("pool, change, words", [
    ("llm", {"device": {"memory": "16MiB"}, "knobs": {"max_num_seqs": 8, "max_model_len": 8192, "max_num_batched_tokens": 65536}}, "bytes"),
    ("vision", {"settings": {"decoders": 8}, "hostMemory": "1200MiB"}, "host memory: needs"),
])
def test_what_does_not_fit_fails_the_job(tmp_path, pool, change, words):
    values = value_set("demo")
    values[f"{pool}Pools"][0] |= change
    results = run_check(render(values), tmp_path)
    failed = {name for name, result in results.items() if result.returncode != 0}
    assert failed == {pool}
    assert results[pool].returncode == 1
    assert words in results[pool].stdout + results[pool].stderr


def test_a_gpu_pool_without_a_plan_has_its_host_memory(tmp_path):
    """What the chart gives a pod beside the card is what the check asks for: pinned memory as well."""
    values = value_set("demo")
    for pool in (*values["llmPools"], *values["visionPools"]):
        pool |= {"backend": "cuda", "device": {"memory": "1GiB"}}
        pool.pop("hostMemory", None)
    for pool, result in run_check(render(values), tmp_path).items():
        assert result.returncode == 0, f"{pool}: {result.stdout}{result.stderr}"
        assert "pinned memory for copies" in result.stdout, pool


def test_plan_writes_what_the_chart_reads(tmp_path):
    """From the plan's file to the worker's configuration and the pod's memory, byte for byte; and the check agrees."""
    values = value_set("demo")
    for pool in (values["llmPools"][0], values["visionPools"][0]):
        pool.pop("knobs", None)
        pool["device"] = {}
    plans = plan_values(tmp_path, "llm", "--device=cpu:320MiB", *LLM)["plans"] | plan_values(tmp_path, "vision", "--device=cpu:192MiB", *VISION)["plans"]
    values["plans"] = plans
    objects = render(values)
    for pool, plan in plans.items():
        config = yaml.safe_load(named(objects, "ConfigMap", f"{RELEASE}-headroom-{pool}")["data"]["headroom.yaml"])
        assert config["device"]["memory"] == plan["deviceBytes"]
        assert config["knobs"] == plan["knobs"]
        deployment = named(objects, "Deployment", f"{RELEASE}-headroom-{pool}")
        limit = int(deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"].removesuffix("Mi")) << 20
        # Rounded up to whole MiB.
        assert 0 <= limit - (plan["deviceBytes"] + plan["hostBytes"] + (256 << 20)) < 1 << 20
    for pool, result in run_check(objects, tmp_path).items():
        assert result.returncode == 0, f"{pool}: {result.stdout}{result.stderr}"


def test_values_below_the_plan_are_refused(tmp_path):
    values = value_set("demo") | plan_values(tmp_path, "llm", "--device=cpu:512MiB", *LLM)
    with pytest.raises(helm.HelmError, match=r"llmPools\[0\].device.memory: 268435456 bytes, below plans.llm.deviceBytes, 536870912"):
        render(values)
    values["llmPools"][0]["device"] = {"memory": "512MiB"}
    render(values)
    values["llmPools"][0]["knobs"]["max_num_seqs"] = 9
    with pytest.raises(helm.HelmError, match=r"llmPools\[0\].knobs.max_num_seqs: 9, but plans.llm was made for 8: plan again"):
        render(values)


def test_a_plan_for_a_gpu_makes_a_gpu_pool(tmp_path):
    """Planning for a card needs none; the pool asks for the GPU, and only for host memory from the node."""
    values = value_set("demo") | plan_values(tmp_path, "llm", "--device=l4", *LLM)
    plan = values["plans"]["llm"]
    assert plan["backend"] == "cuda"
    with pytest.raises(helm.HelmError, match=r"plans.llm.backend: cuda, and llmPools\[0\].backend is cpu"):
        render(values)
    values["llmPools"][0] |= {"backend": "cuda", "device": {}}
    deployment = named(render(values), "Deployment", f"{RELEASE}-headroom-llm")
    limits = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "1"
    assert int(limits["memory"].removesuffix("Mi")) << 20 < plan["deviceBytes"]
