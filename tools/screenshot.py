"""Drive a real window through every task, from sample to result, and save pictures: ``screenshot.py docs``.

``screenshot.py docs detect steps`` makes only those, and ``screenshot.py docs generate 10`` trains for ten minutes
instead of two (unless the runs folder has a finished run of the name already).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from PIL import Image
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea
from scipy.ndimage import gaussian_filter
from skimage.measure import regionprops

from napari_genrecon import detect as find_objects
from napari_genrecon import train
from napari_genrecon.training import all_recipes, read_options
from napari_genrecon.widgets.advise.open_dock import open_dock
from napari_genrecon.widgets.compare.split_line import SplitLine, canvas_of

# Pixels (y, x) of the middles of nuclei in the sample of a stained section.
_NUCLEI = [[56, 154], [52, 188], [49, 211], [83, 207], [100, 205], [116, 206], [105, 175], [92, 175], [100, 243]]


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


def opened(title: str, sample: str = "fluorescence_2d") -> tuple[Any, Any]:
    """Open a window with a sample, by default a real noisy image, and one widget."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 900)
    widget = open_dock(viewer, title)
    viewer.open_sample("napari-genrecon", sample)
    viewer.reset_view()
    if hasattr(widget, "_report"):
        wait(lambda: "Expected time" in widget._report.value and widget._job is None)
    return viewer, widget


def preview(viewer: Any, widget: Any, target: Path) -> None:
    """Run the preview and save a picture of it."""
    viewer.scene.camera.zoom *= 2
    before = len(viewer.layers)
    widget._preview.changed.emit(True)
    wait(lambda: widget._job is None and len(viewer.layers) == before + 1, 900)
    _picture(viewer, target)


def run(viewer: Any, widget: Any, target: Path) -> None:
    """Run the task and save a picture of the result."""
    widget._run.changed.emit(True)
    wait(lambda: widget._job is None and "New layer" in widget._status.value)
    _picture(viewer, target)


def generate(folder: Path, minutes: float) -> None:
    """Train a model on nuclei, add samples as a layer, move a slider; save a picture of each."""
    for name in ("GENRECON_RUNS", "GENRECON_MODELS"):
        os.environ.setdefault(name, tempfile.mkdtemp())
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 1000)
    widget = open_dock(viewer, "Generate")
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


def train_denoiser(folder: Path) -> None:
    """Train a denoiser on the same field with little and with much light; save a picture of its progress."""
    for name in ("GENRECON_RUNS", "GENRECON_MODELS"):
        os.environ[name] = tempfile.mkdtemp()  # no other runs in the list
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 1000)
    widget = open_dock(viewer, "Generate")
    viewer.open_sample("napari-genrecon", "low_and_high")
    viewer.reset_view()
    page = widget.train
    page.recipe["kind"].value = next(recipe.name for recipe in all_recipes() if recipe.label == "CARE")
    page.chooser.images.value, page.chooser.targets.value = ["little light"], ["much light"]
    _train(viewer, widget, 1.0, folder / "train-denoiser.png")
    viewer.close()


def augment(folder: Path) -> None:
    """Show the contact sheet of nuclei with their masks, and the advice about a noisy image; save a picture of each."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 1000)
    viewer.open_sample("napari-genrecon", "nuclei")
    viewer.reset_view()
    dock = open_dock(viewer, "Augment")
    _press(dock.page, dock.page.show_sheet)
    _picture(viewer, folder / "augment.png")
    viewer.close()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 800)
    viewer.open_sample("napari-genrecon", "fluorescence_2d")
    viewer.reset_view()
    dock = open_dock(viewer, "Advise")
    dock.page.goal.value = "train"
    _press(dock.page, dock.page.look)
    _picture(viewer, folder / "advise.png")
    viewer.close()


def classify(folder: Path) -> None:
    """Give some nuclei a class by keys, classify all, ask what to label next; save a picture."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 820)
    viewer.open_sample("napari-genrecon", "nuclei")
    viewer.reset_view()
    page = open_dock(viewer, "Classify").page
    objects = next(layer for layer in viewer.layers if isinstance(layer, napari.layers.Labels))
    page.classes.set_names(["single", "clump"])
    parts = [part for part in regionprops(np.asarray(objects.data)) if part.area > 100]
    for key, some in ((1, _most(parts, 12)), (2, _most(parts, -12))):
        for part in some:
            viewer.cursor.position = tuple(objects.data_to_world(part.coords[len(part.coords) // 2]))
            page.press(key)
    _press(page, page.run)
    _press(page, page.next)
    _picture(viewer, folder / "classify.png")
    viewer.close()


def _most(parts: list[Any], count: int) -> list[Any]:
    """Return the objects that are most convex, or least for a negative count."""
    ordered = sorted(parts, key=lambda part: -part.solidity)
    return ordered[:count] if count > 0 else ordered[count:]


def compare(folder: Path) -> None:
    """Compare a denoised image with its source, along a line, too; save a picture."""
    viewer, widget = opened("Denoise")
    widget._run.changed.emit(True)
    wait(lambda: widget._job is None and "New layer" in widget._status.value)
    page = open_dock(viewer, "Compare")
    wait(lambda: page.way.value == "split")
    viewer.add_shapes([[[120, 150], [120, 260]]], shape_type="line", edge_color="#ffd400", edge_width=2, name="line")
    page.line.value = "line"
    wait(lambda: not page.plot.isHidden())
    _picture(viewer, folder / "compare.png")
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
    page = open_dock(viewer, "Folder")
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
    page = open_dock(viewer, "Deblur")
    wait(lambda: "Expected time" in page._report.value and page._job is None)
    found = find_objects(image, fdr=0.01)
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
    wait(lambda: page.runs.snapshot.chosen is not None or not page.runs.snapshot.runs)
    if not page.runs.snapshot.runs:
        page.recipe["minutes"].value = minutes
        _press(page, page.start)
    wait(lambda: page.runs.snapshot.state == "finished", 60 * minutes + 300)
    bar = widget.tabs.widget(0).findChild(QScrollArea).verticalScrollBar()
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


def of_preview(title: str, name: str, folder: Path) -> None:
    """Save a picture of the preview of a task that needs nothing but an image."""
    viewer, widget = opened(title)
    preview(viewer, widget, folder / name)
    viewer.close()


def upscale_z(folder: Path) -> None:
    """Save a picture of a stack from its side, before and after Upscale Z."""
    viewer, widget = opened("Upscale Z", "anisotropic_stack")
    widget._run.changed.emit(True)
    wait(lambda: widget._job is None and "New layer" in widget._status.value, 1800)
    viewer.dims.order = (1, 0, 2)
    viewer.layers[1].visible = True
    viewer.grid.enabled, viewer.grid.shape = True, (2, 1)
    viewer.reset_view()
    _picture(viewer, folder / "upscale-z.png")
    viewer.close()


def inpaint(folder: Path) -> None:
    """Scratch the image, and fill the scratches; save a picture of the preview, damaged and filled."""
    viewer, widget = opened("Inpaint")
    lines = np.array([[[170, 190], [330, 320]], [[300, 180], [200, 330]]])
    scratches = viewer.add_shapes(list(lines), shape_type="line", edge_width=4, edge_color="red", name="scratches")
    mask, image = scratches.to_labels(viewer.layers[0].data.shape) > 0, viewer.layers[0]
    image.data = np.where(mask, image.data.max(), image.data)
    scratches.visible = False
    viewer.layers.selection.active = image
    wait(lambda: "Expected time" in widget._report.value and widget._job is None)
    widget._form["mask"].value = "scratches"
    preview(viewer, widget, folder / "inpaint-result.png")
    viewer.close()


def region(folder: Path) -> None:
    """Denoise what a rectangle holds; save a picture of the result in its place."""
    viewer, widget = opened("Denoise")
    viewer.window.resize(1366, 768)
    corners = [[150, 150], [150, 370], [370, 370], [370, 150]]
    viewer.add_shapes([corners], name="box", face_color="transparent", edge_color="#ffd400", edge_width=3)
    viewer.layers.selection.active = viewer.layers[0]
    wait(lambda: widget._job is None)
    widget._only.part.value = "box"
    run(viewer, widget, folder / "region.png")
    viewer.close()


def movie(folder: Path) -> None:
    """Denoise a movie with and without neighbouring frames; save an animation: raw, by itself, with its neighbours."""
    viewer, widget = opened("Denoise", "drifting_movie")
    for frames in ("none", "T"):
        viewer.layers.selection.active = viewer.layers[0]
        wait(lambda: "Expected time" in widget._report.value and widget._job is None)
        widget._form["frames"].value = frames
        widget._run.changed.emit(True)
        wait(lambda: widget._job is None and "New layer" in widget._status.value, 900)
        widget._status.value = ""
    _picture(viewer, folder / "movie.png")
    raw, *clean = (np.asarray(layer.data, float) for layer in viewer.layers[:3])
    low, high = np.percentile(clean[-1], (1, 99.9))
    cut = (slice(None), slice(30, 150), slice(80, 200))
    shown = np.concatenate([part[cut] for part in (raw, *clean)], axis=2)
    grey = (255 * np.clip((shown - low) / (high - low), 0, 1) ** 0.6).astype(np.uint8) // 8 * 8
    first, *rest = (Image.fromarray(frame).resize((720, 240), Image.Resampling.NEAREST) for frame in grey)
    first.save(folder / "movie.gif", save_all=True, append_images=rest, duration=150, loop=0, optimize=True)
    viewer.close()


def sweep(folder: Path) -> None:
    """Denoise, compare, and drag the line over the result; save an animation."""
    viewer, widget = opened("Denoise")
    viewer.window.resize(1366, 768)
    widget._run.changed.emit(True)
    wait(lambda: widget._job is None and "New layer" in widget._status.value)
    widget._compare.changed.emit(True)
    compared = open_dock(viewer, "Compare")
    wait(lambda: compared.ready and compared.way.value == "split")
    open_dock(viewer, "Denoise")
    viewer.scene.camera.zoom *= 2
    canvas = canvas_of(viewer)
    assert canvas is not None
    line = canvas.findChild(SplitLine)
    frames = []
    for share in (*np.linspace(0.9, 0.1, 15), 0.1, 0.1, *np.linspace(0.3, 0.7, 3)):
        QTest.mouseMove(line, line.mapFromParent(QPoint(round(share * canvas.width()), canvas.height() // 2)))
        wait(lambda: True)
        shot = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)).convert("RGB")
        frames.append(shot.resize((960, 540), Image.Resampling.LANCZOS))
    palette = frames[7].quantize(220)  # in which the line is in the middle
    first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    first.save(folder / "denoise.gif", save_all=True, append_images=rest, duration=200, loop=0, optimize=True)
    viewer.close()


def detect(folder: Path) -> None:
    """Detect simulated spots; save a picture of the points."""
    viewer, widget = opened("Detect", "spots")
    run(viewer, widget, folder / "detect.png")
    viewer.close()


def clicks(folder: Path) -> None:
    """Find nuclei like nine that were clicked on with a heat map; save a picture of the points."""
    viewer, widget = opened("Detect", "histology")
    viewer.window.resize(1366, 768)
    image = viewer.layers["section"]
    place = {"scale": image.scale, "units": image.units}
    box = [[39, 138], [39, 255], [119, 255], [119, 138]]
    region = viewer.add_shapes([box], name="all clicked", face_color="transparent", edge_color="black", **place)
    viewer.add_points(_NUCLEI, name="clicks", size=6, face_color="cyan", **place)
    viewer.layers.selection.active = image
    wait(lambda: widget._job is None)
    widget._form["clicks"].value = "clicks"
    widget._form["complete"].value = region.name
    widget._form["method"].value = "heatmap"
    viewer.reset_view()
    run(viewer, widget, folder / "detect-clicks.png")
    viewer.close()


def expected_error(folder: Path) -> None:
    """Denoise with the expected error; save a picture of it."""
    viewer, widget = opened("Denoise")
    viewer.window.resize(1366, 768)
    widget._form["uncertainty"].value = True
    widget._run.changed.emit(True)
    wait(lambda: widget._job is None and "New layer" in widget._status.value, 900)
    for layer in viewer.layers:
        layer.visible = layer.name.endswith("expected error")
    _picture(viewer, folder / "expected-error.png")
    viewer.close()


def predict(folder: Path) -> None:
    """Train a model on blurred and sharp nuclei for a minute, use it on others; save a picture before and after."""
    for name in ("GENRECON_RUNS", "GENRECON_MODELS"):
        os.environ.setdefault(name, tempfile.mkdtemp())
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1366, 768)
    viewer.open_sample("napari-genrecon", "nuclei")
    sharp = viewer.layers["nuclei"].data.astype(np.float32)
    viewer.layers.clear()
    blurred = gaussian_filter(sharp, 2.5)
    half = sharp.shape[1] // 2
    options = read_options({"kind": "image2image", "minutes": 1.0})
    train("image2image", blurred[:, :half], sharp[:, :half], name="sharpen", options=options)
    viewer.add_image(blurred[:, half:], name="blurred")
    viewer.reset_view()
    widget = open_dock(viewer, "Predict")
    wait(lambda: widget.ready and widget._job is None)
    widget._run.changed.emit(True)
    wait(lambda: widget._job is None and "New layer" in widget._status.value)
    page = open_dock(viewer, "Compare")
    wait(lambda: page.way.value == "split")
    open_dock(viewer, "Predict")
    _picture(viewer, folder / "predict.png")
    viewer.close()


def steps(folder: Path) -> None:
    """Run three steps in a row; save a picture of the result."""
    viewer, page = opened("Steps")
    for task, options in (("inpaint", "detect=hot"), ("denoise", "strength=0.8"), ("upscale", "factor=2")):
        page.task.value = task
        page.add_step.changed.emit(True)
        page.step_options.value = options
        page.step_options.native.editingFinished.emit()
    page.run.changed.emit(True)
    wait(lambda: len(viewer.layers) == 2, 900)
    _picture(viewer, folder / "steps.png")
    viewer.close()


PICTURES = {
    "denoise": partial(of_preview, "Denoise", "widget.png"), "upscale": partial(of_preview, "Upscale", "upscale.png"),
    "deblur": partial(of_preview, "Deblur", "deblur.png"), "upscale_z": upscale_z, "inpaint": inpaint,
    "detect": detect, "steps": steps, "augment": augment, "compare": compare, "folder": folder, "beads": beads,
    "region": region, "predict": predict, "classify": classify, "movie": movie, "sweep": sweep, "clicks": clicks,
    "expected_error": expected_error, "generate": generate,
    "train_denoiser": train_denoiser,
}  # fmt: skip


def main() -> None:
    target, names = Path(sys.argv[1]), sys.argv[2:]
    target.mkdir(parents=True, exist_ok=True)
    minutes = float(names.pop()) if names and names[-1].isdigit() else 2.0
    for name in names or PICTURES:
        if name == "generate":
            generate(target, minutes)
        else:
            PICTURES[name](target)


if __name__ == "__main__":
    main()
