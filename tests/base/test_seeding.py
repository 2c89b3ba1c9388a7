"""Named draws are the same everywhere and unrelated to each other."""

import torch

from perceptinit.seeding import derive_seed, derive_seeds, generator, named_torch_seed


def test_seeds_are_fixed_for_ever():
    # a change of this number makes every published run unrepeatable
    assert derive_seed(0, "pretrain", "order", 1) == 1434420534651882243


def test_each_part_of_the_name_matters():
    seeds = {
        derive_seed(0, "a", 1),
        derive_seed(1, "a", 1),
        derive_seed(0, "b", 1),
        derive_seed(0, "a", "1"),
        derive_seed(0, "a1"),
        derive_seed(0, "a", 11),
    }
    assert len(seeds) == 6


def test_equal_names_draw_equal_numbers():
    assert generator(3, "x").random() == generator(3, "x").random()
    assert generator(3, "x").random() != generator(4, "x").random()


def test_the_global_generator_is_left_as_it_was():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with named_torch_seed(0, "x"):
        torch.rand(100)
    assert torch.equal(torch.rand(2), expected)


def test_many_seeds_at_once_are_those_of_one_by_one():
    keys = [("a", "b"), ("b", "a"), ("ä", "")]
    assert derive_seeds(7, "x", 3, keys=keys) == [derive_seed(7, "x", 3, *key) for key in keys]
