"""CSV, Parquet, JSON and .xlsx tables of judgments, of image-text pairs, and for packing."""

import csv
import io
import json
import re
import zipfile

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness import damaged, fuzz, outcome
from hypothesis import given, strategies as st
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from PIL import Image

from perceptinit import build

NAMES = ("a.png", "b.png", "c.png", "d.png", "e.png")
OPTIONS = {"ratings": {"higher_is_better": True}, "multi-select": {"is_ranked": True}}
COLUMNS = {
    "table": ("anchor", "first", "second", "first_votes", "second_votes"),
    "table ": ("anchor", "first", "second", "p_second", "num_votes"),
    "table  ": ("anchor", "first", "second", "choice"),
    "table   ": ("anchor", "positive", "negative"),
    "odd-one-out": ("image_1", "image_2", "image_3", "odd"),
    "odd-one-out ": ("image_1", "image_2", "image_3", "votes_1", "votes_2", "votes_3"),
    "ratings": ("reference", "image", "rating", "num_ratings"),
    "same-different": ("first", "second", "p_same"),
    "multi-select": ("anchor", "chosen_1", "chosen_2", "other_1"),
    "csv": ("image", "caption"),
}
IMAGE_COLUMNS = {
    "anchor", "first", "second", "positive", "negative", "choice", "odd", "reference", "image",
    "image_1", "image_2", "image_3", "chosen_1", "chosen_2", "other_1",
}  # fmt: skip
NUMBER_COLUMNS = {
    "first_votes", "second_votes", "num_votes", "votes_1", "votes_2", "votes_3", "p_second", "p_same", "num_ratings",
}  # fmt: skip
TEXTS = (
    "", " ", "0", "1", "7", "-1", "0.5", "1_0", "nan", "inf", "1e400", "-0.0", "٣", "0x10", "9" * 30,
    "9223372036854775808", "true", "train", "first", "../a.png", "/etc/passwd", "a.png/", "A.PNG",
    "x" * 300, "d/" * 2500 + "a.png", "a\0.png", "a\n.png", "\x1b[31m", "é.png", "\ud800", "[red]", "'\"",
)  # fmt: skip
CELLS_OF_JSON = (None, 1, 1.5, True, 10**400, [1], {"a": "b.png"}, "a.png", float("nan"))
ODD = (None, [1, 2], {"bytes": b"x", "path": "a"}, b"\x89PNG", True, 2**63 - 1, 1.5, float("nan"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for i, name in enumerate(NAMES):
        Image.fromarray(np.full((4, 5, 3), 40 * i, np.uint8)).save(folder / name)
    return folder


@st.composite
def grids(draw):
    """Draw a kind of table with its header and rows."""
    use = draw(st.sampled_from(sorted(COLUMNS)))
    header = list(COLUMNS[use])
    header += draw(st.lists(st.sampled_from(("split", "group", "subject", "note", "spilt")), max_size=2))
    if draw(st.integers(0, 5)) == 0:
        header[draw(st.integers(0, len(header) - 1))] = draw(st.sampled_from(TEXTS))
    odd = draw(st.sampled_from((0, 0, 1, 3)))
    num_rows = draw(st.integers(0, 6))
    rows = [[_cell(draw, name) for name in header] for _ in range(num_rows)]
    for _ in range(odd * bool(num_rows)):
        row = rows[draw(st.integers(0, num_rows - 1))]
        row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from(TEXTS) | st.text(max_size=20))
    return use.strip(), header, rows


def _cell(draw, name):
    if name in IMAGE_COLUMNS:
        return draw(st.sampled_from(NAMES))
    if name == "split":
        return draw(st.sampled_from(("train", "val", "test")))
    if name in ("p_second", "p_same"):
        return draw(st.sampled_from(("0", "0.25", "1")))
    return draw(st.sampled_from(("0", "1", "2", "30")))


@st.composite
def csv_tables(draw):
    use, header, rows = draw(grids())
    file = io.StringIO()
    csv.writer(file, delimiter=draw(st.sampled_from(",,,;\t"))).writerows([header, *rows])
    text = file.getvalue().encode("utf-8", "surrogatepass")
    hurt = draw(damaged(text))
    cells = [(name, cell) for row in rows for name, cell in zip(header, row, strict=True)]
    return use, hurt, cells if hurt == text else None


@st.composite
def parquet_tables(draw):
    use, header, rows = draw(grids())
    columns = {}
    for name, cells in zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True):
        columns[name.encode("utf-8", "replace").decode()] = _typed(draw, cells)
    file = io.BytesIO()
    pq.write_table(
        pa.table(columns), file, compression=draw(st.sampled_from(("none", "snappy"))),
        row_group_size=draw(st.sampled_from((1, 2, 100))),
    )  # fmt: skip
    return use, draw(damaged(file.getvalue()))


@st.composite
def json_tables(draw):
    use, header, rows = draw(grids())
    records = [
        {name: draw(st.sampled_from((cell, cell, *CELLS_OF_JSON))) for name, cell in zip(header, row, strict=True)}
        for row in rows
    ]  # fmt: skip
    form = draw(st.sampled_from(("list", "lines", "nested")))
    if form == "lines":
        text = "\n".join(json.dumps(record) for record in records)
    else:
        text = json.dumps(records if form == "list" else [records, records])
    return use, draw(damaged(text.encode()))


@st.composite
def xlsx_tables(draw):
    use, header, rows = draw(grids())
    book = openpyxl.Workbook()
    for number, row in enumerate([header, *rows], start=1):
        for column, cell in enumerate(row, start=draw(st.sampled_from((1, 1, 1, 2)))):
            text = ILLEGAL_CHARACTERS_RE.sub("", cell.encode("utf-8", "replace").decode())
            book.active.cell(number, column, draw(st.sampled_from((text, text, 1.5, True))))
    if draw(st.integers(0, 4)) == 0:
        book.active.cell(draw(st.sampled_from((1, 9, 1048576))), 16384, "far")
    file = io.BytesIO()
    book.save(file)
    return use, draw(damaged(_with_damaged_part(draw, file)))


def _with_damaged_part(draw, file):
    """Return an archive in which one part may be damaged, with a valid checksum."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = draw(st.sampled_from(sorted(parts)))
    parts[name] = draw(damaged(parts[name]))
    new = io.BytesIO()
    with zipfile.ZipFile(new, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return new.getvalue()


def _typed(draw, cells):
    """Return a column as text, integers, floats or unusual values."""
    texts = [c.encode("utf-8", "replace").decode() for c in cells]
    kind = draw(st.sampled_from(("text", "text", "int", "float", "odd")))
    if kind == "odd":
        return pa.array([draw(st.sampled_from(ODD))] * len(texts))
    if kind != "text":
        try:
            return pa.array([int(t) if kind == "int" else float(t) for t in texts])
        except (ValueError, OverflowError, pa.ArrowInvalid):
            return pa.array(texts)
    return pa.array(texts)


def open_table(use, path):
    """Return the content of a table, read by its component."""
    if use != "csv":
        table = {"use": use, "path": str(path), "images": str(path.parent)}
        return build("judgments", {**table, **OPTIONS.get(use, {})}).load("train")
    options = {"use": "csv", "file": str(path)}
    if path.suffix == ".parquet":
        options = {
            "use": "parquet",
            "files": str(path),
            "image_column": "image",
            "text_column": "caption",
        }
    pairs = build("pairs", options)
    complaints = list(pairs.preflight())
    if not complaints:
        assert all(pairs.pair(i).key for i in range(pairs.num_pairs))
    return complaints


def check(sort, use, data, path, rows=None):
    """Check the property for one table; rows: its cells if the file is valid."""
    path.write_bytes(data)
    found = outcome(sort, lambda: open_table(use, path), [path.name], path.parent)
    if use != "csv" and found is not None:
        assert ((found.p_second >= 0) & (found.p_second <= 1)).all()
        assert (found.num_votes >= 1).all()
        for name, cell in rows or ():
            if name in NUMBER_COLUMNS:
                assert re.fullmatch(r" *[+-]?[0-9.]+(e[0-9]+)? *", cell), (name, cell)


@fuzz(20)
@given(csv_tables())
def test_a_csv_table_is_read_correctly_or_refused_in_one_sentence(place, drawn):
    use, data, cells = drawn
    check("csv", use, data, place / "table.csv", cells)


@fuzz(20)
@given(parquet_tables())
def test_a_parquet_table_is_read_correctly_or_refused_in_one_sentence(place, drawn):
    check("parquet", *drawn, place / "table.parquet")


@fuzz(20)
@given(json_tables(), st.sampled_from((".json", ".jsonl")))
def test_a_json_table_is_read_correctly_or_refused_in_one_sentence(place, drawn, suffix):
    check("json", *drawn, place / f"table{suffix}")


@fuzz(25)
@given(xlsx_tables())
def test_a_spreadsheet_is_read_correctly_or_refused_in_one_sentence(place, drawn):
    check("xlsx", *drawn, place / "table.xlsx")
