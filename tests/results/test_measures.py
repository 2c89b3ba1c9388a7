"""Names of measures and their variants."""

import pytest

from perceptinit.results.measures import is_perceptual, rank, split_variant


@pytest.mark.parametrize(
    ("measure", "parts"),
    [
        ("2afc_linear", ("2afc", "linear")),
        ("rsa_spearman_euclidean_best_layer", ("rsa_spearman", "euclidean_best_layer")),
        ("odd_one_out_best_layer", ("odd_one_out", "best_layer")),
        ("linear_probe", ("linear_probe", "")),
        ("texture_linear", ("texture_linear", "")),  # of a plug-in
    ],
)
def test_variants_of_known_measures_are_recognized(measure, parts):
    assert split_variant(measure) == parts
    assert is_perceptual(measure) == is_perceptual(parts[0])
    assert not parts[1] or rank(parts[0]) < rank(measure)
