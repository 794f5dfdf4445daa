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
# # Other ways to train without end-to-end back-propagation
#
# **What you will see.** Search in activations trains a body that no classification gradient reaches. It is not the
# first to do so. Five families of rules, a few lines each; how near their steps come to the gradient's without knowing
# it; and all of them on one network and budget, with search among them.
#
# **Before you start.** [Learning](04_learning) says how a body regresses to what was found. **Takes** half a minute on
# two CPU cores.

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
from IPython.display import Markdown

import repsearch as rs
from repsearch.reproduce import rule_figures, rule_tables
from repsearch.reproduce.strategies import perceptron

seed = 0
data = rs.load("digits", train=400, validation=100, test=300, seed=seed)
print(f"seed {seed}, device cpu; this chapter takes half a minute")


def learned(method, rate, network=None, epochs=15):
    """Test accuracy of a small network after some epochs."""
    network = network or perceptron(data, (64, 32, 32, 10), seed)
    config = rs.FitConfig(epochs, batch=25, learning_rate=rate)
    rs.fit(network, data, method, config, seed, progress=False)
    return f"{rs.accuracy(network, data.test):.0%}"

# %% [markdown]
# ## What a hidden layer has to be told
#
# A layer $h_l = \phi(W_l h_{l-1})$ changes its weights by a message $\delta_l$ and what it saw:
#
# $$ \Delta W_l \propto -\,\delta_l\, h_{l-1}^\top. $$
#
# Back-propagation sends the loss's own gradient, back through the weights of all layers above:
#
# $$ \delta_l = (W_{l+1}^\top \delta_{l+1}) \odot \phi'. $$
#
# For that a layer has to know the weights of the next, and to wait until the error has come down. Every rule here
# sends another message:

# %% tags=["copyable"] mystnb={"figure": {"caption": "What a hidden layer is told, and by whom. Grey: the forward pass. Coloured: the message."}, "image": {"alt": "Six stacks of layers. With back-propagation and feedback alignment arrows lead down from layer to layer, with direct feedback from the output to each layer; local losses have a head beside each layer; targets come down through networks of their own; with noise nothing comes down but one number."}}
rule_figures.pathways()
plt.show()

# %% [markdown]
# Each is a method of the library, and trains in the same loop as back-propagation does:

# %% tags=["copyable"]
print("back-propagation:", learned(rs.methods.Backprop(), 0.1))

# %% [markdown]
# ## A head for every layer
#
# Let every layer classify by itself. A linear head $A_l$ of its own reads it, the cross-entropy with the labels goes
# through this head and stops {cite}`nokland2019training,belilovsky2019greedy`:
#
# $$ \delta_l = \partial_{h_l} \operatorname{CE}(A_l h_l, y). $$
#
# The paper does not name this rival. Nothing has to come down, and nothing has to be searched.

# %% tags=["copyable"]
print("local losses:", learned(rs.methods.LocalLosses(), 0.1))

# %% [markdown]
# ## Other weights on the way back
#
# Replace $W_{l+1}^\top$ by a matrix $B_{l+1}^\top$ that was drawn once and never learns
# {cite}`lillicrap2016random`. It works since the forward weights turn towards it, until what goes back is useful:
#
# $$ \delta_l = (B_{l+1}^\top \delta_{l+1}) \odot \phi'. $$
#
# Or send the output's error straight to each layer {cite}`nokland2016direct`; or let $B$ have the signs of $W$
# {cite}`liao2016important`; or let it get what $W$ gets, and both decay, so that they meet {cite}`akrout2019deep`.

# %% tags=["copyable"]
for kind in ("random", "direct", "sign-symmetric", "kolen-pollack"):
    method = rs.methods.FeedbackAlignment(kind)
    print(f"feedback alignment, {kind}:", learned(method, 0.1))

# %% [markdown]
# ## Targets in place of gradients
#
# Here a layer is told where it *should be*, as in the paper. But nobody searches: the output's target is a step down
# the gradient of the logits, and a second network $G$ carries it down. $G_l$ learns to undo layer $l$
# {cite}`lee2015difference`:
#
# $$ t_{l-1} = h_{l-1} + G_l(t_l) - G_l(h_l), $$
#
# $$ \delta_l = h_l - t_l. $$
#
# The difference takes off what $G_l$ gets wrong; plain target propagation {cite}`bengio2014auto` has $t_{l-1} =
# G_l(t_l)$. If $G_l$ learns the local difference reconstruction loss {cite}`ernoult2022scaling`, its Jacobian becomes
# that of $W_l^\top$, and the message back-propagation's.

# %% tags=["copyable"]
plain = rs.methods.TargetPropagation()
difference = rs.methods.DifferenceTargetPropagation()
print("target propagation:", learned(plain, 0.003))
print("difference target propagation:", learned(difference, 0.1))

# %% [markdown]
# ## Active for the right label, quiet for a wrong one
#
# Forward-Forward {cite}`hinton2022forward` writes a label into the image. A layer's *goodness* $g = \lVert h
# \rVert^2$ shall be above a threshold $\theta$ if the label is right, and below if it is wrong:
#
# $$ \operatorname{softplus}(\theta - g^+) + \operatorname{softplus}(g^- - \theta) $$
#
# To predict, each label is tried, or a linear head reads the activities. It needs a network of its own, whose layers
# see the direction of their input alone; else its length would give the answer away.

# %% tags=["copyable"]
sizes = (32 * 32, 64, 64)
for predict in ("goodness", "head"):
    network = rs.methods.ForwardForward.Net(sizes, 10, predict, seed)
    score = learned(rs.methods.ForwardForward(), 0.001, network)
    print(f"Forward-Forward, by {predict}:", score)

# %% [markdown]
# ## Noise, and what it does to the loss
#
# Shake a layer's activations by $u$ and look at the loss: up or down? The shaking itself, weighed by the change,
# is on average the gradient {cite}`widrow1990thirty,ren2023scaling`:
#
# $$ \delta_l = \frac{L(h_l + s u) - L(h_l - s u)}{2 s}\, u $$
#
# This is what search and learning in turn becomes if every step searches anew, for one generation, and goes to the mean
# of all candidates instead of the best. Only one number comes down. The price is variance: it grows with the number of
# activations, and falls with the draws.

# %% tags=["copyable"]
for draws in (1, 16):
    method = rs.methods.ActivityPerturbation(draws=draws)
    print(f"perturbed activities, {draws} draws:", learned(method, 0.05))

# %% [markdown]
# ## Search, by another searcher
#
# Or keep the paper's method and replace its evolution. Each image's activations climb the gradient of their own
# fitness, or are the best of random ones, as in search of latent programs {cite}`bonnet2024searching`; what follows is
# the same regression:

# %% tags=["copyable"]
preset = rs.presets.smoke("digits")
for searcher in ("gradient", "random"):
    network = rs.search_network(data, preset, seed)
    method = rs.methods.LatentSearch(network, searcher, steps=20, samples=25)
    model = rs.learn_network(data, preset, seed)
    history = rs.fit(model, data, method, preset.learn, seed, progress=False)
    print(f"search by {searcher}: {rs.accuracy(model, data.test):.0%},",
          f"{method.spent(model, data) / len(data.train):.0f} F an image")

# %% [markdown]
# ## How near to the gradient are their steps?
#
# Every rule but Forward-Forward has the same loss at its output, so that its step can be held beside
# back-propagation's on the same images. On MNIST, with two hidden layers of 128 units:

# %% tags=["copyable"] mystnb={"figure": {"caption": "The cosine between each rule's step and back-propagation's, by the epochs of training done (one more, so that none is at 1); mean over seeds. Zero: at right angles."}, "image": {"alt": "Two panels, first and second layer. Feedback alignment starts at zero and rises; difference targets start higher and come near one; sign-symmetric feedback is high throughout."}}
rule_figures.agreement()
plt.show()

# %% [markdown]
# Random feedback starts at right angles to the gradient, and the weights turn until it points nearly the same way.
# Kolen and Pollack's gets there fully. Difference targets follow within an epoch, plain ones never quite do. Local
# losses go ways of their own, and come back when the labels are learned. One number and noise is far from the gradient
# at any time; that its mean is right is enough.
#
# ## What they ask for, and what search finds
#
# Does search find what a rule would have asked for? On the paper's network and CIFAR-10, for the output of each block,
# two cosines: with the move that evolution found for the same image, and with minus the gradient.

# %% tags=["copyable"] mystnb={"figure": {"caption": "Where searches and rules would have a block's output go: the cosine with evolution's move (left) and with minus the gradient (right), before and after five epochs of SGD; mean over images and seeds. Crosses: with another image's."}, "image": {"alt": "Bars by who asks, a colour a block. Against evolution's move nearly all are near zero but random search; against the gradient, gradient ascent and sign-symmetric feedback are highest."}}
rule_figures.bridge()
plt.show()

# %% [markdown]
# What evolution finds is a little downhill, in the first block nearly at right angles to the gradient. There is much
# room, and evolution moves whole, smooth maps; so does random search, which agrees with it most. After training, local
# losses ask for something like it, more than the gradient does. The rules with random feedback ask for nothing of the
# kind here: this network was not trained by them, and has not turned.
#
# ## All on one budget
#
# Twelve settings of each rule were tried on validation images of one seed; the best of them ran on three others. *One
# shot* is the paper's method, *search and learning in turn* that of [chapter 11](11_turns), on the same network; of
# these there were four trials.
#
# ```
# python -m repsearch reproduce arena-rules arena-turns
# ```

# %% tags=["copyable"]
Markdown(rule_tables.rules_table("mnist"))

# %% [markdown]
# The strongest is the plainest: a head for every layer can't be told from SGD. All train the body, and most come within
# a point or so of SGD. Search and learning in turn come behind most of them, for less than half of what they may spend;
# one shot comes last, with target propagation. In return search needs no slope of what judges: it only compares. The
# network is shallow and digits are easy, so that little tells the rules apart; the paper's network and photographs
# remain to be tried.
#
# One setting of perturbed activities was better still on validation images, and diverged on one of the other seeds; the
# next best is shown. Where the best rate was the last one tried, two more beyond it were.
#
# ## What came out
#
# Questions of our own, by [these rules](../book/claims.md). Their contrasts were fixed before these records, but after a
# look at small trial runs, of another seed and of digits:

# %% tags=["copyable", "hide-input"]
from repsearch.reproduce.page import table

Markdown(table(("5",)))

# %% [markdown]
# **Summary.** A body can do without the end-to-end gradient in many ways, and on a small network most of them cost
# little. Rules that replace the way back come to point where the gradient does. Search does not, and learns all the
# same.
#
# ## Questions
#
# <details><summary>Why does random feedback help at all?</summary>
#
# The first steps teach the upper layers to make use of what the lower ones do. Their weights take up what $B$ has, so
# that later messages through $B$ are downhill.
#
# </details>
#
# <details><summary>The paper's body regresses to targets. Why is that not target propagation?</summary>
#
# Its targets were found by trying, image by image, before any training, and judged by a network that never learns.
# Target propagation computes them anew in every step, from a gradient at the output.
#
# </details>
#
# <details><summary>Local losses need no message from above. What do they give up?</summary>
#
# A layer that classifies well by itself need not be a good start for the next. Early layers may throw away what only
# later ones could use.
#
# </details>
#
# ## Exercises
#
# **1.** Measure the cosine of random feedback on the digits network before and after training.

# %% tags=["copyable", "hide-cell"]
from repsearch.reproduce.rule_steps import agreement, first_batch

network = perceptron(data, (64, 32, 32, 10), seed)
method = rs.methods.FeedbackAlignment("random")
config = rs.FitConfig(epochs=15, batch=25, learning_rate=0.1)
found = []


def watch(_, now):
    found.append(agreement(now, method, first_batch(data.train), config))


rs.fit(network, data, method, config, seed, progress=False, watch=watch)
for epoch in (0, 5, 15):
    print(epoch, np.round(found[epoch], 2))

# %% [markdown]
# The last number is the logits' layer, which has the exact gradient.
#
# **2.** With how many draws do perturbed activities come within five points of back-propagation?

# %% tags=["hide-cell"]
for draws in (1, 4, 16, 64):
    method = rs.methods.ActivityPerturbation(draws=draws)
    print(draws, learned(method, 0.05))

# %% [markdown]
# More draws cost more: by the method's own count,

# %% tags=["hide-cell"]
for draws in (1, 4, 16, 64):
    method, network = rs.methods.ActivityPerturbation(draws=draws), None
    network = perceptron(data, (64, 32, 32, 10), seed)
    config = rs.FitConfig(epochs=1, batch=25, learning_rate=0.05)
    history = rs.fit(network, data, method, config, progress=False)
    print(draws, f"{history.spent[0] / len(data.train):.1f} F an image")
