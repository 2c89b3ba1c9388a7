"""How a table of scores was read: pairing and gaps of its seeds, and the sentence on what was assumed."""

from collections.abc import Iterable, Mapping, Sequence

from perceptinit.results.measures import is_diagnostic, split_name
from perceptinit.results.runs import LoadedRun

MIN_SHARED = 3  # seeds that two arms must share to be paired

Seeds = Mapping[str, frozenset[int]]  # by arm


def find_paired(seeds: Seeds, baseline: str) -> list[str]:
    """Return the arms that are paired with the baseline, and the baseline itself.

    An arm with other seeds is paired over the shared ones if these are at least three, and at least half of
    the runs of the smaller arm. The scores never decide this.
    """
    base = seeds.get(baseline, frozenset())
    shared = {arm: len(own & base) for arm, own in seeds.items()}
    return [
        arm
        for arm, own in seeds.items()
        if own == base or shared[arm] >= max(MIN_SHARED, min(len(own), len(base)) / 2)
    ]


def find_gaps(seeds: Seeds, paired: Iterable[str]) -> dict[str, list[int]]:
    """Return seeds of other paired arms between the first and last seed of an arm that lacks them."""
    own = {arm: seeds[arm] for arm in paired}
    every = frozenset().union(*own.values())
    gaps = {
        arm: sorted(seed for seed in every - found if min(found) < seed < max(found))
        for arm, found in own.items()
    }
    return {arm: missing for arm, missing in gaps.items() if missing}


def describe_reading(
    layout: str, runs: Sequence[LoadedRun], seeds: Seeds, paired: Sequence[str], gaps: Mapping[str, list[int]]
) -> str:
    """Return measures with direction and unit, pairing and seeds, and gaps with what to do, as a sentence."""
    kinds: dict[tuple[bool, bool], list[str]] = {}
    for row in (row for run in runs for row in run.scores):
        measure = split_name(row["name"])[0]
        if not is_diagnostic(measure):
            kinds.setdefault((row["higher_is_better"], row["is_share"]), []).append(measure)
    measures = "; ".join(
        f"{', '.join(dict.fromkeys(names))} ({'higher' if higher else 'lower'} is better"
        f"{', in percent' if share else ''})"
        for (higher, share), names in kinds.items()
    )
    by_seeds: dict[frozenset[int], list[str]] = {}
    for arm, own in seeds.items():
        by_seeds.setdefault(own, []).append(arm)
    listed = "; ".join(f"{', '.join(arms)}: seeds {write_seeds(own)}" for own, arms in by_seeds.items())
    others = [arm for arm in seeds if arm not in paired]
    pairing = f"not paired by seed: {', '.join(others)}" if others else "paired by seed"
    missing = "; ".join(f"{arm} lacks {write_seeds(own)}" for arm, own in gaps.items())
    way_out = f"{missing}: run it, or list it with status = failed" if missing else ""
    return f"Read: {'; '.join(filter(None, [measures, f'{pairing} ({listed})', way_out, layout]))}."


def write_seeds(seeds: Iterable[int]) -> str:
    """Return seeds as text, such as `0 to 4, 7`."""
    spans: list[list[int]] = []
    for seed in sorted(seeds):
        if spans and seed == spans[-1][-1] + 1:
            spans[-1].append(seed)
        else:
            spans.append([seed])
    texts = [f"{own[0]} to {own[-1]}" if len(own) > 2 else ", ".join(map(str, own)) for own in spans]
    return ", ".join(texts)
