"""Everything private of Keras that surgery touches, and the versions for which that is known to be right.

Keras has no public way to give a variable another shape.  What is used instead is written here and nowhere else, so that
one look at this file tells what a new Keras has to be tested for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src import backend
from keras.src.models.functional import operation_fn
from keras.src.ops.symbolic_arguments import SymbolicArguments
from keras.src.saving import serialization_lib
from tensorflow.python.ops.resource_variable_ops import ResourceVariable

from featwatch.prune.surgery.unsupported import Unsupported

TESTED = (3, 13), (3, 16)               # from this one on, below that one
FUNCTIONS = ("train_function", "test_function", "predict_function")

Stored = tuple[Any, Any, int]           # of a variable: TensorFlow's own, its shape, how many axes


def check_keras(version: str = keras.__version__) -> None:
    """Raise `Unsupported` with a Keras that has not been tested."""
    number = tuple(int(part) for part in version.split(".")[:2])
    if not TESTED[0] <= number < TESTED[1]:
        known = " to below ".join(".".join(map(str, each)) for each in TESTED)
        raise Unsupported(
            f"Keras {version}: making a model smaller in place is tested with Keras {known}, because it needs private parts of "
            "it; plan.apply(model) makes a new model with any Keras"
        )


# -- variables --------------------------------------------------------------------------------------------------------


def stored(variable: Any) -> Stored:
    """What a variable holds."""
    return variable._value, variable._shape, variable._ndim


def store(variable: Any, held: Stored) -> None:
    """Make a variable hold what it held."""
    variable._value, variable._shape, variable._ndim = held


def put(variable: Any, value: Any) -> None:
    """Give a variable a value of another shape, on the devices on which it is."""
    old = variable._value
    spread = isinstance(old, tf.distribute.DistributedValues)
    with old.distribute_strategy.scope() if spread else tf.device(old.device):
        if type(old) is ResourceVariable:
            variable._value = _one_like(old, value)
        else:
            variable._initialize(value)
    variable._shape, variable._ndim = tuple(value.shape), len(value.shape)


def _one_like(old: Any, value: Any) -> Any:
    """TensorFlow's own variable with this value, and else as another one is.

    TensorFlow makes a kernel for each pair of a name and a shape that it sees, and keeps it until the process ends: that is
    most of what a new variable takes.  So all are made under one name, and are given their own afterwards.
    """
    new = tf.Variable(
        value, dtype=old.dtype, trainable=old.trainable, name="resized", aggregation=old.aggregation,
        synchronization=old.synchronization,
    )  # fmt: skip
    new._handle_name = new.handle._name = old._handle_name
    return new


# -- optimisers -------------------------------------------------------------------------------------------------------


def parts_of(optimizer: Any) -> Iterator[Any]:
    """An optimiser and those inside it."""
    yield optimizer
    for inner in (getattr(optimizer, "inner_optimizer", None), *getattr(optimizer, "_inner_optimizers", ())):
        if inner is not None:
            yield from parts_of(inner)


def trained_by(optimizer: Any) -> list[Any]:
    """The variables that an optimiser was built for, in its order; none before it is built."""
    return list(optimizer._trainable_variables)


def own_variables(optimizer: Any) -> list[Any]:
    """What an optimiser itself remembers, without what those inside it do."""
    held = [optimizer._variables, *(value for value in vars(optimizer).values() if isinstance(value, (list, tuple)))]
    return list({id(each): each for part in held for each in part if isinstance(each, backend.Variable)}.values())


def state_of(optimizer: Any) -> list[Any]:
    """All that an optimiser and those inside it remember, step and learning rate included."""
    parts = list(parts_of(optimizer))
    alone = [value for part in parts for value in vars(part).values() if isinstance(value, backend.Variable)]
    trained = {id(each) for part in parts for each in trained_by(part)}
    return [each for each in (*alone, *(one for part in parts for one in own_variables(part))) if id(each) not in trained]


def key_of(optimizer: Any, variable: Any) -> Any:
    """Under what an optimiser remembers what it knows of a variable: that changes with the variable's shape."""
    return optimizer._var_key(variable)


# -- layers and graphs ------------------------------------------------------------------------------------------------

SYMBOLIC_SHAPE = "_shape"               # of a tensor of the graph
INPUT_SHAPE = "_batch_shape"            # of an input layer
INPUT_SPEC = "_input_spec"
BUILT_FOR = "_build_shapes_dict"


BUILT_INPUT_SHAPE = "_build_input_shape"        # of layers that say it in a way of their own
ARGUMENTS = "arguments"                 # of a node
SAID = "_auto_config"                   # what an operation was made with, as it will say when it is saved


def said_anew(operation: Any, options: Mapping[str, Any]) -> Any:
    """What an operation says it was made with, with these options; None where it does not keep that, or nothing changes."""
    said = vars(operation).get(SAID)
    if said is None or not options or all(said.config.get(name, options[name]) == options[name] for name in options):
        return None
    new = copy.copy(said)
    new.config = {**said.config, **serialization_lib.serialize_dict(dict(options))}
    return new


def arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The arguments of a call in the graph."""
    return SymbolicArguments(*args, **kwargs)


def unconnected(value: Any) -> Any:
    """A tensor of a graph like this one, in no graph; anything else as it is."""
    return keras.KerasTensor(value.shape, value.dtype) if isinstance(value, keras.KerasTensor) else value


def calling(operation: Any, training: bool) -> Any:
    """The operation as the graph calls it."""
    return operation_fn(operation, training=training)


def masked_like(tensor: Any, other: Any) -> Any:
    """The tensor with the other's mask of time steps."""
    mask = backend.get_keras_mask(other)
    if mask is not None:
        backend.set_keras_mask(tensor, mask)
    return tensor


# -- compiled functions -----------------------------------------------------------------------------------------------


def drop_functions(model: Any) -> None:
    """Let a model build its compiled functions again; one that is training looks for its own at every step."""
    training = getattr(model, "train_function", None) is not None
    for name in FUNCTIONS:
        if getattr(model, name, None) is not None:
            model._delete_tracking(name)        # TensorFlow would keep the old one, and the old variables with it
            setattr(model, name, None)
    if training:
        model.make_train_function(force=True)


def drop_all_functions(models: Sequence[Any]) -> None:
    """The same for several models."""
    for model in models:
        drop_functions(model)
