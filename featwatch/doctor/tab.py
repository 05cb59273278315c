"""Whether TensorBoard will find the tab "Featwatch"."""

from __future__ import annotations

import importlib
import os
import shutil
import sysconfig
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from featwatch.doctor.checks import Check, broken, fine, notable
from featwatch.errors import in_words

GROUP, NAME = "tensorboard_plugins", "featwatch"
REINSTALL = "pip install --force-reinstall --no-deps featwatch"


def tab() -> Iterator[Check]:
    """The plugin's entry point, its page, the plugin itself, and the command `tensorboard`."""
    entries = [entry for entry in metadata.entry_points(group=GROUP) if entry.name == NAME]
    if not entries:
        yield broken("TensorBoard is not told of the tab: the plugin's entry point is not registered",
                    f"{REINSTALL}; a checkout on PYTHONPATH alone registers nothing.")  # fmt: skip
        return
    yield from plugin(entries[0])
    yield command(shutil.which("tensorboard"), sysconfig.get_path("scripts"))
    yield data_server()


def plugin(entry: metadata.EntryPoint) -> Iterator[Check]:
    """Whether what the entry point names can be imported, and has its page."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")     # of what TensorBoard imports; with -W error they would be failures
            loader = entry.load()
            package = entry.module.rpartition(".")[0]
            importlib.import_module(f"{package}.plugin")
        folder = Path(str(importlib.import_module(package).__file__)).parent
    except Exception as error:
        yield broken(f"the plugin cannot be imported ({in_words(error)})", REINSTALL)
        return
    yield fine(f"TensorBoard's plugin is registered ({loader.__module__})")
    page = folder / "static" / "index.js"
    if page.is_file() and page.stat().st_size:
        yield fine(f"its page is there ({page.stat().st_size / 1000:,.0f} kB)")
    else:
        yield broken("its page was not built: the tab stays empty", f"{REINSTALL}; in a checkout, make page")


def command(found: str | None, scripts: str) -> Check:
    """Whether `tensorboard` in a terminal, found there, is the one of this Python, whose commands are in `scripts`."""
    if found is None:
        return notable("there is no command tensorboard on the PATH", "python -m tensorboard.main --logdir LOGDIR starts it.")
    if os.path.realpath(os.path.dirname(found)) != os.path.realpath(scripts):
        return notable(f"the command tensorboard is {found}, of another Python: it may not have the tab",
                     "python -m tensorboard.main --logdir LOGDIR starts the one of this Python.")  # fmt: skip
    return fine(f"the command tensorboard is this Python's ({found})")


def data_server() -> Check:
    """By which of TensorBoard's two loaders logs will be read; the tab works with both."""
    try:
        version = metadata.version("tensorboard-data-server")
    except metadata.PackageNotFoundError:
        return fine("TensorBoard reads logs in Python; with tensorboard-data-server it would be faster")
    return fine(f"TensorBoard reads logs by its data server {version}; with --load_fast=false in Python. The tab works with both")
