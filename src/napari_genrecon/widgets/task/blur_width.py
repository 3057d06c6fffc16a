"""Button that finds the width of the blur in the image, and then puts it into the form of `deblur`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import PushButton

from napari_genrecon.errors import GenReconError
from napari_genrecon.optics.blur_width import BlurWidth
from napari_genrecon.tasks.deblur.width import measure_blur_steps
from napari_genrecon.widgets.form import Form
from napari_genrecon.widgets.jobs.controls import JobControls
from napari_genrecon.widgets.layers.arrays import Other
from napari_genrecon.widgets.layers.snapshot import layer_axes, layer_data

__all__ = ["BlurFinder", "place_below_width"]

_FIND = "Find it in the image"


class BlurFinder:
    """Button below the width of a Gaussian: the first press finds the width, the second uses it.

    Parameters
    ----------
    form : Form
        Form with the fields of a point spread function.
    chosen : callable
        Returns the chosen layers; the first is measured.
    jobs : JobControls
        Runs the measurement and shows what came out.
    """

    def __init__(self, form: Form, chosen: Callable[[], list[Any]], jobs: JobControls) -> None:
        self._form, self._chosen, self._jobs = form, chosen, jobs
        self._found: BlurWidth | None = None
        tooltip = "Small spots in a raw image tell how wide its blur is; an image without any gets a sentence instead"
        self.button = PushButton(name="psf_find", text=_FIND, tooltip=tooltip)
        place_below_width(form, self.button, jobs)
        self.button.changed.connect(self._pressed)

    def forget(self, _event: object = None) -> None:
        """Forget what was found, as another image was chosen."""
        self._found = None
        self.button.text = _FIND

    def _pressed(self, _event: object = None) -> None:
        if self._found is not None:
            # As the button has said it.
            self._form["psf_width"].value = round(self._found.fwhm, 1)
            self.forget()
        elif not self._chosen():
            self._jobs.ask_for("Choose an image first.")
        else:
            layer = self._chosen()[0]
            # Read before the job begins, as its steps run in a thread.
            data, axes = layer_data(layer), layer_axes(layer)
            title = f"Blur of '{layer.name}'"
            self._jobs.begin(lambda: measure_blur_steps(data, axes), self._offer, self._refused, title=title)

    def _offer(self, found: BlurWidth) -> None:
        self._found = found
        self.button.text = f"Use {found.fwhm:.1f} px"
        said = str(found)
        self._jobs.say(f"{said[0].upper()}{said[1:]}.", "good")

    def _refused(self, kind: str, value: Any) -> None:
        # An image that does not tell its blur is an answer, and not a failure: it is said in the dock only.
        if isinstance(value, GenReconError):
            said = str(value)
            self._jobs.say(f"{said[0].upper()}{said[1:]}. Deblur with a PSF from optics or beads.", "bad")
        else:
            self._jobs.tell(kind, value)


def place_below_width(form: Form, button: PushButton, jobs: JobControls) -> None:
    """Put a button below the width of a Gaussian, there while that is the PSF, and disabled during a job."""

    def show(psf: Any) -> None:
        button.visible = psf == Other.GAUSSIAN

    place = [widget.name for widget in form.container].index("psf_width")
    form.container.insert(place + 1, button)
    form["psf"].changed.connect(show)
    jobs.disable_too(button)
    show(form["psf"].value)
