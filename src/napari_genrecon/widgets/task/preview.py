"""Preview of the part of the plane on screen, before and after a task, above all other layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_genrecon.widgets.compare.split_layer import SplitLayer
from napari_genrecon.widgets.layers.snapshot import corner, finer, shows_planes, visible_region

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["PLANES_ONLY", "Preview"]

_WORDS = {
    "split": "left of the line before, right of it after; drag the line",
    "after": "as it will be",
    "before": "as it is now",
}
_OTHER_PLANE = "The preview is of another plane: press Preview to see this one."
_PART = "It covers a part of the view: press Preview to see the rest."
_OTHER_OPTIONS = "The options have changed since this preview: press Preview to see what they make."
_OTHER_PIXELS = "What this preview was made from has changed since: press Preview to see it as it is now."
PLANES_ONLY = (
    "A preview is of one plane, y by x, and is seen in 2D, without the grid: go back to that view with the buttons "
    "below the list of layers, then press Preview."
)


@dataclass(frozen=True, slots=True)
class _Shown:
    """Content of a preview.

    Attributes
    ----------
    region : tuple of slice
        Where it is in the source.
    name : str
        Name of the source when the preview was made.
    source : napari.layers.Image
        Layer that the preview is of.
    options : object
        Options that it was made with.
    edits : object
        How often what it was made from had been edited.
    """

    region: tuple[slice, ...]
    name: str
    source: Any
    options: Any
    edits: object


class Preview:
    """Temporary layer above its source.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows it.
    on_gone : callable
        Called when the layer is removed from outside: by another preview, or by hand.
    """

    def __init__(self, viewer: Viewer, on_gone: Callable[[], object] = lambda: None) -> None:
        self._viewer, self._on_gone = viewer, on_gone
        self._shown: _Shown | None = None
        self._split = SplitLayer(viewer, self._gone)
        self.set_view = self._split.set_view

    @property
    def source(self) -> Any:
        """The layer that it is of; None where there is no preview."""
        return self._shown.source if self._shown is not None else None

    @property
    def there(self) -> bool:
        """Whether it is shown."""
        return self._split.layer is not None

    def show(
        self,
        after: Any,
        before: Any,
        region: tuple[slice, ...],
        look: dict[str, Any],
        name: str,
        factors: tuple[int, ...],
        source: Image,
        options: Any,
        edits: object,
        limits: tuple[float, float],
    ) -> None:
        """Show the result for a region of the source.

        Parameters
        ----------
        after : ndarray
            Pixels of the result, `factors` times as many along each dimension as the region has.
        before : ndarray
            Pixels of the source, as many as the region has.
        region : tuple of slice
            Region, in pixels of the source.
        look : dict
            Keywords of the source, from `display`.
        name : str
            Name of the source.
        factors : tuple of int
            Factor per axis; 1 except for tasks that make more pixels.
        source : napari.layers.Image
            Layer whose contrast the preview follows.
        options : object
            Options that it was made with.
        edits : object
            How often the source, and layers in the options, were edited before.
        limits : (float, float)
            Grey values of the result beyond which contrast says nothing, see `Result`.
        """
        n = len(look["scale"])
        # In pixels of the result. The slice of colours has no start, and `n` leaves it out.
        offset = tuple((piece.start or 0) * factor for piece, factor in zip(region, factors, strict=True))[:n]
        for axis, factor in enumerate(factors):
            # Both sides of the line need one shape; with its pixels repeated, the source looks as it did.
            before = before.repeat(factor, axis) if factor > 1 else before
        look = {**look, **finer(look, factors)}
        # Opacity and blending are left to `SplitLayer`, which has to cover what lies below it.
        keywords = {k: v for k, v in look.items() if k not in ("metadata", "opacity", "blending")}
        keywords |= {"name": f"{name} preview", "translate": corner(look, offset)}
        self._shown = _Shown(region, name, source, options, edits)
        self._split.show(before, after, keywords, source, limits)

    def covers(self, region: tuple[slice, ...]) -> bool:
        """Return whether the preview covers all of this region of its source."""
        if self._shown is None:
            return False
        pairs = zip(self._shown.region, region, strict=True)  # the slices of RGB have no ends
        return all(there.start <= seen.start and seen.stop <= there.stop for there, seen in pairs if seen.stop)

    def is_of(self, source: Image, options: Any, edits: object) -> bool:
        """Return whether the preview is of this layer, by these options, and of the plane on screen."""
        shown = self._shown
        same = shown is not None and shown.source is source and (shown.options, shown.edits) == (options, edits)
        return same and self._on_screen()

    def words(self, chosen: Sequence[Any], options: Any, edits: object) -> str:
        """Describe what is on screen: the preview by these options, of which of the chosen layers, or why not."""
        if not shows_planes(self._viewer):
            return PLANES_ONLY
        if self._shown is None or options != self._shown.options:
            return _OTHER_OPTIONS
        if edits != self._shown.edits:
            return _OTHER_PIXELS
        of = "" if list(chosen) == [self._shown.source] else f" of '{self._shown.name}'"
        if not self._on_screen():
            return _OTHER_PLANE
        part = "" if self.covers(visible_region(self._viewer, self._shown.source)) else f" {_PART}"
        return f"Preview{of}: {_WORDS[self._split.view]}.{part}"

    def _on_screen(self) -> bool:
        """Return whether the plane on screen is the one of the preview."""
        dims, layer = self._viewer.dims, self._split.layer
        point = layer.world_to_data(dims.point[-layer.ndim :])
        # Numbers of the layer's own dimensions, which are the last ones of the viewer; below 0 where it has none.
        hidden = [axis - dims.ndim + layer.ndim for axis in dims.not_displayed]
        # A pixel reaches half its size beyond its middle.
        return all(-0.5 <= point[i] < layer.data.shape[i] - 0.5 for i in hidden if i >= 0)

    def remove(self) -> None:
        """Remove the preview."""
        self._split.remove()
        self._shown = None

    def _gone(self) -> None:
        self._shown = None
        self._on_gone()
