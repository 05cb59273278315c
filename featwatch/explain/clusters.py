"""`cluster_images`: for each cluster of samples an image of what sets it apart (row D3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.analysis.cluster_weights import cluster_weights
from featwatch.explain.ascent.directed import painted
from featwatch.explain.fields.fields import site_of
from featwatch.explain.forms import Unsuitable
from featwatch.explain.kept import kept
from featwatch.explain.responses import Responses
from featwatch.layers import Site
from featwatch.probe import Probe
from featwatch.records import ClusterImages


class NothingApart(Unsuitable):
    """Nothing sets the clusters apart as the layer is now."""


def cluster_images(model: Any, layer: Any, probe: Any, labels: Any, *, steps: int | None = None) -> ClusterImages:
    """For each cluster of samples an image that maximises the filters that are more active in it than in all samples.

    A filter counts by how far its median activation in the cluster lies above that of all samples, in standard
    deviations; a sample's activation is the mean over positions.  What grows is what enters the activation of the
    central unit, weighted so.

    Arguments:
        model: a built model; it is not changed.
        layer: its name, or the layer itself.
        probe: a `Probe`, or samples.
        labels: (samples,) int: the cluster of each sample, −1 = none.
        steps: of gradient ascent; None = as of `feature_images`.

    Raises:
        ValueError: an argument is out of its range, or there is nothing to show: the message says why.

    Example:
        >>> found = cluster_images(net, "conv", x[:40], y[:40])
        >>> found.clusters.tolist(), found.weights.shape, found.images.shape
        ([0, 1, 2], (3, 4), (3, 3, 3, 1))
    """
    site = site_of(model, layer)
    probe = probe if isinstance(probe, Probe) else Probe(probe, size=max(1, len(probe)))
    given = np.asarray(labels)
    if given.dtype.kind not in "iu" or given.shape != (len(probe),):
        raise ValueError(
            f"labels of the shape {given.shape} and type {given.dtype}: give {len(probe)} whole numbers, one for each sample"
        )
    if not (given >= 0).any():
        raise ValueError("labels: no sample is in a cluster, all are below 0")
    return clustered(model, site, probe, _means(model, site, probe), given, epoch=0, steps=steps)


def clustered(
    model: Any, site: Site, probe: Probe, activation: np.ndarray, labels: np.ndarray, *, epoch: int, of: int = -1,
    identities: np.ndarray | None = None, most: int | None = None, steps: int | None = None,
) -> ClusterImages:  # fmt: skip
    """The record of a layer's clusters.

    Arguments:
        activation: (samples, filters) float32: each filter's mean over positions.
        of: where the clustering stands.
        identities: what the clusters 0, 1, … of the clustering are called over epochs.
        most: of how many clusters, the largest ones, images are made; None = of all.

    Raises NothingApart where there is nothing to show now, and Unsuitable where the layer has no feature images.
    """
    if not np.isfinite(activation).all():
        raise NothingApart("activations are not finite (did the training diverge?)")
    clusters, weights = cluster_weights(activation, labels)
    samples = np.array([np.count_nonzero(labels == cluster) for cluster in clusters], np.int32)
    largest = np.sort(np.argsort(-samples, kind="stable")[:most])
    apart = largest[weights[largest].any(axis=1)]
    if not len(apart):
        raise NothingApart("no filter is more active in a cluster than in all samples")
    notes = []
    if len(largest) < len(clusters):
        notes.append(f"the largest {len(largest)} of {len(clusters)} clusters")
    alike = np.setdiff1d(largest, apart)
    if len(alike):
        who = ", ".join(str(cluster) for cluster in clusters[alike])
        notes.append(f"no filter is more active in cluster{'s' * (len(alike) > 1)} {who} than in all samples")
    images, painter = painted(model, site, probe, weights[apart], steps=steps)
    low, high = painter.bounds.limits
    return ClusterImages(
        epoch=epoch,
        layer=site.name,
        clusters=clusters[apart],
        identities=np.zeros(0, np.int32) if identities is None else identities[clusters[apart]].astype(np.int32),
        samples=samples[apart],
        weights=weights[apart],
        pixels=images.pixels,
        low=low,
        high=high,
        activation=images.activation,
        reached=images.reached,
        of=of,
        note="; ".join(filter(None, (*notes, painter.note))),
    )


def _means(model: Any, site: Site, probe: Probe) -> np.ndarray:
    """(samples, filters) float32: each filter's mean over positions."""
    def mean(values: tf.Tensor, bare: bool) -> tf.Tensor:
        return tf.reduce_mean(values, axis=list(range(1, values.shape.rank - 1))) if values.shape.rank > 2 else values

    responses = kept(model, ("means", id(site.layer), id(site.tapped)), lambda: Responses(model, [site], mean))
    parts = []
    for batch, count in probe.batches():
        found = responses.read(batch)
        if site.name not in found:
            raise Unsuitable(f"layer {site.name!r} cannot be read: {responses.refused[site.name]}")
        parts.append(found[site.name].values[:count])
    return np.concatenate(parts)
