"""What reading a wide layer takes beside its batch: memory that does not grow with the samples as their features would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# A layer of 200,000 values for each sample; 2,000 samples have 1.6 GB of them, and 8 MB of sketches.
MEASURE = """
import json
import keras
import numpy as np
from featwatch.layers import choose
from featwatch.probe import Probe
from featwatch.sketch import SKETCH_SIZE
from featwatch.taps import TapPass

def peak():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    return int(lines["VmHWM"].split()[0]) / 1e3

model = keras.Sequential([keras.Input((50, 50, 1)), keras.layers.Conv2D(80, 1, activation="relu", name="wide"),
                          keras.layers.GlobalMaxPooling2D()])
x = np.random.default_rng(0).random((2000, 50, 50, 1), np.float32)
few, many = Probe(x[:128]), Probe(x, size=2000)
needs = {site: ("features", "largest") for site in choose(model, None)}
passes = [TapPass(model, needs, len(probe)) for probe in (few, many)]
for taps, probe in zip(passes, (few, many)):
    taps.prepare(next(iter(probe.batches()))[0])
batch = next(iter(few.batches()))[0]
model(batch, training=False)
before = [peak()]
passes[0].read(few.batches())
before.append(peak())
rows = passes[1].read(many.batches()).layers["wide"]["features"]
assert rows.shape == (2000, SKETCH_SIZE) and rows.base.nbytes == rows.nbytes
before.append(peak())
print(json.dumps(before))
"""


@pytest.mark.slow
def test_reading_a_wide_layer_keeps_its_sketches_and_no_more() -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ready, few, many = json.loads(done.stdout.splitlines()[-1])
    assert few - ready < 300        # MB; a batch of the layer is 51 MB
    assert many - few < 60          # of 1,600 MB of features, or 1,500 more than before
