"""Images seen through the maps of a layer's filters, one filter at a time: what Score-CAM weighs them by."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import tensorflow as tf

from featwatch.explain.decision.decision import NEITHER, SIGMOID, Decision, Scores, scores_of
from featwatch.explain.forms import Form, Unsuitable, form_of
from featwatch.running import refuse_writes, run

MOST_MASKS = 128                    # of a layer, for one image
_AT_ONCE = 32                       # images in a batch
_PIXELS_AT_ONCE = 1 << 21           # in a batch of them


class Masked:
    """Score-CAM's maps, with the weights of the moment (Wang et al. 2020, *Score-CAM: Score-Weighted Visual Explanations*).

    Each filter's map of an image, enlarged and stretched to 0 … 1, dims the image towards 0; the probability that
    the class has then is the filter's weight.  A filter whose map is the same everywhere hides or shows nothing: it
    has no weight.  The weights are used as they are, as in the authors' code; in the paper they go through a softmax.
    """

    def __init__(self, model: Any, decision: Decision) -> None:
        self._model = weakref.ref(model)
        self._decision = decision
        self._form: Form | None = None
        self._function: Any = None

    def cams(self, maps: np.ndarray, samples: Any, classes: np.ndarray, distribution: bool) -> np.ndarray:
        """(samples, rows, columns) float32: where a layer sees the classes.

        Arguments:
            maps: (samples, rows, columns, filters), what the layer makes of as many of the samples as maps are wanted.
            distribution: whether the model's scores are probabilities as they are.

        Raises Unsuitable where images cannot be dimmed, or there is no probability.
        """
        scores = self._decision.scores
        assert scores is not None
        if scores.columns == 1 and not scores.binary:
            raise Unsuitable(f"the output {scores.name!r} has one column and no sigmoid, so that a class has no probability")
        if self._form is None:
            self._form = form_of(self._model(), samples)
        form = self._form
        pictures = form.pictures(np.asarray(samples)[: len(maps)]).astype(np.float32)
        if self._function is None:
            self._function = self._traced(form)
        cams = []
        for image, of_image, shown in zip(pictures, maps, classes, strict=False):
            spread = of_image.std(axis=(0, 1))
            strongest = np.argsort(-spread, kind="stable")[:MOST_MASKS]
            strongest = strongest[spread[strongest] > 0]
            masks = np.moveaxis(of_image[..., strongest], -1, 0)
            weights = np.zeros(0, np.float32)
            if len(masks):
                weights = probability(np.concatenate(list(self._seen(image, masks))), int(shown), scores, distribution)
            cams.append(np.maximum(of_image[..., strongest] @ weights, 0))
        return np.stack(cams).astype(np.float32)

    def _seen(self, image: np.ndarray, masks: np.ndarray) -> Any:
        most = self._decision.rows or max(1, min(_AT_ONCE, _PIXELS_AT_ONCE // image.size))
        for first in range(0, len(masks), most):
            part = masks[first : first + most]
            filled = np.resize(part, (self._decision.rows, *part.shape[1:])) if self._decision.rows else part
            yield self._function(tf.constant(image), tf.constant(filled, tf.float32)).numpy()[: len(part)]

    def _traced(self, form: Form) -> Any:
        output, way = self._decision.scores, self._decision.way
        assert output is not None

        def function(image: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
            model = self._model()
            large = tf.image.resize(masks[..., None], form.size[:2])
            low, high = (reduce(large, axis=(1, 2, 3), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
            inputs = form.inputs(image * tf.math.divide_no_nan(large - low, high - low))
            return scores_of(model, run(model, inputs, [], lambda *_: None, way), output.output)[1]

        rows = self._decision.rows
        signature = tf.TensorSpec(form.size, tf.float32), tf.TensorSpec((rows, None, None), tf.float32)
        concrete = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
        refuse_writes(concrete.graph)
        return concrete


def probability(scores: np.ndarray, shown: int, about: Scores, distribution: bool) -> np.ndarray:
    """(rows,) float32: of one class, from the scores before softmax or sigmoid, (rows, columns).

    Scores of several columns that nothing was seen to squash are taken as logits, unless they are probabilities already.
    """
    scores = scores.astype(np.float64)
    if about.squashed == SIGMOID or about.binary:
        own = scores[:, 0] * (1 if shown else -1) if about.binary else scores[:, shown]
        found = np.exp(-np.logaddexp(0, -own))
    elif about.squashed == NEITHER and distribution:
        found = scores[:, shown]
    else:
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        found = powers[:, shown] / powers.sum(axis=1)
    return np.asarray(found, np.float32)
