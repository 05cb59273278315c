"""The built page, by names that were found in its directory: nothing in a request becomes part of a path."""

from __future__ import annotations

from pathlib import Path

DIRECTORY = Path(__file__).parent / "static"
CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css", ".map": "application/json"}

# Shown where the page was not built, as in a fresh checkout that was not installed.
NOT_BUILT = """\
export function render() {
  document.body.style.cssText = "font: 13px system-ui, sans-serif; margin: 48px; max-width: 60ch";
  const text = document.createElement("p");
  text.textContent = "The Featwatch page has not been built. Install the package (pip install -e .) and restart TensorBoard.";
  document.body.append(text);
}
"""


def static_file(name: str) -> tuple[bytes, str] | None:
    """Content and content type of a file of the page, or None where there is no such file."""
    files = {path.relative_to(DIRECTORY).as_posix(): path for path in DIRECTORY.rglob("*") if path.suffix in CONTENT_TYPES}
    path = files.get(name)
    if path is not None and path.is_file():
        return path.read_bytes(), CONTENT_TYPES[path.suffix]
    return (NOT_BUILT.encode(), CONTENT_TYPES[".js"]) if name == "index.js" else None
