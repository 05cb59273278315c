"""The weights of a stage as they act, with its batch normalisation folded in: to read, and to put back as wanted."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.filter_nets import FilterNet, Stage


class Acting:
    """A stage's filters as z = w·x + b, b alike at all positions, whatever the layer and its normalisation hold.

    `write` puts what was set into the model; float64 until then.

    Attributes:
        weights: (filters, positions · inputs per filter), channels fastest.
        bias: (filters,).
        inputs: channels that a filter looks at.
    """

    def __init__(self, net: FilterNet, stage: Stage) -> None:
        self._layer = net.model.get_layer(stage.layer)
        self._norm = net.model.get_layer(stage.normalisation) if stage.normalisation else None
        kernel = np.asarray(self._layer.kernel.numpy(), np.float64)
        self.depthwise = type(self._layer).__name__.startswith("Depthwise")
        self.inputs = 1 if self.depthwise else kernel.shape[-2]
        self._shape = kernel.shape
        filters = kernel.shape[-1] * (kernel.shape[-2] if self.depthwise else 1)
        self._raw = kernel.reshape(-1, filters).T.copy()
        self._raw_bias = np.asarray(self._layer.bias.numpy(), np.float64) if self._layer.use_bias else np.zeros(filters)
        if self._norm is not None:
            norm = self._norm
            self.scale = norm.gamma.numpy().astype(np.float64) if norm.scale else np.ones(filters)
            self._shift = norm.beta.numpy().astype(np.float64)
            self._mean = norm.moving_mean.numpy().astype(np.float64)
            self._variance = norm.moving_variance.numpy().astype(np.float64)

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def normalised(self) -> bool:
        return self._norm is not None

    @property
    def scales(self) -> bool:
        """Whether the normalisation has a scale, γ."""
        return self._norm is not None and bool(self._norm.scale)

    @property
    def biased(self) -> bool:
        """Whether the layer itself has biases."""
        return bool(self._layer.use_bias)

    @property
    def _factor(self) -> np.ndarray:
        assert self._norm is not None
        return self.scale / np.sqrt(self._variance + self._norm.epsilon)

    @property
    def weights(self) -> np.ndarray:
        return self._raw if self._norm is None else self._raw * self._factor[:, None]

    @property
    def bias(self) -> np.ndarray:
        return self._raw_bias if self._norm is None else self._shift + self._factor * (self._raw_bias - self._mean)

    @property
    def kernel(self) -> np.ndarray:
        """The layer's own kernel, filters last: of a depthwise convolution with one input."""
        positions = self._shape[:-2]
        return self._raw.T.reshape((*positions, self.inputs, len(self)))

    @property
    def raw_energy(self) -> np.ndarray:
        """(filters,): the sum of the squared weights of the layer itself."""
        return np.square(self._raw).sum(axis=1)

    @property
    def raw_negative(self) -> np.ndarray:
        """(filters,): the share of the layer's own weights that are below 0."""
        return (self._raw < 0).mean(axis=1)

    def put(self, filter: int, weights: np.ndarray, bias: float) -> None:
        """Let a filter act so."""
        if self._norm is None:
            self._raw[filter], self._raw_bias[filter] = weights, bias
            return
        factor = self._factor[filter]
        self._raw[filter] = weights / factor
        self._shift[filter] = bias - factor * (self._raw_bias[filter] - self._mean[filter])

    def put_bias(self, filter: int, bias: float) -> None:
        """Let a filter act with this bias, the rest as it is."""
        self.put(filter, self.weights[filter].copy(), bias)

    def disguise(self, filter: int, rng: np.random.Generator) -> None:
        """Let it act as it does, by other weights and another normalisation: γ < 0 too, other means and variances."""
        if self._norm is None:
            return
        weights, bias = self.weights[filter].copy(), float(self.bias[filter])
        if self.scales:
            self.scale[filter] = rng.choice((-1, 1)) * rng.uniform(0.5, 1.5)
        self._mean[filter] = rng.normal(0, 0.3)
        self._variance[filter] *= rng.uniform(0.3, 3)
        self.put(filter, weights, bias)

    def shrink(self, filter: int, by: float) -> None:
        """Let it act as it does with `by` times the weights in the layer itself: its normalisation makes up for it."""
        assert self._norm is not None
        weights, bias = self.weights[filter].copy(), float(self.bias[filter])
        wanted, least = by * by * (self._variance[filter] + self._norm.epsilon), self._norm.epsilon
        self._variance[filter] = max(wanted - least, 0.0)
        if self.scales:                         # what the variance cannot
            self.scale[filter] *= np.sqrt(max(least / wanted, 1.0))
        self._mean[filter] *= by
        self._raw_bias[filter] *= by
        self.put(filter, weights, bias)

    def silence(self, filter: int, bias: float) -> None:
        """γ = 0: nothing but `bias` comes out."""
        self.scale[filter], self._shift[filter] = 0.0, bias

    def write(self) -> None:
        """Into the model."""
        kernel: Any = self._raw.T.reshape(self._shape)
        self._layer.kernel.assign(kernel.astype(np.float32))
        if self._layer.use_bias:
            self._layer.bias.assign(self._raw_bias.astype(np.float32))
        if self._norm is not None:
            if self._norm.scale:
                self._norm.gamma.assign(self.scale.astype(np.float32))
            self._norm.beta.assign(self._shift.astype(np.float32))
            self._norm.moving_mean.assign(self._mean.astype(np.float32))
            self._norm.moving_variance.assign(self._variance.astype(np.float32))
