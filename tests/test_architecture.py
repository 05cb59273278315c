"""The drawing of the house, held: imports point down only, and Keras and TensorFlow stay where they are named."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "tensorboard_plugin" / "tensorboard_plugin_featwatch"

# A module imports from the floors below its own; a package, like recorders, is one module seen from outside.
FLOORS = [  # the roof comes first
    {"cli"},
    {"demo", "doctor"},
    {"autoprune"},
    {"watch", "trained", "placing"},
    {"interrupted", "opening"},
    {"recording", "earlier"},
    {"sessions"},
    {"preparation"},
    {"passes", "agreement", "reader", "log"},
    {"tasks", "accessors", "economy"},
    {"background", "plan", "logindex", "arguments", "agenda"},
    {"worker"},
    {"recorders", "taps", "survey", "writers", "eventfiles", "alerts"},
    {"prune"},
    {"explain"},
    {"running", "folds"},
    {"analysis", "layers", "probe", "predictions", "development", "numbering", "journal", "gallery", "frames"},
    {"wire"},
    {"happenings"},
    {"sources", "graphs"},
    {"streams"},
    {"labels", "tfdata", "thumbnails"},
    {"records", "reductions", "weights", "schedule", "structures", "drawing", "pictures", "attributes", "datachain"},
    {
        "cost", "metrics", "steps", "errors", "options", "progress", "sketch", "phrases", "activations", "folding", "packing",
        "doors", "sealed",
    },  # fmt: skip
]
PLUGIN_FLOORS = [
    {"loader"},
    {"plugin"},
    {"queries"},
    {"number_store", "happened", "trails", "development"},
    {"blobs", "catalogue", "session_facts", "along"},
    {"entries", "frames", "source", "static_files"},
    {"claims"},
]

# Where less is allowed than the floors would allow.
NARROWER = {
    "alerts": {"records", "errors"},
    "analysis": {"records", "activations", "folding"},
    "recorders": {
        "analysis", "explain", "prune", "records", "schedule", "errors", "options", "sketch", "activations", "folding",
        "phrases",
    },
    "background": {"worker", "recorders", "records", "errors"},
    "worker": {"recorders", "analysis", "records", "errors"},
    "reader": {
        "accessors", "analysis", "development", "eventfiles", "frames", "happenings", "journal", "logindex", "phrases",
        "records", "wire",
    },
    "accessors": {"logindex", "wire", "records", "gallery", "numbering", "phrases"},
    "wire": {"records", "packing", "sealed"},
    "journal": {"records"},
    "gallery": {"records"},
    "happenings": {"records"},
    "frames": {"records", "happenings"},
    "development": {"wire", "records"},
    "numbering": {"records"},
}  # fmt: skip
THIRD_PARTY = {
    "alerts": {"numpy"},
    "records": {"numpy"},
    "wire": {"numpy"},
    "schedule": set(),
    "analysis": {"numpy", "scipy", "sklearn", "umap", "numba", "threadpoolctl", "pynndescent"},
    "recorders": {"numpy"},
}
FRAMEWORKS = {"tensorflow", "keras"}
KNOWS_FRAMEWORKS = {
    "agreement", "autoprune", "demo", "economy", "explain", "folds", "graphs", "layers", "plan", "prune", "recording",
    "reductions", "running", "sessions", "survey", "taps", "watch", "weights", "writers",
}  # fmt: skip
FRAMEWORKS_INSIDE_FUNCTIONS = {
    "cli",  # the command `snapshot` loads a model
    "doctor",  # they are tried in a process of their own
    "eventfiles",  # remote paths are opened with TensorFlow's file systems, imported when one comes
    "datachain",  # as is tfdata
    "tfdata",  # a data set of TensorFlow's is read with TensorFlow
}
KNOWS_HTTP = {"plugin"}


@dataclass(frozen=True)
class Import:
    """One import: of `target` (dotted), `in_function` when it does not run as its file is imported."""

    file: Path
    line: int
    target: str
    in_function: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.target}"


def imports_of(file: Path, package: str) -> list[Import]:
    """Every import in `file`, those inside functions included, `from x import y` as x.y."""
    found: list[Import] = []

    def visit(node: ast.AST, in_function: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(file, node.lineno, alias.name, in_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import; write {package}.…"
            found.extend(Import(file, node.lineno, f"{node.module}.{alias.name}", in_function) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child, in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(ast.parse(file.read_text(encoding="utf-8")), False)
    return found


def modules(folder: Path) -> dict[str, list[Import]]:
    """Module or sub-package in `folder` -> the imports in it; `__init__.py` is the door and not listed."""
    found: dict[str, list[Import]] = {}
    for file in sorted(folder.rglob("*.py")):
        name = file.relative_to(folder).parts[0].removesuffix(".py")
        if name != "__init__":
            found.setdefault(name, []).extend(imports_of(file, folder.name))
    return found


FEATWATCH_MODULES = modules(ROOT / "featwatch")
PLUGIN_MODULES = modules(PLUGIN)


def floor_of(module: str, floors: list[set[str]]) -> int:
    """How far below the roof `module` is drawn."""
    for depth, floor in enumerate(floors):
        if module in floor:
            return depth
    raise AssertionError(f"{module} is not in the drawing: put it on a floor in {Path(__file__).name}")


@pytest.mark.parametrize("module", FEATWATCH_MODULES)
def test_imports_point_down(module: str) -> None:
    floor = floor_of(module, FLOORS)
    for imported in FEATWATCH_MODULES[module]:
        package, _, rest = imported.target.partition(".")
        target = rest.partition(".")[0]
        if package != "featwatch" or target in (module, "__version__"):
            continue
        if imported.target == "featwatch":
            assert module in {"cli", "demo"}, f"{imported}: the door is for users; name the module"
            continue
        assert floor_of(target, FLOORS) > floor, f"{imported}, which is not below it"
        assert target in NARROWER.get(module, {target}), f"{imported}; it may import {sorted(NARROWER[module])} alone"


@pytest.mark.parametrize("module", FEATWATCH_MODULES)
def test_frameworks_stay_where_they_are_named(module: str) -> None:
    for imported in FEATWATCH_MODULES[module]:
        if imported.target.partition(".")[0] in FRAMEWORKS and module not in KNOWS_FRAMEWORKS:
            assert module in FRAMEWORKS_INSIDE_FUNCTIONS and imported.in_function, str(imported)


@pytest.mark.parametrize("module", sorted(THIRD_PARTY))
def test_the_pure_parts_need_little(module: str) -> None:
    for imported in FEATWATCH_MODULES[module]:
        package = imported.target.partition(".")[0]
        allowed = package in THIRD_PARTY[module] | {"featwatch", "__future__"} or package in sys.stdlib_module_names
        assert allowed, f"{imported}; {module} is to need {sorted(THIRD_PARTY[module])} alone"


def test_featwatch_does_not_know_the_plugin() -> None:
    for module, imports in FEATWATCH_MODULES.items():
        for imported in imports:
            assert module in {"cli", "demo"} or not imported.target.startswith("tensorboard_plugin_featwatch"), str(imported)


@pytest.mark.parametrize("module", PLUGIN_MODULES)
def test_the_plugin_sees_wire_and_records_alone(module: str) -> None:
    floor = floor_of(module, PLUGIN_FLOORS)
    for imported in PLUGIN_MODULES[module]:
        package, _, rest = imported.target.partition(".")
        target = rest.partition(".")[0]
        assert package not in FRAMEWORKS, str(imported)
        assert package != "werkzeug" or module in KNOWS_HTTP, f"{imported}; HTTP ends at {sorted(KNOWS_HTTP)}"
        if package == "featwatch":
            # "": the door, for its version.
            allowed = {"wire", "records", "journal", "happenings", "development", "numbering", "__version__", ""}
            assert target in allowed, str(imported)
        if package == PLUGIN.name:
            assert floor_of(target, PLUGIN_FLOORS) > floor, f"{imported}, which is not below it"


@pytest.mark.parametrize(
    "names",
    [
        ["featwatch"],
        ["featwatch.records", "featwatch.wire", "featwatch.schedule"],
        ["featwatch.reader"],
        ["featwatch.recorders", "featwatch.analysis"],
        ["featwatch.alerts", "featwatch.cli", "featwatch.doctor"],
        [f"tensorboard_plugin_featwatch.{name}" for name in sorted(PLUGIN_MODULES)],
    ],
    ids=lambda names: names[0],
)
def test_importing_brings_neither_keras_nor_tensorflow(names: list[str]) -> None:
    program = (
        "import importlib, pkgutil, sys\n"
        f"for name in {names!r}:\n"
        "    package = importlib.import_module(name)\n"
        "    if name in ('featwatch.recorders', 'featwatch.analysis'):\n"
        "        for module in pkgutil.walk_packages(package.__path__, name + '.'):\n"
        "            importlib.import_module(module.name)\n"
        f"print(sorted({FRAMEWORKS!r} & sys.modules.keys()))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60, env=environment_with_sources()
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip() == "[]"


def environment_with_sources() -> dict[str, str]:
    """The environment in which both packages are imported from this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(PLUGIN.parent)])}


def written_files() -> list[Path]:
    """What git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_source_is_longer_than_400_lines() -> None:
    sources = [file for file in written_files() if file.suffix in {".py", ".ts", ".svelte", ".css", ".js", ".mjs"}]
    lengths = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in sources}
    assert sources and not {name: length for name, length in lengths.items() if length > 400}


# Spelled so that this file does not match.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|work|home/[a-z]\w*|Users/[A-Za-z]\w*|tmp/fw|opt/pypi[\w-]*)/")
REGISTRY = re.compile(r"registry\.[a-z]+\.(?:org|com)|python[h]osted\.org|py[p]i\.(?:org|python)|np[m]js\.")


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY], ids=["machine", "registry"])
def test_no_file_names_a_machine_or_a_registry(pattern: re.Pattern[str]) -> None:
    for file in written_files():
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="ignore").splitlines(), 1):
            assert not pattern.search(line), f"{file.relative_to(ROOT)}:{number}: {line.strip()[:160]}"
