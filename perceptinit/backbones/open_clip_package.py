"""open_clip, imported without transformers, which takes a second and serves only text towers of Hugging Face.

transformers is imported when such a tower is built. Nothing changes if open_clip has been imported before.
"""

import importlib
import sys
from typing import Any

if not {"open_clip", "transformers"} & sys.modules.keys():
    sys.modules["transformers"] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        import open_clip
    finally:
        del sys.modules["transformers"]
    from open_clip import hf_model

    _build = hf_model.HFTextEncoder.__init__

    def _build_with_transformers(tower: Any, *args: Any, **kwargs: Any) -> None:
        """Import transformers into open_clip's module, whose classes share its names, and build the tower."""
        type(tower).__init__ = _build
        importlib.reload(hf_model)
        _build(tower, *args, **kwargs)

    hf_model.HFTextEncoder.__init__ = _build_with_transformers

import open_clip

__all__ = ["open_clip"]
