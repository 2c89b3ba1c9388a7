"""From a run to a folder that another library loads with its normal call: one file per target.

A new target: add its file with `write(run, folder) -> str`, which returns the code that loads the
folder, one line below, its round-trip test and its row in docs/export.md.
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from perceptinit.errors import MissingPackageError, UsageError
from perceptinit.registry import unknown

# target -> module
TARGETS = {
    "timm": "perceptinit.exporting.timm_folder",
    "open-clip": "perceptinit.exporting.open_clip_folder",
    "huggingface": "perceptinit.exporting.huggingface_folder",
    "onnx": "perceptinit.exporting.onnx_files",
}
# target -> package that it needs beyond the core, in an extra of the target's name
PACKAGES = {"huggingface": "transformers", "onnx": "onnx"}


def export(run: Path, target: str, folder: Path) -> Path:
    """Write a run's final weights for `target` into a new folder, with a model card.

    run: a run's folder, `OUT/<recipe>/<arm>/seed<k>`.

    Raises UsageError for an unknown target, a run that is not finished, a folder that exists, or a
    model that the target cannot express, and MissingPackageError for a package that is not installed.
    Nothing is left behind then.
    """
    from perceptinit.exporting.card import model_card
    from perceptinit.exporting.source import open_run

    if target == "torchscript":
        raise UsageError("TorchScript export was removed in 0.2. Use --to onnx, which takes any model")
    if target not in TARGETS:
        raise UsageError(unknown("no export target called", target, TARGETS))
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: exists and is not empty. Choose another place with --out")
    source = open_run(run)
    package = PACKAGES.get(target)
    if package and find_spec(package) is None:
        raise MissingPackageError(
            f"export to {target} needs the package '{package}'. Install it: pip install 'perceptinit[{target}]'"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        temporary = Path(name) / folder.name
        temporary.mkdir()
        usage = import_module(TARGETS[target]).write(source, temporary)
        card = model_card(source, target, usage)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    return folder


def push(folder: Path, repository: str) -> str:
    """Upload an exported folder to the Hugging Face hub and return its address.

    Raises UsageError when the user is not logged in there, or the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    try:
        api.whoami()
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repository)
    except LocalTokenNotFoundError as error:
        raise UsageError(
            f"{folder} is written, but not pushed: log in to the hub first (hf auth login)"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise UsageError(f"{folder} is written, but not pushed to {repository}: {error}") from error
    return f"https://huggingface.co/{repository}"
