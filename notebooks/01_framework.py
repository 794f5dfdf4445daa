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
# # Where to search: parameters or activations
#
# **What you will see.** The same network, perturbed at random in two places: in its weights, and in the activations
# of one image. You will see how often a perturbation helps, how much, and what makes one of the two spaces hard.
#
# **Before you start.** PyTorch. **Takes** a minute on two CPU cores. Section 2 of the paper
# {cite}`vegesna2025decoupling`.

# %% tags=["setup", "hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

# %% tags=["setup"]
import torch
import torch.nn.functional as F
from IPython.display import Markdown
from torch.func import functional_call

import repsearch as rs
from repsearch.networks import rest
from repsearch.operators import normalise, spread

preset, seed = rs.presets.named(), 0
print(f"preset {preset.name} ({preset.data}), seed {seed}, device cpu; "
      "this chapter takes about a minute")

# %% [markdown]
# ## Two places to search
#
# Training looks for weights $\theta$ that label all images correctly. A network offers a second place to look. Cut it
# after its first block: what comes out for image $x$ is an activation $H^{(0)}(x)$, and the rest of the network turns
# it into logits. If some other $H$ in that place made the rest of the network say the right label, we would have
# learned what the first block *should* have said.
#
# | | we change | it must serve |
# |---|---|---|
# | parameter space | $\theta \leftarrow \theta + \alpha\,\sigma_\theta\,\varepsilon$ | every image at once |
# | activation space | $H^{(0)}(x) \leftarrow H^{(0)}(x) + \alpha\,\sigma_H\,\varepsilon$ | the image $x$ |
#
# with $\varepsilon$ standard normal, $\sigma$ the standard deviation of a weight tensor or of a channel, and $\alpha$
# the strength. The paper asks two things of a search space: that random perturbation makes progress in it, and that
# what is found can be passed on to new cases. It says that activations offer both, and parameters neither.
#
# We measure the first. Here is one network that has never been trained, its two spaces, and its loss for 64 images
# before any step.

# %% tags=["setup"]
data = rs.load(preset.data, train=200, validation=50, test=50, seed=seed)
network = rs.search_network(data, preset, seed=seed)
x, y = data.train.images[:64], data.train.labels[:64]
generator = torch.Generator().manual_seed(seed)

weights = {name: w for name, w in network.named_parameters()
           if w.ndim > 1 and not name.startswith("stem")}
with torch.no_grad():
    H = normalise(network.blocks[0](network.stem(x)))
    sigma = spread(H[None])[0]
    loss_of_weights = F.cross_entropy(network(x), y)
    loss_of_activations = F.cross_entropy(
        rest(network, 0, H), y, reduction="none")
count = sum(w.numel() for w in weights.values())
print(f"{count:,} weights, {H[0].numel():,} activations of an image "
      f"at block 0, of shape {tuple(H.shape[1:])}")

# %% [markdown]
# ## Two hundred random steps in each
#
# Let us take one strength, perturb many times, and look at the change of the cross-entropy. On the left the step is
# in the weights and the loss is the mean over 64 images. On the right each image has a step of its own.

# %% tags=["copyable"] mystnb={"figure": {"caption": "Change of the cross-entropy by random steps of one strength. Left of the line: improvements."}, "image": {"alt": "Two histograms of the change of cross-entropy caused by random steps, in the weights and in the activations."}}
from matplotlib import pyplot as plt

strength, steps = 0.1, 200
in_weights, in_activations = [], []
with torch.no_grad():
    for _ in range(steps):
        moved = {
            name: w + strength * w.std() * torch.randn(
                w.shape, generator=generator)
            for name, w in weights.items()}
        loss = F.cross_entropy(functional_call(network, moved, (x,)), y)
        in_weights.append(loss - loss_of_weights)
        noise = torch.randn(H.shape, generator=generator)
        logits = rest(network, 0, normalise(H + strength * sigma * noise))
        in_activations.append(
            F.cross_entropy(logits, y, reduction="none") - loss_of_activations)

figure, axes = plt.subplots(
    1, 2, figsize=(6.4, 2.8), facecolor="white", layout="constrained")
for ax, changes, title in (
    (axes[0], in_weights, "a step in the weights,\nfor all 64 images"),
    (axes[1], in_activations, "a step in an image's\nactivations"),
):
    change = torch.stack(changes).flatten()
    ax.hist(change.numpy(), bins=40, color="#0173b2")
    ax.axvline(0, color="black", linewidth=1)
    ax.set(title=f"{title}\n"
                 f"{(change < 0).float().mean():.0%} of the steps improve",
           xlabel="change of cross-entropy, nats")

# %% [markdown]
# Steps to the left of the line are improvements. One strength shows little, though: a space may just want smaller or
# larger steps than another. And a network of one width says nothing about dimension.
#
# ## Dimension, and how many images must be served
#
# `perturb` repeats this for networks of several widths, which changes the dimension of both spaces, and for several
# numbers of images. In each case it tries four strengths and reports the one whose best perturbation gains most.
# One more case is a control: parameters perturbed for *a single image*. It separates the dimension of the space from
# the burden of sharing it.

# %% tags=["copyable"] mystnb={"figure": {"caption": "Chance of an improvement and best gain of a random perturbation. Band: range over 3 seeds."}, "image": {"alt": "Four panels: chance and size of an improvement, against the dimension of the space and against the number of images served; parameters in orange, activations in blue."}}
from repsearch.reproduce import figures, perturbation
from repsearch.reproduce.samples import Sample

setup = perturbation.Setup(
    Sample(preset.data, train=200, validation=50, test=50))
records = [perturbation.run(setup, s) for s in range(3)]
figure = figures.perturbation(records)

# %% [markdown]
# Top: the share of the perturbations that lower the cross-entropy, at the strength that gains most. Bottom: by how
# much the best of 32 lowers it, as a share of what it was. Bands are the range over three seeds; network, images and
# noise all vary.
#
# **Left, against dimension.** Solid orange: parameters that must serve 64 images. The best perturbation gains next to
# nothing. Blue: activations gain much more. So far the paper is right. But the dotted orange line, our control, gains
# more than either, in the larger space. For a single image, strong noise on the weights soon finds a network that says
# the label, whatever it is shown. None of the three curves is shown to fall over the widths we tried; only the mean of
# the one for 64 images is smaller at each width, slowly. Dimension alone is not what holds random steps back.
#
# **Right, against the images served.** This is what does. The more images one step must serve, the less it gains.
# The blue line is level by construction: every image has its own activations.

# %%
from repsearch.reproduce.tables import markdown, mean_std

rows = []
for label, space, images in (
    ("activations, each image its own", "activations", 1),
    ("parameters, for one image", "parameters", 1),
    ("parameters, for 64 images at once", "parameters", 64),
):
    points = [point for record in records for point in record["points"]
              if (point["space"], point["images"], point["width"])
              == (space, images, 32)]
    rows.append([label, *(mean_std([100 * p[key] for p in points])
                          for key in ("chance", "gain"))])
head = ["width 32, 3 seeds, each at its best strength", "a step helps, %",
        "the best gains, %"]
Markdown(markdown(head, rows))

# %% [markdown]
# ## What a gain costs
#
# A candidate in the weights takes a forward pass of every image. One in the activations skips all that lies before
# its block: at block 2 hardly more than the head is left. So put three places on one axis, forward passes of an image:
# activations, weights, and weights moved by steps of [rank 1](14_strategies), which are cheaper to draw. In each the
# best of some random steps is taken if it is better, again and again, on the network and 64 photographs of CIFAR-10:
#
# ```
# python -m repsearch reproduce places
# ```

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-10: cross-entropy of 64 images, as a share of what it was, against forward passes of an image, by hill climbing at the strength best for each place. Dashed: 64 other images. Mean over seeds."}, "image": {"alt": "Falling lines, those of activations steep and the later the block the further to the left; those of the weights far above. Their dashed lines do not fall."}}
import numpy as np
from matplotlib import pyplot as plt

from repsearch.reproduce.records import read_records

records = read_records("places-cifar10-book-all-*")
figure, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for number, place in enumerate(records[0]["places"]):
    curves = [min(record["places"][place]["climbs"].values(),
                  key=lambda curve: curve["cross_entropy"][-1])
              for record in records]
    for key, style in (("cross_entropy", "-"), ("others", "--")):
        if key in curves[0]:
            share = [np.array(curve[key]) / curve[key][0] for curve in curves]
            ax.semilogx(curves[0]["spent"], 100 * np.mean(share, axis=0), style,
                        color=f"C{number}",
                        label=place if style == "-" else None)
ax.set(xlabel="forward passes of an image", ylabel="cross-entropy, %",
       ylim=(0, None))
figure.legend(loc="outside right center", frameon=False)
plt.show()

# %% [markdown]
# In activations the climb goes far down, and at later blocks at a small part of the cost. In the weights it is slow,
# whatever the rank of the steps, and what it gains is of these images alone: on 64 others, dashed, nothing is gained.
# So few images can be learned by heart in the weights. In activations there are no others: what is found for an image
# is of that image, until another network [learns](04_learning) it.
#
# What this leaves out: evolution also has parents that mate, and strategies that add up what many steps say get
# [much further in the weights](14_strategies).
#
# ## What the paper says, and what came out
#
# The verdicts follow [these rules](../book/claims.md). The last column but one says what decides: how far what the
# claim says is above zero, on average over seeds, with its interval; below zero is the opposite of the claim. The
# claims are of the two experiments on photographs, CIFAR-10, the first with wider networks (`python -m repsearch
# reproduce perturbation places`).

# %% tags=["copyable", "hide-input"]
from repsearch.reproduce.page import table

Markdown(table(("2",)))

# %% [markdown]
# Mind what this does not show. These are first steps from an untrained network, and the gain of one step is no
# search. [The next chapter](02_search) takes the many small steps.
#
# **Summary.** Activation space is a good place for random search because each image has a problem of its own there,
# which one forward pass of the rest of the network can judge. That is also its price: what is found for one image is
# of no use for the next, until [learning](04_learning) turns it into a function of the image.
#
# ## Questions
#
# <details><summary>Weights that serve a single image improve more than activations do. Why does this speak against
# dimension as the reason?</summary>
#
# The weights are the larger space, and random steps in them still gain most, as long as they serve one image. The
# gain shrinks when the same step must serve more images. So it is the sharing that holds steps in the weights back,
# and what the table of claims says of dimension fails.
#
# </details>
#
# <details><summary>Why not search the weights for each image, if that gains most?</summary>
#
# A network whose weights were moved for one image says that image's label, whatever it is shown. Every image would
# need a network of its own, and none of them would say anything about the next image. An activation is what a block
# says about one image, so another network can be trained to say it when it sees the image.
#
# </details>
#
# <details><summary>The paper asks that what is found can be passed on. What would show that, and does this
# chapter?</summary>
#
# It does not. *Amortisation* would show it: one network that gives in one forward pass, for images that were never
# searched, what a search would have had to find for each. [Learning](04_learning) trains such a network, and [the
# chapter on models](06_models) tests it. That a sampler can learn from what worked, as the paper says, is not tried
# in this book.
#
# </details>
#
# ## Exercises
#
# **1.** Take the best of some perturbations again and again: hill climbing. Do it for 15 rounds of 24 in both spaces,
# for 64 images, at the strengths `0.03` and `0.3`. Which space gets further? (It uses `weights`, `H`, `sigma`, `x`
# and `y`, made with the network above. The two spaces start from different losses, because normalising $H$ scales the
# logits.)

# %% tags=["copyable", "hide-cell"]
def climb(
    strength: float, rounds: int = 15, candidates: int = 24,
) -> tuple[float, float]:
    """Cross-entropy after hill climbing in the weights, and in the
    activations."""
    generator = torch.Generator().manual_seed(0)
    current, here = dict(weights), H.clone()
    loss, losses = loss_of_weights, loss_of_activations.clone()
    for _ in range(rounds):
        tries = [
            {name: w + strength * w.std() * torch.randn(
                w.shape, generator=generator)
             for name, w in current.items()} for _ in range(candidates)]
        values = torch.stack([
            F.cross_entropy(functional_call(network, t, (x,)), y)
            for t in tries])
        if values.min() < loss:
            loss, current = values.min(), tries[int(values.argmin())]
        for _ in range(candidates):
            noise = torch.randn(here.shape, generator=generator)
            moved = normalise(here + strength * sigma * noise)
            new = F.cross_entropy(rest(network, 0, moved), y, reduction="none")
            better = new < losses
            here[better], losses[better] = moved[better], new[better]
    return float(loss), float(losses.mean())


with torch.no_grad():
    for s in (0.03, 0.3):
        in_weights, in_activations = climb(s)
        print(f"strength {s}: "
              f"weights {loss_of_weights:.2f} to {in_weights:.2f}, activations "
              f"{loss_of_activations.mean():.2f} to {in_activations:.2f}")

# %% [markdown]
# **2.** The chance of an improvement tends to one half as the strength goes to zero, in any space. Why? Test it.

# %% tags=["copyable", "hide-cell"]
# For small steps the loss is linear, and a linear function goes down along as
# many directions as it goes up.
with torch.no_grad():
    for s in (0.3, 0.03, 0.003):
        tries = [
            {name: w + s * w.std() * torch.randn(w.shape, generator=generator)
             for name, w in weights.items()} for _ in range(200)]
        values = torch.stack([
            F.cross_entropy(functional_call(network, t, (x,)), y)
            for t in tries])
        better = (values < loss_of_weights).float().mean()
        print(f"strength {s}: {better:.0%} of the steps in the weights improve")
