"""Files in the layouts of published sets are read with keys, without editing them."""

import json
import pickle
import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from perceptinit.components.building import find_component_warnings
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import DataError, MissingPackageError, UsageError
from perceptinit.evaluating.asked import judgments_table, read_asked
from perceptinit.judgments.sources import as_table, build_judgments

ROOT = Path(__file__).parents[2]
REGISTRY = build_plugin_manager().registry
NUM = 6
NAMES = [f"{i:03d}.jpg" for i in range(NUM)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, with six images in `images`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for i, name in enumerate(NAMES):
        Image.new("RGB", (4, 4), (40 * i, 0, 0)).save(tmp_path / "images" / name)
    return tmp_path


def opened(text):
    """Return the judgments that `--on TEXT` names."""
    (asked,) = read_asked([text], REGISTRY)
    table, _, problems = judgments_table(asked, REGISTRY)
    return build_judgments(table, REGISTRY, problems)


def chosen(text):
    """Return {(anchor, closer, farther)} of all judgments of a set."""
    t = opened(f"{text},images=images,whole=true").load("test")
    ids = t.stimuli.ids
    rows = zip(t.anchor, t.first, t.second, t.p_second, strict=True)
    return {(ids[a], ids[s if p > 0.5 else f], ids[f if p > 0.5 else s]) for a, f, s, p in rows}


def odd_ones(text):
    """Return {(three images, odd image)} of all odd-one-out judgments of a set."""
    odd = opened(f"{text},images=images,whole=true").load_odd_one_out("test")
    ids = odd.stimuli.ids
    rows = zip(odd.images, odd.votes, strict=True)
    return {(tuple(ids[i] for i in images), ids[images[np.argmax(votes)]]) for images, votes in rows}


EXPECTED = {("000.jpg", "001.jpg", "002.jpg"), ("003.jpg", "005.jpg", "004.jpg")}
ODD = {
    (("000.jpg", "001.jpg", "002.jpg"), "002.jpg"),
    (("003.jpg", "004.jpg", "005.jpg"), "003.jpg"),
}


# ---- names of columns


def test_triplets_without_a_header_are_read_in_the_layout_of_food_100(folder):
    # all-triplets.csv of Wilber et al. (2014), as cblearn reads it: target; more similar; less similar
    (folder / "all-triplets.csv").write_text("000.jpg; 001.jpg ;002.jpg\n003.jpg ; 005.jpg; 004.jpg\n")
    assert chosen("all-triplets.csv,columns=anchor,positive,negative") == EXPECTED


def test_columns_without_a_name_are_skipped(folder):
    # the survey of 60 cars has a round before and a time after the images
    (folder / "rows.csv").write_text("1,000.jpg,001.jpg,002.jpg,0.5\n1,003.jpg,005.jpg,004.jpg,0.7\n")
    assert chosen("rows.csv,columns=,anchor,positive,negative,") == EXPECTED


def test_columns_of_a_header_are_renamed(folder):
    (folder / "lab.csv").write_text(
        "first,target,other,answer\n000.jpg,001.jpg,002.jpg,000.jpg\n005.jpg,003.jpg,004.jpg,005.jpg\n"
    )
    names = "anchor:target,second:other,choice:answer"
    assert chosen(f"lab.csv,columns={names}") == {
        ("001.jpg", "000.jpg", "002.jpg"),
        ("003.jpg", "005.jpg", "004.jpg"),
    }


# trials of Levels, as its experiment saves them: experiment/index.html of Frieda-Josefine/HumanEval_experiment
STIMULI = "stimuli/imagenet2012_human_eval_v2.1_category_stratified_triplets/"


def level_trial(numbers, selected, kind="exp_trial", folder=STIMULI, person="participant_0"):
    paths = {f"image{place}Path": f"{folder}{NAMES[i]}" for place, i in enumerate(numbers, 1)}
    answer = {"selected_image": selected if isinstance(selected, str) else f"{folder}{NAMES[selected]}"}
    return {**paths, **answer, "subject_id": person, "exp_trial_type": kind, "rt": 812.5}


def test_trials_of_levels_are_read_before_columns_are_renamed(folder):
    trials = [
        {"trial_type": "fullscreen", "rt": 1},
        level_trial((0, 1, 2), 2),
        level_trial((3, 4, 5), 3, person="participant_1"),
        level_trial((0, 1, 3), 3, kind="catch_trial", folder="stimuli/catch_trials/"),
        level_trial((0, 1, 4), "No image selected"),
    ]
    (folder / "levels.json").write_text("\n".join(map(json.dumps, trials)))
    assert odd_ones("levels.json") == ODD
    people = opened("levels.json,split_by=person,images=images,test_share=1.0,val_share=0.0")
    assert len(set(people.load_odd_one_out("test").group.tolist())) == 2


def test_the_published_selection_of_levels_is_converted_and_read(folder):
    # processed_data/pruned_dataset.pkl: names without a folder, by person
    keep = {"triplet_type": "class_border"}
    people = {
        "participant_0": [level_trial((0, 1, 2), 2, folder="") | keep],
        "participant_1": [level_trial((3, 4, 5), 3, folder="") | keep],
    }
    for trials in people.values():
        del trials[0]["subject_id"]
    (folder / "pruned_dataset.pkl").write_bytes(pickle.dumps(people))
    exec(example("import json, pickle"), {})
    assert odd_ones("levels.json") == ODD
    assert json.loads((folder / "levels.json").read_text())[1]["subject_id"] == "participant_1"


@pytest.mark.parametrize("names", ["anchor,positive", "anchor:a,positive", "anchor:ref,positive:b"])
def test_names_that_do_not_fit_the_file_are_reported(folder, names):
    (folder / "lab.csv").write_text("a,b,c\n000.jpg,001.jpg,002.jpg\n")
    expected = {
        "anchor,positive": "3 columns, but columns has 2 names",
        "anchor:a,positive": "no column 'positive'",
        "anchor:ref,positive:b": "no column 'ref'",
    }[names]
    with pytest.raises(DataError, match=f"lab.csv: .*{expected}"):
        opened(f"lab.csv,use=table,columns={names},images=images").load("test")


def test_a_table_with_numbers_and_no_header_says_how_to_name_its_columns(folder):
    (folder / "lab.csv").write_text("0,1,2\n3,5,4\n")
    (said, *_) = opened("lab.csv,images=images").preflight()
    assert "the first row looks like data: 0, 1, 2" in said
    assert "columns=anchor,positive,negative" in said


# ---- numbers of images


@pytest.mark.parametrize("numbers", ["0 1 2\n4 5 3\n", "0.0 1.000000e+00  2\n4 5 3 \n"])
def test_a_text_file_of_spose_is_read_as_odd_one_out(folder, numbers):
    # train_90.txt of SPoSE: three indices from 0, the last is odd; objects in the order of a file of names
    (folder / "train_90.txt").write_text(numbers)
    (folder / "unique_id.txt").write_text("\n".join(name.removesuffix(".jpg") for name in NAMES))
    keys = "columns=image_1,image_2,odd,names=unique_id.txt,index_base=0,image={}.jpg"
    assert odd_ones(f"train_90.txt,{keys}") == ODD


def test_a_number_without_a_name_is_reported_with_its_row(folder):
    (folder / "train.txt").write_text("0 1 2\n4 5 6\n")
    (folder / "names.txt").write_text("\n".join(NAMES))
    judgments = opened("train.txt,columns=image_1,image_2,odd,names=names.txt,index_base=0,images=images")
    with pytest.raises(DataError, match=r"train.txt, row 2: .*'6' is not a number from 0 to 5"):
        judgments.load("test")


def test_names_need_the_number_of_the_first_name(folder):
    (folder / "train.txt").write_text("0 1 2\n")
    with pytest.raises(UsageError, match="names and index_base are used together"):
        opened("train.txt,columns=image_1,image_2,odd,names=names.txt,images=images")


def test_choices_of_two_of_four_images_by_number_are_read(folder):
    # stimulus_set of psiz as CSV: the query, then the chosen images in order, then the others
    (folder / "obs.csv").write_text("0,1,2,3,4\n")
    (folder / "names.txt").write_text("\n".join(NAMES))
    keys = "columns=anchor,chosen_1,chosen_2,other_1,other_2,is_ranked=false,names=names.txt,index_base=0"
    closer_farther = [(1, 3), (1, 4), (2, 3), (2, 4)]
    assert chosen(f"obs.csv,{keys}") == {(NAMES[0], NAMES[a], NAMES[b]) for a, b in closer_farther}


def write_psiz(path, stimulus_set, n_select):
    """Write what `RankObservations.save` of psiz 0.4 writes, without times and weights."""
    with h5py.File(path, "w") as file:
        file["trial_type"] = "RankObservations"
        file["stimulus_set"] = np.array(stimulus_set, np.int32)
        file["n_select"] = np.array(n_select, np.int32)
        file["is_ranked"] = np.full(len(n_select), True)


def test_observations_of_psiz_are_read_with_placeholders_and_any_number_of_choices(folder):
    write_psiz("obs.hdf5", [[0, 1, 2, 3], [5, 4, 3, -1]], [2, 1])
    (folder / "names.txt").write_text("\n".join(NAMES))
    keys = "is_ranked=true,names=names.txt,index_base=0"
    expected = [(0, 1, 3), (0, 2, 3), (0, 1, 2), (5, 4, 3)]
    assert chosen(f"obs.hdf5,{keys}") == {tuple(NAMES[i] for i in row) for row in expected}


def test_hdf5_files_of_psiz_need_h5py_and_ranks(folder, monkeypatch):
    # h5py is not required to recognize them: HDF5 stores the names of arrays as plain text
    (folder / "obs.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n...n_select...stimulus_set...")
    assert as_table("obs.hdf5", REGISTRY) == {"use": "multi-select", "path": "obs.hdf5"}
    keys = "obs.hdf5,is_ranked=true,images=images"
    (said,) = opened(keys).preflight()
    assert said.startswith("obs.hdf5: not rank observations of psiz")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        MissingPackageError, match=r"obs.hdf5: .hdf5 requires h5py. Run pip install 'perceptinit\[hdf5\]'"
    ):
        opened(keys).load("test")


# ---- judgments of pairs


MATRIX = np.abs(np.subtract.outer(np.arange(NUM), np.arange(NUM))) ** 1.5


def write_pairs(path, header, rows):
    path.write_text(header + "\n".join(",".join(map(str, row)) for row in rows))


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("image_1,image_2,distance\n", ""),
        ("image_1,image_2,dissimilarity\n", ""),
        ("", ",columns=image_1,image_2,distance"),
        ("a,b,d\n", ",columns=image_1:a,image_2:b,distance:d"),
    ],
)
def test_the_upper_triangle_of_a_matrix_as_pairs_equals_the_matrix(folder, header, columns):
    rows = [(NAMES[i], NAMES[j], MATRIX[i, j]) for i in range(NUM) for j in range(i + 1, NUM)]
    write_pairs(folder / "pairs.csv", header, rows)
    pairs = opened(f"pairs.csv,kind=dissimilarity,images=images{columns}")
    stimuli, _, found = pairs.load_dissimilarities("all")
    assert stimuli.ids == tuple(NAMES)
    expected = MATRIX.copy()
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_array_equal(found, expected[None])


def test_ratings_of_pairs_give_a_matrix_for_each_person(folder):
    # a Likert scale: ann rates one pair twice, bob lacks a pair, eve gives one value to all pairs
    rows = [
        ("000.jpg", "001.jpg", 7, "ann"),
        ("001.jpg", "000.jpg", 6, "ann"),
        ("000.jpg", "002.jpg", 2, "ann"),
        ("001.jpg", "002.jpg", 3, "ann"),
        ("000.jpg", "001.jpg", 5, "bob"),
        ("000.jpg", "002.jpg", 1, "bob"),
        ("000.jpg", "001.jpg", 4, "eve"),
        ("000.jpg", "002.jpg", 4, "eve"),
        ("002.jpg", "002.jpg", 7, "eve"),
    ]
    write_pairs(folder / "likert.csv", "image_1,image_2,rating,subject\n", rows)
    ratings = opened("likert.csv,kind=similarity,images=images")
    _, _, found = ratings.load_dissimilarities("all")
    nan = np.nan
    ann = [[nan, -6.5, -2], [-6.5, nan, -3], [-2, -3, nan]]
    bob = [[nan, -5, -1], [-5, nan, nan], [-1, nan, nan]]
    np.testing.assert_array_equal(found, [ann, bob])
    assert ratings.people == ["ann", "bob"]
    (warned,) = find_component_warnings(ratings)
    assert warned == "likert.csv: people who gave one value to all pairs are not used: eve"


def test_pairs_with_equal_values_are_refused(folder):
    write_pairs(folder / "likert.csv", "image_1,image_2,rating\n", [("000.jpg", "001.jpg", 4)])
    (said,) = opened("likert.csv,kind=similarity,images=images").preflight()
    assert said.endswith("likert.csv: no person has two different values in column 'rating'")


def test_a_table_of_pairs_has_no_file_of_names(folder):
    write_pairs(
        folder / "p.csv", "image_1,image_2,rating\n", [("000.jpg", "001.jpg", 4), ("000.jpg", "002.jpg", 5)]
    )
    (said,) = opened("p.csv,kind=similarity,names=names.txt,images=images").preflight()
    assert said == 'p.csv: a table of pairs names its images. Remove names = "names.txt"'


# ---- matrices


@pytest.mark.parametrize("labels", ["header", "both", "none"])
def test_a_matrix_in_a_csv_file_is_recognized_without_use(folder, labels):
    lines = [",".join(map(str, row)) for row in MATRIX]
    if labels == "both":
        lines = [",".join(pair) for pair in zip(NAMES, lines, strict=True)]
    header = {"header": [",".join(NAMES)], "both": [",".join(["", *NAMES])], "none": []}[labels]
    (folder / "matrix.csv").write_text("\n".join([*header, *lines]))
    (folder / "names.txt").write_text("\n".join(NAMES))
    names = "" if header else ",names=names.txt"
    stimuli, _, found = opened(f"matrix.csv,kind=dissimilarity,images=images{names}").load_dissimilarities(
        "all"
    )
    assert stimuli.ids == tuple(NAMES)
    assert found[0, 0, 5] == MATRIX[0, 5]


# ---- before any model is loaded


def test_contradictory_rows_are_refused_before_any_model_is_loaded(folder, cli):
    rows = [(NAMES[0], name, i) for i, name in enumerate(NAMES[1:])]
    write_pairs(folder / "ratings.csv", "reference,image,rating\n", [*rows, (NAMES[0], NAMES[1], 9)])
    (folder / "broken.py").write_text("def load():\n    raise SystemExit('the model was loaded')\n")
    done = cli("eval", "broken:load", "--on", "ratings.csv,higher_is_better=true,images=images")
    assert done.returncode != 0
    assert "row 7: image '001.jpg' is already rated in row 2" in done.stderr
    assert "the model was loaded" not in done.stderr


# ---- docs/data-sets.md


PAGE = (ROOT / "docs/data-sets.md").read_text()
LINES = [line for line in re.findall(r"`([^`\n]+\.\w+,[^`\n]+)`", PAGE) if "=" in line]
NUMBERS = "0 1 2\n4 5 3\n"
TRIADS = "000 001 002\n004 005 003\n"


def example(start):
    """Return the Python code of the page that starts with a text."""
    return start + re.findall(rf"```python\n{re.escape(start)}(.*?)```", PAGE, re.S)[0]


def write_mat(path, **values):
    from scipy.io import savemat

    savemat(path, values)


# a file in each published layout, without the folder of its images
MADE = {
    "all-triplets.csv": "000.jpg; 001.jpg; 002.jpg\n",
    "train_90.txt": NUMBERS,
    "data1854_batch5_test10.txt": NUMBERS,
    "things.csv": "img1,img2,ooo\n000,001,002\n",
    "RDM48_triplet.mat": {"RDM48_triplet": MATRIX},
    "levels.json": json.dumps([level_trial((0, 1, 2), 2)]),
    "nature_triplets.txt": TRIADS,
    "vogue_triplets.txt": TRIADS,
    "obs.hdf5": ([range(9)], [2]),
    "birds.hdf5": ([range(9)], [2]),
    "judgments_general.mat": {"judgments": np.stack([MATRIX, MATRIX**2])},
    "BEHAVIOR.mat": {"BEHAVIOR": {"set1": {"pairwisedistances": np.arange(30.0).reshape(2, 15)}}},
    "animals.mat": {"similarities": -MATRIX},
    "textures.mat": {"s": -MATRIX, "d": MATRIX, "n": 6.0},
    "pieapp.csv": "anchor,first,second,p_second,num_votes\n000.jpg,001.jpg,002.jpg,0.25,40\n",
    "meta_info.csv": "ref_name,dist_name,mos,std\n000.jpg,001.jpg,5,1\n000.jpg,002.jpg,4,1\n",
    "triplets.csv": "anchor_img,positive_img,negative_img\n000.jpg,001.jpg,002.jpg\n",
    "likert.csv": "image_1,image_2,rating,subject\n000.jpg,001.jpg,5,a\n000.jpg,002.jpg,4,a\n",
    "pairs.csv": "first,second,d\n000.jpg,001.jpg,5\n000.jpg,002.jpg,4\n",
    "cars.csv": "1,2,3\n3,2,1\n",
    "matrix.csv": "000.jpg,001.jpg,002.jpg\n0,1,2\n1,0,3\n2,3,0\n",
}


def test_the_page_lists_more_than_twenty_sets():
    # a set, its judgments and its line; a set may have several files, as in "THINGS, 48 objects (...)"
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| `([^`]+)` \|$", PAGE, re.M)
    sets = {re.split(r",| \(", title)[0] for title, line in rows if line != "--on"}
    assert len(sets) > 20
    assert {line.split(",")[0] for line in LINES} == set(MADE)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split(",")[0])
def test_a_line_of_the_page_reads_a_file_in_the_published_layout(folder, line):
    name, images = line.split(",")[0], re.findall(r",images=([\w-]+)", line)[0]
    (folder / "images").rename(folder / images)
    for i in range(NUM, 9):
        Image.new("RGB", (4, 4), (20 * i, 0, 0)).save(folder / images / f"{i:03d}.jpg")
    stems = "{}" in line
    count = 6 if name.endswith(".mat") else 9
    names = [f"{i:03d}" + ("" if stems else ".jpg") for i in range(count)]
    for file in ("names.txt", "unique_id.txt"):
        (folder / file).write_text("\n".join(names))
    if isinstance(MADE[name], str):
        (folder / name).write_text(MADE[name])
    elif name.endswith(".hdf5"):
        write_psiz(name, *MADE[name])
    else:
        write_mat(folder / name, **MADE[name])
    judgments = opened(f"{line},test_share=1.0,val_share=0.0")
    assert len(judgments.load("test")) > 0


def test_the_page_converts_the_most_central_of_three_images_to_two_triplets(folder):
    (folder / "survey_data.csv").write_text("id,central,first,second,third,ms\n7,2,1,2,3,900\n")
    exec(example('import csv\n\nwith open("survey_data'), {})
    assert (folder / "cars.csv").read_text().split() == ["1,2,3", "3,2,1"]


def test_the_page_converts_the_share_for_image_a_of_pieapp(folder):
    # labels/test/ref_1_pairwise_labels.csv, as dataset_README.md of the source describes it
    labels = folder / "PieAPP/labels/test"
    labels.mkdir(parents=True)
    (labels / "ref_1_pairwise_labels.csv").write_text(
        "ref. image, distorted image A, distorted image B, preference for A\n"
        "ref_1.png,distort_1_a.png,distort_1_b.png,0.75\nref_1.png,ref_1.png,distort_1_b.png,1.0\n"
    )
    exec(example("import csv\nfrom pathlib"), {})
    for name in ("reference_images/test/ref_1", "distorted_images/test/ref_1/distort_1_a"):
        path = folder / "PieAPP" / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(path)
    Image.new("RGB", (4, 4)).save(path.with_name("distort_1_b.png"))
    triplets = opened("pieapp.csv,images=PieAPP,whole=true").load("test")
    images = [triplets.stimuli.ids[role[0]] for role in (triplets.anchor, triplets.first, triplets.second)]
    assert [Path(name).stem for name in images] == ["ref_1", "distort_1_b", "distort_1_a"]
    assert (triplets.p_second.tolist(), triplets.num_votes.tolist()) == ([0.75], [40])
