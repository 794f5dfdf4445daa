"""python -m repsearch: see `repsearch.cli.main`."""

from repsearch.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
