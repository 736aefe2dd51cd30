# Two commands do everything on a fresh machine with python3 (3.11 or newer), git and make:
#   make demo    a generated project, run to its verdict        (SMOKE=1: a tiny model, a few rows)
#   make test    every test
# .venv holds the generator; .cache/project-env, made once, holds what generated projects run on (torch and so on), and
# .cache/project-cache what they fetch and compute (the base model, answers).

PYTHON ?= python3
EXAMPLE ?= home_assistant
DEMO ?= $(if $(filter home_assistant,$(EXAMPLE)),demo,demo-$(EXAMPLE))
export PROJECT_VENV ?= $(CURDIR)/.cache/project-env
export PROJECT_CACHE ?= $(CURDIR)/.cache/project-cache

.PHONY: demo test lint clean

demo: .venv/installed
	.venv/bin/tunesmith demo $(DEMO) --example $(EXAMPLE) $(if $(SMOKE),--smoke)

test: .venv/installed lint
	.venv/bin/pytest --numprocesses auto --dist loadfile tests/generator
	.venv/bin/pytest --numprocesses auto --dist loadfile tests/projects/test_[01]_*.py
	.venv/bin/pytest --numprocesses auto --dist loadfile tests/projects/test_[23]_*.py

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	PYTHONPATH=template .venv/bin/lint-imports

.venv/installed: pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable . --constraint constraints.txt \
	  genai-prices hypothesis import-linter mypy pexpect pyarrow pytest pytest-xdist ruff tokenizers types-pyyaml uv zstandard
	touch $@

clean:
	rm -rf .venv .cache demo demo-*
