"""The demonstration: a small convolutional network on scikit-learn's digits, watched in TensorBoard."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from featwatch.reader import Run

_START_SECONDS = 60.0           # that TensorBoard may take to answer


def run(log_dir: str, *, epochs: int, port: int | None, serve: bool) -> int:
    """Train and show; returns the exit status.  With `serve` it returns when the user presses Ctrl-C."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parent = os.path.dirname(os.path.abspath(log_dir))
    os.makedirs(parent, exist_ok=True)
    try:
        with _tensorboard(parent, port) as address:
            print(f"\n  Watch it here:  {address}#featwatch\n", flush=True)
            accuracy, seconds, blocked = _train(log_dir, epochs)
            _report(log_dir, accuracy, seconds, blocked)
            if serve:
                print(f"\n  The page stays up at  {address}#featwatch  until Ctrl-C.", flush=True)
                while True:
                    time.sleep(3600)
    except KeyboardInterrupt:
        print()
    except RuntimeError as error:
        print(f"featwatch demo: {error}", file=sys.stderr)
        return 1
    return 0


def digits(seed: int = 0) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """scikit-learn's 1,797 handwritten digits as ((x, y) to train on, (x, y) of 500 to validate with).

    x is (samples, 8, 8, 1) float32 in 0..1, y is (samples,) int64.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    x = (images.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    x_train, x_val, y_train, y_val = train_test_split(x, labels, test_size=500, stratify=labels, random_state=seed)
    return (x_train, y_train), (x_val, y_val)


def small_net() -> Any:
    """A compiled network of three convolutions and two dense layers, 94,000 parameters."""
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool"),
            layers.Dropout(0.25, name="dropout"),
            layers.Conv2D(64, 3, padding="same", activation="relu", name="conv3"),
            layers.Flatten(name="flatten"),
            layers.Dense(64, activation="relu", name="dense"),
            layers.Dropout(0.25, name="dropout_2"),
            layers.Dense(10, activation="softmax", name="scores"),
        ],
        name="digits",
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _train(log_dir: str, epochs: int) -> tuple[float, float, float]:
    """(validation accuracy, seconds of `fit`, seconds of them for which training waited for the watch)."""
    import keras

    import featwatch as fw

    keras.utils.set_random_seed(0)
    (x, y), (x_val, y_val) = digits()
    model = small_net()
    probe = fw.Probe(x_val, y_val, class_names=[str(digit) for digit in range(10)], size=400)
    watch = fw.Watch(log_dir, probe)
    started = time.perf_counter()
    history = model.fit(x, y, validation_data=(x_val, y_val), epochs=epochs, batch_size=16, verbose=2, callbacks=[watch])
    return history.history["val_accuracy"][-1], time.perf_counter() - started, watch.blocked_seconds


def _report(log_dir: str, accuracy: float, seconds: float, blocked: float) -> None:
    from featwatch.reader import load

    recorded = load(log_dir)
    print(f"\n  Validation accuracy {accuracy:.1%} after {recorded.epochs[-1]} epochs in {seconds:.1f} s, "
          f"{blocked:.1f} s of which training waited for the watch.\n")  # fmt: skip
    print(f"  {'layer':<10}{'kNN accuracy':>20}{'silhouette':>20}{'dead filters':>16}")
    for layer in recorded.layers:
        health = recorded.health(layer, recorded.epochs[-1])
        print(
            f"  {layer:<10}"
            f"{_change(recorded, layer, 'knn_accuracy'):>20}"
            f"{_change(recorded, layer, 'silhouette'):>20}"
            f"{health.dead_count:>11} of {len(health.dead)}"
        )


def _change(recorded: Run, layer: str, name: str) -> str:
    """From the first epoch that was analysed to the last: on a busy machine the first ones may have been thinned."""
    _, values = recorded.numbers("separation", layer, name)
    return f"{values[0]:.3f} → {values[-1]:.3f}"


@contextlib.contextmanager
def _tensorboard(log_dir: str, port: int | None) -> Iterator[str]:
    """A TensorBoard over `log_dir`; gives its address.  Raises RuntimeError where it does not answer."""
    port = port or _free_port()
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", log_dir, "--port", str(port), "--host", "localhost"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    address = f"http://localhost:{port}/"
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(f"{address}data/plugin/featwatch/index"):
            if process.poll() is not None:
                said = process.stderr.read().strip().splitlines() if process.stderr else []
                raise RuntimeError(f"TensorBoard ended at once: {said[-1] if said else 'it said nothing'}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"TensorBoard's tab Featwatch did not answer at {address} within {_START_SECONDS:.0f} s")
            time.sleep(0.3)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    for wanted in (6006, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("localhost", wanted))
            return int(probe.getsockname()[1])
    raise RuntimeError("no port is free")
