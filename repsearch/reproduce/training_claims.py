"""What the records of trainings say about the claims of sections 3.1 and 4.1 to 4.4: our value, control, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from repsearch.reproduce import verdicts
from repsearch.reproduce.records import Record, read_records
from repsearch.reproduce.tables import differences, mean_std
from repsearch.reproduce.verdicts import always, overall

Found = tuple[str, str, str]
"""Ours, the control, the verdict."""
SGD, SEARCH_BASED = ("sgd2", "sgd4", "sgd6"), ("search-based", "slow-head")
FEW = 500
"""Training images where many variants are compared."""


def trainings(data: str, variant: str, train: int | None = None) -> list[Record]:
    """The committed book records of a variant, one a seed; with fewer images, if `train` says so."""
    sized = data if train is None else f"{data}-{train}"
    return read_records(f"training-{sized}-book-{variant}-[0-9]*")


def tested(data: str, variant: str, train: int | None = None) -> list[float]:
    """Test accuracy in percent, one a seed."""
    return [100 * record["test_accuracy"] for record in trainings(data, variant, train)]


def validated(data: str, variant: str, train: int | None = None) -> list[float]:
    """Validation accuracy at the best epoch in percent, one a seed."""
    return [100 * max(record["validation_accuracy"]) for record in trainings(data, variant, train)]


def best(data: str, variants: Sequence[str]) -> str:
    """The variant that did best on validation images, mean over seeds."""
    return max(variants, key=lambda variant: mean(validated(data, variant)))


def searched(variant: str, data: str = "cifar10", train: int | None = FEW) -> list[float]:
    """Cross-entropy of the best at block 0 after search, one a seed."""
    return [record["found"]["cross_entropy"]["block0"][1] for record in trainings(data, variant, train)]


def search_labels(data: str) -> Found:
    """Share of training images above one half at block 2, the last layer that is a representation."""
    records = trainings(data, "search-based")
    images, logits = ([100 * record["found"]["above_half"][layer] for record in records]
                      for layer in ("block2", "logits"))
    start, end = ([record["found"]["cross_entropy"][layer][i] for record in records]
                  for layer, i in (("block0", 0), ("block2", 1)))
    return (f"{mean_std(images)} % of images, {mean_std(end, 2)} nats; with the logits searched {mean_std(logits)} %",
            f"best noisy copy at block 0: {mean_std(start, 2)} nats",
            verdicts.labels_images(images))


def learns(data: str) -> Found:
    """Search-based training, against an untrained body and against a body trained on other images' targets."""
    ours, untrained, other = (tested(data, variant) for variant in ("search-based", "untrained-body", "other"))
    return (f"{mean_std(ours)} %",
            f"untrained body {mean_std(untrained)} %, targets of other images {mean_std(other)} %",
            always([a - max(b, c) for a, b, c in zip(ours, untrained, other, strict=True)]))


def beyond_the_label(data: str) -> Found:
    """Each image's own targets, against the mean of its class: does the search carry more than the label?"""
    own, means = tested(data, "search-based"), tested(data, "class-means")
    return f"own targets {mean_std(own)} %", f"class means {mean_std(means)} %", always(differences(own, means))


def close_to_sgd(data: str) -> Found:
    """The best of the search-based against the best SGD, each chosen on validation images."""
    ours, theirs = (tested(data, best(data, variants)) for variants in (SEARCH_BASED, SGD))
    behind = differences(theirs, ours)
    return (f"{mean_std(ours)} % against {mean_std(theirs)} %: {mean_std(behind)} points behind",
            f"untrained body {mean_std(tested(data, 'untrained-body'))} %",
            verdicts.close(behind, data))


def trails_sgd() -> Found:
    """Behind SGD in every seed of every data set, augmented or not."""
    behind = {name: differences(tested(name, best(name, SGD)), tested(name, best(name, SEARCH_BASED)))
              for name in ("mnist", "cifar10", "cifar100")}
    augmented = {name: differences(tested(name, "sgd-augmented"), tested(name, best_augmented(name)))
                 for name in ("cifar10", "cifar100")}
    return (f"by {', '.join(map(mean_std, behind.values()))} points on MNIST, CIFAR-10, CIFAR-100",
            f"augmented, CIFAR-10 and CIFAR-100: by {', '.join(map(mean_std, augmented.values()))}",
            overall([always(values) for values in (*behind.values(), *augmented.values())]))


def best_augmented(data: str) -> str:
    """Table 2's better variant on validation images."""
    return best(data, ("skip0-augmented", "all-augmented"))


def skipping_block0_helps(data: str) -> Found:
    """Table 2's order of the two variants."""
    skip, every = tested(data, "skip0-augmented"), tested(data, "all-augmented")
    return f"{mean_std(skip)} against {mean_std(every)} %", f"SGD {mean_std(tested(data, 'sgd-augmented'))} %", always(
        differences(skip, every))


def augmented_close_to_sgd(data: str) -> Found:
    """The better of the two variants on validation images, against SGD."""
    rival = tested(data, "sgd-augmented")
    behind, every = (differences(rival, tested(data, variant)) for variant in (best_augmented(data), "all-augmented"))
    return (f"{mean_std(behind)} points behind", f"SGD {mean_std(rival)} %; all layers {mean_std(every)} points behind",
            verdicts.close(behind, data))


def augmentation_helps(data: str) -> Found:
    """Augmented against plain, all layers; the control is what it does for SGD."""
    gained = differences(tested(data, "all-augmented"), tested(data, "search-based"))
    of_sgd = differences(tested(data, "sgd-augmented"), tested(data, "sgd2"))
    return f"{mean_std(gained)} points", f"for SGD {mean_std(of_sgd)} points", always(gained)


def pays_off(data: str, axis: str) -> Found:
    """Figure 4: a quarter, once and twice the population or the generations."""
    least, base, most = (validated(data, name, FEW) for name in (f"{axis}-x0.25", "search-based", f"{axis}-x2"))
    losses = [mean_std(searched(name, data, FEW), 2) for name in (f"{axis}-x0.25", "search-based", f"{axis}-x2")]
    return (f"{mean_std(least)}, {mean_std(base)}, {mean_std(most)} % at a quarter, once, twice",
            f"cross-entropy of block 0 {', '.join(losses)}", always(differences(most, least)))


def saturates(data: str, axis: str) -> Found:
    """Figure 4: what a doubling of the search adds, before the base and after it."""
    least, base, most = (validated(data, name, FEW) for name in (f"{axis}-x0.25", "search-based", f"{axis}-x2"))
    before, last = [value / 2 for value in differences(base, least)], differences(most, base)
    end = ": it falls" if verdicts.falls(last) else ""
    return (f"a doubling adds {mean_std(before)} points up to the base, then {mean_std(last)}{end}", "",
            verdicts.saturates(before, last))


def with_and_without(variant: str, base: str = "search-based") -> Found:
    """An ablation: test accuracy with and without, and what the search reached."""
    ours, other = tested("cifar10", base, FEW), tested("cifar10", variant, FEW)
    return (f"{mean_std(ours)} %, without {mean_std(other)} %",
            f"cross-entropy of block 0 {mean_std(searched(base), 2)}, without {mean_std(searched(variant), 2)}",
            always(differences(ours, other)))


def crucial(variant: str, base: str = "search-based") -> Found:
    """An ablation, beside what training adds to an untrained body."""
    ours, other, untrained = (tested("cifar10", name, FEW) for name in (base, variant, "untrained-body"))
    value, control, _ = with_and_without(variant, base)
    return (value, f"untrained body {mean_std(untrained)} %; {control}",
            verdicts.crucial(ours, other, untrained))


def converges() -> Found:
    """What search reaches with and without normalisation, from the frozen statistics of normalised activations."""
    start, end = ([[record["found"]["cross_entropy"]["block0"][i] for record in trainings("cifar10", name, FEW)]
                   for name in ("search-based", "no-normalisation")] for i in (0, 1))
    accuracy = [mean_std(tested("cifar10", name, FEW)) for name in ("search-based", "no-normalisation")]
    ours, without = (f"{mean_std(a, 2)} to {mean_std(b, 2)}" for a, b in zip(start, end, strict=True))
    return (f"block 0 from {ours} nats, without from {without}", f"accuracy {accuracy[0]} %, without {accuracy[1]} %",
            always(differences(end[1], end[0])))
