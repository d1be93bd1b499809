"""Jinja as transformers sets it up to render chat templates: the judge of ours."""
import datetime
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1_790_000_000


class Generation(jinja2.ext.Extension):
    """{% generation %}…{% endgeneration %} marks what the assistant wrote; the text is the same."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def make_environment():
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(NOW).strftime(form)
    return environment


class Oracle:
    def __init__(self):
        self.environment = make_environment()
        self.compiled = {}

    def render(self, template, context):
        """(text, None), or (None, what was raised)."""
        try:
            if template not in self.compiled:
                self.compiled[template] = self.environment.from_string(template)
            return self.compiled[template].render(**context), None
        except Exception as error:  # of any kind: a template can reach every error of Python
            return None, error
