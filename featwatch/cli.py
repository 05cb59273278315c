"""The command `featwatch`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from featwatch import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="featwatch", description="See what happens inside a Keras model while it trains.")
    parser.add_argument("--version", action="version", version=f"featwatch {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="train a small network on handwritten digits and watch it in TensorBoard",
        description="Starts TensorBoard, trains a small convolutional network on scikit-learn's digits with the watch attached, "
        "and leaves the page up until Ctrl-C.",
    )
    demo.add_argument("--log-dir", default="logs/demo", help="where to write (default: %(default)s)")
    demo.add_argument("--epochs", type=_positive, default=20, help="epochs to train (default: %(default)s)")
    demo.add_argument("--port", type=_positive, default=None, help="TensorBoard's port (default: 6006, or a free one)")
    demo.add_argument("--no-serve", action="store_true", help="end when the training has ended")
    options = parser.parse_args(arguments)

    from featwatch.demo import run  # imports TensorFlow: --help and --version need not wait for it

    return run(options.log_dir, epochs=options.epochs, port=options.port, serve=not options.no_serve)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
