"""Texts of the widgets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from napari_genrecon.engine.run import Progress, seconds_left
from napari_genrecon.errors import GenReconError
from napari_genrecon.models.card import ModelCard
from napari_genrecon.plural import duration

__all__ = [
    "CHOICE_WORDS",
    "DAMAGE",
    "LABELS",
    "MODEL_FILES",
    "TimeLeft",
    "about_crops",
    "about_model",
    "ago",
    "sentence",
    "time_left",
]

LABELS = {
    "camera": "camera maps",
    "detect": "also fill",
    "clicks": "like these points",
    "complete": "all marked in",
    "fdr": "false share",
    "min_size": "smallest (px)",
    "max_size": "largest (px)",
    "volume": "in 3D",
    "n": "fillings",
    "self_ensemble": "8 views",
    "uncertainty": "expected error",
    "keep_dtype": "keep number type",
    "blend": "mix in original",
    "thickness": "slice thickness",
    "tile": "tile side",
    "consistent": "keep grey values",
}
"""Names of options in the window, where they differ from those in Python."""

CHOICE_WORDS = {
    "pnp": "with the denoiser (pnp)",
    "rl": "Richardson-Lucy (rl)",
    "network": "network",
    "biharmonic": "smooth (biharmonic)",
    "log": "filters (log)",
    "net": "network for spots (net)",
    "adapted": "adapted network (adapted)",
    "features": "several features (features)",
    "heatmap": "heat map (heatmap)",
    "cuda": "NVIDIA GPU (cuda)",
    "mps": "Apple GPU (mps)",
    "cpu": "processor (cpu)",
    "auto": "automatic",
    "none": "every plane by itself",
    "T": "frames of a movie (T)",
    "Z": "planes of a stack (Z)",
}
"""Names of values in the window, where they differ from those in Python."""

MODEL_FILES = "Models (*.safetensors *.pth *.pt *.ckpt *.zip *.onnx)"
"""Files that a dialog offers to import as a model."""

DAMAGE = (
    ("hot and dead pixels", "hot"),
    ("saturated pixels", "saturated"),
    ("dead rows and columns", "lines"),
    ("stripes", "stripes"),
    ("dropped frames or slices", "frames"),
)
"""Kinds of damage that `inpaint` detects: text in the window, and word of the option."""


def sentence(error: BaseException) -> str:
    """Return the message of a GenReconError or ValueError; report any other error as unexpected."""
    # Their messages are written for users; others are written for programmers.
    if isinstance(error, GenReconError | ValueError):
        return str(error)
    return f"This failed unexpectedly ({type(error).__name__}: {error}). The log has the details; nothing was changed."


def time_left(seconds: float, step: int, total: int) -> str:
    """Return the time that a training still takes, in words, from the time and the steps so far."""
    left = seconds_left(seconds, 0.0, step / total) if total else None
    return "" if left is None else f"{duration(left)} left"


class TimeLeft:
    """Estimate the time that a job still takes from its progress.

    A job may have several parts, each with a total of its own. The speed of one says nothing about the next. Within a
    part the later half of what is done counts, as the speed changes with what else the computer does, and with it the
    time since the last step: while none ends, the time left grows.
    """

    def __init__(self) -> None:
        self._total, self._first = 0, 0.0
        self._seen: list[tuple[float, float]] = []  # share done and when, from the middle of what is done on

    def of(self, progress: Progress, now: float) -> str:
        """Return the time left in words; empty while nothing of this part is done.

        Parameters
        ----------
        progress : Progress
            Progress of the job.
        now : float
            Time of a monotonic clock, in seconds.
        """
        seconds = self.seconds(progress, now)
        return "" if seconds is None else f"{duration(seconds)} left"

    def seconds(self, progress: Progress, now: float) -> float | None:
        """Return the time left in seconds; None while it is unknown."""
        # Another total: a new part begins, and its clock with it.
        if progress.total != self._total or not self._seen:
            self._total, self._first, self._seen = progress.total, progress.fraction, []
        if not self._seen or progress.fraction > self._seen[-1][0]:
            self._seen.append((progress.fraction, now))
        while len(self._seen) > 1 and self._seen[1][0] <= (self._first + progress.fraction) / 2:
            del self._seen[0]
        share, since = self._seen[0]
        return seconds_left(now - since, share, progress.fraction)


def ago(created: str) -> str:
    """Return when a run was started: the time if it was today, else the date."""
    try:
        # Records hold UTC; a file from elsewhere may hold anything.
        local = datetime.fromisoformat(created).astimezone()
    except ValueError:
        return created
    today = local.date() == datetime.now().astimezone().date()
    return local.strftime("%H:%M") if today else local.strftime("%d %b %Y")


def about_crops(crops: Any) -> str:
    """Describe crops: their number, how many are held out and why, and what was left out."""
    held = int(crops.held_out.sum())
    channels = f", {crops.channels} channels" if crops.channels > 1 else ""
    planes = f"{crops.depth} planes of " if crops.depth else ""  # depth 0: crops of planes
    side = f"{planes}{crops.size} x {crops.size} px"
    parts = [f"{len(crops)} crops of {side}{channels}: {len(crops) - held} to train on"]
    if held:
        parts[0] += f", {held} held out to check the result with (from other places, not trained on)"
    else:
        parts.append("None is held out: the model can then neither be judged nor score cells")
    return ". ".join([*parts, *(note[:1].upper() + note[1:] for note in crops.notes)]) + "."


def about_model(card: ModelCard) -> str:
    """Describe a model: what it makes, from which data, how long it was trained, and its cautions."""
    size = card.pixel_size[0]
    scale = f", pixel {size:g} {card.units[0]}" if card.units[0] != "pixel" else ""
    channels = f", {card.channels} channels" if card.channels > 1 else ""
    lines = [
        f"{card.about.label} ({card.about.about}), {card.size} x {card.size} px{scale}{channels}, "
        f"grey values of {card.dtype} ({card.low[0]:.4g} to {card.high[0]:.4g}).",
        f"Trained on {card.n_train} crops ({card.n_held_out} held out), {card.steps} steps in "
        f"{duration(card.seconds).removeprefix('about ')}{f', {ago(card.created)}' if card.created else ''}. "
        f"Licence: {card.licence or 'not stated'}.",
    ]
    lines += [f"Beware: {warning}." for warning in card.cautions]
    return "\n".join(lines)
