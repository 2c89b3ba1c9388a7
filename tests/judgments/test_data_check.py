"""`perceptinit data check` reports problems that affect training or scores."""

import csv
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from perceptinit.errors import DataError
from perceptinit.judgments.baselines import pair_agreement
from perceptinit.judgments.data_check import check_judgments
from perceptinit.judgments.forms.splits import SPLITS
from perceptinit.judgments.own.matrix_set import RdmSet
from perceptinit.judgments.own.table import Table
from perceptinit.judgments.sheet import write_sheet
from perceptinit.types import DataCard, Stimuli, Triplets

HEADER = ["anchor", "first", "second", "first_votes", "second_votes"]


def write_images(folder, count):
    for i in range(count):
        pixels = np.full((6, 8, 3), i * 10, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")


def write_table(folder, rows, header=HEADER):
    with (folder / "lab.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def row(anchor, first, second, *votes):
    return [f"{anchor:02d}.png", f"{first:02d}.png", f"{second:02d}.png", *votes]


def table(folder, **config):
    return Table(Table.Config(path=folder / "lab.csv", **config))


class Given:
    """Judgments with given rows: {split: rows of (anchor, first, second, p_second, group)}."""

    name = "given"

    def __init__(self, votes=4, **splits):
        self.votes, self.splits = votes, splits
        self.stimuli = Stimuli(tuple("abcdefgh"), [np.zeros((4, 4, 3), np.uint8)] * 8)

    @property
    def card(self):
        return DataCard(title="given", source_url="", license="", citation="")

    def load(self, split):
        anchor, first, second, p, group = zip(*self.splits[split], strict=True)
        return Triplets.build(self.stimuli, anchor, first, second, p, self.votes, group)


def messages(report, severity):
    """Return the messages, except for the one about small splits, which applies to every table here."""
    return [
        f.message for f in report.findings if f.severity == severity and "reliable intervals" not in f.message
    ]


GOOD = {
    "train": [(0, 1, 2, 0.25, 0), (0, 1, 3, 1.0, 0)],
    "val": [(4, 1, 2, 0.5, 4), (4, 1, 3, 1.0, 4)],
    "test": [(5, 1, 2, 0.0, 5)],
}


def test_valid_judgments_are_counted_without_errors():
    report = check_judgments(Given(**GOOD))
    assert report.ok
    assert messages(report, "warning") == []
    train = report.splits[0]
    assert (train.num_judgments, train.num_votes, train.num_images, train.num_anchors) == (
        2,
        8,
        4,
        1,
    )
    assert train.ceiling is None  # of 8 votes
    assert train.p_second_wins == 0.5
    assert train.histogram == (0, 0, 1, 0, 0, 0, 0, 0, 0, 1)
    assert report.splits[1].num_ties == 1


def test_pair_agreement_is_the_share_of_agreeing_pairs_of_votes():
    stimuli = Stimuli(("a", "b", "c"), [b""] * 3)
    # 3 of 4: pairs that agree 3 of 6; 1 of 1 says nothing
    many = np.zeros(50, int)
    triplets = Triplets.build(stimuli, many, many + 1, many + 2, [0.75, 1.0] * 25, [4, 1] * 25)
    assert pair_agreement(triplets) == pytest.approx(3 / 6)


def test_a_missing_ceiling_is_reported_with_the_required_votes():
    alone = [(0, 1, 2, 1.0, 0)] * 100
    report = check_judgments(Given(**GOOD | {"train": alone}, votes=1))
    assert (report.splits[0].ceiling, report.splits[0].pair_agreement) == (None, None)
    assert any(
        m.startswith("train: no human ceiling. It requires 100 individual votes")
        for m in messages(report, "note")
    )


def test_a_test_only_set_is_not_an_error(tmp_path):
    write_images(tmp_path, 5)
    write_table(tmp_path, [row(0, 1, 2, 3, 1), row(1, 3, 4, 1, 3)])
    report = check_judgments(table(tmp_path, test_share=1.0, val_share=0.0))
    assert report.ok
    assert [s.split for s in report.splits] == ["test"]
    assert any("no judgments in split 'train'" in m for m in messages(report, "warning"))


def test_a_ceiling_is_reported_with_enough_repeated_votes():
    report = check_judgments(Given(**GOOD | {"train": [(0, 1, 2, 0.75, 0)] * 25}))
    assert report.splits[0].ceiling == (0.75, 0.75)
    assert not any(m.startswith("train: no human") for m in messages(report, "note"))


def test_groups_and_questions_in_two_splits_are_leaks():
    leaky = {**GOOD, "test": [(0, 2, 1, 0.0, 0), (5, 1, 2, 0.0, 5)]}
    report = check_judgments(Given(**leaky))
    assert not report.ok
    assert messages(report, "error") == [
        "leak: 1 groups are in both 'train' and 'test'",
        "leak: 1 questions are in both 'train' and 'test', such as a / b / c",
    ]
    assert "1 of 2 anchors of 'test' are also anchors in 'train'" in messages(report, "warning")[0]


def test_repeated_questions_and_a_constant_winner_give_warnings():
    rows = [(0, 1, 2, 0.0, 0)] * 25
    report = check_judgments(Given(**{**GOOD, "train": rows}))
    assert report.ok
    constant, repeated = messages(report, "warning")
    assert constant.startswith("train: 'first' wins all 25 decided judgments")
    assert repeated.startswith("train: 24 of 25 rows repeat a question")


def test_judgments_that_are_all_ties_give_a_warning():
    report = check_judgments(Given(**{**GOOD, "train": [(0, 1, 2, 0.5, 0)]}))
    assert messages(report, "warning") == ["train: all 1 judgments are ties"]


def test_an_unreadable_image_is_reported(tmp_path):
    write_images(tmp_path, 12)
    write_table(tmp_path, [row(i, i + 1, i + 2, 3, 1) for i in range(10)])
    (tmp_path / "03.png").write_bytes(b"no image")
    report = check_judgments(table(tmp_path))
    assert len(messages(report, "error")) == 1
    assert (
        f"1 of 12 images cannot be read: {tmp_path / '03.png'}: cannot be decoded"
        in messages(report, "error")[0]
    )
    assert check_judgments(table(tmp_path), decode=False).ok


def test_a_missing_image_is_reported_once_with_its_row(tmp_path):
    write_images(tmp_path, 5)
    write_table(tmp_path, [row(0, 1, 2, 3, 1), row(1, 2, 9, 3, 1)])
    report = check_judgments(table(tmp_path))
    assert len(messages(report, "error")) == 1
    assert "row 3: second '09.png': no such image" in messages(report, "error")[0]
    assert not report.ok


def test_transparent_images_are_reported_with_their_background(tmp_path):
    write_images(tmp_path, 12)
    for name in ("03.png", "07.png"):
        pixels = np.full((6, 8, 4), 255, dtype=np.uint8)
        pixels[:, :2, 3] = 0
        Image.fromarray(pixels).save(tmp_path / name)
    write_table(tmp_path, [row(i, i + 1, i + 2, 3, 1) for i in range(10)])
    sentence = "2 of 12 images have transparent pixels (25.0% on average), which are shown on background ="
    report = check_judgments(table(tmp_path))
    assert f"{sentence} #ffffff" in messages(report, "note")
    report = check_judgments(table(tmp_path, background="#8090a0"))
    assert f"{sentence} #8090a0" in messages(report, "note")


def png_of_16_bits(shape):
    """Return an encoded PNG with three channels of 16 bits, which Pillow cannot write."""
    height, width = shape
    rows = b"".join(b"\0" + bytes(6 * width) for _ in range(height))
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )


def test_turned_deep_and_animated_images_are_counted(tmp_path):
    write_images(tmp_path, 12)
    write_table(tmp_path, [row(i, i + 1, i + 2, 3, 1) for i in range(10)])
    frames = [Image.new("L", (8, 6), 10 * i) for i in range(3)]
    frames[0].save(tmp_path / "00.png", format="GIF", save_all=True, append_images=frames[1:])
    Image.fromarray(np.full((6, 8), 9000, np.uint16)).save(tmp_path / "01.png")
    (tmp_path / "02.png").write_bytes(png_of_16_bits((6, 8)))
    exif = Image.Exif()
    for name, orientation in (("03.png", 6), ("04.png", 3), ("05.png", 1)):
        exif[0x0112] = orientation
        Image.new("RGB", (8, 6)).save(tmp_path / name, format="JPEG", exif=exif)
    notes = messages(check_judgments(table(tmp_path)), "note")
    assert "2 of 12 images are turned by their EXIF orientation, as in browsers" in notes
    assert "2 of 12 images have 16 bits per channel, of which the upper 8 are used" in notes
    assert "1 of 12 images have several frames (animations), of which the first is used" in notes


def test_usual_images_give_no_note_on_their_files(tmp_path):
    write_images(tmp_path, 12)
    write_table(tmp_path, [row(i, i + 1, i + 2, 3, 1) for i in range(10)])
    notes = " ".join(messages(check_judgments(table(tmp_path)), "note"))
    assert not any(word in notes for word in ("EXIF", "16 bits", "frames", "transparent"))


def test_equal_problems_are_reported_once_and_longer_ones_are_kept():
    class Broken(Given):
        def preflight(self):
            return ["lab.csv: row 2 is empty"]

        def load(self, split):
            details = {"train": "", "val": " and row 3 too", "test": ""}
            raise DataError(f"lab.csv: row 2 is empty{details[split]}")

    found = check_judgments(Broken(**GOOD)).findings
    assert [(f.severity, f.message) for f in found] == [
        ("error", "lab.csv: row 2 is empty"),
        ("note", "lab.csv: row 2 is empty and row 3 too"),
    ]


def matrix(folder, cells, kind="dissimilarity"):
    """Return the judgments of matrices of 12 images; shape of the cells: (12, 12) or (S, 12, 12)."""
    write_images(folder, 12)
    np.save(folder / "lab.npy", cells)
    (folder / "names.txt").write_text("\n".join(f"{i:02d}.png" for i in range(12)))
    paths = {"path": folder / "lab.npy", "names": folder / "names.txt", "images": folder}
    return RdmSet(RdmSet.Config(**paths, kind=kind, val_share=0.3, test_share=0.3, min_gap=0.0))


def similarities():
    """Return the similarities of 12 points on a line, 1 on the diagonal."""
    place = np.arange(12.0) ** 1.5
    return np.exp(-np.abs(place[:, None] - place) / 10)


def inverted(judgments):
    found = check_judgments(judgments, decode=False).findings
    return [f.message for f in found if f.severity == "error"]


def test_a_similarity_matrix_given_as_dissimilarity_is_an_error_with_the_way_out(tmp_path):
    assert inverted(matrix(tmp_path, similarities())) == [
        f'{tmp_path}/lab.npy: kind = "dissimilarity", but the diagonal of the matrix is the maximum, as in '
        'similarities. Set kind = "similarity", or the cells of the diagonal to nan'
    ]


def test_the_number_of_inverted_matrices_is_reported(tmp_path):
    cells = np.stack([similarities(), 1 - similarities(), similarities() ** 2])
    (said,) = inverted(matrix(tmp_path, cells))
    assert "the diagonal of 2 of 3 matrices is the maximum" in said


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda cells: cells, "similarity"),
        (lambda cells: 1 - cells, "dissimilarity"),
        (lambda cells: np.where(np.eye(12, dtype=bool), np.nan, cells), "dissimilarity"),
    ],
    ids=["similarity", "zeros on the diagonal", "no diagonal"],
)
def test_a_matrix_of_the_stated_kind_is_not_an_error(tmp_path, change, kind):
    assert inverted(matrix(tmp_path, change(similarities()), kind)) == []


def test_a_constant_matrix_is_reported_once(tmp_path):
    (said,) = inverted(matrix(tmp_path, np.ones((12, 12))))
    assert "all non-missing cells are equal" in said


def test_an_unreadable_matrix_is_reported_once(tmp_path):
    judgments = matrix(tmp_path, similarities())
    (tmp_path / "lab.npy").write_bytes(b"no matrix")
    (said,) = inverted(judgments)
    assert "not a readable .npy file" in said


def test_a_file_with_an_unpublished_checksum_is_reported(tmp_path):
    write_images(tmp_path, 12)
    write_table(tmp_path, [row(i, i + 1, i + 2, 3, 1) for i in range(10)])

    class Published(Given):
        card = DataCard(title="p", source_url="", license="", citation="", sha256={"lab.csv": "0" * 64})

        class config:  # noqa: N801
            root = tmp_path

    report = check_judgments(Published(**GOOD))
    assert "lab.csv: not the published file (sha256" in messages(report, "error")[0]


def test_the_sheet_shows_each_example_with_its_three_images(tmp_path):
    stimuli = Stimuli(
        ("white.png", "red.png", "blue.png"),
        [np.full((20, 10, 3), colour, np.uint8) for colour in ((255,) * 3, (255, 0, 0), (0, 0, 255))],
    )
    triplets = Triplets.build(stimuli, [0], [1], [2], [1.0], 3)
    write_sheet(triplets, tmp_path / "sheet.png", 12)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    colours = {tuple(c) for c in sheet.reshape(-1, 3).tolist()}
    assert {(255, 0, 0), (0, 0, 255), (0, 130, 60)} <= colours
    frame = np.argwhere((sheet == (0, 130, 60)).all(axis=2))
    blue = np.argwhere((sheet == (0, 0, 255)).all(axis=2))
    # the second candidate wins, so the frame is around the blue image
    assert frame[:, 1].min() < blue[:, 1].min()
    assert frame[:, 1].max() > blue[:, 1].max()
    red = np.argwhere((sheet == (255, 0, 0)).all(axis=2))
    assert red[:, 1].max() < frame[:, 1].min()
    assert np.ptp(red[:, 0]) == 159  # the longer side fills the cell


def test_data_check_of_a_table_prints_a_recipe_and_writes_a_sheet(tmp_path, cli):
    write_images(tmp_path, 24)
    rows = [row(i, (i + 1) % 24, (i + 2) % 24, i % 4, 2) for i in range(24)]
    write_table(tmp_path, rows)
    done = cli("data", "check", "lab.csv,images=.", "--sheet", "examples.png")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No errors." in done.stdout
    assert Image.open(tmp_path / "examples.png").width > 500
    write_table(tmp_path, [*rows, row(0, 1, 77, 2, 1)])
    done = cli("data", "check", "lab.csv")
    assert done.returncode == 1
    assert "lab.csv, row 26: second '77.png': no such image" in done.stdout
    done = cli("data", "check", "lab.csv,val_shre=0.2")
    assert done.returncode == 2
    assert "judgments.val_shre: unknown key; did you mean 'val_share'?" in done.stderr


def collected(tmp_path, rows, people=None):
    """Write a table of (order, place, excluded), by default of one person, and return the report of the check."""
    write_images(tmp_path, 12)
    header = "anchor,first,second,p_second,num_votes,subject,excluded,assigned_order,answered_place"
    people = people or ["me"] * len(rows)
    lines = [
        f"{i % 10:02d}.png,{(i + 1) % 10:02d}.png,{(i + 2) % 10:02d}.png,{i % 2},1,{person},{why},{order},{place}"
        for i, ((order, place, why), person) in enumerate(zip(rows, people, strict=True))
    ]
    (tmp_path / "judgments.csv").write_text("\n".join([header, *lines]))
    return check_judgments(Table(Table.Config(path=tmp_path / "judgments.csv", images=tmp_path)))


def test_unbalanced_sides_give_a_warning(tmp_path):
    report = collected(tmp_path, [("1 2", 1 + i % 2, "") for i in range(30)])
    (warning,) = (w for w in messages(report, "warning") if w.startswith("assigned"))
    assert "within 30 trials for each of 1 participants" in warning


def test_an_odd_number_of_trials_is_not_an_imbalance(tmp_path):
    rows = [("1 2" if i % 2 else "2 1", 1 + i // 2 % 2, "") for i in range(300)]
    report = collected(tmp_path, [*rows, ("1 2", 1, "")])
    assert any("within 1 trials for each of 1 participants" in note for note in messages(report, "note"))
    people = [*["me"] * 301, *["you"] * 3]
    report = collected(
        tmp_path, [*rows, ("1 2", 1, ""), *[("1 2", 1, ""), ("2 1", 2, ""), ("1 2", 2, "")]], people
    )
    assert any(
        "for each of 2 participants and to within 2 overall" in note for note in messages(report, "note")
    )


def test_a_preference_for_one_side_gives_a_warning(tmp_path):
    report = collected(tmp_path, [("1 2" if i % 2 else "2 1", 1, "") for i in range(30)])
    assert not [w for w in messages(report, "warning") if w.startswith("assigned")]
    (warning,) = (w for w in messages(report, "warning") if w.startswith("answered"))
    assert "100.0% / 0.0% by position" in warning
    assert "participants prefer a position" in warning


def test_an_invalid_order_is_reported_with_its_row(tmp_path):
    report = collected(tmp_path, [("1 2", 1, "")] * 29 + [("1 1", 1, "")])
    assert any(
        "row 31: assigned_order '1 1' does not list each candidate" in e for e in messages(report, "error")
    )


def test_excluded_rows_are_not_counted_and_may_be_incomplete(tmp_path):
    write_images(tmp_path, 5)
    text = "anchor,first,second,p_second,num_votes,excluded\n"
    text += (
        "00.png,01.png,02.png,1,1,\n" * 3 + "00.png,00.png,02.png,,,catch\n" + "03.png,01.png,02.png,0,1,no\n"
    )
    (tmp_path / "lab.csv").write_text(text)
    table = Table(Table.Config(path=tmp_path / "lab.csv", images=tmp_path, val_share=0.0, test_share=0.0))
    assert (len(table.load("train")), table.load("train").num_votes.sum()) == (2, 4)
    (tmp_path / "lab.csv").write_text(text.replace(",no\n", ",x\n").replace(",1,1,\n", ",1,1,x\n"))
    report = check_judgments(Table(Table.Config(path=tmp_path / "lab.csv", images=tmp_path)))
    assert any("all rows are marked in the column 'excluded'" in e for e in messages(report, "error"))


OWN = ("--set", "data.mine.path=lab.csv", "--set", "data.mine.images=.")  # of the recipe own_judgments


def write_many(folder, first_votes):
    """Write 192 judgments of 24 images; `first_votes` returns the votes of row i, of three."""
    write_images(folder, 24)
    asked = [(i, (i + a) % 24, (i + a + 1) % 24) for i in range(24) for a in range(1, 9)]
    write_table(folder, [row(*q, first_votes(i), 3 - first_votes(i)) for i, q in enumerate(asked)])


def test_data_check_of_a_recipe_counts_its_judgments_once(tmp_path, cli):
    write_many(tmp_path, lambda i: i % 4)
    done = cli("data", "check", "own_judgments", "--set", "data.mine.val_share=0", *OWN)
    (found,) = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("judgments ")]
    alone = table(tmp_path, split_by="image", test_share=0.3, val_share=0.0)
    assert found[1:] == [str(len(alone.load(split))) for split in ("train", "test")]
    refused = cli("data", "check", "lab.csv", "--set", "val_share=0")
    assert "lab.csv: --set is for recipes. Add the key to the name: lab.csv,val_share=0" in refused.stderr


def test_a_split_of_three_judgments_gives_a_warning():
    report = check_judgments(Given(**GOOD | {"test": [(5, 1, i, 0.0, 5) for i in (2, 3, 6)]}))
    few = [f.message for f in report.findings if f.message.startswith("test: 3")]
    assert few == ["test: 3 judgments; reliable intervals require at least 20"]


def wins_of_second(folder):
    return [w for split in SPLITS for w in (table(folder).load(split).p_second > 0.5)]


def test_a_constant_winner_column_gives_random_sides_and_a_warning(tmp_path):
    write_many(tmp_path, lambda i: 3)
    assert 60 < sum(wins_of_second(tmp_path)) < 132  # of 192
    (warned,) = [m for m in messages(check_judgments(table(tmp_path)), "warning") if "wins all" in m]
    assert warned.startswith(f"{tmp_path}/lab.csv: 'first' wins all decided rows.")
    assert "sides are randomized by seed" in warned
    write_many(tmp_path, lambda i: 0 if i == 7 else 3)
    assert sum(wins_of_second(tmp_path)) == 1  # sides as in the table


def test_validate_and_the_record_report_a_constant_winner_and_a_small_split(tmp_path, cli):
    write_many(tmp_path, lambda i: 3)
    said = cli("validate", "own_judgments", *OWN).stdout
    assert "'first' wins all decided rows" in said
    assert "judgments; reliable intervals require at least 20" in said
    done = cli("run", "own_judgments", "--arm", "random", "--seed", 0, *OWN)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "runs/own-judgments/random/seed0/record.json").read_text())
    warned = " ".join(warning["message"] for warning in record["warnings"])
    assert "'first' wins all decided rows" in warned
    assert "2afc/lab: " in warned


@pytest.mark.parametrize("layout", ["bare", "header", "both"])
def test_a_square_matrix_read_as_a_table_suggests_rdm(tmp_path, layout):
    names = [f"{i:02d}.png" for i in range(4)]
    lines = ["0,1,1,2", "1,0,3,1", "1,3,0,2", "2,1,2,0"]
    if layout == "both":
        lines = [",".join(pair) for pair in zip(names, lines, strict=True)]
    header = {"bare": [], "header": [",".join(names)], "both": [",".join(["", *names])]}[layout]
    (tmp_path / "lab.csv").write_text("\n".join([*header, *lines]))
    (said,) = messages(check_judgments(table(tmp_path)), "error")
    assert said == (
        f'{tmp_path}/lab.csv: a square matrix, not a table. To read it, set use = "rdm" and its kind '
        f"({tmp_path}/lab.csv,use=rdm,kind=dissimilarity)"
    )


def test_image_names_without_a_suffix_suggest_the_image_key(tmp_path):
    write_images(tmp_path, 12)
    write_table(tmp_path, [["00", "01", "02", 3, 1]])
    (said,) = messages(check_judgments(table(tmp_path)), "error")
    assert f"row 2: anchor '00': no such image in {tmp_path}. Set image = \"{{}}.png\"" in said
    assert len(table(tmp_path, image="{}.png", test_share=0.0, val_share=0.0).load("train")) == 1
