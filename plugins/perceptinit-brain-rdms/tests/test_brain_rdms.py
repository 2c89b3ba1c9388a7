"""Brain RDMs per region and subject: values computed by hand for four images, and error messages."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from perceptinit_brain_rdms import perceptinit_judgments
from perceptinit_brain_rdms.brain_set import Regions, near_and_far
from PIL import Image
from scipy.spatial.distance import squareform

from perceptinit.companion import two_afc_accuracy
from perceptinit.plugin import DataError

NAMES = [f"{i}.png" for i in range(4)]
SHARES = {"val_share": 0.0, "test_share": 0.0, "min_gap": 0.0}
# pairs 0-1, 0-2, 0-3, 1-2, 1-3, 2-3
V1 = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
LATE = V1[::-1].copy()


def images(folder):
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        Image.new("RGB", (4, 4)).save(folder / name)
    return folder


def nod(root, subjects=("sub-01", "sub-02", "sub-03"), late=("sub-03",)):
    """Write V1 and FFC of each subject; subjects in `late` have reversed dissimilarities."""
    for subject in subjects:
        folder = root / subject
        folder.mkdir()
        vector = LATE if subject in late else V1
        np.save(folder / "V1_roi_rdm_vector.npy", vector)
        np.save(folder / "FFC_roi_rdm_vector.npy", 10 * vector[::-1])
        (folder / "filenames.txt").write_text("\n".join(NAMES))
    return Regions.Config(root=root, images=images(root / "images"), regions=("V1",), **SHARES)


def changed(config, **values):
    from dataclasses import replace

    return Regions(replace(config, **values))


def test_each_subject_has_one_vote(tmp_path):
    triplets = Regions(nod(tmp_path)).load("train")
    assert len(triplets) == 12
    assert set(triplets.num_votes) == {3}
    # V1 of one of the three subjects is reversed
    assert np.unique(triplets.p_second).tolist() == pytest.approx([1 / 3, 2 / 3])
    matrix = squareform(V1)
    d_first = matrix[triplets.anchor, triplets.first]
    score = two_afc_accuracy(d_first, matrix[triplets.anchor, triplets.second], triplets.p_second)
    assert score == pytest.approx(2 / 3)
    flat = np.ones(len(triplets))
    assert two_afc_accuracy(flat, flat, triplets.p_second) == 0.5


def test_subjects_and_regions_can_be_selected(tmp_path):
    config = nod(tmp_path)
    assert set(changed(config, subjects=("sub-03",)).load("train").num_votes) == {1}
    own = changed(config, subjects=("sub-01",)).load("train")
    other = changed(config, subjects=("sub-01",), regions=("FFC",)).load("train")
    assert own.p_second[own.first == 1].tolist() != other.p_second[other.first == 1].tolist()


def test_regions_of_one_subject_are_scaled_before_they_are_averaged(tmp_path):
    # V1 and FFC (reversed and ten times as large) cancel out
    config = nod(tmp_path)
    with pytest.raises(DataError, match="the matrices cancel each other out"):
        changed(config, regions=("V1", "FFC")).load("train")


def test_near_and_far_groups_have_the_requested_shares():
    distances = np.array([np.nan, 5.0, 1.0, 4.0, 2.0, 3.0, 6.0, np.nan, 8.0, 7.0])
    groups = near_and_far(distances, 0.25, 0.375)  # of 8 candidates: 2 and 3
    np.testing.assert_array_equal(groups, [np.nan, np.nan, 0, np.nan, 0, np.nan, 1, np.nan, 1, 1])
    smallest = near_and_far(distances, 0.01, 0.01)  # at least one each
    assert (np.flatnonzero(smallest == 0).tolist(), np.flatnonzero(smallest == 1).tolist()) == ([2], [8])
    halves = near_and_far(np.arange(7.0), 0.5, 0.5)  # 3.5 rounds to 4: the far group is smaller
    np.testing.assert_array_equal(halves, [0, 0, 0, 0, 1, 1, 1])
    for equal in (np.ones(4), np.array([1.0, np.nan])):  # no order, or a single candidate
        assert np.isnan(near_and_far(equal, 0.5, 0.5)).all()


def random_regions(root, **options):
    """Write one subject with 40 images at random points, and return its judgments and distances."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((40, 3))
    matrix = np.linalg.norm(points[:, None] - points, axis=-1)
    (root / "sub-01").mkdir(parents=True)
    np.save(root / "sub-01" / "V1_roi_rdm_vector.npy", squareform(matrix, checks=False))
    names = [f"{i:02d}.png" for i in range(40)]
    (root / "filenames.txt").write_text("\n".join(names))
    (root / "images").mkdir()
    for name in names:
        Image.new("RGB", (4, 4)).save(root / "images" / name)
    config = Regions.Config(root=root, images=root / "images", regions=("V1",), val_share=0.0, **options)
    return Regions(config), matrix


def test_triplets_have_a_near_and_a_far_candidate_of_their_split(tmp_path):
    judgments, matrix = random_regions(tmp_path, near=0.1, far=0.2, test_share=0.25, per_anchor=8)
    for split in ("train", "test"):
        triplets = judgments.load(split)
        anchor, first, second = triplets.roles
        members = np.unique(triplets.roles)
        others = len(members) - 1
        num_near, num_far = max(1, round(0.1 * others)), max(1, round(0.2 * others))
        closer = np.where(triplets.p_second == 1, second, first)
        farther = np.where(triplets.p_second == 1, first, second)
        assert set(triplets.p_second) == {0, 1}
        for a, near, far in zip(anchor, closer, farther, strict=True):
            ordered = members[np.argsort(matrix[a, members])][1:]  # the first is the anchor
            assert near in ordered[:num_near]
            assert far in ordered[-num_far:]
        counts = np.bincount(anchor)[members]
        assert set(counts) == {min(8, num_near * num_far)}
        keys = {(a, frozenset(pair)) for a, *pair in zip(anchor, first, second, strict=True)}
        assert len(keys) == len(triplets)


def test_images_without_near_and_far_candidates_are_an_error(tmp_path):
    config = nod(tmp_path, subjects=("sub-01",))
    np.save(tmp_path / "sub-01" / "V1_roi_rdm_vector.npy", np.array([1.0, 1.0, 2.0, 1.0, 2.0, 2.0]))
    judgments = changed(config, near=0.1, far=0.2)
    assert len(judgments.load("train")) > 0
    with pytest.raises(DataError, match="no image has a near and a far candidate at different distances"):
        judgments.draw(judgments._stimuli, judgments._dissimilarities, [0, 1])


@pytest.mark.parametrize("far", [0.8, 0.9])
def test_near_and_far_may_sum_to_one_in_floating_point(tmp_path, far):
    Regions.Config(root=tmp_path, images=tmp_path, regions=("V1",), near=round(1 - far, 1), far=far)


def test_without_near_and_far_all_pairs_above_min_gap_are_drawn(tmp_path):
    judgments, matrix = random_regions(tmp_path, min_gap=0.5)
    triplets = judgments.load("train")
    anchor, first, second = triplets.roles
    scaled = matrix / matrix[np.triu_indices(40, 1)].std()
    assert (np.abs(scaled[anchor, first] - scaled[anchor, second]) >= 0.49).all()


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"near": 0.03}, "near and far are used together"),
        ({"near": 0.6, "far": 0.5}, "near = 0.6, far = 0.5: both > 0, and at most 1 together"),
        ({"near": 0.0, "far": 0.5}, "both > 0"),
        ({"near": 0.5, "far": 0.0}, "both > 0"),
        ({"near": 0.5, "far": 0.5, "val_share": 0.6, "test_share": 0.6}, "val_share \\+ test_share"),
    ],
)
def test_invalid_near_and_far_shares_are_refused(tmp_path, shares, message):
    with pytest.raises(ValueError, match=message):
        Regions.Config(root=tmp_path, images=tmp_path, regions=("V1",), **shares)


def test_the_noise_ceiling_is_between_chance_and_one(tmp_path):
    lower, upper = Regions(nod(tmp_path)).noise_ceiling("train")
    assert lower < upper <= 1.0
    assert changed(nod_one(tmp_path / "one")).noise_ceiling("train") is None


def nod_one(root):
    root.mkdir()
    return nod(root, subjects=("sub-01",))


def test_a_group_of_regions_requires_every_region(tmp_path):
    with pytest.raises(DataError, match=r"sub-01: no region called 'V2'\. Known: FFC, V1"):
        changed(nod(tmp_path), regions=("early",)).load("train")


def test_subjects_with_different_images_are_refused(tmp_path):
    config = nod(tmp_path)
    (tmp_path / "sub-02" / "filenames.txt").write_text("\n".join(NAMES[::-1]))
    with pytest.raises(DataError, match=r"filenames\.txt differs from that of sub-01"):
        Regions(config).load("train")


def test_a_vector_of_the_wrong_length_is_reported(tmp_path):
    config = nod(tmp_path)
    np.save(tmp_path / "sub-01" / "V1_roi_rdm_vector.npy", V1[:5])
    with pytest.raises(DataError, match=r"shape \(5,\), but 4 images have 6 pairs"):
        Regions(config).load("train")


def test_the_recipe_of_eight_regions_finishes_a_smoke_run(tmp_path):
    recipe = Path(__file__).parents[1] / "recipes" / "nod_regions.toml"
    command = [sys.executable, "-m", "perceptinit", "run", recipe, "--smoke", "--arm", "ffc"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (record,) = tmp_path.glob("runs/nod-regions-smoke/ffc/seed*/record.json")
    text = json.loads(record.read_text())["recipe"]["text"]
    arms = re.findall(r'^name = "([\w-]+)"$', text, flags=re.MULTILINE)
    assert [arm for arm in arms if arm.endswith("-shuffled")] == [
        f"{region}-shuffled" for region in ("v1", "v2", "v4", "v8", "pit", "lo", "ffc", "vvc")
    ]


def test_the_plug_in_offers_its_components_with_its_prefix():
    assert [c.name for c in perceptinit_judgments()] == [
        "brain-rdms/rsatoolbox",
        "brain-rdms/rdm",
        "brain-rdms/regions",
    ]


# ---- rsatoolbox --------------------------------------------------------------------------------


@pytest.fixture
def rsatoolbox_file(tmp_path):
    rdm = pytest.importorskip("rsatoolbox.rdm", reason="rsatoolbox is not installed")
    rdms = rdm.RDMs(
        np.stack([V1, LATE, V1, V1]),
        dissimilarity_measure="correlation",
        rdm_descriptors={"subject": ["a", "a", "b", "b"], "roi": ["V1", "FFC", "V1", "FFC"]},
        pattern_descriptors={"image": NAMES},
    )
    rdms.save(str(tmp_path / "rdms.hdf5"), file_type="hdf5")
    from perceptinit_brain_rdms.rdm_export import RsatoolboxFile

    def make(**config):
        return RsatoolboxFile(
            RsatoolboxFile.Config(
                path=tmp_path / "rdms.hdf5",
                images=images(tmp_path / "images"),
                **{**SHARES, **config},
            )
        )

    return make


def test_an_rsatoolbox_file_has_the_triplets_of_its_matrices(rsatoolbox_file):
    triplets = rsatoolbox_file(regions=("V1",)).load("train")
    matrix = squareform(V1)
    is_second = matrix[triplets.anchor, triplets.second] < matrix[triplets.anchor, triplets.first]
    assert np.array_equal(is_second, triplets.p_second == 1.0)
    assert set(triplets.num_votes) == {2}
    one = rsatoolbox_file(regions=("FFC",), subjects=("a",)).load("train")
    turned = squareform(LATE)
    is_second = turned[one.anchor, one.second] < turned[one.anchor, one.first]
    assert np.array_equal(is_second, one.p_second == 1.0)


def test_an_unknown_descriptor_or_subject_is_reported_with_the_known_ones(rsatoolbox_file):
    with pytest.raises(DataError, match="no descriptor called 'region'"):
        rsatoolbox_file(region_descriptor="region").load("train")
    with pytest.raises(DataError, match=r"no subject called 'c'\. .*Known: a, b"):
        rsatoolbox_file(subjects=("c",)).load("train")


def test_load_dissimilarities_returns_the_matrices_for_rsa(tmp_path):
    stimuli, images, subjects = Regions(nod(tmp_path)).load_dissimilarities("train")
    assert [stimuli.ids[i] for i in images] == NAMES
    assert subjects.shape == (3, 4, 4)
    assert subjects[0][np.triu_indices(4, 1)].tolist() == V1.tolist()
