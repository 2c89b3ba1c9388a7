"""A recipe with several planned looks."""

JUDGMENTS = '{ use = "synthetic", num_train = 24, num_val = 8, num_test = 24, image_size = 16 }'
BACKBONE = """[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
image_size = 16
embed_dim = 8
text_width = 8
text_heads = 2
text_layers = 1
context_length = 8
[backbone.model_args]
patch_size = 8
embed_dim = 16
num_heads = 2
depth = 1
"""
RECIPE = f"""
schema = 1
name = "looks"
seeds = [0, 1]
{BACKBONE}[[eval]]
use = "two-afc"
judgments = {JUDGMENTS}
[[track]]
use = "jsonl"
[[arm]]
name = "random"
init = []
[[arm]]
name = "redrawn"
init = [{{ use = "random" }}]
"""
