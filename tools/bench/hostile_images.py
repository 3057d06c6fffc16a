"""Hostile image files: false metadata, damage, decompression bombs."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.zarr.write import write_zarr_steps

SHAPE = (3, 70, 90)


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 4000, SHAPE).astype("u2")


def make_all(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of every image."""
    for number, (name, content) in enumerate(tiffs()):
        path = folder / f"{number}.tif"
        path.write_bytes(content)
        yield name, path
    yield from stores(folder)


# --- TIFF ---


def pyramids() -> Iterator[tuple[str, bytes]]:
    """Yield TIFFs whose smaller copy contradicts the image."""
    good = pyramid(pixels()[0, ::2, ::2])
    yield "pyramid", good
    for tag in (256, 257, 258, 259, 277, 322, 323, 324, 325):
        yield f"tag {tag} of a level enormous", edited(good, tag, 0xFFFFFFF0, level=True)
        yield f"tag {tag} of a level zero", edited(good, tag, 0, level=True)
    for part in (0.5, 0.8, 0.95):
        yield f"pyramid cut at {part:.0%}", good[: int(part * len(good))]
    yield "level larger than the image", pyramid(np.tile(pixels()[0], (2, 2)))
    yield "level of other proportions", pyramid(pixels()[0, ::2, ::7])
    yield "level of another dtype", pyramid(pixels()[0, ::2, ::2].astype("f4"))
    at = struct.unpack_from("<I", good, 4)[0]
    yield "level that is the image itself", edited(good, 330, at)
    yield "level behind the end", edited(good, 330, 1 << 30)


def pyramid(level: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    options = {"tile": (32, 32), "compression": "zlib", "metadata": None}
    with tifffile.TiffWriter(buffer) as tif:
        tif.write(pixels()[0], subifds=1, **options)
        tif.write(level, subfiletype=1, **options)
    return buffer.getvalue()


def tiffs() -> Iterator[tuple[str, bytes]]:
    good = tiff(compression="zlib")
    plain = tiff()
    for part in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97):
        yield f"compressed TIFF cut at {part:.0%}", good[: int(part * len(good))]
        yield f"plain TIFF cut at {part:.0%}", plain[: int(part * len(plain))]
    for tag in (256, 257, 258, 259, 273, 277, 279, 322, 323):
        yield f"tag {tag} enormous", edited(plain, tag, 0xFFFFFFF0)
        yield f"tag {tag} zero", edited(plain, tag, 0)
    yield "directory that points to itself", looped(plain)
    yield "no directory", plain[:4] + struct.pack("<I", 0) + plain[8:]
    yield "directory behind the end", plain[:4] + struct.pack("<I", 1 << 31) + plain[8:]
    yield "deflate bomb", bomb()
    yield from pyramids()
    yield "planes that are missing", xml(b"").replace(b'SizeZ="3"', b'SizeZ="9"')
    yield "OME-XML that leads elsewhere", other_file()
    yield "entities in OME-XML", xml(b'<!DOCTYPE x [<!ENTITY a "aaaa">]>')
    yield "external entity in OME-XML", xml(b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>')
    yield "OME-XML that is not XML", tiff(description=b"<OME xmlns='x'><Image></OME>")
    yield "empty", b""
    yield "eight bytes", b"II*\0\x08\0\0\0"
    yield "text", b"not an image at all, but with the name of one"
    yield "a PNG", b"\x89PNG\r\n\x1a\n" + b"\0" * 100


def tiff(description: bytes | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels()[0], description=description, metadata=None, **options)
    return buffer.getvalue()


def xml(prolog: bytes) -> bytes:
    """Return a file whose OME-XML begins with this."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels(), ome=True, metadata={"axes": "ZYX", "Description": "x" * 200})
    content = buffer.getvalue()
    start = content.index(b"<?xml")
    end = content.index(b"?>", start) + 2
    filler = content.index(b"x" * 200)
    # The text keeps its length: what the prolog needs is taken from the filler.
    return content[:end] + prolog + content[end:filler] + b"x" * (200 - len(prolog)) + content[filler + 200 :]


def edited(content: bytes, tag: int, value: int, *, level: bool = False) -> bytes:
    """Replace the first value of a tag in the first directory (or in its first level), if it has the tag."""
    (offset,) = struct.unpack_from("<I", content, 4)
    if level:
        (offset,) = struct.unpack_from("<I", content, _entry(content, offset, 330) + 8)
    (count,) = struct.unpack_from("<H", content, offset)
    changed = bytearray(content)
    for i in range(count):
        where = offset + 2 + 12 * i
        code, kind, n = struct.unpack_from("<HHI", content, where)
        if code == tag:
            place = where + 8 if n * {3: 2, 4: 4}.get(kind, 4) <= 4 else struct.unpack_from("<I", content, where + 8)[0]
            struct.pack_into("<H" if kind == 3 else "<I", changed, place, value & (0xFFFF if kind == 3 else 0xFFFFFFFF))
            return bytes(changed)
    return bytes(changed[:offset])  # a file without its directory is broken as well


def _entry(content: bytes, offset: int, tag: int) -> int:
    """Return the offset of a tag in a directory."""
    (count,) = struct.unpack_from("<H", content, offset)
    entries = [offset + 2 + 12 * i for i in range(count)]
    return next(at for at in entries if struct.unpack_from("<H", content, at)[0] == tag)


def looped(content: bytes) -> bytes:
    (offset,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, offset)
    changed = bytearray(content)
    struct.pack_into("<I", changed, offset + 2 + 12 * count, offset)
    # The same picture again and again is legal to list; the pixels are still those of one page.
    struct.pack_into("<H", changed, offset, 0xFFFF)
    return bytes(changed)


def other_file() -> bytes:
    part = '<TiffData IFD="0" PlaneCount="1"><UUID FileName="../../etc/x.tif">urn:uuid:0</UUID></TiffData>'
    attributes = (
        'DimensionOrder="XYZCT" ID="Pixels:0" SizeC="1" SizeT="1" SizeX="90" SizeY="70" SizeZ="1" Type="uint16"'
    )
    image = f'<Image ID="Image:0"><Pixels {attributes}>{part}</Pixels></Image>'
    return tiff(description=f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{image}</OME>'.encode())


def bomb() -> bytes:
    """Return a file of 16 x 16 pixels whose strip unpacks to 500 MB."""
    packed = zlib.compress(b"\0" * (500 << 20), 9)
    entries = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (273, 8), (277, 1), (278, 16), (279, len(packed))]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory + struct.pack("<I", 0)


# --- OME-Zarr ---

ARRAY: dict[str, Callable[[dict], object]] = {
    "pickle codec": lambda m: m["codecs"].insert(0, {"name": "numcodecs.pickle", "configuration": {}}),
    "vlen codec": lambda m: m["codecs"].insert(0, {"name": "vlen-utf8"}),
    "unknown codec": lambda m: m["codecs"].append({"name": "mine"}),
    "codec in a shard": lambda m: m.update(
        codecs=[{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "pickle"}]}}]
    ),
    "objects": lambda m: m.update(data_type="variable_length_utf8"),
    "complex": lambda m: m.update(data_type="complex64"),
    "no data type": lambda m: m.pop("data_type"),
    "huge chunk": lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[1 << 20, 1 << 20, 1]),
    "chunk of 0": lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[0, 0, 0]),
    "negative shape": lambda m: m.update(shape=[-1, 70, 90]),
    "shape of text": lambda m: m.update(shape=["3", 70, 90]),
    "shape of one number": lambda m: m.update(shape=[90]),
    "no shape": lambda m: m.pop("shape"),
    "another node": lambda m: m.update(node_type="group"),
}
IMAGE: dict[str, Callable[[dict], object]] = {
    **{
        f"path {name!r}": lambda m, name=name: scales(m)["datasets"][0].update(path=name)
        for name in ("../b.zarr/0", "/etc", "http://example.org/0", "", "0/../../b/0", "c:\\0", "missing")
    },
    "no multiscales": lambda m: m["attributes"]["ome"].pop("multiscales"),
    "no datasets": lambda m: scales(m).update(datasets=[]),
    "too few axes": lambda m: scales(m)["axes"].pop(),
    "axes twice": lambda m: scales(m)["axes"].__setitem__(0, scales(m)["axes"][1]),
    "scale of text": lambda m: scales(m)["datasets"][0]["coordinateTransformations"][0].update(scale=["a", 1, 1]),
    "scale too short": lambda m: scales(m)["datasets"][0]["coordinateTransformations"][0].update(scale=[1]),
    "version of the future": lambda m: m["attributes"]["ome"].update(version="9.9"),
}
FILES = {"empty": b"", "cut": b'{"attributes": {', "list": b"[]", "deep": b"[" * 100_000, "no attributes": b"{}"}


def scales(metadata: dict) -> dict:
    return metadata["attributes"]["ome"]["multiscales"][0]


def stores(folder: Path) -> Iterator[tuple[str, Path]]:
    good = folder / "good.zarr"
    finish(write_zarr_steps(good, pixels(), ImageMeta(axes=Axes("ZYX"))))
    for edits, name in ((ARRAY, "0/zarr.json"), (IMAGE, "zarr.json")):
        for trick, edit in edits.items():
            yield trick, _edited(good, folder / f"{trick.replace('/', '_')}.zarr", name, edit)
    for trick, content in FILES.items():
        path = shutil.copytree(good, folder / f"metadata {trick}.zarr")
        (path / "zarr.json").write_bytes(content)
        yield f"metadata {trick}", path
    linked = shutil.copytree(good, folder / "linked.zarr")
    shutil.move(linked / "0", folder / "elsewhere")
    (linked / "0").symlink_to(folder / "elsewhere")
    yield "array that is a link", linked


def _edited(good: Path, path: Path, name: str, edit: Callable[[dict], object]) -> Path:
    shutil.copytree(good, path)
    metadata = json.loads((path / name).read_text())
    edit(metadata)
    (path / name).write_text(json.dumps(metadata))
    return path
