"""Which files of a batch are taken, and what their results are called."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon.errors import ImageError, OptionError, OutputError
from napari_genrecon.io.folders import Found, find_images
from napari_genrecon.io.record.sidecar import sidecar_of
from napari_genrecon.tasks import TASKS
from napari_genrecon.tasks.batch import make_folders, name_results, plan_batch

PARTS = st.sampled_from(["a", "A", "b", "\u00e9", "e\u0301", "a_denoise", "img", "Stra\u00dfe", "strasse", ".."])
ENDINGS = st.sampled_from(["", ".tif", ".TIF", ".tiff", ".ome.tif", ".zarr", ".ome.zarr", "_denoise.ome.tif"])
PATHS = st.builds(lambda folder, name, ending: Path("/data", folder, name + ending), PARTS, PARTS, ENDINGS)


def same_file(path):
    import unicodedata

    return unicodedata.normalize("NFC", str(path.resolve()).casefold())


def image(path, record=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros((8, 8), "u1"))
    if record:
        sidecar_of(path).write_text(json.dumps(record))
    return path


@settings(max_examples=60)
@given(st.lists(st.builds(Found, PATHS, st.none() | PARTS.map(Path)), max_size=6), st.none() | PATHS)
def test_no_two_results_have_one_name_and_none_that_of_an_image(found, folder):
    found = list({item.path.resolve(): item for item in found}.values())
    try:
        targets = name_results(found, "denoise", folder)
    except OptionError:
        return
    names = {same_file(target) for target in targets}
    assert len(names) == len(found)
    assert not names & {same_file(item.path) for item in found}


def test_the_root_of_the_file_system_is_refused():
    with pytest.raises(OptionError, match="a result cannot be named after it"):
        name_results([Found(Path("/data/../.."))], "denoise", None)


@settings(max_examples=60)
@given(st.lists(PARTS.filter(lambda part: part != "..").map(str.casefold), unique=True, max_size=4))
def test_images_of_different_names_get_results(names):
    paths = [Path("/data", f"{name}{i}.tif") for i, name in enumerate(names)]
    assert len(name_results([Found(path) for path in paths], "upscale", Path("/out"))) == len(paths)


@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_inputs_whose_results_would_have_one_name_are_refused(tmp_path, task):
    first, second = image(tmp_path / "Pos0" / "img.tif"), image(tmp_path / "Pos1" / "IMG.tiff")
    with pytest.raises(OptionError, match=r"Pos0/img\.tif and .*Pos1/IMG\.tiff would both become .*IMG_.*\.(ome|csv)"):
        plan_batch([first, second], task, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(plan_batch([first, second], task).jobs) == 2  # each beside its image


def test_result_that_would_replace_another_input_is_refused(tmp_path):
    image(tmp_path / "a.tif"), image(tmp_path / "a_denoise.ome.tif")
    with pytest.raises(OptionError, match=r"the result of .*a\.tif would be .* and replace the input .*a_denoise"):
        plan_batch([tmp_path], "denoise")


def test_image_that_is_named_twice_is_taken_once(tmp_path):
    path = image(tmp_path / "a.tif")
    (tmp_path / "link.tif").symlink_to(path)
    assert [source for source, _ in plan_batch([path, tmp_path, tmp_path / "." / "a.tif"], "denoise").jobs] == [path]


@pytest.mark.parametrize("task", [task.name for task in TASKS])
@pytest.mark.parametrize("made_by", ["denoise", "upscale"])
def test_results_of_earlier_runs_are_no_inputs(tmp_path, task, made_by):
    source = image(tmp_path / "a.tif")
    record = {"task": made_by, "input": {"path": str(source)}}
    result = image(tmp_path / "renamed.tif", record)
    moved = image(tmp_path / f"a_{made_by}.ome.tif", {"task": made_by, "input": {"path": "/elsewhere/a.tif"}})
    batch = plan_batch([tmp_path], task, tmp_path / "out")
    assert [path for path, _ in batch.jobs] == [source]
    assert any("left out as results of earlier runs: 2" in note for note in batch.notes)
    named = plan_batch([tmp_path, result, moved], task, tmp_path / "out")
    assert {path for path, _ in named.jobs} == {source, result, moved}


def test_file_of_the_user_that_is_only_named_like_a_result_is_taken(tmp_path):
    image(tmp_path / "a.tif"), image(tmp_path / "a_denoise.tif")
    assert len(plan_batch([tmp_path], "denoise").jobs) == 2


def test_folder_of_results_is_the_input_of_another_task_only(tmp_path):
    image(tmp_path / "a_denoise.ome.tif", {"task": "denoise", "input": {"path": "/elsewhere/a.tif"}})
    assert len(plan_batch([tmp_path], "upscale").jobs) == 1
    with pytest.raises(OptionError, match="the image is a result of 'denoise' already"):
        plan_batch([tmp_path], "denoise")


@pytest.mark.parametrize(
    ("output", "several", "folder"),
    [
        ("results/", False, True),
        ("results", False, True),
        ("results/", True, True),
        ("results", True, True),
        ("v0.5/", True, True),
        ("a.ome.tif", False, False),
        ("a.ome.zarr/", False, False),  # as the shell completes the name of a store
    ],
)
def test_output_is_a_folder_or_a_file(tmp_path, output, several, folder):
    inputs = [image(tmp_path / f"{i}.tif") for i in range(1 + several)]
    batch = plan_batch(inputs, "denoise", f"{tmp_path}/{output}")
    made = tmp_path / output
    assert [target for _, target in batch.jobs] == (
        [made / f"{path.stem}_denoise.ome.tif" for path in inputs] if folder else [made]
    )
    make_folders(batch)
    assert made.is_dir() == folder


@pytest.mark.parametrize("output", ["a.ome.tif", "a.zarr/", "v0.5"])
def test_several_results_need_a_folder(tmp_path, output):
    inputs = [image(tmp_path / name) for name in ("a.tif", "b.tif")]
    with pytest.raises(OptionError, match="several inputs need a folder for their results"):
        plan_batch(inputs, "denoise", f"{tmp_path}/{output}")


def test_name_of_no_image_and_no_folder_gets_a_sentence(tmp_path):
    with pytest.raises(
        OptionError, match=r"v0\.5 names no format .* end it in \.ome\.zarr or \.ome\.tif, or in a slash for a folder"
    ):
        plan_batch([image(tmp_path / "a.tif")], "denoise", tmp_path / "v0.5")


def test_file_in_the_place_of_the_folder_gets_a_sentence(tmp_path):
    (tmp_path / "results").write_text("precious")
    with pytest.raises(OptionError, match="results is a file, and a folder is needed"):
        plan_batch([image(tmp_path / "a.tif")], "denoise", tmp_path / "results")
    batch = plan_batch([tmp_path / "a.tif"], "denoise", f"{tmp_path}/results/deeper/")
    with pytest.raises(OutputError, match=r"deeper cannot be made .*choose a folder you may write to"):
        make_folders(batch)


def test_subfolders_are_named_or_searched_and_kept(tmp_path):
    for name in ("a.tif", "Pos0/img.tif", "Pos1/deep/img.tif", ".hidden/img.tif"):
        image(tmp_path / "in" / name)
    shallow = plan_batch([tmp_path / "in"], "denoise", tmp_path / "out")
    assert len(shallow.jobs) == 1
    assert any("2 subfolders are left out: --recursive" in note for note in shallow.notes)
    (tmp_path / "in" / "Pos0" / "up").symlink_to(tmp_path / "in")
    deep = plan_batch([tmp_path / "in"], "denoise", tmp_path / "out", recursive=True)
    expected = ("Pos0/img", "Pos1/deep/img", "a")
    assert {target for _, target in deep.jobs} == {tmp_path / "out" / f"{name}_denoise.ome.tif" for name in expected}
    make_folders(deep)
    assert (tmp_path / "out" / "Pos1" / "deep").is_dir()


def test_folder_without_images_says_what_would_find_some(tmp_path):
    image(tmp_path / "Pos0" / "img.tif")
    with pytest.raises(ImageError, match=r"no image that can be opened .* --recursive looks into its 1 subfolder"):
        find_images([tmp_path])


def test_unfinished_results_and_sidecars_are_no_images(tmp_path):
    image(tmp_path / "a.tif", {"task": "sample"})
    part = tmp_path / "a_denoise.ome.zarr.part"
    part.mkdir()
    (part / "zarr.json").write_text("{}")
    found, notes = find_images([tmp_path], recursive=True)
    assert [item.path.name for item in found] == ["a.tif"]
    words = "--resume, or Start in the window, goes on with what is unfinished"
    assert notes == [f"{tmp_path}: 1 unfinished result was no image to work on: {words}"]


def test_folders_that_cannot_be_read_get_a_sentence(tmp_path, monkeypatch):
    image(tmp_path / "in" / "a.tif"), image(tmp_path / "in" / "closed" / "b.tif")
    listed = Path.iterdir

    def refuse(self):
        if self.name == "closed":
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", refuse)
    found, notes = find_images([tmp_path / "in"], recursive=True)
    assert [item.path.name for item in found] == ["a.tif"]
    assert notes == [f"{tmp_path / 'in' / 'closed'} (Permission denied) cannot be read and is left out"]
    with pytest.raises(ImageError, match="closed cannot be read \\(Permission denied\\): ask its owner"):
        find_images([tmp_path / "in" / "closed"])


def test_working_folder_as_a_stack_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        plan_batch([Path()], "denoise", stack=True).jobs[0][1] == tmp_path.parent / f"{tmp_path.name}_denoise.ome.tif"
    )
