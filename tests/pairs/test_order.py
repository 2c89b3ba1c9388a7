"""The order of an epoch: any part equals the same part of the whole, without an array of all pairs."""

import hashlib
import tracemalloc

import numpy as np
import pytest

from perceptinit.errors import UsageError
from perceptinit.pairs import order
from perceptinit.pairs.order import epoch_order
from perceptinit.seeding import generator

EVEN = [100] * 10
UNEVEN = [7, 0, 193, 300, 1, 499]
NARROW = [(100, 1, 0), (100, 2, 0), (100, 2, 700)]  # windows with separate generators


def drawn(num_pairs, block_sizes, shuffle_blocks, num_drawn=0, seed=0):
    rng = generator(seed, "pretrain", "order", seed)
    return epoch_order(num_pairs, block_sizes, shuffle_blocks, rng, num_drawn)


# hashes of the order as one array (4962e71), on which runs of earlier versions rely when they resume
@pytest.mark.parametrize(
    ("arguments", "first", "second"),
    [
        ((1000, EVEN, 0), "b0c145ccfab16ab6", "6d8bb8fc1a2298e1"),
        ((1000, EVEN, 64), "b0c145ccfab16ab6", "6d8bb8fc1a2298e1"),
        ((1000, EVEN, 3), "6dba3e0c96382c92", "3a84426d88477c73"),
        ((1000, UNEVEN, 2), "cd8e076bf003babc", "ad581cef8fce6cec"),
        ((1000, EVEN, 3, 700), "04af861584e20872", "6da200ac3ca6c23b"),
        ((1000, UNEVEN, 2, 3000), "d538caa9d323ccd7", "3a723331372d5d91"),
        ((1000, [1000], 0, 500), "057d309cd4feba48", "bf530bd421802826"),
        ((300_000, [10_000] * 30, 8), "030b0750ed2c7c74", "20ee4599d55adfdf"),
    ],
)
def test_the_order_of_a_seed_never_changes(arguments, first, second):
    orders = [drawn(*arguments, seed=seed)[:].astype("<i8").tobytes() for seed in (0, 1)]
    assert [hashlib.sha256(data).hexdigest()[:16] for data in orders] == [first, second]


@pytest.mark.parametrize(
    ("one_generator", "shuffle_blocks", "num_drawn"),
    [(1 << 27, *case) for case in ((0, 0), (1, 0), (2, 0), (0, 700), (2, 700))] + NARROW,
)
def test_any_part_equals_the_part_of_the_whole_order(monkeypatch, one_generator, shuffle_blocks, num_drawn):
    monkeypatch.setattr(order, "ONE_GENERATOR", one_generator)
    monkeypatch.setattr(order, "_CHUNK", 64)
    arguments = (1000, UNEVEN, shuffle_blocks, num_drawn)
    whole = drawn(*arguments)[:]
    assert len(whole) == (num_drawn or 1000)
    for start, stop in ((0, 1), (500, 500), (499, 640), (320, 690), (699, 700)):
        asked = drawn(*arguments)
        assert np.array_equal(asked[start:stop], whole[start:stop])
        assert np.array_equal(asked[10:20], whole[10:20])


@pytest.mark.parametrize(
    ("one_generator", "shuffle_blocks"),
    [(1 << 27, 0), (1 << 27, 1), (1 << 27, 2), (100, 1), (100, 2)],
)
def test_each_pair_occurs_once(monkeypatch, one_generator, shuffle_blocks):
    monkeypatch.setattr(order, "ONE_GENERATOR", one_generator)
    places = drawn(1000, UNEVEN, shuffle_blocks)[:]
    assert sorted(places) == list(range(1000))
    assert not np.array_equal(places, drawn(1000, UNEVEN, shuffle_blocks, seed=1)[:])


def test_too_many_pairs_for_one_window_are_refused():
    sentence = r"200,000,000 pairs exceed the limit of 134,217,728 for .*\. Set shuffle_blocks to"
    with pytest.raises(UsageError, match=sentence):
        drawn(200_000_000, [10_000] * 20_000, 0)


def test_a_shuffle_by_blocks_reads_shuffle_blocks_at_a_time():
    sizes = [10, 20, 30, 40]
    places = epoch_order(100, sizes, 2, np.random.default_rng(0))[:]
    block = np.repeat(np.arange(4), sizes)[places]
    first = set(block[: len(block) // 10])
    num_first = sum(sizes[b] for b in first)
    assert len(first) == 2
    assert set(block[:num_first]) == first  # two blocks are finished before the next two start


def test_a_shuffle_over_all_blocks_is_a_full_permutation():
    assert np.array_equal(
        epoch_order(50, [25, 25], 2, np.random.default_rng(1))[:],
        np.random.default_rng(1).permutation(50),
    )


@pytest.mark.parametrize(
    ("shuffle_blocks", "num_pairs", "most_bytes"),
    [(8, 4_000_000, 3_000_000), (0, 4_000_000, 17_000_000), (8, 400_000_000, 12_000_000)],
)
def test_an_order_uses_the_memory_of_a_window_or_four_bytes_per_pair(shuffle_blocks, num_pairs, most_bytes):
    sizes = [10_000] * (num_pairs // 10_000)
    tracemalloc.start()
    try:
        middle = drawn(num_pairs, sizes, shuffle_blocks)[num_pairs // 2 : num_pairs // 2 + 4096]
        assert len(middle) == 4096
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()
