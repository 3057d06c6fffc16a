"""One piece of advice, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from napari_genrecon.plural import duration

__all__ = ["Advice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One piece of advice.

    Attributes
    ----------
    rule : str
        Name of the rule that gave it.
    task : str
        The task it is about: the name of a function of this package, and of a sub-command.
    do : bool
        Whether to do it; False is advice against it.
    title : str
        The advice in a few words.
    reason : str
        Why, with what was measured.
    source : str
        Where the rule comes from.
    options : dict
        Options of the task to begin with, where they are not the defaults.
    seconds : float or None
        Expected time on this machine; None where it is not known beforehand.
    """

    rule: str
    task: str
    do: bool
    title: str
    reason: str
    source: str
    options: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the advice as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        took = "" if self.seconds is None else f" ({duration(self.seconds)})"
        return f"{self.title}{took}: {self.reason} [{self.source}]"
