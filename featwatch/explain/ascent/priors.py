"""A learned prior: images as what a decoder makes of latents (Nguyen et al. 2016, *Synthesizing the preferred inputs for
neurons in neural networks via deep generator networks*), and which basis a recipe means."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from featwatch.explain.ascent.bases import Basis, Fourier, Pixels
from featwatch.explain.ascent.bounds import Bounds
from featwatch.explain.ascent.recipe import Recipe
from featwatch.explain.forms import Form
from featwatch.running import run


class Decoded(Basis):
    """What a Keras model makes of a latent, in the units of the other model's input; beyond the bounds it is cut off.

    Raises ValueError where the decoder does not give such pictures.
    """

    def __init__(self, decoder: Any, form: Form, bounds: Bounds, norm: float | None = None) -> None:
        super().__init__(form.size, bounds, norm)
        inputs = keras.tree.flatten(getattr(decoder, "inputs", None) or [])
        if len(inputs) != 1 or None in inputs[0].shape[1:]:
            raise ValueError(f"basis={decoder!r}: expected 'fourier', 'pixels', or a Keras model with one input of a known shape")
        self._decoder = decoder
        self._form = form
        self._latent = tuple(int(size) for size in inputs[0].shape[1:])
        given = tuple(getattr(decoder, "output_shape", ()) or ())[1:]
        if math.prod(size or 0 for size in given) != math.prod(form.shape):
            wanted = ", ".join(map(str, form.shape))
            raise ValueError(f"basis={decoder!r}: it gives pictures of the shape {given}, the model takes ({wanted})")

    @property
    def shape(self) -> tuple[int, ...]:
        return self._latent

    def free(self, numbers: tf.Tensor) -> tf.Tensor:
        given = tf.cast(run(self._decoder, numbers, [], lambda *_: None), tf.float32)
        if self._form.kind == "picture, channels first":
            given = tf.transpose(given, (0, 2, 3, 1))
        return tf.reshape(given, (-1, *self.size))

    def shares(self, numbers: tf.Tensor) -> tf.Tensor:
        low, width = self._bounds.low, np.where(self.range > 0, self.range, 1)
        return self._on_sphere(tf.clip_by_value((self.free(numbers) - low) / width, 0.0, 1.0))

    def numbers_of(self, free: np.ndarray) -> np.ndarray:
        raise ValueError("no latent is known for a given picture: with a decoder an ascent starts from noise")

    def noise(self, count: int, seed: Any, deviation: float = 1.0) -> np.ndarray:
        """Latents as they were while the decoder was trained, for most decoders: normally distributed."""
        return super().noise(count, seed, deviation)


def basis_of(recipe: Recipe, form: Form, size: tuple[int, int], bounds: Bounds) -> Basis:
    """The basis that a recipe names, for images of a size, (height, width)."""
    if recipe.learned:
        return Decoded(recipe.basis, form, bounds, recipe.norm)
    kind = Fourier if recipe.basis == "fourier" else Pixels
    return kind((*size, form.size[2]), bounds, recipe.norm)
