"""Classes that napari calls to open a dock. They load nothing until a page is made, so that docks open at once."""

from __future__ import annotations

from collections.abc import Generator
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from napari_genrecon.widgets.page_dock import PageDock
from napari_genrecon.widgets.room import PageOpener

if TYPE_CHECKING:
    from napari import Viewer

    from napari_genrecon.engine.run import Progress

__all__ = [
    "AdviseWidget",
    "AugmentWidget",
    "BatchWidget",
    "ClassifyWidget",
    "CompareWidget",
    "DeblurWidget",
    "DenoiseWidget",
    "DetectWidget",
    "GenerateWidget",
    "InpaintWidget",
    "PredictWidget",
    "StepsWidget",
    "UpscaleWidget",
    "UpscaleZWidget",
]


class _TaskOpener(PageOpener):
    """Opener of the page of a task."""

    page = "napari_genrecon.widgets.task.widget:TaskWidget"
    width = 340
    task: ClassVar[str]
    modules: ClassVar[tuple[str, ...]] = ()  # further ones that its page needs

    @classmethod
    def make(cls, viewer: Viewer) -> Generator[None, None, Any]:
        """Make the page: first the fields of the task, then the rest."""
        from napari_genrecon.tasks import find_task
        from napari_genrecon.widgets.task.fields import TaskFields
        from napari_genrecon.widgets.task.widget import TaskWidget

        task = find_task(cls.task)
        # `load_steps` has imported all this in a thread, unless the page is used at once.
        fields = TaskFields(viewer, task)
        # The window draws and takes events between the parts.
        yield
        return TaskWidget(viewer, task, fields)

    @classmethod
    def load_steps(cls) -> Generator[Progress, None, None]:
        """Load also the task."""
        yield from super().load_steps()
        from napari_genrecon.tasks import find_task

        # Asking for the options imports the module of the task.
        _ = find_task(cls.task).options
        for module in cls.modules:
            import_module(module)


class _ScrolledOpener(PageOpener):
    """Opener of a page that scrolls as a whole."""

    @classmethod
    def make(cls, viewer: Viewer) -> Generator[None, None, PageDock]:
        """Make the page."""
        return PageDock((yield from super().make(viewer)))


class DenoiseWidget(_TaskOpener):
    """Dock widget of `denoise`."""

    task = "denoise"
    modules = ("napari_genrecon.widgets.task.check",)


class DeblurWidget(_TaskOpener):
    """Dock widget of `deblur`."""

    task = "deblur"
    modules = ("napari_genrecon.widgets.task.bead_psf", "napari_genrecon.widgets.task.blur_width")


class DetectWidget(_TaskOpener):
    """Dock widget of `detect`."""

    task = "detect"


class InpaintWidget(_TaskOpener):
    """Dock widget of `inpaint`."""

    task = "inpaint"


class PredictWidget(_TaskOpener):
    """Dock widget of `predict`."""

    task = "predict"


class UpscaleWidget(_TaskOpener):
    """Dock widget of `upscale`."""

    task = "upscale"


class UpscaleZWidget(_TaskOpener):
    """Dock widget of `upscale_z`."""

    task = "upscale_z"


class AdviseWidget(_ScrolledOpener):
    """Dock widget of `advise`."""

    page = "napari_genrecon.widgets.advise.page:AdvisePage"


class AugmentWidget(_ScrolledOpener):
    """Dock widget of `augment`."""

    page = "napari_genrecon.widgets.augment.page:AugmentPage"


class BatchWidget(PageOpener):
    """Dock widget of a folder of images."""

    page = "napari_genrecon.widgets.batch.page:BatchPage"


class ClassifyWidget(PageOpener):
    """Dock widget of classifying objects."""

    page = "napari_genrecon.widgets.classify.widget:ClassifyDock"
    width = 396


class CompareWidget(PageOpener):
    """Dock widget that compares two images."""

    page = "napari_genrecon.widgets.compare.page:ComparePage"
    width = 340


class GenerateWidget(PageOpener):
    """Dock widget of training and using generative models."""

    page = "napari_genrecon.widgets.generate.widget:GeneratePage"
    width = 396

    @classmethod
    def make(cls, viewer: Viewer) -> Generator[None, None, Any]:
        """Make the page: first the forms of training, then the rest."""
        from napari_genrecon.widgets.generate.widget import GeneratePage
        from napari_genrecon.widgets.train.page import TrainForms

        forms = TrainForms()
        yield
        return GeneratePage(viewer, forms)

    @classmethod
    def load_steps(cls) -> Generator[Progress, None, None]:
        """Load also the recipes, whose options are in the form."""
        yield from super().load_steps()
        from napari_genrecon.training import all_options

        all_options()


class StepsWidget(PageOpener):
    """Dock widget of several tasks in a row."""

    page = "napari_genrecon.widgets.steps.page:StepsPage"
    width = 340
