"""What goes wrong in adaptation, each with a message that says what to do."""

from __future__ import annotations


class AdaptationError(RuntimeError):
    """Adaptation cannot go on as asked; the message says why and what to do."""


class AdaptationSettingsError(ValueError):
    """A setting is out of its range; the message gives name, value, range and unit."""


class AdaptationStateError(AdaptationError):
    """A saved state is missing, damaged, or belongs to other weights."""
