"""Noise report of a task widget: the measured noise, the time that the task will take, and its warnings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError
from napari_genrecon.noise import NoiseModel, read_noise, verdict
from napari_genrecon.plural import duration
from napari_genrecon.tasks import Task
from napari_genrecon.tasks.files import array_options
from napari_genrecon.tasks.measure import measure_noise, noise_report
from napari_genrecon.widgets.form import TaskForm
from napari_genrecon.widgets.jobs.controls import JobControls
from napari_genrecon.widgets.jobs.worker import Job
from napari_genrecon.widgets.layers.add_result import layer_options
from napari_genrecon.widgets.layers.snapshot import layer_axes, layer_data
from napari_genrecon.widgets.task.details import Details
from napari_genrecon.widgets.task.known_noise import KnownNoise
from napari_genrecon.widgets.words import sentence

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["NoiseReport"]

_TYPING = 400  # milliseconds without a key after which typing has ended: shorter, and half a number is measured with


class NoiseReport:
    """Measure the noise of the first chosen layer and report it, with the time that the task will take.

    Parameters
    ----------
    box : Details
        Text that shows the report.
    task : Task
        Task whose time is estimated.
    form : TaskForm
        Form of its options. The noise may come from elsewhere, and axes may be typed.
    chosen : callable
        Returns the chosen layers.
    layers : napari LayerList
        Layers of the viewer, found by name.
    jobs : JobControls
        Jobs of the page, one of which measures the noise.
    options : callable
        Returns the options of a layer as they are in the form, masks and point spread functions included.
    joined : callable
        Returns pixels and options where the chosen layers are worked on as the channels of one image, else None.
    """

    def __init__(
        self,
        box: Details,
        task: Task,
        form: TaskForm,
        chosen: Callable[[], list[Any]],
        layers: Any,
        jobs: JobControls,
        options: Callable[[Any], Any],
        joined: Callable[[], tuple[Any, Any] | None],
    ) -> None:
        self._box, self._task, self._form, self._chosen, self._layers = box, task, form, chosen, layers
        self._jobs, self._options, self._joined = jobs, options, joined
        self._known = KnownNoise()
        self._warnings: list[str] = []  # of the last preview or result
        self._wrong = ""  # why the options in the form are refused
        self._written: Any = None  # key of the report in the box, see `_key`
        self.seconds: float | None = None  # that the task will take
        self.timing: Job | None = None
        self._typed = QTimer(box.native)  # goes with the page
        self._typed.setSingleShot(True)
        self._typed.setInterval(_TYPING)
        self._typed.timeout.connect(self._measure_again)
        for widget in (form["axes"], *form.widgets_of("noise")):
            widget.changed.connect(lambda _: self._typed.start())

    def ask_for_layer(self, active: Layer | None) -> None:
        """Ask for a layer, as none is chosen, and drop the report of the last one."""
        self._warnings, self.seconds, self._written = [], None, None
        words = "Choose an image layer."
        if active is not None and not isinstance(active, Image):
            words = f"'{active.name}' is a {type(active).__name__} layer: choose an image layer."
        self._box.write(words)

    def measure(self) -> None:
        """Report the noise of the chosen layer: from the cache, else measured now, or after the job that runs."""
        self._warnings, self._wrong = [], ""
        layer = self._chosen()[0]
        try:
            subject = self._subject(layer)
        except (GenReconError, ValueError) as error:
            self._written = self._key(layer)
            self._box.write(_beware(sentence(error)))
            return
        if self._noise_of(subject) is not None:
            self.seconds = None  # of another layer
            self.show()
            self._time()
            return
        self._written = None
        if self._jobs.job is not None:
            self._box.write(f"{subject.name}: the noise is measured as soon as the running job has ended.")
            return
        self._begin(layer, subject)

    def _begin(self, layer: Layer, subject: Any) -> None:
        """Measure the noise of a layer in a job."""
        self._box.write(f"{subject.name}: measuring the noise…")
        # Layers and fields are read here, as the steps run in a thread.
        key, data, axes = self._key(layer), layer_data(subject), self._axes(subject)
        timed, options = self._timed(layer)

        def steps() -> Any:
            yield Progress(0, 0, "measuring the noise")
            noise = measure_noise(data, axes=axes)
            return noise, self._expected_seconds(timed, options)  # loads torch meanwhile

        def measured(value: tuple[tuple[NoiseModel, ...], float | str | None]) -> None:
            self._known.put(data, str(axes), value[0])
            if self._is_still(key):
                self._note_time(value[1])
                self.show()

        def failed(_kind: str, error: Any) -> None:
            if self._is_still(key):
                self._written = key
                self._box.write(_beware(sentence(error)))

        self._jobs.begin(steps, measured, failed, quiet=True)

    def is_waiting(self) -> bool:
        """Return whether the chosen layer still has no report, as another one was measured or worked on."""
        return any(self._key(layer) != self._written for layer in self._chosen()[:1])

    def time_again(self, _event: object = None) -> None:
        """Estimate the time again, with the options as they are now."""
        self._warnings = []  # of other options
        self._time()

    def found(self, data: ImageArray, record: dict[str, Any], *, given: bool = False) -> None:
        """Show the noise that a run measured, and its warnings; `given` noise says nothing of these pixels."""
        self._warnings = list(record["warnings"])
        if not given:
            self._known.put_recorded(data, record)
        self._time()  # shorter where a preview has trained a network, or found how to fill, for the run
        if self.is_about(data):
            self.show()

    def of_layer(self, layer: Layer) -> Any:
        """Return the noise of another layer for the option `noise`: from the cache, else measured."""
        noise = self._known.of(layer_data(layer), str(layer_axes(layer)))
        return measure_noise(layer_data(layer), axes=layer_axes(layer)) if noise is None else noise

    def show(self) -> None:
        """Write the report of the chosen layer, if its noise is known."""
        for layer in self._chosen()[:1]:
            try:
                subject = self._subject(layer)
                noise, axes = self._noise_of(subject), self._axes(layer)
            except (GenReconError, ValueError):  # half typed: reported when typing has ended
                return
            if noise is not None:
                self._written = self._key(layer)
                self._box.write(self._headline(subject, layer, noise), self._details(layer, axes, noise))

    def say(self, verdict: str, details: str) -> None:
        """Write another text, with its details unfolded, until the next report."""
        self._box.write(verdict, details)
        self._box.unfold()

    def is_about(self, data: ImageArray) -> bool:
        """Return whether the report is about these pixels."""
        return any(layer_data(layer) is data for layer in self._chosen()[:1])

    def forget_removed(self, layers: Any) -> None:
        """Release the pixels of layers that were removed."""
        self._known.forget_removed(layers)

    def abandon(self) -> None:
        """Stop the timing without reporting it, as the window is gone."""
        if self.timing is not None:
            self.timing.abandon()

    # Whose noise ------------------------------------------------------------------------------------------------------

    def _subject(self, layer: Layer) -> Any:
        """Return the layer whose noise counts, or the number or path of a report that was given instead."""
        self._axes(layer)  # raises if typed axes do not fit
        source = self._form.array_sources().get("noise")
        return layer if source is None else self._layers[source] if isinstance(source, str) else source

    def _noise_of(self, subject: Any) -> Any:
        """Return the noise of a subject; None where it has to be measured."""
        if isinstance(subject, Path):
            return read_noise(subject)
        if isinstance(subject, float):
            return NoiseModel.white(subject)
        return self._known.of(layer_data(subject), str(self._axes(subject)))

    def _axes(self, layer: Layer) -> Axes:
        """Return the typed axes for the layer that is worked on, else the axes of the layer."""
        typed = str(self._form["axes"].value or "").strip()
        worked_on = any(layer is each for each in self._chosen()[:1])
        return resolve_axes(typed, layer_data(layer).shape) if typed and worked_on else layer_axes(layer)

    def _key(self, layer: Layer) -> tuple[Any, ...]:
        """Return a key that identifies a report: pixels, typed axes and source of the noise."""
        noise = tuple(str(widget.value) for widget in self._form.widgets_of("noise"))
        return id(layer_data(layer)), str(self._form["axes"].value), noise

    def _is_still(self, key: tuple[Any, ...]) -> bool:
        return any(self._key(layer) == key for layer in self._chosen()[:1])

    def _measure_again(self) -> None:
        """Measure if the text that was typed asks for another report."""
        if self.is_waiting():
            self.measure()

    # Words ------------------------------------------------------------------------------------------------------------

    def _headline(self, subject: Any, layer: Layer, noise: Any) -> str:
        """Return the verdict: warnings, the noise in a word, whether the task helps, and how long it takes."""
        said = [_beware(words) for words in (*self._warnings, self._wrong) if words]
        if subject is layer:
            words = verdict(noise, denoising=self._task.name == "denoise")
        else:
            levels = ", ".join(f"{m.sigma:.3g}" for m in ([noise] if isinstance(noise, NoiseModel) else noise))
            words = f"Noise: {_whence(subject)}, s.d. {levels} grey values."
        time = "" if self.seconds is None else f" Takes {_unbroken(duration(self.seconds))}."
        return "\n".join([*said, words + time])

    def _details(self, layer: Layer, axes: Axes, noise: Any) -> str:
        planes = axes.n_planes(layer_data(layer).shape)
        parts = [f"{layer.name}: {axes}{' (assumed)' if axes.assumed else ''}, {planes} plane{'s'[: planes > 1]}"]
        if self.seconds is not None:
            parts.append(f"Expected time: {duration(self.seconds)}")
        return "\n".join([*parts, noise_report(noise)])

    # The time ---------------------------------------------------------------------------------------------------------

    def _time(self) -> None:
        layers = self._chosen()
        if not layers or self._written is None:
            return
        data, (timed, options) = layer_data(layers[0]), self._timed(layers[0])

        def steps() -> Any:
            yield Progress(0, 0, "timing")
            return self._expected_seconds(timed, options)

        def done(kind: str, value: Any) -> None:
            self.timing = None
            self._note_time(value if kind == "ok" else None)
            if self.is_about(data):
                self.show()

        # A timing that still runs is of other options.
        self.abandon()
        self.timing = Job(steps, lambda _progress: None, done)
        self.timing.start()

    def _note_time(self, found: float | str | None) -> None:
        """Store the time, or why there is none, unless that is known already."""
        self.seconds = None if isinstance(found, str) else found
        if isinstance(found, str):
            self._wrong = self._wrong or found

    def _timed(self, layer: Layer) -> tuple[Any, Any]:
        """Return the pixels and the options to estimate the time with."""
        options = self._timed_options(layer)
        try:
            return self._joined() or (layer_data(layer), options)
        except (GenReconError, ValueError):  # reported when the task is run
            return layer_data(layer), options

    def _timed_options(self, layer: Layer) -> Any:
        """Return options to estimate the time with: those of a run; a Gaussian where the PSF is still missing."""
        self._wrong = ""  # of other options
        try:
            options = self._options(layer)
            if getattr(options, "psf", 0) is not None:
                return options
        except (GenReconError, ValueError):  # half typed: reported when the task is run
            pass
        widths = {name: 3.0 for name, kind in array_options(self._task).items() if kind == "psf"}
        try:
            return layer_options(self._task, layer, {**self._form.plain_values(), **widths})
        except (GenReconError, ValueError) as error:
            self._wrong = sentence(error)
            return self._task.options(**widths, axes=layer_axes(layer))

    def _expected_seconds(self, data: ImageArray, options: Any) -> float | str | None:
        """Return the seconds, or why the options do not fit the image."""
        try:
            return self._task.expected_seconds(data, options)
        except GenReconError as error:
            return sentence(error)


def _whence(subject: Any) -> str:
    """Return in words where the noise comes from, if not from the image itself."""
    if isinstance(subject, float):
        return "as typed"
    return f"as in {subject.name}" if isinstance(subject, Path) else f"that of '{subject.name}'"


def _beware(words: str) -> str:
    """Return a warning as a sentence with a sign in front."""
    return f"⚠ {words[:1].upper()}{words[1:].removesuffix('.')}."


def _unbroken(words: str) -> str:
    """Keep a number and its unit in one line."""
    number, _, unit = words.rpartition(" ")
    return f"{number}\N{NO-BREAK SPACE}{unit}"
