#!/usr/bin/env bash
# Install the wheel with the lowest versions that pyproject.toml claims, and with the newest of the index, each
# into a fresh environment; run a recipe shrunk to seconds, the library's example, and all tests with those of
# the GPU on paper. Run it after each release of torch. Needs a network, 10 GB and about 15 minutes for each.
#
#   benchmarks/check_dependencies.sh            both
#   benchmarks/check_dependencies.sh lowest     one of: lowest, newest
#   benchmarks/check_dependencies.sh open-clip PATH    the tests of open_clip against its source tree in PATH
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ "${1:-}" = open-clip ]; then
  # the environment of `make test` behind the source tree, in all processes: tests start some without PYTHONPATH
  source=$(cd "$2/src" && pwd)
  installed=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  .venv/bin/python -m venv --without-pip "$work/venv"
  printf '%s\nimport site; site.addsitedir("%s")\n' "$source" "$installed" >"$(echo "$work"/venv/lib/python*/site-packages)/source.pth"
  "$work/venv/bin/python" -c 'import open_clip; print(open_clip.__file__, open_clip.__version__)'
  OMP_NUM_THREADS=1 "$work/venv/bin/python" -m pytest -q -n auto -m 'slow or not slow' \
    tests/backbones tests/exporting tests/pretrainers/test_clip.py tests/library/test_api.py
  exit
fi

python3 -m venv "$work/build"
"$work/build/bin/python" -m pip install --quiet build
"$work/build/bin/python" -m build --wheel --outdir "$work/dist" >/dev/null
wheel=$(ls "$work"/dist/*.whl)
# every lower bound of pyproject.toml as an exact version; test tools are the newest in both
python3 -c '
import re, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
lines = project["dependencies"] + [line for name in extras if name not in ("test", "docs") for line in extras[name]]
for line in lines:
    print(re.sub(r"\s*>=\s*([\w.]+).*", r"==\1", line))
' >"$work/lowest.txt"
touch "$work/newest.txt"

for which in ${1:-lowest newest}; do
  python3 -m venv "$work/$which"
  "$work/$which/bin/python" -m pip install --quiet --upgrade pip
  "$work/$which/bin/python" -m pip install --quiet "$wheel[test]" --constraint "$work/$which.txt"
  echo "== $which"
  "$work/$which/bin/python" -m pip list --format freeze |
    grep -iE '^(numpy|open_clip_torch|pillow|pluggy|pyarrow|pydantic|rich|scipy|timm|torch|torchvision|typer)=='
  cd "$work"
  export PERCEPTINIT_PLUGINS=''
  "$work/$which/bin/perceptinit" --version
  "$work/$which/bin/perceptinit" run "$root/recipes/quickstart.toml" --smoke --out "runs-$which" >/dev/null
  "$work/$which/bin/perceptinit" run "$root/recipes/quickstart.toml" --smoke --out "runs-$which-fsdp" \
    --arm random --nproc 2 --set 'pretrain.sharding="fsdp"' >/dev/null
  # its data are missing, which fails after the cost of its model has been counted
  { "$work/$which/bin/perceptinit" validate "$root/recipes/pi_clip_yfcc.toml" 2>/dev/null || true; } |
    grep 'training step costs'
  "$work/$which/bin/python" -c '
import timm
from perceptinit import apply_perceptual_init
model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=16, depth=1)
few = ("synthetic", {"num_train": 16, "num_val": 8})
report = apply_perceptual_init(model, judgments=few, epochs=1, batch_size=8, progress=False, cache=False)
print(len(report.changed), "tensors changed")'
  # the tests of the last commit
  git clone --quiet "$root" "$work/checkout-$which"
  cd "$work/checkout-$which"
  unset PERCEPTINIT_PLUGINS
  "$work/$which/bin/python" -m pip install --quiet --no-deps --editable .
  OMP_NUM_THREADS=1 "$work/$which/bin/python" -m pytest -q -n auto --dist worksteal
  cd "$root"
done
