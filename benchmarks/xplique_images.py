"""xplique's feature images of a saved model; run by the interpreter of an environment in which xplique is installed.

    python benchmarks/xplique_images.py FOLDER

FOLDER holds model.keras and asked.json, and gets images.npz: images, and the CPU seconds that they took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
from xplique.features_visualizations import Objective, optimize


def main(folder: Path) -> int:
    asked = json.loads((folder / "asked.json").read_text())
    model = keras.models.load_model(folder / "model.keras", compile=False)
    low, high = asked["limits"]
    began = time.process_time()
    images = []
    for number in asked["filters"]:
        objective = Objective.channel(model, asked["layer"], number)
        made, _ = optimize(objective, nb_steps=asked["steps"], values_range=(low, high), custom_shape=None)
        images.append(np.asarray(made[-1] if isinstance(made, (list, tuple)) else made)[-1])
    np.savez(folder / "images.npz", images=np.stack(images), seconds=time.process_time() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
