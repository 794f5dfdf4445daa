"""What computing costs, in multiply-adds, and so in F: forward passes of one image through a whole network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from repsearch.config import SearchConfig
from repsearch.networks import check_network, modes_kept


@torch.no_grad()
def multiply_adds(network: nn.Module, image: Tensor) -> list[int]:
    """Multiply-adds of convolutions and linear layers for one image (1, C, H, W), part by part.

    Returns:
        One number a search layer: what it takes to get there from the layer before, or from the image. Their sum is F.

    Example:
        >>> from repsearch.networks import Network
        >>> network = Network(nn.Identity(), [nn.Flatten(), nn.Linear(4, 5)], nn.Linear(5, 2))
        >>> multiply_adds(network, torch.zeros(1, 1, 2, 2))
        [0, 20, 10]
    """
    parts, H, counts = check_network(network), image.clone(), []
    steps = [nn.Sequential(parts.stem, parts.blocks[0]), *list(parts.blocks)[1:], parts.head]
    with modes_kept(network):
        network.eval()
        for step in steps:
            with FlopCounterMode(display=False) as counter:
                H = step(H)
            counts.append(counter.get_total_flops() // 2)
    return counts


def search_multiply_adds(network: nn.Module, image: Tensor, config: SearchConfig, layers: list[int]) -> int:
    """Multiply-adds that a search of one image asks of the network: every candidate goes through the layers behind its
    own, the first ones also through those before. Convolutions that an engine skips count: they are in the network.

    Args:
        network: the one searched.
        image: (1, C, H, W).
        config: gives population and generations.
        layers: numbers of the layers searched.
    """
    counts = multiply_adds(network, image)
    total = config.population * sum(counts[: layers[0] + 1])
    children = config.explorers + config.refiners
    for layer in layers:
        evaluated = config.population + children * config.schedule[layer].generations
        total += evaluated * sum(counts[layer + 1 :])
    return total
