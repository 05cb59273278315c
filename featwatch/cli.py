"""The command `featwatch`."""

from __future__ import annotations

import argparse
import os
import sys
import zipfile
from collections.abc import Sequence
from typing import Any

from featwatch import __version__
from featwatch.errors import in_words


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    # What a command needs is imported when it runs: --help and --version need not wait for TensorFlow.
    if options.command == "doctor":
        from featwatch.doctor import doctor

        return doctor(options.logdir)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if options.command == "snapshot":
        return _snapshot(options)
    from featwatch.demo import run

    return run(options.log_dir, epochs=options.epochs, port=options.port, serve=not options.no_serve)


def _parser() -> argparse.ArgumentParser:
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

    doctor = commands.add_parser(
        "doctor",
        help="say what is installed, what works, and why the tab may be empty",
        description="Looks at the installation, tries TensorFlow, jit, the analysis worker and the TensorBoard plugin, and says "
        "of each whether it is broken, worth knowing or fine, with the cure. With LOGDIR it also looks at the runs in it. The "
        "exit status is 1 where something is broken.",
    )
    doctor.add_argument("logdir", nargs="?", metavar="LOGDIR", help="what tensorboard --logdir is given, or Watch's log_dir")

    snapshot = commands.add_parser(
        "snapshot",
        help="record a model that is already trained",
        description="Makes the recordings that a watch would make of a model as it is now; tensorboard --logdir DIR then shows "
        "them.",
        epilog="The probe is a file of NumPy arrays, as numpy.savez('probe.npz', x=x_val, y=y_val) writes it: x are the inputs, "
        "y the labels, which may be left out, and so may class_names, a list of strings. For a model of several inputs it "
        "holds one array for each, by the name of the input, instead of x.",
    )
    snapshot.add_argument("model", metavar="MODEL", help="the saved model: a file, as model.save('model.keras') writes it")
    snapshot.add_argument("--probe", required=True, metavar="NPZ", help="the samples to look at: a .npz file with x and y")
    snapshot.add_argument("--logdir", "--log-dir", required=True, metavar="DIR", help="where to write")
    snapshot.add_argument("--layers", nargs="+", metavar="NAME", help="names, or 'conv*' (default: every conv and dense layer)")
    snapshot.add_argument("--epoch", type=_not_negative, default=0, help="epoch to show the model at (default: %(default)s)")
    return parser


def _snapshot(options: argparse.Namespace) -> int:
    try:
        arrays = _arrays(options.probe)
        import keras

        from featwatch.probe import Probe
        from featwatch.trained import snapshot

        model = keras.models.load_model(options.model)
        labels, names = arrays.pop("y", None), arrays.pop("class_names", None)
        x = arrays["x"] if set(arrays) == {"x"} else arrays
        probe = Probe(x, labels, class_names=None if names is None else [str(name) for name in names])
        run = snapshot(model, probe, options.logdir, layers=options.layers, epoch=options.epoch)
    except KeyboardInterrupt:
        return 130
    except Exception as error:      # a file that is none, a model that needs a custom layer, a probe that does not fit
        said = str(error) if isinstance(error, (ValueError, RuntimeError)) and str(error) else in_words(error)
        print(f"featwatch snapshot: {said}", file=sys.stderr)
        return 1
    print(f"{len(run.layers)} layers of {options.model} recorded at epoch {options.epoch}; tensorboard --logdir {options.logdir}")
    return 0


def _arrays(path: str) -> dict[str, Any]:
    """The arrays of a .npz file, by name.  Raises ValueError where it is none."""
    import numpy as np

    cure = "write it with numpy.savez(path, x=x_val, y=y_val)"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise ValueError(f"there is no file {path!r}") from None
    except (OSError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path!r} cannot be read as a .npz file of arrays ({in_words(error)}); {cure}") from None
    strange = [name for name, value in arrays.items() if not isinstance(value, np.ndarray)]
    if strange:         # another kind of zip file, such as a saved model
        raise ValueError(f"{path!r} holds {strange[0]!r}, which is no array; {cure}")
    if not set(arrays) - {"y", "class_names"}:
        raise ValueError(f"{path!r} holds {', '.join(arrays) or 'nothing'}, but no x; {cure}")
    return arrays


def _positive(text: str) -> int:
    return _whole(text, 1)


def _not_negative(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return number


if __name__ == "__main__":
    sys.exit(main())
