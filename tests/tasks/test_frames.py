"""Neighbouring frames: they help where they show the same, and nothing is lost where they do not."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_genrecon import NoiseModel, denoise
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish, region_steps
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.frames import frames_text
from napari_genrecon.io.record.methods import methods_text
from napari_genrecon.models import precision
from napari_genrecon.noise.same import compare
from napari_genrecon.tasks import replay
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps, expected_seconds, frames, neighbours

SIGMA = 10.0
WHITE = NoiseModel.white(SIGMA)


@pytest.fixture
def short_windows(monkeypatch):
    """Windows of 4 frames with 2 on either side, so that a short movie has several."""
    for module in (frames, neighbours):
        monkeypatch.setattr(module, "WINDOW", 4)
        monkeypatch.setattr(module, "REACH", 2)


def still(count, side=64):
    y, x = np.indices((side, side))
    plane = 100 + 40 * np.sin(x / 7) * np.cos(y / 9) + 30 * (np.hypot(x - 30, y - 28) < 12)
    return np.repeat(plane[None], count, axis=0)


def recorded(clean, seed=0, sigma=SIGMA):
    return (clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)).astype(np.float32)


def error(a, b):
    return float(np.sqrt(np.mean((np.asarray(a, float) - b) ** 2)))


def run(movie, axes="TYX", **options):
    return finish(denoise_steps(movie, DenoiseOptions(noise=WHITE, axes=axes, **options)))


def test_frames_of_a_still_movie_help_each_other():
    clean = still(6)
    movie = recorded(clean)
    alone, ours = (denoise(movie, noise=WHITE, axes="TYX", frames=way) for way in ("none", "auto"))
    assert error(ours, clean) < 0.7 * error(alone, clean)


def test_expected_time_counts_the_fusing_of_all_frames_and_the_trial(monkeypatch):
    """Movies take about three times as long as their frames alone (docs: Denoise a movie), and a trial before that."""
    monkeypatch.setattr("napari_genrecon.models.runtime.Model.seconds_per_pixel", lambda _: 1e-6)
    movie = recorded(still(8))
    alone, fused, tried = (
        expected_seconds(movie, DenoiseOptions(axes="TYX", frames=way)) for way in ("none", "T", "auto")
    )
    assert fused == pytest.approx(3 * alone, rel=0.1)
    assert tried == pytest.approx(2 * fused - alone)  # all frames are tried, and none is denoised once more


def test_whether_frames_explain_each_other_is_decided_in_float32(monkeypatch):
    """The choice is that of every machine; what is computed after it may be in bfloat16."""
    used, fuse = [], frames.DenoiseFrames.fuse

    def noted(kernel, *args):
        used.append(kernel.planes.precision)
        return fuse(kernel, *args)

    monkeypatch.setattr(precision, "bfloat16_is_native", lambda device: True)
    monkeypatch.setattr(frames.DenoiseFrames, "fuse", noted)
    movie = np.random.default_rng(0).normal(100, 5, (4, 48, 48)).astype(np.float32)
    assert finish(denoise_steps(movie, DenoiseOptions(axes="TYX"))).record["frames"]["axis"] == "T"
    assert used == ["float32", "auto"]


def test_auto_without_a_movie_is_plane_by_plane():
    stack = recorded(still(3))
    for axes in ("ZYX", "CYX", None):
        by_itself = denoise(stack, noise=SIGMA, axes=axes, frames="none")
        np.testing.assert_array_equal(denoise(stack, noise=SIGMA, axes=axes), by_itself)


def test_single_frame_equals_its_plane():
    movie = recorded(still(1))
    np.testing.assert_array_equal(run(movie, frames="T").data, run(movie, frames="none").data)


@pytest.mark.parametrize(("width", "height"), [(2.0, 60), (1.0, 90)], ids=["spot", "vesicle"])
def test_event_of_one_frame_keeps_its_height(width, height):
    y, x = np.indices((64, 64))
    clean = still(6)
    clean[3] += height * np.exp(-((y - 44) ** 2 + (x - 46) ** 2) / (2 * width**2))
    movie = recorded(clean)
    at = (3, slice(43, 46), slice(45, 48))
    alone, ours = (run(movie, frames=way).data for way in ("none", "T"))
    height = (alone[at] - still(6)[at]).mean()
    assert (ours[at] - still(6)[at]).mean() > 0.95 * height
    assert abs((ours[2] - still(6)[2])[43:46, 45:48].mean()) < 0.1 * height  # and not a frame before


def test_vesicles_that_move_fast_keep_their_height():
    """Small spots that are elsewhere in every frame: past and future agree that nothing is there."""
    rng, (y, x) = np.random.default_rng(1), np.indices((64, 64))
    clean, places = still(6), [rng.integers(6, 58, (6, 2)) for _ in range(6)]
    for t, spots in enumerate(places):
        for row, column in spots:
            clean[t] += 80 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2)
    movie = recorded(clean)
    alone, ours = (
        np.mean([(result[t] - still(6)[t])[r, c] for t, spots in enumerate(places) for r, c in spots])
        for result in (run(movie, frames=way).data for way in ("none", "T"))
    )
    assert ours > 0.97 * alone


@pytest.mark.parametrize(("width", "contrast"), [(2.0, 10.0), (1.5, 6.0)])
def test_faint_structure_that_moves_everywhere_is_no_worse(width, contrast):
    """Two textures that pass each other by 3 px a frame: no two frames show the same, and no shift makes them."""
    rng = np.random.default_rng(3)
    textures = [ndimage.gaussian_filter(rng.normal(size=(96, 117)), width) for _ in range(2)]
    up, down = (contrast * texture / texture.std() for texture in textures)
    half = np.arange(96)[:, None] < 48
    clean = np.array([100 + np.where(half, np.roll(up, 3 * t, 1), np.roll(down, -3 * t, 1))[:, :96] for t in range(7)])
    movie = recorded(clean)
    alone, ours = (denoise(movie, noise=WHITE, axes="TYX", frames=way) for way in ("none", "T"))
    assert error(ours, clean) < 1.005 * error(alone, clean)


def test_scene_after_a_cut_is_no_worse():
    clean = still(6)
    clean[3:] = clean[3:, ::-1, ::-1].copy() + 50
    movie = recorded(clean)
    alone, ours = (run(movie, frames=way).data for way in ("none", "T"))
    for a, b, truth in zip(ours, alone, clean, strict=True):
        assert error(a, truth) < 1.006 * error(b, truth)  # 0.05 dB


def test_z_stack_is_fused_only_if_asked_for():
    stack = recorded(still(4))
    found = run(stack, axes="ZYX", frames="Z")
    assert found.record["frames"]["axis"] == "Z"
    assert error(found.data, still(4)) < 0.8 * error(run(stack, axes="ZYX").data, still(4))


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_equals_eager(kind, short_windows):
    import dask.array as da
    import zarr

    movie = recorded(still(9))
    source = da.from_array(movie, chunks=(2, 40, 64)) if kind == "dask" else zarr.array(movie, chunks=(2, 40, 64))
    lazy = denoise(source, noise=WHITE, axes="TYX", frames="T")
    assert isinstance(lazy, da.Array)
    assert compare(lazy.compute(scheduler="sync"), run(movie, frames="T").data, [WHITE]).same


def test_other_dimensions_are_movies_of_their_own(short_windows):
    movies = recorded(np.stack([still(5), still(5)[:, ::-1]], axis=1))  # T, C, Y, X
    both = run(movies, axes="TCYX", frames="T").data
    one = run(movies[:, 1], axes="TYX", frames="T").data
    assert compare(both[:, 1], one, [WHITE]).largest < 0.1 * SIGMA  # the centre is that of the channel
    assert both.shape == movies.shape


def test_record_says_so_and_methods_too():
    record = run(recorded(still(4))).record
    assert frames_text(record) == "uses neighbouring frames along T"
    assert record["frames"]["model"]["name"] == "fuse-frames"
    assert "Neighbours along T" in methods_text(record)
    assert frames_text(run(recorded(still(4)), frames="none").record) == ""


def test_drift_and_bleaching_are_measured_and_told():
    planes = [ndimage.shift(still(1, side=160)[0] - 60, (0.3 * t, -0.4 * t), mode="nearest") for t in range(9)]
    movie = recorded(np.stack([plane * 0.95**t for t, plane in enumerate(planes)])[:, 16:-16, 16:-16], sigma=2.0)
    record = finish(denoise_steps(movie, DenoiseOptions(noise=NoiseModel.white(2.0), axes="TYX", frames="T"))).record
    np.testing.assert_allclose(record["frames"]["drift"], [(0.3, -0.4)], atol=0.05)
    assert record["frames"]["light"] == pytest.approx([0.95**8], abs=0.02)
    assert (
        "drift by 0.5 px a frame; above the darkest level, the last one has 66 % of the light of the first)"
        in frames_text(record)
    )


def test_axis_that_is_not_there_is_refused():
    with pytest.raises(
        ImageError, match=r"frames is 'T', and this image has the axes ZYX: say which dimension is T .* 'TYX'"
    ):
        run(recorded(still(3)), axes="ZYX", frames="T")
    with pytest.raises(OptionError, match="frames must be 'auto', 'none', 'T' or 'Z', got 'X'"):
        DenoiseOptions(frames="X")


def test_frames_that_do_not_help_are_denoised_by_themselves(monkeypatch):
    monkeypatch.setattr(neighbours, "_GIVEN_BACK", -1.0)
    movie = recorded(still(3))
    with pytest.warns(GenReconWarning, match="neighbouring frames were tried .* 'T' uses them all the same"):
        ours = denoise(movie, noise=WHITE, axes="TYX")
    np.testing.assert_array_equal(ours, run(movie, frames="none").data)


@pytest.mark.parametrize("way", ["none", "auto", "T"])
def test_comparing_frames_is_told_before_it_begins(monkeypatch, way):
    def compared(*given):
        told.append("compared")
        return kept(*given)

    told: list[str] = []
    kept = neighbours.DenoiseFrames
    monkeypatch.setattr(neighbours, "DenoiseFrames", compared)
    steps = denoise_steps(recorded(still(3)), DenoiseOptions(noise=WHITE, axes="TYX", frames=way))
    for progress in steps:
        told.append(progress.note)
    at = [i for i, note in enumerate(told) if note == "compared"]
    assert [told[i - 1] for i in at] == ["comparing neighbouring frames"] * (way != "none")


def test_noise_that_repeats_in_every_frame_is_not_taken_for_structure():
    pattern = np.random.default_rng(5).normal(0, 8, (64, 64))
    clean = still(6)
    movie = recorded(clean + pattern, sigma=6.0)  # s.d. 10 in all
    found = run(movie, frames="T")
    (share,) = found.record["frames"]["repeated"]
    assert 0.45 < share < 0.8
    assert any("is the same in every frame" in note for note in found.record["warnings"])
    assert error(found.data, clean) < 1.05 * error(run(movie, frames="none").data, clean)


@pytest.mark.parametrize("peak", [3, 10])
def test_few_photons_of_a_still_movie_are_averaged(peak):
    """Their stabilised noise is weaker than 1: neither a fixed pattern, nor a reason to overlook a cut."""
    first = still(6) * peak / 170
    cut = np.concatenate([first[:3], first[3:, ::-1, ::-1]])
    for clean in (first, cut):
        movie = np.random.default_rng(3).poisson(clean).astype(np.float32)
        options = {"noise": NoiseModel(gain=1.0, read_noise=0.0), "axes": "TYX"}
        alone, ours = (denoise(movie, frames=way, **options) for way in ("none", "T"))
        assert error(ours, clean) < 0.85 * error(alone, clean)
        assert abs(ours.mean() / movie.mean() - 1) < 0.02


def test_light_that_goes_off_for_a_frame_leaves_no_less_than_none():
    y, x = np.indices((64, 64))
    clean = np.full((6, 64, 64), 20.0)
    clean[3] *= np.hypot(y - 32, x - 32) > 8
    movie = np.random.default_rng(3).poisson(clean).astype(np.float32)
    ours = denoise(movie, noise=NoiseModel(gain=1.0, read_noise=0.0), axes="TYX", frames="T")
    assert ours[3, 30:35, 30:35].max() < 2
    assert ours[3].min() >= 0


def test_preview_of_a_frame_uses_its_neighbours(short_windows):
    clean = still(9)
    movie = recorded(clean)
    result = finish(denoise_steps(movie, DenoiseOptions(noise=WHITE, axes="TYX", frames="T"), lazy=True))
    fn, source, grid = result.tiles
    shown = finish(region_steps(fn, source, grid, (slice(4, 5), slice(0, 64), slice(0, 64))))
    assert error(shown[0], clean[4]) < 0.85 * error(run(movie, frames="none").data[4], clean[4])


@pytest.mark.parametrize("frame", [0, 4, 11])
def test_single_frame_of_a_movie_is_as_good_as_in_the_whole(frame):
    clean = still(12)
    movie = recorded(clean)
    alone, whole = run(movie, frames="T", region=f"T={frame}").data, run(movie, frames="T").data
    assert error(alone[0], clean[frame]) < 1.2 * error(whole[frame], clean[frame])


def test_cancel_between_steps_leaves_no_work_behind():
    steps = denoise_steps(recorded(still(4)), DenoiseOptions(noise=WHITE, axes="TYX", frames="T"))
    seen = [next(steps) for _ in range(5)]
    steps.close()
    assert seen[-1].total > 4  # every frame is a step, so that no step is long
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.slow
def test_tiles_do_not_change_the_result(short_windows):
    movie = recorded(still(5, side=320))
    whole = run(movie, frames="T").data
    tiled = run(movie, frames="T", tile=160).data
    assert compare(tiled, whole, [WHITE]).same


def test_windows_change_the_result_by_a_small_part_of_the_noise(monkeypatch):
    clean = still(24)
    clean[:, 20:40, 20:40] += 30 * (np.arange(24) % 12 > 5)[:, None, None]  # something blinks
    movie = recorded(clean)
    whole = run(movie, frames="T").data
    for module in (frames, neighbours):
        monkeypatch.setattr(module, "WINDOW", 12)
    assert error(run(movie, frames="T").data, whole) < 0.05 * SIGMA


def test_missing_pixels_come_back(short_windows):
    movie = recorded(still(4))
    movie[1, 10:20, 10:20] = np.nan
    result = run(movie, frames="T").data
    assert np.isnan(result[1, 10:20, 10:20]).all()
    assert np.isnan(result).sum() == 100


@pytest.mark.parametrize("dropped", [np.nan, 0.0], ids=["missing", "black"])
def test_dropped_frame_comes_back_and_does_not_part_its_neighbours(dropped):
    clean = still(7)
    movie = recorded(clean)
    movie[3] = dropped
    result = run(movie, frames="T").data
    np.testing.assert_array_equal(result[3], movie[3])
    without = run(np.delete(movie, 3, axis=0), frames="T").data
    assert error(np.delete(result, 3, axis=0), without) < 0.01 * SIGMA  # fused as a frame: 0.1


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_file_says_so_and_is_made_again(tmp_path, capsys, ending):
    source, target = tmp_path / "movie.ome.tif", tmp_path / f"result{ending}"
    tifffile.imwrite(source, recorded(still(3)), metadata={"axes": "TYX"})
    assert main(["denoise", str(source), "-o", str(target), "--noise", str(SIGMA)]) == 0
    assert "uses neighbouring frames along T" in capsys.readouterr().err
    stored = open_image(target)
    np.testing.assert_array_equal(
        np.asarray(stored.data).reshape(3, 64, 64), run(tifffile.imread(source), frames="auto").data
    )
    assert main(["replay", str(target)]) == 0


def test_results_of_earlier_versions_are_made_again_plane_by_plane():
    earlier = {"task": "denoise", "options": {"strength": 1.0}}
    assert replay._updated(earlier)["options"] == {"strength": 1.0, "frames": "none"}


class LongMovie:
    """Ten thousand frames that are made when they are read; remembers which were."""

    shape, dtype, ndim = (10_000, 40, 40), np.dtype("f4"), 3

    def __init__(self):
        self.read = []

    def __getitem__(self, region):
        frames = range(*region[0].indices(self.shape[0]))
        self.read.append(len(frames))
        made = [recorded(still(1, side=40), seed=frame)[0] for frame in frames]
        return np.stack(made)[:, region[1], region[2]]


def test_long_movie_is_read_window_by_window(short_windows):
    movie = LongMovie()
    lazy = denoise(movie, noise=WHITE, axes="TYX", frames="T")
    assert sum(movie.read) < 100  # the plan looks at a few frames only
    movie.read.clear()
    assert error(lazy[5000].compute(), still(1, side=40)[0]) < 0.6 * SIGMA
    assert max(movie.read) <= frames.WINDOW + 2 * frames.REACH
    assert sum(movie.read) <= 2 * (frames.WINDOW + 2 * frames.REACH)  # once more for the middle, to see drift
