"""Read the configuration of an open_clip model: a name that open_clip knows, or a JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip

from perceptinit.errors import UsageError
from perceptinit.files.reading import parse_json, read_bytes
from perceptinit.registry import nearest


def read_table(model: str) -> dict[str, Any]:
    """Return the table of a model: `embed_dim`, `vision_cfg`, `text_cfg` and what else it has.

    model: a name, or the path of a file that ends in .json. In the layout of the Hugging Face hub
    (`model_cfg` beside `preprocess_cfg`) the second table comes along under its own key.

    Raises UsageError when it is unknown, unreadable, or the model of three towers (CoCa).
    """
    table = _read_file(Path(model)) if model.endswith(".json") else _look_up(model)
    if "multimodal_cfg" in table:
        raise UsageError(f"open_clip model '{model}' has a generative tower (CoCa): choose another")
    return table


def _look_up(name: str) -> dict[str, Any]:
    known = open_clip.list_models()
    if name not in known:
        guess = nearest(name, known)
        hint = f" Did you mean '{guess}'?" if guess else ""
        raise UsageError(
            f"open_clip has no model '{name}'.{hint} All names: open_clip.list_models(); "
            "the name of a file must end in .json"
        )
    return open_clip.get_model_config(name)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        whole = parse_json(read_bytes(path).decode("utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable as JSON ({error})") from error
    whole = whole if isinstance(whole, dict) else {}
    table = dict(whole.get("model_cfg", whole))
    missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in table]
    if missing:
        raise UsageError(
            f"{path}: not the configuration of an open_clip model, it lacks {', '.join(missing)}"
        )
    if "preprocess_cfg" in whole:
        table["preprocess_cfg"] = whole["preprocess_cfg"]
    return table


def square_side(size: Any, model: str) -> int:
    """Return the side of an `image_size` that is a number or two equal ones; else UsageError."""
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise UsageError(
            f"open_clip model '{model}' takes images of {size} pixels; here they are square"
        )
    return sides.pop()


def find_pretrained_problem(model: str, pretrained: str) -> str | None:
    """Return why weights cannot be loaded, None when nothing speaks against it before the download.

    pretrained: a tag of the model, or the path of a file that ends in .safetensors.
    """
    if pretrained.endswith(".safetensors"):
        return None if Path(pretrained).is_file() else f"pretrained = '{pretrained}': no such file"
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained not in tags:
        return (
            f"pretrained = '{pretrained}': neither a .safetensors file nor a tag of '{model}'. "
            f"Tags: {', '.join(tags) or 'none'}"
        )
    trained = bool(open_clip.get_pretrained_cfg(model, pretrained).get("quick_gelu"))
    if trained != bool(read_table(model).get("quick_gelu")):
        return (
            f"pretrained = '{pretrained}' was trained {'with' if trained else 'without'} QuickGELU, "
            f"unlike model '{model}': choose the model with{'' if trained else 'out'} -quickgelu in its name"
        )
    return None
