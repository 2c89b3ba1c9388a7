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
    words = [word for word in re.split(r"[\W_]+", measure) if word]
    parts = {part for word in words for part in _parts_of(word)}
    is_lower = not LOWER.isdisjoint(parts)
    is_higher = not HIGHER.isdisjoint(parts)
    if is_lower and is_higher:
        return None
    if is_lower:
        return "lower"
    # the error of top-1 accuracy is called `top1_err`, so an error decides before a rank
    return "higher" if is_higher or "score" in parts or _AT_K.search(measure) else None


def _parts_of(word: str) -> list[str]:
    if word.lower() in LOWER | HIGHER:
        return [word.lower()]
    return [part.lower() for part in _PART.findall(word)]
