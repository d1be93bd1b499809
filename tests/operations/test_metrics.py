"""What the services show under load, held against the catalogue (docs/metrics.md) and against the sums that must hold."""
import collections
import pathlib
import re
import subprocess

import pytest
from cluster import binary_dir

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "metrics.md"
SERIES_MAX = 500
# All four services in one process.
SERIES_MAX_UP = 800
# Of each reason, from the page.
CODES = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", (ROOT / "docs" / "refusals.md").read_text(), flags=re.MULTILINE))


def catalogue():
    """name → type, unit, labels (name → set of values, or None when open), services, meaning: from the page."""
    rows = {}
    long_sets = dict(re.findall(r"^- `(\w+)`: (.*)$", PAGE.read_text(), flags=re.MULTILINE))
    for line in PAGE.read_text().splitlines():
        if not line.startswith("| `"):
            continue
        name, kind, unit, labels, services, meaning = [cell.strip() for cell in line[1:].rstrip("| ").split("|")]
        declared = {}
        for part in filter(None, labels.split("; ")):
            label, values = re.fullmatch(r"`(\w+)`: (.*)", part).groups()
            values = long_sets[label] if values == "see below" else values
            declared[label] = None if values.startswith("one for each ") else set(values.split(", "))
        everyone = {"gateway", "scheduler", "vision-worker", "llm-worker"}
        rows[name.strip("`")] = (kind, unit, declared, everyone if services == "all" else set(services.split(", ")), meaning)
    return rows


def test_page_is_what_the_program_prints():
    printed = subprocess.run([binary_dir() / "headroom", "metrics"], capture_output=True, text=True, check=True).stdout
    assert PAGE.read_text() == printed, "run: headroom metrics > docs/metrics.md"
    assert len(catalogue()) > 70


def test_every_method_of_the_protocols_has_its_label():
    methods = {(service, method) for path in (ROOT / "proto" / "headroom" / "v1").glob("*.proto")
               for service, body in re.findall(r"^service (\w+) \{(.*?)^\}", path.read_text(), flags=re.MULTILINE | re.DOTALL)
               for method in re.findall(r"^  rpc (\w+)\(", body, flags=re.MULTILINE)}
    assert len(methods) >= 12
    labels = catalogue()["headroom_grpc_server_calls_total"][2]
    for service, method in methods:
        assert service in labels["service"] and method in labels["method"], f"{service}/{method} would count as other"


# Shown with device.kind cuda, which these services do not have (worker/device_watch_test does).
OF_A_CARD = "headroom_card_"


def last_scrapes(observed):
    return [(service, scrapes[-1]) for service, scrapes in observed.scrapes.items()]


def services_of(observed, service):
    return {"gateway", "scheduler", "vision-worker", "llm-worker"} if observed.mode == "up" else {service}


def test_every_metric_of_the_page_is_shown_and_no_other(observed):
    rows = catalogue()
    for service, scrape in last_scrapes(observed):
        here = services_of(observed, service)
        wanted = {name for name, row in rows.items() if row[3] & here and not name.startswith(OF_A_CARD)}
        shown = set(scrape.families)
        assert shown == wanted, f"{service}: missing {wanted - shown}, not declared {shown - wanted}"


def test_types_help_labels_and_values_are_as_declared(observed):
    rows = catalogue()
    for _, scrape in last_scrapes(observed):
        for name, (kind, help_text, samples) in scrape.families.items():
            declared_kind, unit, labels, _, meaning = rows[name]
            assert (kind, help_text) == (declared_kind, meaning), name
            assert samples, name
            for sample, given, value in samples:
                given = {label: text for label, text in given.items() if not (kind == "histogram" and label == "le")}
                assert given.keys() == labels.keys(), (sample, given)
                for label, text in given.items():
                    assert labels[label] is None or text in labels[label], (sample, label, text)
                if unit == "ratio":
                    assert 0 <= value <= 1, (sample, given, value)
                if unit in ("info", "state"):
                    assert value in (0, 1) and (unit == "state" or value == 1), (sample, given, value)
                assert value >= 0, (sample, given, value)


def test_no_series_twice_and_not_too_many(observed):
    for service, scrape in last_scrapes(observed):
        series = [(sample, tuple(sorted(labels.items()))) for _, _, samples in scrape.families.values() for sample, labels, _ in samples]
        assert len(series) == len(set(series)), service
        print(f"{service}: {len(series)} series")
        assert len(series) <= (SERIES_MAX_UP if observed.mode == "up" else SERIES_MAX)


def test_what_clients_send_makes_no_series(observed):
    """Between two scrapes under the same kind of load only series of gRPC codes may appear."""
    for service, scrapes in observed.scrapes.items():
        def names(scrape):
            return {(sample, tuple(sorted(labels.items()))) for name, (_, _, samples) in scrape.families.items()
                    for sample, labels, _ in samples if "_grpc_" not in name}
        assert names(scrapes[-1]) == names(scrapes[0]), service


def test_counters_only_grow(observed):
    for service, scrapes in observed.scrapes.items():
        for name, (kind, _, _) in scrapes[0].families.items():
            if kind == "gauge":
                continue
            for before, after in zip(scrapes, scrapes[1:]):
                later = {(sample, tuple(sorted(labels.items()))): value for sample, labels, value in after.samples(name)}
                for sample, labels, value in before.samples(name):
                    if kind == "counter" or sample.endswith(("_count", "_bucket", "_sum")):
                        assert later[(sample, tuple(sorted(labels.items())))] >= value, (service, sample, labels)


def device_scrapes(observed):
    for scrapes in observed.scrapes.values():
        for scrape in scrapes:
            if "headroom_memory_device_bytes" in scrape.families:
                yield scrape


def test_components_sum_to_the_device_in_every_scrape(observed):
    count = 0
    for scrape in device_scrapes(observed):
        count += 1
        (device, total), = [(labels["device"], value) for _, labels, value in scrape.samples("headroom_memory_device_bytes")]

        def lines(name):
            return {labels["component"]: value for _, labels, value in scrape.samples(f"headroom_memory_{name}_bytes") if labels["device"] == device}
        planned, reserved, used, high_water = (lines(name) for name in ("planned", "reserved", "used", "high_water"))
        assert sum(planned.values()) == total
        for component in planned:
            assert 0 <= used[component] <= reserved[component] <= planned[component], component
            assert used[component] <= high_water[component] <= planned[component], component

        def one(name):
            return scrape.samples(f"headroom_memory_{name}_bytes")[0][2]
        assert one("device_used") == sum(used.values())
        # What reports no use of its own counts as its reservation.
        unseen = sum(reserved[component] - used[component] for component in ("libraries", "graphs", "context_floor", "other_processes", "headroom"))
        assert one("headroom") == total - unseen - sum(used.values())
        assert one("headroom_low_water") == total - unseen - one("device_high_water") <= one("headroom")
        assert unseen > 0 and one("headroom_low_water") > 0
    assert count >= 8


def test_the_load_was_seen(observed):
    """Numbers that the clients know as well."""
    gateway = observed.scrapes["gateway"][-1]
    outcomes = collections.Counter()
    for _, labels, value in gateway.samples("headroom_gateway_requests_total"):
        outcomes[labels["outcome"]] += value
    print(f"clients: {dict(observed.load.outcomes)}; gateway: {outcomes}")
    for outcome in ("ok", "cancelled", "invalid_argument"):
        assert outcomes[outcome] > 0, outcomes
    refused = collections.Counter()
    for _, labels, value in gateway.samples("headroom_gateway_refusals_total"):
        refused[CODES[labels["reason"]].lower()] += value
    assert refused.total() > 0, "the load must be more than the cluster takes"
    for outcome, count in refused.items():
        assert count <= outcomes[outcome], (outcome, refused, outcomes)
    assert all(value > 0 for _, labels, value in gateway.samples("headroom_gateway_time_per_output_token_seconds") if labels.get("le") == "+Inf")


def test_promtool_finds_nothing_to_blame(observed):
    for service, scrape in last_scrapes(observed):
        check = subprocess.run(["promtool", "check", "metrics"], input=scrape.text, capture_output=True, text=True)
        assert check.returncode == 0, f"{service}: {check.stdout}{check.stderr}"


@pytest.mark.parametrize("name", ["headroom_process_resident_bytes", "headroom_host_available_bytes"])
def test_the_machine_is_measured(observed, name):
    seen = [value for _, scrape in last_scrapes(observed) if name in scrape.families for _, _, value in scrape.samples(name)]
    assert seen and all(value > 1 << 20 for value in seen), seen
