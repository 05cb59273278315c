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
    if options.command == "prune":
        return _prune(options)
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
    _add_prune(commands)
    return parser


def _add_prune(commands: Any) -> None:
    prune = commands.add_parser(
        "prune",
        help="remove filters from a saved model",
        description="Removes filters and units from a saved model, with all that belongs to them, and saves the smaller one. "
        "What goes is said by a plan, by a share of all units, or by the alerts of a training's log.",
        epilog="The plan that featwatch.prune.plan(…).save('plan.json') or --save-plan writes may be edited by hand. With "
        "--probe, a file as of the command snapshot, what stays makes up for what goes as far as it can, and outputs are "
        "compared.",
    )
    prune.add_argument("model", metavar="MODEL", help="the saved model: a file, as model.save('model.keras') writes it")
    prune.add_argument("-o", "--output", metavar="FILE", help="where the smaller model goes: a file that ends in .keras")
    what = prune.add_argument_group("what goes")
    what.add_argument("--plan", metavar="JSON", help="exactly what this plan says")
    what.add_argument("--logdir", "--log-dir", metavar="DIR", help="what the open alerts of the training logged there name")
    what.add_argument("--ratio", type=_share, metavar="R", help="this share of all units, 0 to 1; of what alerts name, at most")
    what.add_argument(
        "--criterion", default="l2", choices=("l2", "activity", "redundancy", "taylor", "random"),
        help="which units go first (default: %(default)s); activity, redundancy and taylor need --probe",
    )  # fmt: skip
    what.add_argument("--per-layer", action="store_true", help="the same share of each layer")
    what.add_argument(
        "--round-to", type=_positive, default=1, metavar="N", help="layers keep multiples of N units; of 8 they are often faster"
    )
    what.add_argument("--ignore", nargs="+", default=(), metavar="NAME", help="layers that stay as they are: names, or 'conv*'")
    prune.add_argument("--probe", metavar="NPZ", help="samples: a .npz file with x and y")
    prune.add_argument("--no-compensate", action="store_true", help="with --probe: only compare, make up for nothing")
    prune.add_argument("--save-plan", metavar="JSON", help="write the plan, too")
    prune.add_argument("--dry-run", action="store_true", help="say what would go and what that saves, and change nothing")


def _prune(options: argparse.Namespace) -> int:
    try:
        ways = [options.plan is not None, options.logdir is not None or options.ratio is not None]
        if sum(ways) != 1:
            either = "give either --plan or --ratio or --logdir" if sum(ways) else "say what goes: --plan, --ratio or --logdir"
            raise ValueError(either)
        probe = _probe(options.probe) if options.probe else None
        from featwatch.prune.command import prune
        from featwatch.reader import load

        alerts = load(options.logdir) if options.logdir else None
        print(prune(options, probe, alerts))
    except KeyboardInterrupt:
        return 130
    except Exception as error:      # a file that is none, a model that needs a custom layer, a plan that does not fit
        print(f"featwatch prune: {_said(error)}", file=sys.stderr)
        return 1
    return 0


def _snapshot(options: argparse.Namespace) -> int:
    try:
        probe = _probe(options.probe)
        import keras

        from featwatch.trained import snapshot

        model = keras.models.load_model(options.model)
        run = snapshot(model, probe, options.logdir, layers=options.layers, epoch=options.epoch)
    except KeyboardInterrupt:
        return 130
    except Exception as error:      # a file that is none, a model that needs a custom layer, a probe that does not fit
        print(f"featwatch snapshot: {_said(error)}", file=sys.stderr)
        return 1
    print(f"{len(run.layers)} layers of {options.model} recorded at epoch {options.epoch}; tensorboard --logdir {options.logdir}")
    return 0


def _said(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) if isinstance(error, (ValueError, RuntimeError)) and str(error) else in_words(error)


def _probe(path: str) -> Any:
    """The samples in a .npz file.  Raises ValueError where it is none."""
    arrays = _arrays(path)
    from featwatch.probe import Probe

    labels, names = arrays.pop("y", None), arrays.pop("class_names", None)
    x = arrays["x"] if set(arrays) == {"x"} else arrays
    return Probe(x, labels, class_names=None if names is None else [str(name) for name in names])


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


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


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
