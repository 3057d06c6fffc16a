"""The U-Net of CAREamics, in which Noise2Void, N2V2, CARE and Noise2Noise models are shared.

Written from the published architecture: blocks of two 3x3 convolutions, each with batch normalisation if it was used
and a ReLU; 2x2 pooling; bilinear enlargement; features of the way down are appended on the way up (Ronneberger et al.,
"U-Net", MICCAI 2015; Krull et al., "Noise2Void", CVPR 2019). N2V2 blurs while it pools and leaves out the uppermost of
these (Hock et al., "N2V2 - Fixing Noise2Void checkerboard artifacts", ECCV Workshops 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_genrecon.errors import WeightsError
from napari_genrecon.models.card_values import WIDEST_TILE
from napari_genrecon.models.limits import BuildLimit
from napari_genrecon.models.networks.blocks import pad_to_stride

__all__ = ["CareamicsUNet"]

_FIRST = "encoder.encoder_blocks.0.conv1.weight"
_PREFIX = "model."  # of the names in a checkpoint of its training


class CareamicsUNet(nn.Module):
    """Restore planes with a U-Net whose depth, width and kind its weights tell.

    Parameters
    ----------
    weights : mapping of str to Tensor
        The weights by name.

    Raises
    ------
    WeightsError
        If they do not fit, or belong to a network of volumes or of several channels.
    """

    task, scale, internal, scaling = "denoise", 1, False, "moments"

    @staticmethod
    def knows(weights: Mapping[str, Tensor]) -> bool:
        """Return whether these are weights of this network."""
        return _FIRST in _without_prefix(weights)

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        weights = _without_prefix(weights)
        # Kernels have 4 dimensions in networks of planes, and 5 in those of volumes.
        first, final = weights[_FIRST], weights.get("final_conv.weight")
        if first.ndim != 4 or first.shape[1] != 1 or (final is not None and final.shape[:1] != (1,)):
            raise WeightsError(
                f"its U-Net of CAREamics begins with weights of shape {tuple(first.shape)}: networks of planes with "
                "one channel in and one out are used"
            )
        # Blocks and poolings alternate in the list of CAREamics, so that the block of level d stands at 2 d. Sides must
        # be a multiple of 2**depth, which a card limits: to the 10 levels that CAREamics allows.
        depth = 0
        while f"encoder.encoder_blocks.{2 * depth}.conv1.weight" in weights and 2**depth < WIDEST_TILE:
            depth += 1
        # The uppermost block on the way up takes twice the maps of the first one where features are appended, and as
        # many in N2V2, which appends none there.
        last = weights.get(f"decoder.decoder_blocks.{2 * depth - 1}.conv1.weight", first)
        self.n2v2 = last.ndim == 4 and last.shape[1] == first.shape[0]
        self.multiple = 2**depth
        # Normalisations are in the file also where none was used; one that was used has counted its batches.
        normed = any(bool(tensor.any()) for name, tensor in weights.items() if name.endswith("num_batches_tracked"))
        self.architecture = f"U-Net of CAREamics{', N2V2' if self.n2v2 else ''}"
        # Depth and width are what the file says, and may describe a network that fills the memory.
        with BuildLimit(weights):
            self.encoder = _Encoder(depth, int(first.shape[0]), normed=normed, blurred=self.n2v2)
            self.decoder = _Decoder(depth, int(first.shape[0]), normed=normed, n2v2=self.n2v2)
            self.final_conv = nn.Conv2d(int(first.shape[0]), 1, 1)
        self._load(weights, normed=normed)
        self.requires_grad_(False)

    def _load(self, weights: Mapping[str, Tensor], *, normed: bool) -> None:
        """Take the weights; those of a normalisation that was never used are left out."""
        used = {name: tensor for name, tensor in weights.items() if normed or "batch_norm" not in name}
        try:
            self.load_state_dict(used)
        except RuntimeError as error:
            # The first line only names our class.
            lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
            raise WeightsError(f"its weights do not fit the {self.architecture}: {' '.join(lines)[:200]}") from None

    def forward(self, y: Tensor) -> Tensor:
        """Restore a batch.

        Parameters
        ----------
        y : (B, 1, H, W) Tensor
            Grey values of mean 0 and s.d. 1.

        Returns
        -------
        (B, 1, H, W) Tensor
        """
        height, width = y.shape[-2:]
        x, skipped = self.encoder(pad_to_stride(y, self.multiple))
        made: Tensor = self.final_conv(self.decoder(x, skipped))
        return made[..., :height, :width]


class _Encoder(nn.Module):
    def __init__(self, depth: int, width: int, *, normed: bool, blurred: bool) -> None:
        super().__init__()
        # One for all levels, as it has no weights.
        pool: nn.Module = _BlurPool() if blurred else nn.MaxPool2d(2)
        widths = [1, *(width << level for level in range(depth))]
        blocks = [_Block(a, b, b, normed=normed) for a, b in pairwise(widths)]
        # The pooling is in the list, too: the names of the weights count it.
        self.encoder_blocks = nn.ModuleList([each for block in blocks for each in (block, pool)])

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        skipped = []
        for module in self.encoder_blocks:
            x = module(x)
            if isinstance(module, _Block):
                skipped.append(x)  # (B, width * 2**level, H / 2**level, W / 2**level)
        return x, skipped


class _Decoder(nn.Module):
    def __init__(self, depth: int, width: int, *, normed: bool, n2v2: bool) -> None:
        super().__init__()
        deepest = width << (depth - 1)
        self.bottleneck = _Block(deepest, 2 * deepest, deepest, normed=normed)
        self.n2v2 = n2v2
        larger = nn.Upsample(scale_factor=2, mode="bilinear")
        blocks: list[nn.Module] = []
        for level in reversed(range(depth)):
            below = width << level
            # Widths as in CAREamics, whose weights must fit: with appended features, twice as many maps come in.
            taken = below if n2v2 and level == 0 else 2 * below
            out = below // 2 if level else below
            blocks += [larger, _Block(taken, 2 * out if level else out, out, normed=normed)]
        self.decoder_blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, skipped: list[Tensor]) -> Tensor:
        x = self.bottleneck(x)  # (B, width * 2**(depth-1), H / 2**depth, W / 2**depth)
        left = list(skipped)
        for module in self.decoder_blocks:
            x = module(x)
            if isinstance(module, nn.Upsample):
                beside = left.pop()
                # None is left after the uppermost one, which N2V2 leaves out.
                if left or not self.n2v2:
                    x = torch.cat([x, beside], dim=1)
        return x


class _Block(nn.Module):
    """Two convolutions."""

    def __init__(self, channels: int, middle: int, out: int, *, normed: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, middle, 3, padding=1)
        self.conv2 = nn.Conv2d(middle, out, 3, padding=1)
        self.normed = normed
        if normed:
            self.batch_norm1, self.batch_norm2 = nn.BatchNorm2d(middle), nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = F.relu(self.batch_norm1(x) if self.normed else x)
        x = self.conv2(x)
        return F.relu(self.batch_norm2(x) if self.normed else x)


class _BlurPool(nn.Module):
    """Take the largest of 2x2 pixels around every pixel, blur, and keep every second one (Zhang, ICML 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        row = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
        kernel = (row[:, None] * row).expand(x.shape[1], 1, 3, 3)  # (C, 1, 3, 3): every map by itself
        # The maximum makes each side 1 shorter and the padding 2 longer, so that the stride halves even sides exactly.
        return F.conv2d(F.max_pool2d(x, 2, stride=1), kernel, padding=1, stride=2, groups=x.shape[1])


def _without_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if all(name.startswith(_PREFIX) for name in weights):
        return {name.removeprefix(_PREFIX): tensor for name, tensor in weights.items()}
    return dict(weights)
