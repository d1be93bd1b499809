"""The fields that the chart uses of the Prometheus operator's objects (monitoring.coreos.com/v1), closed: what is not here is a typing error."""


def closed(properties, required=()):
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = closed({"name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}, "labels": TEXTS, "annotations": TEXTS}, ["name"])
DURATION = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}
RULE = closed({"record": {"type": "string"}, "alert": {"type": "string"}, "expr": {"type": ["string", "integer"]}, "for": DURATION,
               "keep_firing_for": DURATION, "labels": TEXTS, "annotations": TEXTS}, ["expr"])


def top(kind, spec):
    return closed({"apiVersion": {"const": "monitoring.coreos.com/v1"}, "kind": {"const": kind}, "metadata": METADATA, "spec": spec},
                  ["apiVersion", "kind", "metadata", "spec"])


SCHEMAS = {
    "PodMonitor": top("PodMonitor", closed({
        "selector": closed({
            "matchLabels": TEXTS,
            "matchExpressions": {"type": "array", "items": closed({
                "key": {"type": "string"}, "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                "values": {"type": "array", "items": {"type": "string"}}}, ["key", "operator"])}}),
        "podMetricsEndpoints": {"type": "array", "minItems": 1, "items": closed({
            "port": {"type": "string"}, "path": {"type": "string"}, "interval": DURATION,
            "relabelings": {"type": "array", "items": closed({
                "sourceLabels": {"type": "array", "items": {"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}},
                "targetLabel": {"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}}, ["targetLabel"])}}, ["port"])},
    }, ["selector", "podMetricsEndpoints"])),
    "PrometheusRule": top("PrometheusRule", closed({
        "groups": {"type": "array", "minItems": 1, "items": closed({
            "name": {"type": "string"}, "interval": DURATION, "rules": {"type": "array", "minItems": 1, "items": RULE}}, ["name", "rules"])},
    }, ["groups"])),
}
