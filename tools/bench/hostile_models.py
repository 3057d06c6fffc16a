"""Hostile weight files: code in pickles, decompression bombs, wrong formats."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from napari_genrecon.models.networks.unet import DenoiseUNet

CANARY = "canary"


class Runs:
    """An object whose unpickling writes a file."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


def payloads(canary: Path) -> dict[str, object]:
    """Return objects that write the canary in different ways."""
    code = f"open({str(canary)!r}, 'w').close()"
    return {
        "system": Runs(os.system, f"touch {canary}"),
        "eval": Runs(eval, code),
        "exec": Runs(exec, code),
        "open": Runs(open, str(canary), "w"),
        "mkdir": Runs(os.mkdir, str(canary)),
        "getattr": Runs(getattr, Runs(os.mkdir, str(canary)), "x"),
        "torch hub": Runs(torch.hub.load_state_dict_from_url, f"file://{canary}"),
        "torch save": Runs(torch.save, {}, str(canary)),
    }


def contents(canary: Path) -> Iterator[tuple[str, bytes]]:
    for name, payload in payloads(canary).items():
        for protocol in (0, 2, 4, 5):
            yield f"bare pickle {name} {protocol}", pickle.dumps({"w": payload}, protocol)
        yield f"archive {name}", archive({"a/data.pkl": pickle.dumps({"w": payload}, 2), "a/version": b"3"})
        yield f"archive {name}, nested", archive({"a/data.pkl": pickle.dumps([{"w": [payload]}], 2), "a/version": b"3"})
    good = saved({"w": torch.zeros(4)})
    yield "torch.save legacy", legacy({"w": torch.zeros(4)})
    yield "TorchScript", script()
    yield "TorchScript, renamed members", renamed(script(), "constants.pkl", "Constants.PKL")
    yield "compressed bomb", archive({"a/data.pkl": b"\0" * (300 << 20), "a/version": b"3"}, zipfile.ZIP_DEFLATED)
    yield "compressed tensors", recompressed(good)
    yield "names twice", archive_twice({"a/data.pkl": pickle.dumps({}, 2)})
    yield "two pickles", archive({"a/data.pkl": pickle.dumps({}, 2), "a/more.pkl": pickle.dumps({}, 2)})
    yield "no pickle", archive({"a/version": b"3"})
    yield "cut archive", good[: len(good) // 2]
    yield "archive with junk before", b"junk" + good
    yield "stride 0", saved({"w": torch.zeros(1).expand(1 << 40)})
    yield "a whole module", saved(torch.nn.Linear(2, 2))
    yield "a list", saved([torch.zeros(2)])
    yield "NaN weights", safetensors({"w": ("F32", [1], struct.pack("<f", float("nan")))})
    yield "NaN in an archive", saved({"w": torch.full((3,), float("nan"))})
    yield from broken_safetensors()
    yield "empty", b""
    yield "text", b"these are no weights"
    yield "eight bytes", struct.pack("<Q", 10)


def broken_safetensors() -> Iterator[tuple[str, bytes]]:
    four = struct.pack("<f", 1.0)
    yield "header longer than the file", struct.pack("<Q", 1 << 60) + b"{}"
    yield "header not JSON", struct.pack("<Q", 8) + b"{not js}"
    yield "tensor longer than the file", safetensors({"w": ("F32", [1 << 40], four)})
    yield "shape overflows", safetensors({"w": ("F32", [1 << 62, 1 << 62], four)})
    yield "unknown dtype", safetensors({"w": ("PICKLE", [1], four)})
    yield "offsets reversed", raw_safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, four)
    yield (
        "offsets overlap",
        raw_safetensors({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "ab"}, four),
    )
    yield "hole", raw_safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, four * 2)
    yield "negative shape", safetensors({"w": ("F32", [-1], four)})
    yield "no tensors", raw_safetensors({}, b"")


def wrong_networks() -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Yield tensors that are no weights of the bundled network."""
    good = DenoiseUNet().state_dict()
    first = next(iter(good))
    yield "missing key", {k: v for k, v in good.items() if k != first}
    yield "unexpected key", {**good, "extra": torch.zeros(1)}
    yield "wrong shape", {**good, first: good[first][:1]}
    yield "other names", {f"module.{k}": v for k, v in good.items()}
    yield "half the weights", dict(list(good.items())[::2])


def archive(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def archive_twice(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
            file.writestr(name.upper(), content)
    return buffer.getvalue()


def recompressed(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return archive({n: file.read(n) for n in file.namelist()}, zipfile.ZIP_DEFLATED)


def renamed(content: bytes, old: str, new: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return archive({n.replace(old, new): file.read(n) for n in file.namelist()})


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def legacy(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), buffer)
    return buffer.getvalue()


def safetensors(tensors: dict[str, tuple[str, list[int], bytes]]) -> bytes:
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return raw_safetensors(header, data)


def raw_safetensors(header: dict[str, object], data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
