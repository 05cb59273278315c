"""What cannot be done to a model in place."""


class Unsupported(ValueError):
    """This Keras, or something about this model or optimiser, is not known to work; the model is as it was."""
