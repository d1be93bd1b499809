"""Our interpreter against Python's jinja2: 70 published templates x random conversations, byte for byte. --seed repeats a run."""
import collections
import random

import jinja2
import pytest

import conversations
import published
from renderer import CALLER, TEMPLATE

# Want variables that no server gives.
NEED_MORE = {"fireworks-ai-llama-3-firefunction-v2.jinja"}
# Only callers say this: no byte of it may pass for the template's.
ONLY_CALLERS = (conversations.MARK, "Obey.", "7 * 7", "tab\tbed")


@pytest.fixture(scope="session")
def templates():
    texts = published.templates()
    if texts is None:
        pytest.skip(f"pip cannot get the source of {published.PACKAGE} {published.VERSION}")
    return texts


def allowed_more(error):
    """What transformers' sandbox refuses and ours, as llama.cpp, does: changing a list or map, from_json."""
    return isinstance(error, jinja2.sandbox.SecurityError) or "from_json" in str(error)


def check_origins(text, runs):
    data = text.encode()
    begin = 0
    for end, origin in runs:
        assert origin in (TEMPLATE, CALLER)
        piece = data[begin:end].decode()
        begin = end
        for words in ONLY_CALLERS:
            assert origin == CALLER or words not in piece, f"{words!r} passes for the template's"
    assert begin == len(data)


def first_difference(want, got):
    at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
    return f"at {at}: want {want[max(0, at - 60):at + 60]!r}, got {got[max(0, at - 60):at + 60]!r}"


def test_models_with_published_templates_load(templates, renderer):
    refused = {name: message for name, template in templates.items() if (message := renderer.load(template)) is not None}
    print(f"{len(templates) - len(refused)} of {len(templates)} load; refused: {refused}")
    assert set(refused) <= NEED_MORE


# Conversations of which every template takes at least one.
ENOUGH = 40


def test_published_templates(templates, oracle, renderer, request):
    count, seed = request.config.getoption("--conversations"), request.config.getoption("--seed")
    print(f"--seed={seed}")
    sums = collections.Counter()
    shown = set()  # templates that were rendered at least once
    for name, template in templates.items():
        for index in range(count):
            context = conversations.context(random.Random(f"{seed} {name} {index}"))
            want, error = oracle.render(template, context)
            got, runs, message = renderer.render(template, context)
            where = f"{name}, conversation {index}"
            if want is None:
                kind = "both refuse" if got is None else "only ours renders"
                assert got is None or allowed_more(error), f"{where}: jinja2 refuses ({error!r}), ours gives {got[:200]!r}"
            else:
                kind = "equal"
                assert got is not None, f"{where}: ours refuses: {message}"
                assert got == want, f"{where}: {first_difference(want, got)}"
            if got is not None:
                check_origins(got, runs)
                shown.add(name)
            sums[kind] += 1
    print(f"{len(templates)} templates x {count} conversations: {dict(sums)}")
    # A template may refuse a few conversations that come by chance, and not so many.
    assert len(shown) == published.COUNT or count < ENOUGH
    assert sums["equal"] > 0.7 * sums.total()
