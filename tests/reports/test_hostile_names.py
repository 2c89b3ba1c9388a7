"""Names in tables and records are displayed unchanged in every output, and never become markup."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from helpers.browser import chromium, visit
from helpers.hostile_names import NAMES
from helpers.made_runs import three_by_three, write
from markdown_it import MarkdownIt

from perceptinit.analysis.compare import compare
from perceptinit.errors import DataError, RecipeError
from perceptinit.files.markup import to_latex, to_markdown
from perceptinit.reports.columns import FORMULAS
from perceptinit.reports.formats import csv_table, json_table, latex_table, markdown_table, runs_table
from perceptinit.reports.report import render, write_figure
from perceptinit.results.record import read_record
from perceptinit.results.run_tables import TableOptions, load_results, read_table_plan
from perceptinit.verdict.headline import Judged

__all__ = ["chromium"]
BREAKS = ("a\nb", "a\r\n\\input b", "a\x0bb", "a\x85b", "a\u2028b", "b\n")


@pytest.fixture(scope="module", params=["arms", "sets"])
def made(request, tmp_path_factory):
    """Return the hostile names, the comparison with them, and the same one with plain names."""
    folder = tmp_path_factory.mktemp("made")
    plain = [f"name {i}" for i in range(len(NAMES))]
    return [
        judge(folder / f"{kind}.csv", request.param, names)
        for kind, names in (("hostile", NAMES), ("plain", plain))
    ]


def judge(path, kind, names):
    rows = []
    for i, name in enumerate(names):
        for seed, noise in enumerate((0.01, 0.03, 0.02)):
            if kind == "arms":
                rows.append((name, seed, "accuracy", "x", 0.5 + i / 1000 + noise * (i % 3)))
            else:
                rows += [
                    (arm, seed, "accuracy", name, 0.5 + noise * k) for k, arm in enumerate(("random", "pi"))
                ]
    if kind == "arms":
        rows += [("random", seed, "accuracy", "x", 0.5 + seed / 100) for seed in range(3)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("arm", "seed", "measure", "data_set", "value"), *rows])
    return Judged.of(compare(load_results([path], options=TableOptions(baseline="random"))))


def names_of(judged):
    """Return the names that the comparison contains: of arms, or of data sets."""
    arms = [arm for arm in judged.comparison.runs.arms if arm != "random"]
    return arms if len(arms) > 1 else [score.data_set for score in judged.comparison.scores]


def from_latex(text):
    for name, sign in (("textasciicircum", "^"), ("textasciitilde", "~"), ("textbackslash", "\0")):
        text = text.replace(f"\\{name}{{}}", sign)
    return re.sub(r"\\([&%$#_{}])", r"\1", text.removeprefix("{}")).replace("\0", "\\")


def test_there_are_at_least_forty_names(made):
    assert len(NAMES) >= 40
    assert set(names_of(made[0])) == set(NAMES)


def test_latex_displays_names():
    for name in NAMES:
        escaped = to_latex(name)
        assert from_latex(escaped) == name
        commands = re.findall(r"\\([A-Za-z]+|.)", escaped)
        assert set(commands) <= {"textbackslash", "textasciicircum", "textasciitilde", *"&%$#_{}"}
        assert not re.search(r"(?<!\\)[%$#_&^~]", escaped)
        assert not escaped.startswith(("[", "*"))


def test_a_latex_table_contains_only_its_own_commands_and_columns(made):
    text = latex_table(made[0], made[0].comparison.all_scores)
    lines = [line for line in text.splitlines() if not line.startswith("% ")]
    assert lines[0].startswith(r"\begin{tabular}")
    assert lines[-1] == r"\end{tabular}"
    assert lines[1] == r"\toprule"
    rows = [line for line in lines[2:-2] if line != r"\midrule"]
    num = len(re.findall(r"(?<!\\)&", rows[0]))
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {num}
    own = "begin end toprule midrule bottomrule quad pm textbackslash textasciicircum textasciitilde"
    assert set(re.findall(r"\\([A-Za-z]+)", "\n".join(lines))) <= set(own.split())


class Tags(HTMLParser):
    """The tags of a page with the names of their attributes, and its texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        self.tags.append(("comment",))


def render_markdown(text):
    return Tags(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def test_markdown_displays_names_in_a_paragraph_an_item_and_a_cell():
    own = {"p", "ul", "li", "h1", "table", "thead", "tbody", "tr", "th", "td"}
    for name in NAMES:
        escaped = to_markdown(name)
        for text in (escaped, f"* {escaped}", f"# {escaped}", f"| a |\n|---|\n| {escaped} |"):
            found = render_markdown(text)
            assert {tag for tag, *_ in found.tags} <= own, name
            assert name in "".join(found.texts)
        assert not re.search(r"(?<!\\)://|www\.", escaped), name


def test_a_markdown_table_has_the_structure_of_one_with_plain_names(made):
    hostile, plain = (render_markdown(markdown_table(j, j.comparison.all_scores)) for j in made)
    assert hostile.tags == plain.tags
    text = "".join(hostile.texts)
    assert [name for name in NAMES if name not in text] == []


def test_csv_has_no_formula_and_json_contains_the_names(made):
    judged = made[0]
    scores = judged.comparison.all_scores
    for text in (csv_table(judged, scores), runs_table(judged.comparison.runs)):
        rows = list(csv.reader(io.StringIO(text)))
        assert {len(row) for row in rows} == {len(rows[0])}
        cells = {cell for row in rows for cell in row}
        assert [
            cell for cell in cells if cell.startswith(FORMULAS) and not re.fullmatch(r"-[\d.e-]+", cell)
        ] == []
        assert [name for name in NAMES if not {name, f"'{name}"} & cells] == []
    values = json.loads(json_table(judged, scores))["values"]
    keys = {*values, *next(iter(values.values()))}
    assert [name for name in NAMES if not {name, f"accuracy/{name}"} & keys] == []


def test_the_page_has_the_structure_of_one_with_plain_names(made):
    pages = list(map(render, made))
    # the marks of a figure depend on the lengths of names
    hostile, plain = (Tags(re.sub("<svg.*?</svg>", "", page, flags=re.DOTALL)) for page in pages)
    assert hostile.tags == plain.tags
    drawn = [set(Tags("".join(re.findall("<svg.*?</svg>", page, re.DOTALL))).tags) for page in pages]
    assert drawn[0] == drawn[1]
    if "#1b2430" in made[0].comparison.runs.arms:  # the colors and ids of tags are replaced, and no names
        labels = " ".join(Tags("".join(re.findall("<svg.*?</svg>", pages[0], re.DOTALL))).texts)
        assert [name for name in ("#1b2430", 'id="a"', "url(#a)") if name not in labels] == []
    texts = "".join(Tags(pages[0]).texts)
    assert [name for name in NAMES if name not in texts] == []


def test_a_figure_has_the_structure_of_one_with_plain_names(made, tmp_path):
    tags = []
    for i, judged in enumerate(made):
        write_figure(judged, tmp_path / f"{i}.svg")
        root = ElementTree.parse(tmp_path / f"{i}.svg").getroot()
        tags.append({element.tag for element in root.iter()})
    assert tags[0] == tags[1]


@pytest.mark.slow
def test_a_browser_runs_nothing_and_requests_nothing(made, chromium, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(render(made[0]), encoding="utf-8")
    seen = visit(chromium, page, tmp_path)
    assert (seen.console, seen.requests) == ([], [])
    found = Tags(seen.dom)
    assert "script" not in {tag for tag, *_ in found.tags}
    assert not {name for _, *names in found.tags for name in names if name.startswith("on")}


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("column", ["arm", "measure", "data_set"])
def test_a_table_with_a_line_break_in_a_name_is_refused(tmp_path, column, name):
    row = {"arm": "random", "seed": 0, "measure": "accuracy", "data_set": "x", "value": 0.5} | {column: name}
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([row, row.values()])
    with pytest.raises(DataError, match=rf"a\.csv, row 2: {column} contains a line break: .*\. Remove it"):
        load_results([tmp_path / "a.csv"], options=TableOptions(baseline="random"))


def test_a_plan_and_a_record_with_a_line_break_in_a_name_are_refused(tmp_path):
    plan = 'arms = ["random", "a\\nb"]\nseeds = [0, 1]\nbaseline = "random"\n'
    (tmp_path / "plan.toml").write_text(plan)
    with pytest.raises(RecipeError, match="contains a line break"):
        read_table_plan(tmp_path / "plan.toml")
    records = three_by_three()
    records[0]["scores"][0]["name"] = "top1/x\n\\input{x}"
    record = write(tmp_path, records) / "random/seed0/record.json"
    with pytest.raises(DataError, match=r"record\.json: a name is invalid \(contains a line break"):
        read_record(record)


def test_control_characters_of_a_table_are_escaped(tmp_path):
    text = "arm,seed,measure,value\nrandom,0,accuracy,0.5\nred\x1b[31m\u202e,0,accuracy,0.6\n"
    (tmp_path / "a.csv").write_text(text)
    runs = load_results([tmp_path / "a.csv"], options=TableOptions(baseline="random"))
    assert runs.arms == ("random", r"red\x1b[31m\u202e")
