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
# # How the two kinds of models differ
#
# **What you will see.** A network that regresses to searched activations, and one trained by SGD on the labels, may
# reach similar accuracies in different ways. You will follow both through training: how close they come to the
# searched targets, and how alike they represent images of one class and of different classes.
#
# **Before you start.** [Learning](04_learning). **Takes** half a minute on two CPU cores. Section 4.5 and appendix B
# of the paper {cite}`vegesna2025decoupling`, Figures 5 to 7.

# %% tags=["setup", "hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source],
                   check=True)

# %% tags=["setup"]
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from IPython.display import Markdown
from matplotlib import pyplot as plt

import repsearch as rs
from repsearch import measure
from repsearch.reproduce import figures
from repsearch.reproduce.page import titles
from repsearch.reproduce.seeds import followed, shown, trainings
from repsearch.reproduce.trainings import run
from repsearch.reproduce.variants import VARIANTS

seeds = (0, 1, 2)
# few images, to be quick
preset = replace(rs.presets.named(), train=100, validation=100)
preset = replace(preset, groups=1)  # both trainings as deep as the search
print(f"preset {preset.name} ({preset.data}), seeds {seeds}, device cpu; "
      "this chapter takes half a minute")

# %% [markdown]
# ## Three trainings to compare
#
# Validation images have no targets of their own: nothing was searched for them. So we search some, *with their labels*,
# only to measure. They are not used in training.
#
# Beside search-based training and SGD stands a control: a network that regresses to the targets *of other images*,
# which say nothing about the image. The untrained network is where all three start. It is closer to the targets than
# unrelated maps are: it begins as a twin of the network that was searched, and a search starts from that network's
# activations.
#
# The records of the three at the book preset come with the library; they are read here, for later:

# %% tags=["setup"]
names, NAMES = ("search-based", "sgd2", "other"), titles()
book = {key: [record for name in names for record in trainings(key, name)]
        for key in ("mnist", "cifar10", "cifar100")}

# %% [markdown]
# And the three live, on digits:

# %% tags=["copyable"]
live = []
# the three need the same searches: the store keeps them
store = Path(tempfile.mkdtemp())
for seed in seeds:
    for name in names:
        results = run(VARIANTS[name].setup(preset), seed, store=store)
        live.append({"variant": name, **results})

# %% [markdown]
# ## Distance to the targets
#
# For the representation $H$ of an image and its target $\hat H$, the cosine distance is
#
# $$ d(H, \hat H) = 1 - \frac{\langle H, \hat H\rangle}{\lVert H\rVert\,\lVert\hat H\rVert}. $$
#
# Zero is the same direction, one is unrelated.

# %% mystnb={"figure": {"caption": "Digits: cosine distance to the searched targets of validation images against epoch. Bands: range over 3 seeds."}, "image": {"alt": "Three panels, one a block: distance of search-based training falls below that of SGD; controls lie between and above."}}
H = torch.randn(4, 8, 5, 5, generator=torch.Generator().manual_seed(0))
itself, unrelated = (measure.cosine_distance(H, other).mean()
                     for other in (2 * H, H.roll(1, 0)))
print(f"to itself {itself.abs():.2f}, to unrelated maps {unrelated:.2f}")
figure = figures.figure5(live)
plt.show()

# %% [markdown]
# Follow the blue line: regression brings unseen digits closer to their own targets than they are in the untrained
# network, which is not drawn, and less so to those of others (dotted). SGD is not shown to, at any block, and a body
# that regresses to others' targets does not.
#
# CIFAR-10, CIFAR-100 and MNIST at the book preset (`python -m repsearch reproduce fig5`):

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-10: cosine distance to the searched targets of validation images against epoch."}, "image": {"alt": "Three panels, one a block, with the distances of search-based training, SGD and two controls."}}
figure = figures.figure5(book["cifar10"])
plt.show()

# %% tags=["copyable"] mystnb={"figure": {"caption": "The same for CIFAR-100."}, "image": {"alt": "Three panels, one a block, as before."}}
figure = figures.figure5(book["cifar100"])
plt.show()

# %% tags=["copyable"] mystnb={"figure": {"caption": "The same for MNIST."}, "image": {"alt": "Three panels, one a block, as before; the distances of SGD stay lower than on photographs."}}
figure = figures.figure5(book["mnist"])
plt.show()

# %% [markdown]
# The distances at the end, seed by seed: how much nearer to an image's own targets search-based training ends than
# each of the others. An interval that leaves out zero is bold.

# %% tags=["copyable"]
from repsearch.reproduce.tables import Column, against


def distance_at(block: int) -> Column:
    """The distance of a block after the last epoch."""
    def value(record: dict) -> float:
        return [row["distance"] for row in record["measured"]
                if row["block"] == block][-1]
    return Column(f"distance at block {block}", value, 2)


Markdown("\n\n".join(
    f"**{NAMES[key]}**\n\n"
    + against(records, ("sgd2", "other"), "search-based", distance_at(block))
    for key, records in book.items() for block in (0, 2)))

# %% [markdown]
# The tables show the first and the last block. The paper reports that SGD stays near one. Here it starts well below
# one, because the untrained network is a twin of the searched one, and moves towards one. It gets near at the two
# later blocks on photographs, and nowhere on MNIST; the intervals are in the table of claims below.
#
# ## Within and between classes
#
# How alike are the representations of one class? Take the cosines $K_{ij}$ of all pairs of validation images, and the
# collision entropy of those of the same class, and of those of different classes:
#
# $$ \begin{aligned} E_\text{within} &= -\log \operatorname*{mean}_{i\ne j,\; y_i=y_j} K_{ij}^2, \\
#    E_\text{between} &= -\log \operatorname*{mean}_{y_i\ne y_j} K_{ij}^2. \end{aligned} $$
#
# Low entropy: alike. High: spread out. The paper does not define the two in full; this is our reading. The control is
# the first one with the classes shuffled: only what lies *below* it is order by class.

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-10: within-class entropy of validation images against epoch (the paper's Figure 6). Bands: range over seeds."}, "image": {"alt": "Three panels, one a block: within-class entropy of both trainings, with shuffled classes as control."}}
figure = figures.entropies(book["cifar10"], "within")
plt.show()

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-10: between-class entropy (the paper's Figure 7)."}, "image": {"alt": "Three panels, one a block: between-class entropy of both trainings."}}
figure = figures.entropies(book["cifar10"], "between")
plt.show()

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-100: within-class entropy."}, "image": {"alt": "Three panels, one a block: within-class entropy of both trainings, with shuffled classes as control."}}
figure = figures.entropies(book["cifar100"], "within")
plt.show()

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-100: between-class entropy."}, "image": {"alt": "Three panels, one a block: between-class entropy of both trainings."}}
figure = figures.entropies(book["cifar100"], "between")
plt.show()

# %% [markdown]
# In both trainings the solid lines lie below the dotted ones: there is order by class. They come to it in different
# ways. On photographs SGD makes *all* images more alike at the early blocks than they are before training, of one
# class and of different classes. Search-based training leaves them nearly as spread out, or spreads them further. The
# tables separate spread and order; some order is there before training, so what a training adds is its gain:

# %% tags=["copyable"]
from repsearch.reproduce.seeds import paired
from repsearch.reproduce.tables import markdown

head = ["nats", "within", "spread: within, classes shuffled",
        "order by class: the difference", "between"]
trainings_at = (  # before the training, and after it
    ("search-based", "untrained", 0), ("search-based", "search-based", 1),
    ("sgd2", "SGD", 1))
parts = []
for key, name in NAMES.items():
    rows = []
    for variant, title, at in trainings_at:
        for block in range(3):
            within, shuffled, between = (
                followed(key, variant, measured, block, at)
                for measured in ("within", "within_shuffled", "between"))
            values = (within, shuffled, paired(shuffled, within), between)
            rows.append([f"{title}, block {block}",
                         *(shown(value, 2) for value in values)])
    parts.append(f"**{name}**\n\n" + markdown(head, rows))
Markdown("\n\n".join(parts))

# %% [markdown]
# ## What the paper says, and what came out
#
# Verdicts follow [these rules](../book/claims.md).

# %% tags=["copyable", "hide-input"]
from repsearch.reproduce.page import table

Markdown(table(("4.5", "B")))

# %% [markdown]
# **Summary.** Search-based training comes closer to the targets of images it has never seen, and its control does
# not. This is our closest test of whether targets carry over to unseen images. On photographs its representations
# stay nearly as spread out as an untrained network's, or spread further, where SGD's contract at the early blocks. On
# average over blocks it gains order by class on all three data sets, SGD on MNIST and CIFAR-10. What the distance
# under SGD is near depends on where the network starts, so one is not a value to compare with; the untrained network
# is.
#
# ## Questions
#
# <details><summary>What is amortisation, and how does this chapter test it?</summary>
#
# It is one network that gives in one forward pass, for images it has not seen, what search would have had to find
# for each. So we search validation images, with their labels and only to measure, and ask how near the network
# comes to what was found. On all three data sets it comes nearer than the untrained network is, and a network
# trained on others' targets does not: something carries over. On photographs most of the distance remains, so the
# network does not replace the search.
#
# </details>
#
# <details><summary>SGD stays below a distance of one. Why does this not show that it finds what the search
# found?</summary>
#
# Distance one is that of unrelated maps, but no training here starts there. The untrained network is a twin of the
# searched one, so that it is nearer from the start. What counts is the way from there: SGD moves away from the
# targets, search-based training towards them.
#
# </details>
#
# <details><summary>A training lowers the entropy within classes. Why must the classes be shuffled before one calls
# this order?</summary>
#
# The entropy also falls when all images become more alike, of whatever class. Shuffled classes keep that and take
# the class away, so only what lies below them is order by class. On CIFAR-100 the two come apart: after SGD the
# entropy within classes is lower than before training, and the order by class, on average over the blocks, is
# lower, too.
#
# </details>
#
# ## Exercises
#
# **1.** How much of the distance that search-based training gains is about *this* image, and how much is common to all
# targets? Use the control that trained on others' targets.

# %% tags=["copyable", "hide-cell"]
for block in range(3):
    start, own, other = (
        followed("cifar10", variant, "distance", block, at)
        for variant, at in (("search-based", 0), ("search-based", 1),
                            ("other", 1)))
    print(f"block {block}: from {shown(start, 2)} untrained "
          f"to {shown(own, 2)}; trained on others' targets {shown(other, 2)}")

# %% [markdown]
# **2.** What are the two entropies of representations that are equal within a class and orthogonal between classes? And
# of one class that has two orthogonal halves?

# %% tags=["copyable", "hide-cell"]
labels = torch.tensor([0, 0, 1, 1])
H = torch.tensor([[1.0, 0.01], [1, 0], [0, 1], [0, 1]])
within, between = measure.class_entropies(H, labels)
print(f"nearly so: within {within:.2f}, between {between:.1f}; "
      "exactly so, between would be infinite")
halves = torch.eye(4)[[0, 0, 1, 1, 2, 2]]
within, _ = measure.class_entropies(halves, torch.tensor([0, 0, 0, 0, 1, 1]))
print(f"two halves: {within:.2f} = log(12 pairs and the 2 of the other class, "
      f"over the 4 + 2 that agree) = {torch.tensor(14 / 6).log():.2f}")

# %% [markdown]
# **3.** Which network tells the classes apart best at block 2? Take shuffled minus within entropy on the digits: more
# is better.

# %% tags=["hide-cell"]
for name in names:
    ends = [row for r in live if r["variant"] == name for row in r["measured"]
            if row["block"] == 2 and row["epoch"] == preset.learn.epochs]
    print(
        f"{name}: "
        f"{shown([row['within_shuffled'] - row['within'] for row in ends], 2)}"
        " nats")
# The ranges of the first two overlap: three seeds do not tell which of them.
