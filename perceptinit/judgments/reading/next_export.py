"""The answers in NEXT's JSON of its participants, put into the columns of its CSV.

    {"participant_responses": {"PERSON": [
        {"target_indices": [{"label": "center", "target_id": 0, "primary_description": "a.png"}, ...],
         "target_winner": 2}, ...]}}

`target_winner` is the `target_id` of the image that was chosen. Until 2015 it was `index_winner`, an `index`, and
each image stood in `target`. What was not answered has neither.

Source: NEXT-psych, next/api/resources/participants.py and apps/PoolBasedTripletMDS/myApp.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from perceptinit.files.reading import misfit

PARTICIPANTS = "participant_responses"
# the keys that number the images of a question, with the one that names the answer
NUMBERS = {"target_id": "target_winner", "index": "index_winner"}
COLUMNS = {"center": "Center", "left": "Left", "right": "Right"}


def is_export(value: Any) -> bool:
    """Whether a JSON value is such an export."""
    return isinstance(value, dict) and isinstance(value.get(PARTICIPANTS), dict)


def answers_in(export: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row of `Participant ID`, `Center`, `Left`, `Right` and `Answer` for each question of an export.

    `Answer` is None where there was none. Raises ValueError for what is not laid out so.
    """
    for person, questions in export[PARTICIPANTS].items():
        where = f"{PARTICIPANTS}.{person}"
        if wrong := misfit(questions, [{"target_indices": [{"label": str}]}], where):
            raise ValueError(wrong)
        for number, question in enumerate(questions):
            try:
                yield {"Participant ID": person, **_answer(question)}
            except ValueError as error:
                raise ValueError(f"{where}[{number}]: {error}") from error


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    images = {image["label"]: image for image in question["target_indices"]}
    if not images.keys() >= COLUMNS.keys():
        raise ValueError("no center, left and right, as questions of PoolBasedTripletMDS have")
    shown = {column: _name(images[label]) for label, column in COLUMNS.items()}
    for number, winner in NUMBERS.items():
        if question.get(winner) is not None:
            chosen = [
                _name(image) for image in images.values() if _is(image, number, question[winner])
            ]
            if len(chosen) != 1:
                raise ValueError(
                    f"{winner} {question[winner]!r} is the {number} of {len(chosen)} images"
                )
            return {**shown, "Answer": chosen[0]}
    return {**shown, "Answer": None}


def _is(image: Mapping[str, Any], key: str, value: object) -> bool:
    return key in image and image[key] == value


def _name(image: Mapping[str, Any]) -> Any:
    """Return what an image is called: its description, which is a URL or a file as a rule, else its number."""
    target = image.get("target")
    about = {**image, **target} if isinstance(target, dict) else image
    keys = ("primary_description", "target_id", "index")
    name = next((about[key] for key in keys if about.get(key) is not None), None)
    if not isinstance(name, str | int):
        raise ValueError(f"image '{image['label']}' has no primary_description and no target_id")
    return name
