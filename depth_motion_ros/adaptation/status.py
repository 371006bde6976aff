"""Status of adaptation, for diagnostics."""

from __future__ import annotations

from dataclasses import dataclass, field

WAITING, LEARNING, COOLING, OFF = "waiting", "learning", "cooling", "off"
ADMITTED, HELD_BACK = "admitted", "held_back"


@dataclass(frozen=True)
class AdmissionResult:
    """Result for one frame.

    admitted: whether the pair that ends with it is used for training or validation.
    reason: ``admitted``, ``held_back`` (for validation), or one of ``admission.REASONS``.
    """

    admitted: bool
    reason: str


@dataclass(frozen=True)
class AdaptationStatus:
    """For diagnostics and TensorBoard. Counts are since the start, or that of the restored state.

    state: ``waiting`` (no pairs yet), ``learning``, ``cooling`` (a candidate was refused) or
        ``off`` (too many were).
    reason: why the last candidate was not released; empty if it was.
    version: of the running weights.
    admitted: pairs, those held back included.
    refused: frames by reason.
    rolled_back: refused candidates and requested rollbacks.
    failures: candidates refused in a row.
    triangulated: admitted pairs with triangulated depth.
    cpu_fraction: cores used since the start; NaN without a budget.
    losses: ``live``, of the last step, and the scores of the last candidate by name
        (``held_back``, ``held_back_running``, ``rehearsal``, ``rehearsal_first``, …).
    depth: whether depth is triangulated, and if not why.
    """

    state: str
    reason: str
    version: str
    frames: int
    admitted: int
    refused: dict[str, int]
    steps: int
    skipped_steps: int
    candidates: int
    released: int
    rolled_back: int
    failures: int
    triangulated: int
    live_pairs: int
    own_pairs: int
    held_back_pairs: int
    rehearsal_pairs: int
    cpu_fraction: float
    losses: dict[str, float]
    depth: str = ""


@dataclass
class AdaptationCounts:
    """The counts of ``AdaptationStatus`` while they are being counted."""

    frames: int = 0
    admitted: int = 0
    steps: int = 0
    skipped_steps: int = 0
    candidates: int = 0
    released: int = 0
    rolled_back: int = 0
    failures: int = 0
    triangulated: int = 0
    refused: dict[str, int] = field(default_factory=dict)
