"""A dashboard as one SVG, from the answers to its queries: the layout and the colours that Grafana gets, drawn by us because Grafana is not here."""
import re
from html import escape

from grafana import COLUMNS, to_json

COLUMN_PX, ROW_PX, GAP = 50, 30, 8
POINTS_MAX = 60
PALETTE = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#37872d", "#e0b400", "#1f60c4", "#fa6400", "#c4162a",
           "#8f3bb8", "#56a64b", "#9d9d9d", "#705da0")
INK, FAINT, GRID = "#24292e", "#767c84", "#e7e9ec"
STYLE = f"""text{{font:11px Inter,Helvetica,Arial,sans-serif;fill:{INK}}}.f{{fill:{FAINT};font-size:10px}}.t{{font-size:12px;font-weight:600}}
.r{{font-size:13px;font-weight:600}}.b{{font-weight:600}}.c{{fill:#fff;stroke:#dfe2e6}}.g{{stroke:{GRID}}}.l{{fill:none;stroke-width:1.4;stroke-linejoin:round}}
.d{{stroke-dasharray:5 4}}"""


def number(value, unit):
    """A value as a person would write it."""
    if unit == "bytes":
        for name in ("B", "KiB", "MiB", "GiB", "TiB"):
            if abs(value) < 1024 or name == "TiB":
                return f"{value:.3g} {name}" if abs(value) < 999.5 else f"{value:.0f} {name}"
            value /= 1024
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return "0 s" if value == 0 else f"{value * 1e6:.3g} µs" if value < 1e-3 else f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
    text = f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:.3g}"
    return text + {"reqps": "/s", "cps": "/s", "tok/s": " tok/s"}.get(unit, "")


def legend(query, labels):
    if not query.legend:
        return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if not name.startswith("__") and name not in ("job", "instance"))
    names = {"instance": re.sub(r"^127\.0\.0\.1:", ":", labels.get("instance", ""))}
    return re.sub(r"\{\{(\w+)\}\}", lambda match: names.get(match[1], labels.get(match[1], "")), query.legend)


def nice_ceiling(value):
    if value <= 0:
        return 1.0
    power = 1.0
    while power > value:
        power /= 10
    while power * 10 <= value:
        power *= 10
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.9999)


def top_of(highest, unit):
    if unit != "bytes":
        return nice_ceiling(highest)
    scale = 1.0
    while highest / scale >= 1024:
        scale *= 1024
    return nice_ceiling(highest / scale) * scale


class Lines:
    """The series of a panel, with legend, colour and points."""

    def __init__(self, panel, answers):
        self.all, palette = [], 0
        for query, series in zip(panel.queries, answers):
            for labels, points in sorted(series, key=lambda entry: legend(query, entry[0])):
                color = query.color if query.color and len(series) == 1 else PALETTE[palette % len(PALETTE)]
                palette += 0 if query.color and len(series) == 1 else 1
                self.all.append((legend(query, labels), color, query.limit, dict(points)))


def thin(points):
    step = max(1, -(-len(points) // POINTS_MAX))
    return points[::step] if (len(points) - 1) % step == 0 else points[::step] + points[-1:]


def text(x, y, words, kind="", anchor=""):
    attributes = (f" class='{kind}'" if kind else "") + (f" text-anchor='{anchor}'" if anchor else "")
    return f"<text x='{x:.0f}' y='{y:.0f}'{attributes}>{escape(words, quote=False)}</text>"


def path(points):
    return "M" + "L".join(f"{x:.0f} {y:.1f}" for x, y in points)


def fit(words, width, size=5.6):
    most = max(4, int(width / size))
    return words if len(words) <= most else words[:most - 1] + "…"


def plot(panel, lines, left, top, width, height, begin, end):
    """Axes, areas and lines into the given box."""
    stacked, shown = {}, []
    for name, color, limit, points in lines.all:
        if panel.stack and not limit:
            floor = dict(stacked)
            for time, value in points.items():
                stacked[time] = stacked.get(time, 0) + value
            shown.append((color, limit, {time: stacked[time] for time in points}, floor))
        else:
            shown.append((color, limit, points, None))
    values = [value for _, _, points, _ in shown for value in points.values()]
    low = min(0, min(values, default=0)) if panel.minimum is None else panel.minimum
    high = panel.maximum or top_of(max(values, default=1), panel.unit)
    if low < 0:
        low = -top_of(-low, panel.unit)
    inner_left = left + 58

    def x(time):
        return inner_left + (time - begin) / (end - begin) * (left + width - inner_left)

    def y(value):
        return top + height - (max(value, low) - low) / ((high - low) or 1) * height
    out = []
    for index in range(5):
        value = low + (high - low) * index / 4
        out.append(f"<path class='g' d='M{inner_left:.0f} {y(value):.0f}H{left + width:.0f}'/>" + text(inner_left - 6, y(value) + 4, number(value, panel.unit), "f", "end"))
    for index in range(5):
        time = begin + (end - begin) * index / 4
        out.append(text(x(time), top + height + 15, f"{time - begin:.0f} s", "f", "start" if index == 0 else "end" if index == 4 else "middle"))
    for color, limit, points, floor in reversed(shown):
        line = [(x(time), y(value)) for time, value in thin(sorted(points.items()))]
        if floor is not None:
            under = [(x(time), y(floor.get(time, 0))) for time, _ in thin(sorted(points.items()))]
            out.append(f"<path d='{path(line + under[::-1])}Z' fill='{color}' fill-opacity='.65'/>")
        out.append(f"<path class='l{' d' if limit else ''}' d='{path(line)}' stroke='{color}'/>")
    return "".join(out)


def keys(panel, lines, left, top, width, height):
    """Name and last value of each line, in as many columns as it takes."""
    rows = max(1, int(height // 14))
    columns = max(1, -(-len(lines.all) // rows))
    each, out = width / columns, []
    for index, (name, color, limit, points) in enumerate(lines.all):
        px, py = left + (index // rows) * each, top + (index % rows) * 14
        last = number(points[max(points)], panel.unit)
        mark = f"<path class='l{' d' if limit else ''}' d='M{px:.0f} {py + 6:.0f}h11' stroke='{color}' stroke-width='3'/>"
        out.append(mark + text(px + 15, py + 10, fit(name, each - 30 - 6 * len(last))) + text(px + each - 8, py + 10, last, "f", "end"))
    return "".join(out)


def draw_timeseries(panel, lines, box, begin, end):
    left, top, width, height = box
    if panel.width > 12:
        side = 230
        return plot(panel, lines, left, top, width - side - 16, height - 22, begin, end) + keys(panel, lines, left + width - side, top, side, height)
    below = min(5, len(lines.all)) * 14
    if panel.width <= 8 and len(lines.all) > 5:
        below = min(4, -(-len(lines.all) // 2)) * 14
    return (plot(panel, lines, left, top, width, height - below - 26, begin, end) + keys(panel, lines, left + 4, top + height - below, width - 4, below))


def draw_stat(panel, lines, box, begin, end):
    left, top, width, height = box
    out, each = [], width / max(1, len(lines.all))
    for index, (name, _, _, points) in enumerate(lines.all):
        value, px = points[max(points)], left + index * each
        color = INK
        for bound, step_color in panel.thresholds:
            color = step_color if bound is None or value >= bound else color
        shade, series = color if panel.thresholds else "#3274d9", sorted(points.items())
        least, most = min(points.values()), max(points.values())
        spark = [(px + 4 + (time - begin) / (end - begin) * (each - 20), top + height - 2 - (v - least) / ((most - least) or 1) * height * 0.28) for time, v in thin(series)]
        bottom = [(spark[-1][0], top + height), (spark[0][0], top + height)]
        out.append(f"<path d='{path(spark + bottom)}Z' fill='{shade}' fill-opacity='.13'/><path class='l' d='{path(spark)}' stroke='{shade}'/>")
        size = min(26, each / 5.5)
        out.append(f"<text x='{px + each / 2 - 6:.0f}' y='{top + height * .42:.0f}' text-anchor='middle' style='font-size:{size:.0f}px;font-weight:600;fill:{color}'>"
                   f"{number(value, panel.unit)}</text>" + text(px + each / 2 - 6, top + height * .62, fit(name, each - 10), "f", "middle"))
    return "".join(out)


def draw_bargauge(panel, lines, box, begin, end):
    left, top, width, height = box
    bars = sorted(((points[max(points)], name, color) for name, color, _, points in lines.all), reverse=True)
    most, each, out = max(value for value, _, _ in bars) or 1, min(26, height / len(bars)), []
    for index, (value, name, color) in enumerate(bars):
        y, name_width = top + index * each, 140
        room = width - name_width - 76
        out.append(text(left + name_width - 8, y + each / 2 + 4, name, "", "end")
                   + f"<rect x='{left + name_width}' y='{y + 2:.0f}' width='{room:.0f}' height='{each - 5:.0f}' fill='#f1f3f5'/>"
                   + f"<rect x='{left + name_width}' y='{y + 2:.0f}' width='{max(1, value / most * room):.0f}' height='{each - 5:.0f}' fill='{color}' fill-opacity='.8'/>"
                   + text(left + width - 4, y + each / 2 + 4, number(value, panel.unit), "b", "end"))
    return "".join(out)


def draw_table(panel, lines, box, begin, end):
    left, top, width, _ = box
    return "".join(text(left, top + 14 + index * 20, fit(name, width)) for index, name in enumerate(sorted({line[0] for line in lines.all})))


KINDS = {"timeseries": draw_timeseries, "stat": draw_stat, "bargauge": draw_bargauge, "table": draw_table}


def draw(dashboard, data, begin, end):
    placed = {panel["title"]: panel["gridPos"] for panel in to_json(dashboard)["panels"]}
    out, below = [], 0
    header = 46
    for row in dashboard.rows:
        y = header + placed[row.title]["y"] * ROW_PX
        out.append(text(GAP + 2, y + 20, row.title, "r"))
        for panel in row.panels:
            place = placed[panel.title]
            left, top = GAP + place["x"] * COLUMN_PX, header + place["y"] * ROW_PX
            width, height = place["w"] * COLUMN_PX - GAP, place["h"] * ROW_PX - GAP
            below = max(below, top + height)
            lines = Lines(panel, data[panel.title])
            box = (left + 12, top + 32, width - 24, height - 42)
            out.append(f"<g class='panel'><rect class='c' x='{left}' y='{top}' width='{width}' height='{height}' rx='4'/>"
                       + text(left + 12, top + 19, panel.title, "t") + KINDS[panel.kind](panel, lines, box, begin, end) + "</g>")
    width = COLUMNS * COLUMN_PX + GAP
    title = text(GAP + 2, 28, dashboard.title, "t").replace("class='t'", "style='font-size:18px;font-weight:600'")
    return (f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {below + GAP}' width='{width}' height='{below + GAP}'>"
            f"<style>{STYLE}</style><rect width='100%' height='100%' fill='#f4f5f7'/>{title}"
            + text(GAP + 24 + 11 * len(dashboard.title), 28, dashboard.description, "f") + "".join(out) + "</svg>\n")
