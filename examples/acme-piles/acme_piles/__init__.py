"""A perceptinit plug-in for free sorting."""

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_judgments() -> list[Component]:
    return [
        Component(
            name="acme/piles",
            target="acme_piles.piles:Piles",
            summary="images that people sorted into piles",
        )
    ]


@hookimpl
def perceptinit_evaluators() -> list[Component]:
    return [
        Component(
            name="acme/unanimous",
            target="acme_piles.unanimous:Unanimous",
            summary="2AFC on the questions that all people answered alike",
        )
    ]
