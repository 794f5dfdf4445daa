"""What latent-space search finds, as targets that a training takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from repsearch.checks import InputError
from repsearch.methods._latent import latent_multiply_adds
from repsearch.methods._latent_arguments import shapes
from repsearch.networks import device_of
from repsearch.store.description import describe
from repsearch.store.manifest import shard_size
from repsearch.store.reader import Targets

if TYPE_CHECKING:
    from repsearch.config import SearchConfig
    from repsearch.data import Split
    from repsearch.reference import Found


def described(
    network: nn.Module, split: Split, config: SearchConfig, seed: int, latent: dict[str, Any], asked: list[int]
) -> Targets:
    """The targets before the search: all that is said of them.

    Args:
        network, split, config, seed: as in `repsearch.search`.
        latent: arguments of the searcher. They stand in the configuration, so that no evolution has the same identity.
        asked: passes through the rest of the network, a layer.

    Raises:
        InputError: the network does not fit the images, or can't be searched image by image.
    """
    layers, image = shapes(network, split), split.images[:1].to(device_of(network))
    found = describe(network, split, config, seed, "torch", layers, range(len(layers)), None).manifest
    return Targets({**found, "configuration": {**found["configuration"], "latent": latent},
                    "multiply_adds": latent_multiply_adds(network, image, asked)}, [], None)


def with_found(targets: Targets, found: Found) -> Targets:
    """These targets with what was found, in memory."""
    return Targets(targets.manifest, _shards(found, targets), None)


def _shards(found: Found, targets: Targets) -> list[dict[str, Tensor]]:
    """What was found, as the cache keeps it: in float16."""
    size, whole = shard_size(targets.manifest), dict[str, Tensor]()
    for name, H, losses in zip(targets.layers, found.activations, found.cross_entropy, strict=True):
        whole[name], whole[f"cross_entropy.{name}"] = H.half(), losses
        if not bool(torch.isfinite(whole[name]).all()):
            raise InputError(f"network: {name} is NaN or exceeds the range of float16; look at its weights")
    return [{name: H[i : i + size] for name, H in whole.items()} for i in range(0, len(targets), size)]
