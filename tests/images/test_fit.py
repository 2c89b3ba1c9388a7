"""Images that are not square: stages, evaluators and exports use the same part of them."""

import csv
import importlib.util
import json
from functools import cache

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from perceptinit import apply_perceptual_init, exporting
from perceptinit.backbones.open_clip_backbone import find_published_fit, read_table
from perceptinit.errors import DataError, UsageError
from perceptinit.evaluators.features import Encoding, Subjects, all_features
from perceptinit.exporting.source import open_run
from perceptinit.images.decoding import load_square
from perceptinit.images.stimuli import StimulusImages
from perceptinit.images.store import ImageStore
from perceptinit.library.adapters import adapt
from perceptinit.recipe.reading import read_recipe
from perceptinit.running.runner import run_recipe
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.types import Fit, RunContext, Stimuli

FITS = ("center-crop", "squash", "pad")
NUM_TRIPLETS = 40
VIT, CLIP_VIT = "vit_tiny_patch16_224", "vit_base_patch32_clip_224"
STORE_SIZE = 8
RECIPE = """
schema = 1
name = "shapes"
[backbone]
use = "timm"
model = "{model}"
image_size = 32
embed_dim = 24
text_width = 32
text_heads = 2
text_layers = 1
context_length = 16
model_args = {{ patch_size = 8, embed_dim = 32, depth = 2, num_heads = 2 }}
{fit}
[[eval]]
use = "two-afc"
[eval.judgments]
use = "table"
path = "{folder}/lab.csv"
images = "{folder}"
[[arm]]
name = "random"
"""


def draw_image(middle, ends, is_tall):
    """Return an image of 96 x 32 pixels with one color in the middle and another at the ends."""
    image = Image.new("RGB", (96, 32), tuple(ends))
    image.paste(tuple(middle), (32, 0, 64, 32))
    return image.transpose(Image.Transpose.ROTATE_90) if is_tall else image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of images with a table of judgments, all in the test split.

    In each, one candidate has the middle of the anchor, and the other one its ends, or its shape.
    """
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    rows = []
    for row in range(NUM_TRIPLETS):
        a, b, c, d = rng.integers(0, 256, (4, 3))
        first, second = ((a, c, True), (d, b, True)) if row % 2 else ((a, b, False), (a // 2, b, True))
        images = [(a, b, True), first, second]
        rows.append([f"{row}-{role}.png" for role in range(3)])
        for name, (middle, ends, is_tall) in zip(rows[-1], images, strict=True):
            draw_image(middle, ends, is_tall).save(folder / name)
    with (folder / "lab.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["anchor", "first", "second", "first_votes", "second_votes", "split"])
        table.writerows([*images, *rng.permutation([1, 0]), "test"] for images in rows)
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """Return a cached function of model and fit that runs and returns the folder and the reported 2AFC."""

    @cache
    def run(model, fit):
        out = tmp_path_factory.mktemp("runs")
        text = RECIPE.format(model=model, fit=f'fit = "{fit}"', folder=folder)
        [record] = run_recipe(read_recipe(text), out=out, device="cpu")
        *_, score = (row["value"] for row in record["scores"] if row["name"].startswith("2afc/"))
        return out / "shapes" / "random" / "seed0", score

    return run


def two_afc(folder, encode):
    """Return the 2AFC accuracy of an embedding function of PIL images."""
    z = {path.name: encode(Image.open(path).convert("RGB")) for path in folder.glob("*.png")}
    with (folder / "lab.csv").open() as file:
        rows = list(csv.DictReader(file))
    nearer = [
        torch.cosine_similarity(z[row["anchor"]], z[row["second"]])
        > torch.cosine_similarity(z[row["anchor"]], z[row["first"]])
        for row in rows
    ]
    return np.mean([bool(n) == (row["second_votes"] == "1") for n, row in zip(nearer, rows, strict=True)])


def by_timm(path, projection):
    model = timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    return lambda image: projection(model(transform(image)[None]))


def by_open_clip(path, projection):
    import open_clip

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{path}")
    model.eval()
    return lambda image: model.encode_image(transform(image)[None])


def by_transformers(path, projection):
    from transformers import AutoImageProcessor, AutoModel

    model, processor = AutoModel.from_pretrained(path).eval(), AutoImageProcessor.from_pretrained(path)

    def encode(image):
        pixels = processor(image, return_tensors="pt")
        if hasattr(model, "text_model"):
            found = model.get_image_features(**pixels)
            return getattr(found, "pooler_output", found)
        return projection(model(**pixels).pooler_output)

    return encode


READERS = {"timm": by_timm, "open-clip": by_open_clip, "huggingface": by_transformers}


def test_the_fits_have_different_scores_on_these_images(run):
    assert len({run(VIT, fit)[1] for fit in FITS}) == len(FITS)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("model", "target"),
    [
        (VIT, "timm"),
        (VIT, "open-clip"),
        pytest.param(VIT, "huggingface", marks=pytest.mark.slow),
        pytest.param(CLIP_VIT, "huggingface", marks=pytest.mark.slow),
    ],
)
def test_an_exported_model_with_its_preprocessing_has_the_reported_score(
    folder, run, tmp_path, model, target, fit
):
    if target == "huggingface" and not importlib.util.find_spec("transformers"):
        pytest.skip("extra 'huggingface' is not installed")
    path, reported = run(model, fit)
    exporting.export(path, target, tmp_path / "out")
    projection = open_run(path).model.image.projection
    with torch.no_grad():
        found = two_afc(folder, READERS[target](str(tmp_path / "out"), projection))
    assert found == pytest.approx(reported, abs=1e-6)
    assert f'fit = "{fit}"' in (tmp_path / "out" / "README.md").read_text()


SHAPES = [(40, 97), (97, 40), (31, 32), (20, 33), (24, 24)]


def noise(shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def squares_of(pixels, fit):
    """Return an image as our square and as timm's, (3, 32, 32) in [0, 1]."""
    from timm.data import create_transform

    mean = (0.5, 0.4, 0.3)
    theirs = create_transform(
        (3, 32, 32),
        interpolation="bicubic",
        crop_pct=fit.crop,
        crop_mode={"center-crop": "center", "squash": "squash", "pad": "border"}[fit.mode],
        mean=mean,
        std=(1.0, 1.0, 1.0),
    )
    ours = torch.from_numpy(load_square(pixels, "a", 32, fit).copy()) / 255
    return ours, theirs(Image.fromarray(pixels)) + torch.tensor(mean).view(3, 1, 1)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_squares_of_test_sets_equal_open_clip_and_timm(shape, fit):
    from open_clip.transform import image_transform

    fill = (128, 102, 76)
    pixels = noise(shape)
    square, theirs = squares_of(pixels, Fit(fit, fill))
    torch.testing.assert_close(theirs, square)
    resize_mode = {"center-crop": "shortest", "squash": "squash", "pad": "longest"}[fit]
    transform = image_transform(32, False, (0, 0, 0), (1.0, 1.0, 1.0), resize_mode, fill_color=fill)
    torch.testing.assert_close(transform(Image.fromarray(pixels)), square)


@pytest.mark.parametrize("crop", [0.875, 0.9, 0.95])
@pytest.mark.parametrize("fit", ["center-crop", "squash"])
@pytest.mark.parametrize("shape", SHAPES)
def test_squares_without_margins_equal_timm(shape, fit, crop):
    square, theirs = squares_of(noise(shape), Fit(fit, crop=crop))
    torch.testing.assert_close(theirs, square)


def coloured(size):
    """Return a wide and a tall stimulus of this size."""
    images = [
        np.asarray(draw_image((250, 9, 9), (9, 9, 250), is_tall).resize(size)) for is_tall in (False, True)
    ]
    return Stimuli(("wide", "tall"), images)


def test_stimuli_are_cropped_squashed_or_padded():
    for fit, corner, middle in (
        (Fit(), (250, 9, 9), (250, 9, 9)),
        (Fit("squash"), (9, 9, 250), (250, 9, 9)),
        (Fit("pad", (1, 2, 3)), (1, 2, 3), (250, 9, 9)),
    ):
        [square] = StimulusImages(coloured((96, 32)), 32, fit=fit)[np.array([0])]
        assert np.allclose(square[:, 0, 0], corner, atol=2), fit
        assert np.allclose(square[:, 16, 16], middle, atol=2), fit


def test_the_image_store_separates_fits(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("perceptinit.images.store.SETTLED_SECONDS", 0.0)
    paths = sorted(folder.glob("*.png"))[:4]
    stimuli, used = Stimuli(tuple(path.name for path in paths), paths), np.arange(4)
    for fit in map(Fit, FITS):
        stored = ImageStore(tmp_path, STORE_SIZE, RunContext(), fit=fit).open(stimuli, used)
        assert stored.num_decoded == 4
        assert torch.equal(stored[used], StimulusImages(stimuli, STORE_SIZE, fit=fit)[used])
    assert len(list(tmp_path.iterdir())) == len(FITS)


class MeanColour(torch.nn.Module):
    """A model whose embedding is the mean color of its input."""

    image_size, embed_dim = 32, 3

    def __init__(self, fit):
        super().__init__()
        self.fit, self.image = fit, torch.nn.Linear(1, 1)
        torch.nn.init.ones_(self.image.weight)
        torch.nn.init.ones_(self.image.bias)

    def encode_image(self, images):
        return images.float().mean((2, 3))


def test_a_test_set_requires_a_label_and_a_key_for_each_image():
    stimuli = coloured((96, 32))
    with pytest.raises(DataError, match="got 2 images, 2 labels, 1 keys"):
        ZeroShotSet("two", ("a",), ("{c}",), stimuli.images, np.zeros(2, np.int64), stimuli.ids[:1])


def test_models_that_are_evaluated_together_use_their_own_fits():
    stimuli = coloured((96, 32))
    images = ZeroShotSet("two", ("a",), ("{c}",), stimuli.images, np.zeros(2, np.int64), stimuli.ids)
    crop, squash = MeanColour(Fit()), MeanColour(Fit("squash"))
    for models in ([crop, squash], [squash, crop], [crop]):  # also from the cache
        found = all_features(Subjects.of(models), images, Encoding())
        for model, features in zip(models, found, strict=True):
            assert (features[0, 0] > features[0, 2]) == (model is crop)


def test_apply_perceptual_init_accepts_known_fits_only():
    model = timm.create_model(VIT, img_size=32, patch_size=8, embed_dim=32, depth=1, num_heads=2)
    assert adapt(model).fit == Fit()
    assert adapt(model, fit="pad", mean=(0.5, 0.4, 0.2)).fit == Fit("pad", (128, 102, 51))
    with pytest.raises(UsageError, match="fit: expected one of center-crop, squash, pad, got 'stretch'"):
        apply_perceptual_init(model, fit="stretch")


def test_an_unset_fit_is_not_in_the_fingerprint(folder):
    recipe = read_recipe(RECIPE.format(model=VIT, fit="", folder=folder))
    assert "fit" not in recipe.resolve(recipe.arms[0])["backbone"]


def test_data_check_reports_the_area_that_a_crop_removes(folder, cli):
    done = cli("data", "check", f"{folder}/lab.csv,images={folder}")
    assert "120 of 120 images (100.0%) are not square" in " ".join(done.stdout.split())
    assert "removes a median of 66.7% of their area, at most 66.7%" in " ".join(done.stdout.split())


def test_published_weights_state_their_fit(tmp_path):
    assert find_published_fit("ViT-B-16-SigLIP", "webli") == "squash"
    assert find_published_fit("ViT-B-32", "laion2b_s34b_b79k") == "center-crop"
    assert find_published_fit("ViT-B-32", "") is None
    path = tmp_path / "open_clip_config.json"
    about = {"model_cfg": read_table("ViT-B-32"), "preprocess_cfg": {"resize_mode": "longest"}}
    path.write_text(json.dumps(about))
    assert find_published_fit(str(path), "") == "pad"
