"""Run as a program of its own: what TensorFlow and Keras say of themselves, a line of JSON for each step.

They are tried in a process of their own because a TensorFlow that does not fit the machine ends the
process that imports it.  Imports nothing of featwatch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Print {"step": …, "value": …} or {"step": …, "error": …} for each step, the first failure being the last."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for step in (tensorflow, keras, backend, gpus, jit):
        print(json.dumps({"step": step.__name__}), flush=True)
        try:
            print(json.dumps({"step": step.__name__, "value": step()}), flush=True)
        except Exception as error:
            print(json.dumps({"step": step.__name__, "error": f"{type(error).__name__}: {str(error)[:300]}"}), flush=True)
            if step is not jit:
                return


def tensorflow() -> str:
    """TensorFlow's version, as it is when imported."""
    import tensorflow as tf

    return str(tf.__version__)


def keras() -> str:
    """Keras' version, as it is when imported."""
    import keras as imported

    return str(imported.__version__)


def backend() -> str:
    """The framework that Keras runs on."""
    from keras import backend as chosen

    return str(chosen.backend())


def gpus() -> list[str]:
    """Names of the GPUs that TensorFlow sees."""
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    details: Callable[[Any], dict[str, Any]] = tf.config.experimental.get_device_details
    return [str(details(gpu).get("device_name", gpu.name)) for gpu in found]


def jit() -> float:
    """0.0 where XLA compiles and gives what it should.  Raises where it does not."""
    import tensorflow as tf

    function = tf.function(lambda x: tf.reduce_sum(tf.nn.relu(x - 1.0)) - 3.0, jit_compile=True)
    result = float(function(tf.constant([1.0, 4.0, -5.0])))
    if result:
        raise RuntimeError(f"a compiled function gave {result} instead of 0")
    return result


if __name__ == "__main__":
    main()
