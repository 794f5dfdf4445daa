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
# # Evolution strategies, from one neuron to a network
#
# **What you will see.** How a network is trained by evaluating it, with noise in its weights, and nothing else: where
# the slope comes from, how much noise it carries, who should see which images, and what low rank saves.
#
# **Before you start.** [Why activations?](01_framework), for the question that this chapter turns round: search here
# goes through *weights*. **Takes** half a minute on two CPU cores.

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
import seaborn as sns
import torch
import torch.nn.functional as F
from IPython.display import Markdown
from torch import nn

import repsearch as rs
from repsearch.reproduce.records import read_records
from repsearch.reproduce.tables import markdown, mean_std

sns.set_palette("colorblind")
seed = 0
# records of what was measured; they come with the library
records = read_records("es-estimates-digits-smoke-all-*")
data = rs.load("digits", train=1000, validation=150, test=300, seed=seed)


def perceptron():
    """Digits, averaged to 8 x 8 pixels, through a layer of 32 to ten classes."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 32),
                         nn.ReLU(), nn.Linear(32, 10))


print(f"digits, seed {seed}, device cpu; this chapter takes half a minute")

# %% [markdown]
# ## One neuron, and a fitness without a slope
#
# A neuron has one weight $\theta$. It should say yes, and does if $\theta > 0$. Its fitness is 1 if it is right, else
# 0: a step, whose slope is zero wherever it has one. Gradient descent has nothing to follow.
#
# Now let the weight tremble. With noise of standard deviation $\sigma$ the *expected* fitness
#
# $$ J(\theta) = \mathbb{E}\, F(\theta + \sigma\varepsilon) $$
#
# over $\varepsilon \sim \mathcal{N}(0, 1)$ is smooth, whatever $F$ is:

# %% tags=["copyable"] mystnb={"figure": {"caption": "A fitness that is a step (grey), and what is left of it under noise of three widths."}, "image": {"alt": "A step from zero to one, and three S-shaped curves, the flatter the wider the noise."}}
theta = np.linspace(-2, 2, 401)
noise = np.random.default_rng(seed).standard_normal(20_000)
fig, ax = plt.subplots(figsize=(6.4, 2.6), constrained_layout=True)
ax.plot(theta, theta > 0, color="0.6", label="fitness")
for sigma in (0.1, 0.4, 1.0):
    smoothed = [(t + sigma * noise > 0).mean() for t in theta]
    ax.plot(theta, smoothed, label=f"expected, sigma {sigma}")
ax.set(xlabel="weight", ylabel="fitness")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Its slope is an expectation too. Write $J$ as an integral over noisy weights $w$. Only the density of $w$ depends on
# $\theta$, and the slope of its logarithm is $(w - \theta) / \sigma^2 = \varepsilon / \sigma$. So
#
# $$ \nabla J(\theta) = \frac{1}{\sigma}\, \mathbb{E}\, F(\theta + \sigma\varepsilon)\, \varepsilon. $$
#
# So a mean over random directions, each weighted with the fitness found there, estimates a gradient, and $F$ need not
# have one. Directions are best taken in **pairs**, each with its mirror image, for then whatever the two share cancels:
#
# $$ \hat g = \frac{1}{2N\sigma} \sum_{i=1}^{N} \left(F_i^+ - F_i^-\right) \varepsilon_i, $$
#
# $$ F_i^\pm = F(\theta \pm \sigma\varepsilon_i). $$
#
# For any function of a vector:

# %% tags=["copyable"]
def es_gradient(fitness, theta, sigma, pairs, generator):
    """The gradient of the smoothed fitness at theta (d,), estimated."""
    total = torch.zeros_like(theta)
    for _ in range(pairs):
        eps = torch.randn(len(theta), generator=generator)
        plus, minus = fitness(theta + sigma * eps), fitness(theta - sigma * eps)
        total += (plus - minus) * eps
    return total / (2 * pairs * sigma)


slope = torch.tensor([1.0, -2.0, 3.0])
found = es_gradient(lambda w: w @ slope, torch.zeros(3), 0.1, 10_000,
                    torch.Generator().manual_seed(seed))
print("of a fitness with slope (1, -2, 3):", found.round(decimals=1).tolist())

# %% [markdown]
# ## A network of two layers
#
# Take a network with a hidden layer, on digits; the fitness is the mean
# log-probability of the right class on a minibatch, the same one for all members. `rs.methods.EvolutionStrategy` is
# the sum above, evaluated many members at a time, and `rs.fit` steps along it as it would along any gradient:

# %% tags=["copyable"] mystnb={"figure": {"caption": "Accuracy on validation images, by updates and by forward passes (a backward pass counts as two): an evolution strategy of a hundred members, and SGD."}, "image": {"alt": "Two panels. By updates the two curves are near each other; by forward passes SGD is far to the left."}}
config = rs.FitConfig(epochs=12, batch=50, learning_rate=0.1, momentum=0)
curves = {}
for name, method in (
    ("SGD", rs.methods.Backprop()),
    ("evolution strategy", rs.methods.EvolutionStrategy(100, sigma=0.1)),
):
    history = rs.fit(perceptron(), data, method, config, seed, progress=False)
    curves[name] = (history.spent, history.validation_accuracy)
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.8), sharey=True,
                         constrained_layout=True)
for name, (spent, accuracy) in curves.items():
    updates = 20 * np.arange(1, len(accuracy) + 1)
    axes[0].plot(updates, 100 * np.array(accuracy), label=name)
    axes[1].semilogx(spent, 100 * np.array(accuracy), label=name)
axes[0].set(xlabel="updates", ylabel="accuracy (%)")
axes[1].set(xlabel="forward passes of an image")
axes[0].legend(frameon=False)
plt.show()

# %% [markdown]
# By updates the strategy lags a little. But an update of it costs a hundred forward passes an image, and one of SGD
# three. Why does it need so many? Its estimate is noisy.
#
# ## How much noise
#
# For a fitness that is quadratic in the weights, with gradient $g$ and Hessian $H$, the noise can be computed. With $d$
# weights, and $N$ pairs that all see all images,
#
# $$ \mathbb{E}\, \lVert \hat g - g \rVert^2 = \frac{d + 1}{N} \lVert g \rVert^2, $$
#
# $$ \cos(\hat g, g) \approx \sqrt{\frac{N}{N + d + 1}}. $$
#
# $N$ pairs see $N$ of $d$ directions, and the angle to the gradient is wide until there are as many pairs as weights.
# Training works all the same: the noise points elsewhere at every step and averages out, and the gradient does not.
# The record `es-estimates` measures the angle on this network, before training and after:

# %% tags=["copyable"] mystnb={"figure": {"caption": "Cosine of the estimate and the gradient, against the number of pairs, at sigma 0.01: the formula as a line, measured as dots (mean over seeds)."}, "image": {"alt": "A rising line from small cosines at few pairs, with dots close to it."}}
fig, ax = plt.subplots(figsize=(6.4, 2.6), constrained_layout=True)
for when, marker in (("before", "o"), ("after", "s")):
    rows = [record["points"][when]["angles"] for record in records]
    pairs = [row["pairs"] for row in rows[0]]
    ax.semilogx(pairs, [np.mean([row[i]["mean"] for row in rows])
                        for i in range(len(pairs))],
                marker, label=f"{when} training")
theory = [row["theory"] for row in rows[0]]
ax.semilogx(pairs, theory, color="0.4", label="formula")
ax.set(xlabel="pairs", ylabel="cosine")
ax.set_xticks(pairs, [str(count) for count in pairs])
ax.minorticks_off()
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Who sees which images
#
# A minibatch adds noise of its own, for images differ: their gradients have covariance $\Sigma$, their fitnesses
# variance $s^2$. The two members of a pair can see the same $b$ images or not, and so can different pairs:
#
# | who shares | expected squared distance from the gradient, of a quadratic |
# |---|---|
# | all members one minibatch | $\frac{d+1}{N}\lVert g\rVert^2 + \left(1 + \frac{d+1}{N}\right)\frac{\operatorname{tr}\Sigma}{b}$ |
# | each pair its own | $\frac{d+1}{N}\lVert g\rVert^2 + \frac{d+2}{N}\frac{\operatorname{tr}\Sigma}{b}$ |
# | each member its own | $\frac{d+1}{N}\lVert g\rVert^2 + \frac{d+2}{2N}\frac{\operatorname{tr}\Sigma}{b} + \frac{d\,s^2}{2\sigma^2 N b}$ |
#
# The last line, which leaves out that images differ in curvature, has a term in $1/\sigma^2$. If the two members of a
# pair see different images, the difference of their fitness is mostly that of the images, and it is divided by
# $\sigma$. So within a pair sharing matters where $\sigma$ is small. Between pairs it hardly does while $N$ is far
# below $d$, unless ranks compare them.
#
# *One-sided* members have no mirror image. Their variance has a term $d J^2 / (M \sigma^2)$ for $M$ of them, unless the
# mean fitness of the others, a *baseline*, is taken off.

# %% tags=["copyable"] mystnb={"figure": {"caption": "Squared distance of an estimate from the gradient, against sigma, before training: formulas as lines, measured as dots. The formulas are those of a quadratic."}, "image": {"alt": "Lines and dots for six ways to share images. Two rise steeply as sigma falls: one-sided without a baseline, and images of a member's own. Dots leave the lines upwards at the largest sigma."}}
arms = [row["arm"] for row in records[0]["points"]["before"]["arms"]]
arms = list(dict.fromkeys(arms))
fig, ax = plt.subplots(figsize=(6.4, 4.2), constrained_layout=True)
for number, arm in enumerate(arms):
    rows = [[row for row in record["points"]["before"]["arms"]
             if row["arm"] == arm] for record in records]
    sigmas = [row["sigma"] for row in rows[0]]
    measured, theory = (
        [np.mean([row[i][key] for row in rows]) for i in range(len(sigmas))]
        for key in ("mean", "theory"))
    ax.loglog(sigmas, theory, color=f"C{number}", label=arm)
    ax.loglog(sigmas, measured, "o", color=f"C{number}")
ax.set(xlabel="sigma", ylabel="squared distance")
ax.set_xticks(sigmas, [str(sigma) for sigma in sigmas])
ax.minorticks_off()
fig.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
plt.show()

# %% [markdown]
# The dots lie on the lines at small $\sigma$, and leave them as it grows: over wider steps the network is no quadratic.
# After training, where the gradient is short, they do so sooner.
#
# Does it matter for training? Each way below costs the same, ten images a member and step, and has the best of five
# rates on validation images. Its last weights are tested:
#
# ```
# python -m repsearch reproduce es-arms es-estimates
# ```

# %% tags=["copyable"]
from repsearch.reproduce.strategy_tables import arms_table

Markdown(arms_table())

# %% [markdown]
# One-sided strategies without a baseline lose, and so do mirror images on images of their own; they lose most where
# $\sigma$ is small. Pairs on images of their own do as well as pairs that share, as far as these seeds can tell, and
# so do one-sided members on shared images with the others' mean taken off.
#
# ## How wide
#
# Noise that is too wide estimates another function's slope: $J$ is not $F$, and
#
# $$ \nabla J - \nabla F = \tfrac{1}{2} \sigma^2\, \nabla \operatorname{tr} H + \dots $$
#
# where the fitness is smooth. A ReLU has kinks. There the error grows more slowly than with the square of $\sigma$:

# %% tags=["copyable"] mystnb={"figure": {"caption": "How far the gradient of the smoothed fitness is from the gradient, as a share of its length, against sigma; and what chance alone would give. Noise of full rank, and of rank 1."}, "image": {"alt": "Lines that rise steadily on logarithmic axes, those of both ranks close together, before training below those after."}}
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.9), sharey=True,
                         constrained_layout=True)
for ax, when in zip(axes, ("before", "after"), strict=True):
    for rank, style in ((0, "o-"), (1, "s--")):
        rows = [[row for row in record["points"][when]["smoothing"]
                 if row["rank"] == rank] for record in records]
        sigmas = [row["sigma"] for row in rows[0]]
        error, floor = (
            [np.mean([row[i][key] for row in rows]) for i in range(len(sigmas))]
            for key in ("error", "floor"))
        ax.loglog(sigmas, error, style, label="rank 1" if rank else "full rank")
    ax.loglog(sigmas, floor, ":", color="0.6", label="chance, rank 1")
    ax.set(xlabel="sigma", title=f"{when} training")
    ax.set_xticks(sigmas, [str(sigma) for sigma in sigmas])
    ax.minorticks_off()
axes[0].set(ylabel="bias")
axes[0].legend(frameon=False)
plt.show()

# %% [markdown]
# After training the bias is longer than the gradient itself at the $\sigma$ that the strategy above was trained with,
# for that gradient is short. The strategy climbs $J$, and not $F$; here this was enough.
#
# ## Where there is no slope
#
# Replace ReLU by the sign of its input, and the cross-entropy by the accuracy. Behind a sign the gradient is zero, and
# the accuracy has none at all. A strategy needs neither:

# %% tags=["copyable"]
class Sign(nn.Module):
    """Minus one or one."""

    def forward(self, x):
        return x.sign()


def accuracy(logits, labels):
    return (logits.argmax(1) == labels).float().mean()


network = perceptron()
network[3] = Sign()
F.cross_entropy(network(data.train.images), data.train.labels).backward()
print("largest gradient of the first layer:",
      network[2].weight.grad.abs().max().item())
before = rs.accuracy(network, data.test)
method = rs.methods.EvolutionStrategy(
    100, sigma=0.1, shaping="ranks", optimizer="adam", fitness=accuracy)
rs.fit(network, data, method,
       rs.FitConfig(epochs=20, batch=250, learning_rate=0.03, momentum=0),
       seed, progress=False)
print(f"accuracy before {before:.0%}, after {rs.accuracy(network, data.test):.0%}")

# %% [markdown]
# It learns, if less than with ReLU and log-probabilities. `shaping="ranks"` lets only the order of the members count,
# and `optimizer="adam"` hands the estimate to Adam. With both, and weight decay, it is `rs.methods.OpenAIES`
# {cite}`salimans2017evolution`.
#
# ## Low rank
#
# In a large layer every direction needs as many random numbers as there are weights. EGGROLL
# {cite}`sarkar2025eggroll` draws a matrix of noise as a product of two thin ones,
#
# $$ E_i = \tfrac{1}{\sqrt r} A_i B_i^{\mathsf T}, $$
#
# with $A_i \in \mathbb{R}^{m \times r}$ and $B_i \in \mathbb{R}^{n \times r}$, and never writes it down, since $x (W + \sigma E_i)^{\mathsf T} = x W^{\mathsf T} + \tfrac{\sigma}{\sqrt r}
# (x B_i) A_i^{\mathsf T}$. In the first layer all members see the same $x$, and share the first product.

# %% tags=["copyable"]
generator = torch.Generator().manual_seed(seed)
x, W = torch.randn(5, 64, generator=generator), torch.randn(32, 64)
A, B = (torch.randn(n, 2, generator=generator) for n in (32, 64))
written_out = x @ (W + 0.1 * A @ B.T / 2**0.5).T
factor_by_factor = x @ W.T + 0.1 / 2**0.5 * (x @ B) @ A.T
print(f"largest difference: {(written_out - factor_by_factor).abs().max():.0e}")

# %% [markdown]
# An entry of such noise has mean 0 and variance 1, but is no Gaussian:

# %% tags=["copyable"] mystnb={"figure": {"caption": "Density of one entry of the noise: closed forms as lines, a histogram of draws as dots."}, "image": {"alt": "Four falling curves; that of rank 1 is the steepest near zero, and with the rank they approach the Gaussian."}}
from scipy.special import gamma, kv

values = np.linspace(0.05, 3, 60)
fig, ax = plt.subplots(figsize=(6.4, 2.9), constrained_layout=True)
for number, r in enumerate((1, 2, 4)):
    order, z = (r - 1) / 2, np.sqrt(r) * values
    density = 2 * np.sqrt(r) * z**order * kv(order, z) / (
        2 ** ((r + 1) / 2) * np.sqrt(np.pi) * gamma(r / 2))
    ax.plot(values, density, color=f"C{number}", label=f"rank {r}")
    a, b = np.random.default_rng(r).standard_normal((2, 200_000, r))
    heights, edges = np.histogram((a * b).sum(1) / r**0.5, 30, (0, 3))
    ax.plot((edges[1:] + edges[:-1]) / 2, heights / len(a) / 0.1, ".",
            color=f"C{number}")
ax.plot(values, np.exp(-values**2 / 2) / np.sqrt(2 * np.pi), "--",
        color="0.4", label="Gaussian")
ax.set(xlabel="entry", ylabel="density")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# What does that do to the estimate? For a fitness that is linear or quadratic, nothing on average. A cube shows the
# difference: with $F = \sum_{jk} W_{jk}^3$ the mean of the estimate is $3W^2 + 3\sigma^2$ under Gaussian noise, and
# $6\sigma^2 / r$ more at rank $r$. What low rank adds falls with the rank, not with its root. And the estimate is
# noisier. For a layer of $m \times n$ weights whose fitness is linear with gradient $G$,
# the expected squared distance from it is $\lVert G \rVert^2 / N$ times
#
# $$ mn + 1 + \frac{2(m + n + 1)}{r}. $$
#
# On the digits network, summed over its layers, squared distance over the formula's, and the formula over that of full
# rank:

# %% tags=["copyable"]
rows = []
for i, row in enumerate(records[0]["points"]["before"]["ranks"]):
    cells = []
    for when in ("before", "after"):
        found = [record["points"][when]["ranks"][i] for record in records]
        cells.append(mean_std([one["mean"] / one["theory"] for one in found], 2))
    full = records[0]["points"]["before"]["arms"][0]["theory"]
    rows.append([str(row["rank"]), *cells, f"{row['theory'] / full:.2f}"])
Markdown(markdown(["rank", "before training", "after", "formula"], rows))

# %% [markdown]
# Now a network whose layers are large: 784 pixels, twice 128 units, ten classes, on 2,000 images of MNIST. All cells
# have the same budget, so that more pairs are fewer steps; ranks and Adam, the better of two rates.
#
# ```
# python -m repsearch reproduce es-ranks
# ```

# %% tags=["copyable"]
from repsearch.reproduce.strategy_tables import ranks_table

Markdown(ranks_table())

# %% [markdown]
# Rank 1 is not shown to be worse in any row. What it saves can be counted: numbers drawn for a direction, and
# multiplications for one member's noise and one image, in the largest layer.

# %% tags=["copyable"]
m, n = 128, 784
rows = [["full", f"{m * n:,}", f"{m * n:,}"],
        *([str(r), f"{r * (m + n):,}", f"{r * (m + n):,}"]
          for r in (1, 2, 4))]
Markdown(markdown(["rank", "numbers drawn", "multiplications"], rows))

# %% [markdown]
# And timed: members a second of a loop that writes each member's weights into the network, of the library's
# strategies, and of EvoTorch {cite}`toklu2023evotorch` and evosax {cite}`lange2023evosax`, on one torch thread:
#
# ```
# python -m repsearch reproduce bench-strategies
# ```

# %% tags=["copyable"]
(record,) = read_records("strategy-rates-*")
networks = dict.fromkeys(row["network"] for row in record["rows"])
rate = {(row["network"], row["contestant"]): row["members_per_second"]
        for row in record["rows"]}
names = dict.fromkeys(row["contestant"] for row in record["rows"])
first = next(iter(names))
rows = [[name, *(cell for network in networks for cell in (
    f"{rate[network, name]:,.0f}",
    f"{rate[network, name] / rate[network, first]:.1f}x"))]
    for name in names]
head = ["", *(text for network in networks
              for text in (f"{network}, members/s", "times the loop"))]
Markdown(markdown(head, rows))

# %% [markdown]
# `rs.methods` has more: `SNES` and `XNES` {cite}`wierstra2014natural` learn how wide the noise should be, `DeepGA`
# {cite}`such2017deep` mutates the best networks, `GOEA` {cite}`kucharavy2023evolutionary` keeps a random step if it
# helps. `NEAT` {cite}`stanley2002evolving` lets the links evolve, too. It begins without hidden units, which can't tell
# whether two bits differ, and adds one where that helps:

# %% tags=["copyable"]
from repsearch.methods import NEAT

corners = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).view(4, 1, 1, 2)
bits = (corners, torch.tensor([0, 1, 1, 0]))
table = rs.from_tensors(bits, bits, validation=bits)
network = NEAT.Net(inputs=2, classes=2, seed=seed)
history = rs.fit(network, table, NEAT(population=150),
                 rs.FitConfig(epochs=30, batch=4), seed, progress=False)
print(f"right: {rs.accuracy(network, table.test):.0%} of four, after",
      history.validation_accuracy.index(1) + 1, "generations, with",
      len(network.genome.hidden), "hidden units")

# %% [markdown]
# It is at home in tasks of this size. Beside it the same evolution of weights alone, and, on digits of eight by eight
# pixels, back-propagation in a perceptron with eight hidden units:
#
# ```
# python -m repsearch reproduce topology
# ```

# %% tags=["copyable"]
from repsearch.reproduce.topology_claims import topology_table

Markdown(topology_table())

# %% [markdown]
# Weights alone make a linear network, which can't have all four right. On digits evolution hardly finds a hidden unit
# that helps: links that evolve can't be told from weights alone, and the gradient is ahead after a small part of the
# passes.
#
# ## All of them on one budget
#
# How far do they get, and how far does search in the space of *activations*, on the same network? It has two hidden
# layers of 128 units, and 2,000 images of MNIST. Every method had twelve trials on validation images, each an eighth of
# the budget; the best setting ran on three other seeds. Search in activations, once (*one shot*) or [in turn with
# learning](11_turns), had four trials, and takes far less than it may:
#
# ```
# python -m repsearch reproduce arena-weights arena-turns
# ```

# %% tags=["copyable"]
from repsearch.reproduce.arena_tables import methods_table

Markdown(methods_table())

# %% tags=["copyable"] mystnb={"figure": {"caption": "Accuracy on validation images against forward passes of an image: the mean over seeds."}, "image": {"alt": "Rising curves on a logarithmic axis. SGD is furthest to the left and highest."}}
from repsearch.reproduce.arena_tables import curves

fig, ax = plt.subplots(figsize=(6.4, 3.6), constrained_layout=True)
for name, seeds in curves("mnist").items():
    spent, found = np.mean([np.array(seed) for seed in seeds], axis=0).T
    ax.semilogx(spent, 100 * found, label=name)
ax.set(xlabel="forward passes of an image", ylabel="accuracy (%)")
ax.legend(frameon=False, fontsize=9)
plt.show()

# %% [markdown]
# SGD is ahead, and was so after a small part of the budget. Strategies that mix all members come nearest; those that
# keep the best stay far behind. One shot in activations takes a twentieth of the budget and can't be told from the best
# of them. In turn with learning, for a tenth, it is ahead: an image's activations are a few hundred numbers, searched
# for this image alone, where weights are a hundred thousand, and shared by all.
#
# A trial was an eighth of the budget, which favours what is fast at first.
#
# ## What came out
#
# Verdicts follow [these rules](../book/claims.md). The first rows are claims of the notes that this chapter follows,
# the last ones ours.

# %% tags=["copyable", "hide-input"]
from repsearch.reproduce.page import table

Markdown(table(("strategies",)))

# %% [markdown]
# **Summary.** Noise in the weights gives a fitness a slope, and pairs on the same images estimate it well enough to
# train a network. A pair sees one direction out of $d$; more pairs help as their root, and low rank makes each cheaper.
#
# ## Questions
#
# <details><summary>Why do pairs need no baseline?</summary>
#
# Within a pair the difference of two fitnesses takes off what they have in common: the fitness at the centre, and
# whatever curvature adds to both sides.
#
# </details>
#
# <details><summary>On a linear fitness, which is better at equal evaluations: pairs, or one-sided members with the
# best baseline?</summary>
#
# One-sided members. Pairs spend two forward passes on every direction, so that they see half as many and are twice as
# noisy. They win where $\sigma^2 \operatorname{tr} H^2$ is above about $2 \lVert g \rVert^2$.
#
# </details>
#
# <details><summary>If ranks are taken over the whole population, should pairs see different images?</summary>
#
# No. Then members of different pairs are compared with each other, and a pair with easy images would be ranked above
# one with hard images, whatever its direction.
#
# </details>
#
# ## Exercises
#
# **1.** How many pairs does the formula ask for to be within 45 degrees of the gradient of the digits network?

# %% tags=["copyable", "hide-cell"]
d = sum(weight.numel() for weight in perceptron().parameters())
print(f"cos 45 degrees = sqrt(1/2), so N = d + 1 = {d + 1:,}")

# %% [markdown]
# **2.** Train the digits network by its accuracy, with ReLU, and by its log-probability. Which is better, and why?

# %% tags=["hide-cell"]
config = rs.FitConfig(epochs=10, batch=100, learning_rate=0.03, momentum=0)
for name, fitness in (("log-probability", None), ("accuracy", accuracy)):
    network = perceptron()
    method = rs.methods.EvolutionStrategy(
        100, sigma=0.1, shaping="ranks", optimizer="adam", fitness=fitness)
    rs.fit(network, data, method, config, seed, progress=False)
    print(f"{name}: {rs.accuracy(network, data.test):.0%}")

# %% [markdown]
# The log-probability changes with nearly every step of a weight, the accuracy only where an image changes sides. On a
# minibatch many members tie, and ties say nothing.
