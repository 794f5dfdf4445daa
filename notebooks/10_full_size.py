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
# # Run it at full size
#
# **What you will see.** The commands for the paper's own sizes, in order, and what each will cost you: measured where
# we could measure, estimated, and marked so, where we could not.
#
# **Before you start.** [From a laptop to a cluster](09_cluster). **Takes** seconds to read through: it computes from
# records and runs no search. Appendix A of the paper {cite}`vegesna2025decoupling` gives the sizes.

# %% tags=["setup", "hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source],
                   check=True)

# %% tags=["setup"]
from statistics import median

from IPython.display import Markdown

import repsearch as rs
from repsearch.reproduce.records import read_records
from repsearch.reproduce.tables import markdown, mean_std

paper, book = rs.presets.paper("cifar10"), rs.presets.book("cifar10")
# records of what was measured; they come with the library
full = read_records("search-cifar10-paper-first100-*")
(bench,) = read_records("bench-*")
# of an image: on one core, and on two, which search an image each; the median,
# for a machine that does other work beside it is slower and never faster
seconds = [record["seconds"] / record["settings"]["images"] for record in full]
on_cpu = median(seconds) / 2

# %% tags=["copyable"]
rows = [
    [label, *(str(show(preset)) for preset in (book, paper))]
    for label, show in (
        ("channels", lambda p: p.width),
        ("convolutions a block, learning", lambda p: 2 * p.groups),
        ("training images", lambda p: f"{p.train:,}" if p.train else "all"),
        ("candidates", lambda p: p.search.population),
        ("generations", lambda p: ", ".join(
            str(row.generations) for row in p.search.schedule)),
        ("epochs", lambda p: p.learn.epochs),
        ("batch", lambda p: f"{p.learn.batch:,}"),
        ("mutation's noise, and what is smoothed",
         lambda p: f"a {p.search.noise}, the {p.search.blurred}"),
    )]
Markdown(markdown(["", "book preset", "paper preset"], rows))

# %% [markdown]
# The last row is a choice the paper leaves open, and [it decides much](07_ablations). Both presets have the reading
# that teaches best; `rs.presets.paper(reading="literal")` has the one closest to the paper's words.
#
# ## Step by step
#
# **1. A machine with GPUs, and the data.** torchvision downloads the files into `REPSEARCH_DATA` at first use.
#
# ```
# pip install git+https://github.com/repsearch/repsearch
# export REPSEARCH_DATA=/shared/data
# ```
#
# **2. Try the path from end to end on a hundred images** before you spend a day on it.
#
# ```
# python -m repsearch search --data cifar10 --preset paper --images 100 --device cuda --out /shared/try
# python -m repsearch targets verify /shared/try
# ```
#
# **3. Search every training image.** One process a GPU; interrupt and repeat as you like.
#
# ```
# torchrun --nproc-per-node 8 -m repsearch search --data cifar10 --preset paper --device cuda --out /shared/cifar10
# python -m repsearch targets verify /shared/cifar10
# ```
#
# **4. Learn.** A row of Tables 1 and 2 each: search-based, augmented, augmented without block 0, and the rival at one
# depth; `--groups 1` and `2`, and `--augment`, give its others.
#
# ```
# python -m repsearch learn --data cifar10 --preset paper --device cuda --targets /shared/cifar10 --json own.json
# python -m repsearch learn --data cifar10 --preset paper --device cuda --targets /shared/cifar10 --augment --json augmented.json
# python -m repsearch learn --data cifar10 --preset paper --device cuda --targets /shared/cifar10 --augment --skip block0 --json skip.json
# python -m repsearch fit --method Backprop --data cifar10 --preset paper --device cuda --groups 3 --json sgd.json
# ```
#
# Repeat with `--seed 1` and `--seed 2`, for search and for learning: a seed takes other held-out images, so it needs
# targets of its own.
#
# ## What the search costs
#
# Rates come from records: a hundred images of CIFAR-10 searched in full at the paper's sizes on one CPU core, with
# three seeds, in the default reading. The literal one costs more, for it smooths every new parent.

# %% tags=["copyable"]
rows = [
    [layer, *(
        f"{mean_std([100 * record[key][layer][moment] for record in full])} %"
        for key in ("probability", "above_half") for moment in (0, 1))]
    for layer in full[0]["probability"]]
head = ["layer", "probability of the label before", "after",
        "images above one half before", "after"]
images = full[0]["settings"]["images"]
Markdown(markdown(head, rows) + f"\n\n{len(full)} seeds, {images} images each; "
         f"{min(seconds):.1f} to {max(seconds):.1f} seconds an image "
         f"on one core ({full[0]['hardware']}).")

# %% [markdown]
# "Before" is the best of a layer's first candidates: at block 0 the best of 240 noisy copies of the image. So most of
# what block 0 reaches is there before the first child is born. Whether evolution, or choosing among noisy
# copies, is what labels the images is a question for the chapters on scaling and ablations.
#
# Now the arithmetic. The cost of an image on one core is measured, and its median over seeds taken; the engine
# searches an image a thread, so that two cores are taken to need half of it (`on_cpu`, above). A GPU's is an
# **estimate**, from what its memory can move: the torch engine reads and writes each candidate's full maps some ten
# times a generation, in 32-bit floats.

# %% tags=["copyable"]
sides = (15, 7, 3)  # of the maps of images of 32 x 32, by block
values = [paper.width * side * side for side in sides]
candidates = [paper.search.population * row.generations
              for row in paper.search.schedule[:3]]
bytes_an_image = 10 * 4 * sum(n * size for n, size
                              in zip(candidates, values, strict=True))
# bytes a second: what large GPUs of recent years reach in practice
bandwidth = 2e12
on_gpu = bytes_an_image / bandwidth

rows = []
for name, images, classes in (
    ("MNIST", 56_000, 10), ("CIFAR-10", 46_000, 10), ("CIFAR-100", 46_000, 100),
):
    disk, hours = (images * 2 * (sum(values) + classes) / 1e9,
                   images * on_gpu / 3600)
    rows.append([name, f"{images:,}", f"{images * on_cpu / 86400:.1f} days",
                 f"{hours:.1f} hours", f"{hours / 8:.1f} hours",
                 f"{disk:.1f} GB"])
head = ["data set", "images", "two cores, from a core's measured rate",
        "one GPU, estimate", "eight GPUs, estimate", "on disk"]
Markdown(markdown(head, rows)
         + f"\n\n{bytes_an_image / 1e9:.0f} GB moved an image, "
         f"{on_gpu:.2f} s at {bandwidth / 1e12:.0f} TB/s; "
         f"{on_cpu:.1f} s on two cores. "
         "4,000 images of each set are held out. "
         "The CPU's cost of an image is taken to be CIFAR-10's for all three.")

# %% [markdown]
# The GPU columns have not been measured: nobody has run this on one for this book. The CPU column is arithmetic from
# a measured rate, not a run. Memory does not set a limit: learning reads shards as it needs them, and a search holds
# only the images at work.

# %% tags=["copyable"]
memory = [[row["size"], str(row["images"]), f"{row['peak_mb']:,.0f} MB"]
          for row in bench["memory"]]
cost = [[f"{row['images']:,}", str(row["population"]),
         f"{row['microseconds']:.1f}"]
        for row in bench["scaling"]]
Markdown(markdown(["size", "images", "peak memory"], memory) + "\n\n"
         + markdown(["images", "population", "microseconds a candidate"], cost))

# %% [markdown]
# **Your own sizes.** The form takes the engine's rates from the same record, at two widths, and follows the power law
# through both; other numbers of cores are taken to be as fast, core for core, and the GPU is the estimate above. The
# rates are another run's than the table's, on another day, and come to more hours for the same sizes: plan with the
# larger number.

# %% tags=["copyable"]
from IPython.display import HTML

from repsearch.reproduce.budget import calculator

HTML(calculator(bench))

# %% [markdown]
# ## What learning costs
#
# From the operations of one forward and backward pass at the paper's sizes, and the epochs. **Estimates**, both
# columns.

# %% tags=["copyable"]
import torch
from torch.utils.flop_counter import FlopCounterMode

x = torch.zeros(8, 3, 32, 32)
noise = torch.randn(100, 3, 32, 32, generator=torch.Generator().manual_seed(0))
network = rs.convnet(noise, 10, paper.width, paper.groups, "residual")
with FlopCounterMode(display=False) as counter:
    network(x).sum().backward()
operations = counter.get_total_flops() / len(x)
total = operations * 46_000 * paper.learn.epochs
cpu, gpu = 1e11, 3e14
rows = [["two CPU cores, bfloat16", f"{cpu / 1e12:.1f}",
         f"{total / cpu / 3600:.0f} hours"],
        ["one large GPU, bfloat16, a third of its peak", f"{gpu / 1e12:.0f}",
         f"{total / gpu / 60:.1f} minutes"]]
Markdown(markdown(["", "million million operations a second, assumed",
                   "one training of CIFAR-10"], rows)
         + f"\n\n{operations / 1e9:.2f} billion operations an image, "
         f"forward and backward; {paper.learn.epochs} epochs.")

# %% [markdown]
# **Summary.** Search is the expensive half, and it needs no gradient, no large memory and no order: it goes wherever
# there are idle processors. Learning is an ordinary training.
#
# ## Questions
#
# <details><summary>Block 0 brings all of these images to their labels. Why does the table not yet show that this
# takes evolution, and not just more noisy copies?</summary>
#
# Most of what block 0 reaches, the best of the first noisy copies has already. Evolution adds the rest, but over its
# generations it tries many more candidates than there are first copies, and the best of more copies is better, too.
# One would have to give the copies as many tries, without children, and compare. The later blocks say little here,
# for they begin with what block 0 has reached.
#
# </details>
#
# <details><summary>The GPU columns are estimates. What do they leave out, and what would you measure before you rent
# eight?</summary>
#
# They count the bytes of the candidates' maps and an assumed rate at which memory moves them. Drawing noise, starting
# many small operations, reading images and writing targets are not in it, and eight GPUs are taken to be eight times
# as fast as one. Measure the images a second of the hundred in step 2 on one GPU of the kind you would rent, then on
# two.
#
# </details>
#
# <details><summary>Why can ten idle office machines share the search, but hardly the training?</summary>
#
# A search needs one image and a network that does not change, so machines have nothing to tell each other but which
# images are taken. A step of training needs the weights that the step before has left, so they would have to exchange
# gradients at every step. Idle processors can take the search; the training wants one machine that is fast by itself.
#
# </details>
#
# ## Exercises
#
# **1.** How many images should a shard hold, if a process may lose at most ten minutes on two cores at the paper's
# sizes?

# %% tags=["copyable", "hide-cell"]
print(f"{600 / on_cpu:.0f} images")

# %% [markdown]
# **2.** How many two-core machines search CIFAR-10 in one night of ten hours?

# %% tags=["copyable", "hide-cell"]
print(f"{46_000 * on_cpu / 36_000:.0f} machines")

# %% [markdown]
# **3.** What would half the generations save, and what would they cost? Use the curves of Figure 2 at the paper's
# sizes.

# %% tags=["copyable", "hide-cell"]
for point in read_records("fig2-cifar100-paper-map-*")[0]["points"]:
    if point["population"] == 240:
        curve = point["curve"]
        half = curve[len(curve) // 2]
        print(f"block {point['block']}: {half:.2f} nats after half "
              f"the generations, {curve[-1]:.2f} after all")
children = paper.search.explorers + paper.search.refiners
full_cost, half_cost = (
    sum(paper.search.population + children * (row.generations // share)
        for row in paper.search.schedule) for share in (1, 2))
print(f"candidates saved: {1 - half_cost / full_cost:.0%}")
