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
# # Your own data, your own network
#
# **What you will see.** The whole method on arrays and on networks that this library has never seen, and how to tell
# whether it works.
#
# **Before you start.** [Search](02_search), [Learning](04_learning). **Takes** a minute on two CPU cores.

# %% tags=["setup", "hide-input"]
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("repsearch") is None:  # on Colab, say
    source = "git+https://github.com/repsearch/repsearch"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source],
                   check=True)

# %% [markdown]
# ## Data
#
# Images are `(N, channels, height, width)`, `uint8` or floats from 0 to 1; labels are whole numbers. Here
# scikit-learn's digits, enlarged, stand in for yours:

# %% tags=["setup"]
from dataclasses import replace

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import repsearch as rs

seed = 0
raw = load_digits()
enlarged = (raw.images / 16 * 255).repeat(4, 1).repeat(4, 2)
images = enlarged.astype(np.uint8)[:, None]
train, validation, test = np.split(
    np.random.default_rng(seed).permutation(len(images))[:900], (200, 400))
data = rs.from_tensors(
    train=(images[train], raw.target[train]),
    validation=(images[validation], raw.target[validation]),
    test=(images[test], raw.target[test]), seed=seed)
classes = len(data.classes)
print(f"seed {seed}, device cpu; {data}")

# %% [markdown]
# Each channel is normalised with its mean and standard deviation over the training images. Without `validation`, a
# tenth of each class is held out for it. `rs.load("<name>", root="<folder>")` reads files:
#
# - `<name>.npz` with `train_images`, `train_labels`, `test_images`, `test_labels` and `classes`, their names. Channels, if any, come last;
# - a folder `<name>/{train,test}/<class>/` of images, which are brought to 32 x 32 unless you give `size=`;
# - MNIST, CIFAR-10 and CIFAR-100 as torchvision leaves them, else it downloads them.
#
# Without `root`, the folder is the one that `REPSEARCH_DATA` names, or `~/.cache/repsearch`.
#
# ## A network
#
# It is cut into three parts: a *stem*, whose output is not searched, and which may be `nn.Identity()`; *blocks*, the
# output of each of which is one activation to be searched; and a *head*, which makes logits of the last. A block is
# any module that takes one tensor and gives one.

# %% tags=["setup"]
def stage(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.MaxPool2d(2),
        nn.BatchNorm2d(after), nn.ReLU())


def small(seed: int, channels: int = 1, classes: int = 10) -> rs.Network:
    torch.manual_seed(seed)
    return rs.Network(
        stem=nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=2, padding=2), nn.ReLU()),
        blocks=[stage(16, 16), stage(16, 16), stage(16, 16)],
        head=nn.Sequential(nn.Flatten(), nn.LazyLinear(classes)))


network = rs.calibrate(small(seed, classes=classes), data.train.images[:512])

# %% [markdown]
# `calibrate` freezes BatchNorm at the statistics of these images, in place, and switches gradients off: the score of
# a candidate must not depend on what else is in its batch. The network that learns is another one, not calibrated.
#
# ## Search
#
# One row of the schedule for each block, and one for the logits:

# %% tags=["setup"]
config = rs.SearchConfig(
    schedule=(rs.LayerSearch(generations=20, strength=0.3, boost=5, blur=1),
              rs.LayerSearch(generations=10, strength=0.2, boost=3),
              rs.LayerSearch(generations=10, strength=0.1, boost=3),
              rs.LayerSearch(generations=3, strength=0.1)),
    parents=8, explorers=20, refiners=20)
targets = rs.search(network, data.train, config, seed=seed, progress=False)
print(targets.manifest["engine"], "engine,", targets)

# %% [markdown]
# - `strength`: standard deviation of a refiner's noise, as a share of its parents'; less at later blocks.
# - `boost`: explorers have so many times more.
# - `blur`: passes of smoothing, for large maps only. On a map of 2 x 2 one pass takes more than half of the noise away.
#
# Leave `progress` on in your own program: before a long search a line says which engine runs and how long it will
# take. The cost grows with pixels times candidates times generations. Compiled engines search networks of plain
# convolutions of stride 1, pooling, BatchNorm and GELU on the CPU; torch searches all others, on all cores, or on the
# GPU that the network is on.
#
# **Look first** at whether the search finds anything. The best copy of the image is where it starts; it should end
# well below a guess, $\ln 10 \approx 2.3$ nats for ten classes, at every block:

# %% tags=["copyable"]
labels = data.train.labels[:512]
print(f"{'':<8}{'nats before':>13}{'after':>8}{'between classes':>18}")
for layer in targets.layers[:-1]:
    loss = targets.cross_entropy(layer).mean(0)
    H = targets.read(layer, 0, len(labels))
    print(f"{layer:<8}{loss[0]:>13.2f}{loss[-1]:>8.2f}"
          f"{rs.measure.between_class_share(H.flatten(1), labels):>18.2f}")
null = (classes - 1) / (len(labels) - 1)
print(f"the share that labels without meaning would have: {null:.2f}")

# %% [markdown]
# If it ends high, give it more generations, more candidates, or a larger `strength`. The last column is the share of
# the targets' variance that lies between the classes. Where it is near that of labels without meaning, there is
# little in the targets that a network could learn.
#
# ## Learn, beside what it has to beat
#
# The network that learns has as many blocks, each with an output of the same shape. Its rivals are the same network
# with a body that stays untrained, and the same network trained by SGD on the labels.

# %% tags=["copyable"]
learn = rs.LearnConfig(epochs=20, batch=50, learning_rate=2.0, head_weight=0.15)

model = small(seed + 1)
rs.learn(model, data, targets, learn, seed, progress=False)

untrained = small(seed + 1)
for part in (untrained.stem, *untrained.blocks):
    part.requires_grad_(False)
rs.learn(untrained, data, targets, learn, seed, progress=False)

sgd = small(seed + 1)
fit = rs.FitConfig(epochs=20, batch=50, learning_rate=0.1)
rs.fit(sgd, data, rs.methods.Backprop(), fit, seed, progress=False)

print("validation images:")
for name, one in (("untrained body", untrained), ("regression", model),
                  ("SGD", sgd)):
    print(f"{name:<16}{rs.accuracy(one, data.validation):.1%}")

# %% [markdown]
# If regression does not beat the untrained body, training the body has brought nothing. Try the body's rate first,
# `learning_rate`, then the head's, which is `learning_rate * head_weight`. Choose on validation images, and look at
# test images once.
#
# ## In turn
#
# [Search and learning in turn](11_turns) begin with the same search and training, and go on. Later rounds need fewer
# generations and epochs, a third to a half of round 0's. The rate is the one that did best on validation images:

# %% tags=["copyable"]
turns = rs.AlternateConfig(
    search=config, rounds=2, generations=(8, 4, 4, 3), epochs=10,
    learn=rs.LearnConfig(epochs=20, batch=50, learning_rate=1.0,
                         head_weight=0.15, weight_decay=5e-4),
    input_noise=0.1)
model = small(seed + 1)
rounds = rs.alternate(network, model, data, turns, seed=seed,
                      progress=False)
print(rounds)

# %% [markdown]
# `rs.search` and `rs.alternate` take `store="<folder>"`, `rs.learn` and `rs.fit` `checkpoint="<file>"`: interrupted,
# they go on when they are called again. Targets are opened with `rs.Targets.open("<folder>")`; those that you were
# given are [safe to open](https://github.com/repsearch/repsearch/blob/main/SECURITY.md). A trained model is saved as
# any other, with `torch.save(model.state_dict(), "<file>")`, and `rs.predict(model, images)` gives logits of images
# normalised as `data.mean` and `data.std` say.
#
# ## A network that exists
#
# torchvision's ResNet-18, for small images: a first convolution for their channels, and no pooling in the stem, which
# images of 128 pixels and more should keep. A search needs a row for each of its four blocks:

# %% tags=["copyable"]
import torchvision


def resnet(seed: int, channels: int = 1, classes: int = 10) -> rs.Network:
    torch.manual_seed(seed)
    net = torchvision.models.resnet18(num_classes=classes)
    first = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    return rs.Network(
        stem=nn.Sequential(first, net.bn1, net.relu),
        blocks=[net.layer1, net.layer2, net.layer3, net.layer4],
        head=nn.Sequential(net.avgpool, nn.Flatten(), net.fc))


five = tuple(rs.LayerSearch(generations=3, strength=0.2, boost=3)
             for _ in range(5))
large = rs.calibrate(resnet(seed, classes=classes), data.train.images[:100])
few = rs.search(large, data.train[:2], replace(config, schedule=five),
                seed=seed, progress=False)
for layer in few.layers[:-1]:
    curve = few.cross_entropy(layer).mean(0)
    print(layer, few.shape(layer), [f"{loss:.2f}" for loss in curve])

# %% [markdown]
# Try a few images first, as here, and let the line before a longer search say what all of them take. On a GPU:
#
# ```python
# large = resnet(seed).cuda()
# rs.calibrate(large, data.train.images[:512].cuda())
# ```
#
# Then `rs.search` runs there, and `rs.learn` where its model is. `SearchConfig(precision="bfloat16")` is faster on
# most of them.
#
# **Summary.** Images and labels, a network in three parts, a row of settings for each block. Whether it works is seen
# in where the cross-entropy ends, in the share of variance between classes, and in the lead over the untrained body.
#
# ## Questions
#
# <details><summary>When should I not use this on my own data?</summary>
#
# When accuracy is all you want and nothing keeps you from back-propagation: at the book's sizes one shot trails SGD
# on every data set, and the loop's lead is sure only with 500 photographs that are not augmented, at several times
# the passes. With many classes and few images of each it is not even sure that one shot beats an untrained body, as
# on CIFAR-100. Nor when the checks of this chapter say no: the search ends near a guess, the share between classes is
# that of labels without meaning, or the body gains nothing. Where images are large, look at the cost first.
#
# </details>
#
# <details><summary>The search ends at a low cross-entropy at every block, and the network still does not beat the
# untrained body. How can that be, and where do you look?</summary>
#
# A low cross-entropy says that the untrained later blocks accept each target, one image at a time. It does not say
# that targets of one class have anything in common. Look at the share of variance between classes. If it is near that
# of labels without meaning, change the search, its noise for instance (see the exercise); if it is not, the rates of
# body and head come next.
#
# </details>
#
# <details><summary>After ten tries your method is ahead of SGD on the validation images. What is missing before you
# believe it?</summary>
#
# As many tries for SGD: the best of ten is in part the luckiest of ten, on just these images. Then several seeds, the
# two compared seed by seed, and the test images once, at the end. The untrained body belongs beside them, or you do
# not know whether it is the body or the head that is good. And count the forward passes of both.
#
# </details>
#
# ## Exercises
#
# **1.** Draw the noise for every pixel instead of once for a map. Does the search end lower? Does the network learn
# more?

# %% tags=["hide-cell"]
pixel = rs.search(network, data.train, replace(config, noise="pixel"),
                  seed=seed, progress=False)
model = small(seed + 1)
rs.learn(model, data, pixel, learn, seed, progress=False)
print(f"block 0: {pixel.cross_entropy('block0').mean(0)[-1]:.2f} nats, "
      f"{rs.accuracy(model, data.validation):.1%} of the validation images")
