"""Energy use and carbon dioxide emissions of runs, estimated by CodeCarbon for the report."""

import json
from dataclasses import dataclass

import codecarbon

from perceptinit.companion import ENERGY_FILE
from perceptinit.plugin import RunContext
from perceptinit_trackers.library_run import LibraryRun


class CodeCarbon(LibraryRun):
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

    def open(self, ctx: RunContext) -> codecarbon.OfflineEmissionsTracker:
        """Start the measurement of a run."""
        self._file = ctx.folder / ENERGY_FILE
        tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code=self.config.country,
            measure_power_secs=self.config.every_seconds,
            save_to_file=False,
            log_level="error",
            allow_multiple_runs=True,
        )
        tracker.start()
        return tracker

    def log_end(self, status: str) -> None:
        """End the measurement with the run, before the next one starts."""
        self.close()

    def finish(self) -> None:
        """End the measurement and add it to the file."""
        kg = self.run.stop() or 0.0
        before = json.loads(self._file.read_text()) if self._file.is_file() else {"kwh": 0.0, "kg_co2": 0.0}
        value = {
            "kwh": before["kwh"] + self.run.final_emissions_data.energy_consumed,
            "kg_co2": before["kg_co2"] + kg,
            "library": f"CodeCarbon {codecarbon.__version__}",
            "country": self.config.country,
        }
        self._file.write_text(json.dumps(value, indent=2) + "\n")
