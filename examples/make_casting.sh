#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What made casting.rasant and casting-test.mcap from the rendered data set `relief`; run `make lint` once before, for .venv.
# Usage: examples/make_casting.sh PATH_OF_RELIEF. What the bundle reaches stands in docs/results.md.
set -euo pipefail
relief=${1:?usage: examples/make_casting.sh PATH_OF_RELIEF}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS=1

# Today one run does both stages (data.whole_share of the preset); this bundle was made by two.
# Crops first: many different samples a minute. Stopped after 33 of 58 minutes of its schedule, at step 3122.
timeout --signal TERM 1975 rasant train das3d --preset edge --data "dataset:$relief/casting" --out runs/casting-crops \
    --seed 1 --minutes 58 --set loop.threads=1 --set data.whole_share=0 || [ $? -eq 124 ]
# Whole frames then: what lies around a place looks as it will at the machine.
rasant train das3d --preset edge --data "dataset:$relief/casting" --out runs/casting-whole \
    --seed 2 --minutes 26 --set loop.threads=1 --set loop.initial=runs/casting-crops \
    --set data.crop=256 --set data.batch=2 --set data.whole_share=0 --set optimizer.learning_rate=1e-3
rasant export runs/casting-whole -o runs/casting.rasant
rasant calibrate threshold runs/casting.rasant "dataset:$relief/casting?split=validation" --false-reject 0.1 \
    -o examples/casting.rasant
# The path is kept in the certificate: a relative one says nothing of this machine.
bundle=$PWD/examples/casting.rasant
(cd "$relief/.." && rasant certify "$bundle" --engine onnxruntime,openvino --data "dataset:$(basename "$relief")/casting?split=test")
rasant record "dataset:$relief/casting?split=test" examples/casting-test.mcap --compress png
python - "$relief/casting/meta.json" > examples/casting-test.meta.json << 'LEVELS'
import json, sys
records = [record for record in json.load(open(sys.argv[1])) if record["id"].startswith("test/")]
rows = [json.dumps({key: r[key] for key in ("id", "type", "severity", "level") if key in r}) for r in records]
print("[\n" + ",\n".join(rows) + "\n]")
LEVELS
rasant evaluate examples/casting.rasant "dataset:$relief/casting" --baseline train-mean --report build/casting.html
