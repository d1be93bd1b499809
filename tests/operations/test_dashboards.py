"""Every query of every panel answers with data from a real Prometheus that watched the services under load. Grafana itself is not run."""
import importlib.machinery
import importlib.util
import json
import math
import pathlib

import panels
import pytest
from draw import draw
from grafana import COLUMNS

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What Grafana would put in, for a scrape every second.
VARIABLES = {"$__rate_interval": "10s", "$job": "headroom", "$instance": ".*"}
PANELS = [(name, panel) for name, dashboard in panels.DASHBOARDS.items() for panel in dashboard.panels()]


def generator():
    loader = importlib.machinery.SourceFileLoader("generate", str(ROOT / "tools" / "dashboards" / "generate"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("generate", loader))
    loader.exec_module(module)
    return module


def test_the_committed_files_are_as_generated():
    texts = generator().texts()
    assert {path.name for path in texts} == {path.name for path in (ROOT / "deploy" / "grafana").glob("*.json")}
    for path, text in texts.items():
        assert path.read_text() == text, f"{path.name}: run tools/dashboards/generate"


@pytest.mark.parametrize("name", panels.DASHBOARDS)
def test_layout(name):
    """No panel lies over another or outside, and none is twice."""
    dashboard = json.loads((ROOT / "deploy" / "grafana" / f"{name}.json").read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert len(titles) == len(set(titles))
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def fill(expr):
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr


def finite(series):
    return [(labels, points) for labels, points in ((labels, [(t, v) for t, v in points if math.isfinite(v)]) for labels, points in series) if points]


def ask(observed, query):
    # The window of a rate must have filled before it says something.
    return finite(observed.prometheus.range(fill(query.expr), observed.began, observed.ended))


@pytest.mark.parametrize("name,panel", PANELS, ids=[f"{name}: {panel.title}" for name, panel in PANELS])
def test_every_query_has_data(observed, name, panel):
    if panel.cards:
        pytest.skip("of workers with a card: test_cards.py")
    for query in panel.queries:
        assert ask(observed, query), f"{name}, {panel.title}: no data for {query.expr}"
        if panel.kind in ("bargauge", "table"):
            assert observed.prometheus.instant(fill(query.expr)), query.expr


def test_plan_against_device_is_zero_at_every_scrape(observed):
    panel = next(panel for _, panel in PANELS if panel.title == "Plan against device")
    series = ask(observed, panel.queries[0])
    assert series and all(value == 0 for _, points in series for _, value in points)


def test_rules_evaluate_and_nothing_fires_that_must_not(observed):
    groups = observed.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) >= 20
    for rule in rules:
        assert rule["health"] == "ok", (rule["name"], rule.get("lastError"))
    # Too much load is refused, which may burn the error budget; memory and cluster are well.
    quiet = {"HeadroomBelowReserve", "HeadroomPlanDrift", "HeadroomNothingFits", "HeadroomOutsideUse", "HeadroomCardShared", "HeadroomQueueStuck", "HeadroomWorkerLost",
             "HeadroomNoWorker", "HeadroomServiceDown", "HeadroomDecoderCrashes"}
    alerts = {rule["name"]: rule for rule in rules if rule["type"] == "alerting"}
    assert quiet < alerts.keys()
    for name in quiet:
        assert alerts[name]["state"] != "firing", alerts[name]
    # These hold at every moment, not only for long.
    for name in ("HeadroomBelowReserve", "HeadroomPlanDrift", "HeadroomOutsideUse", "HeadroomCardShared"):
        assert alerts[name]["state"] == "inactive", alerts[name]


def test_recording_rules_have_data(observed):
    recorded = [rule["name"] for group in observed.prometheus.get("rules")["groups"] for rule in group["rules"] if rule["type"] == "recording"]
    for name in recorded:
        assert finite(observed.prometheus.range(name, observed.began, observed.ended)), name


def test_draw(observed, request):
    """With --draw the pictures of docs/dashboards; without, that they can be drawn."""
    folder = request.config.getoption("--draw")
    for name, dashboard in panels.DASHBOARDS.items():
        data = {panel.title: [ask(observed, query) for query in panel.queries] for panel in dashboard.panels()}
        picture = draw(dashboard, data, observed.began, observed.ended)
        assert picture.count("<g class='panel'") == len(dashboard.panels())
        if folder:
            (pathlib.Path(folder) / f"{name}.svg").write_text(picture)
