"""Published data sets in small copies of their layouts, and the JND evaluator."""

import csv

import numpy as np
import pytest
import torch
from perceptinit_perceptual_sets import perceptinit_evaluators, perceptinit_judgments
from perceptinit_perceptual_sets.bapps import Bapps
from perceptinit_perceptual_sets.image_quality import Kadid10k, Pipal, Tid2013
from perceptinit_perceptual_sets.jnd import Jnd, same_average_precision
from perceptinit_perceptual_sets.things import Things, find_odd_column
from PIL import Image

from perceptinit.plugin import Conventions, DataError, RunContext, UsageError, generator
from perceptinit.testing import JudgmentsContract, tiny_judgments


def write_images(folder, *names):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (i * 37 % 256, i * 91 % 256, 128)).save(folder / name)


def write_csv(path, header, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(), *(str(row).split() for row in rows)])


def named(triplets):
    """Return {(anchor, closer, farther)} by name."""
    ids = triplets.stimuli.ids
    columns = (triplets.anchor, triplets.first, triplets.second, triplets.p_second)
    return {
        (ids[a], *((ids[s], ids[f]) if p > 0.5 else (ids[f], ids[s])))
        for a, f, s, p in zip(*(c.tolist() for c in columns), strict=True)
    }


# ---- one small copy of each, in the published layout -------------------------------------------


def make_things(root, **config):
    objects = [f"object{i:02d}" for i in range(40)]
    write_images(root, *(f"{name}.jpg" for name in objects))
    lines = [f"word{i}\t{name}" for i, name in enumerate(objects)]
    (root / "things_concepts.tsv").write_text("\n".join(["Word\tuniqueID", *lines]))
    rng = np.random.default_rng(0)
    table = np.array([rng.choice(40, 3, replace=False) for _ in range(400)])
    np.savetxt(root / "train_90.txt", table[:360])
    np.save(root / "test_10.npy", table[360:])
    settings = {
        "train": root / "train_90.txt",
        "test": root / "test_10.npy",
        "concepts": root / "things_concepts.tsv",
        "images": root,
        "index_base": 0,
        "odd_column": "last",
        **config,
    }
    return Things(Things.Config(**settings))


def make_bapps(root):
    rng = np.random.default_rng(0)
    for part, kinds in {"train": ["cnn", "mix"], "val": ["cnn", "superres"]}.items():
        for kind in kinds:
            folder = root / "2afc" / part / kind
            for i in range(20):
                write_images(folder, *(f"{p}/{i:06d}.png" for p in ("ref", "p0", "p1")))
                (folder / "judge").mkdir(exist_ok=True)
                np.save(folder / "judge" / f"{i:06d}.npy", np.array([rng.integers(0, 6) / 5]))
    folder = root / "jnd" / "val" / "cnn"
    for i in range(20):
        write_images(folder, f"p0/{i:06d}.png", f"p1/{i:06d}.png")
        (folder / "same").mkdir(exist_ok=True)
        np.save(folder / "same" / f"{i:06d}.npy", np.array([i % 4 / 3]))
    return Bapps(Bapps.Config(root=root))


def make_tid2013(root):
    lines = []
    for ref in range(1, 11):
        write_images(root / "reference_images", f"I{ref:02d}.BMP")
        for level in range(1, 6):
            write_images(root / "distorted_images", f"i{ref:02d}_01_{level}.bmp")
            lines.append(f"{6 - level}.25 I{ref:02d}_01_{level}.bmp")
    (root / "mos_with_names.txt").write_text("\r\n".join(lines))
    return Tid2013(Tid2013.Config(root=root))


def make_kadid10k(root):
    rows = []
    for ref in range(1, 11):
        write_images(root / "images", f"I{ref:02d}.png")
        for level in range(1, 6):
            write_images(root / "images", f"I{ref:02d}_01_{level:02d}.png")
            rows.append(f"I{ref:02d}_01_{level:02d}.png I{ref:02d}.png {6 - level} 0.5")
    write_csv(root / "dmos.csv", "dist_img ref_img dmos var", *rows)
    return Kadid10k(Kadid10k.Config(root=root))


def make_pipal(root):
    for ref in range(1, 11):
        write_images(root / "Reference_train", f"A{ref:04d}.bmp")
        lines = []
        for i in range(4):
            write_images(root / "Distortion/Distortion_1", f"A{ref:04d}_00_{i:02d}.bmp")
            lines.append(f"A{ref:04d}_00_{i:02d}.bmp,{1000 + 400 * i}")
        labels = root / "training/MOS_Scores_train"
        labels.mkdir(parents=True, exist_ok=True)
        (labels / f"A{ref:04d}.txt").write_text("\n".join(lines))
    return Pipal(Pipal.Config(root=root))


MAKERS = {
    "things": make_things,
    "bapps": make_bapps,
    "tid2013": make_tid2013,
    "kadid10k": make_kadid10k,
    "pipal": make_pipal,
}


@pytest.fixture(params=MAKERS)
def judgments(request, tmp_path):
    return MAKERS[request.param](tmp_path)


class TestBapps(JudgmentsContract):
    component = Bapps

    def options(self, tmp_path):
        return {"root": str(make_bapps(tmp_path).config.root)}


class TestTid2013(JudgmentsContract):
    component = Tid2013

    def options(self, tmp_path):
        return {"root": str(make_tid2013(tmp_path).config.root)}


class Collapsed:
    """A model that returns the same embedding for every image."""

    image_size = 4

    def encode_image(self, images):
        return torch.ones(len(images), 3)


def test_the_small_copy_passes_preflight_and_has_all_splits(judgments):
    assert list(judgments.preflight()) == []
    for split in ("train", "val", "test"):
        assert len(judgments.load(split)) > 0


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


# wrappers read other judgments, and controls have no human answers


def test_always_choosing_first_scores_about_chance(tmp_path):
    for make in (make_things, make_tid2013):
        root = tmp_path / make.__name__
        root.mkdir()
        assert 0.3 < make(root).load("train").p_second.mean() < 0.7


def test_the_package_offers_the_listed_names_and_every_set_states_its_conventions():
    names = [component.name for component in perceptinit_judgments()]
    assert sorted(names) == ["bapps", "kadid10k", "pipal", "things", "tid2013"]
    assert [component.name for component in perceptinit_evaluators()] == ["jnd", "shape-bias"]
    for cls in (Bapps, Things, Tid2013, Kadid10k, Pipal):
        assert isinstance(cls.conventions, Conventions)
        assert cls.card.num_judgments
        assert cls.card.checked


# ---- THINGS --------------------------------------------------------------------------------------


def test_things_supports_the_long_format_with_one_based_indices(tmp_path):
    things = make_things(tmp_path)
    (tmp_path / "long.tsv").write_text(
        "subject\timage1\timage2\timage3\tchoice\n7\t1\t2\t3\t2\n7\t40\t2\t5\t1\n"
    )
    shares = {"val_share": 0.0, "test_share": 0.0, "test": None}
    things = make_things(tmp_path, train=tmp_path / "long.tsv", index_base=1, odd_column="choice", **shares)
    judgments = things.load_odd_one_out("train")
    assert judgments.images.tolist() == [[0, 1, 2], [39, 1, 4]]
    assert judgments.votes.argmax(axis=1).tolist() == [1, 0]


def test_things_with_the_wrong_index_base_is_reported(tmp_path):
    things = make_things(tmp_path, index_base=1)
    with pytest.raises(DataError, match=r"are not all in 1\.\.40\. Check index_base = 1"):
        things.load("train")


def test_things_with_the_wrong_odd_column_is_detected_by_an_embedding(tmp_path):
    make_things(tmp_path)
    rng = np.random.default_rng(1)
    embedding = rng.random((40, 6))
    np.save(tmp_path / "vice.npy", embedding)
    table = []
    for _ in range(300):
        i, j, k = rng.choice(40, 3, replace=False)
        pairs = [(i, j, k), (i, k, j), (j, k, i)]
        table.append(max(pairs, key=lambda pair: embedding[pair[0]] @ embedding[pair[1]]))
    np.save(tmp_path / "train.npy", np.array(table))
    settings = {"train": tmp_path / "train.npy", "test": None, "embedding": tmp_path / "vice.npy"}
    right = make_things(tmp_path, odd_column="last", **settings)
    assert list(right.preflight()) == []
    wrong = make_things(tmp_path, odd_column="first", **settings)
    with pytest.raises(DataError, match=r'odd_column = "first", but .* predicts another column best'):
        wrong.load("train")


def test_an_embedding_identifies_the_odd_column():
    rng = generator(0, "test")
    embedding = rng.random((20, 5))
    images = np.array([rng.choice(20, 3, replace=False) for _ in range(300)])
    a, b, c = embedding[images].transpose(1, 0, 2)
    similar = np.stack([(a * b).sum(1), (a * c).sum(1), (b * c).sum(1)], axis=1).argmax(axis=1)
    odd = np.array([2, 1, 0])[similar]
    for column in range(3):
        others = np.array([[i for i in range(3) if i != k] for k in odd])
        order = np.insert(others, column, odd, axis=1) if column < 2 else np.column_stack([others, odd])
        arranged = np.take_along_axis(images, order, axis=1)
        best, scores = find_odd_column(arranged, embedding)
        assert best == column
        assert scores[column] == 1.0


# ---- BAPPS and the image-quality sets ------------------------------------------------------------


def test_bapps_matches_files_by_name_and_reports_missing_files(tmp_path):
    bapps = make_bapps(tmp_path)
    folder = tmp_path / "2afc/val/cnn"
    triplets = bapps.load("test")
    row = triplets.stimuli.ids[triplets.second[7]]
    assert row == "2afc/val/cnn/p1/000007.png"
    assert triplets.p_second[7] == pytest.approx(float(np.load(folder / "judge/000007.npy")[0]))
    (folder / "p1/000007.png").unlink()
    with pytest.raises(DataError, match=r"p1: 1 of 20 files are missing: 000007.png"):
        Bapps(bapps.config).load("test")


def test_bapps_jnd_is_test_only(tmp_path):
    bapps = make_bapps(tmp_path)
    assert bapps.load_same_pairs("test").base_rate == pytest.approx(0.5)
    with pytest.raises(DataError, match=r"has no same-or-different judgments\. Use split 'test'"):
        bapps.load_same_pairs("train")


def test_a_distortion_with_a_better_rating_is_closer_to_its_reference(tmp_path):
    for make, reference in ((make_tid2013, "i01.bmp"), (make_kadid10k, "i01.png")):
        root = tmp_path / reference
        root.mkdir()
        found = [named(make(root).load(split)) for split in ("train", "val", "test")]
        of_first = {row[1:] for row in set().union(*found) if row[0] == reference}
        assert len(of_first) == 10  # 5 levels, all pairs
        assert all(closer < farther for closer, farther in of_first)  # level 1 is rated best


def test_pipal_shares_follow_the_elo_model(tmp_path):
    p = make_pipal(tmp_path).load("train").p_second
    shares = {round(float(max(v, 1 - v)), 4) for v in p}
    assert shares == {round(1 / (1 + 10**-k), 4) for k in (1, 2, 3)}


def test_an_image_quality_set_reports_invalid_lines_and_missing_images(tmp_path):
    tid = make_tid2013(tmp_path)
    (tmp_path / "distorted_images/i03_01_2.bmp").unlink()
    assert "1 of 60 images are missing: i03_01_2.bmp" in next(iter(tid.preflight()))
    (tmp_path / "mos_with_names.txt").write_text("5.1 I01_01_1.bmp\nfive I01_01_2.bmp\n")
    with pytest.raises(DataError, match=r"mos_with_names.txt, row 2: score is 'five', not a number"):
        Tid2013(Tid2013.Config(root=tmp_path)).load("train")


# ---- just noticeable differences -----------------------------------------------------------------


def test_average_precision_ranks_pairs_by_distance():
    # near to far: same, different, same. Recall 1/2 at precision 1, recall 1 at precision 2/3
    assert same_average_precision([0.1, 0.2, 0.3], [1.0, 0.0, 1.0]) == pytest.approx(1 / 2 + 1 / 3)
    assert same_average_precision([0.1, 0.2, 0.3], [1.0, 1.0, 0.0]) == 1.0


def test_a_collapsed_model_scores_the_base_rate_of_same_answers():
    assert same_average_precision(np.zeros(4), [1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)


def test_a_collapsed_model_scores_chance(tmp_path):
    (score,) = Jnd(Jnd.Config(), make_bapps(tmp_path)).evaluate(Collapsed(), RunContext(num_workers=0))
    assert score.name == "jnd_ap/bapps"
    assert score.value == pytest.approx(score.chance)
    assert 0 < score.chance < 1


def test_judgments_without_same_or_different_answers_are_refused():
    with pytest.raises(UsageError, match="have no same-or-different answers"):
        Jnd(Jnd.Config(), tiny_judgments()).read()
