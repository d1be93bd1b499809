"""Grafana's dashboard JSON from rows of panels. Only what our dashboards use; the layout (24 columns) is computed."""
import dataclasses

COLUMNS = 24
# Colours by name, the same in Grafana and in the pictures of docs/dashboards.
GREEN, BLUE, ORANGE, RED, PURPLE, YELLOW, GREY = "#56a64b", "#3274d9", "#ff780a", "#e02f44", "#a352cc", "#e0b400", "#8e8e8e"


@dataclasses.dataclass
class Query:
    expr: str
    legend: str = ""
    # A line across a stack, such as a limit: drawn dashed, never stacked.
    limit: bool = False
    color: str = ""


@dataclasses.dataclass
class Panel:
    """kind: timeseries, stat, bargauge (latest values side by side) or table (labels of info metrics)."""
    title: str
    queries: list
    unit: str = "short"
    kind: str = "timeseries"
    stack: bool = False
    width: int = 8
    height: int = 8
    description: str = ""
    minimum: float | None = 0
    maximum: float | None = None
    # (value, colour) from which on a value of a stat has that colour; the first one has no lower bound.
    thresholds: tuple = ()
    # Of metrics that only workers with a card show.
    cards: bool = False


@dataclasses.dataclass
class Row:
    title: str
    panels: list


@dataclasses.dataclass
class Dashboard:
    uid: str
    title: str
    description: str
    rows: list
    # A metric that every shown process has: the variables list its jobs and instances.
    anchor: str = "headroom_build_info"

    def panels(self):
        return [panel for row in self.rows for panel in row.panels]


DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _target(index, query, instant):
    return {"datasource": DATASOURCE, "editorMode": "code", "expr": query.expr, "legendFormat": query.legend or "__auto",
            "range": not instant, "instant": instant, "format": "time_series", "refId": chr(ord("A") + index)}


def _override(query, properties):
    """By query, because a legend with labels in it has no one name."""
    return {"matcher": {"id": "byFrameRefID", "options": query}, "properties": [{"id": key, "value": value} for key, value in properties]}


def _overrides(panel):
    overrides = []
    for index, query in enumerate(panel.queries):
        properties = []
        if query.color:
            properties.append(("color", {"mode": "fixed", "fixedColor": query.color}))
        if query.limit:
            properties += [("custom.stacking", {"mode": "none", "group": "limit"}), ("custom.fillOpacity", 0),
                           ("custom.lineStyle", {"fill": "dash", "dash": [8, 6]})]
        if properties:
            overrides.append(_override(chr(ord("A") + index), properties))
    return overrides


def _field_config(panel):
    defaults = {"unit": panel.unit, "color": {"mode": "palette-classic"}, "custom": {}}
    if panel.minimum is not None:
        defaults["min"] = panel.minimum
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    if panel.thresholds:
        steps = [{"value": value if index else None, "color": color} for index, (value, color) in enumerate(panel.thresholds)]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["color"] = {"mode": "thresholds"}
    if panel.kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 60 if panel.stack else 8, "showPoints": "never", "spanNulls": False,
                              "stacking": {"mode": "normal" if panel.stack else "none", "group": "A"}}
    return {"defaults": defaults, "overrides": _overrides(panel)}


def _options(panel):
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "stat":
        return {"reduceOptions": reduce, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
    if panel.kind == "bargauge":
        return {"reduceOptions": reduce, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True}
    if panel.kind == "table":
        return {"showHeader": True}
    return {"legend": {"displayMode": "table", "placement": "right" if panel.width > 12 else "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"}}


def _panel(panel, number, x, y):
    instant = panel.kind in ("bargauge", "table")
    targets = [_target(index, query, instant) for index, query in enumerate(panel.queries)]
    if panel.kind == "table":
        for target in targets:
            target["format"] = "table"
    return {"id": number, "title": panel.title, "description": panel.description, "type": panel.kind, "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height}, "targets": targets,
            "fieldConfig": _field_config(panel), "options": _options(panel)}


def _variables(anchor):
    def labels(name, label, query):
        return {"name": name, "label": label, "type": "query", "datasource": DATASOURCE, "query": {"query": query, "refId": name},
                "definition": query, "refresh": 2, "multi": True, "includeAll": True, "allValue": ".*", "sort": 1,
                "current": {"text": ["All"], "value": ["$__all"]}}
    return [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1},
            labels("job", "Job", f"label_values({anchor}, job)"),
            labels("instance", "Instance", f'label_values({anchor}{{job=~"$job"}}, instance)')]


def to_json(dashboard):
    panels, number, y = [], 1, 0
    for row in dashboard.rows:
        panels.append({"id": number, "title": row.title, "type": "row", "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        number, y, x, height = number + 1, y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            panels.append(_panel(panel, number, x, y))
            number, x, height = number + 1, x + panel.width, max(height, panel.height)
        y += height
    return {"uid": dashboard.uid, "title": dashboard.title, "description": dashboard.description, "tags": ["headroom"],
            "schemaVersion": 39, "version": 1, "editable": True, "graphTooltip": 1, "refresh": "10s", "timezone": "browser",
            "time": {"from": "now-30m", "to": "now"}, "templating": {"list": _variables(dashboard.anchor)},
            "annotations": {"list": []}, "links": [], "panels": panels}
