"""Say of a result that neighbouring frames were used, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["frames_text", "fusion_text"]

_NEWS = 0.1  # px a frame, or share of the light: less is not worth a word


def frames_text(record: Mapping[str, Any]) -> str:
    """Return a few words if a run used neighbouring frames; empty if it did not."""
    frames: Any = record.get("frames")
    axis = frames.get("axis") if isinstance(frames, dict) else None
    if not axis:
        return ""
    course = _course(frames) if axis == "T" else ""
    return f"uses neighbouring {'planes' if axis == 'Z' else 'frames'} along {axis}{course}"


def _course(frames: Mapping[str, Any]) -> str:
    """Return in parentheses how a movie drifts and bleaches; empty if it does neither, or that was not recorded."""
    drift = max((math.hypot(*each) for each in frames.get("drift") or ()), default=0.0)
    # The channel that changes most.
    light = max(frames.get("light") or (1.0,), key=lambda share: abs(share - 1))
    said = [f"they drift by {drift:.1f} px a frame"] if drift >= _NEWS else []
    if abs(light - 1) >= _NEWS:
        said.append(f"above the darkest level, the last one has {100 * light:.0f} % of the light of the first")
    return f" ({'; '.join(said)})" if said else ""


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
