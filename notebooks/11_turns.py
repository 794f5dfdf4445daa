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
# # Search and learning take turns
#
# **What you will see.** The paper searches an untrained network once, trains another on what was found, and stays
# behind SGD. Its last section asks whether search and learning should inform each other. Here they do: the network
# that has learned is searched in its turn, and learns on.
#
# **Before you start.** [Search](02_search), [Learning](04_learning). **Takes** a minute on two CPU cores. Section 6
# of the paper {cite}`vegesna2025decoupling`, which leaves this open.

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
from repsearch.reproduce.tables import markdown
from repsearch.reproduce.turn_claims import CONTROLLED, climbed

preset, seed = rs.presets.named(), 0
data = rs.load(preset.data, train=preset.train, seed=seed,
               validation=preset.validation, test=preset.test)
print(f"preset {preset.name} ({preset.data}), seed {seed}, device cpu; "
      "this chapter takes about a minute")

# %% [markdown]
# ## The idea
#
# One search finds, for every image, activations that an *untrained* network labels correctly. There are very many of
# them, and the search takes what its dice come upon. Nobody asks which of them a network could learn, so much of what
# is found is learned by none: on photographs, at the end of the training, the [regression error](04_learning) of the
# first two blocks is still most of the targets' variance.
#
# A network that has learned from such targets says something about the image, and by construction something that a
# network can say. So search *it*: start from its own activations, let its own later blocks judge. The new targets set
# out from where the network stands. Then train on, and repeat:
#
# $$ \begin{aligned} \hat H_r \leftarrow {}& \text{search from } H_{\theta_r}(x), \\
#    & \text{judged by the later blocks of } \theta_r; \\
#    \theta_{r+1} \leftarrow {}& \text{regress } H_\theta(x) \text{ to } \hat H_r, \text{ from } \theta_r. \end{aligned} $$
#
# Round 0 is `rs.search` and `rs.learn`, to the last bit. There is still no classification gradient in the body.

# %% tags=["setup"]
network = rs.search_network(data, preset, seed=seed)
model = rs.learn_network(data, preset, seed=seed)
rounds = rs.alternate(network, model, data, preset.alternate, seed=seed,
                      progress=False)
print(rounds)

# %% [markdown]
# `preset.alternate` says how: rounds, and the generations and epochs of the later ones. The model ends with the
# weights of the round that did best on validation images. What each round did:

# %% tags=["copyable"]
head = ["round", "block 0, nats before", "after",
        "variance between classes", "regression error",
        "validation accuracy"]
rows = []
for number, one in enumerate(rounds):
    errors = one.history.parts
    at = one.history.best_epoch
    rows.append([
        str(number), f"{one.before['block0']:.2f}",
        f"{one.after['block0']:.2f}",
        " ".join(f"{share:.2f}" for share in one.between_class.values()),
        " ".join(f"{errors[block][at]:.2f}" for block in one.between_class),
        f"{one.accuracy:.1%}"])
Markdown(markdown(head, rows) + "\n\nWhere there are three numbers, "
         "they are of blocks 0, 1 and 2.")

# %% [markdown]
# On these digits, from round to round, more of the targets' variance lies *between* the classes and not within them,
# and the network gets nearer to its targets on the images that it is trained on.
#
# ## What it has to do with back-propagation
#
# Suppose that a target is a small step of an activation down the gradient of the label's loss, $T = H - \eta\,\nabla_H
# \mathcal L$. Regressing to it then *is* back-propagation. With $T$ fixed,
#
# $$ \begin{aligned} \nabla_\theta\, \tfrac12 \lVert H_\theta - T\rVert^2
#    &= \Big(\frac{\partial H_\theta}{\partial\theta}\Big)^{\!\top} (H_\theta - T) \\
#    &= \eta\,\Big(\frac{\partial H_\theta}{\partial\theta}\Big)^{\!\top}\nabla_H\mathcal L \\
#    &= \eta\,\nabla_\theta \mathcal L \end{aligned} $$
#
# for all weights up to that block. **Check**, on the network that was just trained:

# %% tags=["copyable"]
import torch
import torch.nn.functional as F

from repsearch.moves import gradient_at
from repsearch.networks import rest

images, labels, eta = data.train.images[:50], data.train.labels[:50], 10
model.eval()
weights = {name: p for name, p in model.blocks[0].named_parameters()
           if p.requires_grad}
H = model.blocks[0](model.stem(images))
T = (H - eta * gradient_at(model, 0, H, labels)).detach()
loss = F.cross_entropy(rest(model, 0, H), labels, reduction="sum")
by_labels = torch.autograd.grad(loss, weights.values(), retain_graph=True)
by_regression = torch.autograd.grad(0.5 * (H - T).square().sum(),
                                    weights.values())
for name, ours, theirs in zip(weights, by_regression, by_labels, strict=True):
    apart = (ours - eta * theirs).norm() / (eta * theirs).norm()
    print(f"{name:<12}differs by {apart:.0e} of its length")

# %% [markdown]
# So with one block, steps that are small, and a look at the network after every one of them, regression is SGD. One
# long search in an untrained network is far from that; a loop stands between. How near is what it finds to the
# gradient's direction? The cosine between the move, from the network's own activation to its target, and minus the
# gradient there; beside it, the same with the gradient of *another* image, as a null:

# %% tags=["copyable"]
rows = [[str(number), *(f"{move.downhill:.2f} ({move.others:.2f})"
                        for move in one.moves.values())]
        for number, one in enumerate(rounds)]
Markdown(markdown(["round", *(f"block {n}" for n in range(3))], rows)
         + "\n\nIn brackets: with another image's gradient.")

# %% [markdown]
# Random directions in so many dimensions have a cosine near zero on average, and so has another image's gradient.
# Search uses no gradient, yet what it finds points downhill: in an untrained network a little, and most at its last
# block. The same on photographs, over seeds, is the last panel of the second figure below.
#
# ## Photographs
#
# CIFAR-10 at the book preset with few images:
#
# ```
# python -m repsearch reproduce turns-500 turns-500-rivals
# ```
#
# The rival is SGD with what a practitioner adds: weight decay, smoothed labels, dropout, batch and rate, the best of
# the trials on validation images (`python -m repsearch reproduce turns-rivals-tuning`), in as many epochs as the loop
# has in all. The loop's settings are the first that were tried; others were looked at on validation images, without a
# record of it here, and a few did better. Neither side augments its images, and neither shuffles its batches.

# %% tags=["copyable"]
from statistics import mean

from repsearch.reproduce.turn_claims import BUDGETED, beside

found = beside([CONTROLLED, BUDGETED])
accuracies = [*CONTROLLED.turned().values(), *CONTROLLED.rivalled().values()]
_, loop, _ = climbed(CONTROLLED)
right = mean(accuracies) / 100
images = sum(record["images"]["test"] for record in loop)
of_images = 196 * (2 * right * (1 - right) / images) ** 0.5
Markdown(found + "\n\nIf the two erred independently, chance in the test images "
         f"alone would make the difference uncertain by ± {of_images:.1f}.")

# %% [markdown]
# One shot and SGD have higher means here than in [the tables before](04_learning): either side has weight decay, and
# the seeds are others, which no setting was chosen on. As many epochs is not as much work: searches cost forward
# passes, too. So the second row gives SGD as many, with the best epoch chosen as ever; its settings are those that
# were best in few epochs. Computing longer does not bring it to the loop.
#
# The five differences lie so close together that part of it is luck: take the wider of the two uncertainties. The
# lead is larger than either.

# %% tags=["copyable"] mystnb={"figure": {"caption": "Test accuracy after each round, CIFAR-10 with 500 images: mean and range over seeds, a thin line a seed; dashed, SGD."}, "image": {"alt": "A line of test accuracy against the round, with a thin line a seed, and a dashed line for SGD."}}
from repsearch.reproduce.turn_figures import climb

figure = climb(climbed(CONTROLLED))
plt.show()

# %% [markdown]
# ## Why it works
#
# What changes from round to round, block by block:

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-10, 500 images. Row by row: how much of the targets' variance is about the class; how much of the targets the network does not learn; how far targets lie from the network's own activations; and how much of that way is downhill. Bands: range over seeds."}, "image": {"alt": "Four panels of lines against the round, one line a block."}}
from repsearch.reproduce.turn_figures import why

_, loop, _ = climbed(CONTROLLED)
figure = why(loop)
plt.show()

# %% [markdown]
# From round to round targets are more about the class, at every block, and the body learns more of them, but for
# block 0, where the last round's are learned less well than those before them. The moves are about as long as the
# activations themselves, in every round: these are no small steps. A part of them is downhill, and at the first two
# blocks more so in the last round.
#
# ### What it owes to what
#
# Each row takes one thing away, or puts something else in its place; seed by seed, against the loop. In the last four
# the head goes on learning its label, and only what the body learns differs. A verdict below takes, for each seed,
# the best of the rows that it names.

# %% tags=["copyable"]
from repsearch.reproduce.loops import CONTROLS
from repsearch.reproduce.turn_claims import ways

Markdown(ways(CONTROLS))

# %% [markdown]
# ## What the paper leaves open, and what came out
#
# Verdicts follow [these rules](../book/claims.md).

# %% tags=["copyable", "hide-input"]
from repsearch.reproduce.page import table

Markdown(table(("6",), where=lambda claim: CONTROLLED.title in claim.what))

# %% [markdown]
# **Summary.** With few photographs, search and learning in turn go far beyond one shot, and get ahead of SGD with the
# best settings tried, where neither side augments its images. Neither as many epochs on round 0's targets nor as much
# search in one shot does that, nor do moves as far and as smooth that were found for other images: it is the later
# searches that carry it. Whether they say more than the class is open: that the class means of each round's targets
# teach less is not shown. More images, other data, and augmentation: [how far does it carry?](12_how_far)
#
# ## Questions
#
# <details><summary>Is the loop not just back-propagation by another way?</summary>
#
# In one limit it is: one block, small steps down the gradient, and a look at the network after each of them. The loop
# looks at the network once a round, moves activations far, and asks for no gradient of the label; only part of what
# it finds points downhill. Within the body the regression itself is trained by back-propagation. Whether the part
# downhill is what teaches is not measured here: one would put a step down the gradient, as long as the search's move,
# in place of the later searches.
#
# </details>
#
# <details><summary>One control takes the network's own activations as targets. Why another, which moves each image as
# the search moved another one?</summary>
#
# Its own activations as targets rule out that it is enough to train on, while the head goes on learning. But perhaps
# a body gains from targets that lie far away, as noise can help a training. Another image's moves are as far and as
# smooth, and not for this image's label. The loop is ahead of both, so with 500 photographs it is what the later
# searches find for an image's label that helps.
#
# </details>
#
# <details><summary>The class means of each round's targets are not shown to teach less than the targets. Is the search
# then not needed?</summary>
#
# That does not follow, for these means are made of what each round's search finds. What stays open is whether a
# target says more about its image than the class: the interval contains zero, which shows neither a difference nor
# that there is none. To show that no search is needed, one would have to learn from patterns of the classes that no
# search has made, as many rounds, and come as far. That is not tried here.
#
# </details>
#
# ## Exercises
#
# **1.** Without generations, the targets are the network's own activations. What does it learn from them?

# %% tags=["copyable", "hide-cell"]
# Its head learns on; where its body's error is zero already, it stays.
still = replace(preset.alternate, generations=(0, 0, 0, 0), rounds=2)
model = rs.learn_network(data, preset, seed=seed)
network = rs.search_network(data, preset, seed=seed)
rs.alternate(network, model, data, still, seed=seed, progress=False)

# %% [markdown]
# **2.** Search the blocks for the wrong labels in the second round. Does the loop still climb?

# %% tags=["copyable", "hide-cell"]
from repsearch.reproduce.controls import wrong_labels

# It does not: compare the second accuracy with that of the loop above.
two = replace(preset.alternate, rounds=2)
model = rs.learn_network(data, preset, seed=seed)
network = rs.search_network(data, preset, seed=seed)
rs.alternate(network, model, data, two, seed=seed, progress=False,
             change=wrong_labels(data, two, seed))
