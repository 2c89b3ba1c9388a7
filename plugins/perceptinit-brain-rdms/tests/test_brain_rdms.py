"""Brain RDMs per region and subject: values computed by hand for four images, and error messages."""

import numpy as np
import pytest
from perceptinit_brain_rdms import perceptinit_judgments
from perceptinit_brain_rdms.regions import Regions
from PIL import Image
from scipy.spatial.distance import squareform

from perceptinit.plugin import DataError, two_afc_accuracy

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


def test_a_subject_is_a_vote(tmp_path):
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


def test_subjects_and_regions_can_be_chosen(tmp_path):
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


def test_the_noise_ceiling_is_between_chance_and_one(tmp_path):
    lower, upper = Regions(nod(tmp_path)).noise_ceiling("train")
    assert lower < upper <= 1.0
    assert changed(nod_one(tmp_path / "one")).noise_ceiling("train") is None


def nod_one(root):
    root.mkdir()
    return nod(root, subjects=("sub-01",))


def test_a_group_of_regions_must_be_whole(tmp_path):
    with pytest.raises(DataError, match=r"sub-01: no region called 'V2'\. Known: FFC, V1"):
        changed(nod(tmp_path), regions=("early",)).load("train")


def test_subjects_who_saw_other_images_are_refused(tmp_path):
    config = nod(tmp_path)
    (tmp_path / "sub-02" / "filenames.txt").write_text("\n".join(NAMES[::-1]))
    with pytest.raises(DataError, match=r"filenames\.txt differs from that of sub-01"):
        Regions(config).load("train")


def test_a_vector_of_another_length_is_told(tmp_path):
    config = nod(tmp_path)
    np.save(tmp_path / "sub-01" / "V1_roi_rdm_vector.npy", V1[:5])
    with pytest.raises(DataError, match=r"shape \(5,\), but 4 images have 6 pairs"):
        Regions(config).load("train")


def test_the_plug_in_offers_its_readers_under_its_name():
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
    from perceptinit_brain_rdms.rsatoolbox_file import RsatoolboxFile

    def make(**config):
        return RsatoolboxFile(
            RsatoolboxFile.Config(
                path=tmp_path / "rdms.hdf5",
                images=images(tmp_path / "images"),
                **{**SHARES, **config},
            )
        )

    return make


def test_an_rsatoolbox_file_gives_the_same_triplets_as_its_matrices(rsatoolbox_file):
    triplets = rsatoolbox_file(regions=("V1",)).load("train")
    matrix = squareform(V1)
    is_second = matrix[triplets.anchor, triplets.second] < matrix[triplets.anchor, triplets.first]
    assert np.array_equal(is_second, triplets.p_second == 1.0)
    assert set(triplets.num_votes) == {2}
    one = rsatoolbox_file(regions=("FFC",), subjects=("a",)).load("train")
    turned = squareform(LATE)
    is_second = turned[one.anchor, one.second] < turned[one.anchor, one.first]
    assert np.array_equal(is_second, one.p_second == 1.0)


def test_a_descriptor_that_is_not_there_is_told_with_those_that_are(rsatoolbox_file):
    with pytest.raises(DataError, match="no descriptor called 'region'"):
        rsatoolbox_file(region_descriptor="region").load("train")
    with pytest.raises(DataError, match=r"no subject called 'c'\. .*Known: a, b"):
        rsatoolbox_file(subjects=("c",)).load("train")


def test_the_matrices_can_be_had_whole_as_rsa_takes_them(tmp_path):
    stimuli, images, subjects = Regions(nod(tmp_path)).load_dissimilarities("train")
    assert [stimuli.ids[i] for i in images] == NAMES
    assert subjects.shape == (3, 4, 4)
    assert subjects[0][np.triu_indices(4, 1)].tolist() == V1.tolist()
