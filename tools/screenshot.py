"""Drive a real window through every task, from sample to result, and save pictures: ``screenshot.py docs``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication


def wait(condition, seconds: float = 300) -> None:
    """Let the window live until something is true."""
    end = time.time() + seconds
    while not condition():
        if time.time() > end:
            raise SystemExit("the window did not get there in time")
        QApplication.processEvents()
        time.sleep(0.02)
    for _ in range(20):
        QApplication.processEvents()
        time.sleep(0.02)


def opened(title: str) -> tuple[Any, Any]:
    """A window with a real noisy image and one widget."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 900)
    _, widget = viewer.window.add_plugin_dock_widget("napari-genrecon", title)
    viewer.open_sample("napari-genrecon", "fluorescence_2d")
    viewer.reset_view()
    wait(lambda: "Expected time" in widget._report.value and widget._job is None)
    return viewer, widget


def preview_and_run(viewer: Any, widget: Any, target: Path) -> None:
    """Both, with a picture of each."""
    viewer.scene.camera.zoom *= 2
    before = len(viewer.layers)
    widget._preview.changed.emit(True)
    wait(lambda: widget._job is None and len(viewer.layers) == before + 1)
    viewer.screenshot(target, canvas_only=False, flash=False)
    widget._run.changed.emit(True)
    wait(lambda: widget._job is None and "New layer" in widget._status.value)
    viewer.screenshot(target.with_name(target.stem + "-result.png"), canvas_only=False, flash=False)
    viewer.close()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    preview_and_run(*opened("Denoise"), folder / "widget.png")
    preview_and_run(*opened("Upscale"), folder / "upscale.png")
    viewer, widget = opened("Deblur")
    preview_and_run(viewer, widget, folder / "deblur.png")
    viewer, widget = opened("Inpaint")
    scratch = np.array([[[100, 60], [300, 420]], [[330, 80], [180, 400]]])
    viewer.add_shapes(list(scratch), shape_type="line", edge_width=4, edge_color="red", name="scratches")
    widget._form["mask"].value = "scratches"
    preview_and_run(viewer, widget, folder / "inpaint.png")


if __name__ == "__main__":
    main()
