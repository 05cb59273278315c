"""What a probe can be made of beside one array: several inputs, data sets of TensorFlow, generators."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from featwatch import Probe
from featwatch.structures import filled, leaves, mapped


def numbered(samples: int, *shape: int) -> np.ndarray:
    """(samples, …): every value is its sample's number."""
    return np.broadcast_to(np.arange(samples, dtype=np.float32).reshape(-1, *[1] * len(shape)), (samples, *shape)).copy()


class Pair(NamedTuple):
    left: Any
    right: Any


# Several inputs


def nested() -> dict[str, Any]:
    return {
        "picture": numbered(30, 4, 4, 1),
        "more": (numbered(30, 3), {"age": np.arange(30), "word": np.array([f"w{i}" for i in range(30)])}),
        "pair": Pair(numbered(30, 2).astype(np.float16), np.arange(30) % 2 == 0),
    }


def test_the_structure_of_several_inputs_is_kept() -> None:
    kept = Probe(nested(), np.arange(30) % 3, size=9, batch_size=4)
    assert list(kept.x) == ["picture", "more", "pair"] and isinstance(kept.x["more"], tuple) and isinstance(kept.x["pair"], Pair)
    assert np.array_equal(kept.x["picture"][:, 0, 0, 0], kept.indices) and np.array_equal(kept.x["more"][1]["age"], kept.indices)
    assert kept.x["more"][1]["word"].tolist() == [f"w{i}" for i in kept.indices]
    assert str(kept.spec["picture"]) == "(4, 4, 1) float32" and kept.spec["pair"].right.dtype == "bool"
    assert kept.spec["more"][1]["word"].dtype == "string" and kept.spec["more"][1]["word"].shape == ()
    assert "'picture': (4, 4, 1) float32" in repr(kept)


def test_batches_of_several_inputs_are_filled_up_together() -> None:
    kept = Probe(nested(), size=9, batch_size=4)
    batches = list(kept.batches())
    assert [count for _, count in batches] == [4, 4, 1]
    for batch, _ in batches:
        assert all(len(array) == 4 for _, array in leaves(batch))
    assert batches[2][0]["more"][1]["age"].tolist() == [kept.indices[-1]] * 4


def test_keras_sees_the_same_structure() -> None:
    import keras

    structure = {"b": (1, {"d": 2, "c": 3}), "a": Pair(4, 5)}
    assert mapped(str, structure) == keras.tree.map_structure(str, structure)
    assert sorted(leaf for _, leaf in leaves(structure)) == sorted(keras.tree.flatten(structure))
    assert filled(structure, [leaf for _, leaf in leaves(structure)]) == structure
    paths = ["x['b'][0]", "x['b'][1]['d']", "x['b'][1]['c']", "x['a'][0]", "x['a'][1]"]
    assert [path for path, _ in leaves(structure, "x")] == paths


def test_inputs_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x\['b'\] holds 5 samples and x\['a'\] 6"):
        Probe({"a": np.zeros((6, 2)), "b": np.zeros((5, 2))})
    with pytest.raises(ValueError, match=r"x\['b'\]\[0\] holds 1 value that is NaN.*first at \[1\]"):
        Probe({"a": np.zeros((2, 2)), "b": (np.array([0, np.nan]),)})
    with pytest.raises(TypeError, match=r"x\[1\] is a int"):
        Probe((np.zeros((2, 2)), 3))
    with pytest.raises(ValueError, match="x={} is empty"):
        Probe({})


def test_a_list_of_arrays_is_what_it_can_only_be() -> None:
    wide, narrow = numbered(6, 3), numbered(6, 2)
    assert [array.shape for array in Probe([wide, narrow]).x] == [(6, 3), (6, 2)]
    assert Probe(list(wide), np.zeros(6, int)).x.shape == (6, 3)                   # six labels: six samples
    assert [array.shape for array in Probe([wide, wide], np.zeros(6, int)).x] == [(6, 3), (6, 3)]
    assert [array.shape for array in Probe({"a": [wide, narrow]}).x["a"]] == [(6, 3), (6, 2)]
    with pytest.raises(ValueError, match=r"samples, or the inputs.*np.stack\(x\) for samples, tuple\(x\) for inputs"):
        Probe([wide, wide])
    with pytest.raises(ValueError, match="must have one shape"):
        Probe([wide, numbered(5, 3)])


def test_text_is_kept_as_it_is() -> None:
    kept = Probe(np.array(["a", "bb", "ccc"]), [0, 1, 0])
    assert kept.x.tolist() == ["a", "bb", "ccc"] and kept.spec.dtype == "string"
    assert kept.record(0).thumbnail_note == "the samples are text" and not kept.record(0).thumbnails
    bytes_kept = Probe(np.array([b"\xff\x00", b"x"], object)).x
    assert bytes_kept.tolist() == [b"\xff\x00", b"x"]
