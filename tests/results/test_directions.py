"""The direction of a measure is read from whole words of its name, and is never guessed."""

import pytest

from perceptinit.results.directions import find_direction
from perceptinit.results.measures import measure_names

LOWER = (
    *("loss", "val_loss", "testLoss", "train/Loss", "cross_entropy", "CrossEntropy", "nll", "perplexity"),
    *(
        "val_bpb",
        "WER",
        "test-wer",
        "top1_err",
        "Top-5 error",
        "FID",
        "RMSE",
        "ECE",
        "latency_ms",
        "brier_score",
    ),
)
HIGHER = (
    *("acc", "val_acc", "test/accuracy", "Accuracy@1", "top1", "Top-5", "R@1", "recall@10", "F1", "macroF1"),
    *("mIoU", "AUROC", "acc,none", "bleu", "PSNR", "eval/2afc", "score", "mean_reward", "pass@1"),
)
UNKNOWN = ("power", "metric", "m1", "objective", "result", "tower", "accuracy_error", "kpi", "timeless", "x")


@pytest.mark.parametrize("name", LOWER)
def test_a_lower_value_is_better(name):
    assert find_direction(name) == "lower"


@pytest.mark.parametrize("name", HIGHER)
def test_a_higher_value_is_better(name):
    assert find_direction(name) == "higher"


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_name_without_a_direction_or_with_two_is_unknown(name):
    assert find_direction(name) is None


def test_the_measures_of_the_package_have_a_direction():
    assert {find_direction(name) for name in measure_names()} == {"higher"}
