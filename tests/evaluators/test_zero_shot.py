"""Zero-shot scores computed by hand, test sets on disk, and their errors."""

import io

import numpy as np
import pytest
import torch
from helpers.fake_encoder import FakeEncoder, image_of, make_set
from helpers.tars import write_tar
from PIL import Image
from webdataset import TarWriter

from perceptinit.errors import DataError, TrainingError
from perceptinit.evaluators.classifier import zero_shot_classifier
from perceptinit.evaluators.retrieval import Retrieval
from perceptinit.evaluators.zero_shot import ZeroShot
from perceptinit.test_sets.readers import read_zero_shot_set
from perceptinit.types import RunContext


def evaluate(test_set, model, **options):
    evaluator = ZeroShot(ZeroShot.Config(datasets=(test_set.name,), **options))
    evaluator.read = lambda name: test_set
    return {score.name: score for score in evaluator.evaluate(model, RunContext())}


# the classifier


def test_a_class_embedding_is_the_normalized_mean_of_its_normalized_prompts():
    model = FakeEncoder({"a cat": (3, 4), "one cat": (7, 0), "a dog": (0, 2), "one dog": (0, 5)})
    classifier = zero_shot_classifier(model, ["cat", "dog"], ["a {c}", "one {c}"])
    # cat: (0.6, 0.8) and (1, 0), mean (0.8, 0.4) of length sqrt(0.8)
    expected = torch.tensor([[0.8, 0.4], [0, 1]]) / torch.tensor([[0.8**0.5], [1]])
    torch.testing.assert_close(classifier, expected)


def test_each_prompt_is_encoded_once_in_alphabetical_order():
    table = dict.fromkeys(("a long cat", "a cat", "cat"), (1, 0))
    model = FakeEncoder(table)
    zero_shot_classifier(model, ["long cat", "cat"], ["a {c}", "a {c}"], batch_size=1)
    assert model.encoded == [["a cat"], ["a long cat"]]


@pytest.mark.parametrize("template", ["{c} of {place}", "a {c", "a {}", "a {c.name}", "a {c[a]}"])
def test_a_template_with_other_fields_is_an_error(template):
    with pytest.raises(
        DataError, match=r"^template .*: the only allowed field is \{c\}\. Double all other braces$"
    ):
        zero_shot_classifier(FakeEncoder({}), ["cat"], [template])


def test_classifier_and_pixels_equal_open_clip():
    from open_clip import build_zero_shot_classifier
    from open_clip.transform import image_transform

    from perceptinit.backbones.open_clip_backbone import OpenClip
    from perceptinit.seeding import named_torch_seed

    with named_torch_seed(0, "backbone"), torch.no_grad():
        model = OpenClip(OpenClip.Config().smoke()).build().eval()
        rng = np.random.default_rng(0)
        images = [Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(40)]
        names, templates = ["cat", "polar bear", "ant"], ["a photo of a {}.", "{}"]

        class Reference:
            def encode_text(self, tokens, normalize):
                return torch.nn.functional.normalize(model.encode_text(tokens), dim=-1)

        classifier = build_zero_shot_classifier(Reference(), model.tokenize, names, templates)
        transform = image_transform(32, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
        embeddings = model.encode_image(torch.stack([transform(image) for image in images]))
        labels = (embeddings @ classifier).argmax(1).numpy()
    ours = [t.replace("{}", "{c}") for t in templates]
    test_set = make_set([np.asarray(i) for i in images], labels, names, tuple(ours))
    assert evaluate(test_set, model)["top1/set"].value == 1.0


# the scores


def test_mean_per_class_recall_weights_classes_equally_unlike_top1():
    # nearest: right, right, up, up; class "right" is found 1 of 3 times, "up" 1 of 1
    images = [image_of(9, 1), image_of(5, 4), image_of(1, 9), image_of(-1, 9)]
    test_set = make_set(images, [0, 1, 0, 0])
    scores = evaluate(test_set, FakeEncoder({"right": (1, 0), "up": (0, 1)}))
    assert list(scores) == ["top1/set", "mean_per_class_recall/set"]
    top1, recall = scores.values()
    assert (top1.value, top1.num_examples, top1.chance) == (0.25, 4, 0.5)
    assert top1.stderr == pytest.approx((0.25 * 0.75 / 4) ** 0.5)
    assert recall.value == pytest.approx((1 / 3 + 0) / 2)
    assert recall.extra["recall"] == [0.333333, 0.0]
    # of class "right" 1/3 with 3 images, of class "up" 0 with 1: sqrt(1/3 * 2/3 / 3) / 2
    assert recall.stderr == pytest.approx((2 / 27) ** 0.5 / 2)


def test_mean_recall_excludes_a_class_without_images():
    test_set = make_set([image_of(9, 1)], [0], ["right", "up", "left"])
    table = {"right": (1, 0), "up": (0, 1), "left": (-1, 0)}
    recall = evaluate(test_set, FakeEncoder(table))["mean_per_class_recall/set"]
    assert recall.value == 1.0
    assert recall.extra["recall"] == [1.0, None, None]


def test_top5_is_scored_for_six_or_more_classes():
    names = [str(i) for i in range(6)]
    # the nearer to (1, 0), the earlier: images of class 5 are never among the first five
    table = {name: (np.cos(i / 3), np.sin(i / 3)) for i, name in enumerate(names)}
    test_set = make_set([image_of(9, 0)] * 4, [0, 4, 5, 5], names)
    scores = evaluate(test_set, FakeEncoder(table))
    assert scores["top1/set"].value == 0.25
    assert (scores["top5/set"].value, scores["top5/set"].chance) == (0.5, 5 / 6)
    five = make_set([image_of(9, 0)], [0], names[:5])
    assert "top5/set" not in evaluate(five, FakeEncoder(table))


def test_a_collapsed_encoder_scores_chance_on_a_balanced_set():
    test_set = make_set([image_of(3, 3)] * 10, [0, 1] * 5)
    scores = evaluate(test_set, FakeEncoder({"right": (1, 0), "up": (0, 1)}))
    assert scores["top1/set"].value == 0.5


def test_embeddings_that_are_not_finite_are_an_error():
    model = FakeEncoder({"right": (1, 0), "up": (0, 1)})
    model.encode_image = lambda images: torch.full((len(images), 2), float("nan"))
    with pytest.raises(TrainingError, match="the image embeddings are not finite"):
        evaluate(make_set([image_of(1, 2)], [0]), model)


def test_an_undecodable_image_in_a_small_set_is_an_error():
    test_set = make_set([image_of(1, 2), b"no image"], [0, 1])
    with pytest.raises(
        DataError,
        match=r"1 of 2 images .* no score. First error: image 1: cannot be decoded as an image",
    ):
        evaluate(test_set, FakeEncoder({"right": (1, 0), "up": (0, 1)}))


class CountedImages(list):
    num_read = 0

    def __getitem__(self, index):
        self.num_read += 1
        return super().__getitem__(index)


@pytest.mark.parametrize(("cache_mib", "num_read"), [(1, 3), (0, 6)])
def test_images_are_decoded_once_if_they_fit_in_the_cache(cache_mib, num_read):
    images = CountedImages([image_of(9, 1), image_of(1, 9), image_of(1, 9)])
    test_set = make_set(images, [0, 1, 0])
    evaluator = ZeroShot(ZeroShot.Config(datasets=("set",), cache_mib=cache_mib, batch_size=2))
    evaluator.read = lambda name: test_set
    model = FakeEncoder({"right": (1, 0), "up": (0, 1)})
    first, second = (list(evaluator.evaluate(model, RunContext())) for _ in range(2))
    assert images.num_read == num_read
    assert [s.value for s in first] == [s.value for s in second] == [2 / 3, 0.75]


def test_zero_shot_scores_on_the_simulated_set_are_marked_as_simulated():
    from perceptinit.backbones.timm_backbone import Timm

    config = ZeroShot.Config(datasets=("imagenet1k",)).smoke()
    model = Timm(Timm.Config().smoke()).build().eval()
    scores = list(ZeroShot(config).evaluate(model, RunContext()))
    assert [s.name for s in scores] == [
        "top1/synthetic",
        "top5/synthetic",
        "mean_per_class_recall/synthetic",
    ]
    assert all(s.num_examples == 64 and s.extra["simulated"] for s in scores)


# test sets on disk


def png(value):
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def class_folders(path):
    for i, name in enumerate(("cat", "cat", "dog")):
        (path / name).mkdir(parents=True, exist_ok=True)
        (path / name / f"{i}.png").write_bytes(png(i))
    return path


def write_shard(path, samples):
    """Write samples to a tar; a sample is a dict with its key and its members by extension."""
    with TarWriter(str(path), encoder=False, mtime=0) as tar:
        for sample in samples:
            tar.write(sample)


@pytest.fixture
def packed_set(tmp_path):
    """Return the folder of a test set of 3 images in 2 shards, in the clip-benchmark layout."""
    folder = tmp_path / "pets"
    samples = [
        {"__key__": f"s{i:07d}", "png": png(i), "cls": str(label).encode()}
        for i, label in enumerate((0, 0, 1))
    ]
    (folder / "test").mkdir(parents=True)
    write_shard(folder / "test" / "0.tar", samples[:2])
    write_shard(folder / "test" / "1.tar", samples[2:])
    (folder / "test" / "nshards.txt").write_text("2\n")
    (folder / "test" / "sizes.json").write_text('{"0.tar": 2, "1.tar": 1}')
    (folder / "classnames.txt").write_text("cat\ndog\n")
    (folder / "zeroshot_classification_templates.txt").write_text("a {c}\none {c}\n")
    return folder


def complaint(path):
    with pytest.raises(DataError) as caught:
        read_zero_shot_set(path)
    return str(caught.value)


def test_a_packed_set_contains_images_labels_names_and_templates(packed_set):
    test_set = read_zero_shot_set(packed_set)
    assert (test_set.name, test_set.classnames) == ("pets", ("cat", "dog"))
    assert test_set.templates == ("a {c}", "one {c}")
    assert list(test_set.images) == [png(0), png(1), png(2)]
    assert test_set.labels.tolist() == [0, 0, 1]
    assert list(test_set.keys) == [
        "pets/test/0.tar/s0000000",
        "pets/test/0.tar/s0000001",
        "pets/test/1.tar/s0000002",
    ]


def test_class_folders_become_class_names_with_a_default_template(tmp_path):
    test_set = read_zero_shot_set(class_folders(tmp_path / "pets"), "my-pets")
    assert (test_set.name, test_set.classnames) == ("my-pets", ("cat", "dog"))
    assert test_set.templates == ("a photo of a {c}.",)
    assert test_set.labels.tolist() == [0, 0, 1]
    assert list(test_set.keys) == ["pets/cat/0.png", "pets/cat/1.png", "pets/dog/2.png"]


def test_trailing_empty_lines_are_ignored(packed_set):
    for name in ("classnames.txt", "zeroshot_classification_templates.txt"):
        with (packed_set / name).open("a") as file:
            file.write("\n\n")
    test_set = read_zero_shot_set(packed_set)
    assert (len(test_set.classnames), len(test_set.templates)) == (2, 2)


def test_an_empty_line_between_class_names_is_an_error(packed_set):
    path = packed_set / "classnames.txt"
    path.write_text("cat\n\ndog\n")
    assert complaint(packed_set) == (f"{path}: line 2 is empty, so later labels are ambiguous")


def test_a_label_without_a_class_name_is_reported_with_its_sample(packed_set):
    (packed_set / "classnames.txt").write_text("cat\n")
    assert complaint(packed_set) == (
        "test set 'pets', sample pets/test/1.tar/s0000002: label 1, but there are 1 class names"
    )


@pytest.mark.parametrize("number", ["", "two", "0"])
def test_an_invalid_number_of_shards_is_an_error(packed_set, number):
    path = packed_set / "test" / "nshards.txt"
    path.write_text(number)
    assert complaint(packed_set) == f"{path}: {number!r} is not a number of shards"


def test_missing_files_are_reported_by_path(packed_set):
    shard, counter = packed_set / "test" / "1.tar", packed_set / "test" / "nshards.txt"
    shard.unlink()
    assert complaint(packed_set) == f"{shard}: no such file, but nshards.txt states 2 shards"
    counter.unlink()
    assert complaint(packed_set) == (
        f"{counter}: no such file. It must contain the number of shards of the test set"
    )


def test_a_shard_beyond_the_stated_count_is_an_error(packed_set):
    (packed_set / "test" / "nshards.txt").write_text("1")
    assert complaint(packed_set) == (
        f"{packed_set / 'test' / '1.tar'}: unexpected shard, because nshards.txt specifies only 1"
    )


def test_a_truncated_shard_is_refused(packed_set):
    path = packed_set / "test" / "0.tar"
    path.write_bytes(path.read_bytes()[:2048])
    assert complaint(packed_set).startswith(f"{path}: byte 2048: the file ends here, so it is truncated")


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (
            {"s0.png": png(0)},
            "0.tar/s0 has no image (.webp, .png, .jpg) or no label (.cls) (1 such",
        ),
        ({"s0.png": png(0), "s0.cls": b"cat"}, "0.tar/s0: label b'cat' is not a whole number >= 0"),
    ],
)
def test_a_sample_without_an_image_or_label_is_reported(packed_set, members, sentence):
    write_tar(packed_set / "test" / "0.tar", members.items())
    (packed_set / "test" / "sizes.json").unlink()
    assert sentence in complaint(packed_set)


def test_a_retrieval_set_is_refused(packed_set):
    (packed_set / "dataset_type.txt").write_text("retrieval\n")
    assert complaint(packed_set) == (
        f"{packed_set / 'dataset_type.txt'}: a retrieval set has no class names for prompts"
    )


def test_class_folders_one_level_too_deep_are_refused(tmp_path):
    class_folders(tmp_path / "pets" / "train")
    path = tmp_path / "pets"
    assert complaint(path) == (
        f"{path / 'train' / 'cat' / '0.png'}: not in a class folder of {path}. Use the parent of the class folders"
    )


def test_preflight_lists_every_missing_set(tmp_path, packed_set):
    config = ZeroShot.Config(datasets=("gone", "pets", "lost"), root=str(tmp_path))
    assert list(ZeroShot(config).preflight()) == [
        f"test set '{name}': no folder {tmp_path / name} or wds_{name}_test. "
        f"Create it: perceptinit data pack SOURCE {tmp_path / name} --test-set "
        '--template "a photo of a {c}."'
        for name in ("gone", "lost")
    ]


def test_a_set_on_disk_is_scored(packed_set):
    config = ZeroShot.Config(datasets=("pets",), root=str(packed_set.parent))
    table = {"a cat": (-1, 0), "one cat": (-1, 0), "a dog": (0, 1), "one dog": (0, 1)}
    scores = {s.name: s.value for s in ZeroShot(config).evaluate(FakeEncoder(table), RunContext())}
    # all embeddings are about (-100, -100): a cat for each image
    assert scores == {"top1/pets": pytest.approx(2 / 3), "mean_per_class_recall/pets": 0.5}


def test_a_set_given_by_path_is_named_after_its_folder(packed_set):
    config = ZeroShot.Config(datasets=(str(packed_set),), root="/elsewhere")
    table = {"a cat": (1, 0), "one cat": (1, 0), "a dog": (0, 1), "one dog": (0, 1)}
    names = [s.name for s in ZeroShot(config).evaluate(FakeEncoder(table), RunContext())]
    assert names == ["top1/pets", "mean_per_class_recall/pets"]


@pytest.mark.parametrize(
    ("datasets", "sentence"),
    [
        ((), "datasets: at least one test set is required"),
        (("/a/pets", "/b/pets"), "datasets: two sets have the name 'pets' in the scores"),
    ],
)
def test_no_sets_or_sets_of_one_name_are_refused(datasets, sentence):
    with pytest.raises(ValueError, match=sentence):
        ZeroShot.Config(datasets=datasets)


# other splits than the test split


@pytest.mark.parametrize("measure", [ZeroShot, Retrieval])
def test_another_split_has_a_separate_name_and_separate_images(measure):
    few = {"datasets": ("synthetic",), "synthetic_num_images": 8, "synthetic_image_size": 8}
    test, val = (measure(measure.Config(**few, split=split)).choice for split in (None, "val"))
    assert (test.read("synthetic").name, val.read("synthetic").name) == (
        "synthetic",
        "synthetic-val",
    )
    assert not set(test.read("synthetic").keys) & set(val.read("synthetic").keys)
    assert val.read("synthetic") is val.read("synthetic")  # decoded once


def test_class_folders_support_the_test_split_only(tmp_path):
    class_folders(tmp_path / "pets")
    evaluator = ZeroShot(ZeroShot.Config(datasets=("pets",), root=str(tmp_path), split="train"))
    (problem,) = evaluator.preflight()
    assert (
        "no folder 'train' in the clip-benchmark layout, and class folders support only the split 'test'"
        in problem
    )
