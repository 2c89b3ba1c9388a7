"""Flip bits in the databases of a study, and export and restore it after each flip.

    python benchmarks/collect_flips.py --flips 300
    python benchmarks/collect_flips.py --flips 300 --seed $RANDOM
    python benchmarks/collect_flips.py --flips 150 --design

Half of the flips hit files of a stopped server, the others those of a killed one, with a write-ahead log. A flip is
silent if the table differs without a message, or if a row differs. A flip that changes no row is counted apart. With
--design, the flips hit the locked design, which is not restored.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import bench
from collect_crowd import take_part
from collect_load import make_study, write_photographs
from perceptinit_collect.checks import copy_answers, restore
from perceptinit_collect.export import export
from perceptinit_collect.store import FILE
from perceptinit_collect.study import open_study

from perceptinit.errors import PerceptInitError


def answered_studies(temporary: Path, people: int) -> list[Path]:
    """Return two studies with the same answers: of a killed server and of a stopped one."""
    study, killed = temporary / "study", temporary / "killed"
    write_photographs(temporary / "photographs", 30)
    make_study(temporary / "photographs", study, "--per-person", 20)
    rng = random.Random(0)
    with open_study(study) as opened:
        for number in range(people):
            take_part(opened, f"participant{number}", rng, rng.randrange(10, 40))
        copy_answers(study)
        take_part(opened, "late", rng, 20)
        shutil.copytree(study, killed, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
    return [killed, study]


def flip(path: Path, rng: random.Random) -> None:
    """Flip a bit of a byte that is not zero."""
    path.chmod(0o600)  # designs are read-only
    data = bytearray(path.read_bytes())
    at = rng.choice([i for i, byte in enumerate(data) if byte])  # most zeros are unused space
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def export_lines(study: Path) -> tuple[list[str], bool]:
    """Return the lines of the table, and whether a message was printed."""
    (table, *_), _, problems = export(study, study / "table.csv")
    return table.read_text().splitlines(), bool(problems)


def try_flip(study: Path, expected: list[str], rng: random.Random, is_design: bool) -> str:
    """Flip a bit of a copy of the study and return what the export did."""
    broken = study.with_name("broken")
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(study, broken)
    pattern = "design-*.json" if is_design else f"{FILE}*"
    flip(rng.choice([path for path in broken.glob(pattern) if path.stat().st_size]), rng)
    try:
        lines, is_reported = export_lines(broken)
    except PerceptInitError:
        lines, is_reported = [], True
    except Exception as error:
        return f"traceback: {error!r}"
    if not is_reported:
        return "changed nothing" if lines == expected else "silent"
    if set(lines) - set(expected):
        return "silent, in a row of another participant"
    if is_design:
        return "reported"
    return try_restore(broken, expected, "others exported" if lines else "reported, nothing exported")


def try_restore(broken: Path, expected: list[str], found: str) -> str:
    """Return what the export and `restore` did. Only the last participant is not in the copy."""
    try:
        restore(broken)
        lines, is_reported = export_lines(broken)
    except Exception as error:
        return f"traceback: {error!r}"
    if is_reported or set(lines) - set(expected):
        return "silent, in the restored answers"
    return f"{found}; restored {'all' if lines == expected else 'all but the answers after the copy'}"


def main() -> None:
    options = bench.parse(__doc__, flips=300, people=12, seed=0, design=False, tiny={"flips": 6, "people": 3})
    print(bench.about("perceptinit-collect"))
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        studies = answered_studies(Path(temporary), options.people)
        expected = [export_lines(study)[0] for study in studies]
        assert expected[0] == expected[1]
        found = Counter(
            try_flip(studies[i % 2], expected[0], rng, options.design) for i in range(options.flips)
        )
    print(f"{options.flips} flips, seed {options.seed}")
    for name, count in found.most_common():
        print(f"{count:6,} {name}")
    raise SystemExit(any(name.startswith(("silent", "traceback")) for name in found))


if __name__ == "__main__":
    main()
