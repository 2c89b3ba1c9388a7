"""Count the simulated participants of each kind who pass the default exclusion rule of `perceptinit collect`.

    python benchmarks/collect_crowd.py --people 1000
    python benchmarks/collect_crowd.py --people 1000 --per-person 20 50 100 --seed $RANDOM

A simulated participant knows what the page shows: the images at each position, the anchor, and the requested position
of an instructed trial. This program is independent of `perceptinit collect --simulate`. A lapse is a random click.
--per-person is the number of questions of a session; the number of attention checks follows from it. The command fails
if, with 100 questions or more, more than 5 % of the honest people with 10 % lapses are refused, or more than 5 % of a
careless kind pass (25 % of those who click randomly after two thirds). A bot that solves both kinds of attention checks
passes: no rule about answers detects it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import bench
from collect_load import write_photographs
from perceptinit_collect import people
from perceptinit_collect.design import Design, Trial, draw_session, num_trials
from perceptinit_collect.people import Answer, Origin
from perceptinit_collect.records import Given, Record, judge_records
from perceptinit_collect.settings import default_design
from perceptinit_collect.study import Study, create, current_design
from perceptinit_collect.tasks import TASKS

HONEST_LAPSES = (2, 5, 10, 15)  # percent of the trials


@dataclass(frozen=True)
class Page:
    """What a participant sees. places: image at each position. instruction: requested position, from 0."""

    anchor: int | None
    places: tuple[int, ...]
    instruction: int | None
    share: float
    """Share of the session before this trial."""
    number: int
    """Position in the session, from 0."""

    @property
    def doubled(self) -> int | None:
        """The position that the doubled image makes obvious, None if no image is shown twice."""
        if self.anchor is not None:
            return self.places.index(self.anchor) if self.anchor in self.places else None
        singles = [place for place, image in enumerate(self.places) if self.places.count(image) == 1]
        return singles[0] if len(singles) == 1 else None


Behavior = Callable[[Page, random.Random], int]


def click(page: Page, rng: random.Random) -> int:
    return rng.randrange(len(page.places))


def solve(page: Page, rng: random.Random) -> int:
    """Solve every attention check, and choose by taste otherwise."""
    obvious = page.doubled if page.instruction is None else page.instruction
    return click(page, rng) if obvious is None else obvious


def with_lapses(share: float) -> Behavior:
    return lambda page, rng: click(page, rng) if rng.random() < share else solve(page, rng)


def one_side(page: Page, rng: random.Random) -> int:
    return 0


def alternate(page: Page, rng: random.Random) -> int:
    return page.number % len(page.places)


def only_doubled(page: Page, rng: random.Random) -> int:
    """Choose by the doubled image alone; the text of an instructed trial is not read."""
    return click(page, rng) if page.doubled is None else page.doubled


def only_instructed(page: Page, rng: random.Random) -> int:
    return click(page, rng) if page.instruction is None else page.instruction


def solve_70(page: Page, rng: random.Random) -> int:
    """Solve 70 % of the attention checks, and choose a wrong position in the others."""
    right = solve(page, rng)
    if rng.random() < 0.7:
        return right
    return rng.choice([place for place in range(len(page.places)) if place != right])


def random_after(share: float) -> Behavior:
    return lambda page, rng: (with_lapses(0.02) if page.share < share else click)(page, rng)


@dataclass(frozen=True)
class Kind:
    """A kind of participant.

    most_passing: largest share that may pass. stops: number of trials, or share of them, after which the participant
    leaves. is_copied: whether the positions are those of the preceding participant.
    """

    answer: Behavior
    most_passing: float = 0.05
    seconds: tuple[float, float] = (0.5, 2.0)
    stops: float = 10_000
    is_copied: bool = False


HONEST = {f"honest, {percent} % lapses": Kind(with_lapses(percent / 100), 1.0) for percent in HONEST_LAPSES}
KINDS = {
    **HONEST,
    "always the same position": Kind(one_side),
    "alternating positions": Kind(alternate),
    "random clicks": Kind(click),
    "random clicks in less than 0.3 s": Kind(click, seconds=(0.1, 0.3)),
    "positions copied from another participant": Kind(solve, is_copied=True),
    "honest, leaves after 10 trials": Kind(with_lapses(0.02), stops=10),
    "honest, leaves after a third": Kind(with_lapses(0.02), stops=1 / 3),
    "random clicks, leaves after 20 trials": Kind(click, stops=20),
    "random clicks, leaves after two thirds": Kind(click, stops=2 / 3),
    "only the doubled image, random otherwise": Kind(only_doubled),
    "only the instructed trials, random otherwise": Kind(only_instructed),
    "70 % of the checks right": Kind(solve_70),
    "honest, random after half": Kind(random_after(1 / 2)),
    "honest, random after two thirds": Kind(random_after(2 / 3), 0.25),
    "bot that passes all attention checks": Kind(solve, 1.0),
}


def take_part(study: Study, name: str, rng: random.Random, num_answers: int) -> None:
    """Store the answers of an honest participant to the first trials."""
    design = study.design
    origin = Origin("mturk", name)
    token = study.store.submit(lambda c: people.begin(c, design, origin, keep_platform_id=True)).result()
    person = people.read_person(study.store.reader, str(people.find(study.store.reader, token)))
    pages = pages_of(design, person.trials)
    for position, page in enumerate(pages[:num_answers]):
        place = with_lapses(0.02)(page, rng)
        answer = Answer(position, place, rng.uniform(0.5, 2.0), "key", False)
        study.store.submit(lambda c, answer=answer: people.store_answer(c, person, answer)).result()


def make_design(task: str, per_person: int) -> Design:
    """Return the design of a new study with the default settings."""
    with TemporaryDirectory() as temporary:
        photographs, study = Path(temporary) / "photographs", Path(temporary) / "study"
        write_photographs(photographs, 30)
        create(photographs, study, default_design(task, 2000, per_person, False, 0), print)
        return current_design(study, print)


def pages_of(design: Design, trials: tuple[Trial, ...]) -> list[Page]:
    """Return what the page shows in each trial."""
    num_places = design.task.num_candidates
    pages = []
    for number, trial in enumerate(trials):
        candidates = trial.images[-num_places:]
        pages.append(
            Page(
                anchor=trial.images[0] if len(trial.images) > num_places else None,
                places=tuple(candidates[candidate] for candidate in trial.order),
                instruction=trial.order.index(trial.correct or 0) if trial.kind == "instructed" else None,
                share=number / len(trials),
                number=number,
            )
        )
    return pages


def made_records(design: Design, num_people: int, rng: random.Random) -> Iterator[tuple[str, Record]]:
    """Yield the kind and the record of `num_people` of each kind, who see the same sessions."""
    before = pages_of(design, tuple(draw_session(design, num_people)))
    for slot in range(num_people):
        trials = tuple(draw_session(design, slot))
        pages = pages_of(design, trials)
        for name, kind in KINDS.items():
            stop = int(kind.stops if kind.stops > 1 else kind.stops * len(trials))
            answers = {}
            for position, trial in enumerate(trials[:stop]):
                seen = before[position] if kind.is_copied else pages[position]
                place = kind.answer(seen, rng)
                answers[position] = Given(trial.order[place], rng.uniform(*kind.seconds), "key", False, 0.0)
            yield name, Record(f"{slot} {name}", design, "", None, trials, answers)
        before = pages


def count_passing(design: Design, num_people: int, rng: random.Random) -> Counter[str]:
    """Return the number of participants of each kind who pass, of `num_people` of each kind."""
    passing = Counter(dict.fromkeys(KINDS, 0))
    for name, record in made_records(design, num_people, rng):
        ((_, why),) = judge_records([record]).values()
        passing[name] += not why
    return passing


def find_violations(passing: Counter[str], num_people: int) -> list[str]:
    """Return the kinds for which the promise of docs/collect.md does not hold."""
    found = [name for name, kind in KINDS.items() if passing[name] > kind.most_passing * num_people]
    return found + [name for name in ("honest, 10 % lapses",) if passing[name] < 0.95 * num_people]


def main() -> None:
    options = bench.parse(
        __doc__, people=1000, per_person=(100,), seed=0, tiny={"people": 20, "per_person": (20,)}
    )
    print(bench.about("perceptinit-collect"))
    rng, violations = random.Random(options.seed), []
    for task in TASKS:
        for per_person in options.per_person:
            design = make_design(task, per_person)
            s = design.settings
            print(
                f"\n{task}, seed {options.seed}: {options.people:,} participants of each kind, {num_trials(s)} trials"
            )
            print(f"with {per_person} questions and {s.catch} + {s.instructed} attention checks\n")
            passing = count_passing(design, options.people, rng)
            for name, count in passing.items():
                print(f"| {name} | {count:,} |")
            if per_person >= 100:
                violations += [f"{task}: {name}" for name in find_violations(passing, options.people)]
    if violations:
        raise SystemExit("too many or too few pass: " + "; ".join(violations))


if __name__ == "__main__":
    main()
