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
# **Before you start.** [Scaling](03_scaling), [Learning](04_learning). **Takes** half a minute on two CPU cores. Section 4.4
# of the paper {cite}`vegesna2025decoupling`, Figure 4.

# %% tags=["hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

# %%
import repsearch as rs
from repsearch.reproduce.runs import Run
from repsearch.reproduce.variants import VARIANTS

preset, seeds = rs.presets.named(), (0, 1, 2)
print(f"preset {preset.name} ({preset.data}), seeds {seeds}, device cpu; "
      "this chapter takes half a minute")

# %% [markdown]
# ## One search, one training
#
# A `Run` searches, trains on the targets, and measures; a *variant* says what is changed. Here are the variants of
# Figure 4: the population, or the generations of every layer, times some factor.

# %%
names = ("population-x0.25", "generations-x0.25", "search-based", "population-x2", "generations-x2")
for name in names:
    search = VARIANTS[name].setup(preset).searched.search
    generations = [row.generations for row in search.schedule]
    print(f"{name:<18} {search.population:>4} candidates, generations {generations}")

# %% [markdown]
# Now the populations, on digits. All else stays: the images, the network, the training. What changes is how good the
# targets are. Block 0, searched first and longest, stands for the fit of the whole search.

# %%
populations = ("population-x0.25", "search-based", "population-x2")
live = [Run("training", preset.data, preset.name, name, seed, train=100).compute()
        for seed in seeds for name in populations]  # few images, to be quick

# %%
from IPython.display import Markdown

from repsearch.reproduce.tables import LOSS, SHARE0, VALIDATION, of_variants

columns = [LOSS, SHARE0, VALIDATION]
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

# %% mystnb={"figure": {"caption": "CIFAR-10: validation accuracy (top) and cross-entropy of block 0 after search (bottom), against population (left) and generations (right). Bands: range over seeds."}, "image": {"alt": "Four panels: accuracy against population and against generations on top, the cross-entropy that search reached below."}}
from matplotlib import pyplot as plt

from repsearch.reproduce import figures
from repsearch.reproduce.seeds import FEW, trainings

book = {key: [record for name in names for record in trainings(key, name, FEW)]
        for key in ("cifar10", "cifar100")}
figure = figures.figure4(book["cifar10"])
plt.show()

# %% mystnb={"figure": {"caption": "The same for CIFAR-100."}, "image": {"alt": "Four panels as before, for CIFAR-100."}}
figure = figures.figure4(book["cifar100"])
plt.show()

# %%
from repsearch.reproduce.page import titles
from repsearch.reproduce.tables import against

NAMES = titles()
controls = {key: [*records, *trainings(key, "untrained-body", FEW), *trainings(key, "sgd2", FEW)]
            for key, records in book.items()}
Markdown("\n\n".join(
    f"**{NAMES[key]}**, {FEW} images\n\n"
    + of_variants(records, (*names, "untrained-body", "sgd2"), columns, base="search-based")
    for key, records in controls.items()))

# %% [markdown]
# What the figure compares, seed by seed. An interval that leaves out zero is bold.

# %%
rivals = [name for name in names if name != "search-based"]
Markdown("\n\n".join(f"**{NAMES[key]}**\n\n" + against(records, rivals, "search-based", VALIDATION)
                     for key, records in controls.items()))

# %% [markdown]
# The lower panels are clear: more search fits better on both axes, and less and less so. The upper ones are not: beyond the
# first step, from a quarter of the generations, no gain from one point to the next is sure. On CIFAR-100, with five images a
# class, search-based training is not shown to be better than an untrained body, whatever the search; with few generations it
# is worse. (Shares there look high: with so few images a class, a fifth would be there if targets knew nothing of it.)

# %% [markdown]
# ## What the paper says, and what came out
#
# Verdicts follow [these rules](../book/claims.md).

# %% tags=["hide-input"]
from repsearch.reproduce.page import table

Markdown(table(("4.4",)))

# %% [markdown]
# **Summary.** More search fits better, with falling returns. What it teaches is hardly more at these sizes: the gain is sure
# only where one begins with a quarter of the generations. Whether accuracy saturates, as in the paper, is open. And fit
# is not all: [the ablations](07_ablations) show searches that fit far better and teach no more.
#
# ## Exercises
#
# **1.** A search twice as long, or a population twice as large, cost the same. Which of the two pays more here? Compare the seeds
# one by one.

# %% tags=["hide-cell"]
from repsearch.reproduce.tables import differences, of_variant

for key, records in book.items():
    longer, larger = (of_variant(records, name, VALIDATION)
                      for name in ("generations-x2", "population-x2"))
    gained = [round(value, 1) for value in differences(longer, larger)]
    print(f"{key}: generations minus population, points, seed by seed: {gained}")

# %% [markdown]
# **2.** Which number of the targets goes with accuracy: the cross-entropy that search reached, or the share of variance between
# classes? Take the correlation over these records of CIFAR-10.

# %% tags=["hide-cell"]
import torch

accuracy = [VALIDATION.value(record) for record in book["cifar10"]]
for title, column in (("cross-entropy of block 0", LOSS), ("share between classes", SHARE0)):
    pair = torch.tensor([accuracy, [column.value(record) for record in book["cifar10"]]])
    print(f"{title}: correlation with accuracy {torch.corrcoef(pair)[0, 1]:.2f}")

# %% [markdown]
# **3.** Is the best search for the *search* also the best for *learning*? On the digits, compare a quarter of the generations with
# twice as many: fit, and accuracy.

# %% tags=["hide-cell"]
for name in ("generations-x0.25", "generations-x2"):
    r = Run("training", preset.data, preset.name, name, 0, train=100).compute()
    print(f"{name}: cross-entropy {LOSS.value(r):.2f}, accuracy {VALIDATION.value(r):.1f} %")
