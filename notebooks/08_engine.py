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
# # How the search is made fast
#
# **What you will see.** The search of the [second chapter](02_search), written straight from the paper, is too slow
# for the paper's own sizes: minutes for one image, months for a data set. Six observations about *this* method, none
# of them a trick of the machine, bring that down to seconds. You will add them one at a time, check that the children
# stay the same, and measure what each one gains.
#
# **Before you start.** [Search](02_search). **Takes** a minute on two CPU cores. Sections 3.1 and A.1 of the
# paper {cite}`vegesna2025decoupling` describe the method; how to make it fast is ours.

# %% tags=["setup", "hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source],
                   check=True)

# %% tags=["setup"]
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from IPython.display import Markdown
from matplotlib import pyplot as plt

import repsearch as rs
from repsearch import operators as op
from repsearch.engine.shapes import layer_shapes
from repsearch.engine.tail import without_identities
from repsearch.populations import initial_population
from repsearch.reference import evaluate
from repsearch.reproduce.records import read_records
from repsearch.reproduce.tables import markdown

preset, seed = rs.presets.named(), 0
torch.set_num_threads(1)  # one thread throughout, so that the steps compare
data = rs.load(preset.data, train=preset.train, validation=preset.validation,
               test=preset.test, seed=seed)
image, label = data.train.images[:1], data.train.labels[:1]
print(f"preset {preset.name} ({preset.data}), seed {seed}, device cpu; "
      "this chapter takes about a minute")

# %% [markdown]
# ## The starting point
#
# One generation of layer 0 at 128 channels: 20 parents, 100 children, each made from two parents, five passes of
# average pooling, then the rest of the network. It is the literal reading, the dearest: noise for every pixel, and
# every child smoothed. Every step below makes these same children from the same draws. (To keep the steps comparable
# there are only refiners here.)

# %% tags=["setup"]
first, *others = preset.search.schedule
config = rs.SearchConfig((replace(first, strength=0.3, blur=5), *others),
                         parents=20, explorers=0, refiners=100, noise="pixel",
                         blurred="child")
network = rs.search_network(data, replace(preset, width=128, search=config),
                            seed=seed)
generators = op.image_generators(seed, [0])
with torch.no_grad():
    population = initial_population(network, image, config, generators)
    parents, _ = op.select(
        population, evaluate(network, 0, population, label), config.parents)
pairs = op.draw_pairs(100, 20, generators)
alpha, passes = 0.3, 5
print(f"parents {tuple(parents.shape)}, children {tuple(pairs.shape[:2])}")

# %% tags=["setup"]
Step = Callable[[], torch.Tensor]
gains: dict[str, float] = {}


def measure(name: str, step: Step, repeats: int = 3) -> torch.Tensor:
    """Run a step, keep its shortest time in milliseconds; the children's
    fitness (100,)."""
    with torch.no_grad():
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            fitness = step()
            times.append(1000 * (time.perf_counter() - start))
    gains[name] = min(times)
    print(f"{name}: {min(times):.1f} ms a generation")
    return fitness[0]


def as_written() -> torch.Tensor:
    noise = op.draw_noise((100, *parents.shape[2:]),
                          op.image_generators(1, [0]))
    children = op.mutate(op.crossover(parents, pairs),
                         op.parent_spread(parents, pairs), alpha, noise)
    flat = children.flatten(0, 1)
    for _ in range(passes):
        flat = F.avg_pool2d(flat, 3, stride=1, padding=1)
    return evaluate(network, 0, op.normalise(flat).reshape(children.shape),
                    label)


expected = measure("as written", as_written)

# %% [markdown]
# ## 1. A convolution that is the identity need not be computed
#
# A Dirac convolution with as many outputs as inputs returns its input. Behind block 0 every convolution of the
# network that is searched is one. `without_identities` looks each one up in its weights, and leaves a trained
# convolution where it is.

# %% tags=["copyable"]
from repsearch.engine.tail import is_identity

light = without_identities(network)
convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
print(f"{sum(map(is_identity, convolutions))} of {len(convolutions)} "
      "convolutions are the identity")


def no_identities() -> torch.Tensor:
    noise = op.draw_noise((100, *parents.shape[2:]),
                          op.image_generators(1, [0]))
    children = op.mutate(op.crossover(parents, pairs),
                         op.parent_spread(parents, pairs), alpha, noise)
    flat = children.flatten(0, 1)
    for _ in range(passes):
        flat = F.avg_pool2d(flat, 3, stride=1, padding=1)
    return evaluate(light, 0, op.normalise(flat).reshape(children.shape), label)


fitness = measure("1 no identities", no_identities)
print(f"largest difference in fitness: {(fitness - expected).abs().max():.1e}")

# %% [markdown]
# ## 2. Five poolings are one matrix on each axis
#
# Average pooling is linear and separable. All passes together are $S H S^\top$ with a matrix $S$ of $15\times15$:
# `operators.smooth`.

# %% tags=["copyable"]
light = without_identities(network)  # step 1


def one_matrix() -> torch.Tensor:
    noise = op.draw_noise((100, *parents.shape[2:]),
                          op.image_generators(1, [0]))
    children = op.mutate(op.crossover(parents, pairs),
                         op.parent_spread(parents, pairs), alpha, noise)
    return evaluate(light, 0, op.normalise(op.smooth(children, passes)), label)


fitness = measure("2 one matrix", one_matrix)
print(f"largest difference in fitness: {(fitness - expected).abs().max():.1e}")

# %% [markdown]
# ## 3. Smooth the parents, not the children
#
# Because smoothing is linear, it can be moved to where there is less to smooth:
#
# $$ \begin{aligned} & \mathcal S\Big(\tfrac12(H_{p_1}+H_{p_2})+\varepsilon\Big) \\
#    ={}& \tfrac12\big(\mathcal S H_{p_1}+\mathcal S H_{p_2}\big)+\mathcal S\varepsilon \end{aligned} $$
#
# That leaves $\mathcal S\varepsilon$, as large as the children: nothing is gained yet.

# %% tags=["copyable"]
light = without_identities(network)  # step 1


def smooth_parents() -> torch.Tensor:
    noise = op.draw_noise((100, *parents.shape[2:]),
                          op.image_generators(1, [0]))
    M = op.smooth(parents, passes)
    noise = op.smooth(noise, passes)
    children = op.mutate(op.crossover(M, pairs),
                         op.parent_spread(parents, pairs), alpha, noise)
    return evaluate(light, 0, op.normalise(children), label)


fitness = measure("3 smooth the parents", smooth_parents)
print(f"largest difference in fitness: {(fitness - expected).abs().max():.1e}")

# %% [markdown]
# ## 4. Smoothed noise comes from a bank
#
# Noise of unit size, $\mathcal S\varepsilon/\sigma$, depends on no image and no parent. The engine draws banks of
# smoothed maps once for a layer; each child and group of 16 channels picks a row of one, and a sign, at random. The
# fitness now comes from other noise, so there is nothing to compare with in this step. Below, a test of the whole
# search takes its place.

# %% tags=["copyable"]
from repsearch.engine.draws import Banks, draw

light = without_identities(network)  # step 1
start = time.perf_counter()
banks = Banks(seed, 0, tuple(parents.shape[2:]), config)
print(f"a layer's banks, {banks.once.size // 15**2:,} maps: "
      f"{time.perf_counter() - start:.2f} s, once for all images")
drawn = draw(seed, 0, 0, parents.shape[2], banks.rows, config)


def from_a_bank() -> torch.Tensor:
    noise = banks.rows_of(0, drawn.noise[0])[None]
    M = op.smooth(parents, passes)
    children = op.mutate(op.crossover(M, pairs),
                         op.parent_spread(parents, pairs), alpha, noise)
    return evaluate(light, 0, op.normalise(children), label)


expected = measure("4 noise from a bank", from_a_bank)

# %% [markdown]
# ## 5. Pool first, normalise later
#
# Normalisation is one scale and one shift for a whole child, and the scale is positive. Max-pooling commutes with
# that. The first thing the rest of the network does is to pool: so pool the raw child, and normalise the quarter of
# the values that is left.

# %%
from repsearch.engine.tail import leaves

block1 = leaves(light.blocks[1])
pooling = next(i for i, part in enumerate(block1)
               if isinstance(part, torch.nn.MaxPool2d))
after_pooling = torch.nn.Sequential(*block1[pooling + 1 :])
after_block1 = torch.nn.Sequential(light.blocks[2], light.head)


def pool_first() -> torch.Tensor:
    noise = banks.rows_of(0, drawn.noise[0])[None]
    M = op.smooth(parents, passes)
    raw = op.mutate(op.crossover(M, pairs), op.parent_spread(parents, pairs),
                    alpha, noise)[0]
    flat = raw.flatten(1)
    mean = flat.mean(1)
    variance = (torch.linalg.vector_norm(flat, dim=1).square() / flat.shape[1]
                - mean.square())
    scale = (variance + 1e-5).rsqrt()[:, None, None, None]
    pooled = (F.max_pool2d(raw, 2) - mean[:, None, None, None]) * scale
    logits = after_block1(after_pooling(pooled))
    return -F.cross_entropy(logits, label.expand(100), reduction="none")[None]


fitness = measure("5 pool first", pool_first)
print(f"largest difference in fitness: {(fitness - expected).abs().max():.1e}")

# %% [markdown]
# ## 6. One pass, in the cache
#
# So far every operation writes an array of all children to memory, for the next one to read back. But up to the head
# the channels do not touch each other: 16 channels of a child can be mixed, summed, and pooled while they are in the
# processor's cache. That takes a compiled loop; `repsearch.engine.kernel` is one, compiled by numba. Children
# of full size are never stored. The few that become parents are made again from their recipe: two parents and a row
# of the bank. This step therefore also includes selecting, and smoothing the new parents.

# %%
import numpy as np

from repsearch.engine import kernel
from repsearch.engine.kernel_engine import (
    KernelEngine,
    kernel_children,
    kernel_parents,
)

shapes = layer_shapes(network, data.train, config)
engine = KernelEngine(light, config, seed, shapes, layers=range(len(shapes)))
chosen = kernel.Draws(pairs[..., 0].numpy(), pairs[..., 1].numpy(),
                      drawn.noise[:1])
start_fitness = torch.full((20,), -100.0)  # so that every new parent is a child


def in_cache() -> torch.Tensor:
    state = kernel_parents(parents[0], start_fitness, smoothing=True)
    made = kernel_children(128, engine.tails[0].sides[1], config)
    settings = (engine.noise(0), engine.tails[0], int(label), 0, alpha, alpha,
                128, True, True)
    # No generation yet: it prepares the first parents, which a layer does only
    # once.
    kernel.search_layer(state, made, chosen, *settings, np.zeros(0, np.float32))
    start = time.perf_counter()
    kernel.search_layer(state, made, chosen, *settings, np.zeros(1, np.float32))
    alone.append(1000 * (time.perf_counter() - start))
    return torch.from_numpy(made.fitness)[None]


alone: list[float] = []  # milliseconds of the generation, without preparing it
in_cache()  # compiles
alone.clear()
fitness = measure("6 in the cache", in_cache)
gains["6 in the cache"] = min(alone)
print(f"{min(alone):.1f} ms without the preparation; "
      f"largest difference in fitness: {(fitness - expected).abs().max():.1e}")

# %% [markdown]
# All steps, on one thread, at 128 channels:

# %% mystnb={"figure": {"caption": "Time for one generation of one image after each step, one thread; logarithmic. Numbers: times as fast as at the start."}, "image": {"alt": "Bars, one a step, from as written down to the loop in the cache, which is many times shorter."}}
figure, ax = plt.subplots(figsize=(6.4, 2.8), facecolor="white",
                          layout="constrained")
bars = ax.barh(list(gains), list(gains.values()), color="#0072b2")
ax.bar_label(bars, [f"  {gains['as written'] / t:.1f}x"
                    for t in gains.values()], fontsize=9)
ax.set(xscale="log", xlabel="milliseconds a generation",
       xlim=(min(gains.values()) / 2, 3 * max(gains.values())))
ax.invert_yaxis()
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# As separate operations, steps 3 to 5 gain little; they are what step 6 is made of. The loop in the cache gains most,
# and only because the steps before it have left it so little to do: no convolution, no smoothing of children, no
# random number a pixel.
#
# ## Is it still the same search?
#
# With the same draws the children agree, as every step above has checked. With draws of its own, the engine should find
# fitness of the same *distribution*. Here each image and seed is searched by the reference and by the engine; a
# Kolmogorov-Smirnov test asks whether the two samples of final cross-entropies could be one.

# %% tags=["copyable"]
from scipy.stats import ks_2samp

small, few = replace(preset, width=16), data.train[:60]
searched = rs.search_network(data, small, seed=seed)
found = {
    name: [rs.search(searched, few, preset.search, seed=s, progress=False,
                     engine=name)
           for s in (0, 1, 2)]
    for name in ("reference", "kernel")
}
for layer in found["kernel"][0].layers:
    one, other = (
        torch.cat([t.cross_entropy(layer)[:, -1] for t in found[name]])
        for name in ("reference", "kernel"))
    print(f"{layer:<8} reference {one.mean():.3f} ± {one.std():.3f}, "
          f"engine {other.mean():.3f} ± {other.std():.3f}, "
          f"p = {ks_2samp(one.numpy(), other.numpy()).pvalue:.2f}")

# %% mystnb={"figure": {"caption": "Block 0: mean cross-entropy of the best candidate by generation, reference and engine, and the range over 3 seeds."}, "image": {"alt": "Two falling curves with bands that lie on top of each other."}}
figure, ax = plt.subplots(figsize=(5, 2.8), facecolor="white",
                          layout="constrained")
for name, colour in (("reference", "#d55e00"), ("kernel", "#0072b2")):
    curves = torch.stack([targets.cross_entropy("block0").mean(0)
                          for targets in found[name]])
    ax.plot(curves.mean(0), color=colour,
            label="engine" if name == "kernel" else name)
    low, high = curves.amin(0), curves.amax(0)
    ax.fill_between(range(curves.shape[1]), low, high, color=colour, alpha=0.2)
ax.set(xlabel="generation", ylabel="cross-entropy (nats)")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## Against what one would otherwise use
#
# The same per-image search can be written with the genetic algorithms of EvoTorch or evosax
# {cite}`toklu2023evotorch,lange2023evosax`. This table comes from one run of `python -m repsearch bench` on two
# cores, at the paper's sizes and at a *laptop*'s: 64 channels, 60 candidates. The libraries get the network without
# identity convolutions, too, so that what is compared is the search.

# %% tags=["copyable"]
(bench,) = read_records("bench-*")
rivals = ("reference", "reference, no identities", "EvoTorch, no identities",
          "evosax, no identities")
rows = []
for limit in bench["limits"]:
    size, layer = limit["size"], limit["layer"]
    rate = {row["contestant"]: row["candidates_per_second"]
            for row in bench["rows"]
            if (row["size"], row["layer"]) == (size, layer)}
    cells = [f"{rate['engine'] / rate[name]:.1f}x" if name in rate else ""
             for name in rivals]
    rows.append([f"{size}, {layer}", f"{rate['engine']:,.0f}", *cells,
                 f"{limit['share']:.0%}"])
head = ["size, layer", "engine, candidates/s", "reference",
        "reference, no identities", "EvoTorch", "evosax", "share of limit"]
Markdown(markdown(head, rows))

# %% [markdown]
# Columns with an x say how many times as fast the engine is. The last one compares the engine with the least time
# that its arithmetic could take on that machine: the operations of `bench.machine.operations` at the speed of a large
# matrix product, or three numbers read for each position at the speed of the cache, whichever is longer. A row is one
# run, so that small differences between its columns are noise: behind the last block, say, no convolution is left for
# either reference.
#
# ## A network that has been trained
#
# Behind a block of a trained network stand real convolutions, and they are nearly all of the work. But where noise is
# drawn once a map, and smoothed alone, every candidate is a *mix*: of the maps that the search began with, of a
# constant, and in each channel of one profile, which is what smoothing leaves of a constant map. The first
# convolution behind the layer is linear. So it is computed once for what candidates are mixed of, and each child is a
# mix of the results:
#
# $$ W * \sum_m c_m H_m = \sum_m c_m \, (W * H_m). $$
#
# Means, variances and spreads of children come from products of these few maps with each other. Only the later
# convolutions are computed for every child, in compiled code that keeps its maps in the cache. In other readings
# children are made whole. The same run of `bench` timed whole searches of the book's network after an epoch of
# training, and of a ResNet-18 cut into its stages, which runs in torch:

# %% tags=["copyable"]
(bench,) = read_records("bench-*")
rows = []
for network_name, reading in dict.fromkeys(
        (r["network"], r["reading"]) for r in bench["trained"]):
    rate = {r["contestant"]: r["images_per_second"] for r in bench["trained"]
            if (r["network"], r["reading"]) == (network_name, reading)}
    first = next(iter(rate.values()))
    rows += [[f"{network_name}, {reading}", name, f"{value:.2f}",
              f"{value / first:.1f}x"]
             for name, value in rate.items()]
Markdown(markdown(["network, reading", "", "images/s", "times as fast"], rows))

# %% [markdown]
# The first row of each is how the last release searched them, an image after the other on one core.
#
# **Summary.** The method gives the speed away: the network behind the searched layer is almost nothing, smoothing is
# linear, noise is anonymous, normalisation commutes with pooling. `rs.search` uses the kernel wherever these hold,
# `engine="conv"` for networks of plain convolutions, `engine="torch"` for any other on any device, with steps 1 to 4;
# `engine="reference"` is the paper's pseudocode.
#
# ## Questions
#
# <details><summary>The loop in the cache gains most. Why could it not come first?</summary>
#
# It takes 16 channels of a child at a time, and that works because up to the head the channels do not touch each
# other. A convolution that has to be computed would mix them all. Without steps 3 and 4 every child would still have
# to be smoothed, and its noise drawn pixel by pixel. And without step 5 the whole child would have to be kept at full
# size until its mean and variance are known.
#
# </details>
#
# <details><summary>Steps 1, 2, 3, 5 and 6 were checked on the same draws. Why does the chapter still compare whole
# searches, and what does a large p say?</summary>
#
# The checks show that a step computes the same from the same noise. With noise from a bank the draws are others, and
# children share them, so no child can be compared with its twin; what is left to compare is what whole searches find.
# A large p says that these images and seeds show no difference. A difference that is too small for them would pass,
# too.
#
# </details>
#
# <details><summary>Behind a block of a trained network only the first convolution is computed once for all children.
# Why not the second?</summary>
#
# A convolution is linear, so what it makes of a mix is the mix of what it makes of the parts. Between the first and
# the second stand max-pooling and GELU, which are not linear: there the mix of the results is not the result of the
# mix. Noise for every pixel breaks even the first step, for then each child has a map of its own, and is no mix of a
# few.
#
# </details>
#
# ## Exercises
#
# **1.** The bank lets children share noise. How probable is it that two given children of a generation have the same
# noise, up to its sign, in one group of 16 channels, and in all groups of the paper's 256 channels?

# %% tags=["copyable", "hide-cell"]
from repsearch.engine.draws import ROWS

print(f"one group: 1 in {ROWS}; all 16 groups: 1 in {float(ROWS) ** 16:.0e}")

# %% [markdown]
# **2.** Normalisation commutes with max-pooling because its scale is positive. Does it commute with average pooling
# too, inside the map and at a border of zeros?

# %% tags=["copyable", "hide-cell"]
H = parents[:, :1]
sigma = (H.var(correction=0) + 1e-5).sqrt()
inside = (F.avg_pool2d(op.normalise(H)[0], 2)
          - (F.avg_pool2d(H[0], 2) - H.mean()) / sigma)
border = op.smooth(op.normalise(H), 1) - (op.smooth(H, 1) - H.mean()) / sigma
print(f"2x2 poolings: {inside.abs().max():.1e}; "
      f"3x3 smoothing, middle {border[..., 5, 5].abs().max():.1e}, "
      f"corner {border[..., 0, 0].abs().max():.1e}")
# With zeros around the map the shift is smoothed as well: the engine adds it
# times the smoothed map of ones.

# %% [markdown]
# **3.** Which engine would search a network with a ReLU instead of GELU, and why?

# %% tags=["copyable", "hide-cell"]
from torch import nn

from repsearch.engine.choice import choose
from repsearch.engine.tail import why_not_kernel

blocks = [nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU())
          for _ in range(3)]  # the kernel's pattern ends at the ReLU
head = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
relu = rs.calibrate(
    rs.Network(nn.Conv2d(image.shape[1], 4, 1), blocks, head),
    data.train.images)
shapes = layer_shapes(relu, data.train, preset.search)
print(f"{choose(relu, preset.search, seed, shapes).name}: "
      f"{why_not_kernel(relu, shapes, preset.search)}")
