"""Whether a higher or a lower value of a measure is better, by the words of its name."""

import re
from typing import Literal

from perceptinit.results.measures import measure_names

Direction = Literal["higher", "lower"]

# whole words; a name is never searched for letters inside a word (`wer` is in `power`)
LOWER = {
    *(
        "loss",
        "losses",
        "error",
        "errors",
        "err",
        "entropy",
        "nll",
        "perplexity",
        "ppl",
        "bpb",
        "bpc",
        "bits",
    ),
    *(
        "mse",
        "rmse",
        "mae",
        "mape",
        "nrmse",
        "rmsle",
        "deviation",
        "residual",
        "divergence",
        "kl",
        "distance",
    ),
    *("fid", "kid", "lpips", "wer", "cer", "ter", "eer", "fpr", "fnr", "misclassification"),
    *("time", "latency", "runtime", "duration", "seconds", "ms", "memory"),
    *("ece", "mce", "ace", "sce", "tce", "calibration", "brier", "regret", "hamming", "hinge"),
}
HIGHER = {
    *("accuracy", "acc", "precision", "recall", "sensitivity", "specificity", "f1", "f2", "fscore", "dice"),
    *("auc", "auroc", "auprc", "aupr", "roc", "ap", "map", "iou", "miou", "jaccard", "pq", "r2", "rsquared"),
    *(
        "bleu",
        "rouge",
        "meteor",
        "cider",
        "spice",
        "chrf",
        "psnr",
        "ssim",
        "ndcg",
        "mrr",
        "hits",
        "kappa",
        "mcc",
    ),
    *("reward", "return", "returns", "success", "win", "wins", "winrate", "elo", "correct", "exact", "match"),
    *("correlation", "corr", "pearson", "spearman", "kendall", "agreement", "similarity", "2afc"),
    *("knn", "probe", "throughput", "fps"),
}
# words of measures that are shares of examples, in [0, 1] or in percent
SHARES = {
    *("accuracy", "acc", "precision", "recall", "sensitivity", "specificity", "f1", "f2", "fscore", "dice"),
    *("auc", "auroc", "auprc", "aupr", "roc", "ap", "map", "iou", "miou", "jaccard", "exact", "match"),
    *("success", "winrate", "agreement", "2afc", "knn", "probe"),
}
# words of measures that are often shares
MAYBE_SHARES = {
    "error",
    "errors",
    "err",
    "wer",
    "cer",
    "eer",
    "fpr",
    "fnr",
    "ece",
    "mce",
    "misclassification",
}
# words of columns that describe training or the error of a result, and are not results
TRAINING = {
    *("epoch", "epochs", "step", "steps", "iter", "iters", "iteration", "iterations", "index", "rank"),
    *("train", "training", "lr", "momentum", "decay", "gpu", "gpus", "batch", "params", "parameters"),
    *("time", "runtime", "duration", "timestamp", "seconds", "hours", "memory", "date"),
    *("stderr", "sem", "std", "stddev", "stdev", "sd"),
}
# `top1`, `Top-5`, `R@10`, `hit@1`, `pass@k`
_AT_K = re.compile(r"(?<![a-z])(?:top|r|hit|pass)[@\s_-]*(?:\d+|k)(?![a-z])", re.IGNORECASE)
# parts of `CrossEntropy`, `testLoss`, `macroF1`
_PART = re.compile(r"F\d|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def find_direction(measure: str) -> Direction | None:
    """Return which values of a measure are better; None if its name states none, or both.

    Names are split at punctuation and, where the whole word is unknown, at case and digits.
    """
    if measure in measure_names():
        return "higher"
    parts = words_of(measure)
    is_lower = not LOWER.isdisjoint(parts)
    is_higher = not HIGHER.isdisjoint(parts)
    if is_lower and is_higher:
        return None
    if is_lower:
        return "lower"
    # the error of top-1 accuracy is called `top1_err`, so an error decides before a rank
    return "higher" if is_higher or "score" in parts or _AT_K.search(measure) else None


def is_of_training(column: str) -> bool:
    """Return whether a column describes training, such as `best_epoch`, `train_acc` or `runtime`."""
    words = words_of(column)
    # a rate without a direction is a setting, such as `dropout_rate`, and `success_rate` is a result
    return not TRAINING.isdisjoint(words) or ("rate" in words and not find_direction(column))


def is_share_by_name(measure: str, values_are_far_apart: bool) -> bool:
    """Return whether a measure is a share of examples by the words of its name.

    Args:
        measure: Name of the measure.
        values_are_far_apart: Whether percent beside fractions would explain the values. Then words such as
            `error`, which also name distances, count.
    """
    words = words_of(measure)
    is_rank = bool(_AT_K.search(measure))
    return (
        not SHARES.isdisjoint(words)
        or is_rank
        or (values_are_far_apart and not MAYBE_SHARES.isdisjoint(words))
    )


def words_of(name: str) -> set[str]:
    """Return the words of a name in lower case, split as in `find_direction`."""
    words = [word for word in re.split(r"[\W_]+", name) if word]
    return {part for word in words for part in _parts_of(word)}


def _parts_of(word: str) -> list[str]:
    if word.lower() in LOWER | HIGHER:
        return [word.lower()]
    return [part.lower() for part in _PART.findall(word)]
