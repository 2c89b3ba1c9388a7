"""The decoded images of stage 1, within a budget of memory."""

from __future__ import annotations

# M stimuli, S height and width
from collections.abc import Sequence

from perceptinit.judgments.stimuli import StimulusImages
from perceptinit.types import RunContext, Stimuli

GIB = 2**30


def open_images(
    sets: Sequence[Stimuli], size: int, cache_gib: float, ctx: RunContext
) -> list[StimulusImages]:
    """Return the images of each set; equal stimuli share theirs, the first set has first claim on memory.

    What does not fit into `cache_gib` is decoded at every use, with a warning.
    """
    room = int(cache_gib * GIB)
    opened: dict[int, StimulusImages] = {}
    for stimuli in sets:
        if id(stimuli) in opened:
            continue
        need = len(stimuli) * 3 * size * size
        if need > room:
            ctx.warn(
                f"{len(stimuli):,} images of {size} pixels need {need / GIB:.2g} GiB, more than is left of "
                f"cache_gib = {cache_gib:g}: they are decoded again at every use"
            )
        opened[id(stimuli)] = StimulusImages(
            stimuli, size, num_workers=ctx.num_workers, cache_bytes=room
        )
        room -= need if need <= room else 0
    return [opened[id(stimuli)] for stimuli in sets]
