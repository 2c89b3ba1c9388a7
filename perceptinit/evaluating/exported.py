"""Models in folders that `perceptinit export` wrote, with the input size and preprocessing of the folder."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.backbones.encoders import DualTower, ImageTower
from perceptinit.backbones.image_models import ImageModel
from perceptinit.backbones.open_clip_backbone import OpenClip, find_published_fit
from perceptinit.backbones.text import TextTower, clip_tokenizer
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.files.reading import read_json
from perceptinit.types import FitMode

TIMM_FITS: dict[str, FitMode] = {"center": "center-crop", "squash": "squash", "border": "pad"}


def find_exported(folder: Path) -> Callable[[], Any] | None:
    """Return the function that loads an exported folder in eval mode; None for other folders."""
    if (folder / "open_clip_config.json").is_file():
        return partial(_open_clip, folder)
    if (folder / "preprocessing.json").is_file():
        return partial(_onnx, folder)
    config = folder / "config.json"
    about = read_json(config, dict[str, Any], "a configuration") if config.is_file() else {}
    if "pretrained_cfg" in about:
        return partial(_timm, folder, about)
    return partial(_clip, folder) if about.get("model_type") == "clip" else None


def has_text(folder: Path) -> bool:
    """Return whether an exported folder contains a text tower."""
    is_clip = (folder / "open_clip_config.json").is_file() or (folder / "tokenizer_config.json").is_file()
    return is_clip or (folder / "text.onnx").is_file()


class _Tower(nn.Module):
    """A tower of another library.

    Args:
        encode: Maps inputs to embeddings.
        owner: Module whose weights `encode` uses.
    """

    config = SimpleNamespace(pad_token_id=0)

    def __init__(self, encode: Callable[[Tensor], Tensor], owner: nn.Module | None = None) -> None:
        super().__init__()
        self.owner = owner
        self._encode = encode

    def forward(self, inputs: Tensor) -> Tensor:
        return self._encode(inputs)


def _image_tower(trunk: nn.Module, size: int, mean: Any, std: Any, fit: FitMode | None) -> ImageTower:
    with torch.no_grad():
        embed_dim = trunk.eval()(torch.zeros(1, 3, size, size)).shape[1]
    return ImageTower(
        trunk,
        nn.Identity(),
        image_size=size,
        embed_dim=embed_dim,
        mean=mean,
        std=std,
        fresh=lambda: _image_tower(trunk, size, mean, std, fit),
        fit=fit,
    )


def _open_clip(folder: Path) -> Any:
    model = str(folder / "open_clip_config.json")
    weights = str(folder / "open_clip_model.safetensors")
    config = OpenClip.Config(model=model, pretrained=weights, fit=find_published_fit(model, ""))
    return OpenClip(config).build().eval()


def _timm(folder: Path, about: Mapping[str, Any]) -> Any:
    import timm

    trunk = timm.create_model(about["architecture"], num_classes=0, **about["model_args"])
    weights = load_weights(folder / "model.safetensors")
    load_strict(trunk, {name.removeprefix("timm_model."): w for name, w in weights.items()}, str(folder))
    cfg = about["pretrained_cfg"]
    fit = TIMM_FITS[cfg["crop_mode"]]
    return ImageModel(_image_tower(trunk, cfg["input_size"][-1], cfg["mean"], cfg["std"], fit)).eval()


def _clip(folder: Path) -> Any:
    from transformers import AutoImageProcessor, CLIPModel

    model: Any = CLIPModel.from_pretrained(folder).eval()
    processor: Any = AutoImageProcessor.from_pretrained(folder)
    fit: FitMode = "center-crop" if processor.size.get("shortest_edge") else "squash"
    if type(processor).__name__.startswith("Janus"):
        fit = "pad"

    def encode_image(images: Tensor) -> Tensor:
        return model.visual_projection(model.vision_model(pixel_values=images).pooler_output)

    def encode_text(tokens: Tensor) -> Tensor:
        return model.text_projection(model.text_model(input_ids=tokens).pooler_output)

    size = model.config.vision_config.image_size
    trunk = _Tower(encode_image, model)
    image = _image_tower(trunk, size, processor.image_mean, processor.image_std, fit)
    length = model.config.text_config.max_position_embeddings
    return _dual(image, _Tower(encode_text), length, model.logit_scale.item())


def _onnx(folder: Path) -> Any:
    import onnxruntime

    def tower(name: str) -> _Tower:
        session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"))
        key = session.get_inputs()[0].name

        def encode(inputs: Tensor) -> Tensor:
            (found,) = session.run(None, {key: inputs.cpu().numpy()})
            return torch.from_numpy(found).to(inputs.device)

        return _Tower(encode)

    about = read_json(folder / "preprocessing.json", dict[str, Any], "a configuration")
    graph = tower("image")
    mean, std = (torch.tensor(about[key]).view(-1, 1, 1) for key in ("mean", "std"))
    # normalization is part of the graph, so that of the tower is reverted
    trunk = _Tower(lambda images: graph(images * std.to(images) + mean.to(images)))
    image = _image_tower(trunk, about["image_size"], about["mean"], about["std"], about["fit"])
    if "context_length" not in about:
        return ImageModel(image).eval()
    return _dual(image, tower("text"), about["context_length"])


def _dual(image: ImageTower, text: nn.Module, length: int, *scale: float) -> Any:
    return DualTower(image, TextTower(text, clip_tokenizer(), length), *scale).eval()
