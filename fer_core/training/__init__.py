"""Makes the expression models: data, architectures, training and evaluation.

Nothing here runs on a recording; ``classify`` uses the weights that come out of here.
"""

import importlib
import os

from fer_core.classify import silent_stderr
from fer_core.errors import EnvironmentProblem, in_short


def import_keras() -> None:
    """Import Keras without what its backend says of processor and drivers while it starts.

    Raises:
        EnvironmentProblem: the backend that Keras is set to is none, or not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with silent_stderr():
            importlib.import_module("keras")
    except (ImportError, ValueError) as error:
        raise EnvironmentProblem(
            f"Keras does not start: {in_short(error)}.",
            hint="Choose a backend that is installed: KERAS_BACKEND=tensorflow, jax or torch.",
        ) from error
