"""Jinja as transformers sets it up for chat templates, from PyPI's jinja2 3.1."""

import datetime
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2024, 7, 5, 14, 3, 9)


class Generation(jinja2.ext.Extension):
    """{% generation %}: prints its body, whose place is kept while `spans` is a list.

    The place is marked by characters of the private use area and read off the finished text, so
    that it needs nothing from the order in which Jinja calls things.
    """

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller):
        return "\ue000" + caller() + "\ue001" if self.environment.marks else caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def make_environment():
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.marks = False
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: NOW.strftime(form)
    return environment


def render(environment, template, context):
    return environment.from_string(template).render(**context)


def render_with_spans(environment, template, context):
    """The text, and the places of {% generation %} in it as pairs of character offsets."""
    environment.marks = True
    try:
        marked = render(environment, template, context)
    finally:
        environment.marks = False
    text, spans = "", []
    for character in marked:
        if character == "\ue000":
            spans.append([len(text), None])
        elif character == "\ue001":
            spans[-1][1] = len(text)
        else:
            text += character
    return text, spans
