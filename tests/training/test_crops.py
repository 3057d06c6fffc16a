import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon.errors import ImageError, OptionError, OutputError
from napari_genrecon.training.data.augment import augment, contact_sheet
from napari_genrecon.training.data.cut import NEEDED, cut_crops
from napari_genrecon.training.data.dataset import CropOptions, Dataset


def noise(*shape, dtype="uint16", seed=0):
    return np.random.default_rng(seed).poisson(50, shape).astype(dtype)


def cells(height=400, width=400, n=60, seed=0):
    """Labels of small squares, well apart."""
    labels = np.zeros((height, width), np.int32)
    corners = [(y, x) for y in range(30, height - 40, 40) for x in range(30, width - 40, 40)][:n]
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + 10, x : x + 10] = number
    return labels


# --- where crops come from ---


def test_crops_of_few_pixels_are_cut_and_single_pixels_show_nothing():
    assert cut_crops(noise(60, 60), CropOptions(size=3, mode="grid")).x.shape[-2:] == (3, 3)
    with pytest.raises(ImageError, match="crops are constant"):
        cut_crops(noise(60, 60), CropOptions(size=1, mode="grid"))


@pytest.mark.parametrize("mode", ["grid", "random", "objects"])
def test_every_crop_is_what_the_image_holds_at_its_place(mode):
    images = [noise(2, 400, 400, seed=1), noise(2, 420, 400, seed=2)]
    labels = [np.stack([cells(), cells()]), np.stack([cells(420), cells(420)])] if mode == "objects" else None
    crops = cut_crops(images, CropOptions(mode=mode, n=200), axes="TYX", labels=labels)
    for x, source, (plane, row, column) in zip(crops.x, crops.source, crops.place, strict=True):
        np.testing.assert_array_equal(x[0], images[source][plane, row : row + 32, column : column + 32])


def test_objects_are_in_the_middle_of_their_crops():
    labels = cells()
    crops = cut_crops(noise(400, 400), CropOptions(), labels=labels)
    for value, (_, row, column) in zip(crops.label, crops.place, strict=True):
        y, x = np.nonzero(labels == value)
        assert (y.min() + y.max() + 1) // 2 == row + 16
        assert (x.min() + x.max() + 1) // 2 == column + 16


def test_object_on_several_planes_gives_the_plane_on_which_it_is_largest():
    labels = np.zeros((3, 400, 400), np.int32)
    labels[0], labels[2] = cells(), cells()
    labels[2][labels[2] == 7] = 0
    grown = np.argwhere(cells() == 9)[0]
    labels[2, grown[0] : grown[0] + 14, grown[1] : grown[1] + 14] = 9
    crops = cut_crops(noise(3, 400, 400), labels=labels)
    assert len(set(crops.label)) == len(crops)
    assert crops.place[crops.label == 9][0, 0] == 2


def test_points_and_labels_give_the_same_crops():
    labels = cells()
    points = np.array([np.argwhere(labels == value).mean(0) + 0.5 for value in range(1, 61)])
    image = noise(400, 400)
    np.testing.assert_array_equal(cut_crops(image, points=points).x, cut_crops(image, labels=labels).x)


def test_objects_at_the_border_are_left_out_and_told():
    labels = cells()
    labels[2:9, 100:107] = 99
    crops = cut_crops(noise(400, 400), labels=labels)
    assert 99 not in crops.label
    assert "1 object is too close to the border" in crops.notes[0]


@pytest.mark.parametrize(
    ("axes", "shape", "channels"), [("CYX", (2, 400, 400), 2), ("YXS", (400, 400, 4), 3), ("YXC", (400, 400, 2), 2)]
)
def test_channels_stay_together(axes, shape, channels):
    image = noise(*shape)
    crops = cut_crops(image, axes=axes)
    planes = np.moveaxis(image, axes.index("C" if "C" in axes else "S"), 0)
    _, row, column = crops.place[5]
    np.testing.assert_array_equal(crops.x[5], planes[:channels, row : row + 32, column : column + 32])


def test_lazy_image_is_read_by_region(monkeypatch):
    import dask.array as da

    from napari_genrecon.training.data import source as crop_source

    image, seen = noise(5, 256, 256), []
    monkeypatch.setattr(crop_source, "_AT_ONCE", 1 << 17)  # a plane, but not the stack
    source = da.from_array(image, chunks=(1, 256, 256)).map_blocks(lambda b: seen.append(b.shape) or b, dtype="u2")
    lazy = cut_crops(source, CropOptions(n=60), axes="TYX")
    np.testing.assert_array_equal(lazy.x, cut_crops(image, CropOptions(n=60), axes="TYX").x)
    assert seen.count((1, 256, 256)) == len(seen) - seen.count((0, 0, 0)) == 5


# --- what is held out ---


@settings(max_examples=15)
@given(
    height=st.integers(300, 500),
    width=st.integers(300, 500),
    stride=st.integers(5, 32),
    share=st.floats(0.02, 0.4),
)
def test_no_training_crop_touches_a_held_out_one(height, width, stride, share):
    image = np.random.default_rng(0).integers(0, 99, (height, width))
    crops = cut_crops(image, CropOptions(size=32, stride=stride, held_out=share, mode="grid"))
    train, test = crops.place[~crops.held_out, 1:], crops.place[crops.held_out, 1:]
    gap = np.abs(train[:, None] - test[None]).max(-1) - crops.size  # pixels between two crops
    assert gap.min() >= crops.size
    assert crops.held_out.mean() >= share - 1e-9


def test_of_several_images_whole_ones_are_held_out():
    crops = cut_crops([noise(256, 256, seed=i) for i in range(6)])
    assert not set(crops.source[crops.held_out]) & set(crops.source[~crops.held_out])
    assert 0 < crops.held_out.mean() < 0.4


def test_of_ready_crops_whole_groups_are_held_out():
    groups = np.arange(200) // 7
    crops = cut_crops(noise(200, 32, 32), groups=groups)
    assert crops.options["mode"] == "whole"
    assert not set(crops.source[crops.held_out]) & set(crops.source[~crops.held_out])


def test_all_planes_of_a_stack_hold_out_the_same_block():
    crops = cut_crops(noise(4, 256, 256), CropOptions(mode="grid"))
    train = {tuple(p) for p in crops.place[~crops.held_out, 1:]}
    assert not train & {tuple(p) for p in crops.place[crops.held_out, 1:]}


def test_nothing_is_held_out_if_that_is_asked():
    assert not cut_crops(noise(256, 256), CropOptions(held_out=0)).held_out.any()


# --- what cannot be learnt from ---


@pytest.mark.parametrize(
    ("images", "options", "error", "sentence"),
    [
        (noise(100, 100), {"held_out": 0, "stride": 32}, ImageError, f"only 9 crops .* at least {NEEDED} are needed"),
        (noise(80, 80), {"held_out": 0}, ImageError, "169 training crops of 32 pixels .* only 6 side by side"),
        (noise(100, 100), {"size": 64, "stride": 8}, ImageError, "too small to hold out crops of 64 pixels"),
        (noise(20, 20), {}, ImageError, "only 0 crops of 32 pixels"),
        (np.full((300, 300), 7), {}, ImageError, r"all \d+ crops are constant"),
        (np.full((300, 300), np.nan), {}, ImageError, "hold NaN or infinite"),
        ([noise(300, 300), noise(300, 300, dtype="uint8")], {}, ImageError, "different dtypes .uint16, uint8"),
        (noise(6, 300, 300), {"axes": "CYX"}, ImageError, "6 channels, at most 4"),
        (noise(300, 300), {"mode": "objects"}, OptionError, "need a labels image or points"),
        (noise(40, 40, 40), {"mode": "whole"}, ImageError, "ready crops must have 32x32 pixels, these have 40x40"),
        (np.ones((300, 300), bool), {}, ImageError, "image is boolean"),
    ],
)
def test_what_cannot_be_learnt_from_gets_a_sentence(images, options, error, sentence):
    axes = options.pop("axes", None)
    with pytest.raises(error, match=sentence):
        cut_crops(images, CropOptions(**options), axes=axes)


def test_different_channel_counts_get_a_sentence():
    with pytest.raises(ImageError, match=r"different numbers of channels \(1, 2\)"):
        cut_crops([noise(300, 300), noise(2, 300, 300)], axes=["YX", "CYX"])


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [(np.zeros((9, 9), int), "they must match"), (np.zeros((300, 300), bool), "number the objects of a mask first")],
)
def test_labels_that_do_not_fit_get_a_sentence(labels, sentence):
    with pytest.raises(ImageError, match=sentence):
        cut_crops(noise(300, 300), labels=labels)


def test_few_crops_are_cut_closer_and_that_is_told():
    crops = cut_crops(noise(180, 200))
    assert len(crops) > 300
    assert any("may memorise them" in note for note in crops.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "cut every 8 px and overlap: a pixel lies in up to 16 of them, and side by side there would be 64"),
        ({"stride": 20}, "cut every 20 px and overlap: a pixel lies in up to 4 of them, and side by side there"),
        ({"stride": 32, "held_out": 0.0}, ""),
        ({"mode": "random"}, ""),
    ],
    ids=["few", "asked for", "side by side", "random"],
)
def test_how_much_crops_overlap_is_told(options, words):
    notes = [note for note in cut_crops(noise(256, 256), CropOptions(**options)).notes if "cut every" in note]
    assert len(notes) == bool(words)
    assert all(words in note for note in notes)


@pytest.mark.parametrize("mode", ["grid", "random"])
def test_images_that_are_smaller_than_a_crop_are_told(mode):
    notes = cut_crops([noise(256, 256), noise(20, 256)], CropOptions(mode=mode)).notes
    assert "1 of 2 images is smaller than a crop of 32 pixels and left out" in notes


def test_spoilt_crops_are_left_out_and_told():
    image = noise(512, 512).astype("float32")
    image[:40, :40], image[200:264, 200:264] = np.nan, 3
    crops = cut_crops(image)
    assert np.isfinite(crops.x).all()
    assert any("NaN" in note for note in crops.notes)
    assert any("constant" in note for note in crops.notes)


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"depth": 1}, {"mode": "cells"}, {"stride": 0}, {"n": 0}, {"held_out": 0.9}], ids=str
)
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(OptionError, match=r"must|cut in the mode"):
        CropOptions(**options)


# --- grey values, files, pictures ---


def test_range_ignores_hot_pixels_but_not_bright_regions():
    image = noise(512, 512)
    image[3, 3] = 60000
    crops = cut_crops(image)
    assert 60 < crops.high[0] < 100
    image[-60:, -60:] = 9000
    image[:60, :60] = 9000  # whichever corner is held out, the other one counts
    assert cut_crops(image).high[0] == 9000


def test_file_keeps_everything(tmp_path):
    crops = cut_crops(noise(2, 400, 400), axes="CYX", pixel_size=(0.2, 0.1), units=("micrometer",) * 2)
    crops.save(tmp_path / "crops.npz")
    again = Dataset.load(tmp_path / "crops.npz")
    for name in Dataset.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(crops, name))
    assert again.fingerprint == crops.fingerprint


def test_damaged_file_gets_a_sentence(tmp_path):
    path = tmp_path / "crops.npz"
    cut_crops(noise(300, 300)).save(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ImageError, match="does not hold crops that can be read"):
        Dataset.load(path)


def test_full_disk_leaves_no_file(tmp_path, monkeypatch):
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    crops = cut_crops(noise(300, 300))
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        crops.save(tmp_path / "crops.npz")
    assert list(tmp_path.iterdir()) == []


def test_fingerprint_tells_pixels_and_split():
    image = noise(400, 400)
    one, other = cut_crops(image), cut_crops(image, CropOptions(held_out=0.3))
    changed = image.copy()
    changed[5, 5] += 1
    assert len({one.fingerprint, other.fingerprint, cut_crops(changed).fingerprint}) == 3


def test_flips_only_move_pixels():
    batch = noise(64, 1, 32, 32).astype("float32")
    changed = augment(np.random.default_rng(0), batch, intensity=0, elastic=0)
    np.testing.assert_array_equal(np.sort(changed.reshape(64, -1)), np.sort(batch.reshape(64, -1)))
    assert (changed != batch).any(axis=(1, 2, 3)).mean() > 0.7


def test_rectangles_are_turned_by_half_turns_only():
    batch = noise(32, 1, 24, 32).astype("float32")
    changed = augment(np.random.default_rng(0), batch, intensity=0, elastic=0)
    ways = [batch, batch[..., ::-1], batch[..., ::-1, :], batch[..., ::-1, ::-1]]
    assert all(any(np.array_equal(crop, way[i]) for way in ways) for i, crop in enumerate(changed))


def test_brightness_leaves_the_background():
    batch = np.full((16, 2, 32, 32), -1.0, np.float32)
    batch[:, :, 8:16] = 0.5
    changed = augment(np.random.default_rng(0), batch, flips=False, elastic=0, intensity=0.3)
    assert (changed[:, :, 0] == -1).all()
    assert np.ptp(changed[:, 0, 10, 0]) > 0.2


def test_bending_moves_a_little():
    y, x = np.mgrid[:32, :32]
    blob = np.exp(-((y - 16) ** 2 + (x - 16) ** 2) / 50).astype("float32")[None, None].repeat(40, 0)
    bent = augment(np.random.default_rng(0), blob, flips=False, intensity=0, elastic=1)
    shift = [np.hypot((b[0] * y).sum() / b.sum() - 16, (b[0] * x).sum() / b.sum() - 16) for b in bent]
    assert 0.1 < max(shift) < 3
    kept = [np.array_equal(b, blob[0]) for b in bent]
    assert 8 < sum(kept) < 32  # about half of them keep the grain of their noise


def test_contact_sheet_shows_the_training_crops():
    crops = cut_crops(noise(2, 400, 400), axes="CYX")
    sheet = contact_sheet(crops, 3, 4, augmented=False)
    assert sheet.shape == (3 * 33 - 1, 4 * 33 - 1, 2)
    np.testing.assert_array_equal(sheet[:32, :32], crops.training[0].transpose(1, 2, 0))
    assert not np.array_equal(contact_sheet(crops, 3, 4), sheet)
