"""The kinds of experiments whose truth is known: arms, what is known, and the recipe, in words that every version takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import known_world

DELTA = 2.0  # points within which a difference does not matter


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of experiment: `num` of them, arms after `random`, what they learn from, and what is known.

    arms: name -> stage 1 (TOML); `{coin}` and `{world}` are filled in. overrides: of the command line.
    score, pretrain: what is measured, and after how much pretraining. known: what is known, for the page.
    nothing: arms that differ by nothing, by construction. cause, taught, alike: see `sentence_rules.Truth`.
    """

    name: str
    num: int
    arms: dict[str, str]
    nothing: tuple[tuple[str, str], ...] = ()
    cause: str = ""
    taught: bool = False
    alike: bool = False
    score: str = "knn/hues"
    pretrain: str = "epochs = 1\nlr = 3e-3"
    num_seeds: int = 3
    overrides: tuple[str, ...] = ()
    known: str = ""

    @property
    def arm(self) -> str:
        """Return the arm that the headline speaks of."""
        return next(iter(self.arms))


def _stage(judgments: str, epochs: int = 2, lr: float = 1e-2) -> str:
    training = f'use = "triplet-hinge", margin = 0.3, epochs = {epochs}, batch_size = 128, lr = {lr}'
    return f"{{ {training}, eval_every = 100, judgments = {judgments} }}"


def _through(wrapper: str, judgments: str) -> str:
    return f'{{ use = "{wrapper}", judgments = {judgments} }}'


PEOPLE = '{ use = "table", path = "{world}/people.csv", images = "{world}/judged" }'
COIN = '{ use = "table", path = "{coin}", images = "{world}/judged" }'
PIXELS = _through("pixel-triplets", PEOPLE)
CLASSES = '{ use = "class-triplets", root = "{world}/classes", num_triplets = 256 }'


def _with_control(judgments: str, epochs: int = 2, arm: str = "pi") -> dict[str, str]:
    own, control = judgments, _through("shuffled-votes", judgments)
    return {arm: _stage(own, epochs), "shuffled": _stage(control, epochs)}


AGAIN = '{ use = "random" }'
DEALT = '{ use = "statistics-matched", keep = "values" }'  # fresh values, each tensor's in another order
KINDS = (
    Kind(
        "A/A", 60, {"again": AGAIN}, (("again", "random"),), alike=True,
        score="top1/hues", pretrain="epochs = 3\nlr = 1e-2",
        known="fresh weights against fresh weights: no difference, by construction",
    ),
    Kind(
        "A/A that the package cannot see", 60, {"dealt": DEALT}, (("dealt", "random"),),
        known="fresh weights against fresh weights in another order: the same distribution, no difference",
    ),
    Kind(
        "an override makes arms unequal", 40, _with_control(COIN), overrides=("arm.shuffled.init.0.lr=1e-5",),
        known="a coin answers, and `--set` takes the training from the control: no lead is due to the answers",
    ),
    Kind(
        "pixels answer", 30, _with_control(PIXELS, arm="pixels"), cause="program",
        known="no people: a lead is not due to their structure",
    ),
    Kind(
        "class labels answer", 30, _with_control(CLASSES, arm="classes"), cause="program",
        known="no people: a lead is not due to their structure",
    ),
    Kind(
        "the score is the trained task", 40, {"pi": _stage(PEOPLE)}, cause="people", taught=True,
        score="2afc/people", known="a lead does not say that the start is worth it",
    ),
    Kind(
        "a coin answers", 50, _with_control(COIN), (("pi", "shuffled"),),
        known="PI and its shuffled control are equal, by construction",
    ),
    Kind(
        "small effect", 45, {"pi": _stage(PEOPLE, 1, 1e-3)}, cause="people", num_seeds=5,
        known="people answer as the classes go, 4 steps at a tenth of the rate",
    ),
    Kind(
        "large effect", 45, _with_control(PEOPLE, 3), cause="people", num_seeds=5,
        known="people answer as the classes go, 12 steps: better, because of what they said",
    ),
)  # fmt: skip

RECIPE = """\
schema = 1
name = "known"
seeds = {seeds}
baseline = "random"
{verdict}
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
image_size = 8
embed_dim = 16
text_width = 16
text_heads = 1
text_layers = 1
context_length = 4
model_args = {{ patch_size = 4, embed_dim = 16, num_heads = 1, depth = 1, global_pool = "avg", class_token = false }}
[pretrain]
use = "clip"
{pretrain}
batch_size = 32
warmup_steps = 2
pairs = {{ use = "csv", file = "{world}/pairs.csv" }}
[[eval]]
{measure}
every = "end"
[[track]]
use = "jsonl"
[[arm]]
name = "random"
init = []
"""
MEASURES = {
    "top1/hues": 'use = "zero-shot"\nroot = "{world}/sets"\ndatasets = ["hues"]',
    "knn/hues": 'use = "knn"\nk = 5\nroot = "{world}/sets"\ndatasets = ["hues"]',
    "2afc/people": f'use = "two-afc"\njudgments = {PEOPLE}',
}


def recipe(kind: Kind, index: int, world: Path, has_delta: bool) -> str:
    """Return an experiment's recipe; its seeds are in no other experiment. has_delta: the package takes `[verdict]`."""
    first = 1000 * number(kind) + kind.num_seeds * index
    text = RECIPE.format(
        seeds=list(range(first, first + kind.num_seeds)),
        verdict=f"[verdict]\ndelta = {DELTA}" if has_delta else "",
        pretrain=kind.pretrain,
        measure=MEASURES[kind.score],
        world="{world}",
    )
    text += "".join(f'[[arm]]\nname = "{name}"\ninit = [{stage}]\n' for name, stage in kind.arms.items())
    if "{coin}" in text:
        text = text.replace("{coin}", known_world.write_coin(world, index).as_posix())
    return text.replace("{world}", world.as_posix())


def number(kind: Kind) -> int:
    return [one.name for one in KINDS].index(kind.name)
