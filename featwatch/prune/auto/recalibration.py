"""Statistics of batch normalisations, estimated anew: after pruning, what enters them is not what they were averaged over."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.running import run

SAMPLES = 512           # of the probe, at most


def recalibrate(model: Any, probe: Any, samples: int = SAMPLES) -> str:
    """Sets moving means and variances to those of what enters each normalisation over the probe; gives what was done, in words.

    One pass, in which each normalises by the statistics of its batch, as in training, and nothing else is as in training:
    dropout is off, no random number is drawn.  The statistics are the means over the batches (as in Li et al. 2017,
    "Revisiting Batch Normalization for Practical Domain Adaptation").
    """
    layers: dict[int, Any] = {}
    means: dict[int, list[np.ndarray]] = {}
    variances: dict[int, list[np.ndarray]] = {}
    now: dict[int, tuple[tf.Tensor, tf.Tensor]] = {}

    def calling(operation: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(operation, keras.layers.BatchNormalization) and args:
            x = tf.cast(args[0], tf.float32)
            axes = [axis for axis in range(len(x.shape)) if axis != operation.axis % len(x.shape)]
            if id(operation) not in now:            # of several calls the first one counts
                layers[id(operation)] = operation
                now[id(operation)] = tf.reduce_mean(x, axes), tf.math.reduce_variance(x, axes)
            kwargs = {**kwargs, "training": True}
        return operation(*args, **kwargs)

    seen = 0
    for batch, count in probe.batches():
        if seen >= samples:
            break
        now.clear()
        whole = tf.nest.map_structure(lambda values, count=count: tf.convert_to_tensor(values[:count]), batch)
        run(model, whole, (), lambda *_: None, calling=calling)
        for key, (mean, variance) in now.items():
            means.setdefault(key, []).append(mean.numpy())
            variances.setdefault(key, []).append(variance.numpy())
        seen += count
    for key, layer in layers.items():
        layer.moving_mean.assign(np.mean(means[key], axis=0))
        layer.moving_variance.assign(np.mean(variances[key], axis=0))
    if not layers:
        return "no statistics to estimate anew: the model has no batch normalisation"
    many = "s" if len(layers) > 1 else ""
    return f"statistics of {len(layers)} batch normalisation{many} estimated anew over {seen} samples of the probe"
