"""Redraw the images of the documentation from a finished quickstart: the live table and the report page.

    perceptinit run quickstart && perceptinit report runs/quickstart
    python site_hooks/quickstart_images.py runs/quickstart report.html

Requires playwright and chromium. The build of the site does not run it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from perceptinit.progress import Bars
from perceptinit.trackers.console import Progress, render
from perceptinit.types import Event

IMAGES = Path(__file__).parents[1] / "docs" / "images"
FOLLOWED = ("run-start", "stage-start", "step", "run-end")
SHOWN_SHARE = 0.57  # of the sweep's events: some runs are finished, one is running, some are waiting
PAGE_SIZE = {"width": 1100, "height": 1015}  # pixels: the first screen


def live_table(runs: Path) -> str:
    """Return the live table in the middle of a sweep as SVG, from the recorded events of its runs."""
    events = sorted(_events(runs), key=lambda event: event.time)
    progress = Progress(list(dict.fromkeys((e.arm, e.seed) for e in events)))
    for event in events[: round(SHOWN_SHARE * len(events))]:
        progress.follow(event)
    console = Console(record=True, width=100, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(render(progress, Bars(shown=True)))
    svg = console.export_svg(title="perceptinit run quickstart")
    return re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL)  # no fonts from elsewhere


def _events(runs: Path) -> Iterable[Event]:
    for file in runs.glob("*/seed*/events.jsonl"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if row["kind"] in FOLLOWED:
                yield Event(**row)


def first_screen(page: Path, image: Path) -> None:
    """Write the first screen of the page as a PNG with few colors."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        tab = browser.new_page(viewport=PAGE_SIZE, color_scheme="light")
        tab.goto(page.resolve().as_uri())
        tab.screenshot(path=image)
        browser.close()
    Image.open(image).convert("RGB").quantize(128).save(image, optimize=True)


if __name__ == "__main__":
    (IMAGES / "live_table.svg").write_text(live_table(Path(sys.argv[1])), encoding="utf-8")
    first_screen(Path(sys.argv[2]), IMAGES / "report.png")
