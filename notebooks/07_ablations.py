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
# **Before you start.** [Search](02_search), [Learning](04_learning). **Takes** a minute and a half on two CPU cores.
# Sections 3.1 and 4.2 of the paper {cite}`vegesna2025decoupling`, and what it leaves open.

# %% tags=["setup", "hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source],
                   check=True)

# %% tags=["setup"]
from dataclasses import replace

from IPython.display import Markdown
from matplotlib import pyplot as plt

import repsearch as rs
from repsearch.reproduce.seeds import FEW, trainings
from repsearch.reproduce.tables import (
    LOSS,
    REGRESSION,
    SHARE,
    TEST,
    against,
    of_variants,
)
from repsearch.reproduce.trainings import run
from repsearch.reproduce.variants import ABLATIONS, VARIANTS

# few images
preset, seeds = (replace(rs.presets.named(), train=100, validation=100),
                 (0, 1, 2))
print(f"preset {preset.name} ({preset.data}), seeds {seeds}, device cpu; "
      "this chapter takes a minute and a half")

# %% [markdown]
# Here are the names of the variants, first those of the search, then those of the learning. The records of their
# trainings on photographs come with the library; they are read here, for later:

# %% tags=["setup"]
of_search = ("search-based", "literal-reading", "blurred-child", "noise-pixel",
             "no-smoothing", "noise-pixel-no-smoothing",
             "noise-pixel-border-inside", "no-normalisation",
             "no-normalisation-x0.1", "no-explorers", "head-torch", "averaged")
of_learning = ("search-based", "normalised-output", "sum", "lambda-x0.1",
               "lambda-x10", "groups2", "groups3", "batch-statistics",
               "class-means", "untrained-body", "sgd2")
order = ("search-based", *ABLATIONS, "class-means", "untrained-body", "sgd2")
book = [record for name in order for record in trainings("cifar10", name, FEW)]
columns = [LOSS, SHARE, REGRESSION, TEST]

# %% [markdown]
# ## Live: what is noise, and what is smoothed?
#
# Mutation adds noise, scaled by the spread of each channel. Is it drawn for every **pixel** of a map, or once for the
# whole **map**? And smoothing averages neighbours: in the whole **child**, whose detail is then blurred again in every
# generation, or in the **noise** alone? Four combinations, on digits:

# %% tags=["copyable"]
from repsearch.config import as_dict

names, live = ("literal-reading", "blurred-child", "noise-pixel",
               "search-based"), []
for seed in seeds:
    for name in names:
        setup = VARIANTS[name].setup(preset)
        about = {"variant": name, "seed": seed, "settings": as_dict(setup)}
        live.append({**about, **run(setup, seed)})

# %%
Markdown(of_variants(live, names, columns, base="search-based")
         + f"\n\nDigits, {len(seeds)} seeds. "
         "The base draws noise once a map, and smooths it alone.")

# %% [markdown]
# Block 0, searched first and longest, stands for the fit of the whole search. Smoothing the whole child searches
# worst, whichever way noise is drawn. Noise for every pixel, smoothed alone, fits best by far; on digits it is not
# shown to teach less than the base.
#
# ## All of them, on photographs
#
# CIFAR-10 at the book preset with fewer images:
#
# ```
# python -m repsearch reproduce ablations
# ```
#
# The base, called search-based, is the book preset. A row changes what it names; the last three are rivals and
# controls. The regression error is that of training images in the epoch chosen on validation images, per element; the
# share of variance between classes is the mean of the three blocks.

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-10: test accuracy of every variant; the base is the one called search-based. Bars: mean; dots: seeds."}, "image": {"alt": "Horizontal bars of test accuracy, one for each variant, with a dot for each seed."}}
from repsearch.reproduce import figures

figure = figures.scores(book, order)
plt.show()

# %% [markdown]
# ### In the search

# %% tags=["copyable"]
Markdown(of_variants(book, of_search, columns, base="search-based")
         + f"\n\nCIFAR-10, {FEW} images.")

# %% [markdown]
# How far is each from the base, seed by seed? An interval that leaves out zero is bold.

# %% tags=["copyable"]
Markdown(against(book, [name for name in of_search if name != "search-based"],
                 "search-based", TEST))

# %% [markdown]
# The first and the last column tell different stories. By its own goal, the cross-entropy of block 0, the best
# searches are the one without normalisation, whose first candidates are not normalised either, and the one with noise
# for every pixel, smoothed alone. The second teaches less than the base, and the first, at a rate of its own, is not
# shown to teach more. The literal reading, in which the whole child is smoothed, too, hardly searches at this size,
# and its network is not shown to be better than an untrained body. Smoothing noise that is drawn for every pixel
# makes the search far better; whether that is crucial to the network these seeds leave open. Noise drawn once a map
# is smooth already, but for the border, beyond which smoothing counts zeros: there, smoothing it is not crucial.
#
# *Normalisation* looked crucial as long as its ablation kept the base's learning rate. Without it targets are many
# times as large, and at that rate accuracy falls below that of an untrained body. At a tenth of it one training broke
# down, and no other network ends more than half a point below the base's. Whether normalisation makes learning
# better, or steadier, is open.
#
# Whether *explorers*, the children with strong noise, help the network, and whether averaging four searches of an
# image does, the intervals leave open.
#
# ### In the learning

# %% tags=["copyable"]
Markdown(of_variants(book, of_learning, columns, base="search-based")
         + f"\n\nCIFAR-10, {FEW} images.")

# %% tags=["copyable"]
Markdown(against(book, [name for name in of_learning if name != "search-based"],
                 "search-based", TEST))

# %% [markdown]
# On average the largest losses are those of a head that learns ten times as fast, and of 6 convolutions a block: most
# of what training adds to an untrained body. Of the two only the second is sure to lose anything. What is bold is
# sure; the rest, a slower head and the statistics at test time among it, is open.
#
# ### What a seed decides
#
# A seed takes the images, draws the networks, and draws the search. Here it decides one of them alone, the others
# staying those of seed 0:

# %% tags=["copyable"]
from repsearch.reproduce.own_claims import spread
from repsearch.reproduce.tables import markdown
from repsearch.reproduce.variants import PARTS

rows = [[f"the {part}", f"{spread(part)[0]:.1f}"] for part in PARTS]
rows.append(["all of them", f"{spread(PARTS[0])[1]:.1f}"])
Markdown(markdown(["the seed decides",
                   "standard deviation of test accuracy, points"], rows))

# %% [markdown]
# In these three seeds of each the images decide most, and the networks and the draws of the search less; so few do
# not show that it is so. The last row is over ten seeds.
#
# ## Does good search make good learning?
#
# Each number is a variant of the search, averaged over seeds, and what networks learned from it. On the left, how
# well search did its own job. On the right, how much of what it found is about the class, and not about this image or
# this search.

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-10: test accuracy against two properties of the targets; a number a variant of the search, mean over seeds."}, "image": {"alt": "Two scatter plots of test accuracy, against cross-entropy of block 0 and against the share of variance between classes."}}
from statistics import mean

import torch

from repsearch.reproduce.tables import of_variant

# Not drawn: targets many times as large. Left out: training diverged, or
# learned from other targets.
undrawn, left_out = "no-normalisation-x0.1", ("no-normalisation", "averaged")
dots = [name for name in of_search if name not in (undrawn, *left_out)]
loss, share, accuracy = (
    [mean(of_variant(book, name, column)) for name in (*dots, undrawn)]
    for column in (LOSS, SHARE, TEST))
figure, axes = plt.subplots(1, 2, figsize=(6.4, 4.4), sharey=True,
                            layout="constrained", facecolor="white")
for ax, values, column in zip(axes, (loss, share), (LOSS, SHARE), strict=True):
    for i, name in enumerate(dots):
        dot = values[i], accuracy[i]
        ax.plot(*dot, "o", markersize=4, color="#0173b2",
                label=f"{i + 1}  {VARIANTS[name].what}")
        ax.annotate(i + 1, dot, (4, 3), textcoords="offset points", fontsize=9)
    ax.set_xlabel(column.title.replace(",", ",\n"))
axes[0].set_ylabel(TEST.title)
figure.legend(*axes[0].get_legend_handles_labels(), ncols=2, fontsize=8,
              loc="outside lower center", frameon=False,
              markerscale=0, handlelength=0, handletextpad=0)
for title, count in ((f"over {len(dots)} variants", len(dots)),
                     (f"with {undrawn}, too", None)):
    found = (
        torch.corrcoef(torch.tensor([values[:count], accuracy[:count]]))[0, 1]
        for values in (loss, share))
    print(f"correlation with accuracy, left and right, {title}:",
          *(f"{r:.2f}" for r in found))
plt.show()

# %% [markdown]
# On these photographs a search can be good at its own goal and bad for learning; how much of the targets' variance
# belongs to the class goes with accuracy far better. That is a correlation over few variants, and among [more and
# less search](05_compute) it rests on one, a quarter of the generations: a hint.
#
# ## Two readings that tie images together
#
# BatchNorm could use the statistics of the candidates instead of frozen ones, and selection could rank a candidate by
# its mean fitness over a whole batch. Either makes an image's result depend on its neighbours, so only the reference
# implementation searches them, at the smoke preset, on digits (`python -m repsearch reproduce batch`). The base is
# searched by the engine, with other random draws.

# %% tags=["copyable"]
from repsearch.reproduce.records import read_records

names = ("search-based", "candidate-statistics", "batch-selection")
tied = read_records("training-digits-smoke-*")
Markdown(of_variants(tied, names, columns, base="search-based")
         + f"\n\nDigits, {len(seeds)} seeds; "
         "the base is here the smoke preset.")

# %% [markdown]
# The statistics of the candidates search better than our frozen ones, at the price that an image's result depends on
# its neighbours; whether the network learns more from them, three seeds cannot tell on test images, neither of digits
# nor of photographs (`python -m repsearch reproduce candidates`). Selection for a whole batch searches far less, and
# costs nearly half of the accuracy: no candidate suits all images at once.
#
# ## What the paper says, and what came out
#
# Verdicts follow [these rules](../book/claims.md).

# %% tags=["copyable", "hide-input"]
from repsearch.reproduce.page import table

Markdown(table(("3.1", "4.2"), where=lambda claim: claim.experiment in (
    "ablations", "batch", "candidates")))

# %% [markdown]
# **Summary.** Selection must be for each image. The literal reading, noise for every pixel and the whole child
# smoothed, costs most of what training adds; smoothing is not crucial in the base's reading. Without normalisation,
# at a rate of its own, a network is not shown to learn less; one training broke down. What explorers are worth is
# open. And on photographs how well a search fits does not tell how well a network learns from it.
#
# ## Questions
#
# <details><summary>Without normalisation accuracy falls at the base's rate. What does the row at a tenth of that
# rate control?</summary>
#
# The rate. Without normalisation targets are many times as large, so a rate chosen for the base does not suit them,
# and the fall may come from that alone. At a rate of their own all networks but one end no more than half a point
# below the base's. Whether normalisation makes the learning better is undecided; the claim that the search needs it
# to converge fails.
#
# </details>
#
# <details><summary>Is smoothing crucial? Why does the answer depend on what the noise is?</summary>
#
# Smoothing takes out what is a pixel wide. Noise drawn once a map has nothing of the kind but at the border, so
# there is little to take out, and in that reading the claim fails. Noise for every pixel has much of it: smoothed
# alone, it makes the search far better, but whether that is crucial to the network is undecided. With the whole
# child smoothed it is not sure that training adds anything, so the question cannot be put.
#
# </details>
#
# <details><summary>You have a new variant of the search, and it reaches a far lower cross-entropy. What would you
# do before you adopt it?</summary>
#
# Train on its targets, several seeds beside the base, and compare on validation images. Over the variants here the
# cross-entropy hardly goes with accuracy; of the two that search best one teaches less than the base, and the other
# is not shown to teach more. The share of variance between classes goes with accuracy better. But that is a
# correlation over few variants: a hint where to look, and no substitute.
#
# </details>
#
# ## Exercises
#
# **1.** Does the order of the four readings on digits hold for each seed?

# %% tags=["hide-cell"]
for seed in seeds:
    ranked = sorted((r for r in live if r["seed"] == seed),
                    key=lambda r: -r["test_accuracy"])
    print(seed, *(f"{r['variant']} {r['test_accuracy']:.3f}" for r in ranked),
          sep="  ")

# %% [markdown]
# **2.** A variant of your own: what if refiners may only come from parents? Write it as a `Variant`, and
# train it.

# %% tags=["copyable", "hide-cell"]
from repsearch.reproduce.variants import Variant

mine = Variant("refiners from parents",
               search=lambda s: replace(s, refine_from="parents"))
r = run(mine.setup(preset), seed=2)
print(f"cross-entropy of block 0 {LOSS.value(r):.2f}, "
      f"accuracy {r['test_accuracy']:.3f}")

# %% [markdown]
# **3.** An interval that contains zero shows no effect, and does not show that there is none. How many seeds would
# decide whether each variant differs from the base by half a point, if the difference and its spread are those seen
# here?

# %% tags=["copyable", "hide-cell"]
from repsearch.reproduce.intervals import seeds_needed
from repsearch.reproduce.seeds import paired, tested

base = tested("cifar10", "search-based", FEW)
for name in ("no-smoothing", "no-explorers", "averaged", "groups3"):
    apart = paired(tested("cifar10", name, FEW), base)
    sign = 1 if sum(apart) > 0 else -1
    print(f"{name:<14}"
          f"{seeds_needed([sign * value for value in apart], least=0.5)}")
