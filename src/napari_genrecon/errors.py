"""Define the errors that this package raises, as a tree.

::

    GenReconError
    ├── OptionError(ValueError)        an option cannot work
    ├── ImageError(ValueError)         shape, axes or dtype do not fit
    ├── UnknownModelError(LookupError) no such model for this task
    ├── WeightsError(OSError)          weights missing, damaged or not safe to load
    ├── OutputError(OSError)           the result cannot be written
    │   └── ExistsError(FileExistsError)   something has its name already
    ├── MissingPackageError(ImportError) an optional package is not installed or cannot be loaded
    └── InferenceError                 the model failed while running
        └── OutOfMemoryError(MemoryError)  it did not fit into the memory

Each also derives from the builtin that a caller would expect. None derives from ``RuntimeError``, which Qt worker
classes swallow.
"""

from __future__ import annotations

__all__ = [
    "ExistsError",
    "GenReconError",
    "GenReconWarning",
    "ImageError",
    "InferenceError",
    "MissingPackageError",
    "OptionError",
    "OutOfMemoryError",
    "OutputError",
    "UnknownModelError",
    "WeightsError",
]

MOST_LISTED = 20
"""Things that are listed in one message: more would not fit on a screen."""


class GenReconError(Exception):
    """Base class of every error this package raises on purpose."""

    def __str__(self) -> str:
        # OSError and KeyError would add numbers and quotes to the sentence.
        return str(self.args[0]) if self.args else type(self).__name__


class OptionError(GenReconError, ValueError):
    """An option has a value that cannot work."""


class ImageError(GenReconError, ValueError):
    """The shape, the axes or the dtype of an image do not fit."""


class UnknownModelError(GenReconError, LookupError):
    """There is no model of this name for this task."""


class WeightsError(GenReconError, OSError):
    """A weight file is missing, damaged, or not safe to load."""


class OutputError(GenReconError, OSError):
    """A result cannot be written where it was asked for."""


class ExistsError(OutputError, FileExistsError):
    """Something has the name of a result already, and may not be replaced."""


class MissingPackageError(GenReconError, ImportError):
    """A package that this needs is not installed, or its libraries cannot be loaded."""


class InferenceError(GenReconError):
    """A model failed while running."""


class OutOfMemoryError(InferenceError, MemoryError):
    """A model did not fit into the memory of its device; a smaller tile may."""


class GenReconWarning(UserWarning):
    """Something the user should know about a result that was made all the same."""
