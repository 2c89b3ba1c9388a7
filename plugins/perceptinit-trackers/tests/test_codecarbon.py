"""Tracker contract, the energy file of the report, and resumed runs."""

import json

from perceptinit_trackers.codecarbon import CodeCarbon

from perceptinit.companion import ENERGY_FILE
from perceptinit.plugin import Event, RunContext
from perceptinit.testing import TrackerContract


class TestContract(TrackerContract):
    component = CodeCarbon

    def options(self, tmp_path):
        return {"country": "DEU"}


def run(folder):
    tracker = CodeCarbon(CodeCarbon.Config(country="DEU", every_seconds=0.1))
    tracker.start(RunContext(arm="pi", folder=folder))
    sum(i * i for i in range(300_000))
    tracker.log(Event(kind="run-end", message="finished"))
    tracker.close()
    return json.loads((folder / ENERGY_FILE).read_text())


def test_energy_is_written_where_the_report_reads_it_and_adds_up(tmp_path):
    first = run(tmp_path)
    assert first["kwh"] > 0
    assert first["library"].startswith("CodeCarbon ")
    assert run(tmp_path)["kwh"] > first["kwh"]
