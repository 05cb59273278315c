"""What a package shows at its door without loading it before it is asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def door(
    package: str, public: Mapping[str, str], packages: Collection[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package (PEP 562) whose public names are loaded when they are first used.

    Arguments:
        package: its name.
        public: name -> the module that has it.
        packages: sub-packages that are named through the door, too.
    """

    def get(name: str) -> Any:
        if name in public:
            value = getattr(importlib.import_module(public[name]), name)
            setattr(sys.modules[package], name, value)
            return value
        if name in packages:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def listed() -> list[str]:
        return sorted(sys.modules[package].__all__)

    return get, listed
