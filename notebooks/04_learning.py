# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Learning: regressing to what was found
#
# **What you will see.** The targets that a search found, one a training image, become the regression targets of a
# deeper network. Its convolutions never see a classification gradient. You will train it, check that claim, and
# compare it with the same network trained by SGD on the labels.
#
# **Before you start.** [Search](02_search) makes the targets. **Takes** a minute on two CPU cores. Sections 4.1 and
# 4.2 and appendix A.3 of the paper {cite}`vegesna2025decoupling`.

# %% tags=["hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

# %%

import repsearch as rs

preset, seed = rs.presets.named(), 0
print(f"preset {preset.name} ({preset.data}), seed {seed}, device cpu; this chapter takes about a minute")

# %% [markdown]
# ## Search once, keep the targets
#
# Searching is the expensive part, so its result is cached: a folder with a manifest and a file for every 64 images,
# in 16-bit floats. Called again with the same folder, `search` resumes, or returns at once.

# %%
import tempfile
from pathlib import Path

data = rs.load(preset.data, train=preset.train, validation=preset.validation, test=preset.test, seed=seed)
network = rs.search_network(data, preset, seed=seed)
folder = Path(tempfile.mkdtemp()) / "targets"
targets = rs.search(network, data.train, preset.search, seed=seed, store=folder, progress=False)

for name in targets.layers:
    loss = targets.cross_entropy(name).mean(0)
    print(f"{name:<8}{targets.shape(name)!s:<14}cross-entropy {loss[0]:.2f} before search, {loss[-1]:.2f} after")
print(*sorted(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB" for path in folder.iterdir()), sep="\n")

# %% [markdown]
# ## The objective
#
# The network that learns, with weights $\theta$ in its body and $\varphi$ in its head, has blocks of the same shapes.
# They are pulled towards the targets $\hat H^{(l)}$; its head is pulled towards the searched distribution
# $\hat p = \operatorname{softmax}(\hat H^{(L-1)})$, with $L=4$ search layers:
#
# $$ \mathcal L = \underbrace{\frac{1}{L-1}\sum_{l=0}^{L-2}\frac1B\sum_b
#    \big\lVert H_\theta^{(l)}(x_b)-\hat H^{(l)}(x_b)\big\rVert^2}_{\text{shapes the body}}
#    \;+\; \lambda\,\underbrace{\frac1B\sum_b
#    \mathrm{KL}\big(\hat p(\cdot\mid x_b)\,\big\Vert\,p_\varphi(\cdot\mid \mathrm{sg}(H_\theta^{(L-2)}(x_b)))\big)}_{\text{shapes the head}} $$
#
# The stop-gradient $\mathrm{sg}$ is what keeps classification out of the body. Beside it, the code:

# %% tags=["hide-input"]
import inspect

from IPython.display import Markdown

from repsearch.learn import objective, objective_parts


def body(function: object) -> str:
    """The source of a function without its docstring."""
    source = inspect.getsource(function)
    opening = source.index('"""')
    return source[:opening].rstrip() + "\n" + source[source.index('"""', opening + 3) + 4 :]


Markdown(f"```python\n{body(objective_parts)}\n\n{body(objective)}\n```")

# %% [markdown]
# We read the squared norm as a mean over a layer's elements, so that layers of different sizes count alike;
# `squares="sum"` is the literal formula.
#
# **Check: the stop-gradient.** The KL term must send nothing into the body.

# %%
model = rs.learn_network(data, preset, seed=seed)
layers = rs.activations(model, data.train.images[:50], sever_head=True)
wanted = [targets.read(name, 0, 50) for name in targets.layers]
parts = objective_parts(layers, wanted, preset.learn)
parts["head"].backward()
in_body = [p.grad for p in model.blocks.parameters() if p.grad is not None and p.grad.any()]
print(f"body: {len(in_body)} parameters with a gradient; head: {model.head[1].weight.grad.norm():.3f}")

# %% [markdown]
# **What lambda does.** No parameter feels both terms. Under plain SGD, $\lambda$ therefore only multiplies the learning
# rate of the head. **Check:** the head's gradient for $\lambda$ and $2\lambda$.

# %%
from dataclasses import replace

for weight in (0.03, 0.06):
    config = replace(preset.learn, head_weight=weight)
    model.zero_grad()
    layers = rs.activations(model, data.train.images[:50], sever_head=True)
    objective(objective_parts(layers, wanted, config), config).backward()
    print(f"lambda {weight}: head {model.head[1].weight.grad.norm():.5f}, body {model.blocks[0][0][0].weight.grad.norm():.5f}")

# %% [markdown]
# ## Train it, and its rival
#
# The rival is the same network, from the same initial weights, trained on the labels with cross-entropy in the same
# loop: as many epochs, the same fixed batches, the same choice of the best epoch on validation images. Its learning
# rate is its own. BatchNorm uses the statistics of its batch, in training as at test time, where the batches are fixed.

# %%
searched, rival, untrained = (rs.learn_network(data, preset, seed=seed) for _ in range(3))
history = rs.learn(searched, data, targets, preset.learn, seed=seed, progress=False)
rival_history = rs.learn(rival, data, None, preset.baseline, seed=seed, progress=False)

# %% mystnb={"figure": {"caption": "Validation accuracy against epoch, one seed."}, "image": {"alt": "Validation accuracy against epoch for one seed: SGD above search-based, both above the dotted line of an untrained network."}}
from matplotlib import pyplot as plt

from repsearch import plots

curves = {"search-based": history.validation_accuracy, "SGD": rival_history.validation_accuracy}
figure = plots.learning_curves([{"validation_accuracy": curves, "accuracy": {"untrained": rs.accuracy(untrained, data.test)}}])
plt.show()

# %% [markdown]
# Both learn to classify images they have not seen, and no classification gradient reached the body of the search-based
# one. It stays behind. One run proves little, so look at the table further down. First: what did the regression reach?

# %%
for name, losses in history.parts.items():
    print(f"{name:<8}{losses[0]:.2f} in the first epoch, {losses[-1]:.2f} in the last")

# %% [markdown]
# How small is small? A network that always gave the mean target would be left with the targets' variance. The regression
# gets lower than that on training images, but stays far from 0:

# %%
print({name: round(targets.read(name).var(0, correction=0).mean().item(), 2) for name in targets.layers[:-1]})

# %% [markdown]
# ## The control that matters
#
# A network with *untrained* blocks and a trained head can classify, too: random features are features. Ours even start as
# twins of the searched network: the same whitening, the same near-identity convolutions. Regression has taught the body
# something only if it beats that. A second control replaces each image's targets by the mean of its
# class: it says whether a search for every single image finds more than the label does. Three seeds, half the images;
# every seed takes other images, another network and another search.

# %%

from IPython.display import Markdown

from repsearch.evidence import spread
from repsearch.trainings import train

names = ("search", "untrained-body", "class-means")
live, store = [], Path(tempfile.mkdtemp())
for s in range(3):
    digits = rs.load(preset.data, train=100, validation=100, test=preset.test, seed=s)
    live += [train(digits, preset, name, s, store) for name in names]


def accuracy_of(records: list[dict], name: str) -> list[float]:
    """Test accuracy of a variant in percent, one a seed."""
    return [100 * r["test_accuracy"] for r in records if r["variant"] == name]


titles = {r["variant"]: r["what"] for r in live}
lines = ["| digits, 3 seeds | test accuracy, % |", "|---|---|"]
Markdown("\n".join(lines + [f"| {titles[name]} | {spread(accuracy_of(live, name))} |" for name in names]))

# %% [markdown]
# Own targets do better than an untrained body, and class means better still; but with so few digits, look at the spread of
# the seeds. The question needs real images, and more of them.
#
# ## Table 1: without augmentation
#
# MNIST, CIFAR-10 and CIFAR-100 at the book preset (`python -m repsearch reproduce table1`). SGD is tried with 2, 4 and 6
# convolutions a block, as in the paper, each with the learning rate that did best on validation images of CIFAR-10; the row
# called best did best on validation images. Search-based training has 2 convolutions, as many as the searched network, and is
# tried with two learning rates of the head.

# %% mystnb={"figure": {"caption": "CIFAR-10, no augmentation: test accuracy. Bars: mean; dots: seeds."}, "image": {"alt": "Horizontal bars of test accuracy: search-based training with two rates of the head, SGD at three depths, and three controls."}}
from repsearch.claims import NAMES
from repsearch.records import read_records
from repsearch.trainings import TABLE1, TABLE2

book = {key: read_records(f"training-{key}-book-*") for key in NAMES}
figure = plots.scores(book["cifar10"], tuple(TABLE1))
plt.show()

# %%
from repsearch.evidence import SEARCH_BASED, SGD, best

(paper,) = read_records("paper")


def rows(names: tuple[str, ...], keys: tuple[str, ...]) -> list[str]:
    """A row a variant, a column a data set."""
    return [f"| {next(r['what'] for r in book[keys[0]] if r['variant'] == name)} | "
            + " | ".join(spread(accuracy_of(book[key], name)) for key in keys) + " |" for name in names]


keys = tuple(NAMES)
lines = ["| test accuracy, % | " + " | ".join(NAMES.values()) + " |", "|---|---|---|---|", *rows(tuple(TABLE1), keys)]
rivals, ours = ([accuracy_of(book[key], best(key, names)) for key in keys] for names in (SGD, SEARCH_BASED))
behind = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(rivals, ours, strict=True)]
lines += ["| **best SGD** | " + " | ".join(map(spread, rivals)) + " |",
          "| **best search-based** | " + " | ".join(map(spread, ours)) + " |",
          "| **behind by** | " + " | ".join(map(spread, behind)) + " |",
          "| *paper: SGD* | " + " | ".join("{} ± {}".format(*paper["table1"][key]["SGD"]) for key in keys) + " |",
          "| *paper: search-based* | " + " | ".join("{} ± {}".format(*paper["table1"][key]["search-based"]) for key in keys) + " |"]
Markdown("\n".join(lines) + f"\n\nMean ± std of 3 seeds; {book['cifar10'][0]['train']:,} training images, {book['cifar10'][0]['width']} channels. "
         "The paper's rows are of all images and 256 channels.")

# %% [markdown]
# Read it from the controls upwards. A body that regresses to the targets of *other* images does worse than one that is
# left untrained. A body that regresses to its *own* targets does better than either, on CIFAR-100 by little. So regression
# alone, without a classification gradient, has taught the body something: the central claim of the paper holds here.
#
# It stays behind SGD, by more than in the paper. The row of class means asks what the targets are worth: those are no search's
# result for the image, only the average over its class. On MNIST and CIFAR-10 the network learns more from them. What a search
# finds for a single image beyond its label is there, to the learner, mostly noise. On CIFAR-100, with a hundred classes of few
# images each, own targets do better, but class means do no better than an untrained body.
#
# The paper trains with 6 convolutions a block. With so few images the shallowest network did best on photographs;
# [the ablations](07_ablations) have the others.
#
# ## Table 2: with augmentation
#
# Training images are flipped and shifted; the target, searched for the plain image, serves all its variants
# (`python -m repsearch reproduce table2`).

# %%
keys = ("cifar10", "cifar100")
lines = ["| test accuracy, % | CIFAR-10 | CIFAR-100 |", "|---|---|---|", *rows((*TABLE2, "search", "sgd2"), keys)]
lines[-2:] = [line.replace(" |", ", not augmented |", 1) for line in lines[-2:]]
lines[-1] += "\n" + "\n".join(f"| *paper: {name}* | " + " | ".join("{} ± {}".format(*paper["table2"][key][name]) for key in keys) + " |"
                               for name in ("SGD", "all layers", "skip block 0"))
Markdown("\n".join(lines))

# %% [markdown]
# On CIFAR-10 the paper's order holds in every seed: without a target on block 0 the network does better. On CIFAR-100 the two
# are level. Augmentation helps search-based training, though one target serves all variants of an image, and helps SGD more,
# so that the gap widens, as it does in the paper.
#
# ## Were the rivals treated alike?
#
# Each training's rates were moved up and down from the preset's, on validation images of CIFAR-10 and with one seed
# (`python -m repsearch reproduce tuning`).

# %%
tried = [r for r in book["cifar10"] if r["seed"] == 0 and (r["test_accuracy"] is None or r["variant"] == "search")]
lines = ["| CIFAR-10, one seed | rate of the body | weight of the head | validation accuracy, % |", "|---|---|---|---|"]
lines += [f"| {r['what'].split(',')[0]}, {2 * r['groups']} convolutions | {r['learn']['learning_rate']:g} | "
          f"{format(r['learn']['head_weight'], '.2g') if r['search'] else ''} | {100 * max(r['validation_accuracy']):.1f} |"
          for r in sorted(tried, key=lambda r: (r["search"] is None, r["groups"], r["learn"]["learning_rate"], r["learn"]["head_weight"]))]
Markdown("\n".join(lines))

# %% [markdown]
# SGD got the best of these rates at each depth, and search-based training the best of the body's. A slower head did slightly better,
# so it has a row in Table 1; the controls, Table 2 and the other chapters keep the preset's. SGD with augmentation ran at one
# depth, the searched one.
#
# ## Why does it stay behind?
#
# How much of the targets' variance lies between the classes, rather than between images and their searches?

# %%
from repsearch.evidence import trainings

lines = ["| share of variance between classes, % | block 0 | block 1 | block 2 | logits |", "|---|---|---|---|---|"]
for key, title in NAMES.items():
    shares = [r["found"]["between_class_share"] for r in trainings(key, "search")]
    lines.append(f"| {title} | " + " | ".join(spread([100 * share[layer] for share in shares]) for layer in shares[0]) + " |")
images = book["cifar10"][0]["train"]
Markdown("\n".join(lines) + f"\n\nTargets that know nothing of the label would have {100 * 9 / (images - 1):.1f} % "
         f"with 10 classes and {100 * 99 / (images - 1):.1f} % with 100.")

# %% [markdown]
# At the first two blocks most of the variance lies within the classes. Part of it is the image, which the network sees
# and can learn. The rest is the draw of the search, which it cannot learn, only average out. If that is what holds it back,
# then averaging several searches of an image should help, and so should more images. [The ablations](07_ablations) try the
# first. The second is here:

# %%
lines = ["| CIFAR-10, test accuracy, % | search-based | SGD, 2 convolutions | behind |", "|---|---|---|---|"]
for kind in ("study", "training"):
    records = read_records(f"{kind}-cifar10-book-*")
    ours, rival = accuracy_of(records, "search"), accuracy_of(records, "sgd2")
    gap = [a - b for a, b in zip(rival, ours, strict=True)]
    lines.append(f"| {records[0]['train']:,} images | {spread(ours)} | {spread(rival)} | {spread(gap)} |")
Markdown("\n".join(lines))

# %% [markdown]
# The other way round. With few images the two trainings are level; with four times as many, both gain, and SGD gains far more.
# Noise that more images average out cannot be the whole story, then. What else it is, we do not know: class means, made of the
# same searches, do better, so the searched network alone does not set the bound.
#
# ## What the paper says, and what came out
#
# Verdicts follow [these rules](../book/claims.md).

# %% tags=["hide-input"]
from repsearch.claims import table

Markdown(table(("4.1", "4.3")))

# %% [markdown]
# **Summary.** Targets are searched once and cached. The body regresses to them, the head to the searched distribution,
# and a stop-gradient keeps the two apart. Regression to its own targets teaches a body what an untrained one, or one with others'
# targets, cannot do: the method works without a classification gradient. It trails SGD, on CIFAR-10 the more so with more images.
#
# ## Exercises
#
# **1.** The paper also tries to skip block 0: it gets no target and learns through the later blocks. Does that help
# here?

# %% tags=["hide-cell"]
skipping = rs.learn_network(data, preset, seed=seed)
skipped = rs.learn(skipping, data, targets, replace(preset.learn, skip=("block0",)), seed=seed, progress=False)
print(f"validation accuracy: all layers {max(history.validation_accuracy):.3f}, "
      f"skip block 0 {max(skipped.validation_accuracy):.3f} (one seed)")

# %% [markdown]
# **2.** How deep should the learning network be? Try 2, 4 and 6 convolutions a block for SGD.

# %% tags=["hide-cell"]
for groups_a_block in (1, 2, 3):
    model = rs.learn_network(data, preset, seed=seed, groups=groups_a_block)
    result = rs.learn(model, data, None, preset.baseline, seed=seed, progress=False)
    print(f"{2 * groups_a_block} convolutions a block: validation accuracy {max(result.validation_accuracy):.3f} (one seed)")
