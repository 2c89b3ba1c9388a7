"""Data sets as components: small copies of published layouts, users' tables, and errors by row."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.judgment_files import write_csv, write_images
from PIL import Image

from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.configs import read_config
from perceptinit.errors import DataError
from perceptinit.evaluators.odd_one_out import OddOneOutScore
from perceptinit.evaluators.two_afc import TwoAFC
from perceptinit.judgments.baselines import ceiling_of_split
from perceptinit.judgments.forms.splits import Conventions
from perceptinit.judgments.own.choices import MultiSelect, OddOneOutTable, SameDifferent
from perceptinit.judgments.own.matrix_set import RdmSet
from perceptinit.judgments.own.rating_table import Ratings
from perceptinit.judgments.own.table import Table
from perceptinit.judgments.published.cifar10h import Cifar10H, _read_photographs, label_shares
from perceptinit.judgments.published.nights import Nights
from perceptinit.judgments.sources import published_sets
from perceptinit.types import RunContext


def names(count):
    return [f"{i:03d}.png" for i in range(count)]


def named(triplets):
    """Return {(anchor, closer, farther)} by name."""
    ids = triplets.stimuli.ids
    columns = (triplets.anchor, triplets.first, triplets.second, triplets.p_second)
    return {
        (ids[a], *((ids[s], ids[f]) if p > 0.5 else (ids[f], ids[s])))
        for a, f, s, p in zip(*(c.tolist() for c in columns), strict=True)
    }


# ---- one small copy of each, in the published layout -------------------------------------------


def make_odd_one_out(root):
    write_images(root, *names(60))
    rows = [f"{a} {b} {c} {c}" for a, b, c in zip(*[iter(names(60))] * 3, strict=True)]
    write_csv(root / "lab.csv", "image_1 image_2 image_3 odd", *rows)
    return OddOneOutTable(OddOneOutTable.Config(path=root / "lab.csv"))


def make_multi_select(root):
    write_images(root, *names(60))
    rows = [" ".join(names(60)[i : i + 5]) for i in range(0, 60, 5)]
    write_csv(root / "lab.csv", "anchor chosen_1 chosen_2 other_1 other_2", *rows)
    return MultiSelect(MultiSelect.Config(path=root / "lab.csv", is_ranked=True))


def make_ratings(root):
    write_images(root, *names(80))
    rows = [f"{names(80)[i - i % 8]} {names(80)[i]} {i % 8}" for i in range(80) if i % 8]
    write_csv(root / "lab.csv", "reference image rating", *rows)
    return Ratings(Ratings.Config(path=root / "lab.csv", higher_is_better=True, min_gap=1))


def make_same_different(root):
    write_images(root, *names(80))
    rows = [f"{names(80)[i - i % 8]} {names(80)[i]} {i % 8 / 8}" for i in range(80) if i % 8]
    write_csv(root / "lab.csv", "first second p_same", *rows)
    return SameDifferent(SameDifferent.Config(path=root / "lab.csv"))


def make_rdm(root):
    write_images(root, *names(30))
    points = np.random.default_rng(0).random((30, 3))
    np.save(root / "lab.npy", np.linalg.norm(points[:, None] - points[None], axis=2))
    (root / "names.txt").write_text("\n".join(names(30)))
    return RdmSet(
        RdmSet.Config(path=root / "lab.npy", kind="dissimilarity", images=root, names=root / "names.txt")
    )


def make_cifar10h(root):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 60)
    counts = rng.integers(0, 3, (60, 10))
    counts[np.arange(60), labels] += 40
    np.save(root / "cifar10h-counts.npy", counts)
    pixels = rng.integers(0, 256, (60, 3072), dtype=np.uint8)
    (root / "cifar-10-batches-bin").mkdir()
    records = np.column_stack([labels.astype(np.uint8), pixels])
    records.tofile(root / "cifar-10-batches-bin" / "test_batch.bin")
    return Cifar10H(Cifar10H.Config(root=root))


MAKERS = {name.removeprefix("make_"): make for name, make in globals().items() if name.startswith("make_")}
WINNER_HAS_A_PLACE = ["odd_one_out", "multi_select", "ratings", "cifar10h"]


@pytest.fixture(params=MAKERS)
def judgments(request, tmp_path):
    return MAKERS[request.param](tmp_path)


class Collapsed:
    """A model that returns the same embedding for every image."""

    image_size = 4

    def encode_image(self, images):
        return torch.ones(len(images), 3)


def test_the_small_copy_passes_preflight_and_has_all_splits(judgments):
    assert list(judgments.preflight()) == []
    for split in ("train", "val", "test"):
        assert len(judgments.load(split)) > 0


def test_a_collapsed_model_scores_chance(judgments):
    evaluators = [TwoAFC(TwoAFC.Config(split="train"), judgments)]
    if isinstance(judgments, OddOneOutTable):
        evaluators.append(OddOneOutScore(OddOneOutScore.Config(), judgments))
    for evaluator in evaluators:
        score = next(iter(evaluator.evaluate(Collapsed(), RunContext(num_workers=0))))
        assert score.value == pytest.approx(score.chance)
        assert 0 < score.chance < 1


def test_always_choosing_first_scores_about_chance(tmp_path):
    for kind in WINNER_HAS_A_PLACE:
        root = tmp_path / kind
        root.mkdir()
        p_second = MAKERS[kind](root).load("train").p_second
        assert 0.3 < p_second.mean() < 0.7, kind


def test_splits_share_no_group_and_no_question(judgments):
    found = [judgments.load(split) for split in ("train", "val", "test")]
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            assert not np.intersect1d(a.group, b.group).size
            assert not named(a) & named(b)


def test_random_draws_are_reproducible(judgments):
    first = judgments.load("train")
    again = type(judgments)(judgments.config).load("train")
    for column in ("anchor", "first", "second", "p_second", "num_votes"):
        assert np.array_equal(getattr(first, column), getattr(again, column))


# wrappers read other judgments, and controls have no human votes
NO_SOURCE = {"shuffled-votes", "subset", "class-triplets", "pixel-triplets"}
ENTRIES = [
    entry for entry in build_plugin_manager().registry.of_kind("judgments") if entry.name not in NO_SOURCE
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_component_states_its_conventions(entry):
    conventions = entry.load().conventions
    assert isinstance(conventions, Conventions)
    assert conventions.sides
    assert conventions.ties
    assert conventions.winner_first


PUBLISHED = published_sets(build_plugin_manager().registry)


@pytest.mark.parametrize("found", PUBLISHED, ids=lambda found: found.name)
def test_every_published_set_has_a_complete_card_that_matches_the_documentation(found):
    docs = (Path(__file__).parents[2] / "docs" / "data-sets.md").read_text()
    section = docs.partition(f"\n## {found.name}\n")[2].partition("\n## ")[0]
    card = found.card
    assert card.source_url in section
    assert f"| license | {card.license} |" in section
    assert card.citation.partition("(")[0].strip() in section
    for row in ("size", "splits", "conventions", "human ceiling", "checked"):
        assert f"| {row} |" in section
    assert card.num_judgments
    assert card.checked
    if found.parts:
        assert all(f"`{part}`" in section for part in found.parts)


# ---- odd one out -------------------------------------------------------------------------------


def odd_table(tmp_path, header, *rows, **config):
    write_images(tmp_path, "a.png", "b.png", "c.png", "d.png")
    write_csv(tmp_path / "lab.csv", header, *rows)
    settings = {"val_share": 0.0, "test_share": 0.0, **config}
    return OddOneOutTable(OddOneOutTable.Config(path=tmp_path / "lab.csv", **settings))


def test_rows_about_the_same_three_images_are_summed(tmp_path):
    header = "image_1 image_2 image_3 odd"
    table = odd_table(
        tmp_path,
        header,
        "a.png b.png c.png c.png",
        "c.png a.png b.png c.png",
        "b.png c.png a.png a.png",
    )
    judgments = table.load_odd_one_out("train")
    assert judgments.images.tolist() == [[0, 1, 2]]
    assert judgments.votes.tolist() == [[1, 0, 2]]


def test_odd_one_out_splits_by_image_share_no_image(tmp_path):
    write_images(tmp_path, *names(30))
    rng = np.random.default_rng(0)
    rows = [" ".join(rng.choice(names(30), 3, replace=False)) for _ in range(300)]
    write_csv(tmp_path / "lab.csv", "image_1 image_2 image_3 odd", *(f"{r} {r.split()[0]}" for r in rows))
    config = OddOneOutTable.Config(path=tmp_path / "lab.csv", split_by="image", val_share=0.3, test_share=0.3)
    used = [
        set(OddOneOutTable(config).load_odd_one_out(split).images.ravel())
        for split in ("train", "val", "test")
    ]
    assert not used[0] & used[1]
    assert not used[1] & used[2]
    assert not used[0] & used[2]


@pytest.mark.parametrize(
    ("header", "row", "sentence"),
    [
        (
            "image_1 image_2 image_3 odd",
            "a.png b.png c.png d.png",
            r"row 2: odd 'd.png' is none of the three",
        ),
        (
            "image_1 image_2 image_3 odd",
            "a.png b.png x.png a.png",
            r"row 2: image_3 'x.png': no such image",
        ),
        (
            "image_1 image_2 image_3 odd",
            "a.png b.png a.png b.png",
            r"row 2: the image 'a.png' occurs twice",
        ),
        (
            "image_1 image_2 image_3 votes_1 votes_2 votes_3",
            "a.png b.png c.png 0 0 0",
            r"row 2: no votes",
        ),
        ("image_1 image_2 image_3", "a.png b.png c.png", r"no column 'odd'"),
    ],
)
def test_an_invalid_odd_one_out_row_is_reported_by_number(tmp_path, header, row, sentence):
    with pytest.raises(DataError, match=sentence):
        odd_table(tmp_path, header, row).load("train")


# ---- users' tables -----------------------------------------------------------------------


def own_table(tmp_path, header, *rows, **keys):
    write_images(tmp_path, "a.png", "b.png", "c.png", "d.png")
    write_csv(tmp_path / "lab.csv", header, *rows)
    return Table(Table.Config(path=tmp_path / "lab.csv", val_share=0.0, test_share=0.0, **keys))


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("anchor first second choice", ("a.png b.png c.png c.png", "a.png b.png d.png neither")),
        (
            "head_filename left_filename right_filename winner_filename",
            ("a.png b.png c.png c.png", "a.png b.png d.png c.png"),
        ),
        (
            "anchor first second first_votes second_votes votes_neither",
            ("a.png b.png c.png 0 1 7", "a.png b.png d.png 0 0 3"),
        ),
    ],
)
def test_rows_that_chose_neither_candidate_are_excluded_by_the_key_that_the_message_names(
    tmp_path, header, rows
):
    with pytest.raises(DataError, match='set neither = "exclude"'):
        own_table(tmp_path, header, *rows).load("train")
    table = own_table(tmp_path, header, *rows, neither="exclude")
    assert named(table.load("train")) == {("a.png", "c.png", "b.png")}
    assert table.load("train").num_votes.tolist() == [1]
    assert list(table.warnings()) == [
        f"{tmp_path / 'lab.csv'}: 1 rows are excluded, which chose neither candidate"
    ]


def test_a_table_in_which_everyone_chose_neither_is_refused(tmp_path):
    table = own_table(tmp_path, "anchor first second choice", "a.png b.png c.png none", neither="exclude")
    with pytest.raises(DataError, match="every row chose neither candidate"):
        table.load("train")


def test_a_choice_is_an_image_name_or_a_column(tmp_path):
    table = own_table(
        tmp_path, "anchor first second choice", "a.png b.png c.png c.png", "a.png b.png d.png first"
    )
    assert named(table.load("train")) == {("a.png", "c.png", "b.png"), ("a.png", "b.png", "d.png")}


@pytest.mark.parametrize(
    ("header", "row", "sentence"),
    [
        (
            "anchor first second choice",
            "a.png b.png c.png d.png",
            r"row 3: choice 'd.png' is neither first 'b.png' nor second 'c.png'",
        ),
        (
            "anchor first second first_votes second_votes neither_votes",
            "a.png b.png c.png 4 2 1",
            r"row 3: 1 votes in column 'neither_votes': a judgment has two candidates",
        ),
        (
            "anchor first second first_votes second_votes",
            "a.png b.png x.png 4 2",
            r"row 3: second 'x.png': no such image",
        ),
        (
            "anchor first secnd first_votes second_votes",
            "a.png b.png c.png 4 2",
            "Did you mean 'secnd'",
        ),
    ],
)
def test_errors_of_a_table_are_reported_by_row(tmp_path, header, row, sentence):
    good = {4: "a.png b.png c.png b.png", 5: "a.png b.png c.png 3 1", 6: "a.png b.png c.png 3 1 0"}
    with pytest.raises(DataError, match=sentence):
        own_table(tmp_path, header, good[len(header.split())], row).load("train")


def test_ranked_choices_become_triplets_of_the_query(tmp_path):
    write_images(tmp_path, "q.png", "a.png", "b.png", "c.png", "d.png")
    write_csv(
        tmp_path / "lab.csv",
        "anchor chosen_1 chosen_2 other_1 other_2",
        "q.png a.png b.png c.png d.png",
    )
    config = {"path": tmp_path / "lab.csv", "val_share": 0.0, "test_share": 0.0}
    ranked = MultiSelect(MultiSelect.Config(is_ranked=True, **config)).load("train")
    answers = [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("a", "b")]
    assert named(ranked) == {("q.png", f"{near}.png", f"{far}.png") for near, far in answers}
    plain = MultiSelect(MultiSelect.Config(is_ranked=False, **config)).load("train")
    assert len(plain) == 4


def test_an_image_that_occurs_twice_in_a_row_is_reported(tmp_path):
    write_images(tmp_path, "q.png", "a.png", "b.png")
    write_csv(tmp_path / "lab.csv", "anchor chosen_1 other_1 other_2", "q.png a.png b.png a.png")
    table = MultiSelect(MultiSelect.Config(path=tmp_path / "lab.csv", is_ranked=False))
    with pytest.raises(DataError, match=r"row 2: the image 'a.png' occurs twice in one row"):
        table.load("train")


def test_invalid_rows_of_choices_are_reported_in_one_line_per_kind(tmp_path):
    write_images(tmp_path, "q.png", "a.png", "b.png", "c.png")
    rows = [f"q.png a.png {'gone' if i else 'lost'}.png b.png" for i in range(12)]
    rows += ["q.png a.png c.png a.png", "q.png a.png c.png q.png"]
    write_csv(tmp_path / "lab.csv", "anchor chosen_1 chosen_2 other_1", *rows)
    with (tmp_path / "lab.csv").open("a") as file:
        file.write("q.png,,,b.png\n")
    config = MultiSelect.Config(path=tmp_path / "lab.csv", is_ranked=False)
    with pytest.raises(DataError) as caught:
        MultiSelect(config).load("train")
    twice, missing, empty = str(caught.value).splitlines()
    assert "row 14: the image 'a.png' occurs twice in one row (2 such rows: 14, 15)" in twice
    assert "row 2: chosen_2 'lost.png': no such image" in missing
    assert "(12 such rows: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...)" in missing
    assert "row 16: chosen_1 is empty" in empty
    with (tmp_path / "lab.csv").open("a") as file:
        file.write("q.png,a.png,../c.png,b.png\n")
    with pytest.raises(DataError) as caught:
        MultiSelect(config).load("train")
    outside, empty = str(caught.value).splitlines()
    assert "row 17: chosen_2: image '../c.png' is outside the image folder" in outside
    assert "row 16: chosen_1 is empty" in empty


def test_an_image_pattern_converts_numbers_to_file_names_in_choices(tmp_path):
    write_images(tmp_path, "00.png", "01.png", "02.png")
    write_csv(tmp_path / "lab.csv", "anchor chosen_1 other_1", "0 1 2")
    config = {"is_ranked": False, "val_share": 0.0, "test_share": 0.0, "image": "{:02d}.png"}
    choices = MultiSelect(MultiSelect.Config(path=tmp_path / "lab.csv", **config))
    assert named(choices.load("train")) == {("00.png", "01.png", "02.png")}


@pytest.mark.parametrize(("cls", "own", "header", "rows", "num_judgments"), [
    (Ratings, {"higher_is_better": True}, "reference image rating",
     ["q.png a.png 1", "q.png b.png 2", "q.png c.png 9"], 1),
    (MultiSelect, {"is_ranked": False}, "anchor chosen_1 other_1",
     ["q.png a.png b.png", "b.png a.png q.png", "q.png a.png c.png"], 2),
    (SameDifferent, {}, "first second p_same",
     ["q.png a.png 0.1", "q.png b.png 0.2", "q.png c.png 1"], 1),
])  # fmt: skip
def test_excluded_rows_are_not_counted_and_may_be_invalid(tmp_path, cls, own, header, rows, num_judgments):
    write_images(tmp_path, "q.png", "a.png", "b.png", "c.png")
    wrong = rows[0].replace("a.png", "gone.png")
    marked = [f"{row} {mark}" for row, mark in zip([*rows, wrong], ["no", "0", "catch", "x"], strict=True)]
    write_csv(tmp_path / "lab.csv", f"{header} excluded", *marked)
    table = cls(cls.Config(path=tmp_path / "lab.csv", val_share=0.0, test_share=0.0, **own))
    assert len(table.load("train")) == num_judgments


def test_a_rating_that_is_not_a_number_is_reported_by_row(tmp_path):
    write_images(tmp_path, "r.png", "a.png")
    write_csv(tmp_path / "lab.csv", "reference image rating", "r.png a.png good")
    table = Ratings(Ratings.Config(path=tmp_path / "lab.csv", higher_is_better=True))
    with pytest.raises(DataError, match="row 2: rating is 'good', not a number"):
        table.load("train")


def test_pairs_without_triplets_are_reported_with_their_file(tmp_path):
    (tmp_path / "lab.csv").write_text("first,second,p_same,split\na.png,b.png,0,train\n")
    for name in ("a.png", "b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    sentence = r"lab\.csv: .*no image is the first of two or more pairs"
    with pytest.raises(DataError, match=sentence):
        SameDifferent(SameDifferent.Config(path=tmp_path / "lab.csv")).load("train")


def test_columns_of_a_same_different_file_can_be_mapped(tmp_path):
    write_images(tmp_path, "r.png", "a.png", "b.png")
    write_csv(tmp_path / "jnd.csv", "ref other frac n", "r.png a.png 0.8 10", "r.png b.png 0.1 10")
    config = SameDifferent.Config(
        path=tmp_path / "jnd.csv",
        first="ref",
        second="other",
        p_same="frac",
        num_votes="n",
        val_share=0.0,
        test_share=0.0,
    )
    judgments = SameDifferent(config)
    assert named(judgments.load("train")) == {("r.png", "a.png", "b.png")}
    assert judgments.load_same_pairs("train").base_rate == pytest.approx(0.45)


# ---- matrices ----------------------------------------------------------------------------------


def rdm(tmp_path, path, **config):
    write_images(tmp_path, *names(4))
    shares = {"val_share": 0.0, "test_share": 0.0, "min_gap": 0.0}
    return RdmSet(
        RdmSet.Config(path=tmp_path / path, images=tmp_path, **{"kind": "dissimilarity", **shares, **config})
    )


VECTOR = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


def test_sessions_of_a_subject_are_averaged_and_ceilings_are_over_subjects(tmp_path):
    from perceptinit.judgments.data_check import check_judgments

    rng = np.random.default_rng(0)
    of_people = rng.random((4, 1, 6))
    sessions = (of_people + 0.2 * rng.random((4, 2, 6))).reshape(8, 6)  # sessions of a person are similar
    (tmp_path / "names.txt").write_text("\n".join(names(4)))
    np.save(tmp_path / "lab.npy", sessions)
    scaled = (sessions - sessions.mean(1, keepdims=True)) / sessions.std(1, keepdims=True)
    np.save(tmp_path / "means.npy", scaled.reshape(4, 2, 6).mean(axis=1))
    key = {"names": tmp_path / "names.txt"}
    people = tuple("aabbccdd")
    joined, by_hand = rdm(tmp_path, "lab.npy", people=people, **key), rdm(tmp_path, "means.npy", **key)
    assert joined.people == ["a", "b", "c", "d"]
    np.testing.assert_allclose(joined.load_dissimilarities("all")[2], by_hand.load_dissimilarities("all")[2])
    assert joined.noise_ceiling("train") == by_hand.noise_ceiling("train")
    assert rdm(tmp_path, "lab.npy", **key).noise_ceiling("train")[0] > joined.noise_ceiling("train")[0]
    assert rdm(tmp_path, "lab.npy", people=people, subjects=(0, 2, 3), **key).people == ["a", "b"]
    told = [f.message for f in check_judgments(rdm(tmp_path, "lab.npy", **key), decode=False).findings]
    assert "each of the 8 matrices counts as one person. If a person has several, set people" in told
    with pytest.raises(DataError, match=r"2 names in 'people' for 8 matrices\. List one for each"):
        rdm(tmp_path, "lab.npy", people=("a", "b"), **key).load("train")


def test_all_file_layouts_of_a_matrix_have_the_same_triplets(tmp_path):
    from scipy.io import savemat
    from scipy.spatial.distance import squareform

    matrix = squareform(VECTOR)
    (tmp_path / "names.txt").write_text("\n".join(names(4)))
    np.save(tmp_path / "square.npy", matrix)
    np.save(tmp_path / "vector.npy", VECTOR)
    np.save(tmp_path / "subjects.npy", np.stack([matrix, matrix * 10]))
    savemat(tmp_path / "two.mat", {"rdm": matrix, "other": np.zeros(3)})
    header = ["", *names(4)]
    lines = [header, *([name, *map(str, row)] for name, row in zip(names(4), matrix, strict=True))]
    (tmp_path / "labelled.csv").write_text("\n".join(",".join(line) for line in lines))
    files = {"names": tmp_path / "names.txt"}
    expected = named(rdm(tmp_path, "square.npy", **files).load("train"))
    assert len(expected) == 12
    for path, config in {
        "vector.npy": files,
        "subjects.npy": files,
        "two.mat": {**files, "key": "rdm"},
        "labelled.csv": {},
    }.items():
        assert named(rdm(tmp_path, path, **config).load("train")) == expected
    votes = rdm(tmp_path, "subjects.npy", **files).load("train").num_votes
    assert set(votes) == {2}
    assert set(rdm(tmp_path, "subjects.npy", subjects=(1,), **files).load("train").num_votes) == {1}


@pytest.mark.parametrize(
    ("files", "config", "sentence"),
    [
        ({"lab.csv": "a,b\n0,1\n1,x"}, {}, r"lab.csv, row 3: cell 2 is 'x', not a number"),
        (
            {"lab.csv": ",a,b\na,0,1\nc,1,0"},
            {},
            r"lab.csv, row 3: named 'c', but column 2 is named 'b'",
        ),
        ({"lab.csv": "0,1\n1,0"}, {}, r"no image names\. Set names"),
    ],
)
def test_errors_of_a_matrix_file_are_reported(tmp_path, files, config, sentence):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=sentence):
        rdm(tmp_path, "lab.csv", **config).load("train")


def test_a_missing_image_of_a_matrix_is_reported_with_a_suggestion(tmp_path):
    np.save(tmp_path / "lab.npy", VECTOR)
    (tmp_path / "names.txt").write_text("000.png\n001.png\n002.png\n003.jpg\n")
    with pytest.raises(DataError, match=r"name 4, '003.jpg': no such image in .*Did you mean '003.png'"):
        rdm(tmp_path, "lab.npy", names=tmp_path / "names.txt").load("train")


# ---- published sets ----------------------------------------------------------------------------


def test_cifar10h_counts_in_a_different_order_are_refused(tmp_path):
    cifar = make_cifar10h(tmp_path)
    counts = np.load(tmp_path / "cifar10h-counts.npy")
    np.save(tmp_path / "cifar10h-counts.npy", counts[::-1])
    with pytest.raises(DataError, match="label counts and images are in different orders: the majority"):
        Cifar10H(cifar.config).load("train")


@pytest.mark.parametrize("counts", [np.ones((60, 10)), np.ones(60, dtype=np.int64)])
def test_label_counts_must_be_a_table_of_integers(counts):
    with pytest.raises(DataError, match=r"counts\.npy: expected integers \(images, classes\), got"):
        label_shares(counts, "counts.npy")


def test_an_empty_split_of_cifar10h_is_refused(tmp_path):
    cifar = make_cifar10h(tmp_path)
    with pytest.raises(DataError, match="no images in split 'test'"):
        Cifar10H(replace(cifar.config, test_share=0.0)).load("test")


@pytest.mark.skipif(
    "PERCEPTINIT_CIFAR10H" not in os.environ,
    reason="PERCEPTINIT_CIFAR10H does not name the folder of human_counts.npy and test.parquet",
)
def test_cifar10h_has_the_published_counts_and_human_accuracy():
    root = Path(os.environ["PERCEPTINIT_CIFAR10H"])
    cifar = Cifar10H(Cifar10H.Config(root=root, counts="human_counts.npy", images="test.parquet"))
    counts, _ = cifar._data
    labels = _read_photographs(root / "test.parquet")[1]
    assert counts.sum() == 511_000
    assert (counts.sum(axis=1).min(), counts.sum(axis=1).max()) == (47, 63)
    # "human accuracy" of the source, about 95 %
    assert counts[np.arange(10_000), labels].sum() / counts.sum() == pytest.approx(0.952, abs=5e-4)
    triplets = cifar.load("test")
    same = labels[triplets.anchor] == labels[triplets.second]
    other = labels[triplets.anchor] == labels[triplets.first]
    by_class = np.where(same == other, 0.5, np.where(same, triplets.p_second, 1 - triplets.p_second))
    # a model of the official labels is below the ceiling by the share of human disagreement
    assert by_class.mean() == pytest.approx(0.961, abs=0.003)
    # shares of labels, not votes on these questions
    assert ceiling_of_split(cifar, "test", triplets) is None


def nights(root, raw_rows):
    header = "ref_path left_path right_path left_vote right_vote votes split"
    rows = []
    for i, split in enumerate(("train", "train", "val", "test")):
        paths = [f"{p}/{i:03d}.png" for p in ("ref", "distort_0", "distort_1")]
        write_images(root, *paths)
        rows.append(f"{' '.join(paths)} 0.25 0.75 8 {split}")
    write_csv(root / "data.csv", header, *rows)
    raw = root / "unfiltered"
    for row in raw_rows:
        write_images(raw, *row.split()[:3])
    write_csv(raw / "nights_raw.csv", header.removesuffix(" split"), *raw_rows)
    return raw


def test_unfiltered_nights_adds_training_judgments_without_held_out_references(tmp_path):
    raw_rows = [
        "ref/000.png d/0.png d/1.png 0.5 0.5 2",
        "ref/002.png d/0.png d/1.png 0.5 0.5 9",  # a reference of val
        "ref/900.png d/2.png d/3.png 1 2 3",
    ]
    raw = nights(tmp_path, raw_rows)
    judgments = Nights(Nights.Config(root=tmp_path, unfiltered=raw, min_votes=1))
    assert list(judgments.preflight()) == []
    train = judgments.load("train")
    assert [train.stimuli.ids[i] for i in train.anchor] == ["ref/000.png", "ref/900.png"]
    assert train.num_votes.tolist() == [2, 3]
    assert train.p_second.tolist() == pytest.approx([0.5, 2 / 3])
    assert train.stimuli.images[0].is_relative_to(raw)
    for split in ("val", "test"):
        held_out = judgments.load(split)
        assert len(held_out) == 1
        assert not np.intersect1d(held_out.group, train.group).size


@pytest.mark.parametrize("table", [Table, OddOneOutTable, Ratings, MultiSelect, SameDifferent, RdmSet])
def test_shares_above_1_are_refused_by_every_users_table(table, tmp_path):
    required = {
        "path": str(tmp_path / "lab.csv"),
        "images": str(tmp_path),
        **({"higher_is_better": True} if table is Ratings else {}),
        **({"is_ranked": True} if table is MultiSelect else {}),
        **({"kind": "similarity"} if table is RdmSet else {}),
    }
    _, problems = read_config(table.Config, {**required, "test_share": 1.0}, "t")
    assert [str(problem) for problem in problems] == [
        "t: val_share + test_share = {total} > 1. To evaluate only, set test_share = 1, val_share = 0".format(
            total="1.1"
        )
    ]
