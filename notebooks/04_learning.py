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

# **Which reading.** The targets are those of [the reading that teaches best](02_search), not the literal one: noise once for
# each channel's map, smoothed alone. A trained network's BatchNorm uses running statistics at test time, so that an image is
# predicted alone as it is in a batch; the paper's uses the statistics of the batch. The tables below say which they have.

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
print(f"preset {preset.name} ({preset.data}), seed {seed}, device cpu; "
      "this chapter takes about a minute")

# %% [markdown]
# ## Search once, keep the targets
#
# Searching is the expensive part, so its result is cached: a folder with a manifest and a file for every 64 images,
# in 16-bit floats. Called again with the same folder, `search` resumes, or returns at once.

# %%
import tempfile
from pathlib import Path

data = rs.load(preset.data, train=preset.train, validation=preset.validation, test=preset.test,
               seed=seed)
network = rs.search_network(data, preset, seed=seed)
folder = Path(tempfile.mkdtemp()) / "targets"
targets = rs.search(network, data.train, preset.search, seed=seed, store=folder, progress=False)

for name in targets.layers:
    loss = targets.cross_entropy(name).mean(0)
    print(f"{name:<8}{targets.shape(name)!s:<14}"
          f"cross-entropy {loss[0]:.2f} before search, {loss[-1]:.2f} after")
for path in sorted(folder.glob("[!.]*")):
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")

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
from IPython.display import Markdown

from repsearch.learning import objective, objective_parts
from repsearch.reproduce.tables import code

Markdown(code(objective_parts, objective))

# %% [markdown]
# We read the squared norm as a mean over a layer's elements, so that layers of different sizes count alike;
# `squares="sum"` is the literal formula. Where a block is skipped, $L-1$ still counts it; `averaged="kept blocks"` divides by
# the number of blocks that have a target, which is a larger step for each.
#
# **Check: the stop-gradient.** The KL term must send nothing into the body.

# %%
model = rs.learn_network(data, preset, seed=seed)
layers = rs.activations(model, data.train.images[:50], sever_head=True)
wanted = [targets.read(name, 0, 50) for name in targets.layers]
parts = objective_parts(layers, wanted, preset.learn)
parts["head"].backward()
in_body = [p.grad for p in model.blocks.parameters() if p.grad is not None and p.grad.any()]
print(f"body: {len(in_body)} parameters with a gradient; "
      f"head: {model.head[1].weight.grad.norm():.3f}")

# %% [markdown]
# **What lambda does.** No parameter feels both terms. Under plain SGD, $\lambda$ therefore only multiplies the learning
# rate of the head. **Check:** the head's gradient for $\lambda$ and $2\lambda$.

# %%
from dataclasses import replace

for weight in (0.03, 0.06):
    config = replace(preset.learn, head_weight=weight)
    model.zero_grad()
    layers = rs.activations(model, data.train.images[:50], sever_head=True)
    objective(objective_parts(layers, wanted, config), config, blocks=3).backward()
    head, body = (part.weight.grad.norm() for part in (model.head[1], model.blocks[0][0][0]))
    print(f"lambda {weight}: head {head:.5f}, body {body:.5f}")

# %% [markdown]
# ## Train it, and its rival
#
# The rival is the same network, from the same initial weights, trained on the labels with cross-entropy in the same
# loop: as many epochs, the same fixed batches, the same choice of the best epoch on validation images. Its learning
# rate is its own. A third network keeps its *untrained* body, and its head learns from the same targets: it says how much of
# the result is the body's.

# %%
searched, rival, untrained = (rs.learn_network(data, preset, seed=seed) for _ in range(3))
history = rs.learn(searched, data, targets, preset.learn, seed=seed, progress=False)
rival_history = rs.fit(
    rival, data, rs.methods.Backprop(), preset.baseline, seed=seed, progress=False)
untrained.blocks.requires_grad_(False)
control = rs.learn(untrained, data, targets, preset.learn, seed=seed, progress=False)

# %% mystnb={"figure": {"caption": "Validation accuracy against epoch, one seed."}, "image": {"alt": "Validation accuracy against epoch for one seed: SGD, search-based, and an untrained body with a trained head."}}
from matplotlib import pyplot as plt

from repsearch.reproduce import figures

curves = {"search-based": history, "SGD": rival_history, "untrained body": control}
figure = figures.learning_curves(
    [{"validation_accuracy": {name: h.validation_accuracy for name, h in curves.items()}}])
plt.show()

# %% [markdown]
# All three classify images they have not seen, and no classification gradient reached the body of the search-based one. It
# is above the untrained body and below SGD. One run proves little, so look at the table further down. First: what did the
# regression reach?

# %%
for name, losses in history.parts.items():
    print(f"{name:<8}{losses[0]:.2f} in the first epoch, {losses[-1]:.2f} in the last")

# %% [markdown]
# How small is small? A network that always gave the mean target would be left with the targets' variance. The regression
# gets lower than that on training images, but stays far from 0:

# %%
for name in targets.layers[:-1]:
    print(f"{name:<8}{targets.read(name).var(0, correction=0).mean():.2f}")

# %% [markdown]
# ## The control that matters
#
# Why does a network with *untrained* blocks classify at all? Random features are features, and ours even start as twins of
# the searched network: the same whitening, the same near-identity convolutions. Regression has taught the body
# something only if it beats that. A second control replaces each image's targets by the mean of its
# class: it says whether a search for every single image finds more than the label does. Three seeds, half the images;
# every seed takes other images, another network and another search.

# %%
from repsearch.reproduce.runs import Run
from repsearch.reproduce.tables import TEST, of_variants

names = ("search-based", "untrained-body", "class-means")
store = Path(tempfile.mkdtemp())  # keeps the searches that the three share
live = [Run("training", preset.data, preset.name, name, s, train=100).compute(store=store)
        for s in range(3) for name in names]
Markdown(of_variants(live, names, [TEST]) + "\n\nDigits, 3 seeds.")

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
from repsearch.reproduce.claims import NAMES
from repsearch.reproduce.records import read_records
from repsearch.reproduce.variants import TABLE1, TABLE2, VARIANTS

book = {key: read_records(f"training-{key}-book-*") for key in NAMES}
figure = figures.scores(book["cifar10"], tuple(TABLE1))
plt.show()

# %%
from repsearch.reproduce.tables import cell, differences, markdown, mean_std, of_variant
from repsearch.reproduce.training_claims import SEARCH_BASED, SGD, best

(paper,) = read_records("paper")
rows = [[VARIANTS[name].what, *(cell(book[key], name, TEST) for key in NAMES)] for name in TABLE1]
rivals, ours = ([of_variant(book[key], best(key, names), TEST) for key in NAMES]
                for names in (SGD, SEARCH_BASED))
rows += [["**best SGD**", *map(mean_std, rivals)], ["**best search-based**", *map(mean_std, ours)],
         ["**behind by**", *map(mean_std, map(differences, rivals, ours))]]
rows += [[f"*paper: {name}*", *("{} ± {}".format(*paper["table1"][key][name]) for key in NAMES)]
         for name in ("SGD", "search-based")]
settings = book["cifar10"][0]["settings"]
Markdown(markdown(["test accuracy, %", *NAMES.values()], rows) + "\n\nMean ± std of 3 seeds; "
         f"{settings['sample']['train']:,} training images, {settings['width']} channels, "
         f"{settings['statistics']} statistics at test time. "
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
titles = {**{name: variant.what for name, variant in TABLE2.items()},
          **{name: f"{VARIANTS[name].what}, not augmented" for name in ("search-based", "sgd2")}}
rows = [[title, *(cell(book[key], name, TEST) for key in keys)] for name, title in titles.items()]
rows += [[f"*paper: {name}*", *("{} ± {}".format(*paper["table2"][key][name]) for key in keys)]
         for name in ("SGD", "all layers", "skip block 0")]
Markdown(markdown(["test accuracy, %", *(NAMES[key] for key in keys)], rows))

# %% [markdown]
# *Skip block 0* takes the mean over the two blocks that are kept, which gives each of them one and a half times the step that
# the formula's $1/(L-1)$ would. On CIFAR-10 the paper's order holds in every seed: without a target on
# block 0 the network does better. On CIFAR-100 the two are level. Augmentation helps search-based training, though one target serves all variants of an image, and helps SGD more,
# so that the gap widens, as it does in the paper.
#
# ## Were the rivals treated alike?
#
# Each training's rates were moved up and down from the preset's, on validation images of CIFAR-10 and with one seed
# (`python -m repsearch reproduce tuning`).

# %%
from repsearch.reproduce.tables import VALIDATION

rows = []
for r in book["cifar10"]:
    if r["seed"] == 0 and (r["test_accuracy"] is None or r["variant"] == "search-based"):
        groups, fit = r["settings"]["groups"], r["settings"]["fit"]
        rate, head = fit["learning_rate"], fit.get("head_weight")  # SGD has no weight of the head
        title = f"{'search-based' if head else 'SGD'}, {2 * groups} convolutions"
        rows.append(((not head, groups, rate, head), [
            title, f"{rate:g}", f"{head:.2g}" if head else "", f"{VALIDATION.value(r):.1f}"]))
head = ["CIFAR-10, one seed", "rate of the body", "weight of the head", VALIDATION.title]
Markdown(markdown(head, [row for _, row in sorted(rows, key=lambda row: row[0])]))

# %% [markdown]
# SGD got the best of these rates at each depth, and search-based training the best of the body's. A slower head did slightly better,
# so it has a row in Table 1; the controls, Table 2 and the other chapters keep the preset's. SGD with augmentation ran at one
# depth, the searched one.
#
# ## Why does it stay behind?
#
# How much of the targets' variance lies between the classes, rather than between images and their searches?

# %%
from repsearch.reproduce.training_claims import FEW, tested, trainings

rows = []
for key, title in NAMES.items():
    shares = [r["found"]["between_class_share"] for r in trainings(key, "search-based")]
    rows.append([title, *(mean_std([100 * share[layer] for share in shares])
                          for layer in shares[0])])
head = ["share of variance between classes, %", "block 0", "block 1", "block 2", "logits"]
chance = [100 * (classes - 1) / (settings["sample"]["train"] - 1) for classes in (10, 100)]
Markdown(markdown(head, rows) + "\n\nTargets that know nothing of the label would have "
         f"{chance[0]:.1f} % with 10 classes and {chance[1]:.1f} % with 100.")

# %% [markdown]
# At the first two blocks most of the variance lies within the classes. Part of it is the image, which the network sees
# and can learn. The rest is the draw of the search, which it cannot learn, only average out. If that is what holds it back,
# then averaging several searches of an image should help, and so should more images. [The ablations](07_ablations) try the
# first. The second is here:

# %%
rows = []
for train in (FEW, None):  # None is the preset's number
    ours, rival = (tested("cifar10", name, train) for name in ("search-based", "sgd2"))
    images = train or settings["sample"]["train"]
    rows.append([f"{images:,} images", *map(mean_std, (ours, rival, differences(rival, ours)))])
Markdown(markdown(
    ["CIFAR-10, test accuracy, %", "search-based", "SGD, 2 convolutions", "behind"], rows))

# %% [markdown]
# The other way round. With few images the two trainings are level; with four times as many, both gain, and SGD gains far more.
# Noise that more images average out cannot be the whole story, then. What else it is, we do not know: class means, made of the
# same searches, do better, so the searched network alone does not set the bound.
#
# ## What the paper says, and what came out
#
# Verdicts follow [these rules](../book/claims.md).

# %% tags=["hide-input"]
from repsearch.reproduce.page import table

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
config = replace(preset.learn, skip=("block0",))
skipped = rs.learn(skipping, data, targets, config, seed=seed, progress=False)
print(f"validation accuracy: all layers {max(history.validation_accuracy):.3f}, "
      f"skip block 0 {max(skipped.validation_accuracy):.3f} (one seed)")

# %% [markdown]
# **2.** How deep should the learning network be? Try 2, 4 and 6 convolutions a block for SGD.

# %% tags=["hide-cell"]
for groups_a_block in (1, 2, 3):
    model = rs.learn_network(data, preset, seed=seed, groups=groups_a_block)
    result = rs.fit(
        model, data, rs.methods.Backprop(), preset.baseline, seed=seed, progress=False)
    print(f"{2 * groups_a_block} convolutions a block: "
          f"validation accuracy {max(result.validation_accuracy):.3f} (one seed)")
