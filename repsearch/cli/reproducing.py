"""reproduce, claims, figures, and bench: the paper's results, its claims, and how fast search is."""

from __future__ import annotations

import argparse
from pathlib import Path

from repsearch import checks
from repsearch.cli.common import ROOT, Commands
from repsearch.reproduce.catalogue import ALL_SEEDS, runs
from repsearch.reproduce.records import FOLDER
from repsearch.reproduce.restamp import restamp
from repsearch.reproduce.runner import listing, reproduce
from repsearch.store.files import write_whole


def add_commands(commands: Commands) -> None:
    """Add `reproduce`, `claims`, `figures` and `bench`."""
    sub = commands.add_parser("reproduce", help="the paper's figures and tables: runs what is missing or stale")
    sub.add_argument("experiments", nargs="*", metavar="ID", help="such as fig2; es for all of es-...; or all")
    sub.add_argument("--list", action="store_true", help="what is done and missing, and what it cost; runs nothing")
    sub.add_argument("--restamp", action="store_true",
                     help="after a move of code: compute one seed again, and if it is equal renew the others' hashes")
    sub.add_argument("--preset", default="book", help="smoke, book or paper (default: book)")
    sub.add_argument("--seeds", type=int, nargs="+", default=list(ALL_SEEDS),
                     help="of which most experiments use the first three (default: all the book's)")
    sub.add_argument("--data", nargs="+", default=[], metavar="NAME", help="only these data sets (default: all)")
    sub.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="only these variants (default: all)")
    sub.add_argument("--root", help=ROOT)
    sub.add_argument("--out", type=Path, help="folder of the records (default: the book's)")
    sub.add_argument("--jobs", type=int, default=1, help="processes at a time, of one thread each (default: 1)")
    sub.add_argument("--store", type=Path, default=Path("targets"), metavar="FOLDER",
                     help="keeps searches that several experiments need; may be deleted (default: targets)")
    sub.set_defaults(run=_reproduce)
    sub = commands.add_parser("claims", help="every claim of the paper with a verdict, from the records")
    sub.add_argument("--out", type=Path, help="write the page there, such as book/claims.md (default: print it)")
    sub.set_defaults(run=_claims)
    sub = commands.add_parser("figures", help="draw every figure that there are records for, as SVG files")
    sub.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where they go")
    sub.add_argument("--records", type=Path, default=FOLDER, metavar="FOLDER",
                     help="what they are drawn from, such as what reproduce --out has left (default: the book's)")
    sub.set_defaults(run=_figures)
    sub = commands.add_parser("bench", help="candidates a second: reference, engine, libraries")
    sub.add_argument("--root", help=ROOT)
    sub.add_argument("--sizes", nargs="+", default=["laptop", "paper"], metavar="SIZE", help="(default: laptop paper)")
    sub.set_defaults(run=_bench)


def _reproduce(args: argparse.Namespace) -> None:
    folder = args.out or FOLDER
    if args.list:
        print(listing(args.preset, args.seeds, folder))
        return
    todo = runs(args.experiments, args.preset, args.seeds, args.data, args.variants)
    checks.positive_int("jobs", args.jobs)
    checks.writable_folder("out", folder)
    (restamp if args.restamp else reproduce)(todo, folder, args.root, args.store, args.jobs)
    print(f"done: {len(todo)} of {len(todo)} runs; their records are in {folder}, and python -m repsearch claims says "
          "what the book's show")


def _claims(args: argparse.Namespace) -> None:
    from repsearch.reproduce.page import page

    if args.out:
        write_whole(args.out, page().encode())
    else:
        print(page())


def _figures(args: argparse.Namespace) -> None:
    from repsearch.reproduce.drawn import draw_all

    checks.writable_folder("out", args.out)
    files = draw_all(args.records, args.out)
    print(*(file.name for file in files), f"{len(files)} figures are in {args.out}", sep="\n")


def _bench(args: argparse.Namespace) -> None:
    from repsearch.bench.benchmark import Bench, run, table

    print(table(run(Bench(tuple(args.sizes)), root=args.root)))
