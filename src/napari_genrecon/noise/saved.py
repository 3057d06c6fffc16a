"""Read a noise report that was saved as JSON."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

from ..errors import OptionError
from .model import NoiseModel

__all__ = ["read_noise"]


def read_noise(path: str | PathLike[str]) -> NoiseModel | tuple[NoiseModel, ...]:
    """Read a noise report, such as ``genrecon noise --json`` prints.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    NoiseModel, or tuple of NoiseModel
        One, or one per channel.

    Raises
    ------
    OptionError
        If there is no such file, or it holds no noise report.
    """
    try:
        found = json.loads(Path(path).read_bytes())  # bytes: PowerShell redirects UTF-16
    except FileNotFoundError:
        raise OptionError(f"there is no noise report {path}: 'genrecon noise --json' writes one") from None
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} is no noise report that 'genrecon noise --json' wrote ({error})") from error
    if isinstance(found, dict) and "noise" in found:  # a line of several images: {"image": ..., "noise": ...}
        found = found["noise"]
    if not isinstance(found, dict | list) or not found:
        raise OptionError(f"{path} holds no noise report: write one with 'genrecon noise --json'")
    try:
        return tuple(map(NoiseModel.from_dict, found)) if isinstance(found, list) else NoiseModel.from_dict(found)
    except (TypeError, AttributeError, ValueError) as error:  # OptionError is a ValueError
        raise OptionError(f"{path} holds no noise report that 'genrecon noise --json' wrote: {error}") from error
