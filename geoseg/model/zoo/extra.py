"""The packages of ``geoseg[zoo]``: import them and build networks with them."""

import importlib
import re
import textwrap
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from geoseg.errors import SettingsError
from geoseg.model.zoo.architecture import Limit
from geoseg.model.zoo.torchvision_fix import prepare_torchvision

NETWORK_NAME = Limit(
    # timm would download or open a name with a source, such as hf-hub:user/network.
    "the name of an encoder of segmentation-models-pytorch or, after tu-, of timm",
    lambda value: isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.\-]{1,100}", value) is not None,
)
"""Names of encoders."""
INSTALL = "pip install 'geoseg[zoo]'"
MAX_REASON_CHARS = 300


def import_extra(module: str) -> ModuleType:
    """Import a module of ``geoseg[zoo]``.

    Raises:
        SettingsError: If its package is not installed.
    """
    prepare_torchvision()
    try:
        # A default device of the caller must not reach tensors that packages make when they are imported.
        with torch.device("cpu"), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise SettingsError(f"{module} needs the package {error.name}, which is not installed: {INSTALL}.") from error


def call_extra(builder: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call a function of such a package that builds a network.

    Raises:
        ValueError: If the function refuses its arguments.
    """
    try:
        with _ReadableNumbers():
            return builder(*arguments, **named)
    except Exception as error:  # packages raise all kinds where arguments do not fit each other
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(textwrap.shorten(reason, MAX_REASON_CHARS, placeholder=" ...").rstrip(".")) from error


class _ReadableNumbers(TorchFunctionMode):
    """Sequences of numbers are on the CPU, also where the device is ``meta``: some encoders read rates from them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return func(*args, **({**kwargs, "device": "cpu"} if func is torch.linspace else kwargs))
