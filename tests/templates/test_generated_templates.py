"""Our interpreter against Python's jinja2 on random templates. --seed repeats a run."""
import collections
import random

import generator


def comparable(text):
    """Python prints some objects with their address or as our types have no name for."""
    return not any(words in text.lower() for words in (" at 0x", "<generator", "<built-in", "<list_reverse", "<str_iterator"))


def test_generated_templates(oracle, renderer, request):
    count, seed = request.config.getoption("--generated"), request.config.getoption("--seed")
    print(f"--seed={seed}")
    sums = collections.Counter()
    for index in range(count):
        template = generator.make(random.Random(f"{seed} {index}"))
        want, error = oracle.render(template, generator.CONTEXT)
        got, _, message = renderer.render(template, generator.CONTEXT)
        if want is not None and not comparable(want):
            sums["not comparable"] += 1
            continue
        if want is None and got is None:
            sums["both refuse"] += 1
            continue
        assert want is not None, f"template {index}: jinja2 refuses ({error!r}), ours gives {got!r}\n{template}"
        assert got is not None, f"template {index}: ours refuses ({message}), jinja2 gives {want!r}\n{template}"
        assert got == want, f"template {index}:\n want {want!r}\n got  {got!r}\n{template}"
        sums["equal"] += 1
    print(f"{count} templates: {dict(sums)}")
    assert sums["equal"] > 0.5 * count
