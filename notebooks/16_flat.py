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
# # Flat minima, and what they are good for
#
# **What you will see.** SGD's steps are noisy, and a minimum that noise does not leave must be wide. Is a flat one more
# robust, and does it help to learn something new? The second half of the paper of [the last chapter](15_greedy), figure
# by figure.
#
# **Before you start.** [Greedy evolution](15_greedy), which comes upon the same network. **Takes** seconds on two CPU
# cores.

# %% tags=["setup", "hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source],
                   check=True)

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from repsearch.reproduce import greedy_figures
from repsearch.reproduce.records import read_records

seed = 0
print(f"seed {seed}, device cpu; this chapter takes seconds")

# %% [markdown]
# ## The noise of minibatches
#
# SGD does not follow *the* gradient, but that of a few images. The paper draws how far such gradients are apart,
# at frozen weights, after a training on eight of the ten digits, with the images of all ten:

# %% tags=["copyable"] mystnb={"figure": {"caption": "Gradients of minibatches at frozen weights: their lengths (top) and the angles between any two (bottom), where transfer starts and at the optimum of ten classes; the first seed. The paper's figure 1 is the left half."}, "image": {"alt": "Left: angles gather at smaller values as batches grow. Right: they stay near 90 degrees, but for the largest batches."}}
transfer, optimum = (read_records(f"goea-steps-mnist-book-{place}-0")[0]
                     for place in ("transfer", "optimum"))
greedy_figures.minibatches(transfer=transfer, optimum=optimum)
plt.show()

# %% [markdown]
# *Where transfer starts*, after eight digits and before all ten, the labels of two classes are new, and their common
# gradient is large: large batches agree on
# it. At the optimum little of a common gradient is left, and only the largest batches agree on that.
#
# Gradients of batches of four look as far apart as random directions. The paper concludes that a few random steps serve
# as well. But only their middle is at a right angle: these angles spread by tens of degrees, those of random directions
# in 9,854 dimensions by half a degree. A batch's gradient has a component along the full gradient that a random step
# has not.
#
# ## Flat, and robust
#
# A minimum is *flat* if the network still works when its weights are moved. Below, Gaussian noise is added to them; in
# each tensor its deviation is the mean $\lvert w \rvert$ there, times a *diameter*. The paper trains three archetypes
# by SGD, with two of ten digits hidden: **Robust Wide** (many weights, dropout, batches of four), **Brittle Wide** (as
# many weights, no dropout, batches of 128), and **Brittle Narrow** (like it, with few weights).
#
# ```
# python -m repsearch reproduce goea-transfer goea-flatness
# ```

# %% tags=["copyable"] mystnb={"figure": {"caption": "Accuracy on the eight known digits, by how far the weights are moved; mean and range over seeds. The paper's figures 8 and 13."}, "image": {"alt": "Three falling curves: Robust Wide stays up longest, then Brittle Wide, then Brittle Narrow."}}
records = read_records("goea-transfer-mnist-book-archetypes-*")
names = ("Robust Wide", "Brittle Wide", "Brittle Narrow")
greedy_figures.flatness(records, {name: name for name in names})
plt.show()

# %% tags=["copyable"] mystnb={"figure": {"caption": "Accuracy and loss as they are, on all classes, and on known classes while features are dropped; mean and range over seeds. The paper's figure 3."}, "image": {"alt": "As more features are dropped, Robust Wide stays up and the brittle networks fall."}}
records = read_records("goea-transfer-mnist-book-archetypes-*")
greedy_figures.robust(
    records, ("Robust Wide", "Brittle Wide", "Brittle Narrow"))
plt.show()

# %% [markdown]
# Flat networks bear dropout; whether they generalise any better, three seeds cannot tell. But one of the three was
# trained with dropout, and has to bear it. What makes a network flat? One factor at a time:

# %% tags=["copyable"] mystnb={"figure": {"caption": "The same curves of networks that differ in one factor from a base; mean and range over seeds. The paper's figures 9 to 12."}, "image": {"alt": "Four panels, by dropout, size, batch and epochs. Size spreads the curves most."}}
from repsearch.reproduce.flat_claims import FACTORS

base = {"dropout": "0.1", "size": "1", "batch": "32", "epochs": "8"}
panels = {factor: {net: net.removeprefix(f"{factor} ")
                   if net != "base" else base[factor] for net in nets}
          for factor, nets in FACTORS.items()}
records = read_records("goea-flatness-mnist-book-series-*")
greedy_figures.factors(records, panels)
plt.show()

# %% [markdown]
# Size flattens most by far. Dropout may, up to a point: with half of all features dropped, a network of this size is
# worse to begin with. What size of batches and length of training do is no more than seeds differ by.
#
# ## Does flatness help to learn anew?
#
# Now the two hidden digits are shown, and each archetype is trained on, in its own way as the paper has it: batches of
# four for one, of 128 for the others, so that the one takes many more steps. On the right all are trained on alike:

# %% tags=["copyable"] mystnb={"figure": {"caption": "Accuracy on all ten digits by epochs of transfer, each archetype in its own way, and all alike; mean and range over seeds. The paper's figure 15 is the left half."}, "image": {"alt": "Left: Robust Wide jumps ahead in the first epoch. Right: the curves are closer."}}
records = read_records("goea-transfer-mnist-book-archetypes-*")
greedy_figures.revealed(
    records, ("Robust Wide", "Brittle Wide", "Brittle Narrow"))
plt.show()

# %% tags=["copyable"] mystnb={"figure": {"caption": "Brittle Wide, moved, before transfer and after each epoch of it; mean and range over seeds. The paper's figure 14."}, "image": {"alt": "Curves of accuracy against diameter for four epochs."}}
from repsearch.reproduce.drawing import ranged_line
from repsearch.reproduce.flat_claims import diameters

records = read_records("goea-transfer-mnist-book-archetypes-*")
fig, ax = plt.subplots(figsize=(6.4, 2.8), constrained_layout=True)
for epoch in range(4):
    nets = [record["nets"]["Brittle Wide"] for record in records]
    curves = [(net["transfer"]["own"][epoch] if epoch else net)["curves"]
              for net in nets]
    ranged_line(ax, [100 * np.array(curve["tensor-mean"]["accuracy"])
                     for curve in curves], f"C{epoch}", f"epoch {epoch}",
                xs=diameters(records[0]))
ax.set(xlabel="diameter", ylabel="accuracy on eight digits, %")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Robust Wide is ahead at once, in its own way with its many more steps, and without them. The three come in the order of
# their flatness; it is also the order of their accuracy on the eight digits, and three networks cannot tell
# the two apart. Brittle Wide becomes no less flat as it learns the new digits.
#
# ## Where text, code and plots differ
#
# - *Flatness.* The text measures in deviations of activations, and calls that the same as lengths of filters; the code
#   takes the mean $\lvert w\rvert$ of a tensor. Lengths of filters are on the [page of claims](../book/claims.md).
# - *Accuracy.* With two digits hidden a fifth of all images must be wrong. Some curves of the paper begin above that,
#   and must be of known digits, as all curves here are.
#
# Here 8,000 images train a network, in batches that are the same in every epoch. Each size of a batch has a rate of its
# own, the best of a few on validation images or within two images of it (`reproduce goea-rates`).
#
# ## What came out
#
# By [these rules](../book/claims.md), with contrasts some of which were changed after a look at the first seed, as
# [said before](15_greedy). Three seeds leave much undecided:

# %% tags=["copyable", "hide-input"]
from repsearch.reproduce.page import table

flat = ("goea-transfer", "goea-flatness")
Markdown(table(("greedy",), where=lambda claim: not claim.ours and (
    claim.experiment in flat or "(figure 1)" in claim.what)))

# %% [markdown]
# **Summary.** Networks differ much in flatness, mostly by their size, and the flat ones bear dropout. Whether flatness
# itself helps to generalise or to learn anew, three archetypes cannot tell.
#
# ## Questions
#
# <details><summary>Why does the text's measure of flatness matter?</summary>
#
# A ReLU network does the same if a unit's weights are doubled and the next layer's halved. A step of fixed size is then
# half as large for the one and twice for the other. What survives such a change measures the function, and not how it is
# written down; lengths of filters do.
#
# </details>
#
# <details><summary>Robust Wide learns the new digits fastest in its own way. What else could be the cause?</summary>
#
# Its batches are small, so that it takes many more steps an epoch; and it is the most accurate to begin with.
#
# </details>
#
# <details><summary>Why do batches agree where transfer starts, and not at the optimum?</summary>
#
# The images of the two new digits all ask for the same: do not call them one of the eight. At the optimum there is
# nothing left that all ask for.
#
# </details>
#
# ## Exercises
#
# **1.** Draw the archetypes' curves again with steps in lengths of filters. Does their order stay?

# %% tags=["copyable", "hide-cell"]
records = read_records("goea-transfer-mnist-book-archetypes-*")
names = ("Robust Wide", "Brittle Wide", "Brittle Narrow")
for name in names:
    curves = [record["nets"][name]["curves"]["filter"]["accuracy"]
              for record in records]
    print(f"{name}: {np.mean(curves, axis=0)[14]:.0%} at diameter 1")

# %% [markdown]
# It does.
