"""The report page: its content, and its behavior in a browser."""

import json
import multiprocessing
import re
import resource
import shutil
import sys
from importlib import resources

import numpy as np
import pytest
from helpers.browser import chromium, visit  # noqa: F401  (a fixture)
from helpers.judging import summary
from helpers.made_runs import record, score, three_by_three, write
from helpers.tiny_recipes import LOCAL, RECIPE as TINY

from perceptinit.analysis.compare import compare
from perceptinit.errors import MissingPackageError, WriteError
from perceptinit.recipe.reading import read_recipe
from perceptinit.reports.columns import csv_text
from perceptinit.reports.figures import ARMS, FAINT, GRID, INK
from perceptinit.reports.plots import curve_figure
from perceptinit.reports.report import render, write_figure, write_methods, write_report
from perceptinit.reports.stages import (
    accuracy_curve,
    ceiling,
    curves_by_arm,
    loss_curve,
)
from perceptinit.results.record import read_record, write_record
from perceptinit.results.runs import load_runs
from perceptinit.running.runner import run_recipe
from perceptinit.verdict.headline import Judged

ZERO_SHOT = """
[[eval]]
use = "zero-shot"
datasets = ["synthetic"]
synthetic_num_images = 48
synthetic_image_size = 16
"""


def page(folder, records, **options):
    return render(Judged.of(compare(load_runs([write(folder, records)]), **options)), with_examples=False)


def text_of(html):
    """Return the words of a page without markup and with single spaces."""
    body = re.sub(r"<(style|svg).*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return the folder of four runs of a tiny recipe: random and pi with two seeds."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "local.py").write_text(LOCAL)
    (folder / "tiny.toml").write_text(TINY + ZERO_SHOT)
    recipe = read_recipe(TINY + ZERO_SHOT, source=str(folder / "tiny.toml"), folder=folder)
    run_recipe(recipe, out=folder / "runs", device="cpu")
    return folder / "runs/tiny"


@pytest.fixture(scope="module")
def tiny_page(tiny):
    out = tiny / "report.html"
    write_report(Judged.of(compare(load_runs([tiny]))), out)
    return out


def test_the_page_states_arms_data_results_and_intervals(tmp_path):
    words = text_of(page(tmp_path, three_by_three()))
    assert "The same network was trained 3 ways, 3 times each (seeds)" in words
    assert "Zero-shot top-1 accuracy on x (50 images), after 100 image-text pairs seen." in words
    first = words.index(
        "pi is better than random by 3.0 points on these 50 images (55.0 and 52.0 %; 95 % interval"
    )
    assert first < words.index("Whether it matters is open, because [verdict] states no delta.")
    assert first < words.index("pi - random Is it worth it? +3.0 points Better:")
    assert first < words.index("pi - shuffled Is it the human structure? +5.0 points Better:")
    assert "Is it worth it? pi is better than random by 3.0 points" in words
    assert "95 % interval +0.5 to +5.5, 3 seeds" in words
    assert "triplet-hinge on shuffled-votes of nights" in words
    assert "3 of 3 (seeds 0 to 2)" in words
    assert (
        "The runs of a seed do not differ in first weights, text tower, batches, packages or machine; 9"
        in words
    )


def test_the_page_states_how_each_arm_differs(tiny_page):
    words = text_of(tiny_page.read_text())
    assert "random = fresh weights" in words
    assert "pi = init" in words


def test_the_page_contains_everything_to_reproduce_the_runs(tmp_path):
    records = three_by_three()
    for one in records:
        one["recipe"]["overrides"] = ["pretrain.epochs=2"]
        one["plugins"] = [{"name": "mine", "distribution": "my-plugin", "version": "1.2"}]
    words = text_of(page(tmp_path, records))
    assert "perceptinit run made.toml --set pretrain.epochs=2" in words
    assert "pip install my-plugin==1.2 torch==2.4" in words
    assert "summary = &#34;made by hand&#34;" in words  # text of the recipe
    assert "model0" in words  # hashes of weights
    assert "data0" in words  # hashes of batches


def test_missing_and_failed_runs_are_listed_on_the_page(tmp_path):
    records = three_by_three()[:-1]
    records[0] = record("random", 0, 0.5, status="failed", error="TrainingError: the loss is nan")
    records[3]["scores"] = [score(None), score(0.7, name="top1/y")]
    words = text_of(page(tmp_path, records))
    assert "random, seed 0: failed after 100 samples (TrainingError: the loss is nan)" in words
    assert "shuffled, seed 2: not started" in words
    assert "pi, seed 0: top1/x is not a finite number; it is excluded from that mean" in words
    assert " runs have finished." in words


def test_different_batches_are_reported_as_unfair(tmp_path):
    records = three_by_three()
    records[3]["hashes"]["pretrain_data"] = "other"
    words = text_of(page(tmp_path, records))
    assert "The runs of a seed differ in batches of random, shuffled and of pi; 9 of 9" in words
    assert "in nothing else" not in words


def test_a_folder_without_a_finished_run_gives_a_page(tmp_path):
    words = text_of(page(tmp_path, [record("random", 0, [], status="interrupted")]))
    assert "No run has finished with a score that could be compared." in words
    assert "random, seed 0: interrupted" in words


def test_text_of_records_is_escaped_on_the_page(tmp_path):
    records = three_by_three()
    for one in records:
        one["recipe"]["summary"] = "<script>alert(1)</script>"
    html = page(tmp_path, records)
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_the_page_is_a_single_file_with_alternative_texts(tiny_page):
    html = tiny_page.read_text()
    loaded = re.findall(r"(?:src|href)=\"([^\"#][^\"]*)\"", html)
    assert all(address.startswith("data:") for address in loaded)
    assert "url(http" not in html
    assert "@import" not in html
    assert html.count("<svg") > 4
    for svg in re.findall(r"<svg[^>]*>", html):
        assert 'aria-label="' in svg or 'aria-hidden="true"' in svg
    assert all('alt="' in image for image in re.findall(r"<img[^>]*>", html))
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_the_page_shows_curves(tiny_page):
    words = text_of(tiny_page.read_text())
    assert "Stage 1: agreement with held-out judgments (val split)" in words
    assert "simulated data" in words


def test_the_page_names_the_package_that_adds_examples(tiny_page):
    words = text_of(tiny_page.read_text())
    assert (
        "the section &#39;examples&#39; is part of the companion package perceptinit-representations" in words
    )


SECTIONS = """
from perceptinit import hookimpl
from perceptinit.plugin import DataError, Section

@hookimpl
def perceptinit_report(runs):
    title = " against ".join(f"{run.arm} {run.seed} {run.place}" for run in runs)
    yield Section(title, f"<p>{sorted(runs[0].load('final').state_dict())[0]}</p>")
    raise DataError("no more images")
"""
INTRUDER = """
import os
from perceptinit import hookimpl

class Speechless(BaseException):
    def __str__(self):
        os._exit(0)

@hookimpl
def perceptinit_report(runs):
    os.write(1, b"written")
    raise Speechless
"""


def test_plug_ins_add_sections_and_a_failed_section_is_omitted_with_the_reason(tiny, tmp_path, capfd):
    copy = tmp_path / "tiny"
    shutil.copytree(tiny, copy)
    (tmp_path / "sections.py").write_text(SECTIONS)
    (tmp_path / "intruder.py").write_text(INTRUDER)
    for file in copy.glob("*/seed*/record.json"):
        one = read_record(file)
        one["recipe"]["text"] = one["recipe"]["text"].replace(
            '["local.py"]', '["local.py", "intruder.py", "sections.py"]'
        )
        one["recipe"]["source"] = str(tmp_path / "tiny.toml")
        write_record(file, one)
    shutil.copy(tiny.parent.parent / "local.py", tmp_path)
    html = render(Judged.of(compare(load_runs([copy]))))
    assert "<h2>pi 0 1 against random 0 0</h2>" in html
    assert "<p>image." in html
    assert "no more images" in html
    assert "companion package" not in html
    assert "Sections of intruder (perceptinit_local_intruder) are not shown. unexpected Speechless" in html
    printed = capfd.readouterr()
    assert "written" not in printed.out
    assert "plug-in 'intruder (perceptinit_local_intruder)' wrote to or closed standard output" in printed.err
    assert "random 0 0" not in render(Judged.of(compare(load_runs([copy]))), with_examples=False)


def test_a_missing_package_for_reports_is_reported_with_the_install_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    comparison = compare(load_runs([write(tmp_path, three_by_three())]))
    with pytest.raises(MissingPackageError, match=r"pip install 'perceptinit\[report\]'"):
        write_report(Judged.of(comparison), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_report_writes_the_page(cli, tmp_path):
    write(tmp_path, three_by_three())
    done = cli("report", "made", "--out", "page.html", "--no-examples")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("page.html: ")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_a_file_that_is_not_a_report_is_not_overwritten(cli, tmp_path):
    write(tmp_path, three_by_three())
    own = tmp_path / "page.html"
    own.write_text("<!doctype html><p>my notes</p>")
    done = cli("report", "made", "--out", "page.html", "--no-examples")
    assert done.returncode == 2
    assert (
        "page.html: not a report of perceptinit, so it is not overwritten. Choose another file" in done.stderr
    )
    assert own.read_text() == "<!doctype html><p>my notes</p>"


def test_a_file_that_quotes_a_report_is_not_overwritten(cli, tmp_path):
    write(tmp_path, three_by_three())
    quote = 'GENERATOR = \'<meta name="generator" content="perceptinit\''
    (tmp_path / "notes.html").write_text(quote)
    done = cli("report", "made", "--out", "notes.html", "--no-examples")
    assert (done.returncode, (tmp_path / "notes.html").read_text()) == (2, quote)


@pytest.mark.parametrize("name", ["page.html", "a.svg", "a.pdf"])
def test_a_report_or_figure_on_a_full_disk_is_a_sentence(tmp_path, name):
    judged = Judged.of(compare(load_runs([write(tmp_path, three_by_three())])))
    writer = write_report if name == "page.html" else write_figure

    def fill_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # bytes; a write beyond fails as on a full disk
        with pytest.raises(WriteError, match=rf"{name}: cannot be written \(File too large\)"):
            writer(judged, tmp_path / name)

    process = multiprocessing.get_context("fork").Process(target=fill_disk)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_report_replaces_an_older_report(cli, tmp_path):
    write(tmp_path, three_by_three())
    for _ in range(2):
        assert cli("report", "made", "--out", "page.html", "--no-examples").returncode == 0


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_the_figure_is_reproducible_byte_by_byte(cli, tmp_path, suffix):
    write(tmp_path, three_by_three())
    figure, found = tmp_path / f"main{suffix}", set()
    for _ in range(2):
        assert cli("report", "made", "--out", figure.name).returncode == 0
        found.add(figure.read_bytes())
    assert len(found) == 1
    assert not (tmp_path / "report.html").exists()
    figure.write_text("my drawing")
    done = cli("report", "made", "--out", figure.name)
    assert (done.returncode, figure.read_text()) == (2, "my drawing")
    assert f"main{suffix}: not a report of perceptinit, so it is not overwritten" in done.stderr


def test_the_figure_shows_the_differences_of_the_headline_with_their_intervals(tmp_path):
    comparison = compare(load_runs([write(tmp_path, three_by_three())]))
    write_figure(Judged.of(comparison), tmp_path / "main.svg")
    svg = (tmp_path / "main.svg").read_text()
    titles = re.findall(r">([\w-]+ - [\w-]+)<", svg)
    assert titles == [answer.contrast.title for answer in summary(comparison).answers]
    assert ">improvement in top1/x, points (filled: conditions shown)<" in svg
    first = comparison.primary.difference(summary(comparison).answers[0].contrast)
    seeds = [float(x) for x in re.findall(r'x="([\d.]+)" y="[\d.]+" style="fill: #\w+; fill-opacity', svg)]
    lines = re.findall(r'd="M ([\d.]+) [\d.]+ \nL ([\d.]+) [\d.]+ \n"[^>]*stroke-width: 2;', svg)
    points = list(first.by_seed.values())
    scale = (max(seeds[:3]) - min(seeds[:3])) / (max(points) - min(points))
    drawn = [min(points) + (float(x) - min(seeds[:3])) / scale for x in lines[0]]
    assert drawn == pytest.approx([first.tested.low, first.tested.high], abs=1e-5)


def test_figures_and_pages_do_not_overwrite_each_other(cli, tmp_path):
    write(tmp_path, three_by_three())
    done = cli("report", "made", "--out", "a.pdf", "--out", "page.html", "--no-examples")
    assert done.returncode == 0
    assert done.stdout.startswith("page.html: ")
    drawn = (tmp_path / "a.pdf").read_bytes()
    (tmp_path / "page.html").write_bytes(drawn)
    done = cli("report", "made", "--out", "page.html", "--no-examples")
    assert (done.returncode, (tmp_path / "page.html").read_bytes()) == (2, drawn)


def test_names_of_scores_are_drawn_verbatim(tmp_path):
    records = three_by_three()
    for one in records:
        for row in one["scores"]:
            row["name"], row["data_set"] = "top1/$x_{1}$ & <set>", "$x_{1}$ & <set>"
    write_figure(Judged.of(compare(load_runs([write(tmp_path, records)]))), tmp_path / "a.svg")
    assert "top1/$x_{1}$ &amp; &lt;set&gt;, points" in (tmp_path / "a.svg").read_text()


def test_a_figure_requires_a_known_suffix_and_a_difference(cli, tmp_path):
    write(tmp_path, three_by_three())
    done = cli("report", "made", "--out", "main.jpg")
    assert done.returncode == 2
    assert "main.jpg: expected a file name that ends with .html, .pdf or .svg" in done.stderr
    alone = tmp_path / "alone"
    write(alone, [record("random", 0, 0.5)])
    for options in (("--out", "main.svg"), ("--methods",)):
        done = cli("report", "alone/made", *options)
        assert done.returncode == 1
        assert "no two compared arms have a seed in common in the primary score" in done.stderr


def test_the_methods_paragraph_is_generated_from_the_records(cli, tmp_path):
    write(tmp_path, three_by_three())
    done = cli("report", "made", "--methods")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    for part in (
        "3 initializations of the same network, timm (model vit): random (random initialization, unchanged), "
        "pi (triplet-hinge on nights (root nights)) and shuffled "
        "(triplet-hinge on shuffled-votes of nights (root nights)).",
        "trained with clip on csv and scored after 100 image-text pairs. Images that are not square: center-crop. "
        "Every arm finished 3 seeds.",
        "Scores: random 52.0 ± 1.2, pi 55.0 ± 1.0, shuffled 50.0 ± 1.0 (mean ± standard error over seeds).",
        "pi - random +3.0 points [+0.5, +5.5]",
        "The runs of a seed do not differ in first weights, text tower, batches, packages or machine",
        "The primary score is top1/x (50 examples, chance 10.0 %).",
        "Their intervals are 95 % Student's t intervals over seeds",
        "arms cannot be called equivalent",
        "Processor: a CPU. Torch: 2.4.",
    ):
        assert part in text
    for absent in ("simulated", "lanned", "With 6 or more seeds", "smoke", "after pretraining"):
        assert absent not in text


def methods_of(folder, records):
    return write_methods(Judged.of(compare(load_runs([write(folder, records)]))))


def test_the_methods_paragraph_claims_no_fairness_that_does_not_hold(tmp_path):
    records = three_by_three()
    records[0]["hashes"]["pretrain_data"] = "other"
    assert "The runs of a seed differ in batches" in methods_of(tmp_path, records)


def test_the_methods_paragraph_counts_the_finished_seeds_of_each_arm(tmp_path):
    records = three_by_three()
    records = [r for r in records if (r["arm"]["name"], r["seed"]) not in {("pi", 2), ("shuffled", 0)}]
    records = [r | {"status": "failed"} if r["arm"]["name"] == "shuffled" else r for r in records]
    text = methods_of(tmp_path, records)
    assert "We compared 2 initializations" in text
    assert "Finished seeds: random 3, pi 2." in text
    assert "3 of 3 runs of shuffled have no score (not started, failed)" in text


def test_the_methods_paragraph_of_one_seed_claims_no_intervals(tmp_path):
    text = methods_of(tmp_path, [r for r in three_by_three() if r["seed"] == 0])
    assert "Every arm finished 1 seed." in text
    assert "interval" not in text.split("Limits")[0]


def test_the_methods_paragraph_describes_stages_after_pretraining_and_their_data(tmp_path):
    records = three_by_three()
    for one in records:
        if one["arm"]["name"] == "pi":
            one["arm"]["resolved"] |= {
                "init": [
                    {
                        "use": "pretrain",
                        "pretrain": {"use": "clip", "pairs": {"use": "csv", "file": "own.csv"}},
                    }
                ],
                "posthoc": [{"use": "triplet", "judgments": {"use": "table", "path": "lab.csv"}}],
            }
            one["scores"] = [row | {"stage": "posthoc"} for row in one["scores"]]
    text = methods_of(tmp_path, records)
    assert (
        "pi (pretrain of clip on csv (file own.csv); after pretraining: triplet on table (path lab.csv))"
        in text
    )


def test_the_methods_paragraph_mentions_smoke_runs(tmp_path):
    records = three_by_three()
    for one in records:
        one["recipe"] = one["recipe"] | {"smoke": True}
    assert "This is a smoke run" in methods_of(tmp_path, records)


@pytest.mark.parametrize("max_seeds", [None, 8])
def test_the_methods_paragraph_states_the_sign_flip_test_at_any_number_of_looks(tmp_path, max_seeds):
    records = [
        record(arm, seed, base + lead + 0.001 * seed)
        for arm, lead in (("random", 0.0), ("pi", 0.03))
        for seed, base in enumerate((0.5, 0.51, 0.49, 0.5, 0.52, 0.5))
    ]
    if max_seeds:
        for one in records:
            one["recipe"] = one["recipe"] | {
                "text": one["recipe"]["text"] + f"\n[verdict]\ndelta = 1.0\nmax_seeds = {max_seeds}\n"
            }
    text = methods_of(tmp_path, records)
    assert "With 6 or more seeds, a claim that an arm is better or worse also requires p at most 0.05" in text


def test_the_methods_paragraph_reports_departures_from_the_plan(tmp_path):
    done = methods_of(tmp_path, three_by_three(plan="0" * 64))
    assert "Not as planned: the plan that the runs name (000000000000) is missing" in done


def with_spread(records, **after):
    """Return the records with the spread of image embeddings after stage 1 by arm, from 0.5."""
    for one in records:
        if (spread := after.get(one["arm"]["name"])) is not None:
            one["init"][0]["metrics"] |= {"spread_before": 0.5, "spread_after": spread}
    return records


def test_a_collapsed_arm_is_reported_next_to_the_headline(tmp_path):
    html = page(tmp_path, with_spread(three_by_three(), pi=0.2, shuffled=0.0002))
    _, limit = re.findall(r'<p class="limit">(.*?)</p>', html)
    assert limit.startswith("Stage 1 collapsed the image embeddings of shuffled (0.5 to 0.0002): mean cosine")


def test_a_pixel_baseline_that_scores_as_well_is_reported_next_to_the_headline(tmp_path):
    records = three_by_three()
    for one in records:
        low = score(0.6, name="2afc/bapps", chance=0.5)
        low["extra"] = {"baselines": {"pixels": {"value": 0.61, "stderr": 0.01}}}
        one["scores"].append(low)
    words = text_of(page(tmp_path, records))
    assert (
        "In 2afc/bapps, pi is not shown to be above pixels, a trivial model: 60.0 %, pixels 61.0 % (-1.0 points, 95 % "
    ) in words


def test_the_most_important_limit_is_in_the_headline_and_others_are_below_it(tmp_path):
    records = with_spread(three_by_three(), shuffled=0.02)
    for one in records:
        one["arm"]["resolved"]["pretrain"]["pairs"] = {"use": "synthetic"}
    limits = summary(compare(load_runs([write(tmp_path, records)]))).limits
    assert [limit.split()[0] for limit in limits] == ["Stage", "Images", "Below"]
    html = page(tmp_path, records)
    assert f'<p class="limit">{limits[0]}</p>' in html
    others = html[html.index("Other limits") :]
    assert f"<li><p>{limits[1]}</p>" in others


def test_no_paragraph_of_the_page_is_longer_than_60_words(tiny_page, tmp_path):
    records = three_by_three()
    for one in records:
        one["recipe"]["text"] += "[verdict]\ndelta = 1.0\nmax_seeds = 5\n"
    for html in (tiny_page.read_text(), page(tmp_path, records)):
        for paragraph in re.findall(r"<(?:p|li|td)(?: [^>]*)?>(.*?)</(?:p|li|td)>", html, re.DOTALL):
            words = text_of(re.sub(r"(?s)<details>.*?</details>|<li>", " ", paragraph)).split()
            assert len(words) <= 60, paragraph


def test_settings_that_differ_from_the_defaults_come_first(tmp_path):
    records = three_by_three()
    network = {"use": "timm", "model": "vit_tiny_patch16_224", "embed_dim": 64}
    for one in records:
        own = {"model_args": {"embed_dim": 64, "depth": 3}, "text_layers": 12}
        one["arm"]["resolved"]["backbone"] = network | own
    html = page(tmp_path, records)
    (row,) = re.findall(r'<th scope="row">network</th><td>(.*?)</td>', html)
    shown, _, fold = row.partition("<details>")
    assert "model_args (embed_dim 64, depth 3)" in shown
    assert "text_layers" not in shown  # has its default
    assert "text_layers 12" in fold


@pytest.mark.parametrize(("own", "shown"), [({}, "center-crop"), ({"fit": "pad"}, "pad")])
def test_the_page_states_how_images_become_square(own, shown, tmp_path):
    records = three_by_three()
    for one in records:
        one["arm"]["resolved"]["backbone"] = {"use": "timm", **own}
    assert f'<th scope="row">images that are not square</th><td>{shown}' in page(tmp_path, records)


def test_the_title_of_a_curve_contains_its_split(tmp_path):
    records = [
        record(
            "random",
            0,
            [
                score(v, n, name=f"2afc/{d}", chance=0.5)
                for n, v in ((0, 0.5), (100, 0.6))
                for d in ("x", "x-val")
            ],
        )
    ]
    words = text_of(page(tmp_path, records))
    assert "x (test split)" in words
    assert "x-val (val split)" in words


def test_runs_without_pretraining_have_no_figures_or_settings_of_pretraining(tiny, tmp_path):
    copy = tmp_path / "tiny"
    shutil.copytree(tiny, copy)
    for file in copy.glob("*/seed*/record.json"):
        one = read_record(file)
        one["arm"]["resolved"]["pretrain"] = None
        one["scores"] = [row for row in one["scores"] if row["samples_seen"] == 0]
        write_record(file, one)
    assert "seen by each run" not in text_of(
        render(Judged.of(compare(load_runs([copy]))), with_examples=False)
    )


def test_the_page_forbids_scripts_and_requests(tmp_path):
    html = page(tmp_path, three_by_three())
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in html


def test_figures_have_the_light_colors_of_the_page():
    css = resources.files("perceptinit.reports").joinpath("templates/report.css").read_text()
    light = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", css.split("@media")[0]))
    arms = {f"arm-{i}": colour for i, colour in enumerate(ARMS)}
    own = {"ink": INK, "faint": FAINT, "grid": GRID, **arms}
    assert own == {name: light[name] for name in own}
    assert len(set(own.values())) == len(own)  # otherwise inline SVG would use the wrong variable


def test_colors_have_sufficient_contrast_in_light_and_dark():
    from coloraide import Color

    css = resources.files("perceptinit.reports").joinpath("templates/report.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)[:2]
    for theme in (light, dark):
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", theme))
        for name, colour in colours.items():
            if name.startswith(("arm", "ink", "faint", "accent", "good", "bad", "undecided")):
                for ground in ("card", "page"):
                    ratio = Color(colour).contrast(colours[ground])
                    assert ratio >= 4.5, f"{name} on {ground}: {ratio:.2f}"


def test_stage_one_curves_are_read_from_metrics_and_events(tmp_path):
    metrics = {"2afc_val_before": 0.5, "2afc_val_epoch_02": 0.6, "2afc_val_after": 0.7}
    people = {"2afc_val_ceiling_lower": 0.8, "2afc_val_ceiling": 0.9}
    stage = {"stage": "init.0", "metrics": {**metrics, **people}}
    one = record("pi", 0, 0.5, init=[stage])
    one["arm"]["resolved"]["init"][0] = {"use": "triplet-hinge", "epochs": 4}
    folder = write(tmp_path, [one])
    rows = [
        {"kind": "step", "stage": "init.0", "step": s, "metrics": {"loss": loss}}
        for s, loss in ((10, 3.0), (20, 2.0), (10, 2.5))  # resumed: step 10 occurs twice
    ]
    (folder / "pi/seed0/events.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    runs = load_runs([folder])
    assert curves_by_arm(runs, accuracy_curve) == {"pi": [{0: 0.5, 2: 0.6, 4: 0.7}]}
    assert ceiling(runs) == (0.8, 0.9)
    stage["metrics"] |= {"kept_epoch": 1}
    assert curves_by_arm(load_runs([write(tmp_path / "early", [one])]), accuracy_curve) == {
        "pi": [{0: 0.5, 1: 0.7, 2: 0.6}]
    }
    assert curves_by_arm(runs, loss_curve) == {"pi": [{10: 2.5, 20: 2.0}]}


def test_the_page_shows_the_report_of_stage_1_of_the_first_seed_of_each_arm(tmp_path):
    def stage(after):
        metrics = {"unseen_2afc_before": 0.6, "unseen_2afc_after": after, "spread_before": 0.5}
        metrics |= {"2afc_val_before": 0.6, "2afc_val_after": after}
        row = {"stage": "init.0", "name": "triplet-hinge", "num_changed": 3, "changed": ["a", "b", "c"]}
        return {**row, "metrics": {**metrics, "spread_after": 0.4}}

    made = [record("pi", seed, 0.5 + seed / 10, init=[stage(0.7 + seed / 100)]) for seed in (0, 1)]
    made[0]["warnings"] = [{"stage": "init.0", "message": "stage 1 contracted the <embeddings>"}]
    runs = load_runs([write(tmp_path, [*made, record("random", 0, 0.4), record("random", 1, 0.5)])])
    page = render(Judged.of(compare(runs)), with_examples=False)
    section = page.partition("Reports of the initializers")[2].partition("</section>")[0]
    assert re.findall("<summary>(.*?)</summary>", section) == ["pi, seed 0"]
    assert re.findall("<li>(.*?)</li>", section) == [
        "triplet-hinge: 3 tensors changed",
        "2AFC on judgments without training images (chance 0.5) 0.600 -&gt; 0.700, gain +0.100",
        "mean cosine distance of two images: 0.5 -&gt; 0.4",
        "Warning: stage 1 contracted the &lt;embeddings&gt;",
    ]


def test_the_page_opens_in_a_browser_without_errors_or_requests(chromium, tiny_page, tmp_path):  # noqa: F811
    broken = tmp_path / "broken.html"
    broken.write_text('<img src="http://example.invalid/x.png"><script>console.error("no")</script>')
    seen = visit(chromium, broken, tmp_path)  # shows that the test can fail
    assert seen.console
    assert seen.requests == ["http://example.invalid/x.png"]
    seen = visit(chromium, tiny_page, tmp_path)
    assert seen.console == []
    assert seen.requests == []
    assert "What was compared" in seen.dom


def test_the_page_supports_light_dark_and_narrow_screens(chromium, tiny_page, tmp_path):  # noqa: F811
    from PIL import Image

    def brightness(*flags):
        image = tmp_path / "shot.png"
        visit(chromium, tiny_page, tmp_path, f"--screenshot={image}", *flags)
        return np.asarray(Image.open(image).convert("L"))

    light = brightness("--window-size=1000,1600")
    dark = brightness("--window-size=1000,1600", "--blink-settings=preferredColorScheme=0")
    assert light.mean() > 200 > 60 > dark.mean()
    assert light.std() > 20  # the page is not blank
    measuring = tmp_path / "measuring.html"
    script = "<script>document.title = document.documentElement.scrollWidth - innerWidth</script>"
    page = re.sub(
        r"<meta http-equiv=[^>]*>", "", tiny_page.read_text()
    )  # the policy of the page forbids scripts
    measuring.write_text(page.replace("</body>", script + "</body>"))
    seen = visit(chromium, measuring, tmp_path, "--window-size=500,900", "--dump-dom")
    assert re.search(r"<title>(-?\d+)</title>", seen.dom)[1] == "0"


def test_the_page_states_when_leads_emerge_and_draws_them(tmp_path):
    records = three_by_three()
    for one in records:
        one["scores"].insert(0, score(0.1, 0))
    html = page(tmp_path, records)
    words = text_of(html)
    assert "pi - random, top1/x: emerged by 100 samples seen (late)." in words
    assert (
        "Data sets of top1 in which a lead emerged: pi - random in 1 of 1 (0.025 expected by chance)" in words
    )
    assert "Line charts of leads over samples seen: pi - random, top1/x: emerged by 100" in html


def test_the_page_has_no_section_on_emergence_with_one_evaluation(tmp_path):
    assert "When leads emerge" not in text_of(page(tmp_path, three_by_three()))


def drawn(folder, values):
    """Return the curve of one arm with these values at 100 samples, one per seed."""
    records = [record("random", seed, [score(0.1, 0), score(v, 100)]) for seed, v in enumerate(values)]
    comparison = compare(load_runs([write(folder, records)]))
    return curve_figure(comparison, comparison.primary).svg


def test_two_seeds_are_drawn_as_points_and_three_as_a_band(tmp_path):
    two, three = drawn(tmp_path / "2", (0.4, 0.6)), drawn(tmp_path / "3", (0.4, 0.6, 0.5))
    assert ("PathCollection" in two, "PolyCollection" in two) == (True, False)
    assert ("PathCollection" in three, "PolyCollection" in three) == (False, True)


def test_the_record_contains_the_training_judgments_of_an_arm(tiny):
    runs = load_runs([tiny])
    assert runs.about("pi")["taught_by"] == ["synthetic"]
    assert runs.about("random")["taught_by"] == []
    taught = {s.measure for s in compare(runs).scores if s.taught}
    assert taught == {"2afc"}


def test_a_cell_that_a_spreadsheet_would_execute_is_escaped():
    rows = [{"name": "=1+1", "mean": -0.5, "runs": ["-a", "b"]}]
    assert csv_text(["name", "mean", "runs"], rows) == "name,mean,runs\n'=1+1,-0.5,-a b\n"
