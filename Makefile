# Everything the course needs, as commands. `make help` lists them.
# Nothing is assumed but Python 3.11-3.14, make and a package index.
SHELL := /bin/sh
PYTHON ?= python3
UV ?= $(shell command -v uv)
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
BENCH := .venv-bench
PORT ?= 8000
WORKERS ?= 2
ifneq ($(GM_DATA),)
# Notebooks run in their own folder. Not by abspath, which would take "My Drive" for two paths.
override GM_DATA := $(if $(filter /% ~%,$(firstword $(GM_DATA))),$(GM_DATA),$(CURDIR)/$(GM_DATA))
export GM_DATA
endif

.DEFAULT_GOAL := help
.PHONY: help setup book test test-site shots bench notebooks lint format lock serve clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv with the locked requirements (the others do it when needed)

# An environment that was made in another folder, or by another Python than is in it now, is made anew.
SETUP := tools/setup_environment.py
unready = $(shell $(1)/bin/python -S $(SETUP) $(1) --check 2>/dev/null || echo FORCE)
FORCE:

$(READY): requirements.txt pyproject.toml $(SETUP) $(call unready,$(VENV))
	@$(PYTHON) $(SETUP) $(VENV) requirements.txt --uv "$(UV)"

book: $(READY) notebooks ## execute every chapter and build the site in _build/html (STRICT=1: a warning fails it)
	$(PY) tools/make_results_page.py
	$(PY) tools/execute.py --workers $(WORKERS) $(if $(STRICT),--strict)
	@rm -rf _build/html
	$(VENV)/bin/jupyter-book build -W -n --keep-going --all .
	@echo "Open _build/html/index.html in a browser, or run: make serve"

test: $(READY) ## run the unit tests, then every notebook from top to bottom
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(PY) -m pytest -n $(WORKERS) -m "not site" tests
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(PY) -m pytest -n $(WORKERS) --dist loadscope --nbval-lax --nbval-current-env --nbval-cell-timeout=900 --timeout=0 notebooks

test-site: $(READY) ## open the built pages in Chromium, with the network off (after: make book)
	$(PY) -m pytest -n $(WORKERS) --dist loadscope -m site tests/site

shots: $(READY) ## picture every built page, light and dark, at three widths, in _build/shots (after: make book)
	$(PY) tools/shots.py

bench: $(BENCH)/.ready ## measure time to quality and speed beside other libraries: an hour, quiet
	$(BENCH)/bin/python -m benchmarks

# torchgan 0.1.0 asks for older packages than there are now, and works with these.
$(BENCH)/.ready: benchmarks/requirements.txt pyproject.toml $(SETUP) $(call unready,$(BENCH))
	@$(PYTHON) $(SETUP) $(BENCH) benchmarks/requirements.txt --uv "$(UV)" --besides torchgan==0.1.0

notebooks: $(READY) ## derive notebooks/ and the README's list of chapters from book/
	$(PY) tools/make_notebooks.py
	$(PY) tools/make_readme.py

lint: $(READY) ## check format, style, types and that what is made from sources is up to date
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(PY) tools/make_notebooks.py --check
	$(PY) tools/make_readme.py --check
	$(PY) tools/make_results_page.py --check
	$(PY) -m benchmarks.page --check

format: $(READY) ## format the code, the chapters' too, and mend what can be mended
	$(PY) tools/format_chapters.py
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# torch and torchvision are held at one pair that fit each other and have wheels for every platform here; the CUDA
# packages that torch's Linux wheel wants are pinned by torch itself, so a CPU build of torch brings none of them.
# pythae asks for dataclasses, a part of Python now; later versions than this one refuse to be installed beside it.
lock: ## resolve the requirements anew, one file for all platforms
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	printf '%s\n' $(TORCH) | $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	  --extra book --extra test --no-annotate --custom-compile-command 'make lock' \
	  $$(for p in $(CUDA_PACKAGES); do printf ' --no-emit-package %s' $$p; done) \
	  --constraint - pyproject.toml --output-file requirements.txt
	printf '%s\n' $(TORCH) dataclasses==0.6 | $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	  --extra bench --no-annotate --custom-compile-command 'make lock' \
	  $$(for p in $(CUDA_PACKAGES); do printf ' --no-emit-package %s' $$p; done) \
	  --constraint - --constraint requirements.txt pyproject.toml --output-file benchmarks/requirements.txt
	rm -rf $(VENV)-lock

TORCH := torch==2.14.1 torchvision==0.29.1
CUDA_PACKAGES := triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cccl nvidia-cuda-crt \
  nvidia-cuda-cupti nvidia-cuda-nvcc nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft \
  nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 \
  nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx nvidia-nvvm

serve: ## serve the built book at http://localhost:8000 (another port: make serve PORT=8080)
	@test -f _build/html/index.html || { echo "Nothing is built yet: run make book first."; exit 1; }
	@echo "The book is at http://localhost:$(PORT)  (stop with Ctrl-C)"
	@$(PY) -m http.server --directory _build/html --bind 127.0.0.1 $(PORT)

clean: ## remove what was built, the execution cache included (.venv stays)
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
