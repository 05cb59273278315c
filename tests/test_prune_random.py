"""Pruned is masked (G1), and equals the whole where units are dead (G2), on random nets."""

from __future__ import annotations

import keras
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featwatch.prune.anatomy import Anatomy
from featwatch.prune.rebuild import rebuilt
from tests.prune_nets import inputs_of
from tests.prune_random import HEADS, STEPS, random_net
from tests.pruning_truth import apart, drawn, masked

DRAWS = st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 2), st.integers(0, 5)), min_size=2, max_size=6)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=DRAWS, head=st.integers(0, len(HEADS) - 1), outputs=st.integers(1, 2), share=st.sampled_from([0.2, 0.5, 0.8]))
def test_pruned_is_masked_on_random_nets(steps: list[tuple[int, int, int]], head: int, outputs: int, share: float) -> None:
    model = random_net(steps, head, outputs)
    anatomy = Anatomy(model)
    inputs = inputs_of(model)
    groups = drawn(anatomy, share, seed=head)
    expected = masked(model, anatomy, groups, inputs)
    small = rebuilt(anatomy, groups)
    assert apart(keras.tree.flatten(small(inputs, training=False)), expected) < 1e-5
