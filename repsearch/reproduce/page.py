"""The claims as tables for the chapters, and as the page `book/claims.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

from repsearch.reproduce.catalogue import runs
from repsearch.reproduce.claims import Claim, claims
from repsearch.reproduce.records import FOLDER
from repsearch.reproduce.tables import markdown
from repsearch.reproduce.verdicts import IN_PART, NOT, REPRODUCED, RULES, UNTRIED


def table(sections: Sequence[str] = (), command: bool = False) -> str:
    """Claims as a Markdown table; those marked "our question" are not the paper's.

    Args:
        sections: of the paper, such as ("3.2",); none given is all.
        command: add what redoes a claim, and what that costs.
    """
    chosen = [claim for claim in claims() if not sections or claim.section in sections]
    return _table(chosen, several=len(sections) != 1, command=command)


def _table(chosen: Sequence[Claim], several: bool, command: bool) -> str:
    """These claims; a claim is judged when it is first shown, and never again."""
    head = [*(["section"] if several else []), "claim", "paper", "here, mean ± std of 3 seeds", "beside it", "verdict",
            *(["made by"] if command else [])]
    return markdown(head, [
        [*([claim.section] if several else []), *_cells(claim), *([_made_by(claim)] if command else [])]
        for claim in chosen])


def _cells(claim: Claim) -> list[str]:
    ours, control, verdict = claim.found
    what = f"{claim.what} (*our question*)" if claim.ours else claim.what
    return [what, claim.paper, ours, control, f"**{verdict}**"]


def _made_by(claim: Claim) -> str:
    known = claim.experiment
    return f"`repsearch reproduce {known}`, {minutes(known):.0f} min" if known else ""


@cache
def minutes(experiments: str) -> float:
    """What the committed book records of these experiments took, on one core."""
    records = [run.read(FOLDER) for run in runs(experiments.split(), "book", (0, 1, 2))]
    return sum(float(record["seconds"]) for record in records if record) / 60


def page() -> str:
    """The page of all claims."""
    found = claims()
    sections = "\n\n".join(
        f"## {'Appendix' if section.isalpha() else 'Section'} {section}\n\n"
        + _table([claim for claim in found if claim.section == section], several=False, command=True)
        for section in dict.fromkeys(claim.section for claim in found))
    verdicts = Counter(claim.found[2] for claim in found if not claim.ours)
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in (REPRODUCED, IN_PART, NOT, UNTRIED))
    rules = "\n".join(f"- *{word}*: {asks};" for word, asks in RULES.items())
    return _PAGE.format(
        total=verdicts.total(), counts=counts, ours=sum(claim.ours for claim in found), rules=rules[:-1] + ".",
        sections=sections,
    )


_PAGE = """# Every claim, and what came out

**{total} claims: {counts}.** {ours} questions of our own stand beside them.

This page is made by `python -m repsearch claims` from the records that come with the book. A verdict is a rule applied
to them, not an opinion:

- *reproduced*: what the claim says holds in each of three seeds, and at every block it speaks of;
- *in part*: it holds for some blocks or readings; or not in every seed, but with a mean larger than its standard error;
- *not reproduced*: it does not.

With nothing behind it, a claim would be reproduced by chance one time in eight, so look at the spread, too. Some words
need a rule of their own:

{rules}

"Beside it" stands what the number should be compared with, most often a control.

The trainings are those of the book preset: narrow networks, few images, and the library's default reading, in which
noise is drawn once a map and smoothed alone. It learns better than the literal one, in which noise is drawn for every
pixel and the whole child is smoothed; rows that use another reading say so. The paper's sizes are many times larger. A
verdict is about the claim at ours. Minutes are those of all records of an experiment, on one core; searches that
experiments share are counted where they were made first. Its command computes what is missing: empty folders for
`--out` and `--store` make it compute everything again. The rows of Figure 2 at the paper's sizes are those of
`repsearch reproduce fig2-paper`.

{sections}
"""
