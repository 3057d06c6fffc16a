"""The `genrecon` command as a process: interrupted while it starts, and on consoles of other code pages."""

import codecs
import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_genrecon import NoiseModel, pipeline
from napari_genrecon.__main__ import main as entry
from napari_genrecon.cli import main
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.json_file import read_json
from napari_genrecon.noise import read_noise
from napari_genrecon.tasks.pipeline import read_pipeline

START = """
import os, signal, sys, time
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(20)
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may ignore it
sys.meta_path.insert(0, Interrupt())
from napari_genrecon.__main__ import main
sys.argv = ["genrecon", "denoise", "--help"]
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself Ctrl-C there")
@pytest.mark.parametrize("module", ["napari_genrecon.cli", "argparse", "numpy", "napari_genrecon.tasks.denoise"])
def test_ctrl_c_while_the_command_starts_shows_no_traceback(module):
    done = subprocess.run([sys.executable, "-c", START.format(module=module)], capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "genrecon: interrupted\n"


END = """
import os, signal, sys
from napari_genrecon.io.tiff import write

written = write._Planes._write_one
def end(self, tif, plane, *, first):
    written(self, tif, plane, first=first)
    if not first:
        os.kill(os.getpid(), signal.SIGTERM)
write._Planes._write_one = end
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell that starts it in the background does
from napari_genrecon.__main__ import main
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM that a process could catch")
def test_job_that_a_cluster_ends_leaves_nothing_half_written(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.random.default_rng(0).poisson(30, (3, 64, 64)).astype("u2"))
    command = [sys.executable, "-c", END, "denoise", str(tmp_path / "a.tif")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, [path.name for path in tmp_path.iterdir()]) == (130, ["a.tif"])
    assert "interrupted; no file was left half written" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a shell for POSIX systems")
@pytest.mark.parametrize("closed", ["| head -n 1 >&2; exit ${PIPESTATUS[0]}", "2>&-", ">&-"])
def test_output_without_a_reader_shows_no_traceback(tmp_path, closed):
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.random.default_rng(0).poisson(30, (64, 64)).astype("u2"))
    line = f"{sys.executable} -u -m napari_genrecon noise {tmp_path}/a.tif {tmp_path}/b.tif {closed}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.returncode == (141 if "head" in closed else 0)
    assert done.stderr.count("\n") == ("head" in closed)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_consoles_that_lack_letters_get_escapes(tmp_path, encoding):
    path = tmp_path / "клетки → 細胞.tif"
    tifffile.imwrite(path, np.random.default_rng(0).poisson(30, (64, 64)).astype("u2"))
    command = [sys.executable, "-m", "napari_genrecon", "noise", str(path), str(tmp_path / "нет.tif")]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True)
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert done.returncode == 1  # the second is not there
    assert ("细" in out or "細胞.tif" in out) is (encoding == "utf-8")
    assert ("\\u7d30\\u80de.tif" in out) is (encoding != "utf-8")
    assert "there is no file" in err
    assert "Traceback" not in err


@pytest.fixture
def western_console(monkeypatch):
    """Run a command as on a console that knows Western letters only; return its status and what it printed."""

    def run(*arguments):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="cp1252") for _ in range(2)]
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, "argv", ["genrecon", *map(str, arguments)])
        try:
            status = entry()
        except SystemExit as end:  # of --help
            status = end.code
        for stream in streams:
            stream.flush()
        return status, "".join(stream.buffer.getvalue().decode("cp1252") for stream in streams)

    return run


@pytest.mark.slow
def test_every_command_copes_with_names_that_the_console_lacks(western_console, tmp_path, monkeypatch):
    folder, noise = tmp_path / "клетки → 細胞", np.random.default_rng(0)
    folder.mkdir()
    labels = np.repeat(np.repeat(np.arange(1, 17).reshape(4, 4), 16, 0), 16, 1).astype("u2")
    image = noise.poisson(30 + 40 * (labels % 2))
    tifffile.imwrite(folder / "σ.tif", image.astype("u2"))
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    (tmp_path / "table.csv").write_text("label,class\n1,白\n3,白\n2,黒\n4,黒\n", encoding="utf-8")
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path / "μ"))
    image, result, steps = folder / "σ.tif", folder / "ж.ome.tif", folder / "ш.json"
    commands = [
        ("noise", image), ("blur", image), ("advise", image), ("denoise", image, "-o", result), ("verify", result),
        ("replay", result), ("check", result), ("methods", result), ("resolution", image), ("steps", result, steps),
        ("run", steps, folder, "-o", folder / "out"), ("denoise", folder, "-o", folder / "all"),
        ("inpaint", image, "--detect", "hot"), ("deblur", image, "--psf", "1.5", "--method", "rl"),
        ("upscale", image, "--factor", "2"), ("detect", image, "--method", "net"),
        ("augment", image, "--labels", tmp_path / "labels.tif", "-o", folder / "new", "-n", "1"),
        ("classify", image, "--labels", tmp_path / "labels.tif", "--classes", tmp_path / "table.csv", "--save", "two"),
        ("sample", "nuclei-vae-32", "-n", "1", "-o", folder / "ü.ome.tif"), ("models",), ("runs",), ("devices",),
        ("predict", image), ("train", "vae", image, "--name", "п"),
    ]  # fmt: skip
    # The image is too small, or unfit; there is no such model, and no such name.
    refuse = {"blur", "resolution", "predict", "train"}
    for command in commands:
        status, said = western_console(*command)
        assert status == 0 or command[0] in refuse, (command, said)
        assert "Traceback" not in said
    assert "\\u7d30\\u80de" in western_console("noise", image)[1]


def test_help_of_every_command_is_printed_on_such_a_console(western_console):
    listed = western_console("--help")[1]
    commands = [line.split()[0] for line in listed.splitlines() if line.startswith("    ") and line[4:5].isalpha()]
    assert {"denoise", "predict", "detect", "classify", "augment", "advise", "run", "train"} <= set(commands)
    for command in commands:
        status, said = western_console(command, "--help")
        assert (status, said.splitlines()[0].split()[:3]) == (0, ["usage:", "genrecon", command])


def test_console_script_is_the_light_entry():
    from importlib.metadata import entry_points

    targets = {point.value for point in entry_points(group="console_scripts", name="genrecon")}
    assert targets <= {"napari_genrecon.__main__:main", "napari_genrecon.cli:main"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("channels", [1, 2])
def test_noise_report_is_read_however_a_shell_has_encoded_it(tmp_path, capsys, encoding, channels):
    image = np.random.default_rng(0).poisson(30, (channels, 96, 96)).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", metadata={"axes": "CYX"})
    assert main(["noise", str(tmp_path / "a.tif"), "--json"]) == 0
    text = capsys.readouterr().out.replace("\n", "\r\n")
    raw = text.encode(encoding)
    (tmp_path / "noise.json").write_bytes(codecs.BOM_UTF16_LE + raw if encoding == "utf-16-le" else raw)
    found = read_noise(tmp_path / "noise.json")
    assert all(isinstance(model, NoiseModel) for model in (found if channels > 1 else [found]))


@pytest.mark.parametrize("text", ["5", '"a"', "[1, 2]", "null", "{", "", '[{"gain": 1}, 3]'])
def test_json_that_is_no_noise_report_is_refused(tmp_path, text):
    (tmp_path / "noise.json").write_text(text)
    with pytest.raises(OptionError, match="genrecon noise --json"):
        read_noise(tmp_path / "noise.json")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_steps_are_read_in_every_encoding(tmp_path, encoding):
    path = tmp_path / "steps.json"
    pipeline(["denoise"]).save(path)
    path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
    assert read_pipeline(path) == pipeline(["denoise"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_record_is_read_in_every_encoding(tmp_path, encoding):
    path = tmp_path / "a.json"
    path.write_text('{"name": "клетки"}', encoding=encoding)
    assert read_json(path) == {"name": "клетки"}
    path.write_text("[1]", encoding=encoding)
    with pytest.raises(ImageError, match="not a JSON object"):
        read_json(path)
