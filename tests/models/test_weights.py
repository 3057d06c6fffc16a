"""Weight files are data: what is anything else is refused in a sentence."""

import pytest
import torch
from bench import hostile_models
from safetensors.torch import save_file

from napari_genrecon.errors import WeightsError
from napari_genrecon.models.networks.unet import DenoiseUNet
from napari_genrecon.models.tensors import read_tensors


def test_no_hostile_file_is_read_or_run(tmp_path):
    canary, path, seen = tmp_path / "canary", tmp_path / "weights", []
    for name, content in hostile_models.contents(canary):
        path.write_bytes(content)
        assert refuses(path), name
        assert not canary.exists(), name
        seen.append(name)
    assert len(seen) >= 60


def refuses(path):
    try:
        read_tensors(path)
    except WeightsError:
        return True
    return False


@pytest.mark.parametrize("kind", ["safetensors", "torch.save", "nested"])
def test_tensors_come_back(tmp_path, kind):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.int64)}
    path = tmp_path / "weights"
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors if kind == "torch.save" else {"params": tensors}, path)
    found = read_tensors(path)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    ("name", "tensors"), list(hostile_models.wrong_networks()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_weights_of_another_network_do_not_fit(name, tensors):
    with pytest.raises(RuntimeError, match="state_dict"):
        DenoiseUNet().load_state_dict(tensors, strict=True)
