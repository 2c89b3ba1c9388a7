"""SimCLR for perceptinit."""

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_pretrainers() -> list[Component]:
    return [
        Component(
            name="simclr/nt-xent",
            target="perceptinit_simclr.simclr:SimCLR",
            summary="SimCLR: contrasts two views of each image with the rest of the batch (Chen et al. 2020)",
        )
    ]
