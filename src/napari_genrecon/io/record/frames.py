"""Say of a result that neighbouring frames were used, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["frames_text", "fusion_text"]


def frames_text(record: Mapping[str, Any]) -> str:
    """Return a few words if a run used neighbouring frames; empty if it did not."""
    frames = record.get("frames")
    axis = frames.get("axis") if isinstance(frames, dict) else None
    return f"uses neighbouring {'planes' if axis == 'Z' else 'frames'} along {axis}" if axis else ""


def fusion_text(record: Mapping[str, Any]) -> str:
    """Return the sentence for the methods section of a paper; empty if a run used no neighbouring frames."""
    if not frames_text(record):
        return ""
    frames, model = record["frames"], record["frames"].get("model") or {}
    return (
        f"Neighbours along {frames['axis']}, up to {frames.get('reach')} beyond windows of {frames.get('window')}, "
        f"were fused before by the network {model.get('name')} ({str(model.get('sha256'))[:12]}; a convolutional "
        "gated recurrent unit: Ballas et al. 2016, doi:10.48550/arXiv.1511.06432), where they showed the same."
    )
