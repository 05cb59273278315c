"""Samples that are not of the probe, in an embedding of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from featwatch.analysis.placing import place as placed
from featwatch.preparation import prepare
from featwatch.probe import Probe
from featwatch.recorders import Embeddings
from featwatch.records import Embedding


def place(model: Any, x: Any, probe: Probe, embedding: Embedding, *, n_neighbors: int = 15, min_dist: float = 0.1) -> np.ndarray:
    """Where samples that are not of the probe are in one of its embeddings, (samples, 2) float32; the embedding stays as it is.

    Arguments:
        model: with the weights that it had when the embedding was recorded.
        x: the samples, as for `Probe`: an array, a dict or tuple of arrays, …; all of them are placed.
        probe: the one that the embedding shows.
        embedding: `run.embedding(layer, epoch)`.
        n_neighbors, min_dist: as of `Embeddings`.

    Raises:
        ValueError: the embedding is not one of this probe, or of no layer of this model; or x does not fit the model.

    Example:
        >>> run = fw.load("logs/run-1")                                                       # doctest: +SKIP
        >>> fw.place(model, x_new, probe, run.embedding("dense", run.epochs[-1]))             # doctest: +SKIP
    """
    if not isinstance(probe, Probe):
        raise TypeError(f"probe is a {type(probe).__name__}; make one with featwatch.Probe(x, y)")
    if not isinstance(embedding, Embedding):
        raise TypeError(f"embedding is a {type(embedding).__name__}; take one with run.embedding(layer, epoch)")
    if len(embedding.points) != len(probe):
        shown = len(embedding.points)
        raise ValueError(f"embedding shows {shown} samples and the probe has {len(probe)}; give the probe it was made of")
    further = Probe(x, size=np.iinfo(np.int32).max, batch_size=probe.batch_size)
    recorder = Embeddings(layers=[embedding.layer], sort_maps=embedding.sorted_maps)
    known, new = (_features(model, samples, recorder, embedding.layer) for samples in (probe, further))
    return placed(embedding.points, known, new, n_neighbors=n_neighbors, min_dist=min_dist)


def _features(model: Any, samples: Probe, recorder: Embeddings, layer: str) -> np.ndarray:
    """(samples, features): what the layer makes of them, sketched as for the recorder."""
    taps = prepare(model, samples, [recorder], None, None).passes.of([recorder])
    return taps.read(samples.batches()).layers[layer][recorder.reductions[0]]
