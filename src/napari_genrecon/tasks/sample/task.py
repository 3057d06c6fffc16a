"""Make new pictures with a trained model.

Sampling has no input image, so it is not one of `TASKS` but a public function and a command of its own. Its results are
marked as synthetic in the record and in the name, so that nobody mistakes them for data.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.io.record.provenance import machine, make_record
from napari_genrecon.models import device_note, device_words, find_model, release_memory, resolve_device
from napari_genrecon.models.card import ModelCard
from napari_genrecon.options import check_options
from napari_genrecon.tasks.shared_options import DeviceOption
from napari_genrecon.tasks.task import Result

__all__ = ["SampleOptions", "sample", "sample_steps"]

_AT_ONCE = 64  # samples per batch: larger ones need more memory and delay a cancel


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Options of `sample`, with the texts of the form and of the flags."""

    model: Annotated[
        str,
        {
            "choices": "trained",
            "tooltip": "Which model makes the pictures: they look like those that it was trained on",
        },
    ] = "nuclei-dcgan-32"
    n: Annotated[int, {"min": 1, "tooltip": "How many new pictures to make"}] = 64
    seed: Annotated[
        int | None,
        {"min": 0, "tooltip": "The same number gives the same pictures again; empty makes new ones"},
    ] = None
    truncation: Annotated[
        float,
        {
            "min": 0.0,
            "max": 1.0,
            "step": 0.05,
            "tooltip": "Below 1, pictures are more typical and vary less; 1 varies them as much as the training "
            "data. GANs only",
        },
    ] = 1.0
    device: DeviceOption = "auto"

    def __post_init__(self) -> None:
        check_options(self)


def sample(
    model: str | os.PathLike[str],
    n: int = 1,
    *,
    seed: int | None = None,
    truncation: float = 1.0,
    device: str = "auto",
) -> NDArray[np.float32]:
    """Return new pictures from a trained model, in the grey values of its training data.

    Parameters
    ----------
    model : str or path-like
        A name that `genrecon models` lists, or a model file.
    n : int
        Number of pictures.
    seed : int, optional
        The same seed gives the same pictures; None gives new ones each time.
    truncation : float
        GANs only: factor in [0, 1] on the latents; less varied, more typical pictures below 1.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Returns
    -------
    (N, Y, X) or (N, C, Y, X) ndarray of float32
        Synthetic: not data.

    Raises
    ------
    UnknownModelError, WeightsError
        If there is no such model, or its file is not one.
    OptionError
        If an option cannot work.

    Examples
    --------
    >>> from napari_genrecon import sample
    >>> sample("nuclei-dcgan-32", 4, seed=0).shape
    (4, 32, 32)
    """
    # The same checks as in the window and on the command line.
    options = SampleOptions(model=os.fspath(model), n=n, seed=seed, truncation=truncation, device=device)
    return finish(sample_steps(options)).data


def sample_steps(options: SampleOptions) -> Generator[Progress, None, Result]:
    """Run `sample` step by step.

    Yields
    ------
    Progress
        After every batch of samples.

    Returns
    -------
    Result
        With axes TYX or TCYX; T counts the samples, as no file format has a letter for them. Its record has the
        nature ``synthetic``, the card's pixel size and the seed, also where none was given.
    """
    yield Progress(0, options.n, "loading the model")
    # Torch is imported here, after the first progress: it takes seconds.
    from napari_genrecon.models.generative import load_generative

    model = load_generative(find_model(options.model, "sample"), options.device)
    # Drawn here and not by the model, so that the record tells it and the pictures can be made again.
    seed = options.seed if options.seed is not None else int(np.random.SeedSequence().generate_state(1)[0] >> 1)
    # All at once: each batch would begin the same sequence of random numbers anew.
    latents = model.latents(options.n, seed, options.truncation)
    parts = []
    try:
        for start in range(0, options.n, _AT_ONCE):
            parts.append(model.decode(latents[start : start + _AT_ONCE]))
            yield Progress(min(start + _AT_ONCE, options.n), options.n, "sampling")
    # After a cancel or an error, too.
    finally:
        release_memory(str(model.device))
    data = np.concatenate(parts)
    return Result(data, Axes("TCYX" if data.ndim == 4 else "TYX"), _record(options, seed, model.card, data))


def _record(options: SampleOptions, seed: int, card: ModelCard, data: NDArray[np.float32]) -> dict[str, Any]:
    device = resolve_device(options.device)
    # (N, C, Y, X)
    crops = [card.n_train + card.n_held_out, card.channels, card.size, card.size]
    return make_record(
        "sample",
        "synthetic",
        # The seed that was used, in place of None.
        options={**asdict(options), "seed": seed},
        model=card.facts() | {"kind": card.network, "trained on": card.data},
        # There is no input image, and so no noise of it.
        noise=[],
        axes={"letters": "TCYX" if data.ndim == 4 else "TYX", "assumed": False},
        input={"shape": crops, "dtype": card.dtype, "fingerprint": card.data},  # of the training data
        output={"shape": list(data.shape), "dtype": str(data.dtype), "clipped": 0, "nan": 0},
        tile={"size": list(data.shape[1:]), "halo": [0] * (data.ndim - 1)},
        device=device,
        precision="float32",
        machines=[machine(device_words(device))],
        seed=seed,
        pixel_size=dict(zip("YX", zip(card.pixel_size, card.units, strict=True), strict=True)),
        warnings=[*card.cautions, *device_note(options.device)],
    )
