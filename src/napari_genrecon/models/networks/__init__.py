"""The registry of networks that a model card can name. Importing this loads no torch.

A card from a file names a key of this table and never code. Each network says which values its constructor takes, so
that a card can be refused before anything is built from it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = ["NETWORKS", "RARE", "WIDEST", "Network"]

WIDEST = 256
"""Feature maps of a generative network at any level: else they would double with every halving of the side."""
RARE = -4.0
"""Logarithm of the odds of a centre with which networks that look for objects begin: nearly no pixel is one. A maximum
that was trained to no more is none either, even in dim, crowded scenes."""

_GENERATIVE: Mapping[str, Collection[int]] = {
    "size": (32, 64, 128),
    "channels": range(1, 5),
    "latent": range(1, 1025),
    "width": range(1, WIDEST + 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network architecture.

    Attributes
    ----------
    target : str
        Module (relative to this package) and class, ``".unet:DenoiseUNet"``.
    shape : mapping
        Keywords of its constructor, and the values that each can have.
    label, about : str
        Short name and abilities, in words for users.
    encodes : bool
        Whether it can turn pictures into latents.
    truncates : bool
        Whether latents may be drawn towards their middle.
    from_weights : bool
        Whether its constructor takes the weights, which tell its architecture.
    volumes : bool
        Whether it takes volumes (C, Z, Y, X), and not planes; it then has ``parts(y)``, a generator that returns what
        `forward` does.
    parts : int
        How often that generator yields, plus one.
    """

    target: str
    shape: Mapping[str, Collection[int | str]] = field(default_factory=dict)
    label: str = ""
    about: str = ""
    encodes: bool = False
    truncates: bool = False
    from_weights: bool = False
    volumes: bool = False
    parts: int = 1


NETWORKS: Mapping[str, Network] = {
    "unet": Network(target=".unet:DenoiseUNet", label="U-Net"),
    "grain-unet": Network(target=".unet:GrainUNet", label="U-Net"),
    "fillnet": Network(target=".fillnet:FillUNet", label="U-Net"),
    "image-unet": Network(
        target=".image_unet:ImageUNet", shape={"channels": range(1, 5), "outputs": range(1, 5)}, label="U-Net"
    ),
    "volume-unet": Network(
        target=".volume_unet:VolumeUNet",
        shape={"channels": range(1, 5), "outputs": range(1, 5)},
        label="3D U-Net",
        volumes=True,
        parts=11,  # two for each of its five levels, and the rest
    ),
    "frame-gate": Network(target=".frame_gate:FrameGate", label="recurrent network"),
    "spotnet": Network(target=".spotnet:SpotNet", label="U-Net"),
    "heatnet": Network(target=".heatnet:HeatNet", shape={"channels": range(1, 5)}, label="U-Net"),
    "srnet": Network(target=".srnet:UpscaleNet", label="residual network"),
    "srnets": Network(target=".srnet:UpscaleNets", label="residual networks"),
    "axial": Network(target=".srnet:AxialNet", shape={"factor": (2, 3, 4)}, label="residual network"),
    "feature-classifier": Network(
        target=".classifiers:FeatureClassifier",
        # With the most of both, the weights have 105 MB: less than `files.LARGEST_FILE`.
        shape={"features": range(1, 1 << 18), "classes": range(2, 101)},
        label="linear classifier",
    ),
    "cellnet": Network(
        target=".classifiers:CellNet", shape={"channels": range(1, 65), "classes": range(2, 101)}, label="small CNN"
    ),
    "joint-classifier": Network(
        target=".classifiers:JointClassifier",
        shape={"features": range(1, 1 << 18), "classes": range(2, 101), "channels": range(1, 65)},
        label="linear classifier and small CNN",
    ),
    # Weights of others are shown to these in this order; spandrel comes last, as it finds out only by building.
    "careamics": Network(target=".foreign.careamics:CareamicsUNet", label="U-Net of CAREamics", from_weights=True),
    "onnx-graph": Network(target=".foreign.onnx_graph:OnnxGraph", label="ONNX graph", from_weights=True),
    "spandrel": Network(target=".foreign.spandrel:SpandrelNet", label="network that spandrel knows", from_weights=True),
    "vae": Network(
        target=".vae:VAE",
        shape={**_GENERATIVE, "likelihood": ("logistic", "gaussian", "bernoulli")},
        label="VAE",
        about="can also encode and score real cells",
        encodes=True,
    ),
    "dcgan": Network(
        target=".dcgan:Generator", shape=_GENERATIVE, label="GAN", about="makes pictures; no way back", truncates=True
    ),
}
