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


@hookimpl
def perceptinit_pairs() -> list[Component]:
    return [
        Component(
            name="simclr/dead-leaves",
            target="perceptinit_simclr.dead_leaves:DeadLeaves",
            summary="drawn leaves that occlude each other (Lee et al. 2001), images without photographs",
        )
    ]
