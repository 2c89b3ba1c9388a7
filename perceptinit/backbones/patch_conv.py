"""The convolution that cuts an image into patches, as a product of matrices on a CPU."""

from __future__ import annotations

# B batch, C channels, H W image, h w patches, P patch side, D width
import torch
import torch.nn.functional as F
from torch import nn

from perceptinit.backbones.eager import is_eager_on_cpu


class PatchConv(nn.Conv2d):
    """A convolution over patches that do not overlap, with the parameters and results of nn.Conv2d.

    oneDNN is slow at its gradient by the kernel in bfloat16: both passes take 1.6 times as long as the product for
    224-pixel images in patches of 32 (AMD EPYC, one thread). Other devices, and passes that are recorded,
    take the convolution.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (B, D, h, w) of images (B, C, H, W)."""
        side = self.kernel_size[0]
        height, width = images.shape[-2:]
        if height % side or width % side or not is_eager_on_cpu(images):
            return super().forward(images)
        patches = images.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # (B, C, h, P, w, P)
        if images.is_contiguous(memory_format=torch.channels_last):
            # pixels are copied in the order in which they lie; the few weights follow it
            rows, kernel = patches.permute(0, 2, 4, 3, 5, 1), self.weight.permute(0, 2, 3, 1)
        else:
            rows, kernel = patches.permute(0, 2, 4, 1, 3, 5), self.weight
        return F.linear(rows.flatten(3), kernel.flatten(1), self.bias).permute(0, 3, 1, 2)


def use_products(trunk: nn.Module) -> None:
    """Make a PatchConv of each convolution of the trunk that cuts a colour image into patches."""
    for module in trunk.modules():
        if type(module) is nn.Conv2d and _cuts_patches(module):
            module.__class__ = PatchConv  # in place: the parameters keep their names and owners


def _cuts_patches(convolution: nn.Conv2d) -> bool:
    side = convolution.kernel_size
    return (
        convolution.in_channels == 3
        and side[0] == side[1]
        and convolution.stride == side
        and convolution.padding in ((0, 0), 0, "valid")
        and convolution.dilation == (1, 1)
        and convolution.groups == 1
    )
