"""The module that benchmarks share: options, alternation, medians, ratios and processes."""

import os
import re
import sys

import bench
import pytest


def parse(*words):
    return bench.parse(None, rounds=5, workers=[1, 2], fetch=False, tiny={"rounds": 1}, arguments=words)


def test_options_have_the_type_of_their_defaults():
    options = parse("--workers", "3", "--fetch")
    assert (options.rounds, options.workers, options.fetch) == (5, [3], True)


def test_tiny_replaces_defaults_but_not_options_that_are_given():
    assert parse("--tiny").rounds == 1
    assert parse("--tiny", "--rounds", "7").rounds == 7


def test_sides_alternate_and_warm_up_rounds_are_dropped():
    calls = []
    sides = {name: lambda name=name: calls.append(name) or len(calls) for name in ("ours", "peer")}
    assert bench.alternate(sides, rounds=2, warm_up=1) == {"ours": [3, 5], "peer": [4, 6]}
    assert calls == ["ours", "peer"] * 3


def test_a_spread_is_the_median_with_the_range():
    assert bench.spread([0.003, 0.001, 0.002], "ms", 1, scale=1000) == "2.0 ms (1.0 to 3.0)"


def test_a_ratio_compares_the_sides_of_each_round():
    assert bench.ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == "2.00 x (1.00 to 3.00)"


def test_a_command_is_measured_with_its_output():
    found = bench.run_command([sys.executable, "-c", "print(bytearray(50_000_000)[0])"])
    assert found.output == "0\n"
    assert found.cpu > 0
    assert found.peak_bytes > 50_000_000


def test_a_failed_command_ends_the_benchmark_with_its_error():
    with pytest.raises(SystemExit, match="no such measure"):
        bench.run_command([sys.executable, "-c", "raise SystemExit('no such measure')"])


def test_a_new_process_is_another_python():
    assert bench.in_new_process(os.getpid) != os.getpid()


def test_turns_of_two_processes_are_measured_in_alternation(capsys):
    code = "import sys\nwhile True: sum(range(5_000_000)); print('turn', file=sys.stderr, flush=True)"

    def start(name):
        return bench.PausedProcess(name, [sys.executable, "-c", code], "turn")

    bench.race([lambda: start("ours"), lambda: start("peer")], rounds=1, warm_up=1, samples=1)
    title, _, ours, peer = capsys.readouterr().out.splitlines()
    assert "CPU ms a sample" in title
    assert ours.startswith("| ours |")
    assert ours.endswith("| 1 | 1 |")
    assert re.fullmatch(r"\| peer .* x \(.* to .*\) \|", peer)


def test_a_profile_of_work_in_this_process_names_its_functions():
    assert "sorted" in bench.profile_here(lambda: sorted(range(100_000), key=str))


def test_a_process_that_ends_early_shows_its_last_lines():
    process = bench.PausedProcess("peer", [sys.executable, "-c", "raise SystemExit('no data')"], "turn")
    with pytest.raises(SystemExit, match="no data"):
        process.take_turn()
    process.end()
