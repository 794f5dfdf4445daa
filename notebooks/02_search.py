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
# # Search: evolving what a layer should say
#
# **What you will see.** One image, a network that has never been trained, and a population of candidate activations
# that evolves to make the network give the image its label. First every operator on its own, then the loop.
#
# **Before you start.** [Where to search](01_framework) says why activations. **Takes** a quarter of a minute on two
# CPU cores. Section 3.1 and appendix A.1, A.2, A.4 of the paper {cite}`vegesna2025decoupling`; symbols are collected
# under [Notation](../book/notation).
#
# **Which reading.** The paper does not say for what the mutation's noise is drawn, nor what smoothing acts on. Here,
# as in the whole book where it names no other, noise is drawn once for each channel's map and smoothed alone. Of the
# four readings of these two that were tried, it is the one that a network learned best from: on validation images, on
# average over seeds. The literal one, noise for every pixel and smoothing of the whole child, hardly searches at this
# size, and a network is not shown to learn anything from it: [what matters](07_ablations) has the comparison,
# `rs.presets.paper(reading="literal")` the reading.

# %% tags=["setup", "hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

# %% tags=["setup"]
from dataclasses import replace

import torch
import torch.nn.functional as F
from IPython.display import Markdown

import repsearch as rs
from repsearch import operators as op
from repsearch.populations import initial_population
from repsearch.reference import evaluate
from repsearch.reproduce import figures
from repsearch.reproduce.tables import code

preset, seed = rs.presets.named(), 0
data = rs.load(preset.data, train=preset.train, validation=preset.validation,
               test=preset.test, seed=seed)
network = rs.search_network(data, preset, seed=seed)
image, label = data.train.images[:1], data.train.labels[:1]
with torch.no_grad():
    layers = rs.activations(network, image)
print(f"preset {preset.name} ({preset.data}), seed {seed}, device cpu; "
      "this chapter takes about a quarter of a minute")

# %% tags=["copyable", "hide-input"] mystnb={"figure": {"caption": "This chapter is the upper half: candidates at each block of a network that is never trained, judged by the blocks behind it. What is kept becomes the targets of the lower half, [learning](04_learning)."}, "image": {"alt": "Two rows of an image, three blocks and a head. From each block of the upper row, candidates are evolved, and the best is kept as a target; from each target an arrow points down to the same block of the lower row. Before its head the gradient is stopped."}}
from IPython.display import SVG

from repsearch.reproduce.drawing import networks

SVG(networks())

# %% [markdown]
# ## The network, and where it is cut
#
# The network is that of cifar10-airbench {cite}`jordan2024airbench`, changed a little: a fixed whitening layer, three
# blocks, a linear head. Each block is Conv, MaxPool, BatchNorm, GELU, Conv, BatchNorm, GELU. The output of a block is
# a *search layer* $H^{(l)}$, and so are the logits.

# %% tags=["copyable"]
for name, H in zip(rs.networks.layer_names(network), layers, strict=True):
    print(f"{name:<8}{tuple(H.shape[1:])}")

# %% [markdown]
# At the paper's size, 256 channels for colour images, the maps are $256\times15\times15$, $256\times7\times7$ and
# $256\times3\times3$, and the network that learns has three times the convolutions:

# %% tags=["copyable"]
colour = torch.randn(100, 3, 32, 32)
for kind, groups in (("searched", 1), ("trained", 3)):
    large = rs.convnet(colour, classes=10, width=256, groups=groups)
    print(f"{kind}: {rs.networks.parameter_count(large):,} parameters")

# %% [markdown]
# Nothing here is trained. The convolutions are the identity (*Dirac*), but for the outputs of the very first that have
# no input to copy, which are random; so is the head. The whitening comes
# from the training images alone: neighbouring pixels say nearly the same, so patches of $2\times2$ pixels are rotated
# and scaled until they are uncorrelated. **Check:** the covariance of the whitened patches should be
# the identity, but for directions of so little variance that the $5\times10^{-4}$ added to their eigenvalues counts.

# %% tags=["copyable"]
from repsearch.airbench import whitening_filters

filters = whitening_filters(data.train.images)
half = len(filters) // 2  # the second half is the first with the opposite sign
white = F.conv2d(
    data.train.images, filters[:half]).permute(1, 0, 2, 3).flatten(1)
print(((white @ white.T) / white.shape[1]).round(decimals=3))

# %% [markdown]
# ## Fitness
#
# A candidate $H$ for layer $l$ is as good as the rest of the network finds it, for this image and its label $y$:
#
# $$ \begin{aligned} f(H) &= \log p(y \mid H) = -\,\mathrm{CE}\big(z(H),\, y\big), \\
#    z(H) &= \text{head}(\text{block}_{2}(\cdots\text{block}_{l+1}(H))) \end{aligned} $$

# %% tags=["copyable"]
H = layers[0][:, None]  # one image, one candidate, channels, height, width
print("fitness of the image's own activations: "
      f"{evaluate(network, 0, H, label).item():.2f}, "
      f"of chance: {torch.tensor(0.1).log():.2f}")

# %% [markdown]
# ## The operators, one by one
#
# Run the cells of this section in order: each draws from the same generators. The population of an image is one
# tensor, `(images, candidates, channels, height, width)`. The first candidates are noisy copies of the *input*, sent
# through the first block.

# %% tags=["copyable"] mystnb={"figure": {"caption": "One channel of the clean activation, and of four first candidates."}, "image": {"alt": "Five maps of one channel: the clean activation and four noisy candidates."}}
from matplotlib import pyplot as plt

# one an image, so that no image depends on the others
generators = op.image_generators(seed, [0])
population = initial_population(network, image, preset.search, generators)
fitness = evaluate(network, 0, population, label)
print(f"{tuple(population.shape)}, "
      f"fitness {fitness.min():.2f} to {fitness.max():.2f}")


def show(maps: list[torch.Tensor], titles: list[str], channel: int = 0) -> None:
    """One channel of several activations, in the same colours: red above 0,
    blue below."""
    size = (1.6 * len(maps), 2.0)
    _, axes = plt.subplots(
        1, len(maps), figsize=size, facecolor="white", layout="constrained")
    for ax, H, title in zip(axes, maps, titles, strict=True):
        ax.imshow(H.reshape(-1, *H.shape[-2:])[channel],
                  cmap="RdBu_r", vmin=-3, vmax=3)
        ax.set_title(title, fontsize=9)
        ax.axis("off")


titles = ["clean", *(f"candidate {i}" for i in range(4))]
show([op.normalise(layers[0]), *population[0, :4]], titles)

# %% [markdown]
# ### Select
#
# Keep the $k$ fittest, unchanged. They are the parents. **Check:** the best fitness of the parents is that of the
# population, so it can never fall.

# %%
parents, kept = op.select(population, fitness, preset.search.parents)
print(f"{parents.shape[1]} of {population.shape[1]} kept; "
      f"best before {fitness.max():.4f}, after {kept.max():.4f}")

# %% [markdown]
# ### Cross over
#
# A child starts as the mean of two parents, drawn at random: $H = \tfrac12 (H_{p_1} + H_{p_2})$.

# %% mystnb={"figure": {"caption": "Two parents, and the mean that a child starts from."}, "image": {"alt": "Three maps: two parents and their mean."}}
# two parents for each of three children
pairs = op.draw_pairs(3, parents.shape[1], generators)
children = op.crossover(parents, pairs)
p1, p2 = pairs[0, 0].tolist()
show([parents[0, p1], parents[0, p2], children[0, 0]],
     ["parent 1", "parent 2", "their mean"])

# %% [markdown]
# ### Mutate
#
# Noise follows the parents: a channel that varies much may change much.
#
# $$ \begin{aligned} H_{b,c,h,w} &\leftarrow H_{b,c,h,w} + \varepsilon, \\
#    \varepsilon &\sim \mathcal N\big(0, (\alpha\,\sigma_{b,c})^2\big), \\
#    \sigma_{b,c} &= \tfrac12\big(\operatorname{std} H_{p_1,c} + \operatorname{std} H_{p_2,c}\big) \end{aligned} $$
#
# A *refiner* gets little noise, an *explorer* more. The formula does not say whether every position has an
# $\varepsilon$ of its own. Drawn once a map it moves the whole channel up or down; drawn for every pixel it makes it
# grainy:

# %% mystnb={"figure": {"caption": "The mean of two parents, and explorers of both readings: noise once a map, and for every pixel."}, "image": {"alt": "Three maps: the mean of two parents, the same shifted to another colour as a whole, and the same full of noise a pixel wide."}}
# generations, alpha, boost and blur passes of block 0
row = preset.search.schedule[0]
sigma = op.parent_spread(parents, pairs)
noise = {kind: op.draw_noise((3, *parents.shape[2:]), generators, kind)
         for kind in ("map", "pixel")}
refiners = op.mutate(children, sigma, row.strength, noise["map"])
explorers = {
    kind: op.mutate(children, sigma, row.strength * row.boost, noise[kind])
    for kind in noise}
titles = ["mean", "explorer: a map", "explorer: a pixel"]
show([children[0, 0], *(explorers[kind][0, 0] for kind in noise)], titles)
change = ((refiners - children) / sigma).std()
print(f"a refiner's change has {change:.2f} standard deviations; "
      f"alpha is {row.strength}, an explorer's {row.boost:g} times as much")

# %% [markdown]
# ### Smooth
#
# A convolutional network can hardly learn to produce noise a pixel wide, so the paper blurs: a few passes of
# $3\times3$ average pooling. Pooling is linear and separable, so that $n$ passes are one small matrix on each axis,
# $S^n H\,(S^n)^\top$. **Check:** it is what `F.avg_pool2d` does. The literal reading blurs the whole child, and with
# the noise whatever the parents had that is fine; ours blurs the noise before it is added.

# %% mystnb={"figure": {"caption": "Literal: an explorer with noise a pixel, before and after smoothing. Ours: noise once a map, smoothed, then added to the mean."}, "image": {"alt": "Three maps: an explorer full of noise a pixel wide; the same after smoothing, without detail; and an explorer of our reading, with all its parents' detail, shifted as a whole but less at the border."}}
smoothed = op.smooth(explorers["pixel"], row.blur)
pooled = explorers["pixel"][0]
for _ in range(row.blur):
    pooled = F.avg_pool2d(pooled, 3, stride=1, padding=1)
print("largest difference from avg_pool2d: "
      f"{(smoothed[0] - pooled).abs().max():.1e}")

mild = op.smooth(noise["map"], row.blur)
ours = op.mutate(children, sigma, row.strength * row.boost, mild)
titles = ["explorer: a pixel", f"{row.blur} passes later", "ours"]
show([explorers["pixel"][0, 0], smoothed[0, 0], ours[0, 0]], titles)

# %% [markdown]
# Look at the border. Zeros beyond it are averaged in, so whatever is smoothed fades there towards 0, which is white.
# Noise drawn once a map has nothing else to blur: what smoothing adds to it is this frame.
#
# ### Normalise
#
# Smoothing shrinks, noise widens. Each child is brought back to mean 0 and variance 1 over channels and positions:
# $H \leftarrow (H-\mu)/\sqrt{v+10^{-5}}$.

# %% mystnb={"figure": {"caption": "An explorer, before and after normalisation."}, "image": {"alt": "Two maps: an explorer, and the same after normalisation, in paler colours."}}
finished = op.normalise(ours)
print(f"standard deviation over the channels {ours[0, 0].std():.3f} before, "
      f"{finished[0, 0].std():.3f} after; mean {finished[0, 0].mean():.0e}")
show([ours[0, 0], finished[0, 0]], ["explorer", "normalised"])

# %% [markdown]
# ### Recentre
#
# Logits have no space to blur. They are mutated, then moved to mean zero, which leaves the probabilities as they are.

# %% tags=["copyable"]
logits = torch.tensor([[2.0, 0.5, -1.0]])
print(op.recentre(logits), op.recentre(logits).softmax(1), logits.softmax(1))

# %% [markdown]
# ## The loop
#
# A generation keeps the parents, adds *explorers* (children with strong noise) and *refiners* (children with weak
# noise, whose parents may be explorers). The paper's algorithm, in short:
#
# ```text
# population at layer 0: noisy copies of the input, propagated
# for each layer:
#     repeat for the layer's generations:
#         parents    = the k fittest of the population, for each image
#         explorers  = reproduce(parents,             strength α · boost)
#         refiners   = reproduce(parents + explorers, strength α)
#         population = parents + explorers + refiners; evaluate it
#     fix the best, go on to the next layer
# ```
#
# And the library's loop. You will find the inner part line for line:

# %% tags=["copyable", "hide-input"]
from repsearch.reference import search_layer

Markdown(code(search_layer))

# %% [markdown]
# When the generations of a layer are over, the best candidate is fixed, and what the next block makes of it starts the
# next layer:

# %% tags=["copyable", "hide-input"]
from repsearch.reference import search_images

Markdown(code(search_images))

# %% [markdown]
# Let us run it on some training images and watch the best candidate of each layer.

# %% tags=["copyable"] mystnb={"figure": {"caption": "Cross-entropy of the best candidate against generation. Band: range over 3 seeds."}, "image": {"alt": "Four panels, one a search layer: cross-entropy of the best candidate against generation, never rising."}}
from repsearch.reproduce.searches import found_by

found = [
    rs.search(network, data.train[:24], preset.search, seed=s, progress=False)
    for s in range(3)]
curves = [found_by(targets) for targets in found]
figure = figures.search_curves(curves)

# %% tags=["hide-input"]
from repsearch.reproduce.tables import markdown, mean_std

rows = []
for name in found[0].layers:
    ends = [[curve["cross_entropy"][name][i] for curve in curves]
            for i in (0, -1)]
    rows.append([name, *(mean_std(values, 3) for values in ends)])
Markdown(markdown(["24 images, 3 seeds", "before", "after"], rows))

# %% [markdown]
# Cross-entropy of the best candidate, averaged over the images; the bands are the range over three seeds. It falls at
# every layer and never rises within one. Between blocks it jumps, because what the best of one layer becomes in the
# next is normalised there, and that scales the logits. (The convolutions are the identity: a block only pools,
# normalises and bends.)
#
# Now look at the probability of the label before and after, and at what the targets look like.

# %% tags=["copyable"] mystnb={"figure": {"caption": "Images, one channel of their own activation, and of their targets. Red is above 0, blue below."}, "image": {"alt": "Rows of maps for six digits: the image, its own activation at block 0, and the searched targets at blocks 0 and 1."}}
targets = rs.search(network, data.train[:24], preset.search, progress=False)
with torch.no_grad():
    own, *_, logits = rs.activations(network, data.train.images[:24])
before = logits.softmax(1).gather(1, data.train.labels[:24, None])[:, 0]
after = targets.probability
print("probability of the label, mean over 24 images: "
      f"{before.mean():.2f} before, {after.mean():.2f} after; above one half: "
      f"{(before > 0.5).sum()} images before, {(after > 0.5).sum()} after")

figure = figures.target_maps(
    data.pixels(data.train.images[:6]),
    [("block 0: own", op.normalise(own[:6])[:, 0]),
     *((f"block {i}: target", targets.read(f"block{i}", 0, 6)[:, 0])
       for i in (0, 1))],
    [data.classes[label] for label in data.train.labels[:6]],
)

# %% [markdown]
# A target still shows its image: children keep what their parents had, and noise that is smoothed alone moves a
# channel as a whole. How often has a child overtaken the first copies, rather than one of these staying the best?

# %%
for name in targets.layers:
    loss = targets.cross_entropy(name)
    overtaken = (loss[:, -1] < loss[:, 0]).float().mean()
    print(f"{name:<8}a child is the best for {overtaken:.0%} of the images")

# %% [markdown]
# Nearly always. Whether a network can learn to produce such maps is the question of [the chapter on
# learning](04_learning).
#
# ## What depends on what
#
# What is found for an image depends on the network, the image, its label, the configuration and the seed, and on
# nothing else: each image has a random generator of its own. **Check:** search an image alone, and among others.

# %% tags=["copyable"]
alone, among = (
    rs.search(network, images, preset.search, seed=0, progress=False)
    for images in (data.train[5:6], data.train[:24]))
print(all(torch.equal(alone.read(name), among.read(name, 5, 6))
          for name in among.layers))

# %% [markdown]
# ## What the paper leaves open
#
# | question | our reading | and the alternative |
# |---|---|---|
# | BatchNorm statistics in search | frozen: those of noisy training images, which is what a search starts from | `statistics="candidates"` |
# | mutation noise | one draw a channel's map | `noise="pixel"`: one a pixel (literal) |
# | what is blurred | the noise | `blurred="child"`: the whole child (literal) |
# | border of the pooling | zeros counted | `border="inside"` |
# | a refiner's parents | parents and explorers | `refine_from="parents"` |
# | choosing two parents | with replacement | `pairs="distinct"` |
# | noise on the input | a share of each channel's standard deviation | `input_noise=...` |
# | first candidates of a layer | normalised like all others | |
# | initialisation of the head | Kaiming uniform | `head_init="torch"` |
#
# All are arguments of `SearchConfig`, but the last, which belongs to `search_network`. One line tries a reading:

# %% tags=["copyable"]
literal = {"noise": "pixel", "blurred": "child"}
readings = [{}, {"noise": "pixel"}, {"blurred": "child"}, literal,
            {"border": "inside"}, {"refine_from": "parents"}]
for reading in readings:
    config = replace(preset.search, **reading)
    result = rs.search(network, data.train[:8], config, progress=False)
    ends = [f"{result.cross_entropy(name)[:, -1].mean():.2f}"
            for name in result.layers]
    print(f"{reading!s:<42}{'  '.join(ends)}")

# %% [markdown]
# Eight images and one seed cannot rank the readings, but where the whole child is smoothed the cross-entropy stays
# high. The children then carry a handicap: each generation blurs them again, and the first copies are not blurred at
# all. At block 2, where a map has $3\times3$ positions, one pass takes away most of what was there. Noise for every
# pixel, smoothed alone, gets lowest of all. But fitness is not all that counts, for a network has to learn the
# result, and [it learns less from those targets](07_ablations) than from the default's.
#
# ## What the paper says, and what came out
#
# The verdicts follow [these rules](../book/claims.md), for more images and three data sets. What each part of the
# search is worth to the network that learns is in [the ablations](07_ablations).

# %% tags=["copyable", "hide-input"]
from repsearch.reproduce.page import table

Markdown(table(
    ("3.1",), where=lambda claim: "ablations" not in claim.experiment))

# %% [markdown]
# One row deserves a second look. Parents are counted as one would count species: ten equal ones are one, ten that
# have nothing in common are ten. In the end there is hardly more than one, with explorers or without. So late in a
# search the mean of two parents is nearly either of them, and mutation does the work.
#
# **Summary.** A candidate is an activation, its fitness the log-probability of the label after the rest of an untrained
# network. Crossover averages, mutation follows each channel's spread, smoothing takes out what is a pixel wide, where
# noise has any of that, normalisation keeps children in range. No gradient was computed.
#
# ## Questions
#
# <details><summary>Why are candidates normalised at all, when the search gets a lower cross-entropy without
# it?</summary>
#
# The BatchNorm statistics are frozen, so larger activations tend to make larger logits, and once the label leads,
# that alone lowers the cross-entropy. Noise follows the spread of the parents, so what has widened can widen
# further: [without normalisation](07_ablations) the targets are many times as large. With mean and variance fixed,
# a candidate can win by its pattern and not by its size, and the targets have a scale that the learning rate can be
# set for. The paper calls it crucial for the search to converge, which fails here. At the default's rate the network
# learns less without it; whether it needs it at a rate of its own is undecided.
#
# </details>
#
# <details><summary>What would happen to the rule that the best candidate never gets worse, if BatchNorm used the
# statistics of the candidates?</summary>
#
# It would no longer be sure. Parents are kept unchanged, and with frozen statistics they have the same fitness in
# the next generation. With the candidates' own statistics the fitness of a parent would depend on the children
# beside it, and could fall. What is found for an image would depend on the other images, too.
#
# </details>
#
# <details><summary>On the digits, search makes an untrained network say the label of every image. Is that network a
# classifier?</summary>
#
# No. The search was given the label and looked for activations that make the network say it; given a wrong label,
# it finds those as well (second exercise). For a new image there is no label, so no fitness and no search. Whether
# the activations are good for something shows only when another network learns from them and is asked about images
# that were not searched.
#
# </details>
#
# ## Exercises
#
# The solutions use `replace`, `initial_population` and `evaluate`, imported above.
#
# **1.** How much of the progress is due to the noise on the input, before any evolution? Compare the best of the first
# population, at three values of `input_noise`, with where the search of block 0 ends.

# %% tags=["copyable", "hide-cell"]
for noise in (0.03, 0.3, 1.0):
    config = replace(preset.search, input_noise=noise)
    generators = op.image_generators(0, range(24))
    first = initial_population(
        network, data.train.images[:24], config, generators)
    best = evaluate(network, 0, first, data.train.labels[:24]).amax(1)
    ends = rs.search(network, data.train[:24], config, seed=seed,
                     layers=("block0",), progress=False)
    print(f"input_noise {noise}: best of the first {-best.mean():.2f} nats, "
          f"at the end {ends.cross_entropy('block0')[:, -1].mean():.2f}")

# %% [markdown]
# **2.** The operators also take a wrong label. Search targets for the label "3" on images that show something else.
# Does the search notice?

# %% tags=["copyable", "hide-cell"]
few = data.train[data.train.labels != 3][:8]
wrong = rs.Split(few.images, torch.full((8,), 3), few.classes, few.indices)
of_wrong, of_true = (
    rs.search(network, split, preset.search, progress=False)
    for split in (wrong, few))
print(f"probability of label 3: {of_wrong.probability.mean():.2f}; "
      f"of the true labels: {of_true.probability.mean():.2f}")
# It does not: an untrained network knows nothing of digits. The label alone
# says where the search goes.

# %% [markdown]
# **3.** Search a network of your own: three blocks of your choice behind a stem, no BatchNorm.

# %% tags=["copyable", "hide-cell"]
from torch import nn

# The head's 8 * 16 inputs are 8 channels of 4x4, what three poolings leave of
# 32x32.
torch.manual_seed(0)
channels = data.train.images.shape[1]
blocks = [
    nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2))
    for _ in range(3)]
stem = nn.Conv2d(channels, 8, 3, padding=1)
head = nn.Sequential(nn.Flatten(), nn.Linear(8 * 16, 10))
result = rs.search(rs.Network(stem, blocks, head), data.train[:8],
                   preset.search, progress=False)
print({name: round(result.cross_entropy(name)[:, -1].mean().item(), 2)
       for name in result.layers})
