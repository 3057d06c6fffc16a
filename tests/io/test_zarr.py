"""OME-Zarr: round trips, regions, journal, resume; what is not safe is not read."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import yaozarrs
import zarr

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconWarning, ImageError, OutputError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import verify
from napari_genrecon.io.record.provenance import Stored, note_device
from napari_genrecon.io.zarr import journal
from napari_genrecon.io.zarr.write import _store, write_zarr_steps

RECORD = {"schema": "genrecon-record/1", "task": "denoise", "nature": "restored", "options": {"strength": 1.0}}
CALIBRATED = {
    "axes": Axes("ZYX"),
    "scale": (2.0, 0.1, 0.1),
    "units": ("micrometer",) * 3,
    "translate": (1.0, 2.0, 3.0),
    "record": RECORD,
}


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(1, 60_000, (3, 70, 90)).astype("u2")


@pytest.fixture
def lazy(stack):
    return da.from_array(stack, chunks=(1, 40, 50))


def chunks_of(store):
    """sha256 of every stored chunk."""
    files = (p for p in store.rglob("*") if p.is_file() and p.name != "zarr.json")
    return {str(p.relative_to(store)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def write(path, data, about, **options):
    return finish(write_zarr_steps(path, data, about, **options))


def test_pixels_are_computed_whatever_napari_has_cached(tmp_path, stack):
    """napari keeps results of dask that took long, and its cache may stay active beyond the display of a layer."""
    pytest.importorskip("cachey")
    from dask.cache import Cache

    calls = []

    def counted(block):
        calls.append(1)
        return block

    data = da.from_array(stack, chunks=(1, 70, 90)).map_blocks(counted, dtype="u2", meta=stack[:0])
    with Cache(1e9):
        for name in ("a.zarr", "b.zarr"):
            data.compute(scheduler="synchronous")  # now in the cache, if that is asked
            calls.clear()
            write(tmp_path / name, data, ImageMeta(**CALIBRATED))
            assert len(calls) == len(stack)


@pytest.mark.parametrize("letters", ["YX", "ZYX", "CYX", "TCZYX", "TZCYX", "YXS"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_round_trip_keeps_everything(tmp_path, letters, dtype):
    shape = tuple({"T": 2, "C": 2, "Z": 3, "Y": 70, "X": 80, "S": 3}[letter] for letter in letters)
    image = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    scale = tuple({"T": 2.0, "Z": 0.5, "Y": 0.1, "X": 0.1}.get(letter, 1.0) for letter in letters)
    units = tuple({"T": "second", "C": "pixel", "S": "pixel"}.get(letter, "micrometer") for letter in letters)
    n = 2 if "C" in letters else 0 if "S" in letters else 1
    names, colors = ("DAPI", "GFP")[:n], ("#0000ff", "#00ff00")[:n]
    about = ImageMeta(
        axes=Axes(letters), scale=scale, units=units, channel_names=names, channel_colors=colors, record=RECORD
    )
    path = write(tmp_path / "a.ome.zarr", image, about)
    yaozarrs.validate_zarr_store(str(path))
    found = open_image(path)
    plain = letters.replace("S", "C")
    np.testing.assert_array_equal(
        np.asarray(found.data), image.transpose([plain.index(letter) for letter in found.axes.letters])
    )
    assert found.data.dtype == dtype
    assert dict(zip(found.axes.letters, found.scale, strict=True)) == dict(zip(plain, scale, strict=True))
    assert dict(zip(found.axes.letters, found.units, strict=True)) == dict(zip(plain, units, strict=True))
    if names:
        assert (found.channel_names, found.about.channel_colors) == (names, colors)
    assert RECORD.items() <= found.record.items()
    assert verify(path) == []


def test_levels_lie_over_each_other(tmp_path):
    """The centre of mass of a bright pixel is at the same place in the world in every level."""
    image = np.zeros((600, 700), np.float32)
    image[301:305, 401:405] = 1
    path = write(tmp_path / "a.zarr", image, ImageMeta(axes=Axes("YX"), scale=(0.5, 0.5), units=("micrometer",) * 2))
    found = open_image(path)
    transforms = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]["datasets"]
    assert [level.shape for level in found.levels] == [(300, 350)]
    places = []
    for level, data in zip(transforms, [found.data, *found.levels], strict=True):
        scale, translation = (list(t.values())[1] for t in level["coordinateTransformations"])
        centre = np.argwhere(np.asarray(data) > 0).mean(axis=0)
        places.append(centre * scale + translation)
    np.testing.assert_allclose(places[0], places[1])


def test_killed_run_is_continued_to_the_same_chunks(tmp_path, lazy):
    about = ImageMeta(**CALIBRATED)
    whole = write(tmp_path / "whole.zarr", lazy, about)
    for stop in (1, 3, 7, 12):
        target = tmp_path / f"{stop}.zarr"
        steps = write_zarr_steps(target, lazy, about)
        for _ in range(stop):
            next(steps)
        steps.close()
        assert not target.exists()
        write(target, lazy, about, resume=True)
        assert chunks_of(target) == chunks_of(whole)
        assert [p.name for p in tmp_path.glob("*.part*")] == []


def test_finished_regions_are_not_computed_again_and_damaged_ones_are(tmp_path, stack):
    about, computed = ImageMeta(**CALIBRATED), []

    def count(block, block_info=None):
        computed.append(block_info[0]["chunk-location"])
        return block

    lazy = da.from_array(stack, chunks=(1, 40, 50)).map_blocks(count, dtype=stack.dtype, meta=np.empty((0,) * 3, "u2"))
    steps = write_zarr_steps(tmp_path / "a.zarr", lazy, about)
    for _ in range(6):
        next(steps)
    steps.close()
    part = tmp_path / "a.zarr.part"
    first = sorted((part / "0").rglob("c/0/0/0"))[0]
    first.write_bytes(first.read_bytes()[:-7])
    computed.clear()
    write(tmp_path / "a.zarr", lazy, about, resume=True)
    assert len(computed) == 12 - 5 + 1
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.zarr").data), stack)


def test_unfinished_result_never_passes_for_a_finished_one(tmp_path, lazy):
    steps = write_zarr_steps(tmp_path / "a.zarr", lazy, ImageMeta(**CALIBRATED))
    for _ in range(4):
        next(steps)
    steps.close()
    part = tmp_path / "a.zarr.part"
    with pytest.raises(Exception, match=r"(?i)no |not|metadata"):
        yaozarrs.validate_zarr_store(str(part))
    found = open_image(part)
    assert found.unfinished == "3 of 12 regions done"
    assert verify(part) == ["it was not finished: 3 of 12 regions done"]
    with pytest.raises(OutputError, match=r"left unfinished: continue it with --resume, or delete it"):
        write(tmp_path / "a.zarr", lazy, ImageMeta(**CALIBRATED))


def test_another_run_is_not_continued(tmp_path, lazy):
    steps = write_zarr_steps(tmp_path / "a.zarr", lazy, ImageMeta(**CALIBRATED))
    for _ in range(4):
        next(steps)
    steps.close()
    other = ImageMeta(**{**CALIBRATED, "record": {**RECORD, "options": {"strength": 0.5}}})
    with pytest.raises(OutputError, match="another input, other options"):
        write(tmp_path / "a.zarr", lazy, other, resume=True)


def test_second_process_is_kept_out(tmp_path, lazy):
    steps = write_zarr_steps(tmp_path / "a.zarr", lazy, ImageMeta(**CALIBRATED))
    next(steps)
    code = "import sys; from pathlib import Path; from napari_genrecon.io.zarr.journal import locked\n"
    code += "with locked(Path(sys.argv[1])): pass"
    run = [sys.executable, "-c", code, str(tmp_path / "a.zarr.part")]
    refused = subprocess.run(run, capture_output=True, text=True)
    assert "being written by another process: wait for it to end" in refused.stderr
    steps.close()
    assert subprocess.run(run, capture_output=True).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr.part"]


@pytest.mark.parametrize("resume", [False, True])
def test_second_run_is_told_to_wait_and_not_to_delete(tmp_path, lazy, resume):
    steps = write_zarr_steps(tmp_path / "a.zarr", lazy, ImageMeta(**CALIBRATED))
    next(steps)
    with pytest.raises(OutputError, match=r"a\.zarr\.part is being written by another process: wait for it to end$"):
        write(tmp_path / "a.zarr", lazy, ImageMeta(**CALIBRATED), resume=resume)
    steps.close()


def test_lock_of_a_killed_process_holds_nobody_up(tmp_path, lazy):
    code = "import os, sys; from pathlib import Path; from napari_genrecon.io.zarr.journal import locked\n"
    code += "with locked(Path(sys.argv[1])): os._exit(1)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.zarr.part")])
    assert [path.name for path in tmp_path.iterdir()] == [".a.zarr.part.lock"]
    write(tmp_path / "a.zarr", lazy, ImageMeta(**CALIBRATED))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_saving_without_a_record_leaves_nothing_when_it_is_cancelled(tmp_path, lazy):
    steps = write_zarr_steps(tmp_path / "a.zarr", lazy, ImageMeta(axes=Axes("ZYX")))
    for _ in range(4):
        next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["store", "file", "inside", "around"])
def test_source_and_existing_stores_are_never_replaced(tmp_path, stack, kind):
    source = write(tmp_path / "raw.zarr", stack, ImageMeta(**CALIBRATED))
    target = {"store": source, "file": tmp_path / "notes.txt", "inside": source / "a.zarr", "around": tmp_path}[kind]
    (tmp_path / "notes.txt").write_text("precious")
    before = chunks_of(source)
    with pytest.raises(OutputError):
        write(target, stack + 1, ImageMeta(**CALIBRATED), overwrite=True, sources=[source])
    assert chunks_of(source) == before
    assert (tmp_path / "notes.txt").read_text() == "precious"


def test_overwriting_on_purpose_replaces_the_whole_store(tmp_path, stack):
    path = write(tmp_path / "a.zarr", stack, ImageMeta(**CALIBRATED))
    write(path, stack[:1] + 1, ImageMeta(**CALIBRATED), overwrite=True)
    np.testing.assert_array_equal(np.asarray(open_image(path).data), stack[:1] + 1)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("change", ["pixel", "pixel size", "record"])
def test_changes_are_found(tmp_path, stack, change):
    path = write(tmp_path / "a.zarr", stack, ImageMeta(**CALIBRATED))
    if change == "pixel":
        zarr.open_array(path / "0", mode="r+")[1, 2, 3] = 7
    else:
        text = (path / "zarr.json").read_text()
        old, new = {"pixel size": ("2.0", "2.5"), "record": ('"denoise"', '"upscale"')}[change]
        assert old in text
        (path / "zarr.json").write_text(text.replace(old, new))
    assert len(verify(path)) >= 1


# --- what is not safe to read ---


def edited(path, edit, name="0/zarr.json"):
    metadata = json.loads((path / name).read_text())
    edit(metadata)
    (path / name).write_text(json.dumps(metadata))


HOSTILE = {
    "pickle codec": lambda m: m["codecs"].insert(0, {"name": "numcodecs.pickle", "configuration": {}}),
    "vlen codec": lambda m: m["codecs"].insert(0, {"name": "vlen-utf8"}),
    "objects": lambda m: m.update(data_type="variable_length_utf8"),
    "huge chunk": lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[1 << 20, 1 << 20, 1]),
    "negative shape": lambda m: m.update(shape=[-1, 70, 90]),
    "text shape": lambda m: m.update(shape=["3", 70, 90]),
    "nested codec": lambda m: m.update(
        codecs=[{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "pickle"}]}}]
    ),
}


@pytest.mark.parametrize("trick", HOSTILE)
def test_hostile_arrays_get_a_sentence(tmp_path, stack, trick):
    path = write(tmp_path / "a.zarr", stack, ImageMeta(**CALIBRATED))
    edited(path, HOSTILE[trick])
    with pytest.raises(ImageError):
        open_image(path)


@pytest.mark.parametrize("name", ["../b.zarr/0", "/etc", "http://example.org/0", "", "0/../../b.zarr/0", "c:\\0"])
def test_paths_that_lead_out_of_the_store_are_not_followed(tmp_path, stack, name):
    path = write(tmp_path / "a.zarr", stack, ImageMeta(**CALIBRATED))
    shutil.copytree(path, tmp_path / "b.zarr")
    edited(path, lambda m: m["attributes"]["ome"]["multiscales"][0]["datasets"][0].update(path=name), "zarr.json")
    with pytest.raises(ImageError):
        open_image(path)


def test_links_are_not_followed(tmp_path, stack):
    path = write(tmp_path / "a.zarr", stack, ImageMeta(**CALIBRATED))
    (path / "0").rename(tmp_path / "elsewhere")
    (path / "0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ImageError, match="is a link"):
        open_image(path)


RAGGED = {"reversed": [1, 0], "larger in between": [0, 2, 1], "other dtype": [0, 3], "fewer dimensions": [0, 4]}


@pytest.mark.parametrize("order", RAGGED)
def test_levels_must_go_from_large_to_small(tmp_path, order):
    """With the small one first, it would be taken for the measured pixels."""
    image = np.arange(48 * 64, dtype="u2").reshape(48, 64)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    arrays = [image, image[::2, ::2], image[::4, ::4], image[::2, ::2].astype("f4"), image[0]]
    for name, array in enumerate(arrays):
        group.create_array(str(name), data=array)
    unit = {"type": "scale", "scale": [1.0, 1.0]}
    names = RAGGED[order]
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": n, "type": "space"} for n in "yx"],
            "datasets": [{"path": str(name), "coordinateTransformations": [unit]} for name in names],
        }
    ]
    with pytest.raises(ImageError, match="do not go from large to small"):
        open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"attributes": 3}', b"[" * 100_000, b'{"attributes": {}}'])
def test_broken_metadata_get_a_sentence(tmp_path, stack, content):
    path = write(tmp_path / "a.zarr", stack, ImageMeta(**CALIBRATED))
    (path / "zarr.json").write_bytes(content)
    with pytest.raises(ImageError):
        open_image(path)


def test_axes_in_an_order_that_is_not_allowed_are_told_in_one_sentence(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=np.zeros((3, 2, 16, 16), "u2"))
    axes = [{"name": name, "type": "channel" if name == "c" else "space"} for name in "zcyx"]
    scale = {"type": "scale", "scale": [1.0] * 4}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    with pytest.raises(ImageError, match=r"not valid: image\.multiscales\.0\.axes: .*Order must be \S+ \S+ space\.$"):
        open_image(tmp_path / "a.zarr")


def test_zarr_of_format_2_is_read(tmp_path, stack):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=stack, chunks=(1, 32, 32))
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"],
            "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2.0, 0.1, 0.1]}]}],
        }
    ]
    found = open_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(np.asarray(found.data), stack)
    assert (found.axes.letters, found.scale, found.units) == ("ZYX", (2.0, 0.1, 0.1), ("micrometer",) * 3)


def test_journal_line_that_was_cut_short_does_not_count(tmp_path):
    journal.begin(tmp_path, journal.Header("run", {}, (2,)))
    journal.append(tmp_path, (0,), Stored("abc", 0, 0))
    with (tmp_path / journal.JOURNAL).open("a") as file:
        file.write('{"region": [1], "sha256": "de')
    assert journal.read(tmp_path)[1] == {(0,): Stored("abc", 0, 0)}


def test_run_whose_journal_was_cut_short_in_a_line_is_continued(tmp_path, lazy):
    """As on a full disk: what is added later must not run into the rest of the line."""
    target, about = tmp_path / "a.zarr", ImageMeta(**CALIBRATED)
    steps = write_zarr_steps(target, lazy, about)
    for _ in range(4):
        next(steps)
    steps.close()
    path = tmp_path / "a.zarr.part" / journal.JOURNAL
    path.write_bytes(path.read_bytes()[:-30])
    write(target, lazy, about, resume=True)
    assert chunks_of(target) == chunks_of(write(tmp_path / "whole.zarr", lazy, about))


# --- other stores than one image ---


def test_regions_that_a_worker_computes_before_it_stores_the_first_name_its_device(tmp_path, stack):
    zarr.create_array(tmp_path / "0", shape=stack.shape, dtype=stack.dtype, chunks=(1, 70, 90))

    def store(z, run):
        region = (slice(z, z + 1), slice(None), slice(None))
        return _store(stack[z : z + 1], str(tmp_path / "0"), region, counts=True, run=run).machine

    note_device("A GPU, bfloat16")  # all three planes are computed, and then stored
    assert all(store(z, "a network's").endswith("A GPU, bfloat16") for z in range(3))
    # Another run may write to the same place without a network.
    assert "GPU" not in store(0, "another")


def test_level_that_is_opened_by_itself_lies_over_its_image(tmp_path):
    image = np.zeros((2, 600, 700), np.float32)
    image[:, 301:305, 401:405] = 1
    about = ImageMeta(
        axes=Axes("CYX"), scale=(1, 0.5, 0.5), units=("pixel", *("micrometer",) * 2), channel_names=("a", "b")
    )
    path = write(tmp_path / "a.zarr", image, replace(about, translate=(0.0, 3.0, 4.0)))
    places = []
    for level in range(2):
        found = open_image(path / str(level))
        assert (found.axes.letters, found.units, found.channel_names) == ("CYX", about.units, ("a", "b"))
        centre = np.argwhere(np.asarray(found.data[0]) > 0).mean(axis=0)
        places.append(centre * found.scale[1:] + found.about.translate[1:])
    assert found.data.shape == (2, 300, 350)
    np.testing.assert_allclose(places[0], places[1])


SPACE = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]


def image_group(path, pixels, **more):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=pixels)
    scale = {"type": "scale", "scale": [0.5] * pixels.ndim}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    axes = [{"name": "c", "type": "channel"}, *SPACE][-pixels.ndim :]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    group.attrs.update(more)
    return path


def plate(path):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "B/2"}], "version": "0.4"}
    for number, name in enumerate(("A/1", "B/2")):
        well = group.create_group(name)
        well.attrs["well"] = {"images": [{"path": "0"}, {"path": "1"}]}
        for field in range(2):
            image_group(path / name / str(field), np.full((8, 9), 10 * number + field, "u2"))
    return path


def zipped(path):
    made = Path(shutil.make_archive(str(path), "zip", path))
    shutil.rmtree(path)
    return made


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_fields_of_a_plate_are_its_images(tmp_path, packed):
    path = plate(tmp_path / "p.zarr")
    path = zipped(path) if packed else path
    found = open_image(path, series="B/2/1")
    assert [one.name for one in found.series] == ["A/1/0", "A/1/1", "B/2/0", "B/2/1"]
    assert (np.unique(found.data[:]).tolist(), found.scale, found.name) == ([11], (0.5, 0.5), "p B/2/1")
    if not packed:
        assert np.unique(open_image(path / "A" / "1" / "1").data[:]).tolist() == [1]
        with pytest.warns(GenReconWarning, match=r"p\.zarr holds 4 images"):
            open_image(path)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_images_of_a_converted_file_are_numbered(tmp_path, packed):
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    zarr.open_group(path / "OME", mode="w", zarr_format=2).attrs["series"] = ["0", "1"]
    for number in range(2):
        image_group(path / str(number), np.full((8, 9), number, "u2"))
    path = zipped(path) if packed else path
    assert [np.unique(open_image(path, series=i).data[:]).tolist() for i in range(2)] == [[0], [1]]


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_bare_arrays_open(tmp_path, stack, packed, zarr_format):
    path = tmp_path / "a.zarr"
    array = zarr.create_array(path, shape=stack.shape, dtype=stack.dtype, chunks=(1, 32, 32), zarr_format=zarr_format)
    array[:] = stack
    found = open_image(zipped(path) if packed else path)
    np.testing.assert_array_equal(np.asarray(found.data[1]), stack[1])
    assert (found.axes.letters, found.axes.assumed, found.name) == ("ZYX", True, "a")


def test_zip_of_a_result_keeps_its_record(tmp_path, stack):
    path = zipped(write(tmp_path / "a.zarr", stack, ImageMeta(**CALIBRATED)))
    found = open_image(path)
    np.testing.assert_array_equal(np.asarray(found.data), stack)
    assert (found.scale, found.name) == (CALIBRATED["scale"], "a")
    assert verify(path) == []


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
def test_old_ome_zarr_says_which_version_it_is_and_what_to_do(tmp_path, version):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=np.ones((1, 2, 1, 8, 9), "u2"))
    group.attrs["multiscales"] = [{"version": version, "datasets": [{"path": "0"}], "axes": list("tczyx")}]
    with pytest.raises(ImageError, match=rf"is OME-Zarr {version}; .*Give its array instead, .*a\.zarr/0, with"):
        open_image(tmp_path / "a.zarr")
    assert open_image(tmp_path / "a.zarr" / "0", axes="TCZYX").data.shape == (1, 2, 1, 8, 9)


def test_store_without_an_image_names_what_is_inside(tmp_path):
    zarr.open_group(tmp_path / "a.zarr" / "deep" / "er", mode="w", zarr_format=2)
    zarr.open_group(tmp_path / "a.zarr", mode="a", zarr_format=2)
    with pytest.raises(ImageError, match=r"no OME-Zarr image and no array: give one of the folders inside it \(deep\)"):
        open_image(tmp_path / "a.zarr")


CHANNELS = {
    "label only": ({"label": "a"}, ("a", "a"), (), ()),
    "label of a number": ({"label": 1}, ("1", "1"), (), ()),
    "no window": ({"label": "a", "color": "FF0000"}, ("a", "a"), ("#ff0000", "#ff0000"), ()),
    "window": ({"color": "FF0000", "window": {"start": 0, "end": 9}}, (), ("#ff0000", "#ff0000"), ((0, 9), (0, 9))),
    "whole range": ({"window": {"start": 0, "end": 65535, "min": 0, "max": 65535}}, (), (), ()),
    "white": ({"color": "FFFFFF"}, (), (), ()),
    "nonsense": ({"color": "red", "window": {"start": "a"}}, (), (), ()),
    "empty": ({}, (), (), ()),
}


@pytest.mark.parametrize("what", CHANNELS)
def test_incomplete_display_settings_cost_only_themselves(tmp_path, what):
    channel, names, colors, limits = CHANNELS[what]
    path = image_group(tmp_path / "a.zarr", np.ones((2, 8, 9), "u2"), omero={"channels": [channel, channel]})
    about = open_image(path).about
    assert (about.channel_names, about.channel_colors, about.channel_limits) == (names, colors, limits)


@pytest.mark.parametrize("names", [(), ("DAPI", "GFP")], ids=["nothing", "names"])
def test_names_and_colours_that_nobody_gave_are_not_made_up(tmp_path, names):
    path = write(tmp_path / "a.ome.zarr", np.ones((2, 8, 9), "u2"), ImageMeta(axes=Axes("CYX"), channel_names=names))
    yaozarrs.validate_zarr_store(str(path))
    about = open_image(path).about
    assert (about.channel_names, about.channel_colors, about.channel_limits) == (names, (), ())


@pytest.mark.parametrize("omero", [None, 3, [], {"channels": None}, {"channels": [{"label": "one"}]}], ids=repr)
def test_display_settings_that_are_none_are_left_out(tmp_path, omero):
    assert open_image(image_group(tmp_path / "a.zarr", np.ones((2, 8, 9), "u2"), omero=omero)).channel_names == ()


@pytest.mark.parametrize("dtype", [np.int64, np.longlong, np.uint64, np.ulonglong])
def test_both_types_of_64_bits_are_stored(tmp_path, dtype):
    image = np.full((8, 9), 2**62, dtype)
    path = finish(write_zarr_steps(tmp_path / "a.ome.zarr", image, ImageMeta(axes=Axes("YX"))))
    np.testing.assert_array_equal(np.asarray(open_image(path).data), image)


@pytest.mark.parametrize("axes", ["YXS", "YXC", "ZYXS", "YZX"])
def test_planes_are_stored_whole_wherever_their_dimensions_are(tmp_path, axes):
    """A plane that is cut into single rows is read a hundred times slower."""
    pixels = np.zeros(tuple({"Z": 2, "S": 3, "C": 2}.get(letter, 70) for letter in axes), np.uint8)
    target = write(tmp_path / "a.ome.zarr", pixels, ImageMeta(axes=Axes(axes)))
    assert zarr.open_group(target, mode="r")["0"].chunks == (1,) * (len(axes) - 2) + (70, 70)
