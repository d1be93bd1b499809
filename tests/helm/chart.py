"""The chart through Helm's own engine (helm-python-sdk carries Helm's Go SDK): render, lint, and ways to look at what came out."""
import pathlib
import re

import helm_python as helm
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "headroom"
HERE = pathlib.Path(__file__).resolve().parent
RELEASE, NAMESPACE = "demo", "prod"
VALUE_SETS = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))
SERVICES = ("gateway", "scheduler", "vision-worker", "llm-worker")


def value_set(name):
    return yaml.safe_load((HERE / "values" / f"{name}.yaml").read_text())


def render_texts(values, **options):
    """{template: text}, as Helm's engine gives it; values go through the schema first, as in an install."""
    with helm.Chart.load(CHART) as chart:
        return chart.render(values, name=RELEASE, namespace=NAMESPACE, **options)


def objects_of(texts):
    found = []
    for path, text in texts.items():
        if path.endswith(".yaml"):
            found += [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]
    return found


def render(values, **options):
    return objects_of(render_texts(values, **options))


def render_set(name):
    return render(value_set(name))


def of_kind(objects, kind):
    return [one for one in objects if one["kind"] == kind]


def named(objects, kind, name):
    found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of {[one['metadata']['name'] for one in of_kind(objects, kind)]}"
    return found[0]


def pod_template(one):
    """(metadata, spec) of the pods that an object makes, or None."""
    if one["kind"] == "Pod":
        return one["metadata"], one["spec"]
    if one["kind"] in ("Deployment", "Job"):
        return one["spec"]["template"]["metadata"], one["spec"]["template"]["spec"]
    return None


def component(metadata):
    return metadata["labels"].get("app.kubernetes.io/component")


def is_hook(one):
    return "helm.sh/hook" in one["metadata"].get("annotations", {})


def golden_text(name):
    """What golden/NAME.yaml holds. Files that the chart carries unchanged (dashboards, rules) are named, not repeated."""
    texts = render_texts(value_set(name))
    parts = []
    for path in sorted(texts):
        text = texts[path]
        for carried in (CHART / "files").glob("*/*"):
            for width in (2, 4):
                indented = "\n".join(" " * width + line for line in carried.read_text().split("\n"))
                text = text.replace(indented, " " * width + f"<{carried.relative_to(CHART)}>")
        text = "\n".join(line.rstrip() for line in text.split("\n"))
        if text.strip():
            parts.append(f"# {path}\n{text.strip()}\n")
    return re.sub(r"test\.png: \S+", "test.png: <files/test.png>", "\n".join(parts))
