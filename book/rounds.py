"""Run one loop of search and learning, and keep what the page that steps through its rounds shows.

    python book/rounds.py

Writes book/_static/rounds/data.js. The run is that of the record `alternate-cifar10-500-book-loop-3`, of 500
photographs that are read from CIFAR-10 in REPSEARCH_DATA; what it learns must be what the record says. Two minutes on
one core; the same seed gives the same bytes.
"""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from explorer import as_bytes, short
from torch import Tensor, nn

import repsearch as rs
from repsearch.evaluation import logits, share_correct
from repsearch.reproduce.catalogue import runs
from repsearch.reproduce.records import FOLDER, as_written, read_records
from repsearch.reproduce.targets import Searched

if TYPE_CHECKING:
    from repsearch.store.reader import Targets

FILE = Path(__file__).resolve().parent / "_static" / "rounds" / "data.js"
SEED, IMAGES = 3, 5
BLOCKS = ("block0", "block1", "block2")
VALUES = (-3.0, 3.0)
"""What the bytes 0 and 255 stand for."""


def agreement(first: Tensor, second: Tensor) -> list[float]:
    """Correlation of each image's activations (n, C, H, W) with others of the same shape."""
    pairs = zip(first.flatten(1), second.flatten(1), strict=True)
    return [round(float(torch.corrcoef(torch.stack(pair))[0, 1]), 2) for pair in pairs]


class Kept:
    """Activations of a few images as the loop goes on: before it, then targets and what was learned, round by round."""

    def __init__(self, data: rs.Dataset, rows: list[int]) -> None:
        self.data, self.rows = data, rows
        self.targets: list[list[Tensor]] = []
        self.learned: list[list[Tensor]] = []

    @torch.no_grad()
    def said(self, network: nn.Module) -> list[Tensor]:
        """What a network's blocks say of the images."""
        return [H.float() for H in rs.activations(network.eval(), self.data.train.images[self.rows])[: len(BLOCKS)]]

    def change(self, _: int, __: nn.Module, targets: Targets) -> Targets:
        """Nothing is changed: targets are looked at as they pass."""
        self.targets.append([targets.read(block)[self.rows].float() for block in BLOCKS])
        return targets

    def watch(self, _: int, model: nn.Module) -> None:
        """What the network says after a round."""
        self.learned.append(self.said(model))

    def maps(self, start: list[Tensor]) -> list[dict[str, Any]]:
        """A block each: one channel of all that was kept, as bytes; and how far targets were reached, by round."""
        found = []
        for block, first in enumerate(start):
            last = self.targets[-1][block]
            channel = int(last.flatten(2).std(2).mean(0).argmax())
            stages = [first, *(one[block] for pair in zip(self.targets, self.learned, strict=True) for one in pair)]
            found.append({
                "channel": channel, "side": first.shape[-1],
                "maps": [b64encode(as_bytes(stage[:, channel], VALUES)).decode() for stage in stages],
                "agreement": [agreement(target[block], learned[block])
                              for target, learned in zip(self.targets, self.learned, strict=True)],
            })
        return found


def one_of_each(data: rs.Dataset) -> list[int]:
    """The rows of the first images of different classes."""
    labels = data.train.labels.tolist()
    return sorted(labels.index(label) for label in dict.fromkeys(labels))[:IMAGES]


def pixels(data: rs.Dataset, row: int) -> str:
    """An image's colours, a byte each."""
    return b64encode(as_bytes(torch.as_tensor(data.pixels(data.train.images[row : row + 1])), (0.0, 1.0))).decode()


def main() -> None:
    (run,) = runs(["turns-500"], "book", [SEED], variants=["loop"])
    record, (rival,) = run.read(FOLDER), read_records(f"rival-cifar10-500-book-sgd-tuned-{SEED}")
    assert record is not None
    setup = run.setup
    data = setup.sample.load(None, SEED)
    model = rs.learn_network(data, setup, SEED)
    kept = Kept(data, one_of_each(data))
    network = rs.search_network(data, Searched(setup.width, setup.alternate.search), SEED)
    start, tests = kept.said(network), list[float]()

    def watch(number: int, now: nn.Module) -> None:
        tests.append(share_correct(logits(now, data.test.images), data.test.labels))
        kept.watch(number, now)

    rs.alternate(network, model, data, setup.alternate, SEED, progress=False, watch=watch, change=kept.change)
    if as_written({"test": tests})["test"] != record["test"]:
        raise SystemExit(f"{run.name}: the record says {record['test']}, this run {tests}")
    labels = data.train.labels[kept.rows].tolist()
    content = {
        "images": [{"label": data.classes[label], "side": data.train.images.shape[-1], "pixels": pixels(data, row)}
                   for row, label in zip(kept.rows, labels, strict=True)],
        "blocks": kept.maps(start),
        "test": [short(100 * one) for one in tests], "sgd": short(100 * rival["test_accuracy"]),
        "share": [[short(100 * one["between_class"][block]) for block in BLOCKS] for one in record["rounds"]],
    }
    FILE.write_text(f"window.repsearchRounds = {json.dumps(content, separators=(',', ':'))};\n", encoding="utf-8")
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
