"""The claims as tables for the chapters, and as the page `book/claims.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from repsearch.reproduce.catalogue import ALL_SEEDS, runs
from repsearch.reproduce.claim import GREEDY, STRATEGIES, Claim, beside
from repsearch.reproduce.claims import NAMES, claims
from repsearch.reproduce.intervals import FAILS, HOLDS, IN_PART, UNDECIDED, UNTRIED, expected_by_chance, interval
from repsearch.reproduce.records import FOLDER, read_records
from repsearch.reproduce.tables import markdown
from repsearch.sources import OFFICIAL

VERDICTS = (HOLDS, IN_PART, UNDECIDED, FAILS, UNTRIED)


def table(
    sections: Sequence[str] = (), command: bool = False, where: Callable[[Claim], bool] | None = None
) -> str:
    """Claims as a Markdown table; those marked "our question" are not the paper's.

    Args:
        sections: of the paper, such as ("3.2",); none given is all.
        command: add what redoes a claim, and what that costs.
        where: keep only those for which this holds.
    """
    chosen = [claim for claim in claims()
              if (not sections or claim.section in sections) and (where is None or where(claim))]
    return _table(chosen, several=len(sections) != 1, command=command)


def _table(chosen: Sequence[Claim], several: bool, command: bool) -> str:
    """These claims; a claim is judged when it is first shown, and never again."""
    head = [*(["section"] if several else []), "claim", "paper", "here, mean ± std", "beside it",
            "what decides: mean [95 % interval]", "verdict", *(["made by"] if command else [])]
    return markdown(head, [
        [*([claim.section] if several else []), *_cells(claim), *([_made_by(claim)] if command else [])]
        for claim in chosen])


def _cells(claim: Claim) -> list[str]:
    found = claim.found
    what = f"{claim.what} (*our question*)" if claim.ours else claim.what
    why = "; ".join(part for part in (found.parts, found.to_settle) if part)
    return [what, claim.paper, found.ours, found.control, found.decided_by,
            f"**{found.verdict}**" + (f": {why}" if why else "")]


def _made_by(claim: Claim) -> str:
    known = claim.experiment
    return f"`repsearch reproduce {known}`, {minutes(known):.0f} min" if known else ""


@cache
def minutes(experiments: str) -> float:
    """What the committed book records of these experiments took, on one core."""
    records = [run.read(FOLDER) for run in runs(experiments.split(), "book", ALL_SEEDS)]
    return sum(float(record["seconds"]) for record in records if record) / 60


def counted(found: Sequence[Claim]) -> str:
    """How many claims have each verdict."""
    verdicts = Counter(claim.found.verdict for claim in found)

    def said(verdict: str) -> str:
        return verdict.removesuffix("s") if verdict in (HOLDS, FAILS) and verdicts[verdict] > 1 else verdict

    return ", ".join(f"{verdicts[verdict]} {said(verdict)}" for verdict in VERDICTS if verdicts[verdict])


def by_chance(found: Sequence[Claim]) -> float:
    """At most how many of these claims would hold if no effect were there."""
    return expected_by_chance([
        len(claim.found.contrasts) for claim in found if not claim.found.exact
        for _ in range(claim.found.sides)])


def titles() -> dict[str, str]:
    """The data sets as tables call them; of one of which the records saw a part, it is said."""
    return {data: title if _source(data) == OFFICIAL[data] else f"{title} (a part)" for data, title in NAMES.items()}


def _source(data: str) -> tuple[int, int]:
    train, test = read_records(f"training-{data}-book-search-based-*")[0]["images"]["source"]
    return train, test


def images_of(data: str) -> str:
    """Which part of a data set the records were made from, and how many images they took."""
    (train, test), (all_train, all_test) = _source(data), OFFICIAL[data]
    part = "all" if (train, test) == (all_train, all_test) else (
        f"**a part**, {train:,} of {all_train:,} training and {test:,} of {all_test:,} test images")
    taken = read_records(f"training-{data}-book-search-based-*")[0]["images"]
    return (f"{NAMES[data]}: {part}; each seed trains on {taken['train']:,}, chooses its epoch on "
            f"{taken['validation']:,}, and is tested on {taken['test']:,} that no other seed uses")


def page() -> str:
    """The page of all claims."""
    found = claims()
    sections = "\n\n".join(
        f"## {_title(section)}\n\n"
        + _table([claim for claim in found if claim.section == section], several=False, command=True)
        for section in dict.fromkeys(claim.section for claim in found))
    papers, ours, notes = ([claim for claim in found if claim.asked_by == who] for who in ("paper", "ours", "notes"))
    data = "\n".join(f"- {images_of(name)}." for name in NAMES)
    compared = [(interval(claim.found.difference), reported) for claim, reported in beside(found)]
    inside = sum(around.low <= reported <= around.high for around, reported in compared)
    return _PAGE.format(total=len(papers), counts=counted(papers), ours=len(ours), ours_counts=counted(ours),
                        chance=by_chance(papers), notes=len(notes), notes_counts=counted(notes),
                        notes_chance=by_chance(notes), data=data, sections=sections, compared=len(compared),
                        inside=inside)


def _title(section: str) -> str:
    """Of a part of the page."""
    if section in (STRATEGIES, GREEDY):
        return {STRATEGIES: "Evolution strategies", GREEDY: "Greedy evolution"}[section]
    return f"{'Appendix' if section.isalpha() else 'Section'} {section}"


_PAGE = """# Every claim, and what came out

**{total} claims of the paper, at our size: {counts}.** Beside them {ours} questions of our own: {ours_counts};
and {notes} claims of other sources, on evolution in the space of weights: {notes_counts}.

```{{raw}} html
<link rel="stylesheet" href="../_static/claims/claims.css">
<div class="claims-strip"></div>
```

```{{figure}} _static/claims/paper.svg
:alt: Under each claim a row for each data set: the paper's number, ours with its interval, the verdict.

The differences in accuracy that the paper reports, and ours, at a small fraction of its size. The paper's number lies
in our 95 % interval in {inside} of {compared}.
```

## How a verdict is made

This page is made by `python -m repsearch claims` from the records that come with the book. Every claim is a contrast
that stands in the code: one number a seed that the claim says is above zero, with the smallest effect that matters, in
brackets where there is one. Contrasts were fixed before these records were complete, but for eight. One was changed
after a look at them, and became harder to meet (whether explorers keep the parents diverse also asks, since then, that
two of ten are left). Seven of greedy evolution were changed after a look at the first of its seeds, and before
there was another. Its 95 % interval (Student's t over seeds; differences are taken seed by seed)
decides:

- *holds*: the interval is above zero, and the mean at least the smallest effect;
- *fails*: the interval is below the smallest effect;
- *undecided*: neither. About how many seeds would settle it, with a probability of 80 %, is beside it; that is a rough
  number, for the spread of few seeds is itself uncertain. Or the question cannot be put: where training adds nothing,
  an ablation has nothing to take away;
- *in part*: of the parts that are named some hold and some fail. A claim of several parts holds if all do.

If nothing had any effect, at most {chance:.1f} of the {total} would hold by chance: 0.025 each, twice that where
either sign counts; of the {notes} at most {notes_chance:.1f}. What is read off the code or off every single search, and
not off a mean over seeds, is not counted there.

A verdict is about the claim *at our size*: narrow networks, few images, and the library's default reading, in which
noise is drawn once a map and smoothed alone; rows that use another say so. The paper's sizes are many times larger.

{data}

Minutes are those of all records of an experiment, on one core; searches that experiments share are counted where they
were made first. A command computes what is missing: empty folders for `--out` and `--store` make it compute everything
again. The rows of Figure 2 at the paper's sizes are those of `repsearch reproduce fig2-paper`.

```{{raw}} html
<div class="claims-filters"></div>
```

{sections}

```{{raw}} html
<script src="../_static/claims/claims.js"></script>
```
"""
