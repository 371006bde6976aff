"""Errors of adaptation, each with a message that says what to do."""

from __future__ import annotations


class AdaptationError(RuntimeError):
    """Adaptation cannot continue; the message says why and what to do."""


class AdaptationStateError(AdaptationError):
    """A saved state is missing, damaged, or belongs to other weights."""
