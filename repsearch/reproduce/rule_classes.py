"""The rules that train a network, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from repsearch.methods.activity_perturbation import ActivityPerturbation
from repsearch.methods.backprop import Backprop
from repsearch.methods.feedback_alignment import FeedbackAlignment
from repsearch.methods.forward_forward import ForwardForward
from repsearch.methods.local_losses import LocalLosses
from repsearch.methods.target_propagation import DifferenceTargetPropagation, TargetPropagation

if TYPE_CHECKING:
    from repsearch.method import Method

CLASSES: dict[str, Callable[..., Method]] = {method.__name__: method for method in (
    Backprop, LocalLosses, FeedbackAlignment, TargetPropagation, DifferenceTargetPropagation, ForwardForward,
    ActivityPerturbation)}
