"""What can be chosen about how a result is written."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PLAIN", "Saving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """How a file is written.

    Attributes
    ----------
    overwrite : bool
        Whether an existing file may be replaced. What is being read never is.
    pyramid : bool
        Whether an OME-TIFF holds smaller copies of its planes, for viewers; an OME-Zarr always does.
    sidecar : bool
        Whether the record is also written beside the file; see `io.record.sidecar`.
    """

    overwrite: bool = False
    pyramid: bool = False
    sidecar: bool = False


PLAIN = Saving()
"""As if nothing was chosen."""
