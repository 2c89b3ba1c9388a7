"""Pixels of stimuli, decoded on first use."""

# M stimuli, B batch, S size: height and width of the square
import numpy as np
import torch

from perceptinit.images.decoding import load_batch
from perceptinit.images.encoded import place_of
from perceptinit.types import Fit, Stimuli


class StimulusImages:
    """Stimuli as square images: `images[indices]` returns uint8 (B, 3, S, S).

    Transparent pixels are blended with the stimuli's background color.

    Args:
        stimuli: The images.
        size: Height and width of the squares, pixels.
        fit: How images that are not square become square; `Fit.of(model)` for a network.
        num_workers: Number of decoding threads.
        cache_bytes: Decoded images are cached in memory if they all fit into this many bytes.
    """

    def __init__(
        self,
        stimuli: Stimuli,
        size: int,
        *,
        fit: Fit = Fit(),
        num_workers: int = 2,
        cache_bytes: int = 2**30,
    ) -> None:
        self.stimuli = stimuli
        self.size = size
        self.fit = fit
        self.num_workers = num_workers
        shape = (len(stimuli), 3, size, size)
        fits = int(np.prod(shape)) <= cache_bytes
        self._pixels = torch.empty(shape, dtype=torch.uint8) if fits else None
        self._is_decoded = np.zeros(len(stimuli), dtype=bool)

    @property
    def num_bytes(self) -> int:
        """Size of the cache, which is 0 if it cannot contain all images."""
        return 0 if self._pixels is None else self._pixels.nbytes

    def __getitem__(self, indices: np.ndarray) -> torch.Tensor:
        """Return the images at `indices`; DataError naming an image that cannot be decoded."""
        if self._pixels is None:
            return self._load(indices)
        missing = np.unique(indices[~self._is_decoded[indices]])
        if missing.size:
            self._pixels[missing] = self._load(missing)
            self._is_decoded[missing] = True
        return self._pixels[indices]

    def _load(self, indices: np.ndarray) -> torch.Tensor:
        sources = [self.stimuli.images[i] for i in indices]
        keys = [place_of(source, self.stimuli.ids[i]) for source, i in zip(sources, indices, strict=True)]
        return load_batch(sources, keys, self.size, self.fit, self.num_workers, self.stimuli.background)
