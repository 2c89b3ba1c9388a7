"""Checks both components against perceptinit's contract."""

from pathlib import Path
from typing import Any

import numpy as np
from perceptinit.testing import EvaluatorContract, JudgmentsContract
from PIL import Image

from acme_piles.piles import Piles
from acme_piles.unanimous import Unanimous


class TestPiles(JudgmentsContract):
    component = Piles

    def options(self, tmp_path: Path) -> dict[str, Any]:
        """Return keys for 16 images that three participants sorted into three piles."""
        rows = ["subject,image,pile"]
        for i in range(16):
            Image.fromarray(np.full((8, 8, 3), i * 15, dtype=np.uint8)).save(tmp_path / f"{i}.png")
            rows += [f"{name},{i}.png,{(i + i // (5 + k)) % 3}" for k, name in enumerate("abc")]
        (tmp_path / "piles.csv").write_text("\n".join(rows))
        return {"path": str(tmp_path / "piles.csv"), "images": str(tmp_path)}


class TestUnanimous(EvaluatorContract):
    component = Unanimous
