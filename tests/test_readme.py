"""What the README says is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import featwatch as fw
from tests.nets import compiled, images, layers

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readmes_python_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    import keras

    x, y = images(120)
    block = keras.Sequential([keras.Input((4, 4, 4)), layers.Conv2D(4, 3, activation="relu", name="inner")], name="block")
    stack = [layers.Conv2D(4, 3, activation="relu", name=f"conv{i}") for i in (1, 2)]
    stack += [block, layers.Conv2D(4, 2, name="conv3"), layers.Flatten(), layers.Dense(3, activation="softmax")]
    model = compiled(keras.Sequential([keras.Input((8, 8, 1)), *stack]))
    names = {"model": model, "x": x, "y": y, "x_val": x[:40], "y_val": y[:40], "names": ["a", "b", "c"]}
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 7
    # Images of every layer at every turn: how many fit into two seconds depends on the machine.
    monkeypatch.setattr(fw.FeatureImages.__init__, "__defaults__", (None, 2, "fourier", "patches", None))
    for code in blocks:
        epochs = 4 if "AutoPrune" in code else 12
        exec(compile(code.replace("epochs=30", f"epochs={epochs}, verbose=0"), "README.md", "exec"), names)
    assert names["run"].epochs == list(range(13))


def test_the_pictures_are_there() -> None:
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).stat().st_size < 500_000, path


def test_everything_that_is_public_is_there_and_documented() -> None:
    for name in fw.__all__:
        assert name == "__version__" or getattr(fw, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fw.nothing  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(("example", "last"), [("digits", "scores ["), ("subclassed", "scores 0.")])
def test_an_example_runs(tmp_path: Path, example: str, last: str) -> None:
    shorter = (ROOT / "examples" / f"{example}.py").read_text(encoding="utf-8").replace("epochs=10", "epochs=3")
    script = tmp_path / "example.py"
    script.write_text(shorter, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].startswith(last)
