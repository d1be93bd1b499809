"""Random JSON Schemas, and random values that are near them: many valid, many almost."""
import random

NAMES = ["a", "ab", "b", "kind", "x-1", "ü", 'q"']
TEXTS = ["", "a", "ab", "abc", "x9", "2024-02-29", "2023-02-29", "ü", 'q"\\\n']
PATTERNS = ["^a", "b$", "^[a-c]{1,2}$", "^(ab|x\\d)?$", "[^a]", "^\\w+$"]
NUMBERS = [-3, -1.5, -1, 0, 0.5, 1, 2, 2.25, 7, 10, 100]


def schema(rng, depth=3):
    kinds = ["type", "number", "integer", "string", "array", "object", "enum", "const", "any"]
    if depth > 0:
        kinds += ["anyOf", "oneOf", "allOf", "not", "if", "object", "object", "array", "dependent"]
    kind = rng.choice(kinds)
    inner = lambda: schema(rng, depth - 1)
    if kind == "type":
        return {"type": rng.choice([rng.choice(["null", "boolean", "string"]), ["integer", "null"], ["string", "array", "number"]])}
    if kind in ("number", "integer"):
        made = {"type": kind}
        for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if rng.random() < 0.3:
                made[keyword] = rng.choice(NUMBERS)
        if rng.random() < 0.2:
            made["multipleOf"] = rng.choice([1, 2, 5, 0.5])
        return made
    if kind == "string":
        made = {} if rng.random() < 0.2 else {"type": "string"}
        if rng.random() < 0.4:
            made["pattern"] = rng.choice(PATTERNS)
        if rng.random() < 0.4:
            made["minLength"] = rng.randint(0, 2)
        if rng.random() < 0.4:
            made["maxLength"] = rng.randint(0, 3)
        if rng.random() < 0.2:
            made["format"] = "date"
        return made
    if kind == "array":
        made = {} if rng.random() < 0.2 else {"type": "array"}
        if rng.random() < 0.6 and depth > 0:
            made["items"] = inner()
        if rng.random() < 0.3 and depth > 0:
            made["prefixItems"] = [inner() for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.4:
            made["minItems"] = rng.randint(0, 2)
        if rng.random() < 0.4:
            made["maxItems"] = rng.randint(0, 3)
        return made
    if kind == "object":
        made = {} if rng.random() < 0.2 else {"type": "object"}
        if rng.random() < 0.7 and depth > 0:
            made["properties"] = {name: inner() for name in rng.sample(NAMES, rng.randint(1, 3))}
        if rng.random() < 0.4:
            made["required"] = rng.sample(NAMES, rng.randint(1, 2))
        if rng.random() < 0.5:
            made["additionalProperties"] = False if depth == 0 or rng.random() < 0.5 else inner()
        if rng.random() < 0.2 and depth > 0:
            made["patternProperties"] = {rng.choice(PATTERNS): inner()}
        if rng.random() < 0.1:
            made["propertyNames"] = {"pattern": rng.choice(PATTERNS)}
        if rng.random() < 0.2:
            made["minProperties"] = rng.randint(0, 2)
        if rng.random() < 0.2:
            made["maxProperties"] = rng.randint(0, 3)
        return made
    if kind == "enum":
        return {"enum": [value(rng, 1) for _ in range(rng.randint(1, 3))]}
    if kind == "const":
        return {"const": value(rng, 1)}
    if kind in ("anyOf", "oneOf", "allOf"):
        made = {kind: [inner() for _ in range(rng.randint(1, 3))]}
        if rng.random() < 0.3:
            made.update(inner())
        return made
    if kind == "not":
        return {"not": inner()}
    if kind == "if":
        return {"if": inner(), "then": inner(), "else": inner()}
    if kind == "dependent":
        return {"type": "object", "dependentRequired": {rng.choice(NAMES): [rng.choice(NAMES)]}}
    return {}


def value(rng, depth=3):
    kind = rng.choice(["null", "boolean", "number", "string", "string"] + (["array", "object", "object"] if depth > 0 else []))
    if kind == "null":
        return None
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "number":
        return rng.choice(NUMBERS)
    if kind == "string":
        return rng.choice(TEXTS)
    if kind == "array":
        return [value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return {name: value(rng, depth - 1) for name in rng.sample(NAMES, rng.randint(0, 3))}


def near(rng, made, depth=4):
    """A value that takes the schema's hints, and is often valid."""
    if not isinstance(made, dict) or depth == 0 or rng.random() < 0.1:
        return value(rng, 2)
    if "enum" in made and rng.random() < 0.9:
        return rng.choice(made["enum"])
    if "const" in made and rng.random() < 0.9:
        return made["const"]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if keyword in made and rng.random() < 0.8:
            return near(rng, rng.choice(made[keyword]), depth - 1)
    if "if" in made and rng.random() < 0.8:
        return near(rng, made[rng.choice(["if", "then", "else"])], depth - 1)
    kind = made.get("type")
    kind = rng.choice(kind) if isinstance(kind, list) else kind
    if kind in ("number", "integer"):
        return rng.choice(NUMBERS)
    if kind == "string" or "pattern" in made:
        return rng.choice(TEXTS)
    if kind == "array" or "items" in made:
        prefix = made.get("prefixItems", [])
        return [near(rng, prefix[i] if i < len(prefix) else made.get("items", {}), depth - 1) for i in range(rng.randint(0, 3))]
    if kind == "object" or "properties" in made:
        names = list(made.get("properties", {})) + [n for n in made.get("required", []) if n not in made.get("properties", {})]
        names = [n for n in names if n in made.get("required", []) or rng.random() < 0.6]
        if rng.random() < 0.3:
            names += [n for n in rng.sample(NAMES, 1) if n not in names]
        return {n: near(rng, made.get("properties", {}).get(n, {}), depth - 1) for n in names}
    if kind == "boolean":
        return True
    return None if kind == "null" else value(rng, 2)
