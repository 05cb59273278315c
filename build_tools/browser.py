"""Prints the path of a Chromium that starts; installs Debian's where there is none.

Looks at FEATWATCH_CHROMIUM, then on the PATH, then asks apt-get.  What cannot be set up is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "install chromium or google-chrome, or set FEATWATCH_CHROMIUM to the path of one"


class NoBrowser(RuntimeError):
    """There is no browser to test with; the message says what to do."""


def find_or_install() -> str:
    """The path of a browser that starts.  Raises `NoBrowser`."""
    if chosen := os.environ.get("FEATWATCH_CHROMIUM"):
        if starts(chosen):
            return chosen
        raise NoBrowser(f"FEATWATCH_CHROMIUM={chosen!r} does not start (`{chosen} --version` fails); correct or unset it")
    if found := on_path():
        return found
    install_with_apt()
    if found := on_path():
        return found
    raise NoBrowser(f"apt-get installed chromium, but it does not start; {INSTALL}")


def on_path(which: Callable[[str], str | None] = shutil.which) -> str | None:
    """The first browser on the PATH that starts: Ubuntu's `chromium-browser` may be a note that asks for a snap."""
    return next((path for name in NAMES if (path := which(name)) and starts(path)), None)


def starts(program: str) -> bool:
    """Whether `program --version` ends well within half a minute."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, timeout=30, stdin=subprocess.DEVNULL).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def install_with_apt() -> None:
    """Installs Debian's chromium.  Raises `NoBrowser` where that is not possible."""
    if not shutil.which("apt-get"):
        raise NoBrowser(f"no browser found, and no apt-get to install one: {INSTALL}")
    if os.geteuid() == 0:
        prefix: list[str] = []
    elif shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        prefix = ["sudo", "-n"]
    else:
        raise NoBrowser(f"no browser found, and neither root nor passwordless sudo to install one: {INSTALL}")
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        line = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", *command]
        # Standard output is kept for the path.
        if subprocess.run(line, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode:
            raise NoBrowser(f"`{' '.join(line)}` failed; {INSTALL}")


if __name__ == "__main__":
    try:
        print(find_or_install())
    except NoBrowser as error:
        sys.exit(f"error: {error}")
