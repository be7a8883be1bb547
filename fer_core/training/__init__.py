"""Makes the expression models: data, architectures, training and evaluation.

Nothing here runs on a recording; ``classify`` uses the weights that come out of here.
"""

import importlib
import os

from fer_core.classify import silent_stderr


def import_keras() -> None:
    """Import Keras without what its backend says of processor and drivers while it starts."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent_stderr():
        importlib.import_module("keras")
