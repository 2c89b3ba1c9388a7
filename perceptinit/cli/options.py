"""Spellings of options that were replaced, and pairs of options that a command refuses."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from perceptinit.errors import UsageError, shown

SUBMIT = "--submit slurm or --submit commands"
FORMATS = {f"--{name}": f"--format {name}" for name in ("csv", "json", "latex", "markdown")}
PAIRING = "--columns run=COLUMN instead of seed=COLUMN"
PACKED = ("image", "text", "label", "class")  # fields of `data pack --columns`
# old word -> replacement, by command
REPLACED = {
    "": {"plugins": "perceptinit list plugins"},
    "run": {"--on": SUBMIT},
    "tune": {"--on": SUBMIT},
    "validate": {"--ready": "the exit code, which is 1 if data or files are missing"},
    "init": {
        "--backbone": "the first argument: perceptinit init timm:vit_small_patch16_224 --out FILE",
        "--initializer": "the second argument: perceptinit init timm triplet-hinge --out FILE",
        "--output": "--out",
        "-o": "--out",
    },
    "export": {"--to": "the second argument: perceptinit export RUN open-clip"},
    "eval": {
        "--suite": "--on paper29,root=data/eval",
        "--sets": "--on cifar10,root=data/eval",
        "--root": "--on cifar10,root=data/eval",
        "--set": "--on cifar10,precision=bf16",
        "--images": "--on judgments.csv,images=photographs",
        "--split": "--on judgments.csv,split=test",
        "--recipe": "--on RECIPE, such as --on recipe.toml",
        "--no-examples": "the default: only --thumbnails adds images",
        **FORMATS,
    },
    "compare": {
        "--unequal": "--at end",
        "--pairing": PAIRING,
        **FORMATS,
        "--runs": "--format runs",
    },
    "report": {"--unequal": "--at end", "--pairing": PAIRING, "--figure": "--out FILE.pdf or --out FILE.svg"},
    "data list": {"--root": "a key of the argument: paper29,root=data/eval"},
    "data check": {
        "--image": "a key of the argument: judgments.csv,images=photographs",
        "--root": "a key of the argument: paper29,root=data/eval",
        "--images": "a key of the argument: judgments.csv,images=photographs",
        "--use": "a key of the argument: choices.csv,use=odd-one-out",
    },
    "data download": {"--recipe": "the argument: perceptinit data download RECIPE"},
    "data pack": {f"--{name}-column": f"--columns {name}=COLUMN" for name in PACKED},
    "cache": {
        "list": "perceptinit cache",
        "path": "perceptinit cache, whose last line is the folder",
        "clear": "perceptinit cache --clear",
    },
    "new plugin": {"--kind": "the first argument: perceptinit new plugin initializer acme-texture"},
}

CHOOSES = (
    "It chooses the runs. To choose them yourself, use --set verdict.max_seeds=N, perceptinit compare and "
    "--set seeds=[...]"
)
SCHEDULES = "Remove it: the scheduler runs several at a time"
RUN_OR_SEED = ("--columns *seed=*", "--columns *run=*", "Arms are paired by seed=COLUMN only")
KEEPS = "Use another --out, or remove the runs"
# what a command refuses together, by command: two options, and what to do. An option may be followed by a
# pattern of its value, an argument is a name in capitals, and `no` means that an option is missing
REFUSED = {
    "run": (
        *(("--until-decided", other, CHOOSES) for other in ("--seed", "--smoke", "--nproc", "--submit")),
        ("--submit", "--jobs", SCHEDULES),
        ("--submit commands", "--fresh", KEEPS),
        ("--submit slurm", "--nproc", "Set [jobs] nodes and gpus"),
        *(
            ("RECIPE *.json", other, "The recipe is frozen: use its TOML file")
            for other in ("--out", "--set", "--smoke", "--submit", "--until-decided")
        ),
    ),
    "tune": (
        ("--submit", "--jobs", SCHEDULES),
        ("--submit", "--fresh", KEEPS),
    ),
    "eval": (
        ("--pooling", "no --layer", "Add --layer, such as --layer all"),
        ("--thumbnails", "no --format csv", "`report` shows the images of the CSV"),
    ),
    "compare": (
        RUN_OR_SEED,
        ("--explain", "--when", "Choose one"),
        ("--explain", "--format", "Without --explain, --format json has the conditions of each claim"),
        ("--when", "--format latex", "Choose csv, json or markdown"),
        *(("--format runs", other, "Choose another format") for other in ("--when", "--score", "--at")),
    ),
    "report": (RUN_OR_SEED,),
    "data pack": (("--test-set", "--columns *text=*", "A test set has labels instead of captions"),),
}


def refuse_replaced(command: str, words: Sequence[str]) -> None:
    """Raise UsageError for the first word that was replaced."""
    known = REPLACED.get(command, {})
    for word in words:
        old = word.partition("=")[0]
        if word == "--":
            return
        if old in known:
            raise UsageError(f"{f'perceptinit {command}'.strip()}: {old} was replaced by {known[old]}")


def refuse_pairs(command: str, parsed: Any) -> None:
    """Raise UsageError for the first refused pair of options. parsed: Context of the command."""
    for first, second, advice in REFUSED.get(command, ()):
        option = _find_given(first, parsed)
        needed = second.removeprefix("no ")
        other = _find_given(needed, parsed)
        if option and needed != second and not other:
            raise UsageError(f"{option} requires {needed}. {advice}")
        if option and needed == second and other:
            raise UsageError(f"{option} does not support {other}. {advice}")


def _find_given(wanted: str, parsed: Any) -> str:
    """Return a given option in words, or the value of an argument; empty if it is not given."""
    name, _, pattern = wanted.partition(" ")
    param = next((p for p in parsed.command.params if name in (*p.opts, (p.name or "").upper())), None)
    value = parsed.params.get(param.name) if param else None
    if param is None or value in (None, False, (), [], param.default):
        return ""
    if pattern and not fnmatchcase(str(value), pattern):
        return ""
    return wanted.replace("*", "").rstrip("=") if name.startswith("-") else shown(str(value))
