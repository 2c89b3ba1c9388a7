"""Names in untrusted files are printed verbatim: no terminal control sequences and no markup."""

import json

import pytest
from helpers.made_runs import record, three_by_three, write
from helpers.short_recipes import RECIPE

from perceptinit.analysis.compare import compare
from perceptinit.errors import DataError, WriteError, printable
from perceptinit.exporting.source import _fence
from perceptinit.files.markup import to_markdown
from perceptinit.results.record import read_record
from perceptinit.results.runs import load_runs
from perceptinit.types import RunContext
from perceptinit.verdict.headline import Judged

# sets the clipboard, moves up a line and erases it, reverses the text direction
EVIL = "a\x1b]52;c;ZXZpbA==\x07b\x1b[1A\x1b[2Kc\u202ed\x9be"
TAMED = r"a\x1b]52;c;ZXZpbA==\x07b\x1b[1A\x1b[2Kc\u202ed\x9be"


def test_control_characters_are_escaped_and_other_characters_unchanged():
    assert printable(EVIL) == TAMED
    assert printable("line\n\tété 日本 👩‍🔬 [bold]") == "line\n\tété 日本 👩‍🔬 [bold]"


def test_errors_and_warnings_escape_file_names(tmp_path):
    assert str(DataError(f"{EVIL}: cannot be decoded")) == f"{TAMED}: cannot be decoded"
    assert TAMED in str(WriteError(tmp_path / EVIL, "no room"))
    events = []
    RunContext(send=events.append).warn(f"{EVIL}: replaced")
    assert events[0].message == f"{TAMED}: replaced"


def test_tables_escape_the_text_of_records(tmp_path, capsys):
    from rich.console import Console

    from perceptinit.reports.status import status_table
    from perceptinit.reports.tables import rich_table
    from perceptinit.running.queue import in_queue

    records = three_by_three()
    records[0] = record("random", 0, [], status="failed", error=f"OSError: {EVIL} [/red] [[init]]")
    records[1]["scores"][0]["name"] = f"top1/{EVIL}[/bold]"
    folder = write(tmp_path, records)
    path = folder / "random/seed0/record.json"
    assert read_record(path)["error"] == f"OSError: {TAMED} [/red] [[init]]"
    console = Console(width=400, markup=False, highlight=False)
    runs = load_runs([folder])
    console.print(status_table(runs, in_queue))
    comparison = compare(runs)
    console.print(rich_table(Judged.of(comparison), comparison.scores))
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    assert "[/red] [[init]]" in shown
    assert f"{TAMED}[/bold]" in shown


@pytest.mark.parametrize("verb", [("status",), ("compare", "--all")])
def test_status_and_compare_show_brackets_verbatim(cli, tmp_path, verb):
    records = three_by_three()
    records[0] = record("random", 0, [], status="failed", error="OSError: [/red] [[init]]")
    done = cli(*verb, write(tmp_path, records), COLUMNS="300")
    assert done.returncode == 0, done.stderr
    assert "[/red] [[init]]" in done.stdout


def test_the_model_card_escapes_html():
    assert to_markdown("<script>alert(1)</script> & more") == "&lt;script>alert(1)&lt;/script> & more"
    block = _fence("toml", 'text = """\n```\n<img src=x>\n````\n"""')
    assert block.startswith("`````toml\n")
    assert block.endswith("\n`````")


def test_html_in_a_record_is_escaped_in_the_model_card(tmp_path, tiny_card):
    card = tiny_card("<img src=x onerror=alert(1)>", ["`</code><script>`=1"])
    head, _, recipe = card.partition("## Recipe")
    assert "<" not in head.replace("<FOLDER>", "")
    assert recipe.count("```") == 4


@pytest.fixture
def tiny_card(tmp_path):
    from types import SimpleNamespace

    import torch

    from perceptinit.components.plugin_manager import build_plugin_manager
    from perceptinit.exporting.source import TrainedRun, Written, model_card
    from perceptinit.types import Fit

    def make(summary, overrides):
        own = record("random", 0, 0.5)
        own["recipe"].update(summary=summary, overrides=overrides, name=summary)
        own["arm"]["summary"] = summary
        own["scores"][0]["name"] = f"top1/{summary}"
        own = json.loads(json.dumps(own))
        image = SimpleNamespace(mean=torch.zeros(3), std=torch.ones(3))
        model = SimpleNamespace(image=image, image_size=4, fit=Fit())
        return model_card(TrainedRun(model, {}, own, build_plugin_manager()), "timm", Written("usage\n"))

    return make


def test_validate_escapes_the_summary_of_a_recipe(cli, tmp_path):
    text = RECIPE.replace('name = "looks"', f'name = "looks"\nsummary = {json.dumps(EVIL)}')
    (tmp_path / "looks.toml").write_text(text)
    done = cli("validate", "looks.toml")
    assert TAMED in done.text
    assert not set(done.text) & set("\x1b\x07\x9b\u202e")
