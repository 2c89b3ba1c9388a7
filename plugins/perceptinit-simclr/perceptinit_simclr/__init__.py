"""SimCLR for perceptinit."""

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_pretrainers() -> list[Component]:
    return [
        Component(
            name="simclr/nt-xent",
            target="perceptinit_simclr.simclr:SimCLR",
            summary="SimCLR: two views of an image find each other among those of a batch (Chen et al. 2020)",
        )
    ]
