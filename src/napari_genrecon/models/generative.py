"""Use a trained generative model: sample, encode, reconstruct, traverse its latent space, score pictures.

Everything goes in and comes out in the grey values of the training data, with the range that is stored on the card.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from napari_genrecon.errors import ImageError, OptionError, OutOfMemoryError
from napari_genrecon.models.card import ModelCard, step_of
from napari_genrecon.models.devices import resolve_device
from napari_genrecon.models.failures import plain_errors
from napari_genrecon.models.precision import full_float32
from napari_genrecon.models.runtime import ONE_AT_A_TIME, on_device, trained_network

__all__ = ["GenerativeModel", "load_generative"]

Array = NDArray[np.float32]

_AT_ONCE = 256  # pictures per batch: bounds the memory for features; results do not depend on it
_SEED_OF_BOUNDS = 2013  # the draws with which the bounds on the cards were measured: scores are compared with these


def load_generative(card: ModelCard, device: str = "auto") -> GenerativeModel:
    """Load a generative model; raises as `models.load_model`."""
    return GenerativeModel(card, trained_network(card), device)


class GenerativeModel:
    """A trained GAN or VAE.

    Pictures are (Y, X) or (C, Y, X), stacks of them (N, Y, X) or (N, C, Y, X), by the model's channels; latents are
    (L,) or (N, L). All results are float32.

    Parameters
    ----------
    card : ModelCard
        Card of the model.
    network : nn.Module
        Network of `runtime.build_network`, with its weights.
    device : str
        Where to compute.
    """

    def __init__(self, card: ModelCard, network: nn.Module, device: str = "auto") -> None:
        self.card = card
        self.device = torch.device(resolve_device(device))
        self._network: Any = on_device(network.eval().requires_grad_(False), card.name, self.device)
        low, high = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (card.low, card.high))
        # In float64 until the result: grey values of 32 bits do not fit into the 24 bits of float32.
        self._low, self._range = low, high - low  # (C, 1, 1)
        # This copy to the device can fail as that of the network can.
        with plain_errors(card.name, str(self.device)):
            self._step = torch.tensor(step_of(card), dtype=torch.float32, device=self.device)[:, None, None]

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return the weights of the network by name, for `save_model`."""
        return {name: weight.cpu().contiguous().numpy() for name, weight in self._network.state_dict().items()}

    # --- from latents to pictures ---

    def latents(self, n: int = 1, seed: int | None = None, truncation: float = 1.0) -> Array:
        """Draw random latents; the first ones do not depend on how many are drawn.

        Parameters
        ----------
        n : int
            Number of latents.
        seed : int, optional
            The same seed gives the same latents; None takes a new one every time.
        truncation : float
            Factor in [0, 1] on the latents of a GAN: less gives less varied, more typical pictures.

        Returns
        -------
        (N, L) ndarray

        Raises
        ------
        OptionError
            If `n` or `truncation` cannot work, or a VAE is to be truncated.
        """
        if n < 1:
            raise OptionError(f"n must be at least 1 sample, got {n}")
        if not 0 <= truncation <= 1:
            raise OptionError(f"truncation must lie between 0 and 1, got {truncation:g}")
        if truncation != 1 and not self.card.about.truncates:
            raise OptionError("truncation is for GANs: the latents of a VAE are drawn as it was trained; leave it at 1")
        # Filled row by row, so that the first latents do not depend on `n`.
        drawn = np.random.default_rng(seed).standard_normal((n, self.card.latent), np.float32)
        return drawn * np.float32(truncation)

    def sample(self, n: int = 1, *, seed: int | None = None, truncation: float = 1.0) -> Array:
        """Generate synthetic pictures that look like the training data.

        Parameters
        ----------
        n, seed, truncation
            As for `latents`.

        Returns
        -------
        (N, Y, X) or (N, C, Y, X) ndarray
            Grey values of the training data. A VAE gives the mean picture of each latent, without pixel noise.
        """
        return self.decode(self.latents(n, seed, truncation))

    def decode(self, z: ArrayLike) -> Array:
        """Return the pictures of latents.

        Parameters
        ----------
        z : (N, L) array_like
            Latents.

        Returns
        -------
        (N, Y, X) or (N, C, Y, X) ndarray
        """
        return self._grey(self._batched(self._mean, torch.from_numpy(self._checked_latents(z, 2))))

    def traverse(self, z: ArrayLike, axis: int, values: ArrayLike) -> Array:
        """Return the pictures along one axis of the latent space.

        Parameters
        ----------
        z : (L,) array_like
            Latent to start from.
        axis : int
            Index of the latent number to change.
        values : (N,) array_like
            Values to set it to.

        Returns
        -------
        (N, Y, X) or (N, C, Y, X) ndarray
        """
        start = self._checked_latents(z, 1)
        if not -len(start) <= axis < len(start):
            raise OptionError(f"axis must lie between 0 and {len(start) - 1}, got {axis}")
        walk = np.repeat(start[None], len(np.atleast_1d(values)), axis=0)  # (N, L)
        walk[:, axis] = values
        return self.decode(walk)

    def interpolate(self, a: ArrayLike, b: ArrayLike, n: int = 8) -> Array:
        """Return pictures on the way from one to another.

        Parameters
        ----------
        a, b : (L,) or (Y, X) or (C, Y, X) array_like
            Latents, or pictures, which a VAE encodes first.
        n : int
            Number of pictures, both ends included.

        Returns
        -------
        (N, Y, X) or (N, C, Y, X) ndarray
            Along a great circle for a GAN, whose latents all lie near a sphere (White 2016); along a
            straight line for a VAE.
        """
        if n < 2:
            raise OptionError(f"n must be at least 2 pictures, got {n}")
        start, end = self._latent_of(a), self._latent_of(b)
        share = np.linspace(0, 1, n, dtype=np.float32)[:, None]
        if self.card.about.encodes:
            return self.decode((1 - share) * start + share * end)
        return self.decode(_great_circle(start, end, share))

    # --- from pictures to latents, for a VAE ---

    def encode(self, images: ArrayLike) -> Array:
        """Return the latents of pictures: the means of their Gaussians.

        Parameters
        ----------
        images : (N, Y, X) or (N, C, Y, X) array_like
            Grey values of the training data; a single picture also without N.

        Returns
        -------
        (N, L) ndarray

        Raises
        ------
        OptionError
            If the model is a GAN, which has no encoder.
        ImageError
            If the pictures do not fit.
        """
        encoder = self._autoencoder("encode pictures")
        return self._batched(lambda x: encoder.encode(x)[0], self._scaled(images)).numpy()

    def reconstruct(self, images: ArrayLike) -> Array:
        """Decode the encoded pictures; parameters and errors as for `encode`."""
        return self.decode(self.encode(images))

    def posterior_samples(self, image: ArrayLike, n: int = 8, seed: int | None = None) -> Array:
        """Return decoded draws from the Gaussian over the latents of one picture.

        Parameters
        ----------
        image : (Y, X) or (C, Y, X) array_like
            The picture.
        n, seed
            As for `latents`.

        Returns
        -------
        (N, Y, X) or (N, C, Y, X) ndarray
        """
        encoder = self._autoencoder("draw reconstructions of a picture")
        scaled = self._scaled(image)
        if len(scaled) != 1:
            raise ImageError(f"posterior samples are of one picture, got {len(scaled)}")
        # Mean and log variance in one tensor, as batches are joined along their first dimension only.
        parts = self._batched(lambda x: torch.stack(encoder.encode(x), dim=1), scaled)[0]  # (2, L)
        mean, log_variance = parts.numpy()
        return self.decode(mean + np.exp(0.5 * log_variance) * self.latents(n, seed))

    def bound(self, images: ArrayLike, k: int = 64) -> NDArray[np.float64]:
        """Return the importance-weighted bound on the log likelihood (Burda et al. 2016), with fixed random draws.

        Parameters
        ----------
        images : (N, Y, X) or (N, C, Y, X) array_like
            Pictures.
        k : int
            Latents per picture; 1 gives the evidence lower bound.

        Returns
        -------
        (N,) ndarray
            Nats per picture; divided by -ln 2 and the number of pixels, bits per dimension.
        """
        if k < 1:
            raise OptionError(f"k must be at least 1 latent per picture, got {k}")
        network = self._autoencoder("tell how likely pictures are")
        # On the CPU, so that every device gets the same numbers.
        draws = torch.Generator().manual_seed(_SEED_OF_BOUNDS)

        def bound(x: Tensor) -> Tensor:  # draws go on from batch to batch: smaller ones would get others
            return network.bound(x, self._step, k, draws)

        # Batches of a fixed size: with another one, the same pictures would get other draws and other scores.
        return self._batched(bound, self._scaled(images), at_once=16, smaller=False).numpy().astype(np.float64)

    def anomaly_map(self, images: ArrayLike) -> Array:
        """Return how far each pixel is from its reconstruction.

        Parameters
        ----------
        images : (N, Y, X) or (N, C, Y, X) array_like
            Pictures.

        Returns
        -------
        (N, Y, X) or (N, C, Y, X) ndarray
            Reconstruction error in units of the error that 1 % of the pixels of held-out crops exceed: 1 is rare in
            data like that of the training, several is unusual.

        Raises
        ------
        OptionError
            If the model is a GAN, or was trained without held-out crops, so that nothing was calibrated.
        """
        usual = np.asarray(self._calibrated("pixel_error_99"), np.float32)  # (C,)
        wide = usual[:, None, None] if self.card.channels > 1 else usual[0]
        original = np.asarray(images, np.float32)
        # A single picture was given without N, and gets its map without N.
        return np.abs(self.reconstruct(images).reshape(original.shape) - original) / wide

    def outlier_scores(self, images: ArrayLike) -> NDArray[np.float64]:
        """Score how unlike the training data pictures are; high is unusual.

        Parameters
        ----------
        images : (N, Y, X) or (N, C, Y, X) array_like
            Pictures.

        Returns
        -------
        (N,) ndarray
            How far the bound lies below the median of held-out crops, in units of their robust s.d.: 0 is usual, above
            3 is unusual.
        """
        median, spread = (float(value) for value in self._calibrated("bound"))
        return (median - self.bound(images, k=8)) / spread

    # --- inside ---

    def _mean(self, z: Tensor) -> Tensor:
        return self._network.pictures(z, self._step)

    def _autoencoder(self, what: str) -> Any:
        if not self.card.about.encodes:
            raise OptionError(f"{self.card.name!r} is a GAN, which cannot {what}: take a VAE")
        return self._network

    def _calibrated(self, key: str) -> Sequence[Any]:
        self._autoencoder("score pictures")
        if key not in self.card.calibration:
            raise OptionError(f"{self.card.name!r} was trained without held-out crops, so it cannot score pictures")
        return self.card.calibration[key]

    def _batched(
        self, function: Callable[[Tensor], Tensor], inputs: Tensor, at_once: int = _AT_ONCE, smaller: bool = True
    ) -> Tensor:
        """Apply a function to batches of at most `at_once`; `smaller` halves them where the memory does not suffice."""
        parts, rest = list[Tensor](), inputs
        # Once at least, so that no pictures at all give an empty tensor of the right shape.
        while len(rest) or not parts:
            part = self._on_device(function, rest[:at_once], retry=smaller and at_once > 1)
            if part is None:
                # Half of what was tried, rounded up: less may be left than a batch holds.
                at_once = -(-min(at_once, len(rest)) // 2)
                continue
            parts.append(part)
            rest = rest[at_once:]
        return torch.cat(parts)

    def _on_device(self, function: Callable[[Tensor], Tensor], batch: Tensor, retry: bool) -> Tensor | None:
        """Return the function of a batch, on the CPU; None if memory ran out and the caller can `retry` with less."""
        try:
            # The lock comes first: the precision that `full_float32` sets belongs to the process, and another thread
            # would restore it while this one computes.
            with ONE_AT_A_TIME, plain_errors(self.card.name, str(self.device)), torch.inference_mode(), full_float32():
                return function(batch.to(self.device)).float().cpu()
        except OutOfMemoryError:
            if not retry:
                raise
            return None

    def _grey(self, x: Tensor) -> Array:
        grey = self._low + 0.5 * (x.double() + 1) * self._range  # (N, C, Y, X)
        return (grey[:, 0] if self.card.channels == 1 else grey).float().numpy()

    def _scaled(self, images: ArrayLike) -> Tensor:
        """Return (N, C, Y, X) on the scale of -1 to 1; values beyond the training data's range are clipped."""
        array = np.asarray(images)
        inner = (self.card.size, self.card.size)
        one = inner if self.card.channels == 1 else (self.card.channels, *inner)
        if array.shape[-len(one) :] != one or array.ndim not in (len(one), len(one) + 1) or not array.size:
            raise ImageError(f"{self.card.name!r} takes pictures of shape {one}, or a stack of them, got {array.shape}")
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise ImageError("pictures must be real numbers, all of them finite")
        # A single picture gets its N here, and planes their C.
        tensor = torch.from_numpy(array.astype(np.float64).reshape(-1, self.card.channels, *inner))
        return (2 * (tensor - self._low) / self._range - 1).clamp(-1, 1).float()

    def _checked_latents(self, z: ArrayLike, ndim: int) -> Array:
        array = np.array(z, np.float32)
        if array.ndim != ndim or array.shape[-1] != self.card.latent or not np.isfinite(array).all():
            wanted = f"(N, {self.card.latent})" if ndim == 2 else f"({self.card.latent},)"
            raise OptionError(f"latents must be finite numbers of shape {wanted}, got shape {array.shape}")
        return array

    def _latent_of(self, value: ArrayLike) -> Array:
        array = np.asarray(value)
        if array.ndim == 1:
            return self._checked_latents(array, 1)
        encoded = self.encode(array)
        if len(encoded) != 1:
            raise ImageError(f"an end of an interpolation is one picture, got {len(encoded)}")
        return encoded[0]


def _great_circle(start: Array, end: Array, share: Array) -> Array:
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if min(lengths) == 0:
        return (1 - share) * start + share * end
    # Clipped, as rounding can put the cosine of equal directions beyond 1.
    angle = np.arccos(np.clip(start @ end / (lengths[0] * lengths[1]), -1, 1))
    if np.sin(angle) < 1e-4:  # the same or the opposite direction: no single great circle joins them
        return (1 - share) * start + share * end
    # Spherical interpolation (White 2016): a straight line passes nearer to 0, where hardly any latent was drawn.
    return (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)
