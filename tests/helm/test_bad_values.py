"""Values that the chart refuses, each with a message that names the key."""
import copy

import helm_python as helm
import pytest
import yaml
from chart import HERE, render_texts, value_set

CASES = yaml.safe_load((HERE / "bad_values.yaml").read_text())


def overlay(base, top):
    for key, value in top.items():
        base[key] = overlay(base.get(key, {}), value) if isinstance(value, dict) and isinstance(base.get(key, {}), dict) else value
    return base


def test_there_are_many():
    assert len(CASES) >= 25
    assert len({yaml.safe_dump(case["set"]) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[f"{index}-{case['key']}" for index, case in enumerate(CASES)])
def test_refused_by_name(case):
    values = overlay(copy.deepcopy(value_set("minimal")), copy.deepcopy(case["set"]))
    with pytest.raises(helm.HelmError) as error:
        render_texts(values)
    message = str(error.value)
    assert case["key"] in message, message
    assert case["words"] in message, message
