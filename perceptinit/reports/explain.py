"""The conditions of each claim of the headline, for `compare --explain` and the page."""

from collections.abc import Iterator
from dataclasses import dataclass

from perceptinit.analysis.comparison import Comparison
from perceptinit.analysis.questions import Outcome
from perceptinit.verdict.claim import Checked
from perceptinit.verdict.headline import summary
from perceptinit.verdict.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Explained:
    """A claim of the headline with its conditions.

    Attributes:
        title: The claim, such as `people - random: it is worth it`.
        is_shown: Whether every condition that applies is shown.
        checked: The conditions with their states.
    """

    title: str
    is_shown: bool
    checked: tuple[Checked, ...]

    def lines(self) -> Iterator[str]:
        """Yield the claim and its conditions as lines of text."""
        yield f"{self.title}: {'shown' if self.is_shown else 'not shown'}"
        for each in self.checked:
            reason = f" ({each.reason})" if each.reason else ""
            yield f"  {each.state}: {each.condition}{reason}"


def explain(comparison: Comparison) -> list[Explained]:
    """Return the claims that the outcomes of the headline would support, with their conditions."""
    found = summary(comparison)
    answers = [answer for answer in found.answers if answer.checked] if found else []
    return [Explained(_title(answer), answer.is_firm, answer.checked) for answer in answers]


def explained_text(comparison: Comparison) -> str:
    """Return the claims with their conditions as text."""
    claims = explain(comparison)
    return "\n\n".join("\n".join(claim.lines()) for claim in claims) or "No outcome would support a claim."


def _title(answer: Verdict) -> str:
    claims = {Outcome.WORSE: "it is not worth it", Outcome.EQUIVALENT: "it makes no difference that matters"}
    structure = answer.question.structure
    claim = f"it is {structure}" if structure else claims.get(answer.outcome, "it is worth it")
    return f"{answer.contrast.title}: {claim}"
