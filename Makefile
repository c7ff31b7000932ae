# make          set up .venv            make demo   set up, then see Nayru at work
# make test     set up, then all tests  make tools  build the real parts (Asar, Ollama, editors, ...) into .tools
# make bench    speed                   make lint   ruff, mypy and, where Node and Neovim are, TypeScript and Lua
# make wheel    dist/nayru-*.whl        make clean  remove what was built, but for .venv and .tools
# PYTHON=/path/to/python3 picks the interpreter; ARGS="-k hover" goes to pytest and to the bench.
PYTHON ?= python3
export PYTHON
PY := .venv/bin/python
READY := .venv/.ready

all: $(READY)

$(READY): pyproject.toml .ci/constraints.txt .ci/setup
	@.ci/setup

demo: $(READY)
	@$(PY) -m nayru_lsp demo

test: $(READY)
	@$(PY) -m pytest $(ARGS)

tools: $(READY)
	@.ci/tools/all.sh

bench: $(READY)
	@$(PY) -m tests.bench $(ARGS)

lint: $(READY)
	@$(PY) -m pytest tests/test_lint.py tests/test_architecture.py $(ARGS)

wheel: $(READY)
	@$(PY) -m build --wheel --no-isolation --outdir dist

clean:
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis editors/vscode/out editors/vscode/*.vsix
	find nayru_lsp nayru_train plugins tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: all demo test tools bench lint wheel clean
