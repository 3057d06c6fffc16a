"""A complete result that may not take its name, as on Windows while the old one is open elsewhere, is kept."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ExistsError, OutputError
from napari_genrecon.io import publish
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.publish import check_target
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import verify
from napari_genrecon.io.tiff.write import write_tiff_steps
from napari_genrecon.io.zarr.write import write_zarr_steps


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """What is refused for good is tried again twice, without a pause."""
    monkeypatch.setattr(publish, "_PAUSES", (0, 0))


OLD, NEW = np.zeros((2, 30, 40), "u2"), np.ones((2, 30, 40), "u2")
RECORD = {"schema": "genrecon-record/1", "task": "denoise", "nature": "restored", "options": {}}


def about(*, record):
    return ImageMeta(axes=Axes("ZYX"), record=RECORD if record else None)


def refuse(*_args, **_kwargs):
    raise PermissionError(errno.EACCES, "The process cannot access the file because it is being used")


def kept_in(message):
    return message.split("It is kept as ")[1].split(": close")[0]


@pytest.mark.parametrize("record", [False, True])
def test_tiff_that_may_not_replace_an_open_file_is_kept(tmp_path, monkeypatch, record):
    target = tmp_path / "my cells.ome.tif"
    finish(write_tiff_steps(target, OLD, about(record=True)))
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="may be open in another program") as caught:
        finish(write_tiff_steps(target, NEW, about(record=record), overwrite=True))
    monkeypatch.undo()
    np.testing.assert_array_equal(open_image(target).data, OLD)
    os.replace(kept_in(str(caught.value)), target)
    np.testing.assert_array_equal(open_image(target).data, NEW)
    if record:
        assert verify(target) == []


@pytest.mark.parametrize("record", [False, True])
def test_zarr_that_may_not_replace_an_open_store_is_kept(tmp_path, monkeypatch, record):
    target = tmp_path / "my cells.ome.zarr"
    finish(write_zarr_steps(target, OLD, about(record=True)))
    real = os.rename

    def refuse_the_target(a, b):
        refuse() if target in (a, b) else real(a, b)

    monkeypatch.setattr(os, "rename", refuse_the_target)
    with pytest.raises(OutputError, match="may be open in another program") as caught:
        finish(write_zarr_steps(target, NEW, about(record=record), overwrite=True))
    monkeypatch.undo()
    np.testing.assert_array_equal(np.asarray(open_image(target).data), OLD)
    os.rename(target, tmp_path / "old.ome.zarr")
    os.rename(kept_in(str(caught.value)), target)
    np.testing.assert_array_equal(np.asarray(open_image(target).data), NEW)


def test_claimed_name_is_given_back_where_there_are_no_links(tmp_path, monkeypatch):
    """Without hard links the name is held by an empty file, which must not stay."""
    monkeypatch.setattr(os, "link", lambda *_: refuse())
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="may be open in another program") as caught:
        finish(write_tiff_steps(tmp_path / "a.ome.tif", NEW, about(record=True)))
    assert [str(path) for path in tmp_path.iterdir()] == [kept_in(str(caught.value))]


def test_without_links_a_file_still_appears_and_replaces_none(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: refuse())
    finish(write_tiff_steps(tmp_path / "a.ome.tif", NEW, about(record=True)))
    np.testing.assert_array_equal(open_image(tmp_path / "a.ome.tif").data, NEW)
    with pytest.raises(OutputError, match="exists already"):
        finish(write_tiff_steps(tmp_path / "a.ome.tif", OLD, about(record=True)))
    with pytest.raises(OutputError, match="created by something else"), publish.publishing(tmp_path / "b") as part:  # noqa: PT012
        part.write_bytes(b"mine")
        (tmp_path / "b").write_bytes(b"theirs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.tif", "b"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_gets_a_sentence(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="choose a folder you may write to"):
        finish(write_tiff_steps(folder / "a.ome.tif", NEW, about(record=True)))


def test_existing_name_is_refused_in_words_that_are_true_in_a_window_too(tmp_path):
    (tmp_path / "a.ome.tif").write_bytes(b"precious")
    with pytest.raises(ExistsError, match="exists already and is not replaced: choose another name") as caught:
        check_target(tmp_path / "a.ome.tif")
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("name", ["a b.ome.tif", "µm 細胞.ome.tif", "ünï cödé.ome.zarr", "it's 100%.ome.zarr"])
def test_every_name_works(tmp_path, name):
    write = write_zarr_steps if name.endswith("zarr") else write_tiff_steps
    path = finish(write(tmp_path / name, NEW, about(record=True)))
    np.testing.assert_array_equal(np.asarray(open_image(path).data), NEW)
    assert verify(path) == []


@pytest.mark.parametrize("name", ["a.ome.tif", "a.ome.zarr", "0/a.ome.tif"])
def test_nothing_is_written_into_a_zarr_store(tmp_path, name):
    store = finish(write_zarr_steps(tmp_path / "raw.ome.zarr", OLD, about(record=False)))
    before = sorted(path for path in store.rglob("*"))
    write = write_zarr_steps if name.endswith("zarr") else write_tiff_steps
    with pytest.raises(OutputError, match="lies inside the Zarr store"):
        finish(write(store / name, NEW, about(record=True)))
    assert sorted(path for path in store.rglob("*")) == before


def test_folder_without_permission_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the superuser may write everywhere
    with pytest.raises(OutputError, match=r"cannot be written \(no permission for .*choose a folder you may write to"):
        check_target(tmp_path / "a.ome.tif")


def failing(real, target, error):
    """A function that fails twice before it gives a file this name."""
    left = [2]

    def act(source, name):
        left[0] -= name == target
        if name == target and left[0] >= 0:
            raise error
        return real(source, name)

    return act


@pytest.mark.parametrize("kind", ["ome.tif", "ome.zarr", "json"])
def test_name_that_a_reader_holds_for_a_moment_is_given_all_the_same(tmp_path, monkeypatch, kind):
    """As on Windows, where nothing may replace a file that is open."""
    target = tmp_path / f"a.{kind}"
    write = {"ome.tif": write_tiff_steps, "ome.zarr": write_zarr_steps}.get(kind)
    if write:
        finish(write(target, OLD, about(record=True)))
    held = PermissionError(errno.EACCES, "used by another process")
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, failing(getattr(os, name), target, held))
    if write:
        finish(write(target, NEW, about(record=True), overwrite=True))
        np.testing.assert_array_equal(np.asarray(open_image(target).data), NEW)
    else:
        publish.write_file(target, b"{}")
        assert target.read_bytes() == b"{}"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_file_that_a_reader_holds_for_a_moment_is_removed_all_the_same(tmp_path, monkeypatch):
    path, real, left = tmp_path / "stop", Path.unlink, [2]
    path.touch()

    def held(self, **options):
        left[0] -= 1
        if left[0] >= 0:
            refuse()
        real(self, **options)

    monkeypatch.setattr(Path, "unlink", held)
    publish.remove(path)
    publish.remove(path)  # nothing is there any more
    assert not path.exists()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EPERM, errno.ENOTSUP])
def test_file_systems_without_hard_links_get_the_file_renamed(tmp_path, monkeypatch, code):
    def refuse_link(*_args):
        raise OSError(code, "no hard links here")

    monkeypatch.setattr(os, "link", refuse_link)
    finish(write_tiff_steps(tmp_path / "a.ome.tif", NEW, about(record=True)))
    np.testing.assert_array_equal(open_image(tmp_path / "a.ome.tif").data, NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.tif"]


def test_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    real = os.fsync

    def refuse_folders(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "not on this network drive")
        real(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    finish(write_tiff_steps(tmp_path / "a.ome.tif", NEW, about(record=True)))
    finish(write_zarr_steps(tmp_path / "a.ome.zarr", NEW, about(record=True)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.tif", "a.ome.zarr"]
