"""Alerts and recording rules: promtool's own tests, that those tests can fail, and that every alert leads to its page."""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules"
CASES = pathlib.Path(__file__).with_name("rules_test.yaml")
ALERTS = re.findall(r"- alert: (\w+)", (RULES / "alerts.yaml").read_text())


def promtool(*arguments):
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)


def test_rules_and_configuration_are_well_formed():
    for result in (promtool("check", "rules", *RULES.glob("*.yaml")), promtool("check", "config", ROOT / "deploy" / "prometheus" / "prometheus.yaml")):
        assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_fires_and_stays_silent_where_it_should():
    result = promtool("test", "rules", CASES)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("spoilt", ["vector(1) > 2", "vector(1)"], ids=["never fires", "always fires"])
def test_the_cases_would_notice(spoilt, tmp_path):
    """Alerts whose expressions say nothing, or always something, fail their cases: every one of them."""
    text, count = re.subn(r"(- alert: \w+\n        expr: ).*?(\n        (?:for|labels): )", rf"\g<1>{spoilt}\g<2>", (RULES / "alerts.yaml").read_text(),
                          flags=re.DOTALL)
    assert count == len(ALERTS)
    (tmp_path / "alerts.yaml").write_text(text)
    shutil.copy(RULES / "recording.yaml", tmp_path)
    cases = tmp_path / "cases.yaml"
    cases.write_text(CASES.read_text().replace("../../deploy/prometheus/rules/", ""))
    result = promtool("test", "rules", cases)
    assert result.returncode == 1
    assert set(re.findall(r"alertname: ?(\w+)", result.stdout + result.stderr)) == set(ALERTS), result.stdout + result.stderr


def test_rules_name_only_metrics_that_exist():
    declared = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "metrics.md").read_text(), flags=re.MULTILINE))
    for path in RULES.glob("*.yaml"):
        expressions = re.sub(r"\n\s+(?:labels|annotations|summary|runbook_url|record|- alert|- name): ?[^\n]*", "", path.read_text())
        for name in re.findall(r"(?<![\w:])headroom_\w+(?!:)\b", expressions):
            assert re.sub("_(bucket|sum|count)$", "", name) in declared, f"{path.name}: {name}"


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_its_page(alert):
    page = ROOT / "docs" / "runbooks" / f"{alert}.md"
    assert f"runbook_url: docs/runbooks/{alert}.md" in (RULES / "alerts.yaml").read_text()
    text = page.read_text()
    assert text.startswith(f"# {alert}\n")
    for part in ("## What it means", "## What to look at", "## What to do"):
        assert part in text, part


def test_no_page_without_an_alert():
    assert {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} == set(ALERTS)
