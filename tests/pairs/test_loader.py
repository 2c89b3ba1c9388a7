"""The pair loader: batches depend on the seed only, and bad pairs are reported."""

import io
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.photos import AUGMENT, Photos, assert_same, loader
from PIL import Image

from perceptinit.errors import DataError, PerceptInitError
from perceptinit.pairs.augment import Augment, random_box
from perceptinit.pairs.batches import Unusable, UnusablePairs, join_ids, stack_ids, trim_ids
from perceptinit.types import Pair


def test_a_batch_contains_uint8_images_tokens_and_keys():
    [batch] = loader(Photos()).batches(0, 1)
    assert (batch.images.shape, batch.images.dtype) == ((8, 3, 16, 16), torch.uint8)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert (batch.tokens.shape, batch.tokens.dtype) == ((8, 4), torch.int64)
    assert len(batch.keys) == 8


def test_each_epoch_contains_every_pair_once_in_a_new_order():
    batches = list(loader(Photos()).batches(0, 10))
    first = [key for batch in batches[:5] for key in batch.keys]
    second = [key for batch in batches[5:] for key in batch.keys]
    assert sorted(first) == sorted(second) == [f"a.tar/{i:03d}" for i in range(40)]
    assert first != second


def test_an_incomplete_last_batch_is_dropped():
    pairs = loader(Photos(num_pairs=21))
    assert (pairs.num_batches, pairs.num_left_over) == (2, 5)
    keys = Counter(key for batch in pairs.batches(0, 2) for key in batch.keys)
    assert len(keys) == 16
    assert set(keys.values()) == {1}


@pytest.mark.parametrize("num_workers", [1, 4])
def test_batches_do_not_depend_on_the_number_of_threads(num_workers):
    photos = Photos(num_pairs=100, broken=[3, 50])
    assert_same(
        loader(photos, batch_size=40, num_workers=num_workers).batches(0, 5),
        loader(photos, batch_size=40).batches(0, 5),
    )


def test_batches_from_the_middle_of_an_epoch_equal_those_of_an_uninterrupted_run():
    photos = Photos(broken=[7])
    whole = list(loader(photos).batches(0, 12))
    assert_same(loader(photos, num_workers=2).batches(7, 12), whole[7:])


def test_order_and_crops_depend_on_the_seed():
    [ours] = loader(Photos(), batch_size=40).batches(0, 1)
    [theirs] = loader(Photos(), batch_size=40, seed=1).batches(0, 1)
    assert ours.keys != theirs.keys
    place = theirs.keys.index(ours.keys[0])
    assert not torch.equal(ours.images[0], theirs.images[place])


def test_the_parts_of_several_processes_form_the_batch_of_one():
    whole = list(loader(Photos()).batches(0, 5))
    parts = [list(loader(Photos(), rank=r, world_size=2).batches(0, 5)) for r in (0, 1)]
    for batch, left, right in zip(whole, *parts, strict=True):
        assert batch.keys == left.keys + right.keys
        assert torch.equal(batch.images, torch.cat([left.images, right.images]))
        assert torch.equal(batch.tokens, join_ids([left.tokens, right.tokens]))


class Jpegs:
    """Pairs of a smooth image of 160 x 120 pixels as JPEG bytes."""

    num_pairs = 16
    block_sizes = (16,)

    def pair(self, index):
        y, x = np.mgrid[:120, :160]
        shades = [127 + 100 * np.sin((x * a + y * b + 9 * index) / 30) for a, b in ((1, 0), (0, 1), (1, 1))]
        file = io.BytesIO()
        Image.fromarray(np.stack(shades, axis=2).astype(np.uint8)).save(file, "jpeg", quality=90)
        return Pair(f"{index:03d}", file.getvalue(), "text")


def test_fast_decoding_keeps_order_texts_crops_and_flips():
    made = {
        decoding: list(loader(Jpegs(), augment=replace(AUGMENT, decoding=decoding)).batches(0, 4))
        for decoding in ("quality", "fast")
    }
    for quality, fast in zip(*made.values(), strict=True):
        assert fast.keys == quality.keys
        assert torch.equal(fast.tokens, quality.tokens)
        gaps = (fast.images.int() - quality.images.int()).abs().float().mean(dim=(1, 2, 3))
        assert gaps.min() > 0
        assert gaps.max() < 4  # a different crop or flip differs by at least 20


def test_fewer_pairs_than_a_batch_are_an_error():
    with pytest.raises(DataError) as error:
        loader(Photos(num_pairs=7))
    assert str(error.value) == ("batch_size = 8, but there are only 7 pairs. Lower batch_size or add pairs")


def test_an_undecodable_pair_is_replaced_and_reported():
    batches = list(loader(Photos(broken=[3])).batches(0, 5))
    keys = [key for batch in batches for key in batch.keys]
    told = [item for batch in batches for item in batch.unusable]
    assert len(keys) == 40
    assert "a.tar/003" not in keys
    assert [item.index for item in told] == [3]
    assert told[0].reason.startswith("a.tar/003: cannot be decoded as an image")


def test_a_source_without_usable_pairs_is_an_error():
    with pytest.raises(DataError, match="16 consecutive random replacements are unusable"):
        list(loader(Photos(broken=range(40)), num_workers=2).batches(0, 5))


def test_an_error_in_a_thread_names_the_pair():
    photos = Photos(raises={5: KeyError("oops")})
    with pytest.raises(PerceptInitError) as error:
        list(loader(photos, num_workers=3).batches(0, 5))
    assert str(error.value) == "pair 5: KeyError: 'oops'"


def test_threads_end_when_the_batches_are_closed():
    before = set(threading.enumerate())  # other tests may leave threads
    batches = loader(Photos(), num_workers=3).batches(0, 5)
    next(batches)
    assert set(threading.enumerate()) - before
    batches.close()
    assert not set(threading.enumerate()) - before


def test_a_bad_pair_is_reported_once_and_counted_each_time():
    said = []
    account = UnusablePairs(num_pairs=100, max_share=0.5, warn=said.append)
    account.note([Unusable(3, "a: bad"), Unusable(3, "a: bad"), Unusable(4, "b: bad")])
    assert account.num_replaced == 3
    assert account.indices == {3, 4}
    assert said == [
        "a: bad. Replaced by a random pair, chosen with the run's seed",
        "b: bad. Replaced by a random pair, chosen with the run's seed",
    ]


def test_more_bad_pairs_than_allowed_stop_the_run():
    account = UnusablePairs(num_pairs=100, max_share=0.01, warn=lambda message: None)
    account.note([Unusable(3, "a: bad")])
    with pytest.raises(DataError) as error:
        account.note([Unusable(4, "b: bad")])
    assert str(error.value) == (
        "2 of 100 pairs are unusable, more than max_bad_share = 0.01 allows. Last error: b: bad"
    )


def test_padding_of_token_ids_is_trimmed():
    assert trim_ids(np.array([7, 5, 9, 0, 0]), 77).tolist() == [7, 5, 9]
    assert trim_ids(np.array([7, 5, 9, 9, 9]), 77).tolist() == [7, 5, 9]  # padded with end tokens
    assert trim_ids(np.array([7, 5, 9, 9]), 77).tolist() == [7, 5, 9]
    assert trim_ids(np.array([7, 1, 2, 3, 4, 9], dtype=np.int32), 4).tolist() == [7, 1, 2, 9]
    assert stack_ids([np.array([7, 9]), np.array([7, 5, 9])]).tolist() == [[7, 9, 0], [7, 5, 9]]


def test_a_source_of_token_ids_requires_no_tokenizer():
    photos = Photos(num_pairs=8)
    made = photos.pair
    photos.pair = lambda i: Pair(made(i).key, made(i).image, np.array([7, 8, i + 10, 0, 0]))
    [batch] = loader(photos).batches(0, 1)
    assert batch.tokens.shape == (8, 3)
    assert sorted(batch.tokens[:, 2].tolist()) == list(range(10, 18))


def test_a_center_crop_of_a_square_image_is_the_identity():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    square = Augment(crop="center")(pixels, 16, np.random.default_rng(0))
    assert np.array_equal(square, pixels.transpose(2, 0, 1))


def test_a_flip_mirrors_about_half_of_the_images():
    pixels = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    straight = pixels.transpose(2, 0, 1)
    flip = Augment(crop="center", flip=True)
    squares = [flip(pixels, 4, np.random.default_rng(i)) for i in range(200)]
    mirrored = [np.array_equal(s, straight[:, :, ::-1]) for s in squares]
    assert all(m or np.array_equal(s, straight) for m, s in zip(mirrored, squares, strict=True))
    assert 70 < sum(mirrored) < 130


def test_random_boxes_respect_area_share_and_aspect_ratio():
    rng = np.random.default_rng(0)
    for _ in range(300):
        top, left, height, width = random_box(100, 140, (0.2, 0.5), (0.75, 1.3333), rng)
        assert 0 <= top <= 100 - height
        assert 0 <= left <= 140 - width
        assert 0.19 < height * width / 14000 < 0.51  # sides are whole pixels
        assert 0.73 < width / height < 1.36


def test_a_box_that_never_fits_becomes_the_largest_centered_box():
    # the whole area of 10 x 100 cannot have a proportion of at most 4 / 3: 10 high, 13 wide
    box = random_box(10, 100, (1.0, 1.0), (0.75, 1.3333), np.random.default_rng(0))
    assert box == (0, 43, 10, 13)


def test_gray_images_have_three_equal_channels():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    square = Augment(crop="center", grey_share=1.0)(pixels, 8, np.random.default_rng(0))
    assert np.array_equal(square[0], square[1])
    assert np.array_equal(square[0], square[2])


@pytest.mark.parametrize("options", [{"jitter": (0.4, 0.4, 0.4, 0.1)}, {"blur_share": 1.0}])
def test_color_jitter_and_blur_depend_on_the_generator_only(options):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    augment = Augment(crop="center", **options)
    ours = [augment(pixels, 16, np.random.default_rng(i)) for i in range(5)]
    again = [augment(pixels, 16, np.random.default_rng(i)) for i in range(5)]
    assert all(np.array_equal(a, b) for a, b in zip(ours, again, strict=True))
    assert not np.array_equal(ours[0], ours[1])
    assert ours[0].dtype == np.uint8


def test_brightness_changes_in_both_directions():
    gray = np.full((8, 8, 3), 100, dtype=np.uint8)
    augment = Augment(crop="center", jitter=(0.5, 0.0, 0.0, 0.0))
    means = [augment(gray, 8, np.random.default_rng(i)).mean() for i in range(20)]
    assert 50 <= min(means) < 75
    assert 125 < max(means) <= 150


class TwoCaptions(Photos):
    """Images with one caption of one word and one of two words."""

    def pair(self, index):
        return replace(super().pair(index), text="w", others=("w w",))


def test_a_caption_is_sampled_at_each_use_of_an_image():
    batches = list(loader(TwoCaptions()).batches(0, 10))  # two epochs of 40
    lengths = {}
    for batch in batches:
        for key, ids in zip(batch.keys, batch.tokens, strict=True):
            lengths.setdefault(key, []).append(int((ids == 1).sum()))
    counts = Counter(n for of_key in lengths.values() for n in of_key)
    assert min(counts[1], counts[2]) > 25  # of 80
    assert any(first != second for first, second in lengths.values())
    assert_same(loader(TwoCaptions(), num_workers=2).batches(0, 10), batches)
    assert torch.equal(batches[0].images, next(iter(loader(Photos()).batches(0, 1))).images)


class Listening(Photos):
    """Pairs that record the planned uses and the progress of the draws."""

    def __init__(self, **options):
        super().__init__(**options)
        self.reached = []

    @contextmanager
    def read_ahead(self, uses):
        self.uses = list(uses)
        yield lambda *draws: self.reached.append(draws)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_remote_pairs_receive_the_draws_between_which_each_block_is_used(monkeypatch, num_workers):
    monkeypatch.setattr("perceptinit.pairs.loader._LOOKED_AT", 7)
    photos = Listening(num_pairs=44, block_sizes=[10, 4, 20, 10])
    batches = loader(photos, shuffle_blocks=2, num_workers=num_workers).batches(3, 8)
    expected = {}  # (epoch, block) -> first and last draw
    for number, batch in enumerate(batches, 3):
        for place, key in enumerate(batch.keys):
            block = int(np.searchsorted([10, 14, 34, 44], int(key[-3:]), side="right"))
            draw = 8 * number + place
            first, _ = expected.get((number // 5, block), (draw, 0))
            expected[number // 5, block] = (first, draw)
    assert photos.uses == sorted(
        ((block, *draws) for (_, block), draws in expected.items()), key=lambda use: use[1]
    )
    assert photos.reached == [(8 * n, 8 * (n + 1)) for n in range(3, 8)]
