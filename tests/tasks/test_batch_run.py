"""A batch goes on where it has stopped, reports what fails, and leaves whole files only."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_genrecon import batch, pipeline
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconWarning, OptionError
from napari_genrecon.optics import Optics
from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.batch import batch_steps, make_folders, pipeline_work, plan_batch, task_work
from napari_genrecon.tasks.from_text import options_from_text
from napari_genrecon.tasks.pipeline import Pipeline, Step

OPTICS = "optics:na=0.8,wavelength=520,refractive_index=1.0,kind=widefield,pixel_size=0.2"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", rng.poisson(30, (40, 48)).astype("u2"))
    return tmp_path


def work(task, **given):
    return task_work(find_task(task), *options_from_text(find_task(task), given))


def states(folder, what, **more):
    batch = plan_batch([folder], what.name, f"{folder}/out/", pattern=more.pop("pattern", ""))
    make_folders(batch)
    return [row.state for row in finish(batch_steps(batch, what, **more))]


@pytest.mark.parametrize(
    "what",
    [
        work("denoise", strength=0.7),
        work("denoise", noise="5"),
        work("upscale", factor=2, keep_dtype=True),
        work("deblur", psf="2.5", iterations=2, method="rl"),
        work("deblur", psf=OPTICS, method="rl"),
        work("inpaint", detect="hot", method="biharmonic"),
        work("denoise", region="x=30:48,Y = 4:20"),
        work("denoise", region="Y=0:40", whole=True),
        pipeline_work(Pipeline((Step("inpaint", {"detect": "hot"}), Step("upscale"))), "mine"),
    ],
    ids=["denoise", "noise", "upscale", "gaussian", "optics", "inpaint", "region", "all as a region", "steps"],
)
def test_second_start_skips_what_is_done(folder, what):
    assert states(folder, what) == ["done"] * 3
    assert states(folder, what) == ["failed"] * 3
    (folder / "out" / f"b_{what.name}.ome.tif").unlink()
    assert states(folder, what, resume=True) == ["done before", "done", "done before"]


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (work("denoise", strength=0.7), work("denoise"), "another strength of Denoise"),
        (work("denoise", noise="5"), work("denoise"), "another noise of Denoise"),
        (work("denoise", axes="YX"), work("denoise", axes="ZX"), None),
        (work("denoise", region="Y=4:20"), work("denoise", region="Y=4:21"), "another region of Denoise"),
        (work("denoise", region="Y=4:20"), work("denoise", region="Y=4:99"), "another region of Denoise"),
        (work("deblur", psf="2.5", method="rl"), work("deblur", psf="2.4", method="rl"), "another psf of Deblur"),
    ],
)
def test_result_of_other_options_is_neither_skipped_nor_replaced(folder, first, then, said):
    batch = plan_batch([folder / "a.tif"], first.name)
    finish(batch_steps(batch, first))
    before = batch.jobs[0][1].read_bytes()
    (row,) = finish(batch_steps(batch, then, resume=True))
    assert row.state == "failed"
    assert said is None or f"exists already, and it was made with {said}" in row.sentence
    assert batch.jobs[0][1].read_bytes() == before


def test_result_of_an_image_that_has_changed_is_not_taken_for_done(folder):
    what = work("upscale")
    states(folder, what)
    tifffile.imwrite(folder / "b.tif", np.full((40, 48), 7, "u2"))
    batch = plan_batch([folder], "upscale", f"{folder}/out/")
    rows = finish(batch_steps(batch, what, resume=True))
    assert [row.state for row in rows] == ["done before", "failed", "done before"]
    assert "from another image than b.tif is now" in rows[1].sentence


def test_mask_from_another_file_makes_another_result(folder):
    for name in ("m.tif", "n.tif"):
        tifffile.imwrite(folder / "out" / name if (folder / "out").exists() else folder.parent / name, np.eye(40, 48))
    masks = [work("inpaint", mask=str(folder.parent / name), method="biharmonic") for name in ("m.tif", "n.tif")]
    batch = plan_batch([folder / "a.tif"], "inpaint")
    finish(batch_steps(batch, masks[0]))
    assert [finish(batch_steps(batch, mask, resume=True))[0].state for mask in masks] == ["done before", "failed"]


def test_bad_file_gets_its_sentence_and_the_rest_go_on(folder):
    (folder / "b.tif").write_bytes(b"II*\0 broken")
    batch = plan_batch([folder], "upscale")
    rows = finish(batch_steps(batch, work("upscale")))
    assert [row.state for row in rows] == ["done", "failed", "done"]
    assert "b.tif" in rows[1].sentence
    with pytest.raises(Exception, match=r"b\.tif"):
        finish(batch_steps(batch, work("upscale"), strict=True, resume=True))


def test_stopped_batch_leaves_whole_results_only_and_goes_on(folder):
    what = work("upscale")
    batch = plan_batch([folder], "upscale", f"{folder}/out/")
    make_folders(batch)
    steps = batch_steps(batch, what)
    seen = [next(steps)]
    while seen[-1].row.image.name != "b.tif":
        seen.append(next(steps))
    steps.close()
    assert [path.name for path in (folder / "out").iterdir()] == ["a_upscale.ome.tif"]
    assert states(folder, what, resume=True) == ["done before", "done", "done"]


def test_progress_of_all_never_falls_and_shows_each_image(folder):
    what = work("upscale")
    seen = list(batch_steps(plan_batch([folder], "upscale"), what))
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert [progress.row.state for progress in seen if progress.row.ended] == ["done"] * 3
    assert seen[0].rows[1].state == "waiting"


STEPS = pipeline_work(Pipeline((Step("inpaint", {"detect": "hot"}), Step("upscale", {"factor": 3}))), "mine")


@pytest.mark.parametrize("what", [work("inpaint", detect="hot"), work("upscale"), STEPS], ids=lambda what: what.name)
@pytest.mark.parametrize(("before", "after"), [(None, 0.1), (0.1, 0.2), (0.1, None)])
def test_result_of_other_pixel_sizes_is_made_anew(tmp_path, what, before, after):
    image = np.random.default_rng(0).poisson(30, (3, 40, 48)).astype("u2")

    def write(size):
        known = {} if size is None else {"PhysicalSizeX": size, "PhysicalSizeXUnit": "µm", "TimeIncrement": 2.5}
        tifffile.imwrite(tmp_path / "a.ome.tif", image, metadata={"axes": "TYX", **known})

    batch = plan_batch([tmp_path / "a.ome.tif"], what.name)
    for size, state in ((before, "done"), (before, "done before"), (after, "failed")):
        write(size)
        (row,) = finish(batch_steps(batch, what, resume=True))
        assert row.state == state
    assert "it was made when the pixels of a.ome.tif had another size" in row.sentence


def test_pattern_names_the_results_and_chooses_the_format(folder):
    assert states(folder, work("upscale"), pattern="{name} big v1.5") == ["done"] * 3
    assert states(folder, work("upscale"), pattern="{task}-{name}.ome.zarr") == ["done"] * 3
    names = {path.name for path in (folder / "out").iterdir()}
    assert {"a big v1.5.ome.tif", "upscale-a.ome.zarr"} <= names


@pytest.mark.parametrize("pattern", ["same", "{name}_{day}", "sub/{name}", "{name}.png"])
def test_pattern_that_cannot_name_results_gets_a_sentence(folder, pattern):
    with pytest.raises(OptionError, match=r"cannot name the results|names no format"):
        plan_batch([folder], "denoise", pattern=pattern)


def test_command_line_skips_what_is_done(folder, capsys):
    call = ["upscale", str(folder), "-o", f"{folder}/out/", "--name", "{name}_x2"]
    assert main(call) == 0
    assert main(call) == 1
    assert "(or give --resume or --overwrite)" in capsys.readouterr().err
    (folder / "out" / "c_x2.ome.tif").unlink()
    assert main([*call, "--resume"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.endswith("(done before)") for line in said] == [True, True, False, False]
    assert said[-1] == "3 of 3 images done"
    assert main([*call, "--resume", "--factor", "3"]) == 1
    assert "(or give --overwrite)" in capsys.readouterr().err


def test_python_and_the_command_line_write_the_same(folder):
    rows = batch("upscale", folder, folder / "out", name="{name}_py", factor=2)
    assert main(["upscale", str(folder / "a.tif"), "-o", str(folder / "out"), "--name", "{name}_cli"]) == 0
    made = [tifffile.imread(path) for path in (rows[0].result, folder / "out" / "a_cli.ome.tif")]
    np.testing.assert_array_equal(*made)
    again = batch(pipeline(["upscale"]), [folder / "a.tif"], folder / "out", name="{name}_py")
    assert again[0].state == "done before"


def test_python_warns_of_each_image_that_failed(folder):
    (folder / "b.tif").write_bytes(b"II*\0 broken")
    with pytest.warns(GenReconWarning, match=r"b\.tif"):
        rows = batch("upscale", [folder])
    assert [row.state for row in rows] == ["done", "failed", "done"]


@pytest.mark.parametrize(("task", "options"), [("denoice", {}), ("denoise", {"strenght": 1}), (None, {"factor": 2})])
def test_python_refuses_what_there_is_not(folder, task, options):
    with pytest.raises(OptionError, match=r"no such task or option|steps hold their options"):
        batch(task or pipeline(["upscale"]), folder, **options)


def test_optics_are_compared_by_value():
    assert work("deblur", psf=OPTICS).steps[0][1].psf == Optics.from_text(OPTICS)


def test_result_of_a_mask_that_has_changed_is_not_taken_for_done(folder):
    import os

    mask = folder / "masks" / "mask.tif"
    mask.parent.mkdir()
    tifffile.imwrite(mask, np.eye(40, 48, dtype="u1"))
    what = work("inpaint", mask=str(mask), method="biharmonic")
    assert states(folder, what) == ["done"] * 3
    assert states(folder, what, resume=True) == ["done before"] * 3
    later = mask.stat().st_mtime + 100
    os.utime(mask, (later, later))
    assert states(folder, what, resume=True) == ["failed"] * 3


@pytest.mark.parametrize("images", [None, np.zeros((8, 8)), [np.zeros((8, 8))]], ids=["None", "array", "arrays"])
def test_arrays_are_no_images_of_a_batch(images):
    with pytest.raises(OptionError, match="images must be the path of an image or a folder, or a list of paths"):
        batch("denoise", images)


def test_array_where_a_file_is_needed_gets_a_sentence(folder):
    with pytest.raises(OptionError, match=r"camera: give the path of a file, not ndarray \(3, 40, 48\)"):
        batch("denoise", folder, camera=np.ones((3, 40, 48)))
