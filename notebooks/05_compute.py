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
from dataclasses import replace

import repsearch as rs
from repsearch.trainings import VARIANTS, train

preset, seeds = replace(rs.presets.named(), train=100, validation=100), (0, 1, 2)  # few images, to be quick
print(f"preset {preset.name} ({preset.data}), seeds {seeds}, device cpu; this chapter takes half a minute")

# %% [markdown]
# ## One search, one training
#
# `train` searches, trains on the targets, and measures; a *variant* says what is changed. Here are the variants of
# Figure 4: the population, or the generations of every layer, times some factor.

# %%
for name in ("search", "population-x0.25", "population-x2", "generations-x0.25", "generations-x2"):
    change = VARIANTS[name].search
    search = change(preset.search) if change else preset.search
    print(f"{name:<18} {search.population:>4} candidates, generations {[row.generations for row in search.schedule]}")

# %% [markdown]
# Now the populations, on digits. All else stays: the images, the network, the training. What changes is how good the
# targets are. Block 0, searched first and longest, stands for the fit of the whole search.

# %%
live = []
for seed in seeds:
    data = rs.load(preset.data, train=preset.train, validation=preset.validation, test=preset.test, seed=seed)
    live += [train(data, preset, name, seed) for name in ("population-x0.25", "search", "population-x2")]

# %%
from IPython.display import Markdown

from repsearch.evidence import spread


def rows(records: list[dict], names: tuple[str, ...]) -> str:
    """A table of variants: what search reached, and what learning made of it."""
    lines = ["| | cross-entropy of block 0, nats | share of its variance between classes, % | validation accuracy, % |",
             "|---|---|---|---|"]
    for name in names:
        chosen = [r for r in records if r["variant"] == name]
        lines.append(f"| {'base' if name == 'search' else chosen[0]['what']} | {spread([r['found']['cross_entropy']['block0'][1] for r in chosen], 2)} | "
                     f"{spread([100 * r['found']['between_class_share']['block0'] for r in chosen])} | "
                     f"{spread([100 * max(r['validation_accuracy']) for r in chosen])} |")
    return "\n".join(lines)


Markdown(rows(live, ("population-x0.25", "search", "population-x2")) + f"\n\nDigits, {len(seeds)} seeds, mean ± std.")

# %% [markdown]
# A quarter of the candidates costs both fit and accuracy. Twice as many fit slightly better; what that does to accuracy
# is within the spread of the seeds.

# %% [markdown]
# ## Figure 4
#
# CIFAR-10 and CIFAR-100 at the book preset, with fewer images (the tables below say how many):
#
# ```
# python -m repsearch reproduce fig4
# ```

# %% mystnb={"figure": {"caption": "CIFAR-10: validation accuracy (top) and cross-entropy of block 0 after search (bottom), against population (left) and generations (right). Bands: range over 3 seeds."}, "image": {"alt": "Four panels: accuracy against population and against generations on top, the cross-entropy that search reached below."}}
from matplotlib import pyplot as plt

from repsearch import plots
from repsearch.records import read_records

book = {name: read_records(f"study-{name}-book-*") for name in ("cifar10", "cifar100")}
figure = plots.figure4(book["cifar10"])
plt.show()

# %% mystnb={"figure": {"caption": "The same for CIFAR-100."}, "image": {"alt": "Four panels as before, for CIFAR-100."}}
figure = plots.figure4(book["cifar100"])
plt.show()

# %%
names = ("population-x0.25", "generations-x0.25", "search", "population-x2", "generations-x2")
Markdown("\n\n".join(f"**{title}**, {book[key][0]['train']} images, {len(seeds)} seeds\n\n{rows(book[key], names)}"
                     for key, title in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100"))))

# %% [markdown]
# The lower panels are clear: more search fits better on both axes, and less and less so. The upper ones are not: from point to
# point accuracy rises by about as much as the seeds differ, and not always. Clearest is a quarter of the *generations*. It
# costs accuracy on both data sets, and the share of variance between classes is lowest there: what belongs to the class takes
# time to build up.

# %% [markdown]
# ## What the paper says, and what came out
#
# Verdicts follow [these rules](../book/claims.md).

# %% tags=["hide-input"]
from repsearch.claims import table

Markdown(table(("4.4",)))

# %% [markdown]
# **Summary.** Search compute pays off in what is learned, by little at these sizes, and above all through generations. How well
# search fits saturates; whether accuracy does, as in the paper, three seeds cannot tell. And fit is not all: [the
# ablations](07_ablations) show searches that fit far better and teach less.
#
# ## Exercises
#
# **1.** A search twice as long, or a population twice as large, cost the same. Which of the two pays more here? Compare the seeds
# one by one.

# %% tags=["hide-cell"]
for key in book:
    by_name = {name: [100 * max(r["validation_accuracy"]) for r in book[key] if r["variant"] == name] for name in names}
    gained = [a - b for a, b in zip(by_name["generations-x2"], by_name["population-x2"], strict=True)]
    print(f"{key}: generations minus population, points, seed by seed: {[round(value, 1) for value in gained]}")

# %% [markdown]
# **2.** Which number of the targets goes with accuracy: the cross-entropy that search reached, or the share of variance between
# classes? Take the correlation over these records of CIFAR-10.

# %% tags=["hide-cell"]
import torch

chosen = [r for r in book["cifar10"] if r["variant"] in names]
accuracy = [max(r["validation_accuracy"]) for r in chosen]
for name, values in (("cross-entropy of block 0", [r["found"]["cross_entropy"]["block0"][1] for r in chosen]),
                     ("share between classes", [r["found"]["between_class_share"]["block0"] for r in chosen])):
    print(f"{name}: correlation with accuracy {torch.corrcoef(torch.tensor([accuracy, values]))[0, 1]:.2f}")

# %% [markdown]
# **3.** Is the best search for the *search* also the best for *learning*? On the digits, search far longer with `generations-x2` and
# with a quarter, and compare both columns.

# %% tags=["hide-cell"]
data = rs.load(preset.data, train=preset.train, validation=preset.validation, test=preset.test, seed=0)
for name in ("generations-x0.25", "generations-x2"):
    r = train(data, preset, name, 0)
    print(f"{name}: cross-entropy {r['found']['cross_entropy']['block0'][1]:.2f}, accuracy {max(r['validation_accuracy']):.3f}")
