"""Energy use and carbon dioxide emissions of runs, estimated by CodeCarbon for the report."""

import json
from dataclasses import dataclass

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_trackers():
    return [
        Component(
            name="log/codecarbon",
            target="perceptinit_codecarbon:CodeCarbon",
            summary="energy and carbon dioxide of each run, estimated offline by CodeCarbon",
            extra="perceptinit-codecarbon",
        )
    ]


class CodeCarbon:
    """Estimate the energy use of each run on this machine and write it to `<run folder>/energy.json`.

    Works offline. The estimate covers the processors, memory and GPUs of the machine during the run,
    including other processes, so it is an upper bound. A resumed run adds to the earlier estimate.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        country: str
        """Three-letter ISO country code, such as "DEU", which sets the carbon intensity of electricity."""
        every_seconds: float = 15.0
        """Seconds between power measurements."""

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

        from perceptinit.companion import ENERGY_FILE

        file = self._folder / ENERGY_FILE
        before = json.loads(file.read_text()) if file.is_file() else {"kwh": 0.0, "kg_co2": 0.0}
        value = {
            "kwh": before["kwh"] + kwh,
            "kg_co2": before["kg_co2"] + kg,
            "library": f"CodeCarbon {codecarbon.__version__}",
            "country": self.config.country,
        }
        file.write_text(json.dumps(value, indent=2) + "\n")
