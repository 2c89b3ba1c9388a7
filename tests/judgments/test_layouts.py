"""Tables exported by NEXT, Salmon, Meadows and jsPsych, and spreadsheets, are read without conversion."""

import json
import re
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.configs import read_config
from perceptinit.errors import DataError
from perceptinit.files import tables
from perceptinit.files.tables import read_table
from perceptinit.judgments.own.choices import OddOneOutTable
from perceptinit.judgments.own.table import Table
from perceptinit.judgments.sources import as_table, build_judgments

REGISTRY = build_plugin_manager().registry


@pytest.fixture
def folder(tmp_path):
    for i in range(6):
        Image.new("RGB", (4, 4), (40 * i, 0, 0)).save(tmp_path / f"{i:03d}.jpg")
    return tmp_path


def answers(path, cls=Table, **config):
    """Return (anchor, chosen, not chosen, votes) or (images, odd) of all judgments by name."""
    judgments = cls(cls.Config(path=path, val_share=0.0, test_share=0.0, **config))
    if cls is OddOneOutTable:
        odd = judgments.load_odd_one_out("train")
        ids = odd.stimuli.ids
        return {
            (tuple(ids[i] for i in images), ids[images[np.argmax(votes)]])
            for images, votes in zip(odd.images, odd.votes, strict=True)
        }
    t = judgments.load("train")
    names = [t.stimuli.ids[i] for i in range(len(t.stimuli))]
    return {
        (names[a], names[s if p > 0.5 else f], names[f if p > 0.5 else s], int(n))
        for a, f, s, p, n in zip(t.anchor, t.first, t.second, t.p_second, t.num_votes, strict=True)
    }


EXPECTED = {("000.jpg", "001.jpg", "002.jpg", 1), ("003.jpg", "005.jpg", "004.jpg", 1)}
ODD = {
    (("000.jpg", "001.jpg", "002.jpg"), "002.jpg"),
    (("003.jpg", "004.jpg", "005.jpg"), "003.jpg"),
}


def test_participant_data_of_next_are_read(folder):
    # NEXT-psych, PoolBasedTripletMDS: the header and order of columns of its participant data
    (folder / "next.csv").write_text(
        "Participant ID,Timestamp,Center,Left,Right,Answer,Alg Label\n"
        "oeJq63,2015-02-25 21:36:50,000.jpg,001.jpg,002.jpg,001.jpg,Test\n"
        "oeJq63,2015-02-25 21:36:52,003.jpg,004.jpg,005.jpg,005.jpg,Test\n"
    )
    assert answers(folder / "next.csv") == EXPECTED
    assert answers(folder / "next.csv", subjects=("oeJq63",)) == EXPECTED


def test_responses_of_salmon_are_read_with_file_names_or_numbers(folder):
    # Salmon 1.0, /responses: columns as its own tests list them
    named = (
        "head,left,right,winner,loser,head_filename,left_filename,right_filename,winner_filename,puid,score\n"
    )
    rows = "0,1,2,1,2,000.jpg,001.jpg,002.jpg,001.jpg,x,-9999\n3,4,5,5,4,003.jpg,004.jpg,005.jpg,005.jpg,y,-9999\n"
    (folder / "responses.csv").write_text(named + rows)
    assert answers(folder / "responses.csv") == EXPECTED
    (folder / "numbers.csv").write_text("head,left,right,winner,loser,puid\n0,1,2,1,2,x\n3,4,5,5,4,y\n")
    assert answers(folder / "numbers.csv", image="{:03d}.jpg") == EXPECTED
    records = [
        {"head": 0, "left": 1, "right": 2, "winner": 1},
        {"head": 3, "left": 4, "right": 5, "winner": 5},
    ]
    (folder / "responses.json").write_text(json.dumps(records))
    assert answers(folder / "responses.json", image="{:03d}.jpg") == EXPECTED


@pytest.mark.parametrize("labels", [("002", "003"), ("id2", "id3")])
def test_annotations_of_the_triplet_choice_task_of_meadows_are_read(folder, labels):
    # docs.meadows-research.com: annotations; other tasks of an experiment are in the same file
    header = (
        "task,participation,stim1_id,stim2_id,stim3_id,stim1_name,stim2_name,stim3_name,start,resp,label\n"
    )
    (folder / "annotations.csv").write_text(
        header
        + f"odd,neat-ox,id0,id1,id2,000,001,002,2020-09-14T18:18:43.196Z,2020-09-14T18:19:00.993Z,{labels[0]}\n"
        + f"odd,neat-ox,id3,id4,id5,003,004,005,2020-09-14T18:19:00.995Z,2020-09-14T18:19:38.363Z,{labels[1]}\n"
        + "lbl1,neat-ox,id0,,,000,,,2020-09-14T18:19:38.364Z,2020-09-14T18:20:24.634Z,a river\n"
    )
    assert answers(folder / "annotations.csv", OddOneOutTable, image="{}.jpg") == ODD


def trial(**own):
    return {
        "rt": 812,
        "trial_type": "html-button-response",
        "time_elapsed": 9,
        "internal_node_id": "0.0",
        **own,
    }


TRIALS = [
    {"rt": None, "trial_type": "preload", "success": True, "trial_index": 0},
    trial(stimulus="<p>...</p>", anchor="000.jpg", first="001.jpg", second="002.jpg", response=0),
    trial(stimulus="<p>...</p>", anchor="003.jpg", first="004.jpg", second="005.jpg", response=1),
    trial(stimulus="<p>...</p>", anchor="001.jpg", first="004.jpg", second="005.jpg", response=None),
]


@pytest.mark.parametrize("write", [
    lambda trials: json.dumps(trials),
    lambda trials: "\n".join(json.dumps([t]) for t in trials),
], ids=["one person", "lines of JATOS"])  # fmt: skip
def test_trials_of_jspsych_with_stimuli_in_their_data_are_read(folder, write):
    # docs.jspsych.org: json() of the data module; `response` is the button, from 0
    (folder / "data.json").write_text(write(TRIALS))
    assert answers(folder / "data.json") == EXPECTED


def test_odd_one_out_trials_of_jspsych_are_read_from_csv(folder):
    (folder / "data.csv").write_text(
        "rt,trial_type,response,image_1,image_2,image_3,subject_id\n"
        "null,preload,,,,,7\n"
        "800,html-button-response,2,000.jpg,001.jpg,002.jpg,7\n"
        "900,html-button-response,0,003.jpg,004.jpg,005.jpg,7\n"
    )
    assert answers(folder / "data.csv", OddOneOutTable) == ODD


def test_responses_of_later_versions_of_next_are_read(folder):
    # format_responses of apps/PoolBasedTripletMDS/myApp.py
    url = "https://s3.example.org/fruit/"
    (folder / "responses.csv").write_text(
        "alg_label,participant_uid,target_center,target_left,target_right,target_winner\n"
        f"Test,a,{url}000.jpg,{url}001.jpg,{url}002.jpg,{url}001.jpg\n"
        f"Test,b,{url}003.jpg,{url}004.jpg,{url}005.jpg,{url}005.jpg\n"
    )
    assert answers(folder / "responses.csv") == EXPECTED


def test_two_urls_with_one_file_name_are_refused(folder):
    (folder / "next.csv").write_text(
        "Center,Left,Right,Answer\nhttps://e.org/a/000.jpg,https://e.org/b/000.jpg,002.jpg,002.jpg\n"
    )
    with pytest.raises(DataError, match=r"have the same file name '000\.jpg'\. Rename one"):
        answers(folder / "next.csv")


def test_a_saved_spreadsheet_is_read(folder):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [["anchor", "first", "second", "first_votes", "second_votes", None],
                ["000.jpg", "001.jpg", "002.jpg", 1, 0], [], ["003.jpg", "004.jpg", "005.jpg", 0.0, 1.0, None]]:  # fmt: skip
        book.active.append(row)
    book.save(folder / "lab.xlsx")
    assert answers(folder / "lab.xlsx") == EXPECTED
    assert read_table(folder / "lab.xlsx").rows.tolist() == [2, 4]
    (folder / "torn.xlsx").write_bytes((folder / "lab.xlsx").read_bytes()[:900])
    with pytest.raises(DataError, match=r"torn\.xlsx: not a readable \.xlsx file"):
        answers(folder / "torn.xlsx")


def test_formulas_of_a_spreadsheet_are_read_as_their_saved_values(folder):
    path = lab_sheet(folder / "lab.xlsx", ["anchor", "first", "second", "votes"], ["a", "b", "c", "=1+2"])
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    # openpyxl saves formulas without values, spreadsheet programs with them
    sheet = "xl/worksheets/sheet1.xml"
    files[sheet] = re.sub(rb"<v ?/>|<v></v>", b"<v>3</v>", files[sheet])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert read_table(path).texts("votes") == ["3"]


def lab_sheet(path, *rows):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def test_a_spreadsheet_that_unpacks_to_more_than_the_limit_is_refused(folder):
    path = lab_sheet(folder / "bomb.xlsx", ["anchor", "positive", "negative"])
    data = bytearray(path.read_bytes())
    # the size of a member in the directory of the archive
    struct.pack_into("<I", data, data.find(b"PK\1\2") + 24, 600 << 20)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"bomb\.xlsx: unpacks to more than 512 MB\. Save only the table"):
        read_table(path)


def test_a_spreadsheet_with_too_many_empty_cells_is_refused(folder, monkeypatch):
    monkeypatch.setattr(tables, "MAX_CELLS", 1000)
    far = [None] * 300 + ["x"]
    path = lab_sheet(folder / "far.xlsx", ["anchor", "positive", "negative"], far, far, far, far)
    with pytest.raises(DataError, match=r"far\.xlsx: has more than 1,000 cells, including empty ones"):
        read_table(path)


def test_the_stated_dimensions_of_a_spreadsheet_are_ignored(folder):
    path = lab_sheet(folder / "lab.xlsx", ["anchor", "positive", "negative"], [
        "000.jpg", "001.jpg", "002.jpg"], ["003.jpg", "005.jpg", "004.jpg"])  # fmt: skip
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    assert b'ref="A1:C3"' in sheet
    parts["xl/worksheets/sheet1.xml"] = sheet.replace(b'ref="A1:C3"', b'ref="A1:XFD1048576"')
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    assert answers(path) == EXPECTED


def test_an_image_pattern_converts_numbers_to_file_names(folder):
    (folder / "lab.csv").write_text("anchor,positive,negative\n0,1,2\n3,5,4\n")
    assert answers(folder / "lab.csv", image="{:03d}.jpg") == EXPECTED
    (folder / "lab.csv").write_text("anchor,positive,negative\n000,001,002\nx,005,004\n")
    with pytest.raises(DataError, match=r"row 3: anchor: cannot insert 'x' into image = '{:03d}.jpg'"):
        answers(folder / "lab.csv", image="{:03d}.jpg")


@pytest.mark.parametrize("pattern", ["{.jpg", "{name}.jpg", "a.jpg"])
def test_an_invalid_image_pattern_is_a_problem_of_the_recipe(pattern):
    config, [problem] = read_config(Table.Config, {"path": "a.csv", "image": pattern}, "judgments")
    assert config is None
    assert f"image = '{pattern}'" in str(problem)


@pytest.mark.parametrize(
    ("header", "component"),
    [
        ("anchor,positive,negative", "Table"),
        ("Center,Left,Right,Answer", "Table"),
        ("image_1,image_2,image_3,odd", "OddOneOutTable"),
        ("stim1_name,stim2_name,stim3_name,label", "OddOneOutTable"),
        ("first,second,p_same", "SameDifferent"),
    ],
)
def test_the_columns_choose_the_component(folder, header, component):
    (folder / "lab.csv").write_text(f"{header}\n" + ",".join("a" * len(header.split(","))) + "\n")
    found = build_judgments(as_table(str(folder / "lab.csv"), REGISTRY), REGISTRY)
    assert type(found).__name__ == component


def test_invalid_rows_are_reported_in_one_line_per_kind(folder):
    rows = [f"00{i % 5}.jpg,00{(i + 1) % 5}.jpg,gone.jpg,x,1" for i in range(15)] + [
        "000.jpg,000.jpg,001.jpg,-1,2"
    ]
    (folder / "lab.csv").write_text("anchor,first,second,first_votes,second_votes\n" + "\n".join(rows))
    with pytest.raises(DataError) as caught:
        answers(folder / "lab.csv")
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "row 17: the image '000.jpg' occurs twice in one row" in lines[0]
    assert "row 2: second 'gone.jpg': no such image" in lines[1]
    assert "(15 such rows: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...)" in lines[1]
    assert "row 2: first_votes is 'x', not a whole number (15 such rows: 2," in lines[2]
    assert "row 17: first_votes is -1; it must be at least 0" in lines[3]


def test_a_table_of_another_kind_is_reported_with_its_component(folder):
    (folder / "lab.csv").write_text("image_1,image_2,image_3,odd\n000.jpg,001.jpg,002.jpg,000.jpg\n")
    with pytest.raises(DataError, match=r"The columns match 'odd-one-out': use it instead"):
        answers(folder / "lab.csv")
