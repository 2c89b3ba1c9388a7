"""`perceptinit eval --on`: models on human judgments, through the command line and against numpy."""

import base64
import csv
import io
import json
import re
import shutil

import numpy as np
import pyarrow
import pytest
import timm
import torch
from helpers.command_line import run_command
from PIL import Image
from pyarrow import parquet
from safetensors.torch import save_file
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau, spearmanr, t
from torch.nn.functional import interpolate

from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import UsageError
from perceptinit.evaluating.agreement import read_sets
from perceptinit.evaluating.asked import read_asked
from perceptinit.evaluating.best_layer import choose_best
from perceptinit.evaluating.layers import choose_layers, encode_layers, pool
from perceptinit.evaluating.models import EvalModel
from perceptinit.evaluating.other_models import load_function, load_timm
from perceptinit.evaluators.judged import GivenEmbeddings
from perceptinit.images.decoding import load_batch
from perceptinit.judgments.linear_map import halve
from perceptinit.judgments.own.table import Table
from perceptinit.seeding import generator
from perceptinit.types import Fit, RunContext

NUM = 24
NAMES = [f"{i:02d}.png" for i in range(NUM)]
EMBEDDINGS = np.random.default_rng(0).normal(size=(NUM, 5))
SETS = ("triplets.csv", "odd.csv", "rdm.npy,kind=dissimilarity,names=names.txt")


def draw_rows(count, high, seed):
    """Return random images of each row, and votes below `high` with at least one for the first."""
    rng = np.random.default_rng(seed)
    images = np.stack([rng.choice(NUM, 3, replace=False) for _ in range(count)])
    votes = rng.integers(0, high, (count, 3))
    votes[:, 0] += 1
    return images, votes


TRIPLETS = draw_rows(200, 5, 1)
ODD = draw_rows(150, 4, 2)
MATRICES = np.random.default_rng(3).random((6, NUM, NUM))
MATRICES = MATRICES + MATRICES.transpose(0, 2, 1)


def write_table(path, header, images, votes):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split())
        for row, counts in zip(images, votes, strict=True):
            writer.writerow([*(NAMES[i] for i in row), *counts])


@pytest.fixture
def lab(tmp_path):
    """A folder with images, three sets of judgments and the embeddings of a model."""
    (tmp_path / "photos").mkdir()
    for i, name in enumerate(NAMES):
        Image.new("RGB", (20, 10), (10 * i, 240 - 10 * i, 60)).save(tmp_path / "photos" / name)
    images, votes = TRIPLETS
    write_table(
        tmp_path / "triplets.csv", "anchor first second first_votes second_votes", images, votes[:, :2]
    )
    write_table(tmp_path / "odd.csv", "image_1 image_2 image_3 votes_1 votes_2 votes_3", *ODD)
    np.save(tmp_path / "rdm.npy", MATRICES)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    write_embeddings(tmp_path / "ours.parquet", EMBEDDINGS)
    write_embeddings(tmp_path / "moved.parquet", EMBEDDINGS + 3)
    write_embeddings(tmp_path / "noise.parquet", np.random.default_rng(9).normal(size=(NUM, 5)))
    return tmp_path


def asked(*sets):
    """Return the options that measure on sets of judgments whose images are in `photos`."""
    return [word for each in sets for word in ("--on", f"{each},images=photos")]


def write_embeddings(path, rows):
    parquet.write_table(pyarrow.table({"image": NAMES, "embedding": rows.tolist()}), path)


@pytest.fixture
def on(lab):
    """Return a function that runs `eval` on the judgments of the lab and returns its JSON."""

    def run(*arguments, sets=SETS):
        done = run_command(["eval", *arguments, *asked(*sets), "--format", "json"], lab)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def cells(on):
    """Return a function that runs `eval` and returns the compared scores by measure and arm."""

    def run(*arguments, sets=SETS):
        return {(row["measure"], row["arm"]): row for row in on(*arguments, sets=sets)["scores"]}

    return run


def test_scores_equal_a_computation_in_numpy(on):
    z = EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
    distances = 1 - z @ z.T
    (a, b, c), votes = TRIPLETS[0].T, TRIPLETS[1]
    agreeing = np.where(distances[a, b] < distances[a, c], votes[:, 0], votes[:, 1])
    (i, j, k), odd_votes = ODD[0].T, ODD[1]
    odd = np.stack([distances[j, k], distances[i, k], distances[i, j]]).argmin(axis=0)
    pairs = np.triu_indices(NUM, 1)
    expected = [
        agreeing.sum() / votes[:, :2].sum(),
        odd_votes[np.arange(len(odd)), odd].sum() / odd_votes.sum(),
        np.mean([spearmanr(distances[pairs], matrix[pairs]).statistic for matrix in MATRICES]),
    ]
    rows = on("ours.parquet")["measured"]
    names = ["2afc/triplets", "odd_one_out/odd", "rsa_spearman/rdm", "rsa_kendall/rdm"]
    kendall = np.mean([kendalltau(distances[pairs], matrix[pairs]).statistic for matrix in MATRICES])
    assert [row["name"] for row in rows] == names
    found = [row["value"] for row in rows]
    assert found == pytest.approx([*expected, kendall], abs=5e-9)  # shares of votes are float32
    assert found[2:] == pytest.approx([expected[2], kendall], abs=1e-12)


@pytest.mark.parametrize(
    ("distance", "metric"),
    [
        ("pearson", "correlation"),
        ("euclidean", "euclidean"),
        ("dot", lambda a, b: -a @ b),
    ],
)
def test_scores_by_other_distances_equal_those_of_scipy(on, distance, metric):
    distances = squareform(pdist(EMBEDDINGS + 3, metric), checks=False)
    (a, b, c), votes = TRIPLETS[0].T, TRIPLETS[1]
    agreeing = np.where(distances[a, b] < distances[a, c], votes[:, 0], votes[:, 1])
    (i, j, k), odd_votes = ODD[0].T, ODD[1]
    odd = np.stack([distances[j, k], distances[i, k], distances[i, j]]).argmin(axis=0)
    pairs = np.triu_indices(NUM, 1)
    expected = [
        agreeing.sum() / votes[:, :2].sum(),
        odd_votes[np.arange(len(odd)), odd].sum() / odd_votes.sum(),
        np.mean([spearmanr(distances[pairs], matrix[pairs]).statistic for matrix in MATRICES]),
        np.mean([kendalltau(distances[pairs], matrix[pairs]).statistic for matrix in MATRICES]),
    ]
    found = on("moved.parquet", sets=[f"{each},distance={distance}" for each in SETS])
    values = [row["value"] for row in found["measured"]]
    assert values == pytest.approx(expected, abs=5e-9)  # shares of votes are float32
    assert values[2:] == pytest.approx(expected[2:], abs=1e-12)
    cosine = [row["value"] for row in on("moved.parquet")["measured"]]
    assert cosine != pytest.approx(expected, abs=1e-3)


def test_a_readout_of_another_distance_is_refused(cli, lab):
    done = cli("eval", "ours.parquet", *asked("triplets.csv,readout=linear,distance=dot"))
    assert 'readout "linear" maps cosines: remove distance "dot"' in " ".join(done.stderr.split())


def test_names_suffice_for_embeddings_in_files(cli, lab):
    (lab / "photos").rename(lab / "elsewhere")
    given = [word for each in SETS for word in ("--on", each)]
    done = cli("eval", "ours.parquet", *given, "--format", "json")
    assert done.returncode == 0, done.stderr
    moved = [word for each in SETS for word in ("--on", f"{each},images=elsewhere")]
    with_images = cli("eval", "ours.parquet", *moved, "--format", "json")
    rows, others = (json.loads(each.stdout)["measured"] for each in (done, with_images))
    assert [row["value"] for row in rows] == [row["value"] for row in others]
    assert not rows[0]["extra"]["baselines"]
    assert "pixels 32 x 32" in others[0]["extra"]["baselines"]
    printed = " ".join(cli("eval", "ours.parquet", *given, "--all").stdout.split())
    assert "triplets: all judgments, people not named, no images, so no trivial models" in printed
    assert "pixels 32 x 32" not in printed


def test_a_model_that_encodes_images_needs_them(cli, lab):
    done = cli("eval", "ours.parquet", "timm:test_vit", "--on", "triplets.csv,images=none")
    assert done.returncode == 2
    needs = 'images = "none": timm:test_vit (random weights) needs images. Name their folder'
    assert needs in " ".join(done.stderr.split())


def test_a_function_has_no_layers(cli, lab):
    (lab / "own.py").write_text("def make():\n    return lambda images: images.mean((2, 3))\n")
    done = cli("eval", "own:make", "--layer", "all", *asked("triplets.csv"))
    assert "--layer: the model is a function, which has no layers. Omit --layer" in done.stderr


def test_a_linear_readout_is_fitted_and_scored_on_different_images(on, lab):
    seen = EMBEDDINGS * [1, 1, 0.1, 0.1, 0.1]  # people see two dimensions
    seen = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    images, _ = draw_rows(4000, 2, 4)
    a, b, c = images.T
    chooses_first = (seen[a] * (seen[b] - seen[c])).sum(axis=1) > 0
    votes = np.stack([chooses_first, ~chooses_first], axis=1).astype(int)
    write_table(lab / "seen.csv", "anchor first second first_votes second_votes", images, votes)
    found = on("ours.parquet", "noise.parquet", sets=("seen.csv", "seen.csv,readout=linear"))
    values = {(row["score"], row["arm"]): row["mean"] for row in found["scores"]}
    # two measures of one set, of which there is no mean
    assert {name for name, _ in values} == {"2afc/seen", "2afc_linear/seen"}
    assert values["2afc_linear/seen", "ours.parquet"] > values["2afc/seen", "ours.parquet"] + 0.05
    assert values["2afc_linear/seen", "noise.parquet"] < 0.6


def squares(folder, fit):
    """Return the images as squares of test_vit (160 pixels), resized by torch, float (N, 3, 160, 160)."""
    found = []
    for name in NAMES:
        pixels = torch.from_numpy(np.array(Image.open(folder / name))).permute(2, 0, 1)[None]
        height, width = pixels.shape[2:]
        # as in torchvision: the longer side of a crop is rounded down
        shape = {"center-crop": (160, 160 * width // height), "pad": (160 * height // width, 160)}.get(
            fit, (160, 160)
        )
        image = interpolate(pixels, shape, mode="bicubic", antialias=True, align_corners=False)[0]
        if fit == "center-crop":
            left = (shape[1] - 160) // 2
            image = image[:, :, left : left + 160]
        if fit == "pad":
            middle, top = image, (160 - shape[0]) // 2
            image = torch.full((3, 160, 160), 128, dtype=torch.uint8)  # test_vit's mean color
            image[:, top : top + shape[0]] = middle
        found.append(image)
    return torch.stack(found).float() / 255


@pytest.mark.parametrize("fit", ["center-crop", "squash", "pad"])
def test_scores_of_layers_equal_a_computation_from_the_images(on, lab, fit):
    rng = np.random.default_rng(7)
    for name in NAMES:  # wide photographs, so unlike that rounding on no processor swaps two ranks
        blocks = Image.fromarray(rng.integers(0, 256, (3, 5, 3), np.uint8))
        blocks.resize((150, 90), Image.Resampling.BICUBIC).save(lab / "photos" / name)
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=0).eval()
    save_file(model.state_dict(), lab / "model.safetensors")
    arguments = ("--fit", fit, "--layer", "blocks.2", "--layer", "output", "--pooling", "class")
    rows = on("timm:test_vit:model.safetensors", *arguments)["measured"]
    with torch.no_grad():
        images = (squares(lab / "photos", fit) - 0.5) / 0.5
        layers = [
            model.forward_intermediates(images, indices=[2], return_prefix_tokens=True, output_fmt="NLC")
        ]
        tokens = layers[0][1][0][1][:, 0]
        found = {"blocks.2": tokens, "output": model(images)}
    pairs = np.triu_indices(NUM, 1)
    (a, b, c), votes = TRIPLETS[0].T, TRIPLETS[1]
    (i, j, k), odd_votes = ODD[0].T, ODD[1]
    for layer, embeddings in found.items():
        z = embeddings.double().numpy()
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        distances = 1 - z @ z.T
        agreeing = np.where(distances[a, b] < distances[a, c], votes[:, 0], votes[:, 1])
        odd = np.stack([distances[j, k], distances[i, k], distances[i, j]]).argmin(axis=0)
        expected = [
            agreeing.sum() / votes[:, :2].sum(),
            odd_votes[np.arange(len(odd)), odd].sum() / odd_votes.sum(),
            np.mean([spearmanr(distances[pairs], matrix[pairs]).statistic for matrix in MATRICES]),
        ]
        own = [
            row["value"]
            for row in rows
            if row["arm"].endswith("blocks.2") == (layer == "blocks.2") and "kendall" not in row["name"]
        ]
        assert own == pytest.approx(expected, abs=1e-6)


def test_the_best_model_is_the_baseline_of_the_others(cells):
    rows = cells("ours.parquet", "noise.parquet")
    best, other = sorted(("ours.parquet", "noise.parquet"), key=lambda arm: -rows["2afc", arm]["mean"])
    gap = rows["2afc", other]
    assert rows["2afc", best]["reference"] is None
    assert gap["reference"] == best
    assert gap["difference"] == pytest.approx(gap["mean"] - rows["2afc", best]["mean"])
    assert gap["low"] < gap["difference"] < gap["high"]
    assert gap["mean_low"] < gap["mean"] < gap["mean_high"]
    span = gap["ceiling"] - 0.5
    assert gap["share_of_ceiling"] == pytest.approx((gap["mean"] - 0.5) / span)


def test_the_interval_of_a_score_is_that_of_its_items(cells):
    """The jackknife leaves out each image with its triplets; votes are never more certain than binomial ones."""
    found = cells("ours.parquet", sets=SETS[:1])["2afc", "ours.parquet"]
    z = EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
    distances = 1 - z @ z.T
    used = TRIPLETS[1][:, :2].sum(axis=1) > 0
    images, votes = TRIPLETS[0][used], TRIPLETS[1][used, :2]
    (a, b, c), num = images.T, votes.sum(axis=1)
    agreeing = np.where(distances[a, b] < distances[a, c], votes[:, 0], votes[:, 1])
    kept = [~(images == image).any(axis=1) for image in range(NUM)]
    means = np.array([agreeing[rows].sum() / num[rows].sum() for rows in kept])
    jackknife = (NUM - 1) / NUM * np.square(means - means.mean()).sum()
    value = agreeing.sum() / num.sum()
    alone = np.array([(agreeing.sum() - x) / (num.sum() - n) for x, n in zip(agreeing, num, strict=True)])
    of_items = (len(num) - 1) / len(num) * np.square(alone - alone.mean()).sum()
    variance = max(jackknife - 2 * of_items, of_items, value * (1 - value) / num.sum())
    # two questions occur twice, and the table joins their votes
    assert found["mean_high"] - value == pytest.approx(t.ppf(0.975, NUM - 1) * variance**0.5, rel=5e-3)


def test_all_pairs_are_simultaneous_unless_a_baseline_is_chosen(cells, lab):
    write_embeddings(lab / "other.parquet", np.random.default_rng(8).normal(size=(NUM, 5)))
    models = ("ours.parquet", "noise.parquet", "other.parquet")
    assert {row["num_family"] for row in cells(*models).values()} == {None, 3}
    rows = cells(*models, "--baseline", "noise.parquet")
    assert {row["num_family"] for row in rows.values()} == {None, 2}
    assert rows["2afc", "ours.parquet"]["reference"] == "noise.parquet"


def test_a_split_column_is_ignored_unless_a_split_is_chosen(on, lab):
    sets = ("triplets.csv",)
    num_questions = on("ours.parquet", sets=sets)["measured"][0]["num_examples"]
    text = (lab / "triplets.csv").read_text().splitlines()
    rows = [f"{row},{'test' if int(row[:2]) > 12 else 'train'}" for row in text[1:]]
    (lab / "triplets.csv").write_text("\n".join([f"{text[0]},split", *rows]))
    whole = on("ours.parquet", sets=sets)["measured"][0]
    found = on("ours.parquet", sets=("triplets.csv,split=test",))
    assert whole["num_examples"] == num_questions
    assert 0 < found["measured"][0]["num_examples"] < num_questions


def test_a_model_that_was_trained_on_a_table_is_scored_on_held_out_judgments(lab):
    trained = {"use": "table", "path": str(lab / "triplets.csv"), "test_share": 0.3, "seed": 7}
    models = [EvalModel("ours", lambda: None, judgments=[trained]), EvalModel("other", lambda: None)]
    registry = build_plugin_manager().registry
    on = read_asked([f"{lab}/triplets.csv,images={lab}/photos"], registry)
    (found,) = read_sets(on, models, registry)
    assert found.rows == "judgments held out from stage 1 of ours"
    held_out = Table(Table.Config(path=lab / "triplets.csv", images=lab / "photos", test_share=0.3, seed=7))
    assert found.measure.data.anchor.tolist() == held_out.load("test").anchor.tolist()
    models.append(EvalModel("third", lambda: None, judgments=[{**trained, "seed": 8}]))
    with pytest.raises(UsageError, match="ours, third hold out different judgments"):
        read_sets(on, models, registry)


def test_few_anchors_have_a_sentence_instead_of_an_interval(on, lab):
    images, votes = TRIPLETS
    few = (images[:, 0] < 3) & (images[:, 1:] > 3).all(axis=1)
    header = "anchor first second first_votes second_votes"
    write_table(lab / "few.csv", header, images[few], votes[few, :2])
    found = on("ours.parquet", sets=("few.csv",))
    assert found["scores"][0]["mean_low"] is None
    assert "2afc/few: too few anchors for an interval" in found["problems"]


def test_tables_show_every_model_set_ceiling_and_trivial_model(cli, lab):
    arguments = ["eval", "ours.parquet", "noise.parquet", *asked(*SETS)]
    done = cli(*arguments, "--all", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    for text in (
        "ours.parquet", "2afc/triplets", "odd_one_out/odd", "rsa_spearman/rdm", "human ceiling",
        "pixels 32 x 32", "all judgments", "6 people", "% to people", "embeddings from a file",
        "over images, for the pooled votes of these judges",
    ):  # fmt: skip
        assert text in " ".join(done.stdout.split())
    assert "| score | arm |" in cli(*arguments, "--format", "markdown").stdout
    latex = cli(*arguments, "--format", "latex").stdout
    assert r"\toprule" in latex
    assert r"\% to people" in latex


def test_compare_reads_what_eval_writes(cli, lab):
    """A weights file, with layers, and features: the answer and the table are those that `eval` printed."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=0)
    save_file(model.state_dict(), lab / "model.safetensors")
    np.save(lab / "features.npy", EMBEDDINGS)
    (lab / "features.txt").write_text("\n".join(NAMES))
    models = ("features.npy", "noise.parquet", "timm:test_vit:model.safetensors")
    arguments = ["eval", *models, "--layer", "blocks.2", "--layer", "output", *asked(*SETS)]
    (lab / "scores.csv").write_text(cli(*arguments, "--format", "csv").stdout)
    printed = cli(*arguments)
    assert "simultaneous 95 % interval of 6 pairs of models" in " ".join(printed.stdout.split())
    assert cli("compare", "scores.csv").stdout == printed.stdout
    chosen = cli(*arguments, "--baseline", "noise.parquet", "--format", "markdown")
    again = cli("compare", "scores.csv", "--baseline", "noise.parquet", "--format", "markdown")
    assert again.stdout == chosen.stdout


def test_scores_without_items_say_what_an_interval_over_images_needs(cli, lab):
    text = cli("eval", "ours.parquet", "noise.parquet", *asked("triplets.csv"), "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    with (lab / "bare.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name != "details"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    done = cli("compare", "bare.csv", "--baseline", "noise.parquet", "--all", COLUMNS="300")
    assert "one run each does not decide" in done.stdout
    assert "no values by item. Intervals over images need them: `perceptinit eval` writes them" in done.stdout


def test_models_with_equal_features_give_the_same_answer_on_every_judgment(cli, lab):
    write_embeddings(lab / "copy.parquet", EMBEDDINGS)
    done = cli("eval", "ours.parquet", "copy.parquet", *asked("triplets.csv"), "--baseline", "ours.parquet")
    text = " ".join(done.stdout.split())
    assert "copy.parquet and ours.parquet give the same answer on every judgment." in text


def test_the_report_draws_models_layers_ceiling_and_chance(cli, lab):
    arguments = ["eval", "timm:test_vit", "ours.parquet", "--layer", "all", *asked("triplets.csv")]
    (lab / "scores.csv").write_text(cli(*arguments, "--format", "csv").stdout)
    done = cli("report", "scores.csv", "--out", "page.html")
    assert done.returncode == 0, done.stderr
    page = (lab / "page.html").read_text()
    assert "Band: human ceiling. Dotted: chance." in page
    assert "Scores of the layers of timm:test_vit (random weights), from input to output" in page
    assert "pixels 32 x 32" in page


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("x.pth",), ("x.pth", "pickled weights", "save_file", "docs/export.md")),
        (("timm:test_vit:x.pth",), ("x.pth", "pickled weights", "save_file")),
        (("ours.parquet", *asked("none.csv")), ("none.csv", "no such file")),
        (("ours.parquet", *asked("rdm.npy,names=names.txt")), ("rdm.npy,names=names.txt", "kind", "required")),
        (("ours.parquet", *asked("triplets.csv,nonsense=1")), ("nonsense", "unknown key")),
        (("ours.parquet", "--on", "smoke"), ("ours.parquet", "--on")),
        (("timm:test_vit", "--fit", "pad", "--on", "smoke"), ("--fit is for human judgments", "--on JUDGMENTS")),
        (("ours.parquet", *asked("triplets.csv"), "--baseline", "our"), ("our", "ours.parquet")),
        # before a set is read or a model built
        (("ours.parquet", *asked("absent.csv"), "--baseline", "our"), ("no model called 'our'", "ours.parquet")),
    ],
)  # fmt: skip
def test_an_invalid_request_names_what_the_user_typed(cli, lab, arguments, parts):
    (lab / "x.pth").touch()
    done = cli("eval", *arguments)
    assert done.returncode in (1, 2)
    for part in parts:
        assert part in done.stderr, done.stderr


def test_a_missing_image_of_an_embeddings_file_is_named(cli, lab):
    np.save(lab / "short.npy", EMBEDDINGS[:-1])
    (lab / "short.txt").write_text("\n".join(NAMES[:-1]))
    done = cli("eval", "short.npy", "ours.parquet", *asked("triplets.csv"))
    assert done.returncode == 1
    assert "short.npy has no score: short.npy: no embedding of image '23.png'" in done.stderr
    assert "ours.parquet" in done.stdout


def test_random_weights_are_marked_and_the_fit_is_shown(on):
    found = on("timm:test_vit", "--fit", "pad", sets=("triplets.csv",))
    (line,) = found["differences"]
    assert line.startswith("timm:test_vit (random weights): 160 x 160 pixels, pad, mean 0.5")


def test_a_function_returns_a_model_or_encodes_images(lab, monkeypatch):
    (lab / "mine_here.py").write_text(
        "import timm\n"
        "def model():\n    return timm.create_model('test_vit')\n"
        "def encode():\n    return lambda images: images.mean((2, 3))\n"
        "def number():\n    return 3\n"
    )
    monkeypatch.chdir(lab)
    assert load_function("mine_here:model").image_size == 160
    grey = torch.full((1, 3, 224, 224), 128, dtype=torch.uint8)
    assert load_function("mine_here:encode").encode_image(grey)[0].tolist() == pytest.approx([128 / 255] * 3)
    with pytest.raises(Exception, match="mine_here:number: returns int"):
        load_function("mine_here:number")


def test_the_configuration_beside_a_timm_file_sets_the_input(tmp_path):
    model = timm.create_model("test_vit", num_classes=0)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    about = {**model.pretrained_cfg, "mean": [0.1, 0.2, 0.3], "crop_mode": "squash", "crop_pct": 0.9}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_vit", "pretrained_cfg": about}))
    loaded = load_timm("test_vit", str(tmp_path / "model.safetensors"))
    assert loaded.image.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert loaded.fit == Fit("squash", crop=0.9)


def test_saved_weights_of_a_model_with_a_linear_map_have_its_embeddings(tmp_path):
    model = timm.create_model("test_vit").eval()
    model.embedding_map = torch.nn.Linear(model.num_features, model.num_features, bias=False)
    save_file(model.state_dict(), tmp_path / "aligned.safetensors")
    loaded = load_timm("test_vit", str(tmp_path / "aligned.safetensors"))
    images = torch.rand(2, 3, 160, 160)
    features = model.forward_head(model.forward_features(loaded.image.normalize(images)), pre_logits=True)
    with torch.no_grad():
        expected = model.embedding_map(features)
        assert torch.allclose(loaded.encode_image(images), expected, atol=1e-5)
        assert not torch.allclose(expected, features, atol=1e-2)


def test_layers_are_the_blocks_of_one_forward_pass():
    model = load_timm("test_vit", "")
    images = torch.zeros(2, 3, 160, 160, dtype=torch.uint8)
    layers = choose_layers(model, ["all"])
    assert layers == [*(f"blocks.{i}" for i in range(6)), "output"]
    found = encode_layers(model, images, layers, None)
    tokens = model.image.trunk.norm(model.image.trunk.forward_intermediates(
        model.image.normalize(images), indices=[5], norm=False, output_fmt="NLC", return_prefix_tokens=True,
        intermediates_only=True,
    )[0][1])  # fmt: skip
    assert found["output"].shape == found["blocks.5"].shape
    assert torch.allclose(model.image.trunk.norm(found["blocks.5"]), tokens[:, 0], atol=1e-5)


def test_pooling_separates_class_tokens_from_patches():
    tokens = torch.tensor([[[9.0], [1], [2], [3], [4]]])  # a class token and 2 x 2 patches
    assert pool(tokens, None).item() == 9
    assert pool(tokens, "mean").item() == 2.5
    assert pool(tokens[:, 1:], None).item() == 2.5
    assert pool(tokens, "flat").tolist() == [tokens.flatten().tolist()]
    assert pool(tokens[:, 1:].reshape(1, 1, 2, 2), None).item() == 2.5
    with pytest.raises(Exception, match="no class token"):
        pool(tokens[:, 1:], "class")


def test_a_warning_about_collapse_names_the_model(cli, lab):
    write_embeddings(lab / "flat.parquet", np.ones((NUM, 5)))
    done = cli("eval", "ours.parquet", "flat.parquet", *asked("triplets.csv"))
    assert "flat.parquet: 2afc/triplets: the image embeddings have collapsed" in " ".join(done.stderr.split())


def test_the_best_layer_is_chosen_on_other_images_than_it_is_scored_on(cli, lab):
    """A layer that knows the answers about one half of the images is chosen for the other half, where it is noise."""
    registry = build_plugin_manager().registry
    each = read_sets(read_asked([f"{lab}/triplets.csv,images={lab}/photos"], registry), [], registry)[0]
    triplets = each.measure.data
    rng = np.random.default_rng(5)
    layers = {
        f"blocks.{number}": GivenEmbeddings("model", NAMES, torch.from_numpy(rng.normal(size=(NUM, width))))
        for number, width in ((0, 4), (1, 6), (2, 3))
    }
    whole, given, choice = choose_best(each.measure, "model", layers, RunContext(seed=0))
    half = halve(np.searchsorted(triplets.used, triplets.roles), NUM, generator(0, "best layer"))
    found = []
    for chosen in (half, ~half):
        scores = {}
        for name, rows in layers.items():
            z = rows.embeddings.numpy()
            z = z / np.linalg.norm(z, axis=1, keepdims=True)
            a, b, c = triplets.roles
            agreeing = np.where(
                (z[a] * z[b]).sum(1) > (z[a] * z[c]).sum(1), 1 - triplets.p_second, triplets.p_second
            )
            votes = triplets.num_votes
            parts = [part[triplets.roles].all(axis=0) for part in (~chosen, chosen)]
            scores[name] = [
                np.average(agreeing[parts[0]], weights=votes[parts[0]]),
                (agreeing * votes)[parts[1]].sum(),
            ]
        best = max(scores, key=lambda name: scores[name][0])
        found.append((best, scores[best][1]))
    votes = [triplets.num_votes[part[triplets.roles].all(axis=0)].sum() for part in (half, ~half)]
    assert choice == f"{found[0][0]} on a half of the images, {found[1][0]} on the other"
    score = next(iter(whole.evaluate(given, RunContext(seed=0))))
    assert score.value == pytest.approx((found[0][1] + found[1][1]) / sum(votes))
    # models share the parts, and so the scores of trivial models
    assert choose_best(each.measure, "another", layers, RunContext(seed=0))[0] is whole


def test_the_best_layer_is_marked_for_every_kind_of_judgments(on):
    found = on("timm:test_vit", "ours.parquet", "--layer", "best")
    names = {row["name"] for row in found["measured"]}
    assert names == {
        "2afc_best_layer/triplets", "odd_one_out_best_layer/odd", "rsa_spearman_best_layer/rdm", "rsa_kendall_best_layer/rdm",
    }  # fmt: skip
    assert "best layer for triplets: blocks." in str(found)


def write_answers(path):
    """Write answers of eight people, five to each of 60 questions; their agreement with the model differs."""
    rng = np.random.default_rng(4)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["anchor", "first", "second", "choice", "subject"])
        for _ in range(60):
            row = rng.choice(NUM, 3, replace=False)
            images = [NAMES[i] for i in row]
            _, to_second, to_first = choose(EMBEDDINGS, row[None])[:, 0]
            nearer, farther = images[1:] if to_first > to_second else images[:0:-1]
            for person in rng.choice(8, 5, replace=False):
                is_like_model = rng.random() < 0.1 * (person + 2)
                writer.writerow([*images, nearer if is_like_model else farther, f"p{person}"])


def leave_out(gaps, num, groups):
    """Return the jackknife variance of a weighted mean; groups: whether each item belongs to each group."""
    left = np.array([np.average(gaps[~own], weights=num[~own]) for own in groups])
    return (len(left) - 1) / len(left) * np.square(left - left.mean()).sum()


@pytest.mark.parametrize("table", ["triplets.csv", "answers.csv"])
def test_the_best_model_is_compared_with_the_best_trivial_model_first(cli, lab, table):
    """The interval is that of the differences by item, with Bonferroni's level over seven trivial models."""
    write_answers(lab / "answers.csv")
    models = ("ours.parquet", "noise.parquet")
    text = cli("eval", *models, *asked(table), "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    best = max(rows, key=lambda row: float(row["value"]))
    items = json.loads(best["details"])["items"]
    images, num = np.array(items["images"]), np.array(items["weights"], float)
    values = np.array(items["values"])
    trivial = max(items["baselines"], key=lambda name: np.average(items["baselines"][name], weights=num))
    gaps = values - np.array(items["baselines"][trivial])
    mean = np.average(gaps, weights=num)

    of_items = leave_out(gaps, num, np.eye(len(num), dtype=bool))
    questions = [(images == row).all(axis=1) for row in np.unique(images, axis=0)]
    of_images = leave_out(gaps, num, [(images == image).any(axis=1) for image in range(NUM)])
    of_images = max(of_images - 2 * leave_out(gaps, num, questions), of_items)
    spread = np.average(np.square(gaps - mean), weights=num) / (len(num) - 1)
    variance = max(of_images, spread)
    degrees = NUM - 1
    if table == "answers.csv":
        people = np.array(items["people"])
        of_people = leave_out(gaps, num, [people == person for person in range(8)]) - of_items
        assert of_people > 0
        variance = max(of_images + of_people, spread)
        squares = of_images**2 / (NUM - 1) + (of_images + of_people) ** 2 / 7
        degrees = max((of_images + of_people) ** 2 / squares, 7)
    half = t.ppf(1 - 0.025 / 7, degrees) * variance**0.5
    printed = " ".join(cli("eval", *models, *asked(table), COLUMNS="400").stdout.split())
    first = printed.split(" (")[0]
    assert first.startswith(f"The best model, {best['arm']}, ")
    assert first.endswith(
        f" {relation_of(mean, half)} the best trivial model, {trivial}: {100 * mean:+.1f} points"
    )
    over = "images and people" if table == "answers.csv" else "images, for the pooled votes"
    low, high = map(float, re.search(rf"of 7 trivial models (\S+) to (\S+) over {over}", printed).groups())
    assert (low, high) == pytest.approx((100 * (mean - half), 100 * (mean + half)), abs=0.1)


def relation_of(mean, half):
    if abs(mean) <= half:
        return "is not shown to be above"
    return "is above" if mean > 0 else "is below"


def correlate_colors(features, matrix, kept):
    """Return Spearman's correlation of distances between features with a matrix, of the kept images."""
    own = matrix[np.ix_(kept, kept)][np.triu_indices(len(kept), 1)]
    return spearmanr(pdist(features[kept]).round(6), own).statistic


@pytest.mark.parametrize("learned", ["colors", "judgments"])
def test_the_best_model_is_compared_with_the_best_trivial_model_on_matrices(cli, lab, learned):
    """Models of plain images of random colors, whose gradients are all equal."""
    rng = np.random.default_rng(5)
    names = [f"color{i}.png" for i in range(48)]
    colors = rng.integers(0, 256, (48, 3))
    for name, color in zip(names, colors.tolist(), strict=True):
        Image.new("RGB", (8, 8), tuple(color)).save(lab / "photos" / name)
    (lab / "colors.txt").write_text("\n".join(names))
    judged = colors + rng.normal(0, 60, (48, 3))
    features = (judged if learned == "judgments" else colors) + rng.normal(0, 20, (48, 3))
    matrix = squareform(pdist(judged))
    np.save(lab / "colors.npy", matrix)
    parquet.write_table(
        pyarrow.table({"image": names, "embedding": features.tolist()}), lab / "close.parquet"
    )
    rows = ("colors.npy,kind=dissimilarity,names=colors.txt,distance=euclidean",)
    command = ("eval", "close.parquet", *asked(*rows))
    found = json.loads(cli(*command, "--format", "json").stdout)
    trivial = found["baselines"]["rsa_spearman_euclidean/colors"]
    mean_colors = colors / 255
    every = np.arange(48)
    assert trivial["mean colour"]["value"] == pytest.approx(
        correlate_colors(mean_colors, matrix, every), abs=2e-4
    )
    assert "gradient orientations" not in trivial

    best = max(trivial, key=lambda name: trivial[name]["value"])
    assert best == "mean colour"
    gaps = [
        correlate_colors(features, matrix, kept) - correlate_colors(mean_colors, matrix, kept)
        for kept in [every, *(np.delete(every, i) for i in every)]
    ]
    without = np.array(gaps[1:])
    stderr = (47 / 48 * np.square(without - without.mean()).sum()) ** 0.5
    half = t.ppf(1 - 0.025 / len(trivial), 47) * stderr
    assert (gaps[0] > half) == (learned == "judgments")
    printed = " ".join(cli(*command, COLUMNS="400").stdout.split())
    sentence = re.search(
        rf"The best model, close.parquet, {relation_of(gaps[0], half)} the best trivial model, mean colour: (\S+) \(.*"
        rf"of {len(trivial)} trivial models (\S+) to (\S+) over images\b",
        printed,
    )
    expected = (gaps[0], gaps[0] - half, gaps[0] + half)
    assert tuple(map(float, sentence.groups())) == pytest.approx(expected, abs=2e-3)


def choose(embeddings, images):
    """Return the column of the candidate that is closer to the anchor, or of the odd image."""
    z = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    a, b, c = images.T
    return np.stack([z[b] * z[c], z[a] * z[c], z[a] * z[b]]).sum(axis=2)


def leads_and_choices(name, votes, rows):
    """Return the choices of two models in numpy, and the lead of the majority over each, (2, N)."""
    models = [np.load(name.format(i)) for i in (0, 1)]
    similar = np.stack([choose(model, rows) for model in models])
    if votes.shape[1] == 2:  # an anchor and two candidates
        votes = np.column_stack([np.zeros(len(votes), int), votes])
        chosen = np.where(similar[:, 2] > similar[:, 1], 1, 2)
    else:
        chosen = similar.argmax(axis=1)
    return chosen, votes.max(axis=1) - np.take_along_axis(votes[None], chosen[..., None], 2)[..., 0]


@pytest.fixture
def examples(cli, lab):
    """Return a function that runs `eval` on two models, and returns the examples of each score."""

    def run(*sets):
        done = cli("eval", "ours.parquet", "noise.parquet", *sets, "--format", "csv")
        (lab / "scores.csv").write_text(done.stdout)
        rows = csv.DictReader(io.StringIO(done.stdout))
        found = {}
        for row in rows:
            extra = json.loads(row["details"])["score"]["extra"]
            if "examples" in extra:
                found[row["measure"]] = row["arm"], extra["examples"]
        return found

    return run


@pytest.mark.parametrize(
    ("measure", "made", "num"), [("2afc", TRIPLETS, 2), ("odd_one_out", ODD, 3)], ids=["2afc", "odd"]
)
def test_examples_have_the_largest_leads_of_votes_over_the_choices_of_models(
    examples, lab, measure, made, num
):
    best, found = examples(*asked(*SETS))[measure]
    for i, arm in enumerate(("ours.parquet", "noise.parquet")):
        table = parquet.read_table(lab / arm).to_pydict()
        np.save(lab / f"{abs(i - (best == 'noise.parquet'))}.npy", np.array(table["embedding"]))
    questions = {}  # tables join the votes of equal questions
    for row, counts in zip(*made, strict=True):
        order = [0, *(1 + np.argsort(row[1:]))] if num == 2 else np.argsort(row)
        own = counts[np.array(order[1:]) - 1] if num == 2 else counts[order]
        key = tuple(row[order])
        questions[key] = questions.get(key, 0) + own
    rows = np.array(list(questions))
    votes = np.array(list(questions.values()))
    rows, votes = rows[votes.sum(axis=1) > 0], votes[votes.sum(axis=1) > 0]
    chosen, leads = leads_and_choices(str(lab / "{}.npy"), votes, rows)
    whole = votes if num == 3 else np.column_stack([np.zeros(len(votes), int), votes])
    own = np.take_along_axis(whole[None], chosen[..., None], 2)[..., 0]
    kinds = {
        "best": (leads[0], leads[0] > 0),
        "all": (leads.min(axis=0), (leads > 0).all(axis=0)),
        "two": (abs(own[0] - own[1]), chosen[0] != chosen[1]),
    }
    assert found["num"] == len(rows)
    for kind in found["kinds"]:
        lead, differs = kinds[kind["kind"]]
        assert kind["num"] == differs.sum()
        by_names = {frozenset(NAMES[i] for i in row): n for row, n in zip(rows, lead, strict=True)}
        shown = [by_names[frozenset(each["name"] for each in judgment)] for judgment in kind["judgments"]]
        assert shown == sorted(lead[differs], reverse=True)[:3]


def test_each_variant_of_a_measure_has_examples(examples, cli, lab):
    rows, votes = draw_rows(1000, 5, 4)
    write_table(lab / "many.csv", "anchor first second first_votes second_votes", rows, votes[:, :2])
    found = examples(*asked("many.csv", "many.csv,readout=linear", "many.csv,distance=euclidean"))
    numbers = {measure: own["num"] for measure, (_, own) in found.items()}
    assert numbers["2afc"] == numbers["2afc_euclidean"] > numbers["2afc_linear"] > 0
    assert cli("report", "scores.csv", "--out", "page.html").returncode == 0
    assert (lab / "page.html").read_text().count("<br>reference") == 3 * 9


def test_examples_contain_at_most_27_images_of_112_pixels(examples, cli, lab):
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (300, 500, 3), np.uint8)).save(lab / "photos" / name)
    _, found = examples(*asked("triplets.csv"), "--thumbnails")["2afc"]
    pictures = found["pictures"].values()
    assert 3 <= len(pictures) <= 27
    decoded = [Image.open(io.BytesIO(base64.b64decode(each.partition(",")[2]))) for each in pictures]
    assert {image.size for image in decoded} == {(112, 112)}
    assert cli("report", "scores.csv", "--out", "page.html").returncode == 0
    page = (lab / "page.html").read_text()
    assert page.count('src="data:image/jpeg') >= len(pictures)
    cli("report", "scores.csv", "--out", "page.html", "--no-examples")
    assert "data:image/jpeg" not in (lab / "page.html").read_text()


def test_a_csv_contains_images_only_if_thumbnails_are_requested(examples, cli, lab):
    _, found = examples(*asked("triplets.csv"))["2afc"]
    assert found["pictures"] == {}
    assert "data:image" not in (lab / "scores.csv").read_text()
    assert cli("report", "scores.csv", "--out", "page.html").returncode == 0
    page = (lab / "page.html").read_text()
    assert "data:image/jpeg" not in page
    assert re.search(r'<span class="stimulus">\d\d.png</span>', page)
    assert "measure with <code>perceptinit eval --thumbnails</code>" in page
    done = cli("eval", "ours.parquet", *asked("triplets.csv"), "--no-examples")
    assert "--no-examples was replaced by the default: only --thumbnails adds images" in done.stderr
    done = cli("eval", "ours.parquet", *asked("triplets.csv"), "--thumbnails")
    assert "--thumbnails requires --format csv. `report` shows the images of the CSV" in done.stderr


def test_examples_of_sets_without_images_have_names_and_matrices_have_none(examples, cli, lab):
    found = examples(*(word for each in SETS for word in ("--on", f"{each},images=none")), "--thumbnails")
    assert {measure: each["pictures"] for measure, (_, each) in found.items()} == {
        "2afc": {},
        "odd_one_out": {},
    }
    assert cli("report", "scores.csv", "--out", "page.html").returncode == 0
    page = (lab / "page.html").read_text()
    assert re.search(r'<span class="stimulus">\d\d.png</span>', page)
    assert "Matrices contain no choices, so no judgments are shown." in page


def test_a_figure_of_models_has_a_panel_for_each_set(examples, cli, lab):
    examples(*asked(*SETS))
    assert cli("report", "scores.csv", "--out", "models.svg").returncode == 0
    words = re.findall(r">([^<>]+)</text>", (lab / "models.svg").read_text())
    assert [words.count(title) for title in ("triplets", "odd", "rdm")] == [1, 1, 1]
    assert {"ours.parquet", "noise.parquet", "pixels 32 x 32", "rsa_spearman"} <= {*words}


def test_images_are_decoded_once_for_20_models_and_6_sets(cli, lab, monkeypatch):
    """Models of two image sizes alternate."""
    lines = [
        f"def m{i}():\n    f = lambda x: x[:, :, ::7, ::7].flatten(1)[:, :147] + {i}\n" for i in range(20)
    ]
    lines = [f"{line}    f.image_size = {(56, 70)[i % 2]}\n    return f\n" for i, line in enumerate(lines)]
    (lab / "twenty.py").write_text("".join(lines))
    for name in ("triplets", "odd"):
        for copy in "ab":
            shutil.copy(lab / f"{name}.csv", lab / f"{name}_{copy}.csv")
    sizes = []

    def load(sources, keys, size, *rest):
        sizes.extend([size] * len(sources))
        return load_batch(sources, keys, size, *rest)

    monkeypatch.setattr("perceptinit.images.stimuli.load_batch", load)
    sets = [*SETS[:2], *(f"{name}_{copy}.csv" for name in ("triplets", "odd") for copy in "ab")]
    done = cli("eval", *(f"twenty:m{i}" for i in range(20)), *asked(*sets), "--format", "json")
    assert len(json.loads(done.stdout)["measured"]) == 20 * 6
    assert [sizes.count(size) for size in (56, 70)] == [NUM, NUM]


def test_differences_of_correlations_on_few_images_have_no_interval_and_a_reason(cells, lab):
    found = cells("ours.parquet", "noise.parquet", "--baseline", "ours.parquet")
    row = found["rsa_spearman", "noise.parquet"]
    assert row["mean_low"] < row["mean"] < row["mean_high"]
    assert row["difference"] is not None
    assert row["low"] is None
    assert found["2afc", "noise.parquet"]["low"] is not None
    text = run_command(["eval", "ours.parquet", "noise.parquet", *asked(SETS[2]), "--all"], lab).text
    assert "One score each on too few images for an interval does not show whether" in text
    assert "with fewer than 40 images, those of correlations are too wide" in text
    words = " ".join(text.split())
    assert re.search(r"best trivial model, .*?: [+-]0\.\d{3}, without an interval of the difference", words)


def test_intervals_of_correlations_are_those_of_fishers_z(cells, lab):
    """A model that is nearly equal to the people: Student's interval would exceed 1."""
    z = EMBEDDINGS[:10] / np.linalg.norm(EMBEDDINGS[:10], axis=1, keepdims=True)
    apart = 1 - z @ z.T
    np.save(lab / "near.npy", np.round(apart) * (1 - np.eye(10)))
    (lab / "ten.txt").write_text("\n".join(NAMES[:10]))
    found = cells("ours.parquet", sets=("near.npy,kind=dissimilarity,names=ten.txt",))
    row = found["rsa_spearman", "ours.parquet"]
    center = np.arctanh(row["mean"])
    half = center - np.arctanh(row["mean_low"])
    student = half * (1 - row["mean"] ** 2)
    assert row["mean"] + student > 1 > row["mean_high"]
    assert np.arctanh(row["mean_high"]) - center == pytest.approx(half)
