"""Process many images, each into a file of its own: find and name them, process them, go on where a run has stopped."""

from napari_genrecon.tasks.batch.call import batch
from napari_genrecon.tasks.batch.plan import PATTERN, make_folders, name_results, plan_batch
from napari_genrecon.tasks.batch.run import BatchProgress, Row, batch_steps, rows_of
from napari_genrecon.tasks.batch.work import Work, pipeline_work, task_work

__all__ = [
    "PATTERN",
    "BatchProgress",
    "Row",
    "Work",
    "batch",
    "batch_steps",
    "make_folders",
    "name_results",
    "pipeline_work",
    "plan_batch",
    "rows_of",
    "task_work",
]
