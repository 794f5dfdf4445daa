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

# %% tags=["hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

# %%
from dataclasses import replace

import torch
from IPython.display import Markdown
from matplotlib import pyplot as plt

import repsearch as rs
from repsearch import plots
from repsearch.records import read_records
from repsearch.scaling import figure2, figure3

preset, seeds = rs.presets.named(), (0, 1, 2)
data = rs.load(preset.data, train=preset.train, validation=preset.validation, test=preset.test, seed=0)
print(f"preset {preset.name} ({preset.data}), seeds {seeds}, device cpu; this chapter takes about a minute")

# %% [markdown]
# ## Population and generations
#
# Each block is searched *alone*: noisy copies of the image are sent through the network up to that block, and
# evolution begins there. What is measured is the cross-entropy of the best candidate, averaged over images.
#
# The paper leaves open *what* is smoothed in a child, and here it decides. Smooth the whole **child**, and
# all detail that parents have is blurred again in every generation. Smooth only the **noise** that mutation adds, and
# children inherit their parents' detail. We run both, and a third reading below: noise drawn once for a channel's whole
# **map**, which is what the book preset uses for [learning](04_learning).

# %% mystnb={"figure": {"caption": "Digits, smoothing the whole child. Best cross-entropy against population after all generations (left) and against generation (right), each block searched alone. Bands: range over 3 seeds of network and search."}, "image": {"alt": "Two panels with a curve for each of three blocks, which fall with population and with generations."}}
readings = {name: replace(preset, search=replace(preset.search, blurred=name)) for name in ("child", "noise")}
live = {
    name: [figure2(data, reading, seed, images=8, populations=(12, 24, 48)) for seed in seeds]
    for name, reading in readings.items()
}
figure = plots.figure2(live["child"])
plt.show()

# %% mystnb={"figure": {"caption": "The same, smoothing the noise alone."}, "image": {"alt": "Two panels: the curves of blocks 0 and 1 fall far lower than before, that of block 2 hardly."}}
figure = plots.figure2(live["noise"])
plt.show()

# %% [markdown]
# Eight digits are quick, and too easy to say much. Now CIFAR-100 at the *book* preset's sizes, made by
#
# ```
# python -m repsearch reproduce fig2
# ```

# %% mystnb={"figure": {"caption": "CIFAR-100, book preset, smoothing the whole child."}, "image": {"alt": "Two panels: cross-entropy falls steadily with population, and slowly with generations."}}
book = {name: read_records(f"fig2-cifar100-book-{name}-*") for name in ("child", "noise", "map")}
schedule = [row["generations"] for row in book["child"][0]["search"]["schedule"]]
print(f"{book['child'][0]['width']} channels, generations {schedule[:-1]} at blocks 0, 1, 2, {book['child'][0]['images']} images")
figure = plots.figure2(book["child"])
plt.show()

# %% mystnb={"figure": {"caption": "CIFAR-100, book preset, smoothing the noise alone."}, "image": {"alt": "Two panels: cross-entropy falls steeply along both axes."}}
figure = plots.figure2(book["noise"])
plt.show()

# %% [markdown]
# A curve against *population* needs a control. The first generation, generation 0, is the best of as many noisy copies
# of the image, and the best of more copies is better without any evolution. So the table separates the two: what
# chance gives, and what evolution adds.

# %%
def mean_and_spread(values: list[float]) -> str:
    t = torch.tensor(values, dtype=torch.float64)
    return f"{t.mean():.2f} ± {t.std():.2f}" if len(values) > 1 else f"{t.item():.2f}"


def evolution(records: list[dict], title: str) -> str:
    """Rows of a table: best cross-entropy before and after evolution, by block and population."""
    rows = []
    for block in (0, 1, 2):
        for size in sorted({p["population"] for p in records[0]["points"]}):
            curves = [p["curve"] for r in records for p in r["points"] if (p["block"], p["population"]) == (block, size)]
            first, last = mean_and_spread([c[0] for c in curves]), mean_and_spread([c[-1] for c in curves])
            gain = sum(1 - c[-1] / c[0] for c in curves) / len(curves)
            rows.append(f"| {title} | {block} | {size} | {first} | {last} | {100 * gain:.0f} % |")
    return "\n".join(rows)


head = "| smoothed | block | population | best of the noisy copies | after evolution | evolution removes |\n|---|---|---|---|---|---|\n"
titles = {"child": "child", "noise": "noise", "map": "noise, a draw a map"}
table = head + "\n".join(evolution(book[name], titles[name]) for name in book)
Markdown(table + f"\n\nCIFAR-100, {book['child'][0]['images']} images, {len(book['child'])} seeds; nats; chance is {torch.tensor(100.0).log():.2f}.")

# %% [markdown]
# With the whole child smoothed, a larger population gains no more than the better luck of its first draw. With the noise alone
# smoothed, luck still gives a larger population most of its lead, but evolution removes several times as much, at every size. A
# draw a map helps block 2 most, and block 0 least. Block 2 ends lowest in these two readings, and is lowest from the first
# draw on; with the noise of every pixel smoothed alone, block 0 does. At the paper's own sizes? One seed, for it takes minutes:

# %%
paper = {name: read_records(f"fig2-cifar100-paper-{name}-*") for name in readings}
table = head + "\n".join(evolution(paper[name], titles[name]) for name in paper)
schedule = [row["generations"] for row in paper["child"][0]["search"]["schedule"]]
Markdown(table + f"\n\nCIFAR-100, {paper['child'][0]['width']} channels, generations {schedule[:-1]}, "
         f"{paper['child'][0]['images']} images, {len(paper['child'])} seed; nats.")

# %% [markdown]
# At these sizes evolution removes a substantial part with the whole child smoothed, too, most at block 2, and at blocks 0 and 2 a
# larger population gains more than its luck. Smoothing the noise alone still goes much further.

# %% [markdown]
# ## How many different solutions are there?
#
# Search the same image many times with other random numbers, and keep each run's best candidate if it gives
# the label a probability above one half. With the cosine similarities $K_{ij}$ of the solutions,
#
# $$ H_\text{coll} = -\log \frac{\sum_{ij} K_{ij}^2}{\big(\sum_i K_{ii}\big)^2}\,, \qquad N_\text{eff} = \exp(H_\text{coll}) $$
#
# counts how many of them are different {cite}`skean2025layer`: $n$ orthogonal solutions give $n$, copies of one give 1.

# %%
import inspect

from repsearch import measure

print(inspect.getsource(measure.cosine_gram).split('"""')[2].rstrip())
print(inspect.getsource(measure.collision_entropy).split('"""')[2].rstrip())
print(f"eight orthogonal: {measure.effective_number(torch.eye(8)):.2f}, eight copies: {measure.effective_number(torch.ones(8, 5)):.2f}")

# %% [markdown]
# A number like this means little alone. Beside it stands the same number for the best candidates of as many *unrelated*
# images: that is as different as solutions get. Mind what the number does not say: for normalised maps it depends only on
# how similar the solutions are on average, so that random differences count as much as structure.

# %% mystnb={"figure": {"caption": "Digits, smoothing the noise alone: effective number of solutions against independent runs, beside unrelated images. Bands: range over 3 seeds."}, "image": {"alt": "Three panels, one a block; the number grows with runs, and stays below that of unrelated images."}}
small = [figure3(data, readings["noise"], seed, images=8, runs=8, counts=(2, 4, 8)) for seed in seeds]
figure = plots.figure3(small)
plt.show()

# %% [markdown]
# The same for CIFAR-100 (`python -m repsearch reproduce fig3`). A book-size search seldom makes one of a hundred labels
# more probable than all others together, so this one is twice as long, in a network twice as wide.

# %% mystnb={"figure": {"caption": "CIFAR-100, smoothing the noise alone."}, "image": {"alt": "Three panels, one a block: the number against independent runs, for one image and for unrelated images."}}
runs = read_records("fig3-cifar100-book-noise-*")
figure = plots.figure3(runs)
plt.show()

# %%
most = max(p["runs"] for p in runs[0]["points"] if p["runs"] <= runs[0]["images"])  # for as many unrelated images
lines = [f"| block | kept of {most} runs | solutions of one image | unrelated images |", "|---|---|---|---|"]
for block in (0, 1, 2):
    at = [p for r in runs for p in r["points"] if (p["block"], p["runs"]) == (block, most)]
    cells = [mean_and_spread([p[key] for p in at]) if all(p[key] is not None for p in at) else "too few images"
             for key in ("kept", "solutions", "unrelated")]
    lines.append(f"| {block} | {' | '.join(cells)} |")
generations = [row["generations"] for row in runs[0]["search"]["schedule"]][:-1]
Markdown("\n".join(lines) + f"\n\n{runs[0]['width']} channels, generations {generations}, {runs[0]['images']} images, {len(runs)} seeds.")

# %% [markdown]
# Solutions of one image are far from as different as those of unrelated images. With the whole child smoothed there is
# nothing to count at these sizes: the cross-entropies above stay far from $\log 2$, where a probability is one half.

# %% [markdown]
# ## What the paper says, and what came out
#
# Verdicts follow [these rules](../book/claims.md).

# %% tags=["hide-input"]
from repsearch.claims import table

Markdown(table(("3.2",)))

# %% [markdown]
# **Summary.** More search finds better activations, along both axes. How much of that is evolution depends on one
# detail the paper does not settle. An image has more than one solution; by this number, which counts random differences, too,
# still far fewer different ones than runs.
#
# ## Exercises
#
# **1.** Is a search of 48 candidates for 20 generations better spent as 24 candidates for 40? Try it at block 0.

# %% tags=["hide-cell"]
first, *rest = readings["noise"].search.schedule
longer = replace(readings["noise"], search=replace(readings["noise"].search, schedule=(replace(first, generations=40), *rest)))
for population, setting in ((48, readings["noise"]), (24, longer)):
    points = [figure2(data, setting, seed, images=8, populations=(population,))["points"][0] for seed in seeds]
    print(f"{population} candidates, {len(points[0]['curve']) - 1} generations: "
          f"{mean_and_spread([p['curve'][-1] for p in points])} nats")

# %% [markdown]
# **2.** What is $N_\text{eff}$ of four pairs of equal solutions, and of eight with a pairwise cosine of one half?

# %% tags=["hide-cell"]
pairs = torch.eye(4).repeat(2, 1)
related = torch.linalg.cholesky(0.5 * torch.eye(8) + 0.5 * torch.ones(8, 8))
print(f"{measure.effective_number(pairs):.2f}, {measure.effective_number(related):.2f}; 8 / (1 + 7 / 4) = {8 / 2.75:.2f}")

# %% [markdown]
# **3.** The runs of one image start from different noisy copies. Do the solutions differ because of that, or because evolution drifts apart?
# Compare the effective number of the best first candidates with that of the solutions.

# %% tags=["hide-cell"]
from repsearch.engine import KernelEngine
from repsearch.search import check_fit
from repsearch.tail import without_identities

config = readings["noise"].search
network = without_identities(rs.search_network(data, preset))
brief = replace(config, schedule=tuple(replace(row, generations=1, strength=1e-6) for row in config.schedule))
for name, setting in (("after one generation without noise", brief), ("solutions", config)):
    shapes = check_fit(network, data.train, setting)
    found = torch.stack([KernelEngine(network, setting, run, shapes).search_block(data.train[:8], 0)[0] for run in range(8)])
    print(f"{name}: {sum(measure.effective_number(found[:, i]) for i in range(8)) / 8:.2f}")
