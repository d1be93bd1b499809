"""The compose files: what they mount is there, what they say to Headroom's services is accepted, and nothing has more rights than it needs."""
import os
import pathlib
import re
import subprocess

import pytest
import yaml
from compose_file import COMPOSE, FILES, ROOT, is_cuda, mounts, own_services, read

HEADROOM = pathlib.Path(os.environ["HEADROOM_BINARY_DIR"]) / "bin" / "headroom"


@pytest.fixture(params=FILES)
def document(request):
    return read(request.param)


def test_services_have_no_rights(document):
    for name, service in document["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "pid", "ipc", "network_mode", "devices", "cap_add"} & service.keys(), name
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"]), f"{name}: a fixed version"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to other machines"


def test_own_services_run_as_the_image_wants(document):
    assert own_services(document)
    version = re.search(r'kVersion\[\] = "([^"]+)"', (ROOT / "common" / "version.h").read_text()).group(1)
    for name, service in own_services(document).items():
        dockerfile = ROOT / "deploy/docker" / ("Dockerfile.cuda" if is_cuda(service) else "Dockerfile.cpu")
        assert service["image"] == f"headroom{'-cuda' if is_cuda(service) else ''}:{version}", name
        assert f"USER {service['user']}" in dockerfile.read_text(), name
        assert service["read_only"] and service["mem_limit"], name
        assert (COMPOSE / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == dockerfile
        drain_ms = re.search(r"drain_ms_max. \| integer \| ([\d']+)", (ROOT / "docs" / "configuration.md").read_text()).group(1)
        assert int(service["stop_grace_period"].rstrip("s")) * 1000 > int(drain_ms.replace("'", "")), name


def test_what_is_mounted_is_there(document):
    for name, service in document["services"].items():
        for mount in mounts(service, document.get("volumes", {})):
            assert mount.source.exists(), f"{name}: {mount.source.relative_to(ROOT)}"
            assert mount.read_only, f"{name}: {mount.target} may be written"


def test_configuration_is_accepted(document):
    for name, service in own_services(document).items():
        config = {mount.target: mount.source for mount in mounts(service)}["/etc/headroom/config.yaml"]
        command = service["command"]
        settings = [part for index, part in enumerate(command) if command[index - 1] == "--set" for part in ("--set", part)]
        checked = subprocess.run([HEADROOM, "config", "--check", config, *settings], capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, f"{name}: {checked.stderr}"


def test_a_gpu_is_asked_for_where_it_is_used():
    for file in FILES:
        for name, service in own_services(read(file)).items():
            devices = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
            assert devices == ([{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}] if is_cuda(service) else []), f"{file}: {name}"
            config = yaml.safe_load({mount.target: mount.source for mount in mounts(service)}["/etc/headroom/config.yaml"].read_text())
            assert config["device"]["kind"] == ("cuda" if is_cuda(service) else "cpu"), f"{file}: {name}"


def test_both_front_doors_are_published_and_know_their_own_name(document):
    published = {}
    for name, service in own_services(document).items():
        mounted = {mount.target: mount.source for mount in mounts(service)}
        gateway = yaml.safe_load(mounted["/etc/headroom/config.yaml"].read_text())["gateway"]
        inside = {gateway[key].split(":")[1] for key in ("listen", "http_listen")}
        ports = {port.rsplit(":", 1)[1] for port in service.get("ports", [])}
        if ports & inside:
            published[name] = inside - ports
            assert gateway["http_hosts"] == name
    assert list(published.values()) == [set()], published


def test_prometheus_knows_every_service():
    document = read("cluster.yaml")
    targets = [target for group in yaml.safe_load((COMPOSE / "targets.yaml").read_text()) for target in group["targets"]]
    assert {target.split(":")[0] for target in targets} == own_services(document).keys()
    config = yaml.safe_load((COMPOSE / "config" / "cluster.yaml").read_text())
    ports = {section["metrics_listen"].split(":")[1] for section in config.values() if "metrics_listen" in section}
    assert {target.split(":")[1] for target in targets} == ports
