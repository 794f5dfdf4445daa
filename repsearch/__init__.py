"""Search in representation space: evolve a network's activations, then train a network by regressing to them.

The method is that of Vegesna and Dahal, "Decoupling Search and Learning in Neural Net Training" (arXiv 2509.10973).

    import repsearch as rs

    data = rs.load("digits", train=200, seed=0)
    preset = rs.presets.smoke("digits")
    network = rs.search_network(data, preset, seed=0)
    targets = rs.search(network, data.train, preset.search)
    model = rs.learn_network(data, preset, seed=0)
    history = rs.learn(model, data, targets, preset.learn)
"""

from repsearch import measure, networks, operators, presets
from repsearch.checks import InputError
from repsearch.config import LayerSearch, LearnConfig, SearchConfig
from repsearch.data import Dataset, Split, load
from repsearch.learn import History, accuracy, learn
from repsearch.networks import Network, activations, calibrate, convnet, learn_network, search_network
from repsearch.run import search
from repsearch.targets import Targets
from repsearch.version import __version__

__all__ = [
    "Dataset",
    "History",
    "InputError",
    "LayerSearch",
    "LearnConfig",
    "Network",
    "SearchConfig",
    "Split",
    "Targets",
    "__version__",
    "accuracy",
    "activations",
    "calibrate",
    "convnet",
    "learn",
    "learn_network",
    "load",
    "measure",
    "networks",
    "operators",
    "presets",
    "search",
    "search_network",
]
