"""The order in which files of tests are run: those that take longest first, so that none is left to one process at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

# By what they took; the Makefile keeps xdist from ordering files by their number of tests.
LONGEST = (
    "test_conformance", "test_watch_failures", "test_page", "test_readme", "test_prune_surgery_optimisers", "test_killed",
    "test_recorders", "test_models", "test_receptive_field_applications", "test_demo", "test_analysis_neighbours",
    "test_cluster_images", "test_prune_applications", "test_prune_surgery_fit", "test_maximising", "test_training_untouched",
    "test_page_samples", "test_attributions_recorder", "test_analysis_layout", "test_receptive_field_measured",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(Path(str(item.fspath)).stem, len(LONGEST)))
