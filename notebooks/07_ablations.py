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
# # What matters: one choice at a time
#
# **What you will see.** The method has many parts, and the paper leaves several of them open. Here each is changed
# alone. Three things are watched: what the *search* reaches, how well the *regression* fits, and how well the network
# *classifies*. They do not always agree.
#
# **Before you start.** [Search](02_search), [Learning](04_learning). **Takes** half a minute on two CPU cores. Sections 3.1 and
# 4.2 of the paper {cite}`vegesna2025decoupling`, and what it leaves open.

# %% tags=["hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

# %%
from dataclasses import replace

import repsearch as rs
from repsearch.trainings import train

preset, seeds = replace(rs.presets.named(), train=100, validation=100), (0, 1, 2)  # few images, to be quick
preset = replace(preset, search=replace(preset.search, noise="map", blurred="noise"))  # the book preset's readings
print(f"preset {preset.name} ({preset.data}), seeds {seeds}, device cpu; this chapter takes half a minute")

# %% [markdown]
# ## Live: what is noise, and what is smoothed?
#
# Mutation adds noise, scaled by the spread of each channel. Is it drawn for every **pixel** of a map, or once for the
# whole **map**? And smoothing averages neighbours: in the whole **child**, whose detail is then blurred again in every
# generation, or in the **noise** alone? Four combinations, on digits:

# %%
names = ("default-reading", "blurred-child", "noise-pixel", "search")
live = []
for seed in seeds:
    data = rs.load(preset.data, train=preset.train, validation=preset.validation, test=preset.test, seed=seed)
    live += [train(data, preset, name, seed) for name in names]

# %%
from IPython.display import Markdown

from repsearch.evidence import spread


def rows(records: list[dict], names: tuple[str, ...]) -> str:
    """A table of variants: what search reached, what is left in the regression, and test accuracy."""
    lines = ["| | cross-entropy of block 0, nats | variance between classes at block 2, % | error at block 2 | test accuracy, % |",
             "|---|---|---|---|---|"]
    for name in names:
        chosen = [r for r in records if r["variant"] == name]
        found = [r["found"] for r in chosen]
        cells = ["", "", ""]
        if chosen[0]["search"]:
            cells = [spread([f["cross_entropy"]["block0"][1] for f in found], 2),
                     spread([100 * f["between_class_share"]["block2"] for f in found]),
                     spread([r["errors"]["block2"] for r in chosen], 2)]
        lines.append(f"| {'**base**' if name == 'search' else chosen[0]['what']} | {' | '.join(cells)} | "
                     f"{spread([100 * r['test_accuracy'] for r in chosen])} |")
    return "\n".join(lines)


Markdown(rows(live, names) + f"\n\nDigits, {len(seeds)} seeds. The base draws noise once a map, and smooths it alone.")

# %% [markdown]
# LIVE-TEXT
#
# ## All of them, on photographs
#
# CIFAR-10 at the book preset with fewer images:
#
# ```
# python -m repsearch reproduce ablations
# ```
#
# The base is the book preset. Every row changes one thing; the last three are rivals and controls.

# %% mystnb={"figure": {"caption": "CIFAR-10: test accuracy of every variant. Bars: mean; dots: seeds."}, "image": {"alt": "Horizontal bars of test accuracy, one for each variant, with a dot for each seed."}}
from matplotlib import pyplot as plt

from repsearch import plots
from repsearch.records import read_records
from repsearch.trainings import ABLATIONS

book = read_records("study-cifar10-book-*")
order = ("search", *ABLATIONS, "class-means", "untrained-body", "sgd2")
figure = plots.scores(book, order)
plt.show()

# %% [markdown]
# ### In the search

# %%
of_search = ("search", "default-reading", "noise-pixel", "blurred-child", "no-smoothing", "noise-pixel-no-smoothing",
             "no-normalisation", "no-explorers", "border-inside", "head-framework", "averaged", "width-x2")
Markdown(rows(book, of_search) + f"\n\nCIFAR-10, {book[0]['train']} images, {len(seeds)} seeds.")

# %% [markdown]
# SEARCH-TEXT
#
# ### In the learning

# %%
of_learning = ("search", "normalised-output", "sum", "lambda-x0.1", "lambda-x10", "groups2", "groups3", "running-statistics",
               "class-means", "untrained-body", "sgd2", "sgd2-width-x2")
Markdown(rows(book, of_learning) + f"\n\nCIFAR-10, {book[0]['train']} images, {len(seeds)} seeds.")

# %% [markdown]
# LEARNING-TEXT
#
# ## Does good search make good learning?
#
# Each dot is one search and what a network learned from it. On the left, how well the search did its own job. On the
# right, how much of what it found is about the class, and not about this image or this search.

# %% mystnb={"figure": {"caption": "CIFAR-10: test accuracy against two properties of the targets; a dot a seed of every variant that changes the search."}, "image": {"alt": "Two scatter plots of test accuracy, against cross-entropy of block 0 and against the share of variance between classes at block 2."}}
import torch

dots = [r for r in book if r["variant"] in of_search and r["variant"] not in ("no-normalisation", "width-x2")]
accuracy = [100 * r["test_accuracy"] for r in dots]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained", facecolor="white")
correlations = []
for ax, values, label in zip(axes, (
    [r["found"]["cross_entropy"]["block0"][1] for r in dots],
    [100 * r["found"]["between_class_share"]["block2"] for r in dots],
), ("cross-entropy of block 0 after search, nats", "variance between classes at block 2, %"), strict=True):
    ax.plot(values, accuracy, "o", color="#0173b2")
    ax.set_xlabel(label)
    correlations.append(f"{torch.corrcoef(torch.tensor([values, accuracy]))[0, 1]:.2f}")
axes[0].set_ylabel("test accuracy, %")
print("correlation with accuracy, left and right:", *correlations)
plt.show()

# %% [markdown]
# DOTS-TEXT
#
# ## Two readings that tie images together
#
# BatchNorm could use the statistics of the candidates instead of frozen ones, and selection could rank a candidate by
# its mean fitness over a whole batch. Either makes an image's result depend on its neighbours, so only the reference
# implementation searches them, at the smoke preset, on digits (`python -m repsearch reproduce batch`).

# %%
tied = [r for name in ("search", "candidate-statistics", "batch-selection") for r in read_records(f"training-digits-smoke-{name}-*")]
Markdown(rows(tied, ("search", "candidate-statistics", "batch-selection")) + f"\n\nDigits, {len(seeds)} seeds; the base is here the smoke preset.")

# %% [markdown]
# TIED-TEXT
#
# ## What the paper says, and what came out

# %% tags=["hide-input"]
from repsearch.claims import table

Markdown(table(("3.1",)))

# %% [markdown]
# SUMMARY
#
# ## Exercises
#
# **1.** Does the order of the four readings on digits hold for each seed?

# %% tags=["hide-cell"]
for seed in seeds:
    ranked = sorted((r for r in live if r["seed"] == seed), key=lambda r: -r["test_accuracy"])
    print(seed, *(f"{r['variant']} {r['test_accuracy']:.3f}" for r in ranked), sep="  ")

# %% [markdown]
# **2.** A variant of your own: what if refiners may only come from parents? Write it as a `Variant`, give it a name, and
# train it.

# %% tags=["hide-cell"]
from repsearch.trainings import VARIANTS, Variant

VARIANTS["refine-from-parents"] = Variant("refiners from parents", search=lambda s: replace(s, refine_from="parents"))
r = train(data, preset, "refine-from-parents", seed=2)
print(f"cross-entropy of block 0 {r['found']['cross_entropy']['block0'][1]:.2f}, accuracy {r['test_accuracy']:.3f}")

# %% [markdown]
# **3.** How large would a difference between two variants have to be to be seen with three seeds? Take the spread of the
# base.

# %% tags=["hide-cell"]
base = torch.tensor([100 * r["test_accuracy"] for r in book if r["variant"] == "search"])
print(f"standard deviation of a seed {base.std():.1f} points; of a difference of two means {base.std() * (2 / len(base)) ** 0.5:.1f}; "
      f"so about {2 * base.std() * (2 / len(base)) ** 0.5:.1f} points")
