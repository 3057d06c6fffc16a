"""Button that averages the beads under the points of a layer to a point spread function, as a new layer."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from magicgui.widgets import PushButton
from napari.layers import Points

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError
from napari_genrecon.optics.beads import BeadPSF, psf_from_beads
from napari_genrecon.widgets.form import Form
from napari_genrecon.widgets.jobs.controls import JobControls
from napari_genrecon.widgets.layers.choice import keeping_active
from napari_genrecon.widgets.layers.masks import places_of
from napari_genrecon.widgets.layers.snapshot import layer_data
from napari_genrecon.widgets.task.blur_width import place_below_width

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["BeadButton"]


class BeadButton:
    """Button below the choice of a point spread function.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer with the points, that gets the new layer.
    form : Form
        Form with the fields of a point spread function.
    chosen : callable
        Returns the chosen layers; the first is the image of the beads.
    jobs : JobControls
        Shows what came out.
    """

    def __init__(self, viewer: Viewer, form: Form, chosen: Callable[[], list[Any]], jobs: JobControls) -> None:
        self._viewer, self._form, self._chosen, self._jobs = viewer, form, chosen, jobs
        tooltip = "Averages the beads that a Points layer marks in the chosen image to a layer, and takes it as the PSF"
        self.button = PushButton(name="psf_beads", text="Make it from points on beads", tooltip=tooltip)
        place_below_width(form, self.button, jobs)
        self.button.changed.connect(self._pressed)

    def _points(self) -> Any:
        """Return the points layer that is active, else the last one."""
        active = self._viewer.layers.selection.active
        found = [layer for layer in self._viewer.layers if isinstance(layer, Points)]
        return active if isinstance(active, Points) else found[-1] if found else None

    def _pressed(self, _event: object = None) -> None:
        layers, points = self._chosen(), self._points()
        if not layers or points is None:
            self._jobs.ask_for("Choose an image of beads, and put a point on each bead in a Points layer.")
            return
        image = layers[0]
        try:
            # Read before the job begins, as its steps run in a thread.
            data, places = layer_data(image), places_of(points, image)
        except GenReconError as error:
            self._jobs.refuse(error)
            return

        def steps() -> Generator[Progress, None, BeadPSF]:
            yield Progress(0, 0, "averaging the beads")
            return psf_from_beads(data, places)

        self._jobs.begin(steps, lambda found: self._add(found, image), self._refused, title=f"Beads of '{image.name}'")

    def _add(self, found: BeadPSF, image: Any) -> None:
        n = found.pixels.ndim  # 2 or 3, without colours
        place = {"scale": image.scale[-n:], "units": image.units[-n:], "metadata": {"source": str(found)}}
        # The dock chooses what becomes active, and would deblur the PSF.
        with keeping_active(self._viewer):
            layer = self._viewer.add_image(found.pixels, name=f"{image.name} PSF", visible=False, **place)
        self._form["psf"].value = layer.name
        self._jobs.say(f"{found}. '{layer.name}' is now the PSF: choose the image to deblur.", "good")

    def _refused(self, kind: str, value: Any) -> None:
        # Beads that make no PSF are an answer, and not a failure: it is said in the dock only.
        if isinstance(value, GenReconError):
            self._jobs.say(f"{str(value)[0].upper()}{str(value)[1:]}.", "bad")
        else:
            self._jobs.tell(kind, value)
