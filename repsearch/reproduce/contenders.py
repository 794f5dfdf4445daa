"""The methods that search weights, and back-propagation beside them, by name."""

from __future__ import annotations

from collections.abc import Callable

from repsearch.method import Method
from repsearch.methods.backprop import Backprop
from repsearch.methods.deep_ga import DeepGA
from repsearch.methods.eggroll import EGGROLL
from repsearch.methods.evolution import EvolutionStrategy
from repsearch.methods.goea import GOEA
from repsearch.methods.openai_es import OpenAIES
from repsearch.methods.snes import SNES

CONTENDERS: dict[str, Callable[..., Method]] = {
    method.__name__: method for method in (Backprop, EvolutionStrategy, OpenAIES, SNES, EGGROLL, DeepGA, GOEA)}
