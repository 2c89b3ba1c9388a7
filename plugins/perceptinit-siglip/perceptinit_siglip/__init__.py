"""SigLIP for perceptinit."""

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_pretrainers() -> list[Component]:
    return [
        Component(
            name="siglip/sigmoid",
            target="perceptinit_siglip.sigmoid:Sigmoid",
            summary="SigLIP: binary classification of all image-text pairs of a batch (Zhai et al. 2023)",
        )
    ]
