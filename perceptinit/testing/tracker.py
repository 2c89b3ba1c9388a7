"""The contract of trackers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from perceptinit.protocols import HasDescribe, HasExpect, HasLogImage, HasSay, Tracker
from perceptinit.testing.contract import Contract
from perceptinit.types import Event, Score

EVENTS = (
    Event(kind="run-start", arm="pi", message="run 1 of 1"),
    Event(kind="stage-start", arm="pi", stage="pretrain", total_steps=2),
    Event(kind="step", arm="pi", stage="pretrain", step=1, total_steps=2, metrics={"loss": 1.5}),
    Event(kind="scores", arm="pi", scores=(Score(name="top1/set", value=0.5, num_examples=4),)),
    Event(kind="warning", arm="pi", message="something odd: 100 % [sic]"),
    Event(kind="stage-end", arm="pi", stage="pretrain", metrics={"seconds": 1.0}),
    Event(kind="run-end", arm="pi", message="finished"),
)


class TrackerContract(Contract):
    """It takes every event of a run, and two runs one after the other, and kinds that are yet to come."""

    kind: ClassVar[str] = "tracker"
    protocol: ClassVar[type] = Tracker

    def _send(self, tracker: Any, event: Event) -> None:
        advice = "; a tracker takes every kind and skips what it does not know"
        with self.must_not_raise(Exception, f"log() of an event of kind '{event.kind}'", advice):
            tracker.log(event)

    def test_it_takes_the_events_of_two_runs(self, tmp_path: Path) -> None:
        tracker = self.build(tmp_path)
        for seed in (0, 1):
            tracker.start(self.context(tmp_path, seed))
            for event in EVENTS:
                self._send(tracker, event)
        tracker.close()

    def test_it_skips_a_kind_of_event_that_it_does_not_know(self, tmp_path: Path) -> None:
        tracker = self.build(tmp_path)
        tracker.start(self.context(tmp_path))
        self._send(tracker, Event(kind="of-the-future"))  # type: ignore[arg-type]
        tracker.close()

    def test_it_can_be_closed_without_a_run(self, tmp_path: Path) -> None:
        self.must(self.build(tmp_path).close() is None, "close() must return nothing")

    def test_it_takes_what_it_says_it_takes(self, tmp_path: Path) -> None:
        tracker, ctx = self.build(tmp_path), self.context(tmp_path)
        picture = tmp_path / "examples.png"
        Image.new("RGB", (8, 8)).save(picture)
        if isinstance(tracker, HasExpect):
            tracker.expect([("pi", 0), ("pi", 1)])
        if isinstance(tracker, HasDescribe):
            tracker.describe(ctx, "schema = 1", {"backbone": {"use": "timm"}, "init": []})
        tracker.start(ctx)
        for event in EVENTS:
            self._send(tracker, event)
        if isinstance(tracker, HasLogImage):
            tracker.log_image("examples", picture, 64)
        if isinstance(tracker, HasSay):
            tracker.say("a line of a library: 100 % [sic]")
        tracker.close()
