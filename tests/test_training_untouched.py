"""Watching changes no weight: the same seeded training, in one process, without, with, and again without the watch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import hashlib, random, sys
import keras, numpy as np, tensorflow as tf
import featwatch as fw
from tests.nets import compiled, images

tf.config.experimental.enable_op_determinism()
layers = keras.layers
x, y = images(200)

def model():
    inputs = keras.Input((8, 8, 1))
    z = layers.RandomTranslation(0.1, 0.1)(inputs)
    z = layers.GaussianNoise(0.05)(z)
    z = layers.Conv2D(6, 3, name="first")(z)
    z = layers.BatchNormalization()(z)
    z = layers.ReLU()(z)
    z = layers.SpatialDropout2D(0.2)(z)
    z = layers.Flatten()(z)
    z = layers.Dense(8, activation="relu", activity_regularizer=keras.regularizers.L2(1e-3))(z)
    z = layers.Dropout(0.3)(z)
    return compiled(keras.Model(inputs, layers.Dense(3, activation="softmax")(z)))

def train(log_dir):
    keras.utils.set_random_seed(7)
    net = model()
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(200).batch(32)
    watch = [fw.Watch(log_dir, fw.Probe(x[:50], y[:50]), background={background})] if log_dir else []
    net.fit(data, epochs=3, verbose=0, callbacks=watch)
    net.fit(x, y, epochs=2, verbose=0, batch_size=32, callbacks=watch)
    digest = hashlib.sha256()
    for variable in net.variables + net.optimizer.variables:
        digest.update(np.asarray(variable.value.numpy()).tobytes())
    digest.update(repr((random.random(), np.random.rand(), layers.Dense(1).name)).encode())
    return digest.hexdigest(), tf.random.uniform(()).numpy()

without = train(None)
keras.backend.clear_session()
watched = train(sys.argv[1])
keras.backend.clear_session()
again = train(None)
print(without == watched == again)
print(fw.load(sys.argv[1]).epochs)
"""


@pytest.mark.parametrize("background", [True, False])
def test_the_same_weights_bit_for_bit(tmp_path: Path, background: bool) -> None:
    script = SCRIPT.replace("{background}", str(background))
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=900)
    assert done.stdout.splitlines()[-2:] == ["True", "[0, 1, 2, 3, 4, 5]"], done.stderr[-3000:]
