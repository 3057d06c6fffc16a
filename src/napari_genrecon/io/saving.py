"""Options of writing a result."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PLAIN", "Saving"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Options of writing a file.

    Attributes
    ----------
    overwrite : bool
        Whether an existing file may be replaced. A file that is being read never is.
    pyramid : bool
        Whether an OME-TIFF holds smaller copies of its planes, for viewers; an OME-Zarr always does.
    sidecar : bool
        Whether to write the record beside the file, too; see `io.record.sidecar`.
    """

    overwrite: bool = False
    pyramid: bool = False
    sidecar: bool = False


PLAIN = Saving()
"""The default options."""
