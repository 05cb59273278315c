"""Fits that several tests share: a quick watch, and callbacks that stop, interrupt or break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

import featwatch as fw
from featwatch.errors import FeatwatchWarning
from featwatch.recorders.base import LayerSnapshot, Recorder
from featwatch.records import LayerSeparation, Record
from tests.nets import images

X, Y = images(120)
PROBE = fw.Probe(X[:60], Y[:60], class_names=["a", "b", "c"])


def fit(model: Any, *callbacks: Any, epochs: int = 3, **more: Any) -> Any:
    return model.fit(X, Y, epochs=epochs, batch_size=32, verbose=0, callbacks=list(callbacks), **more)


def quick(log_dir: Path, **more: Any) -> fw.Watch:
    """A watch without a worker process and without layouts."""
    more.setdefault("recorders", [fw.FilterHealth(), fw.Separation()])
    return fw.Watch(log_dir, more.pop("probe", PROBE), background=False, **more)


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = epoch == 1


class Breaking(Recorder):
    name = "breaking"
    produces = LayerSeparation
    reductions = ("features",)
    in_worker = False

    def analyse(self, snapshot: LayerSnapshot) -> Record:
        raise RuntimeError("out of luck")


def ours(caught: Any) -> int:
    return sum(issubclass(warning.category, FeatwatchWarning) for warning in caught)


def there(accessor: Any, layer: str, epoch: int) -> bool:
    try:
        accessor(layer, epoch)
    except KeyError:
        return False
    return True
