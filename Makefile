# `make serve` and `make test` need Python 3.10 to 3.13 and a package registry, nothing else.
.POSIX:
.SUFFIXES:
.PHONY: help serve test clients bench check format lock protos clean

VENV = .venv
RUN = $(VENV)/bin/python
INSTALL = $(RUN) -m pip install --quiet --disable-pip-version-check

help:
	@echo "make serve   install, fetch the weights, serve on port 8000"
	@echo "make test    install, run the whole test suite"
	@echo "make clients install the real clients of other servers, which tests then run"
	@echo "make bench   install, measure engines and servers, print ratios: docs/performance.md"
	@echo "make check   formatting, lint and types"
	@echo "make format  format and fix what can be fixed"
	@echo "make lock    pin the newest version of every dependency"
	@echo "make protos  make the messages of gRPC from their .proto files"

serve: $(VENV)/.serve
	@$${PORT:+env RESNET_PORT=$$PORT} $(RUN) -m service

test: $(VENV)/.dev
	@$(RUN) -m pytest -n 2

# Each in an environment of its own, for they take the same names in protobuf's default pool; without
# them their tests skip. TensorFlow Serving's stubs are for the environment with TensorFlow.
CLIENTS = build/clients
clients: $(CLIENTS)/tritonclient/.installed $(CLIENTS)/kserve/.installed \
		$(CLIENTS)/tensorflow_serving/.installed

$(CLIENTS)/tritonclient/.installed: requirements/clients-tritonclient.txt
$(CLIENTS)/kserve/.installed: requirements/clients-kserve.txt
$(CLIENTS)/tritonclient/.installed $(CLIENTS)/kserve/.installed:
	@echo "Installing into $(@D) ..."
	@python=$$(sh requirements/python.sh) && "$$python" -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
		-r requirements/clients-$$(basename $(@D)).txt
	@touch $@

$(CLIENTS)/tensorflow_serving/.installed: requirements/clients-tensorflow_serving.txt \
		$(CLIENTS)/tritonclient/.installed
	@echo "Installing into $(@D) ..."
	@$(CLIENTS)/tritonclient/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--upgrade --target $(@D) -r requirements/clients-tensorflow_serving.txt
	@touch $@

# QUICK=1: about three minutes instead of fifteen. PHOTOS=folder: what to post, and if it is labeled
# to measure accuracy on. PEERS=no: without the servers to compare with, and their PyTorch.
PEERS = yes
PEER = build/peers
bench: $(VENV)/.dev
	@[ "$(PEERS)" = no ] || $(MAKE) -s --no-print-directory $(PEER)/.installed
	@$(RUN) -m benchmarks run $${QUICK:+--quick} $${PHOTOS:+--photos "$$PHOTOS"} \
		$$([ "$(PEERS)" = no ] || echo --peer-python $(PEER)/bin/python)

$(PEER)/.installed: $(VENV)/bin/python requirements/bench.txt
	@echo "Installing LitServe, Mosec, OpenVINO and PyTorch to compare with ..."
	@$(RUN) -m venv $(PEER)
	@$(PEER)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/bench.txt
	@touch $@

check: $(VENV)/.dev
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(VENV)/bin/lint-imports --no-cache
	$(RUN) -m mypy

format: $(VENV)/.dev
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

# Resolved for every supported Python and platform at once; the files name no package index.
LOCK = $(RUN) -m uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
	--no-annotate --no-header --no-config --upgrade -c requirements/constraints.txt
lock: $(VENV)/.dev
	$(INSTALL) uv
	$(LOCK) pyproject.toml --extra heif -o requirements/serve.txt
	$(LOCK) pyproject.toml --extra heif --group dev -c requirements/serve.txt -o requirements/dev.txt
	$(LOCK) --group pyproject.toml:gpu -c requirements/serve.txt -o requirements/gpu.txt
	$(LOCK) --group pyproject.toml:lite -c requirements/serve.txt -o requirements/lite.txt

protos: $(VENV)/.dev
	sh service/grpc/protos/generate.sh $(RUN) service/grpc/protos

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	@python=$$(sh requirements/python.sh) && echo "Making $(VENV) with $$python" && "$$python" -m venv $(VENV)

$(VENV)/.serve: $(VENV)/bin/python requirements/serve.txt pyproject.toml
	@echo "Installing (TensorFlow is some 600 MB the first time) ..."
	@$(INSTALL) --require-hashes -r requirements/serve.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.serve requirements/dev.txt
	@echo "Installing what the tests need ..."
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@
