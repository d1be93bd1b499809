"""Values that people of Kubernetes write, after public reports of other charts (cases/ says which), and the classes that they stand for."""
import copy
import math
import os
import random
import re
from fractions import Fraction

import helm_python as helm
import pytest
import yaml
from chart import CHART, HERE, NAMESPACE, RELEASE, named, objects_of, of_kind, pod_template, render, value_set
from test_bad_values import overlay
from test_render import every_valid, restricted_violations

CASES = sorted(path.stem for path in (HERE / "cases").glob("*.yaml"))
SEED = int(os.environ.get("HEADROOM_TEST_SEED", random.randrange(1 << 30)))
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


def case(name):
    return yaml.safe_load((HERE / "cases" / f"{name}.yaml").read_text())


def minimal(values):
    return overlay(copy.deepcopy(value_set("minimal")), values)


def pods_of(objects):
    """{kind/name: pod spec}"""
    return {f"{one['kind']}/{one['metadata']['name'].removeprefix(RELEASE + '-headroom-')}": pod_template(one)[1] for one in objects if pod_template(one)}


@pytest.mark.parametrize("name", CASES)
def test_reported_values_install(name):
    objects = render(case(name))
    every_valid(objects)
    for pod, spec in pods_of(objects).items():
        assert restricted_violations(spec) == [], pod


IDS = ("runAsUser", "runAsGroup", "fsGroup")


@pytest.mark.parametrize("unset", [(), ("runAsUser",), ("runAsGroup", "fsGroup"), IDS])
def test_unset_users_are_left_to_the_cluster(unset):
    """In every pod, Jobs and tests included: no 0, which is root and which the kubelet refuses beside runAsNonRoot."""
    values = value_set("download") | {"security": {key: None for key in unset}}
    contexts = [spec["securityContext"] for spec in pods_of(render(values)).values()]
    assert len(contexts) >= 10
    for context in contexts:
        assert {key: context.get(key) for key in IDS} == {key: None if key in unset else 65532 for key in IDS}
        assert not set(unset) & set(context) and context["runAsNonRoot"] is True


def umbrella(folder, values, dependency=""):
    """The chart below another one, with the other's values for it."""
    (folder / "charts").mkdir(parents=True)
    (folder / "charts" / "headroom").symlink_to(CHART)
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: umbrella, version: 1.0.0" + dependency + "}\n")
    with helm.Chart.load(folder) as chart:
        return objects_of(chart.render({"headroom": values}, name=RELEASE, namespace=NAMESPACE))


def test_unset_users_below_another_chart(tmp_path):
    for spec in pods_of(umbrella(tmp_path, minimal({"security": None}))).values():
        assert not set(IDS) & set(spec["securityContext"])


def test_enabled_is_helms(tmp_path):
    condition = ", dependencies: [{name: headroom, version: 0.1.0, condition: headroom.enabled}]"
    values = case("enabled")
    on, off = umbrella(tmp_path / "on", values, condition), umbrella(tmp_path / "off", values | {"enabled": False}, condition)
    del values["enabled"]
    assert on == umbrella(tmp_path / "without", values) and len(on) > 10
    assert off == []


def leaves(node, path=()):
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, path + (key,))
        yield path + (key,), value


def at(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


EMPTY = [path for path, value in leaves(DEFAULTS) if value in ("", {}, []) and not isinstance(value, bool)]
FULL = [path for path, value in leaves(DEFAULTS) if value not in ("", {}, []) or isinstance(value, bool)]
# What may be null although it has a default: nothing is then a meaning of its own.
UNSETTABLE = {("enabled",), ("visionPools",), ("security",), *(("security", key) for key in IDS), ("networkPolicy", "clients"), ("networkPolicy", "monitoring"),
              ("monitoring", "dashboards", "labels"), ("monitoring", "dashboards", "labels", "grafana_dashboard"),
              ("gateway", "scheduling"), ("scheduler", "scheduling"), ("gateway", "service", "nodePort")}


def test_null_is_empty_where_empty_is_allowed():
    values = {}
    for path in EMPTY:
        if path != ("model", "claim", "name"):
            overlay(values, at(path, None))
    assert render(minimal(values)) == render(value_set("minimal"))
    assert len(EMPTY) > 30


@pytest.mark.parametrize("path", [path for path in FULL if path not in UNSETTABLE], ids=".".join)
def test_null_is_refused_where_something_must_be(path):
    """It deletes the default; a template would make 0, "" or false of it."""
    with pytest.raises(helm.HelmError) as error:
        render(minimal(at(path, None)))
    assert f"missing property '{path[-1]}'" in str(error.value)
    assert len(path) == 1 or f"at '/{'/'.join(path[:-1])}'" in str(error.value)


@pytest.mark.parametrize("path", sorted(UNSETTABLE), ids=".".join)
def test_null_where_nothing_has_a_meaning(path):
    every_valid(render(minimal(at(path, None))))


def plan_memory(value):
    """Bytes that a pod gets for a value of planCheck.memory, rounded up to MiB by the chart."""
    job = named(render(minimal({"planCheck": {"memory": value}})), "Job", f"{RELEASE}-headroom-plan")
    text = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    return int(re.fullmatch(r"([0-9]+)Mi", text)[1]) << 20


@pytest.mark.parametrize("value, wanted", [
    (1 << 30, 1 << 30), (str(1 << 30), 1 << 30), ("512MiB", 512 << 20), ("512 MiB", 512 << 20), ("512Mi", 512 << 20), ("2Gi", 2 << 30),
    ("1.5Gi", 1536 << 20), ("1.5GiB", 1536 << 20), ("0.25Ti", 1 << 38), ("1048576Ki", 1 << 30), ("1.1Gi", 1127 << 20), ("2G", 1908 << 20), ("500M", 477 << 20),
    ("3000k", 3 << 20), ("64Ti", 1 << 46), ("1", 1 << 20)])
def test_memory_as_people_write_it(value, wanted):
    assert plan_memory(value) == wanted


@pytest.mark.parametrize("value, wanted", [(0.5, "500m"), ("0.5", "500m"), ("500m", "500m"), (2, "2"), ("2", "2"), (2.0, "2"), ("2000m", "2"), ("1500m", "1500m"),
                                           (1.25, "1250m"), (0.001, "1m"), (1024, "1024")])
def test_cpu_as_people_write_it(value, wanted):
    objects = render(minimal({"gateway": {"cpu": value}}))
    requests = pods_of(objects)["Deployment/gateway"]["containers"][0]["resources"]["requests"]
    assert str(requests["cpu"]) == wanted


UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {f"{letter}i{end}": 1 << 10 * power
                                                                     for power, letter in enumerate("KMGT", 1) for end in ("", "B")}


def test_random_amounts():
    """Against exact arithmetic: sizes of volumes, which the chart rounds up to MiB, and cores."""
    print("seed", SEED)
    source = random.Random(SEED)
    sizes, cores = [], []
    while len(sizes) < 200:
        unit = source.choice(list(UNITS))
        number = str(source.randrange(1, 10 ** source.randrange(1, 8)))
        if unit and source.random() < 0.5:
            number += "." + str(source.randrange(1000)).zfill(3)
        bytes_ = math.ceil(Fraction(number) * UNITS[unit])
        if 1 <= bytes_ <= 1 << 46:
            sizes.append((number + unit, -(-bytes_ >> 20)))
    for _ in range(50):
        thousandths = source.randrange(1, 1024001)
        cores.append((source.choice([f"{thousandths}m", thousandths / 1000, str(thousandths / 1000)]), thousandths))
    objects = render(minimal({"gateway": {
        "extraVolumes": [{"name": f"v{index}", "emptyDir": {"sizeLimit": text}} for index, (text, _) in enumerate(sizes)],
        "initContainers": [{"name": f"c{index}", "image": "a:1", "resources": {"requests": {"cpu": text}}} for index, (text, _) in enumerate(cores)]}}))
    spec = pods_of(objects)["Deployment/gateway"]
    shown = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"] if "emptyDir" in volume}
    for index, (text, wanted) in enumerate(sizes):
        assert shown[f"v{index}"] == f"{wanted}Mi", text
    for (text, wanted), one in zip(cores, spec["initContainers"], strict=True):
        got = one["resources"]["requests"]["cpu"]
        assert (int(got[:-1]) if got.endswith("m") else int(got) * 1000) == wanted, text


def test_services_read_bytes():
    """Services know fewer ways to write an amount than the chart does: they get bytes."""
    settings = {"gateway": {"settings": {"receive_bytes_max": "0.5Gi", "host_bytes_max": "3G"}}, "scheduler": {"settings": {"history_bytes_max": "100.0001Ki"}}}
    objects = render(minimal(settings))

    def config(name):
        return yaml.safe_load(named(objects, "ConfigMap", f"{RELEASE}-headroom-{name}")["data"]["headroom.yaml"])

    gateway = config("gateway")["gateway"]
    assert (gateway["receive_bytes_max"], gateway["host_bytes_max"]) == (1 << 29, 3 * 10**9)
    assert config("vision")["gateway"] == {"receive_bytes_max": 1 << 29}
    assert config("scheduler")["scheduler"]["history_bytes_max"] == 102401
    limit = pods_of(objects)["Deployment/gateway"]["containers"][0]["resources"]["limits"]["memory"]
    assert int(limit.removesuffix("Mi")) << 20 >= 3 * 10**9 + (768 << 20)


SCHEDULING = ("nodeSelector", "tolerations", "affinity", "priorityClassName", "runtimeClassName")


def scheduling_of(spec):
    return {key: spec[key] for key in SCHEDULING if key in spec}


def test_every_pod_can_run_where_all_nodes_are_tainted():
    """Jobs before the install and the pods of `helm test` as well."""
    values = case("tainted-nodes")
    wanted = values["gateway"]["scheduling"]
    pods = pods_of(render(overlay(value_set("download"), values)))
    assert {"Job/plan", "Job/download", "Pod/test-ask", "Deployment/vision"} < set(pods)
    for pod, spec in pods.items():
        assert scheduling_of(spec) == wanted, pod


NODES = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}
APART = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}]}
ON_GPUS = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def with_scheduling(**own):
    values = value_set("download")
    pool = {"cpu": 4, "device": {"memory": "24GiB"}}
    values["llmPools"] = [
        pool | {"name": "first", "backend": "cuda", "scheduling": {"nodeSelector": {"gpu": "l4"}, "affinity": {"nodeAffinity": NODES, "podAntiAffinity": APART},
                                                                   "tolerations": [{"key": "team", "operator": "Exists"}], "priorityClassName": "serving"}},
        pool | {"name": "second", "scheduling": {"nodeSelector": {"gpu": "none"}}}]
    values["gateway"] = {"scheduling": {"nodeSelector": {"pool": "edge"}, "affinity": {"podAntiAffinity": APART}}}
    overlay(values, {"model": {"download": {"scheduling": own}}, "planCheck": {"scheduling": own}, "tests": {"scheduling": own}})
    objects = render(values)
    every_valid(objects)
    pods = {name: scheduling_of(spec) for name, spec in pods_of(objects).items()}
    assert pods["Deployment/first"]["affinity"] == {"nodeAffinity": NODES, "podAntiAffinity": APART}
    assert pods["Job/plan"] == pods["Job/download"] and pods["Pod/test-idle"] == pods["Pod/test-ask"]
    return pods["Job/plan"], pods["Pod/test-ask"]


def test_jobs_go_where_the_first_llm_pool_is():
    """Its nodes, their taints included; not its distance from other pods, which are there while an upgrade's Job runs. Test pods: the gateway's."""
    job, test = with_scheduling()
    assert job == {"nodeSelector": {"gpu": "l4"}, "affinity": {"nodeAffinity": NODES}, "tolerations": [ON_GPUS, {"key": "team", "operator": "Exists"}],
                   "priorityClassName": "serving"}
    assert test == {"nodeSelector": {"pool": "edge"}}


def test_own_scheduling_wins_by_key():
    job, test = with_scheduling(nodeSelector={"jobs": "here"}, tolerations=[])
    assert job == {"nodeSelector": {"jobs": "here"}, "affinity": {"nodeAffinity": NODES}, "priorityClassName": "serving"}
    assert test == {"nodeSelector": {"jobs": "here"}}
    job, test = with_scheduling(nodeSelector={}, affinity={"podAffinity": APART})
    assert job == {"affinity": {"podAffinity": APART}, "tolerations": [ON_GPUS, {"key": "team", "operator": "Exists"}], "priorityClassName": "serving"}
    assert test == {"affinity": {"podAffinity": APART}}


@pytest.mark.parametrize("kind, fields", [
    ("LoadBalancer", {"loadBalancerSourceRanges": ["10.0.0.0/8", "fd00::/8"], "loadBalancerClass": "service.k8s.aws/nlb", "externalTrafficPolicy": "Local"}),
    ("NodePort", {"externalTrafficPolicy": "Cluster"}),
    ("ClusterIP", {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}),
    ("ClusterIP", {"ipFamilies": ["IPv6"]}),
    ("ClusterIP", {"ipFamilyPolicy": "PreferDualStack"})])
def test_fields_of_the_service(kind, fields):
    objects = render(minimal({"gateway": {"service": {"type": kind, "headless": True, "labels": {"team": "vision"}} | fields}}))
    every_valid(objects)
    service, headless = (named(objects, "Service", f"{RELEASE}-headroom-{name}") for name in ("gateway", "gateway-headless"))
    assert {key: service["spec"].get(key) for key in fields} == fields
    assert {key: headless["spec"].get(key) for key in fields} == {key: value if key.startswith("ip") else None for key, value in fields.items()}
    for one in (service, headless):
        assert one["metadata"]["labels"]["team"] == "vision" and "team" not in one["spec"]["selector"]


def test_node_port():
    values = {"gateway": {"service": {"type": "NodePort", "nodePort": 30770}}}
    port, = named(render(minimal(values)), "Service", f"{RELEASE}-headroom-gateway")["spec"]["ports"]
    assert port["nodePort"] == 30770 and port["port"] == 7700
    values["gateway"]["service"]["nodePort"] = 0
    assert "nodePort" not in named(render(minimal(values)), "Service", f"{RELEASE}-headroom-gateway")["spec"]["ports"][0]


COMPONENTS = {"gateway": "Deployment/gateway", "scheduler": "Deployment/scheduler", "llm": "Deployment/llm", "vision": "Deployment/vision",
              "download": "Job/download", "planCheck": "Job/plan", "tests": "Pod/test-ask"}


def with_extras(**extras):
    """The same additions everywhere: objects of the download set, which has every kind of pod."""
    values = value_set("download")
    pool = {"cpu": 4, "device": {"memory": "4GiB"}} | extras
    values |= {"llmPools": [pool | {"name": "llm"}], "visionPools": [pool | {"name": "vision"}]}
    overlay(values, {"gateway": extras, "scheduler": extras, "planCheck": extras, "tests": extras, "model": {"download": extras}})
    objects = render(values)
    every_valid(objects)
    return objects


def test_variables_and_volumes_reach_every_pod():
    variable = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    volume, mount = {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "scratch", "mountPath": "/scratch"}
    pods = pods_of(with_extras(extraEnv=[variable], extraVolumes=[volume], extraVolumeMounts=[mount]))
    assert set(COMPONENTS.values()) < set(pods)
    for pod, spec in pods.items():
        assert {"name": "scratch", "emptyDir": {"sizeLimit": "1024Mi"}} in spec["volumes"], pod
        for one in spec["containers"]:
            assert variable in one["env"] and mount in one["volumeMounts"], pod
            # Those of the chart come first, so that later ones may refer to them.
            assert [env["name"] for env in one["env"]][-1] == "NODE"


def test_init_containers_run_before_every_pod():
    """As restricted as the pod itself, and with the resources of the container that they come before."""
    given = {"name": "first", "image": "mirror/busybox:1.36", "command": ["true"]}
    for pod, spec in pods_of(with_extras(initContainers=[given])).items():
        one, = spec["initContainers"]
        assert one.items() >= given.items()
        main = spec["containers"][0]["resources"]
        assert one["resources"] == {kind: {key: main[kind][key] for key in main[kind] if key in ("cpu", "memory")} for kind in main}, pod
        assert one["securityContext"] == spec["containers"][0]["securityContext"]


def test_init_containers_keep_what_they_say():
    given = {"name": "own", "image": "mirror/busybox:1.36", "imagePullPolicy": "Never", "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
             "resources": {"requests": {"cpu": 0.25}, "limits": {"memory": "1.5GiB", "example.com/disk": 1}}}
    one, = pods_of(render(minimal({"gateway": {"initContainers": [given]}})))["Deployment/gateway"]["initContainers"]
    assert one["imagePullPolicy"] == "Never"
    assert one["resources"] == {"requests": {"cpu": "250m"}, "limits": {"memory": "1536Mi", "example.com/disk": "1"}}
    assert one["securityContext"].items() >= {"runAsUser": 0, "runAsNonRoot": False, "readOnlyRootFilesystem": True}.items()


def test_labels_and_annotations_by_component():
    """On the object and its pods; the component's own win over those of all pods, and selectors are untouched."""
    values = value_set("download") | {"podLabels": {"team": "all", "tier": "x"}, "podAnnotations": {"note": "all"}}
    before = render(values)
    named_apart = {"labels": {"team": "own", "tier": ""}, "annotations": {"note": "own", "more": "yes"}}
    overlay(values, {"gateway": named_apart, "planCheck": named_apart, "tests": named_apart, "model": {"download": named_apart}})
    objects = render(values)
    every_valid(objects)
    for old, one in zip(before, objects, strict=True):
        if not pod_template(one):
            assert old == one
            continue
        metadata = pod_template(one)[0]
        own = not one["metadata"]["name"].endswith(("-scheduler", "-llm", "-vision"))
        assert metadata["labels"].items() >= ({"team": "own", "tier": ""} if own else {"team": "all", "tier": "x"}).items()
        assert metadata["annotations"].items() >= ({"note": "own", "more": "yes"} if own else {"note": "all"}).items()
        assert (one["metadata"]["labels"].get("team") == "own") == own
        assert old["spec"].get("selector") == one["spec"].get("selector")


def memory_of(objects, name):
    return int(pods_of(objects)[name]["containers"][0]["resources"]["limits"]["memory"].removesuffix("Mi")) << 20


def test_what_is_in_memory_is_in_the_pods_memory():
    """Pages of a volume in memory count against the limit of the container that writes them."""
    small, large = (with_extras(extraVolumes=[{"name": "a", "emptyDir": {"medium": medium, "sizeLimit": "1.5Gi"}}]) for medium in ("", "Memory"))
    for name in COMPONENTS.values():
        assert memory_of(large, name) - memory_of(small, name) == 1536 << 20, name


def test_shm_of_gpu_pools():
    def pool(**device):
        pools = [{"name": "llm", "backend": "cuda", "cpu": 4, "device": {"memory": "24GiB"} | device}]
        objects = render(minimal({"llmPools": pools}))
        every_valid(objects)
        return objects

    plain, larger = pool(), pool(shmSize="2GiB")
    assert memory_of(larger, "Deployment/llm") - memory_of(plain, "Deployment/llm") == 2 << 30
    spec = pods_of(larger)["Deployment/llm"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2048Mi"}} in spec["volumes"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in spec["containers"][0]["volumeMounts"]
    assert "/dev/shm" not in str(pods_of(plain)["Deployment/llm"])


def test_gpu_pools_stand_apart():
    """The GPU, its RuntimeClass and its image belong to the pool that has it; a start that is refused is told by Kubernetes."""
    objects = render(case("gpu"))
    specs = {name: spec for name, spec in pods_of(objects).items() if name.startswith("Deployment/")}
    for name, spec in specs.items():
        container, is_gpu = spec["containers"][0], name == "Deployment/llm"
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == is_gpu, name
        assert (spec.get("runtimeClassName") == "nvidia") == is_gpu, name
        assert container["image"].startswith("registry.example/headroom-cuda:") == is_gpu, name
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", name
    # The plan's Job goes to the node that has the volume, and takes no GPU there.
    assert "nvidia.com/gpu" not in str(pods_of(objects)["Job/plan"]["containers"])


@pytest.mark.parametrize("source", [{"hostPath": {"path": "/data/models", "type": "Directory"}}, {"nfs": {"server": "nfs.example", "path": "/models"}},
                                    {"csi": {"driver": "csi.example", "volumeAttributes": {"bucket": "models"}}}])
def test_the_model_on_another_volume(source):
    """Every pod that reads the model has it there, read-only, and nothing names a claim."""
    objects = render({"model": {"volume": source}})
    every_valid(objects)
    assert "persistentVolumeClaim" not in str(objects) and not of_kind(objects, "PersistentVolumeClaim")
    mounted = {pod for pod, spec in pods_of(objects).items() if {"name": "model"} | source in spec["volumes"]}
    assert mounted == {"Deployment/gateway", "Deployment/llm", "Deployment/vision", "Job/plan"}
    for pod in mounted:
        for one in pods_of(objects)[pod]["containers"]:
            assert {"name": "model", "mountPath": "/models", "readOnly": True} in one["volumeMounts"]


def test_jobs_have_the_account_that_is_there_already():
    """One that the chart makes does not exist before the install."""
    objects = render(value_set("download") | {"serviceAccount": {"create": False, "name": "restricted"}})
    assert {spec["serviceAccountName"] for spec in pods_of(objects).values()} == {"restricted"}
    assert "serviceAccountName" not in pods_of(render(value_set("download")))["Job/plan"]
