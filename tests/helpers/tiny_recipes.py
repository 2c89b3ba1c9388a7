"""A recipe that runs in a second, with a plug-in that can interrupt it."""

from helpers.local_trackers import tracker_source

RECIPE = """
schema = 1
name = "tiny"
seeds = [0, 1]
plugins = ["local.py"]
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
image_size = 16
embed_dim = 16
text_width = 16
text_heads = 2
text_layers = 1
context_length = 16
[backbone.model_args]
patch_size = 8
embed_dim = 32
num_heads = 2
depth = 1
[[init]]
use = "triplet-hinge"
epochs = 2
batch_size = 32
lr = 1e-3
warmup_steps = 1
[init.judgments]
use = "synthetic"
num_train = 64
num_val = 32
num_test = 32
image_size = 16
[pretrain]
use = "clip"
epochs = 2
batch_size = 16
warmup_steps = 1
[pretrain.pairs]
use = "synthetic"
num_pairs = 48
image_size = 16
[[eval]]
use = "two-afc"
[eval.judgments]
use = "synthetic"
num_train = 64
num_val = 32
num_test = 32
image_size = 16
[[track]]
use = "local/spy"
[[track]]
use = "jsonl"
[[arm]]
name = "random"
init = []
[[arm]]
name = "pi"
"""


# a tracker that records its calls and can end the process like a power failure
LOCAL = tracker_source(
    head="""
    began, heard = [], []
    stop_at = None
    """,
    start="began.append(ctx)",
    log="""
    heard.append(event)
    if event.kind == "scores" and event.samples_seen == stop_at:
        raise KeyboardInterrupt
    """,
)
