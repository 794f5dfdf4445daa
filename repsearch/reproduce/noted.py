"""Every claim of the sources beside the paper: notes on evolution strategies, and the papers on greedy evolution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from repsearch.reproduce import arena_claims as arena
from repsearch.reproduce import flat_claims as flat
from repsearch.reproduce import greedy_claims as greedy
from repsearch.reproduce import strategy_claims as strategies
from repsearch.reproduce import topology_claims as topology
from repsearch.reproduce.claim import GREEDY, STRATEGIES, Claim

if TYPE_CHECKING:
    from repsearch.reproduce.found import Found


def noted() -> list[Claim]:
    """Those of evolution strategies, then those of greedy evolution."""
    return [*_strategies(), *_theory(), *_figures(), *_flatness()]


def _strategies() -> list[Claim]:
    narrow, wide = strategies.NARROW, strategies.WIDE
    before, falling = f"before training, sigma {narrow}", f"before training, {wide} to {narrow}"
    estimated: dict[str, Callable[[], Found]] = {
        f"The variance of an estimate is a quadratic's, within a fifth ({before})": strategies.closed_forms,
        f"The cosine of estimate and gradient is a quadratic's, within a tenth ({before})": strategies.cosines,
        f"Pairs are noisier than as many one-sided members with a baseline, by a tenth at least ({before})":
            partial(strategies.pairs_against_members, "before", narrow),
        f"Pairs are less noisy than they, by a tenth at least (after training, sigma {wide})":
            partial(strategies.pairs_against_members, "after", wide),
        f"A minibatch shared within a pair lowers the variance, by a tenth at least ({before})":
            partial(strategies.sharing_lowers, strategies.MEMBER),
        f"A minibatch shared by all pairs lowers the variance, by a tenth at least ({before})":
            partial(strategies.sharing_lowers, strategies.PAIR),
        f"The bias falls with sigma, by more than its root ({falling})": partial(strategies.bias_falls, 0),
        f"The bias falls with a power of sigma nearer to two than to one ({falling})": strategies.bias_is_quadratic,
        "Of a cubic fitness the bias grows with the dimension: sigma^2 (d + 2), within a tenth, from 100 weights on":
            strategies.growth,
        f"Under noise of rank 1 the bias falls with sigma, by more than its root ({falling})":
            partial(strategies.bias_falls, 1),
        "What low rank adds to a cube's bias falls with a power of the rank nearer to one than to a half":
            strategies.falls_with_rank,
    }
    worse, shared = "train worse, by half a point at least", strategies.SHARED
    trained: dict[str, Callable[[], Found]] = {
        f"Mirror images that see images of their own {worse} (sigma {narrow})":
            partial(strategies.trains_worse, strategies.MEMBER, shared, narrow),
        f"Mirror images that see images of their own {worse} (sigma {wide})":
            partial(strategies.trains_worse, strategies.MEMBER, shared, wide),
        f"Pairs that see images of their own {worse} (sigma {narrow})":
            partial(strategies.trains_worse, strategies.PAIR, shared, narrow),
        f"One-sided members without a baseline {worse} (sigma {narrow})":
            partial(strategies.trains_worse, "one-sided, shared", shared, narrow),
        "One-sided members with a baseline train at most two points worse than pairs": strategies.baseline_is_as_good,
    }
    return [
        *(Claim(STRATEGIES, what, "", "es-estimates", judge) for what, judge in estimated.items()),
        *(Claim(STRATEGIES, what, "", "es-arms", judge) for what, judge in trained.items()),
        Claim(STRATEGIES, "Noise of rank 1 trains at most two points worse than noise of full rank", "", "es-ranks",
              strategies.rank_hardly_matters),
        *(Claim(STRATEGIES, f"{what}: MNIST", "", arena.EXPERIMENTS, partial(judge, "mnist"), ours=True)
          for what, judge in arena.ASKED.items()),
        *(Claim(STRATEGIES, what, "", "topology", judge, ours=True) for what, judge in topology.ASKED.items()),
    ]


def _greedy(experiment: str, claims: dict[str, Callable[[], Found]], ours: bool = False) -> list[Claim]:
    return [Claim(GREEDY, what, "", experiment, judge, ours) for what, judge in claims.items()]


def _theory() -> list[Claim]:
    dimensions = (2, 3, 10, 100, 9854)
    return [
        *_greedy("goea-theory", {
            "Random directions within an angle of the gradient are as many as the cap's formula says (figure 6)":
                partial(greedy.shares_are_theory, "caps"),
            "The best of N random steps is nearer to the gradient, the more there are: 1,000 against 10 (Theorem 1)":
                partial(greedy.approaches, dimensions),
        }),
        *_greedy("goea-theory", {
            "The best of 1,000 random steps is within 45 degrees of the gradient": partial(
                greedy.gets_there, dimensions),
            "Steps that come nearer to an optimum are as many as Fisher's geometric model says":
                partial(greedy.shares_are_theory, "fisher"),
            "Where fitness is linear, a generation gains what the closed forms say": greedy.gains_are_theory,
            "The mean of many steps points down the gradient as the closed form says, within a tenth":
                partial(greedy.mean_points_downhill, ((500, 200), (500, 2000), (9854, 10_000))),
        }, ours=True),
        *_greedy("goea-steps", {
            "In 2, 3 and 10 random dimensions of the network, the best of ten steps is as near to the gradient as on a "
            "linear loss, within a fifth": greedy.theorem_in_subspaces}, ours=True),
    ]


def _figures() -> list[Claim]:
    fall = "Larger batches point more alike: the median angle between their gradients falls from 4 images to 1,024"
    return [
        *_greedy("goea-steps", {
            f"{fall}, where transfer starts (figure 1)": partial(greedy.angles_fall, "transfer"),
            "Gradients of batches of four are 70 to 90 degrees apart there (figure 1)": greedy.angle_of_four,
        }),
        *_greedy("goea-greedy", {
            "Greedy evolution trains: 800 generations bring accuracy to four times that of chance (figure 2)":
                greedy.learns,
            "Its loss never rises (figure 2)": greedy.never_rises,
        }),
        *_greedy("goea-steps", {
            "Before training, about half of the steps improve the loss: 35 to 65 % (figure 4)": greedy.half_improve,
            "Where transfer starts, most steps do harm (figure 4)": greedy.deleterious_at_transfer,
            "At the optimum none improves the loss: at most 2 % (figure 4)": greedy.none_improves,
            "Improving steps are as far apart as random ones: the mean angle, within a tenth of a degree (figure 5)":
                greedy.improvers_look_random,
            "So nothing is gained by mixing them: a mixed step gains at most a tenth more than the best (figure 5)":
                greedy.mixing_gains_nothing,
        }),
        *_greedy("goea-greedy", {
            "Mixing trains no better than the best of a generation, within half a point, at equal forward passes":
                greedy.mixing_trains_no_better,
            "Sizes hardly matter: another step or population leaves progress within a fifth of the base's (figure 7)":
                partial(greedy.sizes_hardly_matter, ("step x8", "step /8", "population x2", "population /5")),
        }),
        *_greedy("goea-steps", {
            f"{fall}, at the optimum": partial(greedy.angles_fall, "optimum"),
            "In ten dimensions improving steps are nearer to each other than random ones, by a degree":
                greedy.improvers_are_alike_in_few,
            "The share of steps that improve is what gradient and curvature say, within ten points":
                greedy.curvature_tells,
        }, ours=True),
        *_greedy("goea-greedy", {
            "Greedy evolution comes within two points of SGD, which has fewer forward passes": greedy.as_good_as_sgd,
            "As printed, every improvement taken at once, it trains better than by the best of a generation":
                greedy.as_printed_is_faster,
            "Progress grows with the population, from 4 tries to 20 and 40, at equal generations":
                greedy.more_tries_gain_more,
        }, ours=True),
    ]


def _flatness() -> list[Claim]:
    order = "Robust Wide loses least when weights are moved, then Brittle Wide, then Brittle Narrow"
    return [
        *_greedy("goea-transfer", {
            "Flat networks bear dropout: with half of the features dropped Robust Wide is ahead of Brittle Wide, and "
            "this of Brittle Narrow (figure 3)": flat.bears_dropout,
            "They generalise no better: on known classes Robust Wide is at most half a point ahead of Brittle Wide "
            "(figure 3)": flat.flat_is_no_better,
            f"{order} (figures 8 and 13)": partial(flat.flat_in_order, "tensor-mean"),
        }),
        *_greedy("goea-flatness", {
            "Dropout flattens: more of it leaves more accuracy at diameter 0.8 (figure 9)":
                partial(flat.flatter, "dropout"),
            "Larger networks are flatter (figure 10)": partial(flat.flatter, "size"),
            "Smaller batches give flatter networks (figure 11)": partial(flat.flatter, "batch"),
            "Length of training matters less for flatness than size of batches (figure 12)": flat.length_matters_less,
        }),
        *_greedy("goea-transfer", {
            "Transfer leaves flatness as it was, within ten points (figure 14)": flat.transfer_keeps_flatness,
            "Flatness does not speed transfer: trained on alike, a flatter archetype gains at most two points more in "
            "an epoch than the next (figure 15)": flat.flat_transfers_no_faster,
        }),
        *_greedy("goea-transfer", {
            f"{order}, in lengths of filters": partial(flat.flat_in_order, "filter"),
        }, ours=True),
    ]
