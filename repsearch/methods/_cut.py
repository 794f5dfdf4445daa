"""What methods with local losses share: a network cut into parts that no gradient crosses, and noise of their own."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from repsearch.checks import InputError
from repsearch.networks import Network, activations, check_network, device_of, undisturbed

if TYPE_CHECKING:
    from repsearch.config import FitConfig

REMEDY = "wrap its parts: repsearch.Network(stem, blocks, head)"


def in_blocks(model: nn.Module, after: str = "activation") -> Network:
    """The stem, blocks and head of a network; of a perceptron each hidden layer, with all up to the next, is a block.

    A perceptron is an `nn.Sequential` with two linear layers or more, and no parameters before the first. The parts are
    the model's own modules.

    Args:
        model: stays as it is.
        after: a perceptron's block ends after the "activation", just before the next linear layer; or after its own
            "linear" layer.

    Raises:
        InputError: the model is neither.

    Example:
        >>> parts = in_blocks(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
        >>> parts.stem, len(parts.blocks), parts.head
        (Sequential(
          (0): Flatten(start_dim=1, end_dim=-1)
        ), 1, Sequential(
          (0): Linear(in_features=3, out_features=2, bias=True)
        ))
    """
    if all(hasattr(model, part) for part in ("stem", "blocks", "head")):
        parts = check_network(model)
        return Network(parts.stem, parts.blocks, parts.head)
    if type(model) is not nn.Sequential:
        raise InputError(f"model: {type(model).__name__} is neither cut into stem, blocks and head nor a perceptron, "
                         f"which is an nn.Sequential of linear layers; {REMEDY}")
    layers = list(model)
    linear = [number for number, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    if len(linear) < 2:
        raise InputError(f"model: {len(linear)} linear layers are in the nn.Sequential; expected two or more, of which "
                         f"the last gives the logits; if it has other parts, {REMEDY}")
    stem = nn.Sequential(*layers[: linear[0]])
    if any(True for _ in stem.parameters()):
        raise InputError(f"model: there are parameters before its first linear layer, so it is no perceptron; {REMEDY}")
    ends = linear[1:] if after == "activation" else [number + 1 for number in linear[:-1]]
    pieces = [nn.Sequential(*layers[start:stop]) for start, stop in pairwise([linear[0], *ends, len(layers)])]
    return Network(stem, pieces[:-1], pieces[-1])


def refuse_chance(model: nn.Module, config: FitConfig) -> None:
    """`InputError` for dropout, and for other precisions than float32, of methods that compare passes of a batch."""
    if config.precision != "float32":
        raise InputError(f"precision={config.precision!r}: the method works with small differences; use 'float32'")
    if any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 for module in model.modules()):
        raise InputError("model: has dropout, of which every pass would draw another mask; take it out")


def severed(parts: Network, images: Tensor) -> list[Tensor]:
    """The search layers and the logits, as of `repsearch.networks.activations`, each with a graph of its own stage
    alone. The stem belongs to the first stage."""
    H, layers = parts.stem(images.clone()), []
    for stage in (*parts.blocks, parts.head):
        layers.append(stage(H))
        H = layers[-1].detach().clone()  # a stage may change its input in place
    return layers


def example(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The search layers and the logits of a few images, of a network that stays as it is."""
    with undisturbed(network):
        network.eval()
        return activations(network, images.to(device_of(network)))


class Noise:
    """Standard normal numbers of a method's own, with which a resumed training goes on. On another kind of device than
    they were drawn on they begin anew, as those of `repsearch.fit` do."""

    def __init__(self, device: torch.device, seed: int) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)

    def like(self, H: Tensor) -> Tensor:
        """As many as H has."""
        return torch.randn(H.shape, generator=self.generator, device=H.device)

    def state_dict(self) -> dict[str, Any]:
        return {"device": self.generator.device.type, "state": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["device"] == self.generator.device.type:
            self.generator.set_state(state["state"])
