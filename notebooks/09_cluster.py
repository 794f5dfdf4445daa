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
# # From a laptop to a cluster
#
# **What you will see.** How the same search runs in a notebook, overnight on a laptop, and on many machines; what
# protects days of work; and what the paper's full run would cost.
#
# **Before you start.** [Search](02_search); [the engine](08_engine) says where the speed comes from. **Takes** half a
# minute on two CPU cores. Appendix A of the paper {cite}`vegesna2025decoupling` gives the sizes.

# %% tags=["hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

# %%
import os
import tempfile
from pathlib import Path

import repsearch as rs

preset, seed = rs.presets.named(), 0
work = Path(tempfile.mkdtemp())
print(f"preset {preset.name} ({preset.data}), seed {seed}, device cpu; this page takes half a minute")


def run(*command: str) -> str:
    """Run a command in the folder of this page; what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.strip()


# %% [markdown]
# ## On a laptop: leave it and come back
#
# A search writes a folder, 64 images at a time. Stop it with Ctrl-C, close the lid, pull the plug: the same command
# goes on. At most the images at work are lost, and the finished folder is the same, byte for byte, however often it was
# interrupted.

# %%
search = ["-m", "repsearch", "search", "--train", "200", "--validation", "50", "--test", "50", "--quiet"]
print(run(sys.executable, *search, "--out", "one"))
print(run(sys.executable, "-m", "repsearch", "targets", "info", "one"))

# %% [markdown]
# Disks fail and files get copied by halves. Every shard has a checksum, which is compared before learning reads it.
# Here one bit of one file changes:

# %%
shard = work / "one" / "shard-00002.safetensors"
content = bytearray(shard.read_bytes())
content[5000] ^= 1
shard.write_bytes(content)

print(run(sys.executable, "-m", "repsearch", "targets", "verify", "one"))
print()
print(run(sys.executable, "-m", "repsearch", "targets", "verify", "one", "--repair", "--quiet"))

# %% [markdown]
# ## Several processes, several machines
#
# Images do not depend on each other, so there is little to coordinate: torch's own launcher starts the processes, each takes the next shard that none has taken, and all write to one folder that they can reach.
#
# ```
# torchrun --nproc-per-node 8 -m repsearch search --data cifar10 --preset paper --out /shared/targets
# torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint first-machine:29500 \
#     -m repsearch search --data cifar10 --preset paper --device cuda --out /shared/targets
# ```
#
# With `--device cuda` each process takes the GPU of its local rank. If a process is lost, torchrun stops
# the others and says so; the same command starts again where they were. **Check:** two processes make the same bytes as
# one.

# %%
torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
run(*torchrun, *search, "--out", "two")


def contents(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (work / name).iterdir()}


print(f"{len(contents('two'))} files, all the same as with one process: {contents('one') == contents('two')}")

# %% [markdown]
# That a result depends on nothing but network, image, label, configuration and seed also means that a folder can be begun on
# one machine and finished on another. Two kinds of processors may differ in the last bit of a sum; the network, the
# data and the configuration are compared, the processor is not.
#
# ## What the paper's full run costs
#
# The paper searches all training images of three data sets. Rates come from records: the engine's candidates a second
# at the paper's sizes on two CPU cores, and 100 images of CIFAR-10 searched in full, with three seeds.

# %%
from IPython.display import Markdown

from repsearch.records import read_records

full = read_records("search-cifar10-100-paper-*")
lines = ["| layer | probability of the label before | after | images above one half before | after |", "|---|---|---|---|---|"]
for layer in full[0]["probability"]:
    cells = []
    for key in ("probability", "above_half"):
        for moment in (0, 1):
            values = [record[key][layer][moment] for record in full]
            mean = sum(values) / len(values)
            std = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
            cells.append(f"{100 * mean:.1f} ± {100 * std:.1f} %")
    lines.append(f"| {layer} | {' | '.join(cells)} |")
seconds = [record["seconds"] / record["images"] for record in full]
Markdown("\n".join(lines) + f"\n\n{len(full)} seeds, {full[0]['images']} images each; "
         f"{min(seconds):.1f} to {max(seconds):.1f} seconds an image on two cores ({full[0]['hardware']}).")

# %% [markdown]
# "Before" is the best of a layer's first candidates: at block 0 the best of 240 noisy copies of the image. So most of
# what block 0 reaches is there before the first child is born. Whether evolution, or choosing among noisy
# copies, is what labels the images is a question for the chapters on scaling and ablations.
#
# Now the arithmetic. The cost of an image on two cores is measured. A GPU's is an **estimate**, from what its
# memory can move: the torch engine reads and writes each candidate's full maps some ten times a generation, in 32-bit floats.

# %%
candidates = {f"block{i}": 240 * g for i, g in enumerate((300, 100, 100))}
values = {"block0": 256 * 15 * 15, "block1": 256 * 7 * 7, "block2": 256 * 3 * 3}
bytes_an_image = sum(candidates[layer] * values[layer] for layer in candidates) * 10 * 4
bandwidth = 2e12  # bytes a second: what large GPUs of recent years reach in practice
on_cpu, on_gpu = sum(seconds) / len(seconds), bytes_an_image / bandwidth

lines = ["| data set | images | two cores, measured rate | one GPU, estimate | eight GPUs, estimate | on disk |", "|---|---|---|---|---|---|"]
floats = sum(values.values())
for name, images, classes in (("MNIST", 56_000, 10), ("CIFAR-10", 46_000, 10), ("CIFAR-100", 46_000, 100)):
    disk = images * 2 * (floats + classes) / 1e9
    lines.append(f"| {name} | {images:,} | {images * on_cpu / 86400:.1f} days | {images * on_gpu / 3600:.1f} hours | "
                 f"{images * on_gpu / 8 / 3600:.1f} hours | {disk:.1f} GB |")
Markdown("\n".join(lines) + f"\n\n{bytes_an_image / 1e9:.0f} GB moved an image, {on_gpu:.2f} s at {bandwidth / 1e12:.0f} TB/s; "
         f"{on_cpu:.1f} s on two cores. 4,000 images of each set are held out. The CPU's cost of an image is taken to be "
         "CIFAR-10's for all three.")

# %% [markdown]
# The GPU columns have not been measured: nobody has run this on one for this book. The CPU column is arithmetic from a
# measured rate, not a run. Memory does not set a limit: learning reads shards as it needs them, and a search holds only the images at work.

# %%
(bench,) = read_records("bench")
lines = ["| size | images | peak memory |", "|---|---|---|"]
lines += [f"| {row['size']} | {row['images']} | {row['peak_mb']:,.0f} MB |" for row in bench["memory"]]
lines += ["", "| images | population | microseconds a candidate |", "|---|---|---|"]
lines += [f"| {row['images']:,} | {row['population']} | {row['microseconds']:.1f} |" for row in bench["scaling"]]
Markdown("\n".join(lines))

# %% [markdown]
# **Summary.** One folder, any number of processes, no lost work: what a search found for an image is a function
# of the image, and everything else follows.
#
# ## Exercises
#
# **1.** How many images should a shard hold, if a process may lose at most ten minutes on two cores at the paper's
# sizes?

# %% tags=["hide-cell"]
print(f"{600 / on_cpu:.0f} images")

# %% [markdown]
# **2.** Open the folder as a user of the library would, and read block 2 of the images 100 to 149 alone.

# %% tags=["hide-cell"]
targets = rs.Targets.open(work / "one")
print(targets.read("block2", 100, 150).shape)

# %% [markdown]
# **3.** Someone searches with another seed into the same folder. What happens to your targets?

# %% tags=["hide-cell"]
before = contents("one")
done = subprocess.run([sys.executable, *search, "--seed", "1", "--out", "one"], cwd=work, capture_output=True, text=True)
print(done.stderr.strip(), f"Unchanged: {contents('one') == before}", sep="\n")
