"""What every run of the tests shares: compiled code that is kept, the order of the files, and what each test starts from."""

from __future__ import annotations

import hashlib
import os
import runpy
import sys
from pathlib import Path

import pytest

# What is kept goes by the sources: numba itself would not see that a function in another file has changed.
_SOURCES = sorted((Path(__file__).parent.parent / "featwatch" / "analysis").rglob("*.py"))
_DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()[:12]
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / f"numba-{_DIGEST}"))

_COMPILED_ONCE = str(Path(__file__).parent / "compiled_once")
if _COMPILED_ONCE not in os.environ.get("PYTHONPATH", "").split(os.pathsep):        # processes that are started have it from here
    runpy.run_path(str(Path(_COMPILED_ONCE) / "sitecustomize.py"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), _COMPILED_ONCE]))
if _COMPILED_ONCE not in sys.path:          # some tests give it to what they start
    sys.path.append(_COMPILED_ONCE)

# By the seconds that they take.  In the order of their names, or in xdist's, which goes by the number of tests, one process has
# nothing left to do for minutes at the end; the Makefile has xdist keep this one.
LONGEST = (
    "test_readme", "test_page", "test_prune_surgery_optimisers", "test_killed", "test_models",
    "test_receptive_field_applications", "test_conformance", "test_prune_applications", "test_watch_failures", "test_demo",
    "test_prune_surgery_fit", "test_training_untouched", "test_recorders", "test_maximising", "test_page_samples",
    "test_attributions_recorder", "test_receptive_field_measured", "test_autoprune", "test_page_gallery",
    "test_page_features", "test_page_filters", "test_ascent", "test_watch", "test_feature_images",
    "test_prune_surgery_surroundings", "test_class_activation", "test_analysis_neighbours", "test_saliency",
    "test_prune_surgery_kinds", "test_packaging", "test_plugin_tensorboard", "test_cluster_images", "test_analysis_layout",
    "test_page_separation", "test_page_prune", "test_filter_similarity", "test_health_models", "test_arrangement",
    "test_background", "test_watch_resized",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Every test draws the same random numbers, before its fixtures too, whatever was run before it.

    Otherwise a test that does not seed has the numbers that the last one that did has left: others in another order of files.
    """
    if (keras := sys.modules.get("keras")) is not None:
        keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def numbered_from_the_start() -> None:
    """Names that Keras numbers, as "softmax_4", do not tell which files were run before."""
    if "keras" in sys.modules:
        from keras.src.utils.naming import reset_uids

        reset_uids()
