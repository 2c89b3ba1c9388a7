"""A plan as people read it: Markdown that is plain on a terminal, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perceptinit.results.preregistration import plan_sha256

NOT_KNOWN = "not known: [verdict] states no noise with its delta, and no pilot runs (--pilot) tell how much seeds differ"


def plan_text(plan: Mapping[str, Any]) -> str:
    """Return all that a plan says but for the arms' settings, which are in the file."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Mapping[str, Any]) -> Iterator[str]:
    recipe, verdict = plan["recipe"], plan["verdict"]
    yield f"# Plan of {recipe['name']}"
    yield from ("", recipe["summary"]) if recipe["summary"] else ()
    yield from (
        "",
        f"Written {plan['written']} by perceptinit {plan['versions']['packages'].get('perceptinit', '')}.",
    )
    yield f"SHA-256 {plan_sha256(plan)}"
    delta = verdict["delta"]
    facts = {
        "Expected": plan["hypothesis"],
        "Delta": "not stated, so that no arms can be called equivalent" if delta is None else points(delta),
        "Measured by": ", ".join(str(table.get("use")) for table in plan["shared"]["eval"]),
        "Primary score": plan["measures"],
        "Seeds": ", ".join(map(str, plan["seeds"])),
        "Stopping": plan["stopping"],
        "Left out": plan["exclusions"],
    }  # fmt: skip
    yield from _list("", [f"{name}: {text}" for name, text in facts.items()])
    yield from _list(
        "What is compared",
        [f"{c['arm']} - {c['reference']}: {c['question']}" for c in plan["contrasts"]],
    )
    yield from _list(
        "Arms",
        [
            f"{arm['difference']} (fingerprint {arm['fingerprint']}"
            f"{', baseline' if arm['name'] == plan['baseline'] else ''})"
            for arm in plan["arms"]
        ],
    )
    yield from _list("Tuning", _tuning(plan["tune"]) if "tune" in plan else [])
    yield from _list("Set on the command line", [f"--set {s}" for s in recipe["overrides"]])
    yield from _list("What these seeds can find", plan["prospects"] or [NOT_KNOWN])
    yield from _list("Runs that were there", [_record(row) for row in plan["records"]] or ["none"])


def _tuning(tune: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"every arm alike: {tune['trials']} trials in each of {tune['studies']} studies, by {tune['measure']} of "
        f"{tune['eval']['use']} on validation data"
    )
    for key, r in tune["space"].items():
        yield f"{key} from {r['low']:g} to {r['high']:g} ({r['scale']})"


def points(delta: float) -> str:
    """Return a number of points: `1 point`, `0.5 points`."""
    return f"{delta:g} point{'s' if delta != 1 else ''}"


def _list(title: str, found: Iterable[str]) -> Iterator[str]:
    if lines := list(found):
        yield from ("", f"## {title}") if title else ()
        yield ""
        yield from (f"* {line}" for line in lines)


def _record(row: Mapping[str, Any]) -> str:
    return f"{row['arm']}, seed {row['seed']}: {row['status']}, begun {row['started']}, SHA-256 {row['sha256'][:12]}"
