"""The model card of an exported folder, with usage, scores, data, licenses and recipe."""

import html
import re
from collections.abc import Iterable
from typing import Any

from perceptinit.components.building import read_spec
from perceptinit.exporting.source import TrainedRun
from perceptinit.results.runs import samples_in_words
from perceptinit.types import DataCard

LIBRARY = {"timm": "timm", "open-clip": "open_clip", "huggingface": "transformers"}

FITS = {
    "center-crop": "the shorter side is resized and the center is cropped",
    "squash": "both sides are resized, ignoring the aspect ratio",
    "pad": "the longer side is resized and borders of the mean color are added",
}


def model_card(run: TrainedRun, target: str, usage: str) -> str:
    """Return a model card for the Hugging Face Hub, with YAML front matter."""
    record = run.record
    lines = [
        "---",
        "license: other",
        f"library_name: {LIBRARY.get(target, 'pytorch')}",
        "tags: [perceptinit, perceptual-initialization, clip]",
        "---",
        f"# {_text(run.title)}",
        "",
        _text(record["arm"]["summary"] or record["recipe"]["summary"]),
        "",
        f"Trained with perceptinit {record['environment']['packages'].get('perceptinit', '')} on "
        f"{record['finished']}. Weights: sha256 {record['hashes']['final']['model']} (names and values).",
        "",
        "## Usage",
        "",
        f"```python\n{usage}```",
        "",
        f"Input size: {run.model.image_size} x {run.model.image_size} pixels. Mean: {_numbers(run.mean)}. "
        f"Std: {_numbers(run.std)}.",
        f'Non-square images (`fit = "{run.model.fit.mode}"`): {FITS[run.model.fit.mode]}.',
        "",
        "## Scores",
        "",
        *_score_lines(record["scores"], samples_in_words([record])),
        "",
        "## Human data",
        "",
        *(_data_lines(run) or ["None: this arm uses no human judgments."]),
        "",
        "## License",
        "",
        "The training data, listed above and in the recipe, have their own licenses. Check them before you "
        "share the weights. The license of perceptinit is Apache-2.0.",
        "",
        "## Recipe",
        "",
        _fence("toml", record["recipe"]["text"].strip()),
        *[_fence("", f"--set {override}") for override in record["recipe"]["overrides"]],
        "",
    ]
    return "\n".join(lines)


def _text(text: str) -> str:
    """Return a text with HTML escaped."""
    return html.escape(text, quote=False)


def _fence(language: str, text: str) -> str:
    """Return a code block whose fence is longer than all fences in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _score_lines(rows: list[dict[str, Any]], samples: str) -> list[str]:
    last = max((row["samples_seen"] for row in rows), default=0)
    final = {row["name"]: row for row in rows if row["samples_seen"] == last}
    lines = ["| score | value | standard error | chance | examples |", "|---|---|---|---|---|"]
    for name, row in final.items():
        numbers = [row[key] for key in ("value", "stderr", "chance")]
        cells = ["" if number is None else f"{number:.4f}" for number in numbers]
        lines.append(
            f"| {_text(name).replace('|', chr(92) + '|')} | {' | '.join(cells)} | {row['num_examples']:,} |"
        )
    return [f"After {last:,} {samples}:", "", *lines] if final else ["No scores."]


def _data_lines(run: TrainedRun) -> list[str]:
    resolved = run.record["arm"]["resolved"]
    lines = []
    for table in (*resolved["init"], *resolved["posthoc"]):
        judgments = table
        while judgments := judgments.get("judgments"):  # wrappers contain further judgments
            name = judgments["use"]
            spec, _ = read_spec(run.plugins.registry, "judgments", judgments, "judgments")
            if spec is None:  # for example, its plug-in is not installed
                lines.append(f"* {_text(name)}")
                continue
            card: DataCard = spec.build().card
            simulated = " Simulated, not human data." if card.simulated else ""
            lines.append(f"* `{name}`: {card.title}. License: {card.licence}. {card.citation}.{simulated}")
    return list(dict.fromkeys(lines))
