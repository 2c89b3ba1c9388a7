"""SigLIP for perceptinit."""

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_pretrainers() -> list[Component]:
    return [
        Component(
            name="siglip/sigmoid",
            target="perceptinit_siglip.sigmoid:Sigmoid",
            summary="SigLIP: every image-text pair of a batch is a yes-no question (Zhai et al. 2023)",
        )
    ]
