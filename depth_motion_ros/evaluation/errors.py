"""What evaluation raises."""

from __future__ import annotations


class EvaluationError(ValueError):
    """Something cannot be evaluated; the message says what is missing and what to do."""
