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
# # Does more search make a better network?
#
# **What you will see.** Search costs compute, and [more of it](03_scaling) finds activations that fit the label better.
# Does the network that learns from them get better, too? You will search with small and large populations, train on
# what each found, and look at the same experiment on photographs.
#
# **Before you start.** [Scaling](03_scaling), [Learning](04_learning). **Takes** a minute on two CPU cores. Section 4.4
# of the paper {cite}`vegesna2025decoupling`, Figure 4.

# %% tags=["setup", "hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source],
                   check=True)

# %% tags=["setup"]
from IPython.display import Markdown
from matplotlib import pyplot as plt

import repsearch as rs
from repsearch.reproduce import figures
from repsearch.reproduce.page import titles
from repsearch.reproduce.runs import Run
from repsearch.reproduce.seeds import FEW, trainings
from repsearch.reproduce.tables import (
    LOSS,
    SHARE0,
    VALIDATION,
    against,
    of_variants,
)
from repsearch.reproduce.variants import VARIANTS

preset, seeds = rs.presets.named(), (0, 1, 2)
print(f"preset {preset.name} ({preset.data}), seeds {seeds}, device cpu; "
      "this chapter takes a minute")

# %% [markdown]
# ## One search, one training
#
# A `Run` searches, trains on the targets, and measures; a *variant* says what is changed. Here are the names of those
# of Figure 4. The records of their trainings on photographs, and of an untrained body's and SGD's, come with the
# library; they are read here, for later:

# %% tags=["setup"]
names = ("population-x0.25", "generations-x0.25", "search-based",
         "population-x2", "generations-x2")
columns, NAMES = [LOSS, SHARE0, VALIDATION], titles()
book = {key: [record for name in names for record in trainings(key, name, FEW)]
        for key in ("cifar10", "cifar100")}
controls = {key: [*records, *trainings(key, "untrained-body", FEW),
                  *trainings(key, "sgd2", FEW)]
            for key, records in book.items()}

# %% [markdown]
# In these variants the population, or the generations of every layer, are those of the base times some factor:

# %% tags=["copyable"]
for name in names:
    search = VARIANTS[name].setup(preset).searched.search
    generations = [row.generations for row in search.schedule]
    print(f"{name:<18} {search.population:>4} candidates, "
          f"generations {generations}")

# %% [markdown]
# Now the populations, on digits. All else stays: the images, the network, the training. What changes is how good the
# targets are. Block 0, searched first and longest, stands for the fit of the whole search.

# %% tags=["copyable"]
populations = ("population-x0.25", "search-based", "population-x2")
live = [
    Run("training", preset.data, preset.name, name, seed, train=100).compute()
    for seed in seeds for name in populations]  # few images, to be quick

# %%
Markdown(of_variants(live, populations, columns, base="search-based")
         + f"\n\nDigits, {len(seeds)} seeds, mean ± std.")

# %% [markdown]
# A quarter of the candidates fit far worse, and twice as many slightly better. What that does to accuracy is within the
# spread of the seeds.

# %% [markdown]
# ## Figure 4
#
# CIFAR-10 and CIFAR-100 at the book preset, with fewer images (the tables below say how many):
#
# ```
# python -m repsearch reproduce fig4
# ```

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-10: validation accuracy (top) and cross-entropy of block 0 after search (bottom), against population (left) and generations (right). Bands: range over seeds."}, "image": {"alt": "Four panels: accuracy against population and against generations on top, the cross-entropy that search reached below."}}
figure = figures.figure4(book["cifar10"])
plt.show()

# %% tags=["copyable"] mystnb={"figure": {"caption": "The same for CIFAR-100."}, "image": {"alt": "Four panels as before, for CIFAR-100."}}
figure = figures.figure4(book["cifar100"])
plt.show()

# %% tags=["copyable"]
Markdown("\n\n".join(
    f"**{NAMES[key]}**, {FEW} images\n\n"
    + of_variants(records, (*names, "untrained-body", "sgd2"), columns,
                  base="search-based")
    for key, records in controls.items()))

# %% [markdown]
# What the figure compares, seed by seed. An interval that leaves out zero is bold.

# %% tags=["copyable"]
rivals = [name for name in names if name != "search-based"]
Markdown("\n\n".join(
    f"**{NAMES[key]}**\n\n"
    + against(records, rivals, "search-based", VALIDATION)
    for key, records in controls.items()))

# %% [markdown]
# The lower panels are clear: more search fits better on both axes, and less and less so. The upper ones are less so.
# More generations teach more up to the base, and on CIFAR-10, by less than a point on average, beyond it. Of more
# candidates no gain is sure on these validation images; on CIFAR-100 one of half a point is ruled out. Whether there
# is anything to gain on CIFAR-100, with five images a class, the untrained body says:

# %% tags=["copyable"]
Markdown(against(controls["cifar100"], names, "untrained-body", VALIDATION))

# %% [markdown]
# The base is not shown to be better than it. With few generations the network is surely worse; with twice as many it is
# surely better, by little. (Shares of variance look high there: with so few images a class, a fifth would be
# there if targets knew nothing of it.)
#
# ## What the paper says, and what came out
#
# Verdicts follow [these rules](../book/claims.md).

# %% tags=["copyable", "hide-input"]
from repsearch.reproduce.page import table

Markdown(table(("4.4",)))

# %% [markdown]
# **Summary.** More search fits better, with falling returns. With more generations a network learns more, most of it
# up to the base; beyond that a gain is sure on CIFAR-10 alone, and small. With more candidates no gain is sure, and
# on CIFAR-100 none that matters is left. Whether accuracy saturates, as in the paper, is open. And fit is not all:
# [the ablations](07_ablations) show a search that fits far better and teaches less.
#
# ## Questions
#
# <details><summary>How can a search that fits its labels better teach a network no more?</summary>
#
# Fit is judged by the network that was searched, one image at a time. The network that learns has to produce the
# target from the image alone. What a target owes to the draw of its search cannot be predicted, only averaged out,
# and a longer search need not make the rest any larger. So accuracy has to be measured; the cross-entropy of the
# search does not stand in for it.
#
# </details>
#
# <details><summary>With twice the population, no gain in accuracy is sure. Does this show that accuracy
# saturates?</summary>
#
# No. An interval that contains zero shows no effect, and does not show that there is none. To saturate is to rise
# first, then to rise less, and not to fall, and with the population not even the first rise is sure; on CIFAR-100 the
# interval from a quarter to twice leaves out a rise of half a point, if only just. There the base is not shown to be
# better than an untrained body, so there is hardly a gain that could level off. Whether accuracy saturates is
# undecided.
#
# </details>
#
# <details><summary>What would convince you that more search pays at the paper's size?</summary>
#
# The accuracy of the networks that learned, compared seed by seed, that rises from one amount of search to the
# next, all of it above an untrained body. It should also rise by more than the same compute spent on a longer
# training, or on more images. A lower cross-entropy of the search would not do. At our size the sure gains are those
# of more generations: over a quarter of them, and on CIFAR-10, by less, of twice as many over the base's.
#
# </details>
#
# ## Exercises
#
# **1.** A search twice as long, or a population twice as large, cost the same. Which of the two pays more here?
# Compare the seeds one by one.

# %% tags=["copyable", "hide-cell"]
from repsearch.reproduce.tables import differences, of_variant

for key, records in book.items():
    longer, larger = (of_variant(records, name, VALIDATION)
                      for name in ("generations-x2", "population-x2"))
    gained = [round(value, 1) for value in differences(longer, larger)]
    print(f"{key}: generations minus population, points, "
          f"seed by seed: {gained}")

# %% [markdown]
# **2.** Which number of the targets goes with accuracy: the cross-entropy that search reached, or the share of
# variance between classes? Take the correlation over these variants on CIFAR-10, each a mean over seeds.

# %% tags=["copyable", "hide-cell"]
from statistics import mean

import torch

from repsearch.reproduce.tables import of_variant

accuracy, loss, share = (
    [mean(of_variant(book["cifar10"], name, column)) for name in names]
    for column in (VALIDATION, LOSS, SHARE0))
for title, values in (("cross-entropy of block 0", loss),
                      ("share between classes", share)):
    found = torch.corrcoef(torch.tensor([accuracy, values]))[0, 1]
    print(f"{title}: correlation with accuracy {found:.2f}")
# Over so few variants either number is a hint.

# %% [markdown]
# **3.** Is the best search for the *search* also the best for *learning*? On the digits, compare a quarter of the
# generations with twice as many: fit, and accuracy.

# %% tags=["copyable", "hide-cell"]
for name in ("generations-x0.25", "generations-x2"):
    for seed in range(3):
        r = Run("training", preset.data, preset.name, name, seed,
                train=100).compute()
        print(f"{name}, seed {seed}: cross-entropy {LOSS.value(r):.2f}, "
              f"accuracy {VALIDATION.value(r):.1f} %")
# For the search it is; for learning, three seeds of so few images do not say.
