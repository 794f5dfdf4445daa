# make test   set everything up and run every test, each notebook included
# make chapters   run every notebook as it is on Colab: with the library installed, in a folder of their own
# make book   set everything up and build the book into _build/html
# make links   look whether every link of the book to the outside still leads somewhere; needs the internet
# make demo   set the library alone up and run the whole method once, in about a minute
# make notebooks   run the chapters and keep their outputs, after a change to them or to the library

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LIBRARY := $(VENV)/.library

.PHONY: test chapters book links demo notebooks clean

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	$(MAKE) chapters

# As on Colab: the library from its wheel, the notebooks in a folder without anything else.
chapters: $(READY)
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	{ $(BIN)/python -m build --wheel --outdir "$$folder" . > "$$folder/log" 2>&1 || { cat "$$folder/log"; exit 1; }; } && \
	$(BIN)/python -m pip install --quiet --no-deps --target "$$folder/library" "$$folder"/*.whl && \
	mkdir "$$folder/notebooks" && cp notebooks/*.ipynb "$$folder/notebooks" && \
	PYTHONPATH="$$folder/library" OMP_NUM_THREADS=1 $(abspath $(BIN))/python -m pytest -n 2 \
	--nbmake --nbmake-timeout=600 --rootdir "$$folder" "$$folder/notebooks"

book: $(READY)
	$(BIN)/jupyter-book build . --warningiserror --keep-going
	@echo "The book is in _build/html/index.html"

links: $(READY)
	$(BIN)/jupyter-book build . --builder linkcheck --path-output _build/links

demo: $(if $(wildcard $(READY)),$(READY),$(LIBRARY))
	$(BIN)/python -m repsearch demo

notebooks: $(READY)
	$(BIN)/python book/run_notebooks.py

$(READY): requirements.txt pyproject.toml
	$(ENVIRONMENT)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(LIBRARY): pyproject.toml
	$(ENVIRONMENT)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

define ENVIRONMENT
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
$(PYTHON) -m venv $(VENV)
endef

clean:
	rm -rf _build $(VENV)
