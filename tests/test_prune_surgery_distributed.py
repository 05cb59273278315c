"""A model spread over several devices: pruned in the middle of an epoch it goes on as one built small, on the same devices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import keras, tensorflow as tf
cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from featwatch.prune.anatomy import Anatomy
from featwatch.prune.surgery import operate
from tests.surgery_cases import REMOVED, carried_by_hand, furthest, net, samples

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
keras.utils.set_random_seed(1)
with strategy.scope():
    model = net()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
x, y = samples(32)

class Pruning(keras.callbacks.Callback):
    small = None
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1 and self.small is None:
            with strategy.scope():
                self.small = carried_by_hand(model)
            anatomy = Anatomy(model)
            groups = anatomy.groups(REMOVED)
            operate(anatomy, groups).undo()
            assert operate(anatomy, groups).notes == ()

pruning = Pruning()
model.fit(x, y, batch_size=8, shuffle=False, callbacks=[pruning], verbose=0)
pruning.small.fit(x[16:], y[16:], batch_size=8, shuffle=False, verbose=0)
assert furthest(model.get_weights(), pruning.small.get_weights()) <= 1e-12
for variable in (*model.trainable_variables, *model.optimizer._momentums):
    assert [each.device[-5:] for each in variable.value.values] == ["CPU:0", "CPU:1"], variable.path
print("as one built small")
"""


def test_on_two_devices() -> None:
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert "as one built small" in done.stdout, done.stderr[-3000:]
