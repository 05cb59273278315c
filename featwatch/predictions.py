"""What a model's output says of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, softmax

from featwatch.records import Predictions

_MULTI_CLASS = ("categorical", "kl_divergence", "kldivergence")     # in the names of losses
_BINARY = ("binary",)


def predictions(scores: np.ndarray, labels: np.ndarray, *, loss: Any = None, epoch: int) -> Predictions | None:
    """Predicted class, its probability and all scores of each sample; None where the output holds no class scores.

    An output of several columns holds class scores if each row is a probability distribution, or if
    the loss is a categorical cross-entropy; an output of one column if the loss is a binary
    cross-entropy.  Softmax or sigmoid is applied where the loss says `from_logits`.

    Arguments:
        scores: (samples, classes) or (samples, 1), the model's output.
        labels: (samples,) int32, −1 = no label.
        loss: the loss that belongs to the output, if it is known: a Keras loss, or its name.
    """
    if scores.ndim != 2 or not scores.size:
        return None
    scores = scores.astype(np.float32)
    name = loss_name(loss)
    from_logits = _from_logits(loss)
    if scores.shape[1] == 1:
        if not any(part in name for part in _BINARY):
            return None
        positive = expit(scores) if from_logits else scores
        scores = np.concatenate([1 - positive, positive], axis=1)
    elif from_logits and any(part in name for part in _MULTI_CLASS):
        scores = softmax(scores, axis=1)
    elif not _is_distribution(scores) and not any(part in name for part in _MULTI_CLASS):
        return None
    # A diverged model gives NaN: then no class is predicted.
    finite = np.isfinite(scores).all(axis=1)
    classes = np.where(finite, np.argmax(np.where(np.isfinite(scores), scores, -np.inf), axis=1), -1).astype(np.int32)
    certain = finite & _is_distribution(scores[finite])     # what is no probability is no certainty
    labelled = labels >= 0
    return Predictions(
        epoch=epoch,
        classes=classes,
        certainty=np.where(certain, np.max(np.where(finite[:, None], scores, 0), axis=1), np.nan).astype(np.float32),
        scores=scores,
        accuracy=float(np.mean(classes[labelled] == labels[labelled])) if labelled.any() else np.nan,
    )


def loss_name(loss: Any) -> str:
    """The loss's name in small letters; "" where there is none."""
    if loss is None:
        return ""
    text = loss if isinstance(loss, str) else getattr(loss, "__name__", None) or type(loss).__name__
    fn = getattr(loss, "fn", None)              # keras.losses.LossFunctionWrapper
    return f"{text} {getattr(fn, '__name__', '')}".lower()


def loss_of(model: Any, output: int, name: str = "") -> Any:
    """The loss that belongs to one output of a compiled model, or None where that is not known."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        return loss.get(name)
    if isinstance(loss, (list, tuple)):
        return loss[output] if output < len(loss) else None
    return loss


def holds_classes(loss: Any) -> bool:
    """Whether a loss is one of classes."""
    return any(part in loss_name(loss) for part in (*_MULTI_CLASS, *_BINARY))


def _from_logits(loss: Any) -> bool:
    options = getattr(loss, "_fn_kwargs", None) or {}
    return bool(getattr(loss, "from_logits", options.get("from_logits", False)))


def _is_distribution(scores: np.ndarray) -> bool:
    return bool(np.all(scores >= -1e-4) and np.allclose(scores.sum(axis=1), 1.0, atol=1e-2))

