"""Count the simulated participants of each kind who pass the default exclusion rule of `perceptinit collect`.

    python benchmarks/collect_crowd.py --people 1000
    python benchmarks/collect_crowd.py --people 1000 --seed $RANDOM

Each study has 50 people of each kind. An honest participant answers at random in 2 % of the trials. A bot that solves
both kinds of attention checks passes: no rule about answers detects it. The command fails if fewer than 98 % of the
honest people or more than 5 % of a careless kind pass.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import bench
from collect_load import make_study, write_photographs
from perceptinit_collect import people
from perceptinit_collect.design import Design, Trial, draw_session
from perceptinit_collect.people import Answer, Origin
from perceptinit_collect.records import Given, Record, judge
from perceptinit_collect.study import Study, current_design
from perceptinit_collect.tasks import TASKS

PER_STUDY = 50
LAPSES = 0.02  # share of trials


def honest(trial: Trial, rng: random.Random) -> int:
    return click(trial, rng) if rng.random() < LAPSES else solve(trial, rng)


def click(trial: Trial, rng: random.Random) -> int:
    return rng.choice(trial.order)


def one_side(trial: Trial, rng: random.Random) -> int:
    return trial.order[0]


def solve(trial: Trial, rng: random.Random) -> int:
    return click(trial, rng) if trial.correct is None else trial.correct


def obey(trial: Trial, rng: random.Random) -> int:
    return solve(trial, rng) if trial.kind == "instructed" else click(trial, rng)


@dataclass(frozen=True)
class Kind:
    """A kind of participant. num_trials: after which the participant leaves."""

    answer: Callable[[Trial, random.Random], int]
    seconds: tuple[float, float] = (0.5, 2.0)
    num_trials: int = 10_000


KINDS = {
    "honest": Kind(honest),
    "random clicks": Kind(click),
    "always the same position": Kind(one_side),
    "random clicks, fast": Kind(click, (0.1, 0.3)),
    "follows the instructed trials, random otherwise": Kind(obey),
    "random clicks, leaves after 10 trials": Kind(click, num_trials=10),
    "random clicks, leaves after 20 trials": Kind(click, num_trials=20),
    "always the same position, leaves after 15 trials": Kind(one_side, num_trials=15),
    "bot that passes all attention checks": Kind(solve),
}


def take_part(study: Study, name: str, rng: random.Random, num_trials: int) -> None:
    """Store the answers of an honest participant to the first trials."""
    design = study.design
    origin = Origin("mturk", name)
    token = study.store.submit(lambda c: people.begin(c, design, origin, keep_platform_id=True)).result()
    person = people.read_person(study.store.reader, str(people.find(study.store.reader, token)))
    for position, trial in enumerate(person.trials[:num_trials]):
        place = trial.order.index(honest(trial, rng))
        answer = Answer(position, place, rng.uniform(0.5, 2.0), "key", False)
        study.store.submit(lambda c, answer=answer: people.store_answer(c, person, answer)).result()


def make_design(task: str) -> Design:
    """Return the design of a new study with the default settings."""
    with TemporaryDirectory() as temporary:
        photographs, study = Path(temporary) / "photographs", Path(temporary) / "study"
        write_photographs(photographs, 30)
        make_study(photographs, study, task=task)
        return current_design(study, print)


def made_records(design: Design, rng: random.Random) -> Iterator[tuple[str, Record]]:
    """Yield the kind and the record of each participant of a study."""
    for slot in range(PER_STUDY * len(KINDS)):
        name, kind = list(KINDS.items())[slot % len(KINDS)]
        trials = draw_session(design, slot)
        answers = {
            position: Given(kind.answer(trial, rng), rng.uniform(*kind.seconds), "key", False, 0.0)
            for position, trial in enumerate(trials[: kind.num_trials])
        }
        yield name, Record(f"{slot}", design, "", None, tuple(trials), answers)


def count_passing(task: str, num_people: int, rng: random.Random) -> Counter[str]:
    """Return the number of participants of each kind who pass, of `num_people` of each kind."""
    design, passing = make_design(task), Counter(dict.fromkeys(KINDS, 0))
    for _ in range(num_people // PER_STUDY):
        made = list(made_records(design, rng))
        judged = judge([record for _, record in made])
        passing.update(name for name, record in made if not judged[record.person][1])
    return passing


def main() -> None:
    options = bench.parse(__doc__, people=1000, seed=0, tiny={"people": PER_STUDY})
    print(bench.about("perceptinit-collect"))
    rng, is_fine = random.Random(options.seed), True
    for task in TASKS:
        print(f"\n{task}, seed {options.seed}: {options.people:,} participants of each kind\n")
        for name, count in count_passing(task, options.people, rng).items():
            share = count / options.people
            is_fine &= share >= 0.98 if name == "honest" else share <= 0.05 or name.startswith("bot")
            print(f"| {name} | {count:,} of {options.people:,} |")
    raise SystemExit(not is_fine)


if __name__ == "__main__":
    main()
