"""Recipes: `validate` reports the errors of any text in sentences and in bounded time."""

import io
from contextlib import redirect_stdout

from harness import damaged, fuzz, outcome
from hypothesis import given, strategies as st

RECIPE = """schema = 1
name = "small"
summary = "fuzzed"
seeds = [0, 1]
baseline = "random"
plugins = []
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
image_size = 32
model_args = { patch_size = 8, embed_dim = 32, depth = 1, num_heads = 2 }
embed_dim = 32
text_width = 32
text_heads = 2
text_layers = 1
context_length = 77
[[init]]
use = "triplet-hinge"
epochs = 1
batch_size = 4
lr = 3e-4
margin = 0.05
weight_decay = 0.0
train = "all"
crop_scale = [1.0, 1.0]
[init.judgments]
use = "synthetic"
num_train = 48
num_val = 24
num_test = 24
seed = 0
[pretrain]
use = "clip"
epochs = 1
batch_size = 4
micro_batch = 0
warmup_steps = 2
lr = 1e-3
betas = [0.9, 0.98]
patch_dropout = 0.0
layer_decay = 1.0
[pretrain.pairs]
use = "synthetic"
num_pairs = 64
image_size = 32
[[eval]]
use = "two-afc"
every = 5
[eval.judgments]
use = "synthetic"
num_train = 48
num_val = 24
num_test = 24
[tune]
measure = "top1"
trials = 2
searches = 1
seed = 1000
[tune.eval]
use = "zero-shot"
datasets = ["synthetic"]
split = "val"
[tune.space]
init.lr = { low = 1e-5, high = 1e-3, scale = "log" }
[tune.space.pretrain.warmup_steps]
low = 1
high = 3
scale = "linear"
[[track]]
use = "jsonl"
[checkpoint]
every_minutes = 15
keep = 2
[[arm]]
name = "random"
init = []
[[arm]]
name = "pi"
summary = "the shared stage"
"""
VALUES = (
    "0", "1", "-1", "3", "7", "1000000000", "99999999999999999999", "-9223372036854775809", "9" * 4999, "0x" + "f" * 4000,
    "0.0", "-0.0", "nan", "-nan", "inf", "-inf", "1e308", "5e-324", "0.5", '"8"', '""', '"x"', '"random"', "true", "[]", "[[]]",
    "[1, 2]", "[0.5, nan]", "[" * 2000, "[" * 2000 + "]" * 2000, "{}", "{ depth = 2 }", "{ drop_rate = nan }",
    "{ patch_size = -0.0 }", "{ patch_size = nan }", "{ embed_dim = 9999999999999999999999 }", "{ depth = 1000000000 }",
    "{ drop_path_rate = inf }", "{ num_heads = 0 }", "{ img_size = [1] }", "{ a = { b = { c = 1 } } }", "1979-05-27", "07:32:00",
    '"${HOME_THAT_IS_NOT_SET}"', '"${X:-y}"', '"${"', '"a/../b"', '"' + "n" * 300 + '"', '"' + "p/" * 2500 + '"', '"\\u0000"',
    '"\\u001B[31m"', "'''a\nb'''", '"/dev/zero"', '"/"', '"."', "=", "",
)  # fmt: skip
PATTERNS = (
    '"data/{0..1000000000}.tar"', '"/**/*"', '"/**/x.tar"', '"data/{a,b"', '"{1..9}{1..9}{1..9}{1..9}{1..9}{1..9}{1..9}.tar"',
    '"{a,b}' * 9 + '"', '"pipe:x"', '"https://x/y.tar"', '"~nobody/x.tar"', '"[!]"', '"/dev/zero"', '"\\u0000.tar"', '"{0..9..0}"',
    '"{' + "9" * 40 + ".." + "9" * 41 + '}.tar"', '"' + "{" * 500 + '"',
)  # fmt: skip
LINES = (
    "epochs = 3", "sedes = [0]", "x = 1", "[a]", "[[init]]", "[[arm]]", "[init]", "[pretrain.pairs]", "[eval]", "[arm.init]",
    "use = \"random\"", "use = 3", "[[posthoc]]", "[\"a.b\"]", "name = \"random\"", "[arm.pretrain]", "\\",
)  # fmt: skip


@st.composite
def recipes(draw):
    """Draw the text of a recipe with up to four changed lines and possibly changed bytes."""
    lines = RECIPE.splitlines()
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        edit = draw(
            st.sampled_from(("value", "value", "value", "value", "remove", "line", "twice", "shards"))
        )
        key, equals, _ = lines[at].partition(" = ")
        if edit == "value" and equals:
            lines[at] = f"{key} = {draw(st.sampled_from(VALUES))}"
        elif edit == "remove":
            del lines[at]
        elif edit == "line":
            lines.insert(at, draw(st.sampled_from(LINES)))
        elif edit == "twice":
            lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
        elif edit == "shards" and "num_pairs = 64" in lines:
            place = lines.index("num_pairs = 64")
            lines[place - 1] = 'use = "webdataset"'
            lines[place : place + 2] = [f"shards = {draw(st.sampled_from(PATTERNS))}"]
    text = "\n".join(lines).encode()
    return draw(damaged(text)) if draw(st.integers(0, 3)) == 0 else text


@fuzz(8)
@given(recipes())
def test_any_recipe_text_gives_a_plan_or_a_list_of_problems(place, verbs, text):
    path = place / "recipe.toml"
    path.write_bytes(text)
    output = io.StringIO()

    def validate():
        with redirect_stdout(output):
            verbs("validate", path)
        return True

    if outcome("recipe", validate, [path.name], place):
        assert "arms x" in output.getvalue()
