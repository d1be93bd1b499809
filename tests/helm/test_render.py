"""What the chart renders from values/, with Helm's own engine: golden files, Kubernetes' schemas, and what every object must keep to."""
import functools
import json
import re
import shutil
import subprocess
import sys

import helm_python as helm
import jsonschema
import kubernetes_validate
import pytest
import yaml
from chart import (CHART, HERE, NAMESPACE, RELEASE, ROOT, SERVICES, VALUE_SETS, component, golden_text, is_hook, named, objects_of, of_kind,
                   pod_template, render, render_set, render_texts, value_set)
from crd_schemas import SCHEMAS

# It would read megabytes of definitions again for every object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

# The oldest that Chart.yaml allows, and the newest whose schemas the tests have.
KUBERNETES = ("1.30", "1.37")
PORTS = {"gateway": (7700, 7710), "scheduler": (7701, 7711), "vision-worker": (7702, 7712), "llm-worker": (7703, 7713)}

every_set = pytest.mark.parametrize("name", VALUE_SETS)


def deployments(objects):
    return of_kind(objects, "Deployment")


def container(deployment):
    containers = deployment["spec"]["template"]["spec"]["containers"]
    assert len(containers) == 1
    return containers[0]


@every_set
def test_render_is_golden(name):
    """After a wanted change: tests/helm/renew_golden.py."""
    assert golden_text(name) == (HERE / "golden" / f"{name}.yaml").read_text()


def test_golden_files_have_values():
    assert sorted(path.stem for path in (HERE / "golden").glob("*.yaml")) == VALUE_SETS
    assert len(VALUE_SETS) >= 6


@every_set
def test_lint(name):
    for version in KUBERNETES:
        report = helm.lint(CHART, value_set(name), strict=True, namespace=NAMESPACE, kube_version=f"v{version}.0")
        assert report["total_charts_linted"] == 1
        found = [message for message in report["messages"] if message["error"] != "icon is recommended"]
        assert found == [] and report["errors"] == []


def every_valid(objects):
    assert len(objects) > 10
    for one in objects:
        if one["kind"] in SCHEMAS:
            jsonschema.validate(one, SCHEMAS[one["kind"]], cls=jsonschema.Draft7Validator)
            continue
        for version in KUBERNETES:
            kubernetes_validate.validate(one, version, strict=True)


@every_set
def test_objects_match_their_schemas(name):
    every_valid(render_set(name))


def test_schemas_can_fail():
    broken = named(render_set("minimal"), "Deployment", f"{RELEASE}-headroom-gateway")
    broken["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES[1], strict=True)
    monitor = named(render_set("monitored"), "PodMonitor", f"{RELEASE}-headroom")
    monitor["spec"]["podMetricEndpoints"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(monitor, SCHEMAS["PodMonitor"])


@every_set
def test_install_as_helm_does(name):
    """A client-side dry run is the whole of an install but for the API server: order, hooks, notes."""
    config = helm.Config(kubeconfig_content="{apiVersion: v1, kind: Config}", storage_driver="memory")
    release = config.install(str(CHART), RELEASE, value_set(name), namespace=NAMESPACE, dry_run="client")
    regular = [one for one in render_set(name) if not is_hook(one)]
    manifest = [document for document in yaml.safe_load_all(release["manifest"]) if document]
    assert sorted((one["kind"], one["metadata"]["name"]) for one in manifest) == sorted((one["kind"], one["metadata"]["name"]) for one in regular)
    assert release["notes"].startswith("Headroom ")
    assert ("WARNING: pool llm has `backend: cuda`" in release["notes"]) == (name in ("cuda", "extended"))


@every_set
def test_names_are_unique_and_short(name):
    objects = render_set(name)
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))
    long = "a" * 53
    with helm.Chart.load(CHART) as chart:
        long_objects = objects_of(chart.render(value_set(name) | {"nameOverride": "", "fullnameOverride": ""}, name=long, namespace=NAMESPACE))
    assert all(len(one["metadata"]["name"]) <= 63 for one in long_objects)


# The profile "restricted" of the Pod Security Standards, as far as the chart's pods can break it.
def restricted_violations(spec):
    bad = []
    pod = spec.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            bad.append(key)
    allowed_volumes = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for volume in spec.get("volumes", []):
        if set(volume) - {"name"} - allowed_volumes:
            bad.append(f"volume {volume['name']}")
    for one in spec["containers"] + spec.get("initContainers", []):
        own = one.get("securityContext", {})
        if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
            bad.append(f"{one['name']}: runAsNonRoot")
        if own.get("runAsUser", pod.get("runAsUser", 1)) == 0:
            bad.append(f"{one['name']}: runAsUser")
        if own.get("allowPrivilegeEscalation") is not False:
            bad.append(f"{one['name']}: allowPrivilegeEscalation")
        if own.get("capabilities") != {"drop": ["ALL"]}:
            bad.append(f"{one['name']}: capabilities")
        if own.get("seccompProfile", pod.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
            bad.append(f"{one['name']}: seccompProfile")
        if own.get("privileged") or own.get("procMount", "Default") != "Default":
            bad.append(f"{one['name']}: privileged")
        if any("hostPort" in port for port in one.get("ports", [])):
            bad.append(f"{one['name']}: hostPort")
        # Beyond the profile: ours.
        if own.get("readOnlyRootFilesystem") is not True:
            bad.append(f"{one['name']}: readOnlyRootFilesystem")
        if "memory" not in one["resources"]["limits"] or "cpu" not in one["resources"].get("requests", one["resources"]["limits"]):
            bad.append(f"{one['name']}: resources")
        for mount in one.get("volumeMounts", []):
            kind = next(set(volume) - {"name"} for volume in spec["volumes"] if volume["name"] == mount["name"])
            if not mount.get("readOnly") and kind != {"emptyDir"} and one["name"] != "download":
                bad.append(f"{one['name']}: {mount['name']} is writable")
    if spec.get("automountServiceAccountToken") is not False:
        bad.append("automountServiceAccountToken")
    return bad


@every_set
def test_pods_are_restricted(name):
    pods = [(one["metadata"]["name"], pod_template(one)[1]) for one in render_set(name) if pod_template(one)]
    assert len(pods) >= 7
    for pod, spec in pods:
        # NFS is what that set asks for, and what the profile does not allow.
        expected = ["volume model"] if any("nfs" in volume for volume in spec["volumes"]) else []
        assert restricted_violations(spec) == expected and (expected == [] or name == "nfs"), pod


def test_the_restricted_check_can_fail():
    spec = pod_template(named(render_set("minimal"), "Deployment", f"{RELEASE}-headroom-gateway"))[1]
    spec["hostNetwork"] = True
    spec["containers"][0]["securityContext"]["capabilities"] = {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    spec["securityContext"]["runAsNonRoot"] = False
    assert len(restricted_violations(spec)) == 3


@every_set
def test_selectors_find_their_pods(name):
    objects = render_set(name)
    pods = [pod_template(one)[0]["labels"] for one in deployments(objects)]

    def matching(selector):
        return sum(selector.items() <= labels.items() for labels in pods)

    for one in deployments(objects):
        assert matching(one["spec"]["selector"]["matchLabels"]) == 1
    for one in of_kind(objects, "Service"):
        assert matching(one["spec"]["selector"]) == 1
    for one in of_kind(objects, "PodDisruptionBudget"):
        assert matching(one["spec"]["selector"]["matchLabels"]) == 1
    hooks = [pod_template(one)[0]["labels"] for one in objects if one["kind"] in ("Job", "Pod")]
    for one in of_kind(objects, "PodMonitor"):
        wanted = one["spec"]["selector"]["matchExpressions"][0]["values"]
        assert sorted(wanted) == sorted(SERVICES)
        assert matching(one["spec"]["selector"]["matchLabels"]) == len(pods)
        assert all(labels["app.kubernetes.io/component"] not in wanted for labels in hooks)


@every_set
def test_probes(name):
    """Liveness asks only whether the process answers; a gateway, whose readiness hangs on others, starts by that as well."""
    for one in deployments(render_set(name)):
        probes = container(one)
        port = PORTS[component(one["metadata"])][0]
        assert probes["livenessProbe"]["grpc"] == {"port": port, "service": "live"}
        assert probes["readinessProbe"]["grpc"] == {"port": port}
        is_worker = component(one["metadata"]).endswith("-worker")
        assert probes["startupProbe"]["grpc"] == ({"port": port} if is_worker else {"port": port, "service": "live"})
        startup = probes["startupProbe"]["periodSeconds"] * probes["startupProbe"]["failureThreshold"]
        assert one["spec"]["progressDeadlineSeconds"] > startup
        if is_worker:
            assert startup >= 1800


@every_set
def test_grace_is_longer_than_prestop_and_drain(name):
    objects = render_set(name)
    for one in deployments(objects):
        config = yaml.safe_load(named(objects, "ConfigMap", one["metadata"]["name"])["data"]["headroom.yaml"])
        sleep = container(one).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain = config["cluster"]["drain_ms_max"] / 1000
        assert one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= sleep + 1.5 * drain + 10
        assert (sleep > 0) == (component(one["metadata"]) == "gateway" and name != "bare")


@every_set
def test_updates_need_no_spare_device(name):
    for one in deployments(render_set(name)):
        strategy = one["spec"]["strategy"]
        kind = component(one["metadata"])
        if kind == "scheduler":
            assert strategy == {"type": "Recreate"} and one["spec"]["replicas"] == 1
        elif kind == "gateway":
            assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        else:
            surge = 1 if one["metadata"]["name"].endswith("-short") else 0
            assert strategy["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": 1 - surge}


@every_set
def test_a_pod_has_the_memory_that_its_service_promises(name):
    objects = render_set(name)
    for one in deployments(objects):
        config = yaml.safe_load(named(objects, "ConfigMap", one["metadata"]["name"])["data"]["headroom.yaml"])
        resources = container(one)["resources"]
        limit = int(resources["limits"]["memory"].removesuffix("Mi")) << 20
        assert resources["requests"]["memory"] == resources["limits"]["memory"]

        def in_bytes(value):
            if isinstance(value, int):
                return value
            number, unit = re.fullmatch(r"([0-9]+)(.iB)", value).groups()
            return int(number) << {"KiB": 10, "MiB": 20, "GiB": 30}[unit]

        kind = component(one["metadata"])
        if kind == "scheduler":
            assert limit >= in_bytes(config["scheduler"]["queue_bytes_max"]) + (256 << 20)
            continue
        promised = in_bytes(config[kind.replace("-", "_")]["host_bytes_max"])
        if kind == "gateway":
            assert limit >= promised + (512 << 20)
            continue
        assert resources["requests"] == resources["limits"], "Guaranteed"
        if config["device"]["kind"] == "cpu":
            promised += config["device"]["memory"]
            assert config["device"]["threads"] == int(resources["limits"]["cpu"])
        else:
            assert any(key.startswith("nvidia.com/") and count == "1" for key, count in resources["limits"].items())
        assert limit >= promised + (512 << 20)


def test_plans_become_bytes_and_knobs():
    objects = render_set("planned")
    plan = value_set("planned")["plans"]["short"]
    config = yaml.safe_load(named(objects, "ConfigMap", f"{RELEASE}-headroom-short")["data"]["headroom.yaml"])
    assert config["device"]["memory"] == plan["deviceBytes"]
    assert config["knobs"] == plan["knobs"]
    limit = container(named(objects, "Deployment", f"{RELEASE}-headroom-short"))["resources"]["limits"]["memory"]
    assert int(limit.removesuffix("Mi")) << 20 == plan["deviceBytes"] + plan["hostBytes"] + (256 << 20)


def test_defaults_of_a_pool_are_those_that_the_values_show():
    shown = yaml.safe_load((CHART / "values.yaml").read_text())["llmPools"][0]
    least = {key: shown[key] for key in ("name", "cpu", "knobs")} | {"device": {"memory": shown["device"]["memory"]}}
    values = value_set("minimal")
    assert render(values | {"llmPools": [shown]}) == render(values | {"llmPools": [least]}) == render(values)


def test_a_section_restarts_only_its_readers():
    def sums(values):
        return {one["metadata"]["name"].removeprefix(f"{RELEASE}-headroom-"): one["spec"]["template"]["metadata"]["annotations"]["headroom/config-sha256"]
                for one in deployments(render(value_set("minimal") | values))}

    def changed(values):
        return {key for key, text in sums(values).items() if text != before[key]}

    before = sums({})
    assert set(before) == {"gateway", "scheduler", "vision", "llm"}
    assert changed({"gateway": {"settings": {"images_max": 3}}}) == {"gateway"}
    assert changed({"gateway": {"settings": {"image_side_max": 1000}}}) == {"gateway", "vision"}
    assert changed({"scheduler": {"settings": {"grant_ttl_ms": 5000}}}) == {"scheduler"}
    assert changed({"logLevel": "debug"}) == {"gateway", "scheduler", "vision", "llm"}


@every_set
def test_single_pods_have_no_budget_and_others_one(name):
    objects = render_set(name)
    wanted = {one["metadata"]["name"] for one in deployments(objects) if one["spec"]["replicas"] > 1 and name != "bare"}
    budgets = of_kind(objects, "PodDisruptionBudget")
    assert {one["metadata"]["name"] for one in budgets} == wanted
    assert all(one["spec"]["maxUnavailable"] == 1 for one in budgets)


@every_set
def test_ports_are_those_of_the_services(name):
    """The defaults of docs/configuration.md are the ports; each stands in its pod, and gRPC's where it is called in a Service or policy."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    documented = {}
    for section, text in re.findall(r"\n## (\w+)\n(.*?)(?=\n## |\Z)", page, re.S):
        for key, port in re.findall(r"\| `(listen|metrics_listen)` \| address \| 127\.0\.0\.1:(\d+)", text):
            documented.setdefault(section.replace("_", "-"), {})[key] = int(port)
    assert {kind: (keys["listen"], keys["metrics_listen"]) for kind, keys in documented.items()} == PORTS
    objects = render_set(name)
    for one in deployments(objects):
        grpc, metrics = PORTS[component(one["metadata"])]
        http = [{"name": "http", "containerPort": 7720}] if component(one["metadata"]) == "gateway" else []
        assert container(one)["ports"] == [{"name": "grpc", "containerPort": grpc}, *http, {"name": "metrics", "containerPort": metrics}]
    assert named(objects, "Service", f"{'vlm' if name == 'bare' else RELEASE + '-headroom'}-scheduler")["spec"]["ports"][0]["port"] == 7701


def test_chart_and_project_have_one_version():
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'kVersion\[\] = "([^"]+)"', (ROOT / "common" / "version.h").read_text())[1]
    assert metadata["appVersion"] == version


def test_derived_files_are_up_to_date():
    """Schema against docs/configuration.md, README.md against values.yaml, dashboards and rules against deploy/: tools/helm-chart writes them."""
    result = subprocess.run([sys.executable, ROOT / "tools" / "helm-chart", "--check"], capture_output=True, text=True)
    assert result.returncode == 0, f"run tools/helm-chart: {result.stdout}{result.stderr}"


def test_every_value_is_described_and_in_the_schema():
    described = set(re.findall(r"^\| `([^`]+)` \|", (CHART / "README.md").read_text(), re.M))
    schema = json.loads((CHART / "values.schema.json").read_text())

    def resolve(node):
        return schema["definitions"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node

    def leaves(node, path):
        node = resolve(node)
        if path in described or path == "global":
            yield path
        if node.get("type") == "array" and "items" in node and path == "llmPools":
            yield from leaves(node["items"], path + "[]")
        elif node.get("additionalProperties") is False and path not in ("llmPools[].knobs", "llmPools[].settings", "gateway.settings", "scheduler.settings"):
            if path in described:
                return
            for key, child in node["properties"].items():
                yield from leaves(child, f"{path}.{key}" if path else key)
        elif path not in described and path != "global":
            raise AssertionError(f"{path}: in the schema, not described in values.yaml")

    found = set(leaves(schema, "")) - {"global"}
    assert found == described
    assert len(found) > 90


def test_schema_is_closed_at_every_level():
    schema = json.loads((CHART / "values.schema.json").read_text())
    maps = {"textMap", "components", "quantities"}

    def check(node, path):
        if isinstance(node, dict):
            if node.get("type") == "object" and path not in ("/properties/global", "/properties/plans") and path.rpartition("/")[2] not in maps:
                assert node.get("additionalProperties") is False, path
            for key, child in node.items():
                check(child, f"{path}/{key}")
        elif isinstance(node, list):
            for index, child in enumerate(node):
                check(child, f"{path}/{index}")

    check(schema, "")


def test_dashboards_and_rules_are_carried():
    """Every file that the chart carries becomes an object with exactly its contents."""
    objects = render_set("monitored")
    for path in (CHART / "files" / "dashboards").glob("*.json"):
        found = [one for one in of_kind(objects, "ConfigMap") if path.name in one.get("data", {})]
        assert len(found) == 1 and json.loads(found[0]["data"][path.name]) == json.loads(path.read_text())
        assert found[0]["metadata"]["labels"]["grafana_dashboard"] == "1"
    rules = [one["spec"] for one in of_kind(objects, "PrometheusRule")]
    for path in (CHART / "files" / "rules").glob("*.yaml"):
        assert yaml.safe_load(path.read_text()) in rules
    assert not of_kind(render_set("minimal"), "PrometheusRule") and not of_kind(render_set("minimal"), "PodMonitor")


def test_carried_files_pass_unchanged(tmp_path):
    """With a dashboard full of Grafana's braces and a rules file, as they will lie in files/."""
    copy = tmp_path / "headroom"
    shutil.copytree(CHART, copy)
    dashboard = {"title": "x", "panels": [{"legendFormat": "{{component}}", "expr": 'sum by (component) (headroom{job="$job"})'}]}
    rules = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up == 0", "for": "5m", "annotations": {"summary": "{{ $labels.pod }} is down"}}]}]}
    (copy / "files" / "dashboards").mkdir(exist_ok=True)
    (copy / "files" / "rules").mkdir(exist_ok=True)
    (copy / "files" / "dashboards" / "probe_one.json").write_text(json.dumps(dashboard, indent=2) + "\n")
    (copy / "files" / "rules" / "probe_one.yaml").write_text(yaml.safe_dump(rules))
    with helm.Chart.load(copy) as chart:
        objects = objects_of(chart.render(value_set("monitored"), name=RELEASE, namespace=NAMESPACE))
    rule = named(objects, "PrometheusRule", f"{RELEASE}-headroom-probe-one")
    jsonschema.validate(rule, SCHEMAS["PrometheusRule"])
    assert rule["spec"] == rules
    assert json.loads(named(objects, "ConfigMap", f"{RELEASE}-headroom-dashboard-probe-one")["data"]["probe_one.json"]) == dashboard


def test_a_package_renders_the_same(tmp_path):
    """The archive holds everything that the folder does: nothing is ignored that a template reads."""
    archive = helm.package(CHART, destination=tmp_path)
    with helm.Chart.load(archive) as chart:
        for name in ("download", "monitored"):
            assert chart.render(value_set(name), name=RELEASE, namespace=NAMESPACE) == render_texts(value_set(name))


def test_as_a_part_of_another_chart(tmp_path):
    """Helm hands `global` to charts below; the closed schema must let it."""
    parent = tmp_path / "umbrella"
    (parent / "charts").mkdir(parents=True)
    shutil.copytree(CHART, parent / "charts" / "headroom")
    (parent / "Chart.yaml").write_text("{apiVersion: v2, name: umbrella, version: 1.0.0}\n")
    with helm.Chart.load(parent) as chart:
        texts = chart.render({"global": {"region": "x"}, "headroom": value_set("minimal")}, name=RELEASE, namespace=NAMESPACE)
    assert len(deployments(objects_of(texts))) == 4


def test_values_written_by_hand_and_by_flag_are_the_same():
    """--set gives integers where files give floats; large ones must come out as integers in both cases."""
    text = "visionPools[0].name=v,visionPools[0].cpu=1,visionPools[0].device.memory=4294967296,visionPools[0].settings.patches_in_flight_max=1024000000"
    by_flag = helm.parse_set_string(text)
    by_file = helm.values_from_yaml(yaml.safe_dump(by_flag))
    assert render_texts(value_set("minimal") | by_flag) == render_texts(value_set("minimal") | by_file)
    assert "patches_in_flight_max: 1024000000\n" in render_texts(value_set("minimal") | by_flag)["headroom/templates/pools.yaml"]


KUBERNETES_OBJECTS = {"environment": "EnvVar", "mounts": "VolumeMount", "volume": "Volume", "modelVolume": "Volume", "initContainers": "Container",
                      "toleration": "Toleration", "affinity": "Affinity"}


@pytest.mark.parametrize("name", KUBERNETES_OBJECTS)
@pytest.mark.parametrize("version", KUBERNETES)
def test_what_is_passed_on_is_kubernetes_own(name, version):
    """Every key that the values' schema takes for an object of Kubernetes is one of its, at every level, and what must be there must be here as well."""
    ours = json.loads((CHART / "values.schema.json").read_text())["definitions"]
    theirs = kubernetes_validate.utils.schema_contents(f"kubernetes-json-schema/v{version}.0-local/_definitions.json", version)["$defs"]
    compared = []

    def compare(mine, other, path):
        mine = ours[mine["$ref"].rpartition("/")[2]] if "$ref" in mine else mine
        other = theirs[other["$ref"].rpartition("/")[2]] if "$ref" in other else other
        if "items" in mine:
            compare(mine["items"], other["items"], path + "[]")
        for key, child in mine.get("properties", {}).items():
            assert key in other.get("properties", {}) or "additionalProperties" in other, f"{path}.{key}"
            compared.append(key)
            compare(child, other["properties"][key] if "properties" in other else other["additionalProperties"], f"{path}.{key}")
        if "properties" in mine:
            # The name of the model's volume is the chart's.
            wanted = set(other.get("required", [])) - ({"name"} if name == "modelVolume" else set())
            assert wanted <= set(mine.get("required", [])), path

    mine, other = ours[name], theirs[f"io.k8s.api.core.v1.{KUBERNETES_OBJECTS[name]}"]
    compare(mine["items"] if "items" in mine else mine, other, name)
    assert len(compared) >= 5
