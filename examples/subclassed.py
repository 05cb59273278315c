"""A subclassed model, fed by tf.data, watched by steps: nothing of it has a graph, and nothing is an array.

    python examples/subclassed.py
    tensorboard --logdir logs        # then the tab "Featwatch"
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

import featwatch as fw
from featwatch.demo import digits

layers = keras.layers


class Residual(layers.Layer):
    """Two convolutions around which the input goes straight on."""

    def __init__(self, filters: int, **more: Any) -> None:
        super().__init__(**more)
        self.first = layers.Conv2D(filters, 3, padding="same", use_bias=False, name="first")
        self.norm = layers.BatchNormalization(name="norm")
        self.second = layers.Conv2D(filters, 3, padding="same", activation="relu", name="second")

    def call(self, x: Any, training: bool | None = None) -> Any:
        return x + self.second(keras.ops.relu(self.norm(self.first(x), training=training)))


class Net(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="residual")
        self.stem = layers.Conv2D(16, 3, activation="relu", name="stem")
        self.blocks = [Residual(16, name=f"block{number}") for number in (1, 2)]
        self.pool = layers.GlobalAveragePooling2D(name="pool")
        self.scores = layers.Dense(10, activation="softmax", name="scores")

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, training=training)
        return self.scores(self.pool(x))


(x, y), (x_val, y_val) = digits()
train = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(2000).batch(32)
validation = tf.data.Dataset.from_tensor_slices((x_val, y_val)).batch(64)

model = Net()
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

watch = fw.Watch(
    "logs/subclassed",
    fw.Probe(validation, size=300),
    recorders=[
        fw.FilterHealth(),
        fw.ActivationHistograms(),
        fw.Separation(schedule=fw.every(steps=20)),         # finer than epochs: on the page, "by step"
        fw.Embeddings(),
        fw.Clusters(),
        fw.Exemplars(),
        fw.FeatureImages(),
    ],
)
model.fit(train, epochs=10, validation_data=validation, callbacks=[watch])

run = fw.load("logs/subclassed")
print(run, "read by", run.session.tap)
for layer in run.layers:
    print(layer, round(run.separation(layer, step=run.steps[-1]).knn_accuracy, 3))
