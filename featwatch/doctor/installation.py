"""What is installed, and whether featwatch was tested with it."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from featwatch import __version__
from featwatch.doctor.checks import Check, broken, fine, notable


@dataclass(frozen=True)
class Package:
    """A package that featwatch uses."""

    name: str
    least: str                          # version that it needs
    tested: str                         # newest version that it was tested with
    also: tuple[str, ...] = ()          # other distributions of the same package
    needed_for: str = ""                # of an optional one: what it is good for


PACKAGES = (
    Package("tensorflow", "2.21", "2.21", also=("tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly")),
    Package("keras", "3.12", "3.15", also=("keras-nightly",)),
    Package("tensorboard", "2.21", "2.21", also=("tb-nightly",)),
    Package("numpy", "2.0", "2.4"),
    Package("scipy", "1.14", "1.17"),
    Package("scikit-learn", "1.6", "1.9"),
    Package("umap-learn", "0.5.9", "0.5.12"),
    Package("loky", "3.5", "3.7"),
    Package("pillow", "11.0", "13.0"),
    Package("tqdm", "4.66", "4.70"),
    Package("pandas", "2.2", "3.0", needed_for="run.to_frame"),
)
PYTHONS = ((3, 11), (3, 13))            # oldest and newest that are supported


def installation() -> Iterator[Check]:
    """Python, featwatch, and every package that it needs, by their metadata: nothing is imported."""
    yield _python(sys.version_info[:2])
    installed = _version("featwatch")
    if installed in (__version__, None):
        yield fine(f"featwatch {__version__}")
    else:
        found = f"featwatch {__version__} ({Path(__file__).parent.parent}), while {installed} is installed"
        yield notable(found, "Two copies are in reach; keep one: pip install --force-reinstall featwatch")
    for package in PACKAGES:
        yield check_package(package)


def check_package(package: Package) -> Check:
    """Whether a package is there, and new enough."""
    found = [(name, version) for name in (package.name, *package.also) if (version := _version(name)) is not None]
    wanted = f"{package.name}>={package.least}"
    if not found and package.needed_for:
        return fine(f"{package.name} is not installed; only {package.needed_for} needs it")
    if not found:
        return broken(f"{package.name} is not installed", f"pip install '{wanted}'")
    name, version = found[0]
    if len(found) > 1:
        all_of_them = ", ".join(f"{one} {its}" for one, its in found)
        extra = " ".join(one for one, _ in found[1:])
        cure = f"pip uninstall {extra}, then pip install --force-reinstall {package.name}"
        return notable(f"{all_of_them} are installed over each other", cure)
    if numbers(version) < numbers(package.least):
        return broken(f"{name} {version} is too old: featwatch needs {package.least}", f"pip install -U '{wanted}'")
    newer = numbers(version)[:2] > numbers(package.tested)[:2]
    return fine(f"{name} {version}" + (f" (newer than {package.tested}, the newest that was tested)" if newer else ""))


def numbers(version: str) -> tuple[int, ...]:
    """The release of a version: (2, 21, 0) of "2.21.0rc1+local"; () of what is none."""
    match = re.match(r"\s*v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _python(version: tuple[int, ...]) -> Check:
    text = f"Python {platform.python_version()} ({sys.executable})"
    oldest, newest = (".".join(map(str, one)) for one in PYTHONS)
    if version < PYTHONS[0]:
        return broken(f"{text} is too old", f"Use Python {oldest} to {newest}.")
    return fine(text + (f" (newer than {newest}, the newest that was tested)" if version > PYTHONS[1] else ""))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except Exception:       # not there, or its metadata is damaged: without a version it is as good as absent
        return None
