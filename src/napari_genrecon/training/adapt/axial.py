"""Fine-tune an upscaler on the planes of a stack, to add planes between them.

A plane of the stack is sharp along X and Y. Blurred and subsampled along one of them it resembles a side view (XZ or
YZ) of the stack, and makes a training pair with the sharp plane: no other image is needed. After Weigert et al.,
"Isotropic reconstruction of 3D fluorescence microscopy images using convolutional neural networks" (MICCAI 2017), and
Zhao et al., "SMORE: a self-supervised anti-aliasing and super-resolution algorithm for MRI using deep learning" (IEEE
Trans. Med. Imaging 40, 2021). Unlike there, the planes are denoised first and get the noise of the stack after they
were subsampled, so that the network learns to remove it; and it starts from the weights of the bundled upscaler.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter1d, uniform_filter
from torch import Tensor, nn

from napari_genrecon.models import ModelCard
from napari_genrecon.models.failures import plain_errors
from napari_genrecon.models.runtime import on_device, trained_network
from napari_genrecon.noise import NoiseModel
from napari_genrecon.normal import FWHM
from napari_genrecon.numerics.slices import sliced
from napari_genrecon.training.adapt.fine_tune import fine_tune, saved

__all__ = ["AxialOptions", "SharpPlane", "deciding", "draw_sides", "train_on_planes"]

Image = NDArray[np.float32]

# A batch takes about 0.1 s on two cores; smaller crops would hardly reach beyond the network's 17 pixels.
_SIZE = 8  # side views per batch
_ROWS, _COLUMNS = 32, 64  # size of a side view, in planes and in pixels


@dataclass(frozen=True, slots=True)
class SharpPlane:
    """A lateral (XY) plane to train on.

    Attributes
    ----------
    clean : (Y, X) ndarray of float32
        Denoised grey values.
    noise : NoiseModel
        Noise that is added after subsampling.
    centre, spread : float
        Level and s.d. of the grey values of its channel.
    """

    clean: Image
    noise: NoiseModel
    centre: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AxialOptions:
    """Options of the fine-tuning along z.

    Attributes
    ----------
    factor : {2, 3, 4}
        Fine rows per plane of the stack.
    thickness : float
        Thickness of a plane; see `numerics.slices.slice_profile`.
    steps : int
        Number of training steps.
    seed : int
        Seed of the batches.
    stretch : float
        Height of a fine row in pixels of the planes.
    rate : float
        Learning rate at the start; it falls to zero.
    """

    factor: int
    thickness: float
    steps: int
    seed: int
    stretch: float = 1.0
    rate: float = 4e-4


def train_on_planes(
    planes: Sequence[SharpPlane], spec: ModelCard, options: AxialOptions, device: str
) -> Generator[float, None, bytes]:
    """Fine-tune the network of `spec`, one step at a time.

    Parameters
    ----------
    planes : sequence of SharpPlane
        Planes to train on.
    spec : ModelCard
        Card of the upscaler whose weights to start from.
    options : AxialOptions
        Options of the training.
    device : str
        Where to compute.

    Yields
    ------
    float
        The loss of every step: root mean square error in units of the channel's s.d.

    Returns
    -------
    bytes
        Weights of the network that `models.axial_card` describes, as safetensors.

    Raises
    ------
    InferenceError
        If the network fails while it is trained, or the memory runs out.
    """
    upscaler: Any = trained_network(spec)
    net = on_device(upscaler.axial(options.factor), spec.name, device).train()
    loss_at = partial(_loss, net, planes, options, device)
    with plain_errors(spec.name, device):
        yield from fine_tune(net, loss_at, steps=options.steps, rate=options.rate)
    return saved(net)


def deciding(options: AxialOptions, device: str) -> dict[str, Any]:
    """Return the values that decide the weights, beside planes and first weights: the key of a cache."""
    # With the number of threads: sums in another order end in other digits, and the cached weights would differ.
    return {**asdict(options), "device": device, "threads": torch.get_num_threads()}


def draw_sides(planes: Sequence[SharpPlane], options: AxialOptions, step: int) -> tuple[Image, Image, Image]:
    """Draw simulated side views with their sharp targets: a pure function of the planes, the options and the step.

    Returns
    -------
    thin, sigma : (B, 1, H, W) ndarray
        Side views with noise, and the s.d. of that noise, in units of the channel's s.d.
    fine : (B, 1, H * factor, W) ndarray
        Targets without noise.
    """
    rng = np.random.default_rng([options.seed, step])
    sides = [_side(rng, planes[int(rng.integers(len(planes)))], planes, options) for _ in range(_SIZE)]
    thin, sigma, fine = (np.stack([side[i] for side in sides])[:, None].astype(np.float32) for i in range(3))
    return thin, sigma, fine


def _side(
    rng: np.random.Generator, plane: SharpPlane, planes: Sequence[SharpPlane], options: AxialOptions
) -> tuple[NDArray[Any], ...]:
    """Return (thin, sigma, fine) of the one of two random places with more contrast: most of a stack may be empty."""
    rows, columns = _shape(planes, options)
    # Rows of the plane that become `rows` rows of the side view, `stretch` pixels tall each.
    height = math.ceil(rows * options.stretch)
    cut = max((_cut(rng, plane.clean, (height, columns)) for _ in range(2)), key=lambda image: float(image.std()))
    fine = _rows(cut, rows, options.stretch)
    # As the microscope makes a side view: planes of some thickness, `factor` fine rows apart.
    thin = sliced(fine, options.factor, options.thickness)
    # After the slicing, since a camera adds its noise to every plane that it records.
    noisy = thin + plane.noise.sigma_at(thin) * rng.standard_normal(thin.shape)
    sigma = plane.noise.sigma_at(uniform_filter(noisy, 3, mode="nearest"))  # as it is found in use
    return (noisy - plane.centre) / plane.spread, sigma / plane.spread, (fine - plane.centre) / plane.spread


def _shape(planes: Sequence[SharpPlane], options: AxialOptions) -> tuple[int, int]:
    """Return fine rows and columns of a crop: the same for all planes, and no larger than the smallest."""
    smallest = min(min(plane.clean.shape) for plane in planes)
    thin = int(smallest / (options.factor * options.stretch))
    return options.factor * max(1, min(_ROWS, thin)), min(_COLUMNS, smallest)


def _cut(rng: np.random.Generator, image: Image, shape: tuple[int, int]) -> Image:
    # All eight symmetries: any direction of a plane may serve as the height of a side view.
    turned = np.rot90(image, int(rng.integers(4)))
    turned = turned[:, ::-1] if rng.random() < 0.5 else turned
    y, x = (int(rng.integers(max(n - side, 0) + 1)) for n, side in zip(turned.shape, shape, strict=True))
    return turned[y : y + shape[0], x : x + shape[1]]


def _rows(image: Image, rows: int, stretch: float) -> Image:
    """Resample an image to rows `stretch` times as tall, (rows, X), blurred accordingly."""
    if stretch == 1:
        return image
    # Blurred until its own width of one pixel is one of `stretch` pixels: widths add in squares.
    if stretch > 1:
        image = gaussian_filter1d(image, math.sqrt(stretch**2 - 1) / FWHM, axis=0, mode="nearest")
    return np.asarray(
        affine_transform(
            image,
            [stretch, 1.0],
            # Fine row i has its centre (i + 0.5) * stretch pixels from the edge, and a pixel its index + 0.5.
            [0.5 * stretch - 0.5, 0.0],
            output_shape=(rows, image.shape[1]),
            order=3,
            mode="nearest",
        ),
        np.float32,
    )


def _loss(net: nn.Module, planes: Sequence[SharpPlane], options: AxialOptions, device: str, step: int) -> Tensor:
    thin, sigma, fine = (torch.from_numpy(array).to(device) for array in draw_sides(planes, options, step))
    error: Tensor = (net(thin, sigma) - fine).flatten(1)
    # The root for each side view before the mean, so that bright ones do not outweigh the others.
    # `norm`, as its gradient at zero is zero; that of a square root would be infinite.
    return error.norm(dim=1).mean() / math.sqrt(error.shape[1])
