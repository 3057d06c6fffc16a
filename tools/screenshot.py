"""Drive a real window through every task, from sample to result, and save pictures: ``screenshot.py docs``.

``screenshot.py docs augment`` makes only those of Augment and Advise, ``folder`` and ``beads`` those of one dock;
``screenshot.py docs generate 2`` makes only those of the Generate widget, and trains for two minutes (unless the runs
folder has a finished run of the name already).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_genrecon import detect


def wait(condition, seconds: float = 300) -> None:
    """Process the window's events until a condition is true."""
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
    """Open a window with a real noisy image and one widget."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 900)
    _, widget = viewer.window.add_plugin_dock_widget("napari-genrecon", title)
    viewer.open_sample("napari-genrecon", "fluorescence_2d")
    viewer.reset_view()
    wait(lambda: "Expected time" in widget._report.value and widget._job is None)
    return viewer, widget


def preview_and_run(viewer: Any, widget: Any, target: Path) -> None:
    """Run the preview and the task, and save a picture of each."""
    viewer.scene.camera.zoom *= 2
    before = len(viewer.layers)
    widget._preview.changed.emit(True)
    wait(lambda: widget._job is None and len(viewer.layers) == before + 1)
    viewer.screenshot(target, canvas_only=False, flash=False)
    widget._run.changed.emit(True)
    wait(lambda: widget._job is None and "New layer" in widget._status.value)
    viewer.screenshot(target.with_name(target.stem + "-result.png"), canvas_only=False, flash=False)
    viewer.close()


def generate(folder: Path, minutes: float) -> None:
    """Train a model on nuclei, add samples as a layer, move a slider; save a picture of each."""
    for name in ("GENRECON_RUNS", "GENRECON_MODELS"):
        os.environ.setdefault(name, tempfile.mkdtemp())
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 1000)
    _, widget = viewer.window.add_plugin_dock_widget("napari-genrecon", "Generate")
    viewer.open_sample("napari-genrecon", "nuclei")
    viewer.reset_view()
    _train(viewer, widget, minutes, folder / "generate-train.png")
    widget.tabs.setCurrentIndex(1)
    widget.sample.choice.refresh("nuclei-vae")
    widget.sample.form["seed"].value = "1"
    widget.sample.sheet.value = True
    _press(widget.sample, widget.sample.run)
    _press(widget.sample, widget.sample.check)
    _picture(viewer, folder / "generate-sample.png")
    widget.tabs.setCurrentIndex(2)
    _explore(viewer, widget.explore, folder / "generate-explore.png")
    viewer.close()


def augment(folder: Path) -> None:
    """Show the contact sheet of nuclei with their masks, and the advice about a noisy image; save a picture of each."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 1000)
    viewer.open_sample("napari-genrecon", "nuclei")
    viewer.reset_view()
    _, dock = viewer.window.add_plugin_dock_widget("napari-genrecon", "Augment")
    _press(dock.page, dock.page.show_sheet)
    _picture(viewer, folder / "augment.png")
    viewer.close()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 800)
    viewer.open_sample("napari-genrecon", "fluorescence_2d")
    viewer.reset_view()
    _, dock = viewer.window.add_plugin_dock_widget("napari-genrecon", "Advise")
    dock.page.goal.value = "train"
    _press(dock.page, dock.page.look)
    _picture(viewer, folder / "advise.png")
    viewer.close()


def folder(target: Path) -> None:
    """Denoise a folder of six images, one of them damaged; save a picture of the table."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1366, 768)
    viewer.open_sample("napari-genrecon", "fluorescence_2d")
    images = Path(tempfile.mkdtemp()) / "plate 1"
    images.mkdir()
    for index in range(6):
        tifffile.imwrite(images / f"well {index + 1}.tif", np.roll(viewer.layers[0].data, 50 * index, axis=0))
    (images / "well 4.tif").write_bytes(b"cut short")
    _, page = viewer.window.add_plugin_dock_widget("napari-genrecon", "Folder")
    page.take([images])
    wait(lambda: page._jobs.job is None)
    page.folder.value = images.with_name("denoised")
    page.run.native.click()
    wait(lambda: len(page.table.rows) > 4 and page.table.rows[4].state == "running")
    _picture(viewer, target / "folder.png")
    wait(lambda: page._jobs.job is None)
    viewer.close()


def beads(target: Path) -> None:
    """Make a PSF from points on beads, and find the width of the blur; save a picture."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1366, 768)
    viewer.open_sample("napari-genrecon", "beads")
    viewer.layers.remove("beads PSF")
    image = viewer.layers.selection.active = viewer.layers["beads"]
    _, page = viewer.window.add_plugin_dock_widget("napari-genrecon", "Deblur")
    wait(lambda: "Expected time" in page._report.value and page._job is None)
    found = detect(image, fdr=0.01)
    points = viewer.add_points(found.pixels[:60], name="points", scale=image.scale, units=image.units, size=9)
    points.face_color, points.border_color = "transparent", "yellow"
    page._layers.value = ["beads"]
    wait(lambda: page._job is None)
    page._form["psf_find"].native.click()
    wait(lambda: page._job is None)
    page._form["psf_beads"].native.click()
    wait(lambda: page._job is None)
    page._form["psf"].value = "Gaussian of this width"  # which shows the buttons again
    viewer.reset_view()
    _picture(viewer, target / "psf.png")
    viewer.close()


def _train(viewer: Any, widget: Any, minutes: float, target: Path) -> None:
    page = widget.train
    _press(page, page.show_crops)
    wait(lambda: page.runs.look.chosen is not None or not page.runs.look.runs)
    if not page.runs.look.runs:
        page.recipe["minutes"].value = minutes
        _press(page, page.start)
    wait(lambda: page.runs.look.state == "finished", 60 * minutes + 300)
    bar = widget.tabs.widget(0).verticalScrollBar()
    bar.setValue(bar.maximum())
    _picture(viewer, target)


def _explore(viewer: Any, page: Any, target: Path) -> None:
    """Move a slider, then pick a crop on the map of all crops, and save a picture of that."""
    page.choice.refresh("nuclei-vae")
    _press(page, page.run)
    before = viewer.layers["nuclei-vae walk"].data.copy()
    page.results.value.value = 2.0
    wait(lambda: not np.array_equal(before, viewer.layers["nuclei-vae walk"].data))
    page.tool.value = "Map of all crops"
    _press(page, page.run)
    viewer.layers["nuclei-vae map"].selected_data = {40}
    _picture(viewer, target)


def _press(page: Any, button: Any) -> None:
    button.changed.emit(True)
    wait(lambda: not page.panel.busy)


def _picture(viewer: Any, target: Path) -> None:
    """Save a picture of the whole window, in 255 colours to keep it small."""
    wait(lambda: True)
    viewer.screenshot(target, canvas_only=False, flash=False)
    Image.open(target).convert("RGB").quantize(255).save(target, optimize=True)


def main() -> None:
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    parts = {"augment": augment, "folder": folder, "beads": beads}
    if sys.argv[2:3] and sys.argv[2] in parts:
        parts[sys.argv[2]](target)
        return
    generate(target, float(sys.argv[3]) if len(sys.argv) > 3 else 2.0)
    if sys.argv[2:3] != ["generate"]:
        tasks(target)
        augment(target)
        folder(target)
        beads(target)


def tasks(folder: Path) -> None:
    """Save pictures of preview and result of every task."""
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
