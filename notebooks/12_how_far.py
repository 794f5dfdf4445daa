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
# # How far does it carry?
#
# **What you will see.** [Search and learning in turn](11_turns) come near to SGD, or get ahead of it, at one size. Here the size
# changes: more images, and the same search in more and shorter rounds.
#
# **Before you start.** [Search and learning take turns](11_turns). **Takes** half a minute on two CPU cores.

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

preset, seed = rs.presets.named(), 0
print(f"preset {preset.name} ({preset.data}), seed {seed}, device cpu; "
      "this chapter takes half a minute")

# %% [markdown]
# ## Live: few images and more
#
# The loop and SGD on digits, each in as many epochs:

# %%
from IPython.display import Markdown

from repsearch.reproduce.tables import markdown

rows = []
for train in (50, 200):
    data = rs.load(preset.data, train=train, validation=200, test=300, seed=seed)
    model = rs.learn_network(data, preset, seed=seed)
    rs.alternate(rs.search_network(data, preset, seed=seed), model, data, preset.alternate,
                 seed=seed, progress=False)
    rival, turns = rs.learn_network(data, preset, seed=seed), preset.alternate
    epochs = turns.learn.epochs + (turns.rounds - 1) * turns.epochs
    rs.fit(rival, data, rs.methods.Backprop(),
           replace(preset.baseline, epochs=epochs, weight_decay=preset.weight_decay),
           seed, progress=False)
    rows.append([str(train), *(f"{rs.accuracy(one, data.test):.1%}" for one in (model, rival))])
Markdown(markdown(["training images", "loop", "SGD"], rows) + "\n\nDigits, test images, one seed.")

# %% [markdown]
# One seed shows that it runs, and no more.
#
# ## More images
#
# CIFAR-10 at the book preset, with a quarter of its images and with four times as many:
#
# ```
# python -m repsearch reproduce turns-500 turns turns-8000
# ```
#
# Zero is SGD with what a practitioner adds, in the loop's epochs or at its whole cost, whichever did better on validation images.

# %% mystnb={"figure": {"caption": "CIFAR-10: points ahead of the strongest SGD against training images, mean and 95 % interval over seeds. Below zero is behind."}, "image": {"alt": "Two lines of points ahead of SGD against the number of images, one for the loop and one for one shot."}}
from matplotlib import pyplot as plt

from repsearch.reproduce.turn_claims import sizes_beside
from repsearch.reproduce.turn_figures import gaps

figure = gaps(sizes_beside(), "training images")
plt.show()

# %%
from repsearch.reproduce.turn_claims import by_size

Markdown(by_size())

# %% [markdown]
# ## More rounds
#
# As many generations and epochs in all, shared out among more rounds; 500 images:

# %%
from repsearch.reproduce.turn_claims import ways

Markdown(ways(("loop", "once-long", "rounds2", "rounds5", "rounds9")))

# %% [markdown]
# ## What it says of the paper's sizes
#
# TODO
#
# ## Exercises
#
# **1.** What does a loop cost, in forward passes of an image, and what share of that is search?

# %% tags=["hide-cell"]
from repsearch.reproduce.records import read_records

for train, name in ((500, "-500"), (2000, ""), (8000, "-8000")):
    (record, *_) = read_records(f"alternate-cifar10{name}-book-loop-*")
    settings = record["settings"]["alternate"]
    epochs = settings["learn"]["epochs"] + (settings["rounds"] - 1) * settings["epochs"]
    print(f"{train} images: {record['spent'] / train:.0f} F an image, "
          f"{record['seconds'] / 60:.1f} minutes on one core")
