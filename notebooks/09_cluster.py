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
# **What you will see.** How the same search runs in a notebook, overnight on a laptop, and on many machines, and what
# protects days of work. What the paper's sizes cost is on [the next page](10_full_size).
#
# **Before you start.** [Search](02_search); [the engine](08_engine) says where the speed comes from. **Takes** half a
# minute on two CPU cores.

# %% tags=["setup", "hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source],
                   check=True)

# %% tags=["setup"]
import os
import tempfile
from pathlib import Path

import repsearch as rs

preset, seed = rs.presets.named(), 0
work = Path(tempfile.mkdtemp())
print(f"preset {preset.name} ({preset.data}), seed {seed}, device cpu; "
      "this page takes half a minute")


def run(*command: str) -> str:
    """Run a command in the folder of this page; what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=work, env=environment,
                          capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.strip()


def contents(name: str) -> dict[str, bytes]:
    """What the files of a folder hold, but for locks."""
    return {path.name: path.read_bytes()
            for path in (work / name).glob("[!.]*")}


# %% [markdown]
# ## On a laptop: leave it and come back
#
# A search writes a folder, 64 images at a time. Stop it with Ctrl-C, close the lid, pull the plug: the same command
# goes on. At most the images at work are lost, and the finished folder is the same, byte for byte, however often it was
# interrupted.

# %% tags=["setup"]
search = ["-m", "repsearch", "search", "--preset", preset.name,
          "--data", preset.data, "--seed", str(seed), "--train", "200",
          "--validation", "50", "--test", "50", "--quiet"]
print(run(sys.executable, *search, "--out", "one"))
print(run(sys.executable, "-m", "repsearch", "targets", "info", "one"))

# %% [markdown]
# Disks fail and files get copied by halves. Every shard has a checksum, which is compared before learning reads it.
# Here one bit of one file changes:

# %% tags=["copyable"]
shard = work / "one" / "shard-00002.safetensors"
content = bytearray(shard.read_bytes())
content[5000] ^= 1
shard.write_bytes(content)

print(run(sys.executable, "-m", "repsearch", "targets", "verify", "one"))
print()
print(run(sys.executable, "-m", "repsearch", "targets", "verify", "one",
          "--repair", "--quiet"))

# %% [markdown]
# ## Several processes, several machines
#
# Images do not depend on each other, so there is little to coordinate: torch's own launcher starts the processes,
# each takes the next shard that none has taken, and all write to one folder that they can reach.
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

# %% tags=["copyable"]
torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone",
            "--nproc-per-node", "2"]
run(*torchrun, *search, "--out", "two")

print(f"{len(contents('two'))} files, "
      f"all the same as with one process: {contents('one') == contents('two')}")

# %% [markdown]
# That a result depends on nothing but network, image, label, configuration and seed also means that a folder can be
# begun on one machine and finished on another. Network, data and configuration are compared, the processor is not.
# Two kinds of processors may differ in the last bit of a sum, and so in the statistics that BatchNorm is calibrated
# with: these lie in the folder, are compared to a tolerance, and serve every machine that works there.

# %% [markdown]
# **Summary.** One folder, any number of processes, no lost work: what a search found for an image is a function
# of the image, and everything else follows.
#
# ## Questions
#
# <details><summary>Suppose that every process drew its noise from one running generator, image after image. What
# would break?</summary>
#
# What an image gets would depend on how many images came before it in that process. Two processes would find other
# targets than one, and so would a search that was interrupted. Here the draws depend on the seed, the layer and the
# image's number alone, and frozen BatchNorm keeps an image's score apart from other images, so the order does not
# matter.
#
# </details>
#
# <details><summary>What would one flipped bit do if nobody compared checksums, and what can a checksum not
# tell?</summary>
#
# Most likely nothing that one would notice: the file opens, and a network regresses to a wrong number. A checksum
# tells that the file is the one that was written. It does not tell whether the search found anything; for that look
# at the cross-entropies. Nor does it tell whether whoever wrote the file is honest.
#
# </details>
#
# <details><summary>A folder may be finished on another kind of processor, but not with another seed. Why this
# line?</summary>
#
# Another seed holds out other images and draws other noise, so the folder would be a mixture of two searches. Another
# processor runs the same search, and may differ in the last bit of a sum. The statistics in the folder serve all
# machines, so that at least these do not differ. Equal bytes were checked here on one machine; between kinds of
# processors nobody promises them.
#
# </details>
#
# ## Exercises
#
# **1.** Open the folder as a user of the library would, and read block 2 of the images 100 to 149 alone.

# %% tags=["copyable", "hide-cell"]
targets = rs.Targets.open(work / "one")
print(targets.read("block2", 100, 150).shape)

# %% [markdown]
# **2.** Someone searches with another seed into the same folder. What happens to your targets?

# %% tags=["copyable", "hide-cell"]
before = contents("one")
command = [sys.executable, *search, "--seed", "1", "--out", "one"]
done = subprocess.run(command, cwd=work, capture_output=True, text=True)
print(done.stderr.strip(), f"Unchanged: {contents('one') == before}", sep="\n")

# %% [markdown]
# **3.** A shard vanishes. What does the next search do?

# %% tags=["copyable", "hide-cell"]
before = contents("one")
(work / "one" / "shard-00001.safetensors").unlink()
print(run(sys.executable, "-m", "repsearch", "targets", "verify", "one",
          "--repair", "--quiet"))
print(f"the same bytes as before: {contents('one') == before}")
