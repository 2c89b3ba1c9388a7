"""CPU time of the status of `perceptinit collect` with many participants, and memory of the server.

    python benchmarks/collect_scale.py --people 10000
    python benchmarks/collect_scale.py --people 10000 --minutes 30

The study contains finished participants, who are written to the database directly, in chains of checksums as the
server writes them. The status is computed twice in new processes, as for `--status` and as for the owner's page: the
first time, all answers are verified; the second time, only those of one participant who answered in between. Then as
many participants start over HTTP within --minutes, each fetches the trials and answers one, and the owner's page is
opened every half a minute. The growth of the server's memory is counted from the 600th of them, after which its caches
are full.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

import bench
from collect_load import make_study, start, write_photographs
from perceptinit_collect import people
from perceptinit_collect.people import Answer, Origin
from perceptinit_collect.simulate import Browser
from perceptinit_collect.store import ANSWER, chain_sha256
from perceptinit_collect.study import Study, open_study

FILLED = 600  # participants after which the caches of the server are full
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def add_finished(study: Study, number: int, rng: random.Random) -> None:
    """Write the answers of a participant who finished; call it within a transaction."""
    writer = study.store.writer
    token = people.begin(writer, study.design, Origin("mturk", f"w{number}"), keep_platform_id=False)
    person = people.read_person(writer, str(people.find(writer, token)))
    (last,) = writer.execute("SELECT sha256 FROM people WHERE id = ?", (person.id,)).fetchone()
    rows = []
    for position, trial in enumerate(person.trials):
        answer = rng.choice(trial.order) if trial.correct is None else trial.correct
        row = (position, answer, rng.uniform(0.5, 2), "key", 0, time.time(), "300x200 1280x800")
        last = chain_sha256(last, row)
        rows.append((person.id, *row, last))
    marks = ", ".join("?" * len(rows[0]))
    writer.executemany(f"INSERT INTO answers (person, {ANSWER}, sha256) VALUES ({marks})", rows)


def add_one_answer(folder: Path) -> None:
    with open_study(folder) as study:
        origin = Origin("mturk", "late")
        token = study.store.submit(
            lambda c: people.begin(c, study.design, origin, keep_platform_id=False)
        ).result()
        person = people.read_person(study.store.reader, str(people.find(study.store.reader, token)))
        study.store.submit(lambda c: people.store_answer(c, person, Answer(0, 0, 1.0, "key", False))).result()


def cpu_seconds(*command: object) -> float:
    """Return the CPU seconds of a command in a new process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_cpu_seconds(folder: Path) -> None:
    commands = {
        "--status": ("-m", "perceptinit", "collect", folder, "--status"),
        "the owner's page": ("-P", "-m", "perceptinit_collect.aside", "status", folder),
    }
    print(f"all answers verified: {cpu_seconds(*commands['--status']):.1f} CPU s")
    for name, command in commands.items():
        add_one_answer(folder)
        print(f"{name}, one participant with a new answer: {cpu_seconds(*command):.2f} CPU s")


def memory_of(process: subprocess.Popen[str]) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def print_memory(folder: Path, num_people: int, minutes: float) -> None:
    """Print the growth of the server's memory while participants start."""
    server, address = start(folder, "--port", 0)
    token = (folder / "owner-token").read_text().strip()
    began, shown, before = time.monotonic(), 0.0, memory_of(server)
    try:
        for number in range(num_people):
            if number == FILLED:
                before = memory_of(server)
            browser = Browser(address)
            browser.fetch("/begin", "agree=yes", FORM, "POST")
            browser.fetch("/state")
            answer = {"position": 0, "place": 0, "seconds": 1.0, "input": "key", "is_interrupted": False}
            browser.fetch("/answer", json.dumps(answer), JSON, "POST")
            if time.monotonic() > shown + 30:
                shown = time.monotonic()
                urlopen(
                    Request(f"{address}owner/status", headers={"authorization": f"Bearer {token}"})
                ).read()
            time.sleep(max(0, began + 60 * minutes * number / num_people - time.monotonic()))
        lasted = (time.monotonic() - began) / 60
        growth = memory_of(server) - before
        print(
            f"{num_people:,} participants started in {lasted:.1f} min: the server's memory grew by {growth:.0f} MB"
        )
        print(f"to {memory_of(server):.0f} MB")
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    options = bench.parse(
        __doc__,
        people=10_000,
        minutes={"default": 0.0, "help": "in which the participants start; 0 is as fast as possible"},
        seed=0,
        tiny={"people": 30},
    )
    print(bench.about("perceptinit-collect"))
    rng = random.Random(options.seed)
    with TemporaryDirectory() as temporary:
        photographs, folder = Path(temporary) / "photographs", Path(temporary) / "study"
        write_photographs(photographs, 60)
        make_study(photographs, folder)
        with open_study(folder) as study:
            for first in range(0, options.people, 100):  # transactions of 100 participants
                study.store.writer.execute("BEGIN IMMEDIATE")
                for number in range(first, min(first + 100, options.people)):
                    add_finished(study, number, rng)
                study.store.writer.execute("COMMIT")
        print(f"{options.people:,} participants who finished")
        print_cpu_seconds(folder)
        print_memory(folder, options.people, options.minutes)


if __name__ == "__main__":
    main()
