"""Export a run to a folder that another library can load, with one module per target.

To add a target, write a module with `write(run, folder) -> Written`. Add an entry to `TARGETS`, a round-trip
test, and a row in docs/export.md.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceptinit.errors import MissingPackageError, UsageError
from perceptinit.files.atomic import atomic_folder, write_json
from perceptinit.files.reading import ABOUT, CLASSIFIER, SUMS, file_sha256
from perceptinit.registry import unknown

if TYPE_CHECKING:
    from perceptinit.recipe.recipe import Recipe

# target -> module
TARGETS = {
    "timm": "perceptinit.exporting.timm_folder",
    "open-clip": "perceptinit.exporting.open_clip_folder",
    "huggingface": "perceptinit.exporting.huggingface_folder",
    "onnx": "perceptinit.exporting.onnx_files",
}
# target -> required package; the extra of the target installs it
PACKAGES = {"huggingface": "transformers", "onnx": "onnx"}


def export(run: Path, target: str, folder: Path) -> Path:
    """Write the final weights of a run, a model card and the hashes of all files to a new folder.

    No files are left after an error. The next export to the folder removes those of a killed process.

    Args:
        run: Folder of a run, `OUT/<recipe>/<arm>/seed<k>`.
        target: A key of `TARGETS`.
        folder: New folder.

    Raises:
        UsageError: If the target is unknown or does not support the model, the run is not finished, or the
            folder is not empty.
        MissingPackageError: If a required package is not installed.
    """
    from perceptinit.exporting.source import model_card, open_run

    if target not in TARGETS:
        raise UsageError(unknown("no export target called", target, TARGETS))
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: the folder is not empty. Choose another one with --out")
    source = open_run(run)
    if (package := PACKAGES.get(target)) and find_spec(package) is None:
        raise MissingPackageError(
            f"export to {target} needs the package '{package}'. Install it: pip install "
            f"'perceptinit[{target}]'"
        )
    with atomic_folder(folder) as temporary:
        written = import_module(TARGETS[target]).write(source, temporary)
        (temporary / "README.md").write_text(model_card(source, target, written), encoding="utf-8")
        about: dict[str, Any] = {
            "fit": source.model.fit.mode,
            "mean": source.mean,
            "judgments": source.judgments,
        }
        if written.is_classifier:
            about["embedding"] = CLASSIFIER
        write_json(temporary / ABOUT, about)
        _write_sums(temporary)
    return folder


def _write_sums(folder: Path) -> None:
    """Write the SHA-256 of each file, and give files of other libraries the usual permissions."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        path.chmod((folder / "README.md").stat().st_mode)
    lines = [f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def find_refusal(recipe: Recipe) -> str:
    """Return why the models of a recipe cannot be exported to open_clip; empty if they can."""
    import torch

    from perceptinit.exporting.open_clip_folder import convert
    from perceptinit.exporting.source import TrainedRun

    try:
        with torch.device("meta"):
            model = recipe.backbone.build().build()
            named = {
                "recipe": {"name": recipe.name},
                "arm": {"name": recipe.baseline},
                "seed": recipe.seeds[0],
            }
            convert(TrainedRun(model, recipe.backbone.table(), named, recipe.plugins))
    except UsageError as error:
        return str(error)
    return ""


def push(folder: Path, repository: str) -> str:
    """Upload an exported folder to the Hugging Face Hub and return its URL.

    Raises:
        UsageError: If the user is not logged in, or the upload fails.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    try:
        api.whoami()
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repository)
    except LocalTokenNotFoundError as error:
        raise UsageError(f"{folder} was not pushed. Log in first: hf auth login") from error
    except (HfHubHTTPError, OSError) as error:
        raise UsageError(f"{folder} was not pushed to {repository}: {error}") from error
    return f"https://huggingface.co/{repository}"
