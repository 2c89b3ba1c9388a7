"""Scores in events, which other processes and trackers receive as JSON."""

import json
from dataclasses import asdict, fields

import numpy as np

from perceptinit.types import Items, Score


def test_a_score_without_arrays_is_json_whatever_its_fields_hold():
    values = Items(np.zeros(2), np.zeros((2, 3), dtype=int))
    arrays = {
        each.name: np.zeros(2, np.int8) if "ndarray" in str(each.type) else values
        for each in fields(Score)
        if "Items" in str(each.type) or "ndarray" in str(each.type)
    }
    assert {"items", "pseudo_items", "choices"} <= arrays.keys()
    score = Score(name="2afc/mine", value=0.7, **arrays)
    assert json.loads(json.dumps(asdict(score.without_arrays())))["value"] == 0.7
