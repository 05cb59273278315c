"""Machine code of numba's functions that is kept beside their sources: each process of the tests would compile 12 s of it anew.

Python imports a module of this name as it starts, in whatever process has this folder on its PYTHONPATH: the analysis worker
and scripts of tests, too.  What is run is the same code; numba keeps it by a hash of the source, the types and the processor.
FEATWATCH_COMPILE_ANEW=1 turns it off, for tests of how long compiling takes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_MODULE = "numba.core.dispatcher"
_KEPT = ("featwatch", "umap", "pynndescent")
_NEVER = ("nn_descent", "nn_descent_internal")      # have constants that numba cannot keep, and says so each time


class _Keeping(Loader):
    """Loads numba's dispatcher, and has those of some packages look for machine code that was kept."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        made = module.Dispatcher.__init__

        def make(self: Any, py_func: Any, *arguments: Any, **options: Any) -> None:
            made(self, py_func, *arguments, **options)
            if py_func.__module__.partition(".")[0] in _KEPT and py_func.__name__ not in _NEVER:
                with contextlib.suppress(RuntimeError):         # there is no folder to keep it in
                    self.enable_caching()

        module.Dispatcher.__init__ = make


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Keeping(spec.loader)
        return spec


if not os.environ.get("FEATWATCH_COMPILE_ANEW") and _MODULE not in sys.modules:
    sys.meta_path.insert(0, _Finder())
