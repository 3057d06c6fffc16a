"""The noise report of a task widget: what was measured, how long the task will take, what it warned of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import TextEdit
from napari.layers import Image

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError
from napari_genrecon.tasks import Task
from napari_genrecon.tasks.files import array_options
from napari_genrecon.tasks.measure import measure_noise, noise_report
from napari_genrecon.widgets.form import TaskForm
from napari_genrecon.widgets.jobs.controls import JobControls
from napari_genrecon.widgets.jobs.worker import Job
from napari_genrecon.widgets.layers.add_result import layer_options
from napari_genrecon.widgets.layers.snapshot import layer_axes, layer_data
from napari_genrecon.widgets.task.known_noise import KnownNoise
from napari_genrecon.widgets.words import duration, sentence

__all__ = ["NoiseReport"]


class NoiseReport:
    """Measures the noise of the first chosen layer and reports it, with the time that the task will take.

    Parameters
    ----------
    box : TextEdit
        Where it is written.
    task : Task
        Whose time is told.
    form : TaskForm
        Its options.
    chosen : callable
        The chosen layers.
    jobs : JobControls
        Where the noise is measured.
    """

    def __init__(
        self, box: TextEdit, task: Task, form: TaskForm, chosen: Callable[[], list[Any]], jobs: JobControls
    ) -> None:
        self._box, self._task, self._form, self._chosen, self._jobs = box, task, form, chosen, jobs
        self._known = KnownNoise()
        self._warnings: list[str] = []  # of the last preview or result
        self._written: Any = None  # the pixels that the report in the box is about
        self.seconds: float | None = None  # that the task will take
        self.timing: Job | None = None

    def ask_for_layer(self, active: Any) -> None:
        """Nothing is chosen: say so, and nothing of layers that are gone."""
        self._warnings, self.seconds, self._written = [], None, None
        words = "Choose an image layer."
        if active is not None and not isinstance(active, Image):
            words = f"'{active.name}' is a {type(active).__name__} layer: choose an image layer."
        self._box.value = words

    def measure(self) -> None:
        """Report the noise of the chosen layer: as it is known, else measured now, or when what runs has ended."""
        self._warnings = []
        layer = self._chosen()[0]
        data, axes = layer_data(layer), layer_axes(layer)
        if self._known.of(data) is not None:
            self.seconds = None  # of another layer
            self.show()
            self._time()
            return
        self._written = None
        if self._jobs.job is not None:
            self._box.value = f"{layer.name}: the noise is measured as soon as what runs now has ended."
            return
        self._box.value = f"{layer.name}: measuring the noise…"
        options = self._timed_options(layer)

        def steps() -> Any:
            yield Progress(0, 0, "measuring the noise")
            noise = measure_noise(data, axes=axes)
            return noise, self._expected_seconds(data, options)  # loads torch meanwhile

        def measured(value: Any) -> None:
            self._known.put(data, value[0])
            if self.is_about(data):
                self.seconds = value[1]
                self.show()

        def failed(_kind: str, error: Any) -> None:
            if self.is_about(data):
                self._written, self._box.value = data, sentence(error)

        self._jobs.begin(steps, measured, failed, quiet=True)

    def is_waiting(self) -> bool:
        """Whether the chosen layer still has no report, as another one was measured or worked on."""
        return any(layer_data(layer) is not self._written for layer in self._chosen()[:1])

    def time_again(self, _event: Any = None) -> None:
        """Tell how long it takes with the options as they are now."""
        self._warnings = []  # of other options
        self._time()

    def found(self, data: Any, record: dict[str, Any]) -> None:
        """Show the noise that a run measured, and what it warns of."""
        self._warnings = list(record["warnings"])
        self._known.put_recorded(data, record)
        self._time()  # what was learnt for a preview is not learnt again
        if self.is_about(data):
            self.show()

    def show(self) -> None:
        """Write what is known of the chosen layer, if anything is."""
        layers = self._chosen()
        noise = self._known.of(layer_data(layers[0])) if layers else None
        if noise is None:
            return
        layer, axes = layers[0], layer_axes(layers[0])
        parts = [f"⚠ {warning[:1].upper()}{warning[1:]}." for warning in self._warnings]
        planes = axes.n_planes(layer_data(layer).shape)
        parts.append(f"{layer.name}: {axes}{' (assumed)' if axes.assumed else ''}, {planes} plane{'s'[: planes > 1]}")
        if self.seconds is not None:
            parts.append(f"Expected time: {duration(self.seconds)}")
        self._written = layer_data(layer)
        self._box.value = "\n".join([*parts, noise_report(noise)])

    def say(self, words: str) -> None:
        """Write something else, until the next report."""
        self._box.value = words

    def is_about(self, data: Any) -> bool:
        """Whether these are the pixels that the report is about."""
        return any(layer_data(layer) is data for layer in self._chosen()[:1])

    def forget_removed(self, layers: Any) -> None:
        """Let go of the pixels of layers that are gone."""
        self._known.forget_removed(layers)

    def abandon(self) -> None:
        """The window is gone: what still runs must not touch it."""
        if self.timing is not None:
            self.timing.abandon()

    # The time ---------------------------------------------------------------------------------------------------------

    def _time(self) -> None:
        layers = self._chosen()
        if not layers or self._known.of(layer_data(layers[0])) is None:
            return
        data, options = layer_data(layers[0]), self._timed_options(layers[0])

        def steps() -> Any:
            yield Progress(0, 0, "timing")
            return self._expected_seconds(data, options)

        def done(kind: str, value: Any) -> None:
            self.timing = None
            self.seconds = value if kind == "ok" else None
            if self.is_about(data):
                self.show()

        self.abandon()
        self.timing = Job(steps, lambda _progress: None, done)
        self.timing.start()

    def _timed_options(self, layer: Any) -> Any:
        """Options by which the expected time is told: a Gaussian stands for every point spread function."""
        widths = {name: 3.0 for name, kind in array_options(self._task).items() if kind == "psf"}
        try:
            return layer_options(self._task, layer, {**self._form.plain_values(), **widths})
        except (GenReconError, ValueError):  # half typed: Run will tell
            return self._task.options(**widths, axes=layer_axes(layer))

    def _expected_seconds(self, data: Any, options: Any) -> float | None:
        """None where the options do not fit the image: Run will tell."""
        try:
            return self._task.expected_seconds(data, options)
        except GenReconError:
            return None
