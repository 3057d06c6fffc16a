"""Drive a real window through sample, report, preview and run, and save pictures: ``screenshot.py docs/widget.png``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication


def wait(condition, seconds: float = 60) -> None:
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


def main() -> None:
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 900)
    _, widget = viewer.window.add_plugin_dock_widget("napari-genrecon", "Denoise")
    viewer.open_sample("napari-genrecon", "fluorescence_2d")
    viewer.reset_view()
    wait(lambda: "Expected time" in widget._report.value)
    viewer.scene.camera.zoom *= 2
    widget._preview.changed.emit(True)
    wait(lambda: widget._job is None and len(viewer.layers) == 2)  # image and preview
    viewer.screenshot(target, canvas_only=False, flash=False)
    widget._run.changed.emit(True)
    wait(lambda: widget._job is None and "New layer" in widget._status.value)
    viewer.screenshot(target.with_name(target.stem + "-result.png"), canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    main()
