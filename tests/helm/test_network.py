"""The NetworkPolicies as a matrix: who may open a connection to whom. A connection needs the caller's egress and the callee's ingress, as Kubernetes
has it: a pod that a policy selects for a direction may do there only what some policy allows."""
import itertools

import pytest
from chart import NAMESPACE, RELEASE, SERVICES, VALUE_SETS, component, of_kind, pod_template, render, render_set, value_set

PORTS = {"gateway": (7700, 7710), "scheduler": (7701, 7711), "vision-worker": (7702, 7712), "llm-worker": (7703, 7713)}
HTTP = 7720


def selects(selector, labels):
    assert not selector.get("matchExpressions"), "not understood by this test"
    return selector.get("matchLabels", {}).items() <= labels.items()


def peer_matches(peer, pod):
    if "ipBlock" in peer:
        return pod["namespace"] is None
    if pod["namespace"] is None:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": pod["namespace"]}):
            return False
    elif pod["namespace"] != NAMESPACE:
        return False
    return selects(peer.get("podSelector", {}), pod["labels"])


def allowed(policies, direction, pod, other, port, protocol):
    """Whether `pod` may have the connection in its direction: rules name the other side in `from` or `to`."""
    if pod["namespace"] != NAMESPACE:
        return True
    mine = [one["spec"] for one in policies if direction in one["spec"]["policyTypes"] and selects(one["spec"]["podSelector"], pod["labels"])]
    if not mine:
        return True
    key, side = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}[direction]
    for rule in itertools.chain.from_iterable(spec.get(key, []) for spec in mine):
        ports = rule.get("ports")
        if ports and not any(one["port"] == port and one.get("protocol", "TCP") == protocol for one in ports):
            continue
        if side not in rule or any(peer_matches(peer, other) for peer in rule[side]):
            return True
    return False


def connects(policies, caller, callee, port, protocol="TCP"):
    return allowed(policies, "Egress", caller, callee, port, protocol) and allowed(policies, "Ingress", callee, caller, port, protocol)


def pods_of(objects):
    found = {}
    for one in objects:
        if pod_template(one):
            metadata = pod_template(one)[0]
            found.setdefault(component(metadata), {"namespace": NAMESPACE, "labels": metadata["labels"]})
    return found


OUTSIDE = {
    "neighbour": {"namespace": NAMESPACE, "labels": {"app": "web"}},
    "prometheus": {"namespace": "monitoring", "labels": {"app.kubernetes.io/name": "prometheus"}},
    "stranger": {"namespace": "other", "labels": {"app.kubernetes.io/component": "gateway", "app.kubernetes.io/name": "headroom",
                                                  "app.kubernetes.io/instance": RELEASE}},
    "dns": {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
    "internet": {"namespace": None, "labels": {}},
}


def matrix(objects):
    """{(caller, callee, port)} over all pods of the chart and some others, all ports of the services, 443 and 53."""
    policies = of_kind(objects, "NetworkPolicy")
    pods = pods_of(objects) | OUTSIDE
    ports = sorted({port for pair in PORTS.values() for port in pair} | {HTTP, 80, 443})
    open_ones = set()
    for caller, callee in itertools.permutations(pods, 2):
        if caller in OUTSIDE and callee in OUTSIDE:
            continue
        open_ones |= {(caller, callee, port) for port in ports if connects(policies, pods[caller], pods[callee], port)}
    return open_ones


CALLS = {("gateway", "scheduler", 7701), ("vision-worker", "scheduler", 7701), ("llm-worker", "scheduler", 7701), ("gateway", "vision-worker", 7702),
         ("llm-worker", "vision-worker", 7702), ("gateway", "llm-worker", 7703), ("test", "gateway", 7700)}
SCRAPES = {("prometheus", service, PORTS[service][1]) for service in SERVICES}


def test_exactly_the_calls_that_services_make():
    # Pods of the same namespace are the gateway's clients, but those of the chart itself may not dial out to it.
    assert matrix(render_set("minimal")) == CALLS | SCRAPES | {("neighbour", "gateway", 7700), ("neighbour", "gateway", HTTP)}


def test_only_downloads_reach_out():
    found = matrix(render_set("download"))
    assert {one for one in found if one[1] == "internet"} == {("download", "internet", 443)}
    # An ingress policy of their own namespaces is theirs; nobody reaches the download.
    assert not {one for one in found if one[1] == "download"}


def test_a_download_reaches_a_proxy_where_it_is_let():
    policies = of_kind(render_set("extended"), "NetworkPolicy")
    pods = pods_of(render_set("extended"))
    reached = {port for port in (80, 443, 3128) if connects(policies, pods["download"], OUTSIDE["internet"], port)}
    assert reached == {443, 3128}
    assert not connects(policies, pods["gateway"], OUTSIDE["internet"], 3128)


def test_clients_and_monitoring_are_as_given():
    values = value_set("minimal") | {"networkPolicy": {"clients": [], "monitoring": []}}
    assert matrix(render(values)) == CALLS
    values = value_set("minimal") | {"networkPolicy": {"clients": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}}
    assert {one for one in matrix(render(values)) if one[0] == "internet"} == {("internet", "gateway", 7700), ("internet", "gateway", HTTP)}


def test_dns_for_those_who_dial_names():
    objects = render_set("minimal")
    policies, pods = of_kind(objects, "NetworkPolicy"), pods_of(objects)
    for protocol in ("TCP", "UDP"):
        asking = {name for name, pod in pods.items() if connects(policies, pod, OUTSIDE["dns"], 53, protocol)}
        assert asking == {"gateway", "vision-worker", "llm-worker", "test"}


def test_without_policies_everything_is_open():
    assert ("internet", "llm-worker", 7703) in matrix(render_set("bare"))


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_pod_is_selected(name):
    objects = render_set(name)
    policies = [one["spec"] for one in of_kind(objects, "NetworkPolicy")]
    if name == "bare":
        assert policies == []
        return
    for pod in pods_of(objects).values():
        for direction in ("Ingress", "Egress"):
            assert any(selects(spec["podSelector"], pod["labels"]) and direction in spec["policyTypes"] for spec in policies)
