"""What one verdict of an answer came to."""

from flopgate_proto.batches import VerifiedAnswer
from flopgate_proto.values import Ceiling, Refusal


def ceiling_of(answer: VerifiedAnswer) -> int:
    """The one ceiling that was granted."""
    (verdict,) = answer.answer.verdicts
    if not isinstance(verdict.outcome, Ceiling):
        raise TypeError(f"refused: {verdict.outcome}")
    return verdict.outcome.ceiling_tflop


def refusal_of(answer: VerifiedAnswer) -> Refusal:
    """The one refusal."""
    (verdict,) = answer.answer.verdicts
    if not isinstance(verdict.outcome, Refusal):
        raise TypeError(f"granted: {verdict.outcome}")
    return verdict.outcome
