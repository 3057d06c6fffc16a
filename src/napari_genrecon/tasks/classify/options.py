"""Options of `classify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from napari_genrecon.options import check_options
from napari_genrecon.tasks.shared_options import DeviceOption

__all__ = ["ClassifyOptions"]


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions:
    """Options of `classify`, with the texts of the form and of the flags."""

    size: Annotated[
        int | None,
        {
            "min": 8,
            "tooltip": "Side in pixels of the crop around each object; empty takes a third more than nearly all "
            "labelled objects, and 64 around points",
        },
    ] = None
    network: Annotated[
        bool,
        {
            "label": "train a network, too",
            "tooltip": "Also train a small network on the pictures of your labelled objects, which takes a minute or "
            "more; it is kept only where it helps with objects that it has not seen. Needs ten labels of each class",
        },
    ] = False
    seed: Annotated[int, {"min": 0, "tooltip": "Seed of the split for cross-validation"}] = 0
    device: DeviceOption = "auto"

    def __post_init__(self) -> None:
        check_options(self)
