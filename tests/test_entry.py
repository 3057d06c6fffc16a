"""The `genrecon` command as a process: interrupted while it starts, and on consoles of other code pages."""

import codecs
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_genrecon import NoiseModel
from napari_genrecon.cli import main
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.json_file import read_json
from napari_genrecon.noise import read_noise

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
def test_record_is_read_in_every_encoding(tmp_path, encoding):
    path = tmp_path / "a.json"
    path.write_text('{"name": "клетки"}', encoding=encoding)
    assert read_json(path) == {"name": "клетки"}
    path.write_text("[1]", encoding=encoding)
    with pytest.raises(ImageError, match="not a JSON object"):
        read_json(path)
