"""Named random draws are reproducible and independent of each other."""

import torch

from perceptinit.seeding import derive_seed, derive_seeds, generator, named_torch_seed


def test_derived_seeds_never_change():
    # a change of this number makes every published run unrepeatable
    assert derive_seed(0, "pretrain", "order", 1) == 1434420534651882243


def test_each_part_of_a_name_changes_the_seed():
    seeds = {
        derive_seed(0, "a", 1),
        derive_seed(1, "a", 1),
        derive_seed(0, "b", 1),
        derive_seed(0, "a", "1"),
        derive_seed(0, "a1"),
        derive_seed(0, "a", 11),
    }
    assert len(seeds) == 6


def test_generators_of_equal_names_draw_equal_numbers():
    assert generator(3, "x").random() == generator(3, "x").random()
    assert generator(3, "x").random() != generator(4, "x").random()


def test_a_named_seed_restores_the_global_generator():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with named_torch_seed(0, "x"):
        torch.rand(100)
    assert torch.equal(torch.rand(2), expected)


def test_seeds_derived_in_bulk_equal_seeds_derived_one_by_one():
    keys = [("a", "b"), ("b", "a"), ("ä", "")]
    assert derive_seeds(7, "x", 3, keys=keys) == [derive_seed(7, "x", 3, *key) for key in keys]
