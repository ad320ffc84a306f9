# The one task runner. `make demo` and `make test` set up everything they need; CI calls the same recipes.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
PIP := umask 022; $(BIN)/python -m pip --quiet --disable-pip-version-check
JOBS ?= 2
SLOW ?=

.PHONY: setup setup-demo demo test test-slow test-studies check docs fuzz mutate lock clean bench bench-steps bench-scaling bench-studies bench-lock

setup: .venv/.ready-test .oidc-provider/.ready ## everything: to run, to test, to check

setup-demo: .venv/.ready-demo ## what the demo needs

.venv/.made:
	@test -n "$(PYTHON)" || { echo "Strongroom needs Python 3.11, 3.12 or 3.13 on the PATH (or make PYTHON=/path/to/python3)"; exit 1; }
	umask 022; $(PYTHON) -m venv .venv
	@touch $@

# requirements/demo.txt is a part of requirements/test.txt with the same pins, so both can share one environment. The lock
# is whole, so pip resolves nothing (--no-deps): older pips fail over `pydantic[email]` as soon as a newer pydantic is out.
.venv/.ready-demo: .venv/.made requirements/demo.txt requirements/data.txt
	@echo "installing what the demo needs (pinned, with hashes) ..."
	$(PIP) install --require-hashes --no-deps -r requirements/demo.txt -r requirements/data.txt
	@printf '%s/src\n%s\n' "$(CURDIR)" "$(CURDIR)" > $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/strongroom.pth
	@printf '#!%s/.venv/bin/python\nimport sys\nfrom strongroom.cli import main\nsys.exit(main())\n' "$(CURDIR)" > $(BIN)/strongroom && chmod +x $(BIN)/strongroom
	@$(BIN)/python -m compileall -q src # as pip does with what it installs
	@touch $@

.venv/.ready-test: .venv/.ready-demo requirements/test.txt
	@echo "installing what the tests need (pinned, with hashes) ..."
	$(PIP) install --require-hashes --no-deps -r requirements/test.txt
	@touch $@

# the identity provider of tests/identity: without node and npm those tests skip and say so
OIDC_PROVIDER := 9.13.3

.oidc-provider/.ready: Makefile
	@mkdir -p .oidc-provider
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
		npm install --prefix .oidc-provider --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error \
			oidc-provider@$(OIDC_PROVIDER) >/dev/null || echo "oidc-provider cannot be had; tests/identity will skip"; fi
	@touch $@

demo: setup-demo ## a model's whole life on real data, then what was proven
	$(BIN)/python -m demo

test: setup ## the whole suite
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(if $(SLOW),,-m "not slow") $(ARGS)

test-slow: setup ## what takes minutes and runs alone: the main job as a test, a thousand kills, rotations under load
	$(BIN)/python -m pytest -m "slow and not study" $(ARGS)

test-studies: setup ## 200 releases under load, the long schemathesis run, clients and libraries in environments of their own
	$(BIN)/python -m pytest -m study $(ARGS)

check: setup ## style, types, layers, dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/python tools/check_lock.py

fuzz: setup ## every parser under atheris: make fuzz SECONDS=60 ONLY="http leaf"
	$(BIN)/python -m tests.fuzz.campaign --seconds $(or $(SECONDS),60) --jobs $(JOBS) $(if $(ONLY),--only $(ONLY))

mutate: setup ## change the verification code in one place at a time; its tests must notice: make mutate ONLY="ledger/proof.py"
	$(BIN)/python -m tools.mutate $(ONLY)

docs: setup ## run every block of the documentation
	$(BIN)/python -m pytest tests/docs tests/verify/test_how_to.py -q

bench: setup ## ours, the bare limits and seven others under one load; the PD battery beside a notebook script: make bench PEERS="bare fastapi" SECONDS=8 ROUNDS=3 QUICK=1
	$(BIN)/python -m bench.run $(if $(PEERS),--peers $(PEERS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(QUICK),--quick) $(if $(PEERS)$(QUICK),,--page)

bench-steps: setup ## where the time of an answer goes: microseconds by step
	$(BIN)/python -m bench.profile

bench-scaling: setup ## does an answer cost the same with 200 models, 5,000 policies, 100,000 principals, 50 million entries?
	$(BIN)/python -m bench.scaling

STUDIES ?= ledger scaling overload explain runtimes parquet halt battery plan
bench-studies: setup ## the ledger, scaling, overload, reason codes, runtimes, files and halts, each by itself
	@for study in $(STUDIES); do if [ -f bench/$$study.py ]; then echo "== $$study"; $(BIN)/python -m bench.$$study || exit 1; fi; done
	$(BIN)/python -m bench.report

bench-lock: setup ## resolve the pins of the others' environments anew
	$(BIN)/python -m bench.environments lock

lock: setup ## resolve the pins anew; no registry address enters the files
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet -o requirements/test.txt
	$(BIN)/uv pip compile pyproject.toml --extra validation --extra package --extra signing --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -c requirements/test.txt -o requirements/demo.txt
	$(BIN)/uv pip compile --group pyproject.toml:kserve --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet -o requirements/kserve.txt
	$(BIN)/uv pip compile --group pyproject.toml:s3 --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet -o requirements/s3.txt

clean:
	rm -rf .venv .oidc-provider .kserve .s3 bench/.envs bench/.cache demo-room .mypy_cache .ruff_cache .pytest_cache
