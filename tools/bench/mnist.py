"""Measure the VAE against the literature: its importance-weighted bound on binarised MNIST, in nats.

Burda, Grosse & Salakhutdinov (ICLR 2016, table 1) give 86.76 nats for a VAE with one layer of latents, trained with one
draw and measured with 5000. Here the networks of `models.networks.vae` are trained with the likelihood of that paper,
binary pixels; the data are given by path, as they are not part of this repository::

    python tools/bench/mnist.py DATA --minutes 30

DATA is an ``.npz`` with ``x_train`` and ``x_test``, or a folder with ``train-images-idx3-ubyte`` and
``t10k-images-idx3-ubyte``, gzipped or not. The measure is of test digits that chose nothing.
"""

from __future__ import annotations

import argparse
import gzip
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from napari_genrecon.models.networks.vae import VAE, divergence

LATENT, BATCH, RATE = 50, 100, 1e-3  # 50 latents as in the paper
WIDTH = 16  # of the network: a wider one takes too few steps in half an hour
PUBLISHED = 86.76
_EDGE = 2  # pixels to each side: the network takes 32, digits have 28


def main() -> None:
    """Train, measure and print one row."""
    args = _arguments()
    train, test = (torch.from_numpy(x).float()[:, None] / 255 for x in _digits(args.data))
    network = train_steps(train, args.minutes, args.seed)
    bounds = torch.cat([bound(network, _binary(x, seed=i), args.k) for i, x in enumerate(test[: args.n].split(BATCH))])
    print("| binarised MNIST | nats per digit | ± s.e. |\n| --- | ---: | ---: |")
    error = bounds.std() / math.sqrt(len(bounds))
    print(f"| VAE, importance-weighted, k = {args.k}, {len(bounds)} digits | {-bounds.mean():.2f} | {error:.2f} |")
    print(f"| Burda et al. 2016, one layer of latents, k = 5000 | {PUBLISHED} | |")


def train_steps(digits: Tensor, minutes: float, seed: int) -> VAE:
    """Train for some minutes, each digit binarised anew at every step; the rate falls to nothing."""
    torch.manual_seed(seed)
    network = VAE(32, 1, LATENT, WIDTH, "bernoulli")
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    started, step = time.monotonic(), 0
    while (done := (time.monotonic() - started) / (60 * minutes)) < 1:
        optimiser.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * done))
        x = torch.bernoulli(digits[torch.randint(len(digits), (BATCH,))])
        mean, log_variance = network.encode(_framed(x))
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        loss = (divergence(mean, log_variance) - _log_likelihood(network, x, z)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if step % 500 == 0:
            print(f"step {step}, {100 * done:.0f} %: {loss.item():.1f} nats", flush=True)
    return network


@torch.no_grad()
def bound(network: VAE, x: Tensor, k: int) -> Tensor:
    """Return the importance-weighted bound (B,) of binary digits (B, 1, 28, 28), as in equation 8 of the paper."""
    mean, log_variance = network.encode(_framed(x))
    weights = []
    for _ in range(k):
        noise = torch.randn_like(mean)
        z = mean + torch.exp(0.5 * log_variance) * noise
        ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(1)
        weights.append(_log_likelihood(network, x, z) + ratio)
    return torch.logsumexp(torch.stack(weights), 0) - math.log(k)


def _log_likelihood(network: VAE, x: Tensor, z: Tensor) -> Tensor:
    logits = network.decode(z)[:, :1, _EDGE:-_EDGE, _EDGE:-_EDGE]  # (B, 1, 28, 28)
    return -binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def _framed(x: Tensor) -> Tensor:
    return pad(2 * x - 1, (_EDGE,) * 4, value=-1.0)


def _binary(x: Tensor, seed: int) -> Tensor:
    return torch.bernoulli(x, generator=torch.Generator().manual_seed(seed))


def _digits(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as stored:
            return stored["x_train"], stored["x_test"]
    return _idx(path, "train-images-idx3-ubyte"), _idx(path, "t10k-images-idx3-ubyte")


def _idx(folder: Path, name: str) -> np.ndarray:
    """Read images of the format of MNIST: a header of four big-endian integers, then bytes."""
    plain = folder / name
    content = plain.read_bytes() if plain.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    shape = tuple(np.frombuffer(content, ">u4", 3, offset=4))
    return np.frombuffer(content, np.uint8, offset=16).reshape(shape).copy()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help=".npz or folder")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--k", type=int, default=500, help="draws of the bound")
    parser.add_argument("--n", type=int, default=1000, help="test digits; all 10,000 take hours")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
