"""Energy and carbon dioxide of runs, as CodeCarbon estimates them; the report shows them."""

import json
from dataclasses import dataclass

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_trackers():
    return [
        Component(
            name="log/codecarbon",
            target="perceptinit_codecarbon:CodeCarbon",
            summary="energy and carbon dioxide of each run, estimated by CodeCarbon, without network",
            extra="perceptinit-codecarbon",
        )
    ]


class CodeCarbon:
    """Estimates the energy of each run on this machine and writes it to `<run folder>/energy.json`.

    Works offline. The estimate covers the machine's processors, memory and GPUs while the run goes
    on, whoever uses them: run nothing else, or read it as an upper bound. A continued run adds up.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        country: str
        """ISO code of three letters, such as "DEU": how much carbon dioxide its electricity stands for."""
        every_seconds: float = 15.0
        """Seconds between two measurements of power."""

    def __init__(self, config):
        self.config = config
        self._folder = None
        self._tracker = None

    def start(self, ctx):
        from codecarbon import OfflineEmissionsTracker

        self.close()
        if ctx.folder is None:
            return
        self._folder = ctx.folder
        self._tracker = OfflineEmissionsTracker(
            country_iso_code=self.config.country,
            measure_power_secs=self.config.every_seconds,
            save_to_file=False,
            log_level="error",
            allow_multiple_runs=True,
        )
        self._tracker.start()

    def log(self, event):
        if event.kind == "run-end":
            self.close()

    def close(self):
        if self._tracker is None:
            return
        kg = self._tracker.stop() or 0.0
        self._add(self._tracker.final_emissions_data.energy_consumed, kg)
        self._tracker = None

    def _add(self, kwh, kg):
        import codecarbon

        from perceptinit.plugin import ENERGY_FILE

        file = self._folder / ENERGY_FILE
        before = json.loads(file.read_text()) if file.is_file() else {"kwh": 0.0, "kg_co2": 0.0}
        value = {
            "kwh": before["kwh"] + kwh,
            "kg_co2": before["kg_co2"] + kg,
            "library": f"CodeCarbon {codecarbon.__version__}",
            "country": self.config.country,
        }
        file.write_text(json.dumps(value, indent=2) + "\n")
