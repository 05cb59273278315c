"""The random twin: a model's architecture with other, freshly drawn weights, to show what a picture owes to the architecture.

What looks meaningful for a net that has learnt nothing is the viewer's own bias (Adebayo et al. 2018,
*Sanity Checks for Saliency Maps*).  There is no second model: the model's own computation runs with
other values in place of its variables, which stay as they are.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.kept import kept


class Twin:
    """Values for the variables of a model, drawn when they are first asked for and then the same.

    Weights come from the layer's own initializers, with other seeds; statistics of batch normalisations are as
    before any training; other state, such as the statistics of a `Normalization` layer, stays the model's.  Where
    an initializer cannot be told or seeded, the model's own values of the moment are permuted: `permuted`.

    Arguments:
        model: a built model; it is not changed.
        seed: of all draws.  No global random state is used.

    Raises:
        ValueError: `seed` is no whole number of 0 or more.
    """

    def __init__(self, model: Any, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"seed={seed!r}: give a whole number of 0 or more")
        self.seed = int(seed)
        self.permuted: list[str] = []               # paths of variables
        self._model = weakref.ref(model)
        self._values: dict[int, tuple[Any, tf.Tensor]] = {}

    def values(self, variables: Iterable[Any]) -> list[tf.Tensor]:
        """A tensor for each of the model's Keras variables.  Raises ValueError where one is not the model's."""
        wanted = list(variables)
        if any(id(variable) not in self._values for variable in wanted):
            self._draw(wanted)
        return [self._values[id(variable)][1] for variable in wanted]

    @property
    def note(self) -> str:
        """What is particular about it, in words; "" where every weight was drawn anew."""
        if not self.permuted:
            return ""
        named = ", ".join(self.permuted[:3]) + (", …" if self.permuted[3:] else "")
        return f"in the random twin the weights {named} are the model's, permuted"

    def _draw(self, wanted: Sequence[Any]) -> None:
        model = self._model()
        if model is None:
            raise RuntimeError("the model is gone")
        owners = {
            id(variable): (layer, trained)
            for layer in model._flatten_layers()
            for trained, own in ((True, layer._trainable_variables), (False, layer._non_trainable_variables))
            for variable in own
        }
        places = {id(variable): place for place, variable in enumerate(model.variables)}
        for variable in wanted:
            if id(variable) in self._values:
                continue
            if id(variable) not in places:
                raise ValueError(f"twin: the variable {variable.path!r} is none of the model {model.name!r}")
            owner, trained = owners.get(id(variable), (None, variable.trainable))
            rng = np.random.default_rng((self.seed, places[id(variable)]))
            self._values[id(variable)] = variable, self._value(variable, owner, trained, rng)

    def _value(self, variable: Any, owner: Any, trained: bool, rng: np.random.Generator) -> tf.Tensor:
        drawn = _drawn(_initializer(owner, variable.name), variable, int(rng.integers(1 << 31)))
        if drawn is not None:
            return drawn
        own = variable.numpy()
        if trained and own.size > 1:
            self.permuted.append(variable.path)
            own = rng.permutation(own.ravel()).reshape(own.shape)
        return tf.constant(own, variable.dtype)


def random_twin(model: Any, seed: int = 0) -> Twin:
    """A random twin of a model: pass it as `twin=` to `saliency`, `occlusion` or `deconvolution`.

    Arguments and errors as of `Twin`.

    Example:
        >>> drawn = random_twin(net, seed=1)
        >>> saliency(net, "conv", [0], x[:2], twin=drawn).maps.shape
        (1, 2, 8, 8)
    """
    return Twin(model, seed)


def twin_of(model: Any, twin: Any) -> Twin | None:
    """The twin that an argument means: True = one of seed 0, kept with the model.  Raises TypeError."""
    if twin is None or twin is False:
        return None
    if twin is True:
        return kept(model, ("twin",), lambda: Twin(model))
    if not isinstance(twin, Twin):
        raise TypeError(f"twin={twin!r}: give True, or what explain.random_twin(model) gave")
    if twin._model() is not model:
        raise ValueError("twin: it is another model's; give explain.random_twin of this one")
    return twin


def _initializer(owner: Any, name: str) -> Any:
    """The initializer that a layer keeps for its variable of this name, or None."""
    for attribute in (f"{name}_initializer", f"{name.removesuffix('_kernel')}_initializer"):
        found = getattr(owner, attribute, None)
        if found is not None:
            return found
    # A depthwise convolution's only kernel is initialised by `depthwise_initializer`.
    return getattr(owner, "depthwise_initializer", None) if name == "kernel" else None


def _drawn(initializer: Any, variable: Any, seed: int) -> tf.Tensor | None:
    """What an initializer gives with this seed; None where it cannot be seeded."""
    if not hasattr(initializer, "get_config"):
        return None
    try:
        config = initializer.get_config()
        if "seed" in config:
            initializer = type(initializer).from_config({**config, "seed": seed})
        elif not type(initializer).__module__.startswith("keras."):
            return None                             # it may draw from a global random state
        value = tf.convert_to_tensor(initializer(variable.shape, dtype=variable.dtype))
    except Exception:
        return None
    return value if value.shape == tuple(variable.shape) else None
