"""Page that processes a folder of images: choose images and a task, look at the table, stop, and go on later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, Container, FileEdit, LineEdit, ProgressBar, PushButton
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtWidgets import QFileDialog

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError
from napari_genrecon.plural import number_of
from napari_genrecon.tasks.batch import (
    PATTERN,
    BatchProgress,
    Row,
    Work,
    batch_steps,
    make_folders,
    plan_batch,
    rows_of,
)
from napari_genrecon.widgets.batch.choice import WorkChoice
from napari_genrecon.widgets.batch.table import BatchTable
from napari_genrecon.widgets.dock import Dock
from napari_genrecon.widgets.fit import make_primary, scrolled, side_by_side, text
from napari_genrecon.widgets.jobs.controls import JobControls
from napari_genrecon.widgets.layers.files import chosen_saving

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["BatchPage"]

_LINES = 6  # of messages before they scroll
_WIDTH = 380  # pixels
_HELLO = "Choose a folder or files. Each image gets a result file of its own; the images themselves are not changed."

BatchSteps = Generator[Progress, None, tuple[tuple[Row, ...], tuple[str, ...]]]


class BatchPage(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Run a task on image files.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer in which results are opened.
    """

    def __init__(self, viewer: Viewer) -> None:
        # napari passes plugins a proxy of the viewer; opening files needs the viewer itself.
        self._viewer: Viewer = getattr(viewer, "__wrapped__", viewer)
        self.inputs: list[Path] = []
        self.table = BatchTable()
        self._make_controls()
        self._jobs = JobControls(
            (self.run, self.choose_folder, self.choose_files),
            self.stop,
            self._progress,
            self.status,
            lambda: None,
            self._ended,
            self._advanced,
        )
        where = Container(widgets=[self.folder, self.pattern], labels=True)
        more = Container(widgets=[self.on_cluster, self.scheduler], labels=True)
        options = Container(widgets=[where, self.work, more], labels=False)
        super().__init__(
            widgets=[
                side_by_side(self.choose_folder, self.choose_files, self.subfolders),
                side_by_side(self.run, self.stop),
                self._progress,
                self.status,
                self._opening,
            ],
            labels=False,
        )
        where.margins = more.margins = options.margins = (0, 0, 0, 0)
        self._options = scrolled(options.native)
        options.native.layout().addStretch(1)  # room that is not needed stays below
        # Qt widgets among those of magicgui: its containers do not take them, so that they go into the layout.
        self.native.layout().insertWidget(1, self._options, 1)
        self.native.layout().insertWidget(self.native.layout().count() - 1, self.table, 1)
        self.native.setMinimumWidth(_WIDTH)
        self._dock = Dock(self, self.native)
        self._connect()
        self._show_address()
        self.status.value = _HELLO
        self._ended()

    def _make_controls(self) -> None:
        self.choose_folder = PushButton(text="Folder…", tooltip="All images in a folder, in any format that is known")
        self.choose_files = PushButton(text="Files…", tooltip="Some images")
        self.subfolders = CheckBox(
            text="and subfolders", tooltip="Also the images in folders inside; results keep them"
        )
        self.work = WorkChoice()
        self.folder = FileEdit(
            label="results in",
            mode="d",
            value="",
            tooltip="Folder for the results, which is made if needed; empty puts each beside its image",
        )
        self.pattern = LineEdit(
            label="named",
            value=PATTERN,
            tooltip="{name} stands for the name of the image, {task} for the task. An ending chooses the format: "
            ".ome.zarr is written region by region, for images larger than memory",
        )
        self.on_cluster = CheckBox(
            label="compute on a cluster",
            tooltip="Several images or parts of them at once, by workers in other "
            "processes or on other machines; else one after the other, in this program",
        )
        self.scheduler = LineEdit(
            label="address",
            value="local",
            tooltip="local: workers on this machine, which end with the run. Or the address of a dask scheduler, such "
            "as tcp://host:8786, whose workers see the same folders. They write .ome.zarr results",
        )
        self.run = PushButton(
            text="Start", tooltip="Results that an earlier start has made in the same way are skipped, none is replaced"
        )
        make_primary(self.run)
        self.stop = PushButton(text="Stop", enabled=False, tooltip="Start goes on later; what is done stays")
        self.open_result = PushButton(text="Open result", tooltip="Adds the result of the chosen row as a layer")
        self.open_image = PushButton(text="Open image", tooltip="Adds the image of the chosen row as a layer")
        self._opening = side_by_side(self.open_result, self.open_image)
        self._progress = ProgressBar(value=0, min=0, max=100, visible=False)
        self.status = text(most=_LINES)

    def _connect(self) -> None:
        self.choose_folder.changed.connect(self._ask_folder)
        self.choose_files.changed.connect(self._ask_files)
        self.subfolders.changed.connect(self._look)
        self.on_cluster.changed.connect(self._show_address)
        self.run.changed.connect(self._start)
        self.open_result.changed.connect(lambda: self._open(result=True))
        self.open_image.changed.connect(lambda: self._open(result=False))
        self.table.itemSelectionChanged.connect(self._chosen)
        self.table.itemDoubleClicked.connect(lambda _: self._open(result=True))
        # No method of this page: Qt would cut the connection before the widget is gone.
        self.native.destroyed.connect(lambda *_: self._jobs.abandon())

    # Images ---------------------------------------------------------------------------------------------------------

    def _ask_folder(self, _event: object = None) -> None:
        path = QFileDialog.getExistingDirectory(self.native, "Choose a folder of images")
        if path:
            self.take([Path(path)])

    def _ask_files(self, _event: object = None) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self.native, "Choose images")
        if paths:
            self.take([Path(path) for path in paths])

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._jobs.job is not None

    def take(self, paths: list[Path]) -> None:
        """Choose images, and folders of images."""
        self.inputs = paths
        self._look()

    def _look(self, _event: object = None) -> None:
        """List the images, without processing any."""
        # A job that runs has planned its images already; the next start looks again.
        if self.inputs and not self.busy:
            try:
                planned = self._planned(self.work.work())
            except (GenReconError, ValueError) as error:
                self._jobs.refuse(error)
                return
            self._jobs.begin(lambda: planned, self._listed, title="Look for images")

    def _planned(self, work: Work, *, run: bool = False) -> BatchSteps:
        """Return steps that list the images and, with `run`, process them; all options are read now."""
        # Widgets are read here, in the thread of the window; the steps run in another one.
        inputs, recursive = list(self.inputs), bool(self.subfolders.value)
        # An empty `FileEdit` gives Path(".").
        folder = str(self.folder.value) if str(self.folder.value) not in ("", ".") else ""
        pattern, saving = str(self.pattern.value).strip(), chosen_saving()
        scheduler = (str(self.scheduler.value).strip() or None) if self.on_cluster.value else None

        def steps() -> BatchSteps:
            # The slash says that it is a folder, also where it does not exist yet.
            output = f"{folder}/" if folder else None
            batch = plan_batch(inputs, work.name, output, recursive=recursive, pattern=pattern)
            rows = rows_of(batch)
            # The table is filled before the first image is done.
            yield BatchProgress(0, 0, rows=rows)
            if run:
                make_folders(batch)
                # `resume`: results that were made in the same way are kept, so that Start goes on after Stop.
                rows = yield from batch_steps(batch, work, saving=saving, resume=True, scheduler=scheduler)
            return rows, batch.notes

        return steps()

    def _listed(self, found: tuple[tuple[Row, ...], tuple[str, ...]]) -> None:
        rows, notes = found
        self.table.show_rows(rows)
        self._enable()
        self._say(f"{_images(len(rows))}.", notes)

    # Run ------------------------------------------------------------------------------------------------------------

    def _start(self, _event: object = None) -> None:
        if not self.inputs:
            self._jobs.ask_for("Choose a folder or files first.")
            return
        try:
            work = self.work.work()
            planned = self._planned(work, run=True)
        except (GenReconError, ValueError) as error:
            self._jobs.refuse(error)
            return
        self._options.hide()  # the table gets their room
        where = self.inputs[0].name if len(self.inputs) == 1 else _images(len(self.inputs))
        self._jobs.begin(lambda: planned, self._done, self._failed, title=f"{work.name} '{where}'")

    def _advanced(self, progress: Progress) -> None:
        if isinstance(progress, BatchProgress):
            self.table.show_rows(progress.rows)

    def _done(self, found: tuple[tuple[Row, ...], tuple[str, ...]]) -> None:
        rows, notes = found
        self.table.show_rows(rows)
        failed = sum(row.error is not None for row in rows)
        self._say(f"{_counts(rows)}.", notes, "bad" if failed else "good")
        # Also as a notification, as the dock may be closed by then.
        (show_warning if failed else show_info)(f"{_images(len(rows))}: {_counts(rows)}.")

    def _failed(self, kind: str, value: Any) -> None:
        if kind != "cancelled":
            self._jobs.tell(kind, value)
            return
        self.table.show_rows([stopped(row) for row in self.table.rows])
        self._say(f"Stopped: {_counts(self.table.rows)}. Start goes on with the rest.")

    def _say(self, words: str, notes: tuple[str, ...] = (), look: str = "") -> None:
        self._jobs.say(" ".join([words, *(f"{note[0].upper()}{note[1:]}." for note in notes)]), look)

    # Table ----------------------------------------------------------------------------------------------------------

    def _ended(self) -> None:
        self._options.show()
        self._enable()

    def _chosen(self) -> None:
        """Say all that is to be known of the chosen row."""
        row = self.table.chosen
        # While a job runs, the line shows its progress.
        if row is not None and not self.busy:
            said = row.sentence if row.error else f"{row.image.name}: {row.sentence or row.state}"
            self._say(said, look="bad" if row.error else "")
        self._enable()

    def _enable(self) -> None:
        """Enable what can be done with the chosen row."""
        row = self.table.chosen
        self._opening.visible = bool(self.table.rows)
        self.open_image.enabled = row is not None
        self.open_result.enabled = row is not None and row.state in ("done", "done before")

    def _open(self, *, result: bool) -> None:
        row = self.table.chosen
        if row is None or (result and not self.open_result.enabled):
            return
        try:
            # By this plugin's reader, whichever one the user prefers for files of this ending.
            self._viewer.open(str(row.result if result else row.image), plugin="napari-genrecon")
        except (GenReconError, OSError) as error:
            show_error(str(error))

    def _show_address(self, _event: object = None) -> None:
        self.scheduler.visible = self.on_cluster.value


def stopped(row: Row) -> Row:
    """Return a row of a batch that was stopped: the one that was running is not done."""
    return replace(row, state="stopped") if row.state == "running" else row


def _images(count: int) -> str:
    return number_of(count, "image", "images")


def _counts(rows: tuple[Row, ...]) -> str:
    return ", ".join(f"{count} {state}" for state, count in Counter(row.state for row in rows).items())
