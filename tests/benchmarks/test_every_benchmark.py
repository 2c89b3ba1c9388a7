"""Every benchmark runs in its smallest size, or the reason why it does not is in a list."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from helpers.command_line import ROOT, environment
from helpers.plugin_packages import write_metadata

FOLDER = ROOT / "benchmarks"
README = (FOLDER / "README.md").read_text("utf-8") + (FOLDER / "studies/README.md").read_text("utf-8")
SCRIPTS = [
    str(path.relative_to(FOLDER))
    for path in sorted(FOLDER.rglob("*"))
    if path.suffix == ".sh" or (path.suffix == ".py" and '__name__ == "__main__"' in path.read_text("utf-8"))
]
NOT_RUN = {
    "check_dependencies.sh": "a network, 10 GB, and half an hour",
    "eval_vs_clip_benchmark.py": "clip-benchmark",
    "first_gpu_run.py": "test_first_gpu_run.py",
    "loader_vs_open_clip.py": "open_clip's trainer with an older webdataset",
    "peer_loader.py": "a part of loader_vs_open_clip.py",
    "remote_on_s3.py": "moto's server",
    "scaling.py": "plugins/perceptinit-estimate/tests compares the page with it",
    "slurm_on_one_node.sh": "root, and a Slurm",
    "train_vs_open_clip.py": "open_clip's trainer with an older webdataset",
    "studies/beyond_labels.py": "tests/reports/test_from_records.py",
    "studies/calibration.py": "tests/analysis/test_calibration.py compares the page with it",
    "studies/drawings.py": "tests/reports/test_from_records.py",
    "studies/ladder.py": "tests/reports/test_from_records.py",
    "studies/ladder_frozen.py": "tests/reports/test_from_records.py",
    "studies/few_pairs_peak.py": "tests/reports/test_from_records.py",
    "studies/fewer_pairs.py": "tests/reports/test_from_records.py",
    "studies/known_effects.py": "tests/reports/test_published_results.py compares the pages with it",
    "studies/no_answers.py": "tests/reports/test_from_records.py",
    "studies/rebuilt_cells.py": "tests/reports/test_rebuilt_cells.py",
    "studies/rebuilt_pages.py": "tests/reports/test_rebuilt_cells.py",
    "studies/rebuilt_stage_one.py": "tests/reports/test_stage_one_page.py",
    "studies/simulated_share.py": "tests/reports/test_from_records.py",
    "studies/stage_one_page.py": "tests/reports/test_stage_one_page.py",
}
ARGUMENTS = {"studies/false_sentences.py": ["--kind", "A/A"]}
PLUGINS = dict.fromkeys(
    ("collect_crowd.py", "collect_flips.py", "collect_kills.py", "collect_load.py", "collect_scale.py"),
    "perceptinit-collect",
)


@pytest.mark.slow  # each takes up to half a minute, most of it for imports of new processes
@pytest.mark.parametrize("script", [script for script in SCRIPTS if script not in NOT_RUN])
def test_a_benchmark_runs_in_its_smallest_size(script, tmp_path):
    folders = [ROOT, ROOT / "tests", tmp_path]
    names = ""
    if script in PLUGINS:
        if not find_spec("uvicorn"):
            pytest.skip(f"the libraries of {PLUGINS[script]} are not installed; `make plugins` runs it")
        package = ROOT / "plugins" / PLUGINS[script]
        folders.append(package)
        names = ",".join(write_metadata(package, tmp_path))
    changed = environment(
        PYTHONPATH=os.pathsep.join(map(str, folders)),
        PERCEPTINIT_PLUGINS=names,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        TMPDIR=str(tmp_path),
    )
    command = [sys.executable, str(FOLDER / script), *ARGUMENTS.get(script, ["--tiny"])]
    done = subprocess.run(
        command, env=changed, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout


def test_every_reason_belongs_to_a_script():
    assert sorted(set(NOT_RUN) - set(SCRIPTS)) == []


def test_every_benchmark_has_a_line_in_a_readme():
    missing = [script for script in SCRIPTS if script.rpartition("/")[2] not in README]
    assert set(missing) <= {"peer_loader.py"}


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("check stops 3 3", "passed: stops: 3"),
        ("check stops 3 ''", "FAILED: stops: expected 3, found nothing"),
        ("echo one > a; check_line table on a", "passed: table: one"),
        ("echo one > a; check_line table two a", 'FAILED: table: no line has "two" in a:'),
        ("echo one > a; echo two > b; check_same table a b", "FAILED: table: a and b differ as above"),
    ],
)
def test_a_check_of_the_slurm_script_prints_its_name_and_what_it_saw(command, printed, tmp_path):
    script = (FOLDER / "slurm_on_one_node.sh").read_text("utf-8")
    functions = script[script.index("say() {") : script.index("# --- Slurm")]
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{functions}\n{command}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed in done.stdout
    assert done.returncode == ("FAILED" in printed)
