from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

from featwatch.predictions import predictions

rng = np.random.default_rng(0)
LABELS = np.array([0, 1, 2, -1], np.int32)


def test_probabilities_are_taken_as_they_are() -> None:
    scores = softmax(rng.normal(size=(4, 3)), axis=1)
    found = predictions(scores, LABELS, epoch=2)
    assert found is not None and found.epoch == 2
    np.testing.assert_array_equal(found.classes, scores.argmax(1))
    np.testing.assert_allclose(found.certainty, scores.max(1), rtol=1e-6)
    assert found.accuracy == pytest.approx(np.mean(scores.argmax(1)[:3] == LABELS[:3]))


def test_softmax_is_applied_where_the_loss_says_from_logits() -> None:
    logits = 5 * rng.normal(size=(4, 3))
    found = predictions(logits, LABELS, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), epoch=0)
    assert found is not None
    np.testing.assert_allclose(found.scores, softmax(logits, axis=1), rtol=1e-4)


@pytest.mark.parametrize("from_logits", [False, True])
def test_one_column_is_the_second_class_of_two(from_logits: bool) -> None:
    column = np.array([[-3.0], [0.5], [200.0], [-200.0]]) if from_logits else np.array([[0.1], [0.6], [1.0], [0.0]])
    positive = expit(column[:, 0]) if from_logits else column[:, 0]
    found = predictions(column, LABELS, loss=keras.losses.BinaryCrossentropy(from_logits=from_logits), epoch=0)
    assert found is not None
    np.testing.assert_array_equal(found.classes, positive > 0.5)
    np.testing.assert_allclose(found.certainty, np.maximum(positive, 1 - positive), rtol=1e-6)


@pytest.mark.parametrize(
    ("scores", "loss"),
    [
        (rng.normal(size=(4, 1)), "mse"),
        (rng.normal(size=(4, 3)), "mse"),
        (rng.normal(size=(4, 2, 2)), None),
        (np.zeros((0, 3)), None),
    ],
)
def test_what_holds_no_class_scores_gives_none(scores: np.ndarray, loss: str | None) -> None:
    assert predictions(scores, LABELS[: len(scores)], loss=loss, epoch=0) is None


def test_scores_that_are_no_probabilities_have_no_certainty() -> None:
    found = predictions(5 * rng.normal(size=(4, 3)), LABELS, loss="sparse_categorical_crossentropy", epoch=0)
    assert found is not None and np.isnan(found.certainty).all() and (found.classes >= 0).all()


def test_a_diverged_sample_is_of_no_class() -> None:
    scores = softmax(rng.normal(size=(4, 3)), axis=1)
    scores[1] = np.nan
    found = predictions(scores, LABELS, loss="sparse_categorical_crossentropy", epoch=0)
    assert found is not None and found.classes[1] == -1 and np.isnan(found.certainty[1]) and np.isfinite(found.certainty[0])


def test_without_labels_there_is_no_accuracy() -> None:
    found = predictions(softmax(rng.normal(size=(4, 3)), axis=1), np.full(4, -1, np.int32), epoch=0)
    assert found is not None and np.isnan(found.accuracy)
