"""Models and embeddings of other libraries: exported folders, timm, transformers, ONNX and functions."""

# B batch, M images, D embedding, S image size
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

from perceptinit.backbones.encoders import RGB, ImageTower
from perceptinit.backbones.image_models import ImageClassifier, ImageModel
from perceptinit.backbones.open_clip_backbone import OpenClip, find_published_fit
from perceptinit.errors import (
    STOPS,
    DataError,
    MissingPackageError,
    UsageError,
    reading,
    shown,
    summarize_error,
)
from perceptinit.evaluators.judged import GivenEmbeddings
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.files.reading import ABOUT, CLASSIFIER, read_json
from perceptinit.initializers.imagenet import download, fit
from perceptinit.judgments.own.rdm_files import read_names
from perceptinit.library.adapters import adapt
from perceptinit.library.tower import MAP
from perceptinit.results.loading import Undrawn
from perceptinit.seeding import named_torch_seed
from perceptinit.types import FitMode

OPEN_CLIP = "open_clip_config.json"
CONFIG = "config.json"
ONNX = "image.onnx"
TIMM_FITS: dict[str, FitMode] = {"center": "center-crop", "squash": "squash", "border": "pad"}
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl")
CONVERT = (
    "import torch; from safetensors.torch import save_file; "
    "w = torch.load('{0}', map_location='cpu', weights_only=True); "
    "save_file({{k: v.contiguous() for k, v in w.items()}}, '{1}')"
)
NUM_IMAGENET = 1000
NUMBERS = "fiu"  # kinds of NumPy types: floats and integers
DEFAULT_SIZE = 224  # of a function that does not state its image size


def refuse_pickle(source: str) -> None:
    """Raise UsageError with the command that converts a file, if it is a pickled checkpoint."""
    path = Path(source)
    if path.suffix in PICKLES:
        code = CONVERT.format(path, path.with_suffix(".safetensors").name)
        raise UsageError(
            f"{source}: pickled weights are not loaded, because they can execute code. Convert them "
            f'(docs/export.md): python -c "{code}"'
        )


def is_exported(folder: Path) -> bool:
    """Return whether a folder contains a model of open_clip, timm, transformers or ONNX."""
    return any((folder / name).is_file() for name in (OPEN_CLIP, CONFIG, ONNX))


def read_about(folder: Path) -> dict[str, Any]:
    """Return what `perceptinit export` states about a folder: fit and judgments; empty for other folders."""
    path = folder / ABOUT
    return read_json(path, dict[str, Any], "the description of an export") if path.is_file() else {}


def load_exported(folder: Path) -> Any:
    """Return the model of a folder, in eval mode, with the folder's image size and preprocessing."""
    model = folder / OPEN_CLIP
    if model.is_file():
        weights = str(folder / "open_clip_model.safetensors")
        published = find_published_fit(str(model), "")
        config = OpenClip.Config(model=str(model), pretrained=weights, fit=published)
        return OpenClip(config).build().eval()
    if (folder / ONNX).is_file():
        return _load_onnx(folder)
    about = read_json(folder / CONFIG, dict[str, Any], "a configuration")
    if "pretrained_cfg" not in about:
        return _load_transformers(folder)
    return load_timm(about["architecture"], str(folder / "model.safetensors"))


def load_timm(model: str, weights: str) -> Any:
    """Return a timm model with pooled features as embeddings, in eval mode.

    weights: A tag; a .safetensors file, with the preprocessing in a `config.json` next to it; or empty.
    """
    if not weights:
        return _timm(model)
    if not weights.endswith(".safetensors"):
        file, about = download(model, weights)
        return _timm(model, load_weights(file), vars(about), source=f"{file} ({model})")
    config = Path(weights).parent / CONFIG
    stated = read_json(config, dict[str, Any], "a configuration") if config.is_file() else {}
    is_mapped = read_about(config.parent).get("embedding") == CLASSIFIER
    args = stated.get("model_args") or {}
    found = {n.removeprefix("timm_model."): weight for n, weight in load_weights(Path(weights)).items()}
    embedding_map = found.pop(f"{MAP}.weight", None)
    num_classes = stated["num_classes"] if is_mapped else 0
    loaded = _timm(model, found, stated.get("pretrained_cfg"), args, f"{weights} ({model})", num_classes)
    return loaded if embedding_map is None else _with_map(loaded.image, embedding_map)


def _timm(
    architecture: str,
    weights: Mapping[str, Tensor] | None = None,
    about: Mapping[str, Any] | None = None,
    args: Mapping[str, Any] = {},
    source: str = "",
    num_classes: int = 0,
) -> ImageModel:
    """Return a timm model with pooled features or logits as embeddings, for timm's configuration `about`."""
    with named_torch_seed(0, "backbone"), nullcontext() if weights is None else Undrawn():
        trunk: Any = timm.create_model(architecture, num_classes=num_classes, **args)
    about = about or trunk.pretrained_cfg
    if weights is not None:
        fitted = weights if num_classes else fit(weights, trunk)[0]
        load_strict(trunk, fitted, source)
    tower = ImageTower(
        trunk,
        nn.Identity(),
        image_size=about["input_size"][-1],
        embed_dim=num_classes or trunk.num_features,
        mean=about["mean"],
        std=about["std"],
        fresh=lambda: _timm(architecture, None, about, args).image,
        fit=TIMM_FITS[about.get("crop_mode") or "center"],
    )
    tower.crop = about.get("crop_pct") or 1.0
    model = (
        ImageModel(tower) if num_classes else _with_classifier(tower, weights or {}, about.get("classifier"))
    )
    return model.eval()


def _with_map(tower: ImageTower, weight: Tensor) -> ImageModel:
    """Return a model with the layer that initializer `linear` added to a timm model in Python, (D, D)."""
    tower.projection = nn.Linear(tower.embed_dim, tower.embed_dim, bias=False)
    load_strict(tower.projection, {"weight": weight}, f"the layer {MAP}")
    return ImageModel(tower).eval()


def _with_classifier(tower: ImageTower, weights: Mapping[str, Tensor], name: Any) -> ImageModel:
    """Return a model with the linear classifier `name` of ImageNet's 1,000 classes, if the weights have one.

    The classes are named by their numbers, from 0.
    """
    weight = weights.get(f"{name}.weight")
    if weight is None or weight.numel() != NUM_IMAGENET * tower.embed_dim:
        return ImageModel(tower)
    model = ImageClassifier(tower, list(map(str, range(NUM_IMAGENET))))
    model.head.load_state_dict({"weight": weight.reshape(NUM_IMAGENET, -1), "bias": weights[f"{name}.bias"]})
    return model


def _load_transformers(folder: Path) -> ImageModel:
    """Return a model of transformers, with the preprocessing of its image processor."""
    for file in folder.glob("*.bin"):
        refuse_pickle(str(file))
    try:
        from transformers import AutoImageProcessor, AutoModel
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{folder}: a model of transformers. Install it: pip install 'perceptinit[huggingface]'"
        ) from error
    logging.disable_progress_bar()
    try:
        model = AutoModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder}: transformers cannot load it: {error}") from error
    size = dict(getattr(processor, "crop_size", None) or processor.size)
    is_cropped = getattr(processor, "do_center_crop", None) and "shortest_edge" in processor.size
    mode: FitMode = "center-crop" if is_cropped else "squash"
    if "Janus" in type(processor).__name__:
        mode = "pad"
    tower = adapt(
        model.eval(),
        image_size=size.get("height"),
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        fit=mode,
    )
    if is_cropped:
        tower.crop = tower.image_size / processor.size["shortest_edge"]
    return ImageModel(tower).eval()


def _load_onnx(folder: Path) -> ImageModel:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"{folder}: an ONNX model. Install it: pip install onnxruntime") from error
    session = onnxruntime.InferenceSession(folder / ONNX)

    about = read_about(folder)
    mean = about.get("mean", (0.0, 0.0, 0.0))  # the color of margins

    def encode(images: Tensor) -> Tensor:
        # the file contains the normalization, so the tower's is undone
        pixels = images.cpu() + torch.tensor(mean).view(-1, 1, 1)
        (embeddings,) = session.run(None, {"images": pixels.numpy()})
        return torch.from_numpy(embeddings)

    size = session.get_inputs()[0].shape[-1]
    return _as_model(encode, size, mean, mode=about.get("fit", "center-crop"))


class _Encode(nn.Module):
    """A function from images to embeddings, as a module."""

    def __init__(self, encode: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.encode = encode

    def forward(self, images: Tensor) -> Tensor:
        return self.encode(images)


def _as_model(
    encode: Callable[[Tensor], Tensor],
    size: int,
    mean: RGB = (0.0, 0.0, 0.0),
    std: RGB = (1.0, 1.0, 1.0),
    mode: FitMode = "center-crop",
) -> ImageModel:
    """Return a function of normalized images as a model."""
    tower = ImageTower(
        _Encode(encode),
        nn.Identity(),
        image_size=size,
        embed_dim=encode(torch.zeros(1, 3, size, size)).shape[1],
        mean=mean,
        std=std,
        fresh=lambda: tower,
        fit=mode,
    )
    return ImageModel(tower).eval()


def load_function(source: str) -> ImageModel:
    """Return the model of `package.module:function`, which is imported and called without arguments.

    The function returns a model that `apply_perceptual_init` accepts, or a function from images
    (B, 3, S, S) in [0, 1] to embeddings (B, D). The attributes `image_size`, `mean`, `std` and `fit` of such
    a function are used.

    Raises:
        UsageError: If the function cannot be imported or called, or returns something else.
    """
    try:
        return _call(*source.split(":"))
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error
    except STOPS:
        raise
    except BaseException as error:  # a user's code raises arbitrary exceptions
        raise UsageError(f"{source}: failed with {summarize_error(error)}") from error


def _call(module: str, name: str) -> ImageModel:
    here = str(Path.cwd())
    sys.path.insert(0, here)  # as for `python -m`
    try:
        found = getattr(importlib.import_module(module), name)()
    finally:
        sys.path.remove(here)
    if isinstance(found, nn.Module):
        return ImageModel(adapt(found.eval())).eval()
    if not callable(found):
        raise UsageError(f"returns {type(found).__name__}, not a model or a function of images")
    given = {key: getattr(found, key) for key in ("mean", "std") if hasattr(found, key)}
    mode: FitMode = getattr(found, "fit", "center-crop")
    with torch.no_grad():
        return _as_model(found, getattr(found, "image_size", DEFAULT_SIZE), **given, mode=mode)


def read_embeddings(path: Path) -> GivenEmbeddings:
    """Return embeddings in a .parquet file (columns image, embedding), or a .npy file with a .txt of names.

    Raises:
        DataError: If the file cannot be read, names and rows differ in number, or a row has no name, a value
            that is not finite, or no direction.
    """
    if path.suffix == ".npy":
        names = read_names(path.with_suffix(".txt"))
        with reading(f"{path}: not a readable .npy file of numbers", ValueError, OSError):
            # a memory map compares the stated size with the file
            stored = np.load(path, mmap_mode="r", allow_pickle=False)
        if stored.dtype.kind not in NUMBERS:
            raise DataError(f"{path}: values of type {stored.dtype}. Save floats or integers")
        rows = stored.astype(np.float64)
    else:
        import pyarrow
        from pyarrow import parquet

        what = f"{path}: cannot read columns image and embedding"
        with reading(what, pyarrow.ArrowException, OSError, KeyError, ValueError, TypeError):
            table = parquet.read_table(path, columns=["image", "embedding"])
            names = table.column("image").to_pylist()
            rows = np.array(table.column("embedding").to_pylist(), np.float64)
    if rows.ndim != 2 or len(rows) != len(names):
        raise DataError(f"{path}: {len(names)} names for embeddings of shape {rows.shape}")
    _check_rows(path, names, rows)
    return GivenEmbeddings(str(path), names, torch.from_numpy(rows))


def _check_rows(path: Path, names: Sequence[Any], rows: np.ndarray) -> None:
    """Raise DataError for the first row without a name or a direction, counted from 1."""
    problems = {
        "has no image name": np.array([not isinstance(name, str) or not name for name in names], dtype=bool),
        "contains values that are not finite": ~np.isfinite(rows).all(axis=1),
        "contains only zeros, which have no direction": ~rows.any(axis=1),
    }
    for problem, is_bad in problems.items():
        if is_bad.any():
            first = int(is_bad.argmax())
            more = f" ({is_bad.sum():,} such rows)" if is_bad.sum() > 1 else ""
            raise DataError(
                f"{path}, row {first + 1} ({shown(names[first])}): {problem}{more}. Remove the row"
            )
