# SPDX-License-Identifier: Apache-2.0
# Each target makes what it needs. The first run creates .venv, installs the versions of constraints.txt and compiles
# csrc; after that only what changed is done again. Nothing outside this folder is touched.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
NATIVE := CMakeLists.txt $(wildcard csrc/*/*.hpp csrc/*/*.cpp csrc/*/*.cu)
# What a development build compiles: the kernels for one GPU architecture (where nvcc is found), and the emulator.
CUDA_ARCHITECTURES ?= 87-real
BUILD := --config-settings=cmake.define.RASANT_EMU=ON \
         --config-settings=cmake.define.RASANT_CUDA_ARCHITECTURES=$(CUDA_ARCHITECTURES)
# One thread a test process: two processes fill the two cores that the suite is planned for.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# Not from pip: a GigE Vision library, its fake camera, and a binding for the system's Python.
SENSOR_PACKAGES := aravis-tools gir1.2-aravis-0.8 python3-gi

.DEFAULT_GOAL := help
.PHONY: help demo test test-sensors lint bench wheel sanitize cuda-check neon-check docs clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 16

$(VENV)/tools.stamp: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) pybind11 scikit-build-core cmake ninja
	@touch $@

$(VENV)/installed.stamp: $(VENV)/tools.stamp pyproject.toml $(NATIVE)
	$(PIP) --no-build-isolation $(BUILD) --editable '.[training,calibration,openvino,realsense,genicam,bench,trt-ci,dev]'
	@touch $@

demo: $(VENV)/installed.stamp  ## inspect a recording; writes pictures and a report to build/demo
	$(BIN)/python examples/demo.py

test: lint  ## lint, then every test
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --durations=10

test-sensors: $(VENV)/installed.stamp  ## the tests that need Debian's Aravis packages; installs them as root
	@dpkg --status $(SENSOR_PACKAGES) >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(SENSOR_PACKAGES) >/dev/null; } || { \
	  echo "make test-sensors needs: apt-get install $(SENSOR_PACKAGES); they are missing and could not be installed" >&2; \
	  exit 1; }
	RASANT_SENSORS=1 $(ONE_THREAD) $(BIN)/python -m pytest tests/sensors/test_aravis.py --durations=3

lint: $(VENV)/installed.stamp  ## ruff, import rules, clang-format, mypy
	$(BIN)/ruff check
	PYTHONPATH=sdk:training:calibration $(BIN)/lint-imports --no-logo
	$(BIN)/clang-format --dry-run --Werror $(filter-out CMakeLists.txt,$(NATIVE))
	$(BIN)/mypy

bench: $(VENV)/installed.stamp  ## time the operations against numpy and OpenCV in one run
	$(ONE_THREAD) $(BIN)/rasant bench --ops --json

wheel: $(VENV)/installed.stamp  ## build a wheel into dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls -l dist

sanitize: $(VENV)/installed.stamp  ## the native tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(BIN)/python tests/native/sanitize.py

cuda-check: $(VENV)/installed.stamp  ## compile the kernels for every GPU architecture, and list what the library holds
	$(BIN)/python tests/native/cuda_check.py

neon-check:  ## compile every operation for aarch64 with NEON; needs the package g++-aarch64-linux-gnu
	@for source in csrc/ops/*_cpu.cpp csrc/emu/fiber.cpp; do echo $$source; \
	  aarch64-linux-gnu-g++ -std=c++17 -O3 -march=armv8.2-a -Wall -Wextra -Wpedantic -Werror -ffp-contract=off \
	    -fno-math-errno -fno-trapping-math -Icsrc -c $$source -o /dev/null || exit 1; done

docs: $(VENV)/installed.stamp  ## write docs/reference from the source, and check every link
	$(BIN)/python docs/reference/make.py

clean:  ## remove what was built; .venv stays (delete it to install from scratch)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find sdk training calibration tests docs examples -name __pycache__ -prune -exec rm -rf {} +
