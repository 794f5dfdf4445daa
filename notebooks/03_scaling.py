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
# # Scaling: what more search buys
#
# **What you will see.** Two questions about search, before any network learns from it. Does a larger population, or
# more generations, find better activations? And do independent searches of one image find the same answer, or
# different ones? You will run both experiments in small; beside them stand results for CIFAR-100 at larger
# sizes.
#
# **Before you start.** [Search](02_search). **Takes** a minute on two CPU cores. Section 3.2 of the paper
# {cite}`vegesna2025decoupling`, Figures 2 and 3.

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
from IPython.display import Markdown
from matplotlib import pyplot as plt

import repsearch as rs
from repsearch import measure
from repsearch.reproduce import figures
from repsearch.reproduce.records import read_records
from repsearch.reproduce.samples import Sample
from repsearch.reproduce.tables import markdown, mean_std

preset, seeds = rs.presets.named(), (0, 1, 2)
sample = Sample(preset.data, preset.train, preset.validation, preset.test)
data = sample.load(None, seed=0)
# the small searches below: noise for every pixel, smoothed alone
search = replace(preset.search, noise="pixel", blurred="noise")
print(f"preset {preset.name} ({preset.data}), seeds {seeds}, device cpu; "
      "this chapter takes about a minute")

# %% [markdown]
# ## Population and generations
#
# Each block is searched *alone*: noisy copies of the image are sent through the network up to that block, and
# evolution begins there. What is measured is the cross-entropy of the best candidate, averaged over images.
#
# The paper leaves open *what* is smoothed in a child, and here it decides. Smooth the whole **child**, and
# all detail that parents have is blurred again in every generation. Smooth only the **noise** that mutation adds, and
# children inherit their parents' detail. We run both, and a third reading below: noise drawn once for a channel's whole
# **map** and smoothed alone, which is the library's default.

# %% tags=["copyable"] mystnb={"figure": {"caption": "Digits, smoothing the whole child. Best cross-entropy against population after all generations (left) and against generation (right), each block searched alone. Bands: range over 3 seeds of network and search."}, "image": {"alt": "Two panels with a curve for each of three blocks, which fall with population and with generations."}}
from repsearch.reproduce.scaling import Figure2, figure2

live = {}
for name in ("child", "noise"):
    setup = Figure2(sample, preset.width, replace(search, blurred=name),
                    images=8, populations=(12, 24, 48))
    live[name] = [{"points": figure2(data, setup, seed)} for seed in seeds]
figure = figures.figure2(live["child"])
plt.show()

# %% mystnb={"figure": {"caption": "The same, smoothing the noise alone."}, "image": {"alt": "Two panels: the curves of all three blocks fall far lower than before."}}
figure = figures.figure2(live["noise"])
plt.show()

# %% [markdown]
# Eight digits are quick, and too easy to say much. Now CIFAR-100 at the *book* preset's sizes, made by
#
# ```
# python -m repsearch reproduce fig2
# ```

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-100, book preset, smoothing the whole child."}, "image": {"alt": "Two panels: cross-entropy falls steadily with population, and slowly with generations."}}
records = read_records("fig2-cifar100-book-child-*")
settings = records[0]["settings"]
generations = [
    row["generations"] for row in settings["search"]["schedule"][:-1]]
found = "{:,} training and {:,} test images".format(
    *records[0]["images"]["source"])
print(f"{settings['width']} channels, "
      f"generations {generations} at blocks 0, 1, 2, "
      f"{settings['images']} images of CIFAR-100, "
      f"of which the files held {found}")
figure = figures.figure2(records)
plt.show()

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-100, book preset, smoothing the noise alone."}, "image": {"alt": "Two panels: cross-entropy falls steeply along both axes."}}
figure = figures.figure2(read_records("fig2-cifar100-book-noise-*"))
plt.show()

# %% [markdown]
# A curve against *population* needs a control. The first generation, generation 0, is the best of as many noisy copies
# of the image, and the best of more copies is better without any evolution. So the table separates the two: what
# chance gives, and what evolution adds.

# %% tags=["copyable"]
def evolution(records: list[dict], title: str) -> list[list[str]]:
    """Rows of a table: best cross-entropy before and after evolution, by block
    and population."""
    rows = []
    for block in (0, 1, 2):
        for size in records[0]["settings"]["populations"]:
            curves = [p["curve"] for r in records for p in r["points"]
                      if (p["block"], p["population"]) == (block, size)]
            first, last = (mean_std([curve[i] for curve in curves], 2)
                           for i in (0, -1))
            gain = sum(
                1 - curve[-1] / curve[0] for curve in curves) / len(curves)
            rows.append([title, str(block), str(size), first, last,
                         f"{100 * gain:.0f} %"])
    return rows


titles = {"child": "child", "noise": "noise", "map": "noise, a draw a map"}
book = {name: read_records(f"fig2-cifar100-book-{name}-*") for name in titles}
head = ["smoothed", "block", "population", "best of the noisy copies",
        "after evolution", "evolution removes"]
table = markdown(head, [row for name in book
                        for row in evolution(book[name], titles[name])])
settings = book["child"][0]["settings"]
Markdown(f"{table}\n\nCIFAR-100, {settings['images']} images, "
         f"{len(book['child'])} seeds; nats; "
         f"chance is {torch.tensor(100.0).log():.2f}.")

# %% [markdown]
# Is the lead of a larger population there before evolution, as the better luck of more first candidates? With the
# whole child smoothed, evolution is not shown to add to it at any block. With a draw a map, the library's default,
# all of it is luck at block 0, at block 1 evolution is not shown to add to it, and at block 2 it adds. With a draw a
# pixel, smoothed alone, evolution adds to it at every block.
#
# Evolution itself removes several times as much in the last two readings as with the whole child smoothed. Block 2
# ends lowest in two of the three readings; with a draw a pixel, smoothed alone, block 0 does, though with most
# candidates its lead over block 2 is not sure. At the paper's own sizes?

# %%
paper = {name: read_records(f"fig2-cifar100-paper-{name}-*")
         for name in titles}
table = markdown(head, [row for name in paper
                        for row in evolution(paper[name], titles[name])])
settings = paper["child"][0]["settings"]
generations = [
    row["generations"] for row in settings["search"]["schedule"][:-1]]
Markdown(f"{table}\n\nCIFAR-100, {settings['width']} channels, "
         f"generations {generations}, {settings['images']} images, "
         f"{len(paper['child'])} seeds; nats.")

# %% [markdown]
# At these sizes evolution removes far more in every reading, and nearly everything where the noise alone is smoothed,
# but for block 0 with a draw a map. In these two readings a larger population gains more than its luck, too, at every
# block: what the small size showed of a draw a map does not carry over. With the whole child smoothed that is open.

# %% [markdown]
# ## How many different solutions are there?
#
# Search the same image many times with other random numbers, and keep each run's best candidate if it gives
# the label a probability above one half. With the cosine similarities $K_{ij}$ of the solutions,
#
# $$ \begin{aligned} H_\text{coll} &= -\log \frac{\sum_{ij} K_{ij}^2}{\big(\sum_i K_{ii}\big)^2}\,, \\
#    N_\text{eff} &= \exp(H_\text{coll}) \end{aligned} $$
#
# counts how many of them are different {cite}`skean2025layer`: $n$ orthogonal solutions give $n$, copies of one give 1.

# %% tags=["copyable"]
from repsearch.reproduce.tables import code

orthogonal, copies = (measure.effective_number(H)
                      for H in (torch.eye(8), torch.ones(8, 5)))
print(f"eight orthogonal: {orthogonal:.2f}, eight copies: {copies:.2f}")
Markdown(code(measure.cosine_gram, measure.collision_entropy))

# %% [markdown]
# A number like this means little alone. Beside it stands the same number for the best candidates of as many
# *unrelated* images: that is as different as solutions get. Mind what the number does not say: for normalised maps it
# depends only on how similar the solutions are on average, so that random differences count as much as structure.

# %% tags=["copyable"] mystnb={"figure": {"caption": "Digits, smoothing the noise alone: effective number of solutions against independent runs, beside unrelated images. Bands: range over 3 seeds."}, "image": {"alt": "Three panels, one a block; the number grows with runs, and stays below that of unrelated images."}}
from repsearch.config import as_dict
from repsearch.reproduce.scaling import Figure3, figure3

setup = Figure3(
    sample, preset.width, search, images=8, runs=8, counts=(2, 4, 8))
small = [{"settings": as_dict(setup), "points": figure3(data, setup, seed)}
         for seed in seeds]
figure = figures.figure3(small)
plt.show()

# %% [markdown]
# The same for CIFAR-100 (`python -m repsearch reproduce fig3`). At its first blocks a book-size search seldom makes
# one of a hundred labels more probable than all others together, so this one is twice as long, in a network twice as
# wide.

# %% tags=["copyable"] mystnb={"figure": {"caption": "CIFAR-100, smoothing the noise alone."}, "image": {"alt": "Three panels, one a block: the number against independent runs, for one image and for unrelated images."}}
figure = figures.figure3(read_records("fig3-cifar100-book-noise-*"))
plt.show()

# %% tags=["copyable"]
runs = read_records("fig3-cifar100-book-noise-*")
settings = runs[0]["settings"]
# for as many unrelated images
most = max(n for n in settings["counts"] if n <= settings["images"])
rows = []
for block in (0, 1, 2):
    at = [p for r in runs for p in r["points"]
          if (p["block"], p["runs"]) == (block, most)]
    rows.append([str(block), *(mean_std([p[key] for p in at], 2)
                               for key in ("kept", "solutions", "unrelated"))])
head = ["block", f"kept of {most} runs", "solutions of one image",
        "unrelated images"]
generations = [
    row["generations"] for row in settings["search"]["schedule"][:-1]]
Markdown(markdown(head, rows) + f"\n\n{settings['width']} channels, "
         f"generations {generations}, {settings['images']} images, "
         f"{len(runs)} seeds.")

# %% [markdown]
# Solutions of one image are far from as different as those of unrelated images. With the whole child smoothed there is
# nothing to count at these sizes: the cross-entropies above stay far from $\log 2$, where a probability is one half.

# %% [markdown]
# ## What the paper says, and what came out
#
# Verdicts follow [these rules](../book/claims.md).

# %% tags=["copyable", "hide-input"]
from repsearch.reproduce.page import table

Markdown(table(("3.2",)))

# %% [markdown]
# **Summary.** More search finds better activations, along both axes. How much of that is evolution depends on what
# the paper does not settle: what is smoothed, and whether noise is drawn for a pixel or a map. An image has more than
# one solution; by this number, which counts random differences, too, still far fewer different ones than runs.
#
# ## Questions
#
# <details><summary>A larger population ends at a lower cross-entropy. Why does this not yet show that evolution
# makes use of it?</summary>
#
# The first generation is the best of as many noisy copies, and the best of more copies is better without any
# evolution. So look at what a larger population gains beyond that luck. In the default reading at the small size
# that is nothing at block 0, undecided at block 1, and something at block 2. At the paper's sizes the same reading
# gains more than its luck at every block, so the small size is no guide here.
#
# </details>
#
# <details><summary>Why does evolution remove so little where the whole child is smoothed, and does that mean that
# this reading cannot search?</summary>
#
# Every generation blurs again what the parents had, and the first copies are not blurred at all. So a child starts
# with a handicap, which its noise has to make up for. It does not mean that: at the paper's sizes evolution removes
# far more in this reading, too. Width, candidates and generations all change between the two sizes, so this does
# not say which of them matters.
#
# </details>
#
# <details><summary>The effective number of solutions grows with the runs. What would be wrong with reading it as
# that many different ideas?</summary>
#
# The number depends only on how similar the solutions are on average, so random differences count as much as
# structure. On the digits (third exercise) the first candidates, before any evolution, are already about as
# different as the solutions. Beside it must stand the number for unrelated images, which is as different as
# solutions get. Solutions of one image stay far below that.
#
# </details>
#
# ## Exercises
#
# **1.** Is a search better spent on half the candidates for twice the generations? Try it at block 0, with noise a
# pixel, smoothed alone.

# %% tags=["copyable", "hide-cell"]
for times in (1, 2):
    population, ends = search.population // times, []
    config = search.prolonged(times).resized(population)
    for seed in seeds:
        network = rs.search_network(data, preset, seed)
        found = rs.search(network, data.train[:8], config, seed,
                          progress=False, layers=("block0",))
        ends.append(found.cross_entropy("block0")[:, -1].mean().item())
    print(f"{population} candidates, "
          f"{config.schedule[0].generations} generations: "
          f"{mean_std(ends, 2)} nats")

# %% [markdown]
# **2.** What is $N_\text{eff}$ of four pairs of equal solutions, and of eight with a pairwise cosine of one half?

# %% tags=["copyable", "hide-cell"]
pairs = torch.eye(4).repeat(2, 1)
related = torch.linalg.cholesky(0.5 * torch.eye(8) + 0.5 * torch.ones(8, 8))
print(f"{measure.effective_number(pairs):.2f}, "
      f"{measure.effective_number(related):.2f}; "
      f"8 / (1 + 7 / 4) = {8 / 2.75:.2f}")

# %% [markdown]
# **3.** The runs of one image start from different noisy copies. Do the solutions differ because of that, or because
# evolution drifts apart? Compare the effective number of the best first candidates with that of the solutions.

# %% tags=["copyable", "hide-cell"]
network = rs.search_network(data, preset)
brief = replace(search, schedule=tuple(
    replace(row, generations=1, strength=1e-6) for row in search.schedule))
for name, config in (
    ("after one generation without noise", brief), ("solutions", search),
):
    runs = [rs.search(network, data.train[:8], config, run, progress=False,
                      layers=("block0",))
            for run in range(8)]
    found = torch.stack([targets.read("block0") for targets in runs])
    print(
        f"{name}: "
        f"{sum(measure.effective_number(found[:, i]) for i in range(8))/8:.2f}")
