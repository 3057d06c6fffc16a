"""Read from OME-XML how an image was acquired: the fields that REMBI and QUAREP-LiMi ask to keep with a result.

REMBI: Sarkans et al., Nat. Methods 18, 2021, 1418-1422. QUAREP-LiMi: Hammer et al., "Towards community-driven metadata
standards for light microscopy", Nat. Methods 18, 2021, 1427-1440, whose tiers extend the OME model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element

from napari_genrecon.io.foreign.metadata import CHANNELS, short_text

__all__ = ["LIGHT", "acquisition_in"]

_OBJECTIVE = {
    "Manufacturer": "manufacturer",
    "Model": "model",
    "LensNA": "na",
    "NominalMagnification": "magnification",
    "Immersion": "immersion",
}
_SETTINGS = {"RefractiveIndex": "refractive_index", "Medium": "medium", "CorrectionCollar": "correction_collar"}
LIGHT = {
    "Fluor": "fluorophore",
    "AcquisitionMode": "mode",
    "ContrastMethod": "contrast",
    "IlluminationType": "illumination",
    "ExcitationWavelength": "excitation",
    "EmissionWavelength": "emission",
}
"""Names of OME-XML for the light of a channel, which CZI shares, and those of the record."""
_CHANNEL = {"Name": "name", **LIGHT, "PinholeSize": "pinhole", "NDFilter": "nd_filter"}
_DETECTOR = {"Manufacturer": "manufacturer", "Model": "model", "Type": "type"}
_DETECTION = {
    "Gain": "gain",
    "Offset": "offset",
    "Voltage": "voltage",
    "Binning": "binning",
    "ReadOutRate": "read_out_rate",
}
_UNITS = {"excitation": "nm", "emission": "nm", "pinhole": "µm"}


def acquisition_in(ome: Element, image: Element) -> dict[str, Any]:
    """Return how an image was acquired, as far as its file says.

    Parameters
    ----------
    ome : Element
        All of the OME-XML, with the instruments.
    image : Element
        The image.

    Returns
    -------
    dict
        JSON values: ``date``, ``microscope``, ``objective``, ``detector``, ``environment``, ``exposure`` and
        ``channels``, each left out where nothing is stated. Lengths are texts with their unit.
    """
    # "{*}" matches any namespace: every year's version of OME-XML has another.
    settings, channels = image.find("{*}ObjectiveSettings"), image.findall(".//{*}Channel")
    objective = _referred(ome, "Objective", settings)
    # One detector is recorded: the first that a channel names.
    detections = [setting for channel in channels for setting in channel.findall("{*}DetectorSettings")]
    detector = _referred(ome, "Detector", detections[0] if detections else None)
    found = {
        "date": short_text(image.findtext("{*}AcquisitionDate")),
        "microscope": _microscope(ome, image),
        "objective": _stated(objective, _OBJECTIVE) | _stated(settings, _SETTINGS),
        "detector": _stated(detector, _DETECTOR) | _stated(detections[0] if detections else None, _DETECTION),
        "environment": _stated(
            image.find("{*}ImagingEnvironment"), {"Temperature": "temperature", "CO2Percent": "co2"}
        ),
        "exposure": _exposure(image.iterfind(".//{*}Plane")),
        # At most so many: every record of every step carries them.
        "channels": [_stated(channel, _CHANNEL) for channel in channels[:CHANNELS]],
    }
    if not any(set(channel) - {"name"} for channel in found["channels"]):
        del found["channels"]  # names alone say nothing about the acquisition
    return {name: value for name, value in found.items() if value}


def _stated(element: Element | None, names: dict[str, str]) -> dict[str, str]:
    """Return the attributes that are stated, by our names, lengths with their unit."""
    if element is None:
        return {}
    found = {}
    for key, name in names.items():
        text = short_text(element.get(key))
        if text:
            # OME-XML has default units where a file states none.
            unit = short_text(element.get(f"{key}Unit")) or _UNITS.get(name, "")
            found[name] = f"{text} {unit}".strip()
    return found


def _referred(ome: Element, kind: str, reference: Element | None) -> Element | None:
    """Return the part of an instrument that a setting names; the only one where none is named."""
    # A file may describe several objectives of a turret: without a reference none of them is taken.
    parts = ome.findall(f".//{{*}}Instrument/{{*}}{kind}")
    if reference is None:
        return parts[0] if len(parts) == 1 else None
    return next((part for part in parts if part.get("ID") == reference.get("ID")), None)


def _microscope(ome: Element, image: Element) -> str:
    named = image.find("{*}InstrumentRef")
    instruments = ome.findall("{*}Instrument")
    if named is not None:
        instruments = [one for one in instruments if one.get("ID") == named.get("ID")]
    stand = instruments[0].find("{*}Microscope") if len(instruments) == 1 else None
    return "" if stand is None else " ".join(_stated(stand, {"Manufacturer": "maker", "Model": "model"}).values())


def _exposure(planes: Iterable[Element]) -> str:
    """Return the exposure time if it is that of every plane that states one."""
    times = {
        f"{short_text(p.get('ExposureTime'))} {p.get('ExposureTimeUnit', 's')}" for p in planes if p.get("ExposureTime")
    }
    return times.pop() if len(times) == 1 else ""
