"""Measure `classify` on real cells: accuracy from few labels, calibration, suggestions, times.

Train and test cells are from different images, with fixed seeds: which images are for training, and which of their
cells are labelled, is drawn anew in every repeat. Nuclei: one nucleus, or several that touch (connected parts of the
masks). Blood: red cells, white cells and platelets, as points.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage

from bench.table import header, row
from napari_genrecon.engine.run import finish
from napari_genrecon.models import find_model
from napari_genrecon.recognition.features import describe_steps, joined
from napari_genrecon.recognition.objects import Scene, crop_side, cut_pictures, find_objects
from napari_genrecon.recognition.pictures import in_parts, planes_of, pooled
from napari_genrecon.recognition.scores import calibration_error
from napari_genrecon.recognition.stack import fit_classifier
from napari_genrecon.recognition.suggest import map_of, rank_to_label, representatives
from napari_genrecon.tasks.classify.network import is_better, train_steps

LABELS = (5, 10, 40)  # of each class
TRAINED = 0.6  # share of the images that are trained on
_BLOOD = ("RBC", "WBC", "Platelets")
_BLOOD_SIDE = 128  # pixels: a red cell measures 109, a white one 208
_BLOOD_IMAGES = 80  # each gives one cell of each class
_SINGLE = 8  # single nuclei of each image; all clumps


@dataclass(frozen=True)
class Cells:
    """Described cells: blocks of features, classical ones, pictures, class and image of each, names of the classes."""

    name: str
    blocks: dict[str, np.ndarray]
    classical: np.ndarray
    planes: np.ndarray
    y: np.ndarray
    image: np.ndarray
    classes: tuple[str, ...]


def run(data: Path, *, quick: bool, keep: Path | None, only: str = "") -> None:
    """Print the tables. `keep` is a folder for the features, which take minutes, for the next run.

    Only "network" compares with a network that is trained on the same labels, which takes minutes as well.
    """
    repeats = 2 if quick else 5
    sets = [_cells(name, data / "recognition", quick, keep) for name in ("nuclei", "blood")]
    if only == "network":
        _networks(sets, repeats)
        return
    print("Balanced accuracy in %, cells of other images:\n")
    blocks = ("network", "shape", "texture", "intensity")
    header("cells", "labels a class", "forest on HOG, LBP", *blocks, "classify", "bar", "calibration error")
    gains = []
    for cells in sets:
        for n in LABELS:
            gains.append(_accuracy(cells, n, repeats, blocks))
    ten = [gain for gain, n in zip(gains, LABELS * len(sets), strict=True) if n == 10]
    print(f"\nOver the forest at 10 labels, on mean: {np.mean(ten):+.1f} points (bar: +8).\n")
    header("cells", "60 at random", "30 suggested", "40 suggested")
    for cells in sets:
        _suggested(cells, repeats)
    print()
    _times(sets[0])
    _saved(sets[0])


# --- data ---


def _cells(name: str, data: Path, quick: bool, keep: Path | None) -> Cells:
    classes = ("single", "clump") if name == "nuclei" else _BLOOD
    stored = None if keep is None else keep / f"{name}{'-quick' if quick else ''}.npz"
    if stored is not None and stored.is_file():
        found = dict(np.load(stored))
    else:
        found = _described(*(_nuclei(data / name, quick) if name == "nuclei" else _blood(data / name, quick)))
        if stored is not None:
            np.savez(stored, **found)
    rest = {key: found.pop(key) for key in ("classical", "planes", "y", "image")}
    return Cells(name=name, blocks=found, classes=classes, **rest)


def _nuclei(folder: Path, quick: bool) -> tuple[list[Scene], list[np.ndarray], int]:
    whole, scenes, truths, rng = [], [], [], np.random.default_rng(0)
    for path in sorted(folder.glob("*_labels.tif"))[: 30 if quick else None]:
        labels, image = tifffile.imread(path), tifffile.imread(str(path).replace("_labels", ""))
        parts, n = ndimage.label(labels > 0, np.ones((3, 3)))
        pairs = np.unique(np.stack([parts[labels > 0], labels[labels > 0]]), axis=1)
        scene = find_objects(image, labels=parts)
        truth = (np.bincount(pairs[0], minlength=n + 1)[scene.label] > 1).astype(int)
        single = rng.permutation(np.flatnonzero(truth == 0))[:_SINGLE]
        kept = np.sort(np.r_[np.flatnonzero(truth), single])
        whole.append(scene)
        scenes.append(_part(scene, kept))
        truths.append(truth[kept])
    return scenes, truths, crop_side(whole)


def _blood(folder: Path, quick: bool) -> tuple[list[Scene], list[np.ndarray], int]:
    rows, scenes, truths, rng = defaultdict(list), [], [], np.random.default_rng(0)
    with (folder / "boxes.csv").open(newline="") as file:
        for box in csv.DictReader(file):
            rows[box["file"]].append(box)
    complete = [name for name in sorted(rows) if {box["class"] for box in rows[name]} == set(_BLOOD)]
    for name in complete[: 30 if quick else _BLOOD_IMAGES]:
        image = np.asarray(Image.open(folder / name))
        centre = np.array([[int(b["ymin"]) + int(b["ymax"]), int(b["xmin"]) + int(b["xmax"])] for b in rows[name]]) / 2
        scene = find_objects(image, points=np.clip(centre, 0, np.array(image.shape[:2]) - 1))
        truth = np.array([_BLOOD.index(box["class"]) for box in rows[name]])
        order = rng.permutation(len(truth))
        kept = order[np.unique(truth[order], return_index=True)[1]]  # one of each class
        scenes.append(_part(scene, kept))
        truths.append(truth[kept])
    return scenes, truths, _BLOOD_SIDE


def _part(scene: Scene, kept: np.ndarray) -> Scene:
    boxes = None if scene.boxes is None else scene.boxes[kept]
    return replace(scene, place=scene.place[kept], label=scene.label[kept], boxes=boxes)


def _described(scenes: list[Scene], truths: list[np.ndarray], side: int) -> dict[str, np.ndarray]:
    encoder = find_model("auto", "denoise")
    kept = [(scene, truth) for scene, truth in zip(scenes, truths, strict=True) if len(scene)]
    blocks = joined([finish(describe_steps(scene, side, encoder, device="cpu")) for scene, _ in kept])
    pictures = [cut_pictures(scene, side, slice(None)) for scene, _ in kept]
    return {
        **blocks,
        "classical": np.array([_classical(picture) for part in pictures for picture in part.relative]),
        "planes": np.concatenate([planes_of(part) for part in pictures]),
        "y": np.concatenate([truth for _, truth in kept]),
        "image": np.repeat(np.arange(len(kept)), [len(truth) for _, truth in kept]),
    }


def _classical(picture: np.ndarray) -> np.ndarray:
    """Return HOG, LBP and grey value features of a (C, Y, X) picture."""
    from skimage.feature import hog, local_binary_pattern

    grey = picture.mean(axis=0)
    gradients = hog(grey, orientations=8, pixels_per_cell=(16, 16), cells_per_block=(2, 2))
    patterns = local_binary_pattern((grey.clip(0, 1) * 255).astype(np.uint8), 8, 1, "uniform")
    counts = np.histogram(patterns, 10, (0, 10), density=True)[0]
    greys = np.percentile(picture, [1, 5, 25, 50, 75, 95, 99], axis=(1, 2)).ravel()
    return np.r_[gradients, counts, greys, picture.mean(axis=(1, 2)), picture.std(axis=(1, 2))]


# --- accuracy ---


def _draw(cells: Cells, seed: int) -> tuple[np.ndarray, np.random.Generator]:
    """Return which cells lie in the images that are trained on."""
    rng = np.random.default_rng(seed)
    images = rng.permutation(np.unique(cells.image))
    return np.isin(cells.image, images[: round(TRAINED * len(images))]), rng


def _given(cells: Cells, train: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    given = np.full(len(cells.y), -1)
    for c in range(len(cells.classes)):
        given[rng.permutation(np.flatnonzero(train & (cells.y == c)))[:n]] = c
    return given


def _fitted(cells: Cells, names: tuple[str, ...], given: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the probabilities of the test cells."""
    blocks = {name: cells.blocks[name] for name in names}
    inner = {name: block[train] for name, block in blocks.items()}
    fit = fit_classifier(inner, given[train], cells.image[train], cells.classes)
    return fit.classifier.probabilities({name: block[~train] for name, block in blocks.items()})


def _balanced(predicted: np.ndarray, y: np.ndarray) -> float:
    return 100 * float(np.mean([(predicted[y == c] == c).mean() for c in np.unique(y)]))


def _accuracy(cells: Cells, n: int, repeats: int, names: tuple[str, ...]) -> float:
    """Print a row, and return how many points better than the forest `classify` is."""
    own, alone, forest, errors = [], defaultdict(list), [], []
    for seed in range(repeats):
        train, rng = _draw(cells, seed)
        given, y = _given(cells, train, n, rng), cells.y[~train]
        found = _fitted(cells, tuple(cells.blocks), given, train)
        own.append(_balanced(found.argmax(axis=1), y))
        errors.append(calibration_error(found, y))
        for name in cells.blocks:
            alone[name].append(_balanced(_fitted(cells, (name,), given, train).argmax(axis=1), y))
        forest.append(_forest(cells, given, train, seed))
    singles = [f"{np.mean(alone[name]):.1f}" if name in alone else "–" for name in names]
    least = max(np.mean(values) for values in alone.values()) - 1
    figures = [f"{np.mean(values):.1f}" for values in (own, [least])]
    row(cells.name, n, f"{np.mean(forest):.1f}", *singles, *figures, f"{np.mean(errors):.3f}")
    return float(np.mean(own) - np.mean(forest))


def _forest(cells: Cells, given: np.ndarray, train: np.ndarray, seed: int) -> float:
    """Return the balanced accuracy of a random forest; NaN where scikit-learn is not installed."""
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError:
        return float("nan")
    labelled = given >= 0
    forest = RandomForestClassifier(300, class_weight="balanced", random_state=seed)
    forest.fit(cells.classical[labelled], given[labelled])
    return _balanced(forest.predict(cells.classical[~train]), cells.y[~train])


def _networks(sets: list[Cells], repeats: int) -> None:
    print("Balanced accuracy in % and log loss, cells of other images:\n")
    header("cells", "labels a class", "features", "network", "both", "loss of features", "of both", "kept", "seconds")
    for cells in sets:
        for n in (10, 40):
            each = np.array([_network(cells, n, seed) for seed in range(repeats)])
            *scores, first, second = each.mean(axis=0)[:5]
            losses = (f"{value:.2f}" for value in (first, second))
            kept = f"{each[:, 5].sum():.0f} of {repeats}"
            row(cells.name, n, *(f"{score:.1f}" for score in scores), *losses, kept, f"{each[:, 6].mean():.0f}")


def _network(cells: Cells, n: int, seed: int) -> list[float]:
    """Return the scores of one draw, and the processor time of training."""
    train, rng = _draw(cells, seed)
    given, y = _given(cells, train, n, rng), cells.y[~train]
    inner = {name: block[train] for name, block in cells.blocks.items()}
    fit = fit_classifier(inner, given[train], cells.image[train], cells.classes)
    features = fit.classifier.probabilities({name: block[~train] for name, block in cells.blocks.items()})
    labelled, started = given >= 0, time.process_time()
    steps = train_steps(cells.planes[labelled], given[labelled], len(cells.classes), fit.folds, "cpu")
    trained = finish(steps)
    seconds = time.process_time() - started
    network = finish(trained.network.probability_steps(in_parts(cells.planes[~train]), "cpu"))
    both = pooled(features, network)
    helps = is_better(pooled(fit.out_of_fold, trained.out_of_fold), fit.out_of_fold, given[labelled])
    accuracies = [_balanced(found.argmax(axis=1), y) for found in (features, network, both)]
    return [*accuracies, _loss(features, y), _loss(both, y), float(helps), seconds]


def _loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Return the log loss, averaged over the classes."""
    return float(np.mean([-np.log(probabilities[y == c, c]).mean() for c in np.unique(y)]))


# --- suggestions, times, files ---


def _suggested(cells: Cells, repeats: int) -> None:
    """Compare labels of suggested cells with those of cells taken at random, both as frequent as they are."""
    scores = defaultdict(list)
    for seed in range(repeats):
        train, rng = _draw(cells, seed)
        inner = {name: block[train] for name, block in cells.blocks.items()}
        y, image, places = cells.y[train], cells.image[train], map_of(inner)
        drawn = np.full(len(y), -1)
        drawn[rng.permutation(len(y))[:60]] = 0
        scores["random"].append(_score(cells, train, np.where(drawn == 0, y, -1)))
        first, given, margin = representatives(places, seed=seed), np.full(len(y), -1), None
        for count in range(1, 41):
            choice = rank_to_label(first, places, given, margin)[0]
            given[choice] = y[choice]
            if _learnable(given, len(cells.classes)):
                margin = _margin(fit_classifier(inner, given, image, cells.classes).classifier.probabilities(inner))
            if count in (30, 40):
                scores[count].append(_score(cells, train, given))
    row(cells.name, *(f"{np.nanmean(scores[key]):.1f}" for key in ("random", 30, 40)))


def _learnable(given: np.ndarray, k: int) -> bool:
    return bool((np.bincount(given[given >= 0], minlength=k) >= 2).all())


def _margin(probabilities: np.ndarray) -> np.ndarray:
    ordered = np.sort(probabilities, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def _score(cells: Cells, train: np.ndarray, given: np.ndarray) -> float:
    if not _learnable(given, len(cells.classes)):
        return 100 / len(cells.classes)
    whole = np.full(len(cells.y), -1)
    whole[train] = given
    return _balanced(_fitted(cells, tuple(cells.blocks), whole, train).argmax(axis=1), cells.y[~train])


def _times(cells: Cells) -> None:
    """Print the processor time of describing grey crops of 64 pixels, and of learning again after a click."""
    rng = np.random.default_rng(0)
    image, points = rng.random((512, 512), np.float32), rng.integers(32, 480, (64, 2))
    scene = find_objects(image, points=points)
    steps = describe_steps(scene, 64, find_model("auto", "denoise"), device="cpu")
    finish(describe_steps(_part(scene, np.arange(2)), 64, find_model("auto", "denoise"), device="cpu"))
    started = time.process_time()
    finish(steps)
    print(f"2,000 grey crops: {(time.process_time() - started) / 64 * 2000:.0f} s of processor time (bar: 60)")
    train, draw = _draw(cells, 0)
    given = _given(cells, train, 40, draw)
    started = time.process_time()
    fit_classifier(cells.blocks, given, cells.image, cells.classes)
    print(f"learning again from {int((given >= 0).sum())} labels: {time.process_time() - started:.2f} s (bar: 1)")


def _saved(cells: Cells) -> None:
    """Print whether a saved and loaded model gives identical output."""
    import os

    from napari_genrecon.recognition.saved import ObjectClassifier, Setting, load_classifier, save_classifier

    train, rng = _draw(cells, 0)
    fit = fit_classifier(cells.blocks, _given(cells, train, 10, rng), cells.image, cells.classes)
    model = ObjectClassifier(
        classifier=fit.classifier, setting=Setting(kind="labels", side=64, channels=1),
        encoder=find_model("auto", "denoise"), scores={"balanced_accuracy": 1.0}, n_labels=20,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("GENRECON_MODELS")
        os.environ["GENRECON_MODELS"] = folder
        try:
            card = save_classifier(model, "bench")
            loaded = load_classifier("bench").classifier.probabilities(cells.blocks)
            same = np.array_equal(model.classifier.probabilities(cells.blocks), loaded)
            size = Path(card.path).stat().st_size / 1e3
        finally:
            os.environ.pop("GENRECON_MODELS")
            if before is not None:
                os.environ["GENRECON_MODELS"] = before
    print(f"saved and loaded: {'identical' if same else 'DIFFERENT'} output, {size:.0f} kB")
