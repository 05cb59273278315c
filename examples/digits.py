"""The ten-line use: a small network on scikit-learn's digits, watched.

    python examples/digits.py
    tensorboard --logdir logs        # then the tab "Featwatch"
"""

from __future__ import annotations

import keras

import featwatch as fw
from featwatch.demo import digits

(x, y), (x_val, y_val) = digits()

model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu", name="conv1"),
        keras.layers.Conv2D(32, 3, activation="relu", name="conv2"),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax", name="scores"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

probe = fw.Probe(x_val, y_val)                      # the samples that are looked at every time
watch = fw.Watch("logs/digits", probe)              # the one line
model.fit(x, y, epochs=10, validation_data=(x_val, y_val), callbacks=[watch])

run = fw.load("logs/digits")                        # everything that was recorded, as NumPy
for layer in run.layers:
    print(layer, [round(run.separation(layer, epoch).knn_accuracy, 3) for epoch in (run.epochs[0], run.epochs[-1])])
