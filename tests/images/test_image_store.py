"""The store of decoded images: decoded once, never stale or incomplete, shared by processes."""

import os
import threading
from collections import namedtuple

import numpy as np
import pytest
import torch
from helpers import processes
from helpers.photographs import NUM_IMAGES, paint, photographs
from PIL import Image
from torch import nn

from perceptinit.configs import read_config
from perceptinit.errors import DataError
from perceptinit.files.atomic import remove_abandoned
from perceptinit.images import decoding as images_module, store as store_module
from perceptinit.images.stimuli import StimulusImages
from perceptinit.images.store import ImageStore, StoreUnusableError, folder_name
from perceptinit.initializers import stage_images
from perceptinit.initializers.triplet_hinge import TripletHinge
from perceptinit.types import WHITE, Fit, RunContext, Stimuli, Triplets

SIZE = 4
SQUARE_BYTES = 3 * SIZE * SIZE
EVERYTHING = np.arange(NUM_IMAGES)


@pytest.fixture
def stimuli(tmp_path):
    return photographs(tmp_path / "photographs")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder for the store, without a delay for files that have just changed."""
    monkeypatch.setattr(store_module, "SETTLED_SECONDS", 0.0)
    return tmp_path / "store"


@pytest.fixture
def decoded(monkeypatch):
    """A list to which the names of decoded images are appended."""
    names, guard, decode = [], threading.Lock(), store_module.load_square

    def counted(source, key, *how):
        if not key.startswith("trial of"):  # once per process, to detect changes in the decoder
            with guard:
                names.append(key)
        return decode(source, key, *how)

    monkeypatch.setattr(store_module, "load_square", counted)
    return names


def files(root):
    return sorted(root.glob("*/*.npy"))


def num_squares(root):
    rows = [np.lib.format.open_memmap(path, mode="r") for path in files(root)]
    return sum(int(part["stamp"].any(axis=1).sum()) for part in rows)


def opened(root, stimuli, used=EVERYTHING, events=None, **options):
    ctx = RunContext(send=(events if events is not None else []).append)
    return ImageStore(root, SIZE, ctx, **options).open(stimuli, used)


# --- content


def test_stored_squares_equal_decoded_squares_in_the_requested_order(root, stimuli):
    asked = np.array([7, 0, 7, 3])
    images, again = opened(root, stimuli), opened(root, stimuli)
    expected = StimulusImages(stimuli, SIZE)[asked]
    assert torch.equal(images[asked], expected)
    assert torch.equal(again[asked], expected)
    assert expected.unique().numel() > 20  # the images are not uniform, so the order matters


def test_a_batch_is_a_copy_of_the_store(root, stimuli):
    images = opened(root, stimuli)
    batch = images[np.array([1])]
    expected = batch.clone()
    batch.zero_()
    assert torch.equal(images[np.array([1])], expected)
    assert torch.equal(opened(root, stimuli)[np.array([1])], expected)


def test_a_later_run_reuses_decoded_images(root, stimuli, decoded):
    opened(root, stimuli)
    assert sorted(decoded) == sorted(stimuli.ids)
    decoded.clear()
    opened(root, stimuli)
    assert decoded == []


def test_unchanged_files_are_not_read(root, stimuli, monkeypatch):
    opened(root, stimuli)
    monkeypatch.setattr(store_module, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    monkeypatch.setattr(store_module, "load_square", lambda *a: pytest.fail(f"{a[1]} was decoded"))
    opened(root, stimuli)


def test_each_background_has_separate_squares(root, tmp_path):
    path = tmp_path / "glass.png"
    Image.fromarray(np.zeros((7, 9, 4), dtype=np.uint8)).save(path)
    for colour in ((255, 255, 255), (0, 0, 255)):
        stimuli = Stimuli(("glass",), [path], background=colour)
        images = opened(root, stimuli, np.array([0]))
        assert (images[np.array([0])][0].permute(1, 2, 0) == torch.tensor(colour)).all()


def test_only_requested_images_are_decoded(root, stimuli, decoded):
    images = opened(root, stimuli, np.array([[2, 5], [5, 2]]))
    assert sorted(decoded) == ["2.png", "5.jpg"]
    with pytest.raises(IndexError, match="stimulus 3 was not requested when the store was opened"):
        images[np.array([2, 3])]
    opened(root, stimuli, np.array([2, 3]))  # a larger set adds what is new
    assert sorted(decoded) == ["2.png", "3.jpg", "5.jpg"]


def test_a_set_has_one_file_for_any_selection_of_images(root, stimuli):
    opened(root, stimuli, np.array([2, 5]))
    opened(root, stimuli, np.array([1, 2]))
    assert len(files(root)) == 1
    assert num_squares(root) == 3


# --- never the pixels of another image


def test_a_changed_file_with_equal_size_and_time_is_decoded_again(root, tmp_path):
    path = tmp_path / "a.bmp"  # not compressed, so equal shapes have equal file sizes
    paint(path, 1)
    about = path.stat()
    single = Stimuli(("a",), [path])
    old = opened(root, single, np.array([0]))[np.array([0])]
    paint(path, 2)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size
    new = opened(root, single, np.array([0]))[np.array([0])]
    assert torch.equal(new, StimulusImages(single, SIZE)[np.array([0])])
    assert not torch.equal(new, old)


def test_an_open_store_keeps_its_pixels_when_another_run_updates_an_image(root, stimuli):
    images = opened(root, stimuli)
    before = images[EVERYTHING]
    paint(stimuli.images[3], 99)
    after = opened(root, stimuli)[EVERYTHING]
    assert torch.equal(images[EVERYTHING], before)
    assert torch.equal(after, StimulusImages(stimuli, SIZE)[EVERYTHING])
    assert not torch.equal(after[3], before[3])


def test_a_file_that_has_just_changed_delays_the_store(root, stimuli, monkeypatch):
    monkeypatch.setattr(store_module, "SETTLED_SECONDS", 0.5)
    slept = []
    monkeypatch.setattr(store_module.time, "sleep", slept.append)
    paint(stimuli.images[0], 1)
    opened(root, stimuli, np.array([0]))
    assert len(slept) == 1
    assert 0 < slept[0] <= 0.5


def test_a_file_with_a_future_time_is_identified_by_its_content(root, stimuli, decoded):
    os.utime(stimuli.images[0], (2**40, 2**40))
    opened(root, stimuli, np.array([0]))
    opened(root, stimuli, np.array([0]))
    assert decoded == ["0.png"]


def test_sizes_and_decoder_versions_have_separate_folders(monkeypatch):
    names = {folder_name(4), folder_name(8)}
    folder_name.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "version", lambda name: "0.0.1")
        names.add(folder_name(4))
    folder_name.cache_clear()
    load = store_module.load_square
    monkeypatch.setattr(store_module, "load_square", lambda *a: load(*a) ^ 1)
    names.add(folder_name(4))
    folder_name.cache_clear()
    assert len(names) == 4


# --- damage, interruption, lack of room


def flip(place):
    def flip_a_bit(path):
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)

    return flip_a_bit


def test_a_change_in_resizing_tall_images_changes_the_trial(monkeypatch):
    how = 16, WHITE, Fit()
    before, resize_plainly = store_module._trial(*how), images_module._resize

    def resize(pixels, shape):
        image = resize_plainly(pixels, shape)
        height, width = (old - new for old, new in zip(pixels.shape, shape, strict=False))
        return image[:, ::-1] if height > 2 * width > 0 else image

    monkeypatch.setattr(images_module, "_resize", resize)
    assert store_module._trial(*how) != before


ROW_BYTES = SQUARE_BYTES + 4 + 32  # pixels, checksum, stamp


@pytest.mark.parametrize(
    ("harm", "num_lost"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), 10),
        (lambda path: path.write_bytes(b""), 10),
        (flip(0), 10),  # of the magic string
        (flip(12), 10),  # of the header
        (flip(-ROW_BYTES), 1),  # of a pixel
        (flip(-33), 1),  # of a checksum
    ],
)
def test_damaged_images_are_reported_and_decoded_again(root, stimuli, decoded, harm, num_lost):
    expected = opened(root, stimuli)[EVERYTHING]
    (path,) = files(root)
    harm(path)
    decoded.clear()
    events = []
    images = opened(root, stimuli, events=events)
    assert torch.equal(images[EVERYTHING], expected)
    assert f"{path}: damaged file; " in warnings_of(events)[0]
    assert len(decoded) == num_lost
    assert num_squares(root) == NUM_IMAGES


def test_a_flipped_bit_never_changes_the_pixels(root, stimuli):
    expected = opened(root, stimuli)[EVERYTHING]
    (path,) = files(root)
    whole = path.read_bytes()
    for at in range(0, len(whole), 5):
        path.write_bytes(whole)
        flip(at)(path)
        assert torch.equal(opened(root, stimuli)[EVERYTHING], expected), at


def test_an_interrupted_build_resumes_where_it_stopped(root, stimuli, decoded, monkeypatch):
    decode = store_module.load_square

    def interrupted(source, key, *how):
        if key == "6.png":
            raise KeyboardInterrupt
        return decode(source, key, *how)

    monkeypatch.setattr(store_module, "load_square", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(root, stimuli, num_threads=1)
    num_kept = num_squares(root)
    assert num_kept >= 6
    assert list(root.glob("*/.*")) == []
    monkeypatch.setattr(store_module, "load_square", decode)
    images = opened(root, stimuli)
    assert images.num_decoded == NUM_IMAGES - num_kept
    assert torch.equal(images[EVERYTHING], StimulusImages(stimuli, SIZE)[EVERYTHING])


def test_temporary_files_of_killed_processes_are_removed(root, stimuli):
    opened(root, stimuli, np.array([0]))
    (folder,) = root.iterdir()
    old, young = folder / ".a.npy.1-2.tmp", folder / ".b.npy.3-4.tmp"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    remove_abandoned.cache_clear()  # as in another process
    opened(root, stimuli)
    assert young.exists()
    assert not old.exists()


def test_an_undecodable_image_is_reported_and_the_other_images_are_kept(root, stimuli, decoded):
    stimuli.images[9].write_bytes(b"no image")
    with pytest.raises(DataError, match=r"9\.jpg: cannot be decoded as an image"):
        opened(root, stimuli)
    assert num_squares(root) == 9
    stimuli.images[9].unlink()
    with pytest.raises(DataError, match=r"9\.jpg: cannot be read .*No such file"):
        opened(root, stimuli)


def full_disk(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(
        store_module.shutil, "disk_usage", lambda path: usage(100, 99, store_module.SPARE_BYTES)
    )


def test_missing_disk_space_is_reported_before_decoding(root, stimuli, decoded, monkeypatch):
    full_disk(monkeypatch)
    with pytest.raises(StoreUnusableError, match=r"10 decoded images require 0\.0 GB, but only 0\.3 GB are"):
        opened(root, stimuli)
    assert decoded == []


# --- several processes


def count_decodes(root, folder):
    """Open a store in a new process; returns the number of images that it decoded."""
    store_module.SETTLED_SECONDS = 0.0
    paths = sorted(folder.iterdir())
    stimuli = Stimuli(tuple(path.name for path in paths), paths)
    images = opened(root, stimuli)
    assert torch.equal(images[EVERYTHING], StimulusImages(stimuli, SIZE)[EVERYTHING])
    return images.num_decoded


@pytest.mark.slow
def test_two_processes_decode_each_image_once(root, stimuli):
    counts = processes.together(count_decodes, root, stimuli.images[0].parent)
    assert sorted(counts) == [0, NUM_IMAGES]


# --- stage 1


class Tower(nn.Module):
    """Two linear layers on 4 x 4 pixels."""

    def __init__(self):
        super().__init__()
        self.image_size, self.embed_dim = SIZE, 8
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.GELU(), nn.Linear(16, 8))
        draw = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=draw) / 4

    def encode_image(self, images):
        return self.layers(images / 255)


class FixedJudgments:
    def __init__(self, stimuli):
        rng = np.random.default_rng(0)
        rows = np.array([rng.permutation(len(stimuli))[:3] for _ in range(40)])
        self.triplets = Triplets.build(stimuli, *rows.T, rng.integers(0, 2, 40))

    def load(self, split):
        return self.triplets


def train(stimuli, **options):
    """Return the report of two epochs and the events."""
    events = []
    ctx = RunContext(stage="init.0", num_workers=0, send=events.append)
    config = TripletHinge.Config(epochs=2, batch_size=8, lr=0.01, **options)
    return TripletHinge(config, FixedJudgments(stimuli)).initialize(Tower(), ctx), events


def warnings_of(events):
    return [event.message for event in events if event.kind == "warning"]


def test_stage_one_has_equal_weights_with_store_memory_and_repeated_decoding(root, stimuli, decoded):
    stored, _ = train(stimuli, image_store=str(root))
    again, _ = train(stimuli, image_store=str(root))
    assert len(decoded) == NUM_IMAGES
    in_memory, _ = train(stimuli, image_store="off")
    each_time, events = train(stimuli, image_store="off", cache_gib=0.0)
    assert "are decoded at each use. Increase cache_gib" in warnings_of(events)[0]
    hashes = [r.sha256_after for r in (stored, again, in_memory, each_time)]
    assert hashes == [stored.sha256_after] * 4
    assert stored.sha256_before != stored.sha256_after


def test_a_build_of_the_store_is_announced_and_shown_as_a_stage(root, stimuli):
    _, events = train(stimuli, image_store=str(root))
    first = warnings_of(events)[0]
    assert first.startswith("10 images are decoded once into ")
    assert "(7.8e-07 GiB) and reused by later runs" in first
    assert 'Set image_store = "off" to disable the store' in first
    kinds = [(e.message, e.total_steps) for e in events if e.kind == "stage-start"]
    assert kinds == [("decode images", 10), ("triplet-hinge", 10)]
    _, events = train(stimuli, image_store=str(root))
    assert not any("decoded once" in message for message in warnings_of(events))
    assert not any(event.kind == "stage-start" for event in events)


def test_progress_counts_each_image_once(root, stimuli):
    events = []
    opened(root, stimuli, events=events)
    steps = [(e.step, e.total_steps) for e in events if e.kind == "step"]
    assert steps == [(10, 10)]


@pytest.fixture
def default_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


def test_auto_stores_large_sets_only(root, default_folder, stimuli, monkeypatch):
    train(stimuli)
    assert not default_folder.exists()
    monkeypatch.setattr(stage_images, "STORED_FROM_BYTES", 20 * SQUARE_BYTES)  # both splits: 20
    train(stimuli)
    assert num_squares(default_folder) == NUM_IMAGES


def test_image_store_off_writes_no_file(root, default_folder, stimuli, monkeypatch):
    monkeypatch.setattr(stage_images, "STORED_FROM_BYTES", 0)
    train(stimuli, image_store="off")
    assert not default_folder.exists()


def test_images_in_memory_are_not_stored(root, stimuli):
    pixels = [np.asarray(Image.open(path).convert("RGB")) for path in stimuli.images]
    train(Stimuli(stimuli.ids, pixels), image_store=str(root))
    assert not root.exists()


def test_without_disk_space_auto_stays_in_memory_and_a_named_folder_is_an_error(
    root, default_folder, stimuli, monkeypatch
):
    full_disk(monkeypatch)
    monkeypatch.setattr(stage_images, "STORED_FROM_BYTES", 0)
    report, events = train(stimuli)
    assert "0.3 GB are free. Decoded images stay in memory (cache_gib = 4)" in events[0].message
    assert report.sha256_after == train(stimuli, image_store="off")[0].sha256_after
    with pytest.raises(DataError, match=r'image_store: .* GB are free. Choose another folder, or "off"'):
        train(stimuli, image_store=str(root))


def test_a_misspelled_image_store_option_is_not_a_folder():
    _, problems = read_config(TripletHinge.Config, {"image_store": "of"}, "init")
    assert "image_store = 'of': expected 'auto', 'off' or a path with a slash" in str(problems[0])
    assert read_config(TripletHinge.Config, {"image_store": "./of"}, "init")[1] == []


def test_cache_list_and_clear_include_decoded_images(cli, default_folder, stimuli):
    opened(default_folder, stimuli)
    environment = {"PERCEPTINIT_CACHE": str(default_folder.parent)}
    assert "decoded images 4px-center-crop-" in cli("cache", **environment).stdout
    assert "MiB of decoded images 4px-center-crop-" in cli("cache", "--clear", **environment).stdout
    assert files(default_folder) == []
