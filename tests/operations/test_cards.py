"""Panels and rules of workers with a card: a real Prometheus watches one whose NVML is the emulated one (tests/emulation)."""
import panels
import pytest
from cluster import Cluster, wait_for
from prometheus import Prometheus
from test_cuda import CARD, SETTINGS, pytestmark  # noqa: F401
from test_dashboards import fill

PANELS = [panel for dashboard in panels.DASHBOARDS.values() for panel in dashboard.panels() if panel.cards]
OTHERS = 64 << 20


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cards")
    # Each product runs once before the worker is ready: few sizes, so that the emulation is soon done with them.
    settings = (*SETTINGS, "knobs.max_num_batched_tokens=64", "knobs.max_patches_per_step=1152", "device.memory=960MiB")
    cluster = Cluster("up", folder, settings=settings, environment={**CARD, "EMULATED_GPU_OTHERS": str(OTHERS)})
    prometheus = Prometheus(folder, [f"127.0.0.1:{cluster.metrics_port('gateway')}"])
    try:
        cluster.start()
        prometheus.start()
        # Seen when the worker has looked at its card once more after it was ready.
        wait_for(lambda: prometheus.instant("headroom_card_growth_bytes"), "the growth of a worker that is ready")
        yield prometheus
        cluster.check_alive()
    finally:
        prometheus.stop()
        statuses = cluster.stop()
    assert set(statuses.values()) == {0}, f"exit statuses after SIGTERM: {statuses}"


def test_both_dashboards_have_panels_of_cards():
    for name, dashboard in panels.DASHBOARDS.items():
        assert any(panel.cards for panel in dashboard.panels()), name


@pytest.mark.parametrize("panel", PANELS, ids=[panel.title for panel in PANELS])
def test_every_query_has_data(watched, panel):
    for query in panel.queries:
        assert watched.instant(fill(query.expr)), f"{panel.title}: no data for {query.expr}"


def test_the_driver_tells_who_holds_the_card(watched):
    def one(name):
        (_, value), = watched.instant(name)
        return value
    assert one("headroom_card_other_bytes") == OTHERS
    assert one("headroom_card_total_bytes") == 1 << 30
    assert one("headroom_card_own_bytes") + one("headroom_card_free_bytes") + OTHERS == 1 << 30
    assert one("headroom_card_growth_bytes") == 0


def test_rules_of_cards_are_evaluated_and_silent(watched):
    alerts = {rule["name"]: rule for group in watched.get("rules")["groups"] for rule in group["rules"] if rule["type"] == "alerting"}
    for name in ("HeadroomCardShared", "HeadroomPlanDrift"):
        assert alerts[name]["health"] == "ok" and alerts[name]["state"] == "inactive", alerts[name]
