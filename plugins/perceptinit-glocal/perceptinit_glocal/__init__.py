"""Linear alignment with human judgments for perceptinit."""

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_initializers() -> list[Component]:
    return [
        Component(
            name="glocal/linear",
            target="perceptinit_glocal.linear:Linear",
            summary="a linear map of frozen embeddings, trained on judgments (Muttenthaler et al. 2023)",
        )
    ]
