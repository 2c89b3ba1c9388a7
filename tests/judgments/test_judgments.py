"""Human judgments from published layouts and users' tables, and wrappers that change training votes."""

import csv
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.judgment_files import write_csv, write_images
from PIL import Image

from perceptinit.configs import read_config
from perceptinit.errors import DataError, EmptySplitError
from perceptinit.images.stimuli import StimulusImages
from perceptinit.initializers.triplet_hinge import TripletHinge
from perceptinit.judgments.baselines import two_afc_ceiling
from perceptinit.judgments.controls.wrappers import ShuffledVotes, Subset
from perceptinit.judgments.forms.named_triplets import NamedTriplets, add_up
from perceptinit.judgments.forms.splits import NO_SPLIT, assign_splits, keep_share
from perceptinit.judgments.image_files import file_names
from perceptinit.judgments.own.table import Table
from perceptinit.judgments.published.materials import IMAGES, Materials
from perceptinit.judgments.published.nights import Nights
from perceptinit.judgments.scoring import two_afc_accuracy
from perceptinit.judgments.two_afc import measure
from perceptinit.types import Stimuli, Triplets


def named_rows(triplets):
    """Return (anchor, first, second, p_second, num_votes) of each row, with names."""
    ids = triplets.stimuli.ids
    columns = (triplets.anchor, triplets.first, triplets.second)
    names = zip(*([ids[i] for i in column] for column in columns), strict=True)
    votes = zip(triplets.p_second.tolist(), triplets.num_votes.tolist(), strict=True)
    return [(*images, round(p, 4), n) for images, (p, n) in zip(names, votes, strict=True)]


# ---- table -------------------------------------------------------------------------------------

VOTES = "anchor first second first_votes second_votes"


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a table with the images a.png to d.png and returns its component."""

    def make(header, *rows, **config):
        write_images(tmp_path, "a.png", "b.png", "c.png", "d.png")
        write_csv(tmp_path / "lab.csv", header, *rows)
        return Table(Table.Config(path=tmp_path / "lab.csv", **config))

    return make


def only_train(judgments):
    return named_rows(judgments.load("train"))


ALL_TRAIN = {"val_share": 0.0, "test_share": 0.0}


def test_a_table_of_votes_gives_the_share_for_second(table):
    judgments = table(VOTES, "a.png b.png c.png 1 3", "b.png c.png d.png 2 0", **ALL_TRAIN)
    assert only_train(judgments) == [
        ("a.png", "b.png", "c.png", 0.75, 4),
        ("b.png", "c.png", "d.png", 0.0, 2),
    ]
    assert judgments.name == "lab"


def test_a_table_may_contain_shares(table):
    judgments = table("anchor first second p_second num_votes", "a.png b.png c.png 0.2 5", **ALL_TRAIN)
    assert only_train(judgments) == [("a.png", "b.png", "c.png", 0.2, 5)]


def test_answers_are_summed_and_their_sides_are_random(table):
    names = [f"x{i}.png" for i in range(40)]
    rows = [f"a.png {name} b.png" for name in names]
    judgments = table("anchor positive negative", *rows, *rows, "a.png b.png x0.png", **ALL_TRAIN)
    write_images(judgments.config.path.parent, *names)
    triplets = judgments.load("train")
    assert triplets.num_votes.tolist() == [3] + [2] * 39
    is_positive_second = np.array([triplets.stimuli.ids[i] != "b.png" for i in triplets.second])
    assert 10 < is_positive_second.sum() < 30
    # each x wins both of its answers; x0 loses a third answer
    share_of_x = np.where(is_positive_second, triplets.p_second, 1 - triplets.p_second)
    assert share_of_x.tolist() == pytest.approx([2 / 3] + [1] * 39)


def test_rows_of_one_question_are_summed_for_both_orders_of_the_candidates(table):
    judgments = table(VOTES, "a.png b.png c.png 1 0", "a.png c.png b.png 3 1", **ALL_TRAIN)
    assert only_train(judgments) == [("a.png", "b.png", "c.png", 0.6, 5)]  # 1 + 1 for b, 0 + 3 for c


def test_repeated_answers_of_a_person_are_one_vote(table):
    of_ann = ("a.png b.png c.png first ann", "a.png c.png b.png first ann")
    of_bob = ("a.png b.png c.png second bob",) * 2
    judgments = table("anchor first second choice subject", *of_ann, *of_bob, **ALL_TRAIN)
    assert only_train(judgments) == [("a.png", "b.png", "c.png", 0.75, 2)]


SESSIONS = ("ann monday first", "ann friday first", "bob tuesday second", "bob sunday second")


def test_the_person_key_chooses_the_column_of_participants(table):
    rows = [f"a.png b.png c.png {choice} {who} {day}" for who, day, choice in map(str.split, SESSIONS)]
    header = "anchor first second choice participant subject"
    sessions, people = (table(header, *rows, person=p, **ALL_TRAIN) for p in (None, "participant"))
    assert only_train(sessions) == [("a.png", "b.png", "c.png", 0.5, 4)]
    assert list(sessions.people) == ["friday", "monday", "sunday", "tuesday"]
    assert only_train(people) == [("a.png", "b.png", "c.png", 0.5, 2)]
    assert list(people.people) == ["ann", "bob"]
    assert {name: len(own) for name, own in people.load_people("train").items()} == {"ann": 1, "bob": 1}
    assert ["each of the 4 subjects counts as one person" in s for s in sessions.describe_people()] == [True]
    assert ["2 people answered" in s for s in people.describe_people()] == [True]
    with pytest.raises(DataError, match=r"no column 'participants'\. Did you mean 'participant'"):
        table(header, *rows, person="participants").load("train")


def test_the_person_key_applies_to_tables_of_other_programs(table):
    rows = [f"html a.png b.png c.png 0 {day} {who}" for who, day, _ in map(str.split, SESSIONS)]
    header = "trial_type anchor first second response subject lab_id"
    assert list(table(header, *rows, person="lab_id", **ALL_TRAIN).people) == ["ann", "bob"]


def test_rows_are_not_summed_without_aggregate(table):
    rows = ("a.png b.png c.png 1 0", "a.png c.png b.png 2 1")
    judgments = table(VOTES, *rows, aggregate=False, **ALL_TRAIN)
    assert only_train(judgments) == [
        ("a.png", "b.png", "c.png", 0.0, 1),
        ("a.png", "c.png", "b.png", 0.3333, 3),
    ]


def test_images_are_found_in_another_folder_by_normalized_paths(table, tmp_path):
    write_images(tmp_path / "photos", "x/1.png", "x/2.png", "3.png")
    judgments = table(VOTES, "x/1.png ./x//2.png 3.png 1 1", images=tmp_path / "photos", **ALL_TRAIN)
    triplets = judgments.load("train")
    assert triplets.stimuli.ids == ("3.png", "x/1.png", "x/2.png")
    assert triplets.stimuli.images[1] == tmp_path / "photos/x/1.png"


def test_the_split_column_defines_the_splits(table):
    judgments = table(f"{VOTES} split", "a.png b.png c.png 1 0 test", "b.png c.png d.png 0 1 train")
    assert named_rows(judgments.load("test")) == [("a.png", "b.png", "c.png", 0.0, 1)]
    with pytest.raises(DataError, match=r"no judgments in split 'val' \(there are 1 train, 0 val, 1 test\)"):
        judgments.load("val")


def test_without_a_split_column_groups_are_assigned_to_splits_reproducibly(table):
    rows = [f"{a}.png {b}.png {c}.png 1 2 g{i % 20}" for i in range(60) for a, b, c in ["abc", "bcd"]]
    judgments = table(f"{VOTES} group", *rows, aggregate=False, val_share=0.1, test_share=0.2)
    groups = {split: set(judgments.load(split).group.tolist()) for split in ("train", "val", "test")}
    assert {split: len(g) for split, g in groups.items()} == {"train": 14, "val": 2, "test": 4}
    assert len(set.union(*groups.values())) == 20  # no group is in two splits
    again = Table(judgments.config)
    assert named_rows(again.load("val")) == named_rows(judgments.load("val"))


def test_selected_subjects_keep_the_splits_of_the_whole_table(table, tmp_path):
    names = [f"x{i}.png" for i in range(20)]
    write_images(tmp_path, *names)
    rows = [f"{name} a.png b.png 1 0 {'ann' if i % 2 else 'bob'}" for i, name in enumerate(names)]
    everyone = table(f"{VOTES} subject", *rows)
    ann = Table(Table.Config(path=everyone.config.path, subjects=("ann",)))
    wanted = [row for row in named_rows(everyone.load("train")) if int(row[0][1:-4]) % 2]
    assert named_rows(ann.load("train")) == wanted
    with pytest.raises(DataError, match=r"no rows of subject 'anne'\. Did you mean 'ann'"):
        Table(Table.Config(path=everyone.config.path, subjects=("anne",))).load("train")


def test_parquet_and_csv_tables_are_equal(table, tmp_path):
    import pyarrow
    from pyarrow import parquet

    in_csv = table(VOTES, "a.png b.png c.png 1 3", "b.png c.png d.png 2 0", **ALL_TRAIN)
    columns = {
        "anchor": ["a.png", "b.png"],
        "first": ["b.png", "c.png"],
        "second": ["c.png", "d.png"],
        "first_votes": [1, 2],
        "second_votes": [3, 0],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "lab.parquet")
    config = Table.Config(path=tmp_path / "lab.parquet", **ALL_TRAIN)
    assert only_train(Table(config)) == only_train(in_csv)
    parquet.write_table(pyarrow.table(columns | {"first_votes": [1, None]}), tmp_path / "lab.parquet")
    with pytest.raises(DataError, match=r"lab.parquet, row 3: first_votes is empty"):
        Table(config).load("train")


def test_a_spreadsheet_export_with_semicolons_and_byte_order_mark_is_read(table, tmp_path):
    judgments = table(VOTES, **ALL_TRAIN)
    text = f"{VOTES.replace(' ', ';')}\r\na.png;b.png;c.png;1;3\r\n;;;;\r\n"
    judgments.config.path.write_text(text, encoding="utf-8-sig")
    assert only_train(judgments) == [("a.png", "b.png", "c.png", 0.75, 4)]


GOOD = "a.png b.png c.png 1 3"


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (VOTES, ["a.png b.png c.png -1 3"], "row 2: first_votes is -1; it must be at least 0"),
        (
            VOTES,
            [GOOD, "a.png b.png c.png 0 0"],
            "row 3: no votes (first_votes and second_votes are both 0)",
        ),
        (VOTES, [GOOD, "a.png b.png c.png 1.5 0"], "row 3: first_votes is 1.5, not a whole number"),
        (VOTES, [GOOD, "a.png b.png c.png many 0"], "row 3: first_votes is 'many', not a whole number"),
        (VOTES, [GOOD, "a.png b.png c.png 1_0 0"], "row 3: first_votes is '1_0', not a whole number"),
        (VOTES, [GOOD, "a.png b.png c.png ٣ 0"], "row 3: first_votes is '٣', not a whole number"),
        (
            VOTES,
            [GOOD, "a.png b.png c.png 9223372036854775808 0"],
            "row 3: first_votes is 9223372036854775808; it must be at most 2,147,483,647",
        ),
        (VOTES, [GOOD, f"a.png b.png {'d/' * 2500}c.png 1 0"], "characters) ..."),
        (VOTES, [GOOD, f"a.png b.png {'n' * 300} 1 0"], "no such image in"),
        (VOTES, [GOOD, "a.png b.png a\0/c.png 1 0"], "no such image in"),
        (VOTES, [GOOD, "a.png b.png e.png 1 0"], "row 3: second 'e.png': no such image in"),
        (
            VOTES,
            [GOOD, "a.png a.png b.png 1 0"],
            "row 3: the image 'a.png' occurs twice in one row",
        ),
        (
            VOTES,
            ["../a.png b.png c.png 1 0"],
            "row 2: anchor: image '../a.png' is outside the image folder",
        ),
        (
            VOTES,
            ["/a.png b.png c.png 1 0"],
            "row 2: anchor: image '/a.png' is outside the image folder",
        ),
        (VOTES, [GOOD, "a.png b.png"], "row 3: 2 cells, but the header has 5"),
        (VOTES, [], "a header, but no rows"),
        (
            "anchor first second p_second num_votes",
            ["a.png b.png c.png 1.5 4"],
            "row 2: p_second is 1.5; it must be in [0, 1]",
        ),
        (
            "anchor first second p_second num_votes",
            ["a.png b.png c.png nan 4"],
            "row 2: p_second is nan; it must be in [0, 1]",
        ),
        (
            "anchor first second p_second num_votes",
            ["a.png b.png c.png 0.5 0"],
            "row 2: num_votes is 0; it must be at least 1",
        ),
        (
            "anchor first second first_vote second_votes",
            [GOOD],
            "no column 'first_votes'. Did you mean 'first_vote'? Columns: anchor,",
        ),
        (
            "anchor positive",
            ["a.png b.png"],
            "no column 'negative'. Columns: anchor, positive. Required:",
        ),
        (f"{VOTES} p_second num_votes", [f"{GOOD} 0.5 4"], "votes are in several forms"),
        (f"{VOTES} splits", [f"{GOOD} train"], "column 'splits': did you mean 'split'? Rename it"),
        (f"{VOTES} split split", [f"{GOOD} train test"], "two columns have the name 'split'"),
        (
            f"{VOTES} split",
            [f"{GOOD} valid"],
            "row 2: split 'valid' is not one of train, val, test. Did you mean 'val'?",
        ),
        (
            f"{VOTES} split",
            [f"{GOOD} train", f"{GOOD} test"],
            "row 3: anchor 'a.png' is in split 'test' here and in 'train' in row 2. "
            "Assign it to one split, or define the unit of splits in a column 'group'",
        ),
        (
            f"{VOTES} split group",
            [f"{GOOD} train g1", "b.png c.png d.png 1 0 test g1"],
            "row 3: group 'g1' is in split 'test' here and in 'train' in row 2. Assign it to one split",
        ),
    ],
)
def test_preflight_reports_errors_of_a_table_by_row(table, header, rows, message):
    judgments = table(header, *rows, **ALL_TRAIN)
    (sentence,) = judgments.preflight()
    assert sentence.startswith(str(judgments.config.path))
    assert message in sentence
    with pytest.raises(DataError) as error:
        judgments.load("train")
    assert str(error.value) == sentence


def test_blank_rows_are_counted_like_in_a_spreadsheet(table):
    judgments = table(VOTES, GOOD, "", "a.png b.png c.png 0 0", **ALL_TRAIN)
    (sentence,) = judgments.preflight()
    assert "row 4: no votes" in sentence


def test_a_misspelled_image_is_reported_with_a_suggestion_and_the_missing_images(table, tmp_path):
    write_images(tmp_path, "wood/oak.png")
    rows = ["a.png b.png wood/aok.png 1 0", "a.png b.png none.png 1 0"]
    (sentence,) = table(VOTES, *rows, **ALL_TRAIN).preflight()
    assert "row 2: second 'wood/aok.png': no such image" in sentence
    assert "Did you mean 'wood/oak.png'? (2 images are missing: none.png, wood/aok.png)" in sentence


def test_a_missing_image_is_reported_with_its_absolute_folder(table, monkeypatch):
    path = table(VOTES, "a.png b.png e.png 1 0").config.path
    monkeypatch.chdir(path.parent)
    (sentence,) = Table(Table.Config(path=Path("lab.csv"))).preflight()
    assert f"second 'e.png': no such image in {path.parent}." in sentence


def test_files_that_are_not_tables_are_reported(table, tmp_path):
    judgments = table(VOTES, GOOD)
    judgments.config.path.write_bytes("anchor;é".encode("latin-1"))
    assert "not UTF-8 text" in next(judgments.preflight())
    judgments.config.path.write_bytes(b"")
    assert "there is no header" in next(judgments.preflight())
    (tmp_path / "lab.parquet").write_bytes(b"PAR1")
    parquet = Table(Table.Config(path=tmp_path / "lab.parquet"))
    assert "not a readable Parquet file" in next(parquet.preflight())
    absent = Table(Table.Config(path=Path("no/lab.csv")))
    assert next(absent.preflight()).startswith("no/lab.csv: no such file (looked in ")
    no_images = Table(Table.Config(path=judgments.config.path, images=tmp_path / "no"))
    judgments.config.path.write_text(f"{VOTES}\n{GOOD}\n".replace(" ", ","))
    assert (
        next(no_images.preflight())
        == f'images = "{tmp_path}/no": no such folder. Set it to the folder of the images'
    )


def test_shares_above_1_are_refused():
    table = {"path": "lab.csv", "val_share": 0.5, "test_share": 0.6}
    _, problems = read_config(Table.Config, table, "judgments")
    assert "val_share + test_share = 1.1 > 1" in str(problems[0])


def test_a_table_may_be_test_only(table):
    judgments = table(VOTES, GOOD, test_share=1.0, val_share=0.0)
    assert list(judgments.preflight()) == []
    assert len(judgments.load("test"))
    with pytest.raises(EmptySplitError, match="no judgments in split 'train'"):
        judgments.load("train")
    stage = TripletHinge(TripletHinge.Config(), judgments)
    assert "no judgments in split 'train'" in next(stage.preflight())


# ---- splits ------------------------------------------------------------------------------------


def test_a_group_keeps_its_split_after_reordering_rows():
    groups = [f"g{i}" for i in range(50)]
    splits = assign_splits(groups, 0, "test", val_share=0.2, test_share=0.1)
    turned = assign_splits(groups[::-1], 0, "test", val_share=0.2, test_share=0.1)
    assert splits.tolist() == turned[::-1].tolist()
    assert [(splits == s).sum() for s in ("train", "val", "test")] == [35, 10, 5]
    assert splits.tolist() != assign_splits(groups, 1, "test", val_share=0.2).tolist()


def test_a_small_share_is_at_least_one_group():
    splits = assign_splits(["a", "b", "c"], 0, val_share=0.1, test_share=0.1)
    assert sorted(splits) == ["test", "train", "val"]


def test_kept_shares_are_nested_exact_and_never_empty():
    rows = range(30)
    masks = [keep_share(rows, fraction, 0) for fraction in (0.001, 0.1, 0.5, 1.0)]
    assert [mask.sum() for mask in masks] == [1, 3, 15, 30]
    for smaller, larger in itertools.pairwise(masks):
        assert not (smaller & ~larger).any()
    assert keep_share(range(100), 0.07, 0).sum() == 7


# ---- nights ------------------------------------------------------------------------------------

NIGHTS = "id left_vote right_vote votes ref_path left_path right_path split is_imagenet"


@pytest.fixture
def nights(tmp_path):
    """Return a function that writes the published layout from rows of (left, right, votes, split, is_imagenet)."""

    def make(*rows, header=NIGHTS, **config):
        lines = []
        for i, row in enumerate(rows):
            left, right, votes, split, is_imagenet = row.split()
            images = (
                f"ref/000/{i:03d}.png",
                f"distort/000/{i:03d}_0.png",
                f"distort/000/{i:03d}_1.png",
            )
            write_images(tmp_path, *images)
            lines.append(f"{i} {left} {right} {votes} {' '.join(images)} {split} {is_imagenet}")
        write_csv(tmp_path / "data.csv", header, *lines)
        return Nights(Nights.Config(root=tmp_path, **config))

    return make


def test_nights_reads_counts_and_shares_and_drops_triplets_with_few_votes(nights):
    judgments = nights(
        "2 6 8 train True",
        "0.25 0.75 8 train True",
        "0 5 5 train True",
        "0 0 0 train False",
        "1 0 6 val True",
    )
    (sentence,) = judgments.preflight()
    assert "no rows with 6 votes or more in split 'test'; splits with such rows: train, val" in sentence
    assert named_rows(judgments.load("train")) == [
        ("ref/000/000.png", "distort/000/000_0.png", "distort/000/000_1.png", 0.75, 8),
        ("ref/000/001.png", "distort/000/001_0.png", "distort/000/001_1.png", 0.75, 8),
    ]
    assert len(judgments.load("val")) == 1


def test_nights_finds_columns_by_name(nights, tmp_path):
    judgments = nights("1 5 6 train True", "1 5 6 val True", "1 5 6 test True")
    with (tmp_path / "data.csv").open() as file:
        turned = [row[::-1] for row in csv.reader(file)]
    with (tmp_path / "data.csv").open("w", newline="") as file:
        csv.writer(file).writerows(turned)
    assert list(judgments.preflight()) == []
    assert judgments.load("train").p_second.tolist() == pytest.approx([5 / 6])


def test_nights_test_subsets_separate_imagenet(nights):
    rows = (
        "1 5 6 train True",
        "1 5 6 val True",
        "1 5 6 test True",
        "6 0 6 test False",
        "6 0 6 test False",
    )
    for subset, name, count in [
        ("all", "nights", 3),
        ("imagenet", "nights-imagenet", 1),
        ("no_imagenet", "nights-no-imagenet", 2),
    ]:
        judgments = nights(*rows, test_subset=subset)
        assert (judgments.name, len(judgments.load("test"))) == (name, count)
        assert len(judgments.load("train")) == 1
    of_no_imagenet = nights(*rows[:3], test_subset="no_imagenet")
    sentence = r"no rows with 6 votes or more in split 'test' with test_subset = \"no_imagenet\"$"
    with pytest.raises(DataError, match=sentence):
        of_no_imagenet.load("test")


def test_missing_nights_data_is_reported_with_the_download_command(tmp_path):
    (sentence,) = Nights(Nights.Config(root=tmp_path)).preflight()
    assert sentence.startswith(f'root = "{tmp_path}": data.csv not found. Download it with: ')


def test_nights_reports_missing_images_of_used_triplets(nights, tmp_path):
    judgments = nights("1 5 6 train True", "1 5 6 val True", "1 5 6 test True", "0 1 1 test True")
    (tmp_path / "ref/000/001.png").unlink()
    (tmp_path / "ref/000/003.png").unlink()  # not needed, because its triplet is filtered out
    (tmp_path / "distort/000/002_1.png").unlink()
    (sentence,) = judgments.preflight()
    assert (
        "2 of 9 images are missing: distort/000/002_1.png, ref/000/001.png. Download them with: " in sentence
    )


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["0 0 6 train True"], NIGHTS, "row 2: no votes (left_vote and right_vote are both 0)"),
        (["-1 7 6 train True"], NIGHTS, "row 2: left_vote is -1; it must be at least 0"),
        (
            ["1 5 6 train True"],
            NIGHTS.replace("ref_path", "ref_pth"),
            "no column 'ref_path'. Did you mean 'ref_pth'?",
        ),
        (
            ["1 5 6 val True"],
            NIGHTS,
            "no rows with 6 votes or more in split 'train'; splits with such rows: val",
        ),
    ],
)
def test_errors_of_nights_data_csv_are_reported_by_row(nights, rows, header, message):
    with pytest.raises(DataError) as error:
        nights(*rows, header=header).load("train")
    assert message in str(error.value)


# ---- materials ---------------------------------------------------------------------------------


@pytest.fixture
def materials(tmp_path):
    """Write the published layout with 100 images, 60 training queries (two rows each) and 20 test rows."""
    write_images(tmp_path / IMAGES, *(f"m{i:03d}.jpg" for i in range(100)))
    queries = [(i, i + 20, i + 40) for i in range(60)]
    train = [row for a, b, c in queries for row in ([a, b, c], [b, a, c])]
    write_answers(tmp_path, "train", train, [[3, 1]] * 120)
    write_answers(tmp_path, "test", [[i, i + 1, i + 2] for i in range(20)], [[4, 0]] * 20)
    return Materials(Materials.Config(root=tmp_path))


def write_answers(root, part, answers, agreement):
    content = {"answers": answers, "agreement": agreement}
    (root / f"answers_processed_{part}.json").write_text(json.dumps(content))


def test_materials_votes_follow_the_random_sides(materials):
    triplets = materials.load("test")
    # the majority chose image i + 1 with all 4 votes, on either side
    is_second = triplets.second == triplets.anchor + 1
    assert 4 < is_second.sum() < 16
    assert triplets.p_second.tolist() == is_second.astype(float).tolist()
    assert triplets.num_votes.tolist() == [4] * 20
    assert triplets.stimuli.ids[7] == "m007.jpg"


def test_materials_validation_contains_complete_queries_of_the_training_file(materials):
    train, val = materials.load("train"), materials.load("val")
    assert (len(train), len(val)) == (108, 12)
    assert not set(train.group.tolist()) & set(val.group.tolist())
    assert np.unique(val.group, return_counts=True)[1].tolist() == [2] * 6


def test_materials_sides_and_splits_depend_on_their_seeds_only(materials):
    again = Materials(materials.config)
    assert named_rows(again.load("val")) == named_rows(materials.load("val"))
    other = Materials(Materials.Config(root=materials.config.root, side_seed=1))
    assert other.load("train").anchor.tolist() == materials.load("train").anchor.tolist()
    assert other.load("train").first.tolist() != materials.load("train").first.tolist()


def test_materials_report_every_missing_file(tmp_path):
    sentences = list(Materials(Materials.Config(root=tmp_path)).preflight())
    assert sentences[0].startswith(
        f'root = "{tmp_path}": 0 .jpg images in {IMAGES}, expected 100. Download them with: '
    )
    assert sentences[1].startswith(
        f'root = "{tmp_path}": answers_processed_train.json not found. Download it with: '
    )
    assert sentences[2].startswith(
        f'root = "{tmp_path}": answers_processed_test.json not found. Download it with: '
    )


@pytest.mark.parametrize(
    ("answers", "agreement", "message"),
    [
        ([[0, 1, 2], [0, 1, 100]], [[1, 0], [1, 0]], "zero-based answer 1: not the index of an image"),
        ([[0, 1, 2]], [[-1, 2]], "zero-based answer 0: negative votes"),
        ([[0, 1, 2]], [[0, 0]], "zero-based answer 0: no votes"),
        ([[0, 1, 2]], [], "not the published answers ('agreement' is not an (N, 2) table of integers)"),
        ([[0, 1, 2]] * 2, [[1, 0]], "2 answers, but 1 rows of agreement"),
    ],
)
def test_invalid_materials_answers_are_reported(materials, answers, agreement, message):
    write_answers(materials.config.root, "test", answers, agreement)
    (sentence,) = materials.preflight()
    assert message in sentence


MATERIALS_ROOT = os.environ.get("PERCEPTINIT_MATERIALS", "")


@pytest.mark.skipif(not MATERIALS_ROOT, reason="PERCEPTINIT_MATERIALS does not name the data's folder")
def test_the_published_materials_have_the_reference_numbers():
    judgments = Materials(Materials.Config(root=Path(MATERIALS_ROOT)))
    assert list(judgments.preflight()) == []
    splits = {split: judgments.load(split) for split in ("train", "val", "test")}
    assert sum(map(len, splits.values())) == judgments.card.num_judgments
    assert sum(int(t.num_votes.sum()) for t in splits.values()) == 104_692
    test = splits["test"]
    assert two_afc_ceiling(test) == pytest.approx((0.746, 0.838), abs=5e-4)
    pixels = measure(lambda x: x.flatten(1).float(), test, StimulusImages(test.stimuli, 32))
    assert pixels.accuracy == pytest.approx(0.651, abs=5e-4)
    colours = [Image.open(p).convert("RGB").resize((1, 1), Image.BICUBIC) for p in test.stimuli.images]
    colours = np.array([c.getpixel((0, 0)) for c in colours], dtype=np.float64)
    to_first, to_second = (
        np.linalg.norm(colours[test.anchor] - colours[side], axis=1) for side in (test.first, test.second)
    )
    accuracy = two_afc_accuracy(to_first, to_second, test.p_second, test.num_votes)
    assert accuracy == pytest.approx(0.605, abs=5e-4)


# ---- wrappers ----------------------------------------------------------------------------------


@pytest.fixture
def inner(materials):
    """Training votes that differ from row to row: 1 to 120 votes, 3 to 1 on even rows, else unanimous."""
    root = materials.config.root
    answers = json.loads((root / "answers_processed_train.json").read_text())["answers"]
    agreement = [[3 * (i + 1), i + 1] if i % 2 == 0 else [i + 1, 0] for i in range(120)]
    write_answers(root, "train", answers, agreement)
    return materials


def agreement_and_votes(triplets):
    majority = np.maximum(triplets.p_second, 1 - triplets.p_second)
    return list(zip(majority.tolist(), triplets.num_votes.tolist(), strict=True))


def test_shuffled_votes_permute_votes_between_triplets(inner):
    true, shuffled = inner.load("train"), ShuffledVotes(ShuffledVotes.Config(), inner).load("train")
    for column in ("anchor", "first", "second", "group"):
        assert getattr(shuffled, column).tolist() == getattr(true, column).tolist()
    assert agreement_and_votes(shuffled) != agreement_and_votes(true)
    assert sorted(agreement_and_votes(shuffled)) == sorted(agreement_and_votes(true))


def test_shuffled_votes_do_not_change_held_out_splits(inner):
    wrapper = ShuffledVotes(ShuffledVotes.Config(), inner)
    for split in ("val", "test"):
        assert named_rows(wrapper.load(split)) == named_rows(inner.load(split))


def test_shuffled_votes_randomize_a_table_with_a_constant_winner_column(table, tmp_path):
    names = [f"x{i}.png" for i in range(100)]
    write_images(tmp_path, *names)
    judgments = table(VOTES, *(f"{name} a.png b.png 5 0" for name in names), **ALL_TRAIN)
    shuffled = ShuffledVotes(ShuffledVotes.Config(), judgments).load("train")
    assert 30 < shuffled.p_second.sum() < 70


def test_shuffled_votes_depend_on_their_seed_only(inner):
    first, again, other = (
        ShuffledVotes(ShuffledVotes.Config(seed=seed), inner).load("train") for seed in (0, 0, 1)
    )
    assert named_rows(first) == named_rows(again)
    assert named_rows(first) != named_rows(other)


def test_subsets_are_nested_and_keep_groups_together(inner):
    true = inner.load("train")
    whole = set(named_rows(true))
    loaded = [Subset(Subset.Config(fraction=f), inner).load("train") for f in (0.001, 0.25, 0.5, 1.0)]
    rows = [set(named_rows(triplets)) for triplets in loaded]
    assert [len(r) for r in rows] == [2, 28, 54, 108]  # 1, 14, 27 and 54 queries of 2 judgments
    assert rows[0] < rows[1] < rows[2] < rows[3] == whole
    assert np.unique(loaded[1].group, return_counts=True)[1].tolist() == [2] * 14


def test_subsets_by_row_keep_a_share_of_training_rows_only(inner):
    subset = Subset(Subset.Config(fraction=0.25, by="row"), inner)
    assert len(subset.load("train")) == 27
    assert named_rows(subset.load("val")) == named_rows(inner.load("val"))


@pytest.mark.parametrize("fraction", [0.0, 1.1])
def test_a_fraction_outside_0_to_1_is_reported(fraction):
    _, (problem,) = read_config(Subset.Config, {"fraction": fraction}, "judgments")
    assert problem.where == "judgments.fraction"


def test_wrappers_keep_the_inner_name_and_extend_the_card(inner, tmp_path):
    shuffled = ShuffledVotes(ShuffledVotes.Config(), inner)
    subset = Subset(Subset.Config(fraction=0.1), shuffled)
    assert shuffled.name == subset.name == "materials"
    assert subset.card.title.endswith("; training votes shuffled (control); 0.1 of the training groups")
    assert subset.card.citation == inner.card.citation
    assert subset.card.num_train is None
    nights = Nights(Nights.Config(root=tmp_path / "no"))
    assert Subset(subset.config, nights).card.num_train == 1595  # of 15,941
    absent = Materials(Materials.Config(root=tmp_path / "no"))
    assert list(Subset(subset.config, absent).preflight()) == list(absent.preflight()) != []


def test_votes_beyond_int32_are_refused():
    stimuli = Stimuli(("a", "b", "c"), [Path("a"), Path("b"), Path("c")])
    with pytest.raises(DataError, match="4,294,967,301 votes for one question"):
        Triplets.build(stimuli, [0], [1], [2], [0.5], np.array([4294967301]))


def test_a_circular_link_in_a_folder_does_not_hide_its_images(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert file_names(tmp_path) == ["a.png", "b.png"]


def test_answers_are_added_up_in_the_order_of_first_appearance():
    roles = np.array([[0, 1, 0, 0, 1], [1, 2, 2, 1, 2], [2, 0, 1, 2, 0]])
    named = NamedTriplets(
        ("a", "b", "c"),
        roles,
        np.array([1.0, 0.0, 0.0, 0.5, 1.0]),
        np.ones(5, np.int64),
        np.array([0, 1, 0, 0, 7]),
    )
    found, splits = add_up(named, np.array([0, NO_SPLIT, 0, 1, 2]))
    # row 2 asks the question of row 0 with the candidates in the other order; the others differ in split or group
    assert found.roles.T.tolist() == [[0, 1, 2], [1, 2, 0], [0, 1, 2], [1, 2, 0]]
    assert found.p_second.tolist() == [1.0, 0.0, 0.5, 1.0]
    assert found.num_votes.tolist() == [2, 1, 1, 1]
    assert splits.tolist() == [0, NO_SPLIT, 1, 2]
