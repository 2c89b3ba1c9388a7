"""The source of a local plug-in with a tracker."""

import textwrap

SOURCE = """
from dataclasses import dataclass
from perceptinit import Component, hookimpl
{head}

@hookimpl
def perceptinit_trackers():
    return [Component(name="local/spy", target=Spy, summary="a tracker of the tests")]

class Spy:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    def __init__(self, config):
        pass

    def start(self, ctx):
{start}

    def log(self, event):
{log}

    def close(self):
        pass
"""


def tracker_source(log, start="pass", head=""):
    """Return the source of the tracker `local/spy`; log, start: bodies of its methods; head: module statements."""
    return SOURCE.format(head=textwrap.dedent(head), start=_body(start), log=_body(log))


def _body(statements):
    return textwrap.indent(textwrap.dedent(statements).strip(), " " * 8)
