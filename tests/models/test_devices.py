"""The choice of a device, its memory and its errors, with devices that are not there."""

import pickle
import subprocess
import sys
import types
import weakref
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import napari_genrecon
from napari_genrecon import classify, models
from napari_genrecon.cli import main
from napari_genrecon.errors import InferenceError, MissingPackageError, OptionError, OutOfMemoryError
from napari_genrecon.models import device_note, devices, find_model, known_devices, load_network, precision, runtime
from napari_genrecon.models.devices import conv_layout, free_memory, resolve_device
from napari_genrecon.models.failures import plain_errors

NO_KERNEL = "CUDA error: no kernel image is available for execution on the device"


@pytest.fixture
def cards(monkeypatch):
    """Two graphics cards that torch lists; the test says how much memory is free and what is wrong with them."""
    state = SimpleNamespace(free={"cuda:0": 2 << 30, "cuda:1": 8 << 30}, wrong={})
    monkeypatch.setattr(devices, "_gpus", lambda: tuple(state.free))
    monkeypatch.setattr(devices, "_title", lambda name: {"cpu": "processor"}.get(name, f"Card {name[-1]}"))
    monkeypatch.setattr(devices, "_probe", lambda name: state.wrong.get(name, ""))
    monkeypatch.setattr(devices, "free_memory", lambda name: state.free.get(name, 0))
    monkeypatch.setattr(devices, "_WORKING", {"cpu"})
    monkeypatch.setattr(devices, "bfloat16_is_native", lambda name: name == "cuda:1")
    devices._best.cache_clear()
    yield state
    devices._best.cache_clear()


# --- the choice ---


def test_auto_takes_the_card_with_most_free_memory(cards):
    assert resolve_device("auto") == "cuda:1"


def test_auto_passes_over_a_card_that_cannot_compute(cards):
    cards.wrong["cuda:1"] = NO_KERNEL
    assert resolve_device("auto") == "cuda:0"


def test_auto_falls_back_to_the_cpu_and_says_why(cards):
    cards.wrong.update(dict.fromkeys(cards.free, NO_KERNEL))
    assert resolve_device("auto") == "cpu"
    notes = device_note("auto")
    assert notes[0] == f"cuda:0 (Card 0) was not used: {NO_KERNEL}; computed on the CPU"
    assert len(notes) == 2
    assert not device_note("cpu")


def test_card_that_works_by_now_was_not_used_for_some_reason(cards):
    """The choice stays as it was, and the reason is gone."""
    cards.wrong.update(dict.fromkeys(cards.free, NO_KERNEL))
    assert resolve_device("auto") == "cpu"
    cards.wrong.clear()
    assert "was not used: it could not compute when this program tried it first;" in device_note("auto")[0]


def test_card_that_does_not_tell_its_name_has_one_all_the_same(monkeypatch):
    def broken(device):
        raise RuntimeError("CUDA unknown error")

    monkeypatch.setattr(torch.cuda, "get_device_name", broken)
    assert devices.device_words("cuda:1") == "graphics card (cuda:1)"


def test_record_says_that_a_card_was_not_used(cards):
    cards.wrong.update(dict.fromkeys(cards.free, NO_KERNEL))
    from napari_genrecon.engine.run import finish
    from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps
    from napari_genrecon.tasks.detect import DetectOptions, detect_steps
    from napari_genrecon.tasks.sample import SampleOptions, sample_steps

    image = np.random.default_rng(0).normal(100, 5, (32, 32))
    results = [finish(denoise_steps(image, DenoiseOptions())), finish(sample_steps(SampleOptions(n=1)))]
    results.append(finish(detect_steps(image, DetectOptions(method="net", noise=5.0))))
    for result in results:
        assert result.record["device"] == "cpu"
        assert any(f"Card 0) was not used: {NO_KERNEL}" in warning for warning in result.record["warnings"])
    asked = finish(denoise_steps(image, DenoiseOptions(device="cpu")))
    assert not any("not used" in warning for warning in asked.record["warnings"])
    labels = np.arange(1024).reshape(32, 32) // 256 + 1
    found = classify(image, labels, {1: "a", 2: "a", 3: "b", 4: "b"})
    assert any(f"Card 0) was not used: {NO_KERNEL}" in note for note in found.notes)


@pytest.mark.slow  # imports Lightning
def test_training_says_once_that_a_card_was_not_used(cards, monkeypatch, tmp_path, capsys):
    from napari_genrecon.engine.run import finish
    from napari_genrecon.tasks.train import train_steps
    from napari_genrecon.training.data.dataset import CropOptions
    from napari_genrecon.training.recipes.vae import VAEOptions
    from napari_genrecon.training.runs.store import find_run
    from napari_genrecon.widgets.train.run_snapshot import snapshot_steps, state_words

    monkeypatch.setenv("GENRECON_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path / "models"))
    cards.wrong.update(dict.fromkeys(cards.free, NO_KERNEL))
    crops, notes = np.random.default_rng(0).poisson(20, (40, 32, 32)).astype("uint16"), []
    options = {name: VAEOptions(steps=1, width=4, device=name) for name in ("cpu", "auto")}
    finish(train_steps(crops, CropOptions(), options["cpu"], name="asked"))
    finish(train_steps(crops, CropOptions(), options["auto"], name="cells"), lambda step: notes.append(step.note))
    said = f"cuda:0 (Card 0) was not used: {NO_KERNEL}; computed on the CPU"
    assert notes.count(f"note: {said}") == 1
    assert find_run("cells").device_note().startswith(said)
    assert find_run("asked").device_note() == ""
    assert said in state_words(finish(snapshot_steps("cells")))[0]
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.count(said) == 1


def test_the_choice_is_made_once_per_process(cards):
    assert resolve_device("auto") == "cuda:1"
    cards.free["cuda:0"] = 20 << 30
    assert resolve_device("auto") == "cuda:1"


@pytest.mark.parametrize(("asked", "means"), [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")])
def test_explicit_device_is_taken_as_it_is(cards, asked, means):
    assert resolve_device(asked) == means


def test_missing_device_is_refused_not_exchanged(cards):
    with pytest.raises(
        OptionError, match=r"'cuda:9' is not available here; choose 'auto' or one of: cuda:0, cuda:1, c"
    ):
        resolve_device("cuda:9")


def test_explicit_card_that_cannot_compute_is_refused_until_it_can(cards):
    cards.wrong["cuda:0"] = NO_KERNEL
    with pytest.raises(
        OptionError, match=r"'cuda' cannot compute here \(CUDA error: no kernel.*choose 'auto' or 'cpu'"
    ):
        resolve_device("cuda")
    cards.wrong.clear()
    assert resolve_device("cuda") == "cuda:0"


def test_probe_finds_a_device_without_kernels(monkeypatch):
    def fail(*args):
        raise RuntimeError(f"{NO_KERNEL}\nCompile with TORCH_USE_CUDA_DSA")

    assert devices._probe("cpu") == ""
    monkeypatch.setattr(torch.nn.functional, "conv2d", fail)
    assert devices._probe("cpu") == NO_KERNEL


def test_probe_finds_wrong_numbers(monkeypatch):
    answers = iter([torch.zeros(1, 1, 6, 6), torch.ones(1, 1, 6, 6)])
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *a: next(answers))
    assert "wrong numbers" in devices._probe("cpu")


def test_local_workers_share_the_cards_out(cards, monkeypatch):
    chosen = []
    for index in range(3):
        monkeypatch.setattr(devices, "_turn", lambda index=index: index)
        devices._best.cache_clear()
        chosen.append(resolve_device("auto"))
    assert chosen == ["cuda:0", "cuda:1", "cuda:0"]


@pytest.mark.parametrize("task", ["denoise", "denoise frames", "upscale", "upscale_z", "deblur", "inpaint", "predict"])
def test_workers_of_a_cluster_get_the_device_that_was_asked_for_and_choose_their_own(
    task, cards, monkeypatch, tmp_path
):
    """A tile function is sent to them as it is: with "auto", not with what that means here."""
    from napari_genrecon.engine.run import finish
    from napari_genrecon.tasks import find_task

    cards.wrong.update(dict.fromkeys(cards.free, NO_KERNEL))
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path))
    more = {
        "denoise": {"noise": 5.0},
        "denoise frames": {"noise": 5.0, "axes": "TYX", "frames": "T"},
        "upscale": {"noise": 5.0, "model": "upscale-2d-microscope"},
        "upscale_z": {"noise": 5.0, "axes": "ZYX", "train_steps": 1},
        "deblur": {"noise": 5.0, "psf": 2.0},
        "inpaint": {"noise": 5.0, "mask": np.eye(48) > 0, "method": "network"},
        "predict": {},
    }[task]
    if task == "predict":
        image_to_image()
    found, shape = find_task(task.split()[0]), (4, 48, 48) if "axes" in more else (48, 48)
    image = np.random.default_rng(0).normal(100, 5, shape).astype(np.float32)
    result = finish(found.steps(image, found.options(**more), lazy=True))
    kernel = pickle.loads(pickle.dumps(result.tiles[0]))
    assert set(devices_of(kernel)) == {"auto"}
    assert resolve_device("auto") == "cpu"  # what would be sent if it were resolved here


def devices_of(value):
    """Return the devices that a tile function and all parts of it name."""
    for field in fields(value) if is_dataclass(value) else ():
        part = getattr(value, field.name)
        if field.name == "device":
            yield part
        for each in part if isinstance(part, tuple) else (part,):
            yield from devices_of(each)


def image_to_image():
    """Save a model that makes another image, with random weights."""
    from napari_genrecon.models.card import ModelCard
    from napari_genrecon.models.registry import save_own

    card = ModelCard(
        name="stain", task="predict", network="image-unet", shape={"outputs": 1}, channels=1, dtype="uint16",
        low=(0.0,), high=(200.0,), result_low=(0.0,), result_high=(200.0,), result_names=("stain",),
        pixel_size=(0.1, 0.1), units=("micrometer",) * 2,
    )  # fmt: skip
    save_own(card, {key: weight.numpy() for key, weight in runtime.build_network(card).state_dict().items()})


def test_mps_with_an_index_is_mps(monkeypatch):
    monkeypatch.setattr(devices, "_gpus", lambda: ("mps",))
    monkeypatch.setattr(devices, "_WORKING", {"cpu", "mps"})
    assert resolve_device("mps:0") == "mps"


# --- what suits a device ---


@pytest.mark.parametrize("device", ["mps", "mps:0"])
def test_nothing_is_channels_last_on_mps(device):
    assert conv_layout(device) is conv_layout(device, 5) is torch.contiguous_format


def test_layout_follows_the_dimensions_elsewhere():
    assert conv_layout("cpu") is conv_layout(torch.device("cuda", 1)) is torch.channels_last
    assert conv_layout("cpu", 5) is torch.channels_last_3d


def test_one_place_decides_the_layout():
    root = Path(napari_genrecon.__file__).parent
    knowing = [path for path in root.rglob("*.py") if "torch.channels_last" in path.read_text()]
    assert knowing == [root / "models" / "devices.py"]


def test_free_memory_of_cuda_counts_what_torch_keeps(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    assert free_memory("cuda:0") == 1200


def test_free_memory_of_mps_is_at_most_that_of_the_machine(monkeypatch):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 16 << 30)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 1 << 30)
    monkeypatch.setattr(devices, "available_memory", lambda: 3 << 30)
    assert free_memory("mps") == 3 << 30


def test_copies_to_cuda_go_by_page_locked_memory_and_do_not_wait(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: calls.append("pinned") or self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *where, **how: calls.append((*where, how)) or self)
    for device in ("cuda:1", "mps", "cpu"):
        devices.to_device(torch.zeros(2), device)
    assert calls == ["pinned", ("cuda:1", {"non_blocking": True}), ("mps", {}), ("cpu", {})]


def test_a_job_gives_the_memory_of_a_card_back_however_it_ends(monkeypatch):
    from napari_genrecon.tasks import plan

    released = []
    monkeypatch.setattr(plan, "release_memory", released.append)
    for device in ("cpu", "cuda:1"):
        with pytest.raises(ValueError, match="on the way"), plan.borrowed(device):
            raise ValueError("on the way")
    assert released == ["cuda:1"]


def test_memory_of_the_device_decides_the_tile(cards, monkeypatch):
    from napari_genrecon.axes import Axes
    from napari_genrecon.tasks import plan
    from napari_genrecon.tasks.deblur import grid

    free = {"cuda:0": 16 << 20, "cuda:1": 8 << 30, "cpu": 1 << 20}
    monkeypatch.setattr(plan, "free_memory", free.__getitem__)
    spec = find_model("auto", "denoise")
    sides = [plan.plan_grid((4096, 4096), Axes("YX"), spec, tile=None, device=d).tile[0] for d in ("cuda:0", "cuda:1")]
    assert sides[0] < sides[1]
    monkeypatch.setattr(grid, "free_memory", free.__getitem__)
    sides = [
        grid.deblur_grid((4096, 4096), Axes("YX"), (9, 9), spec, tile=None, device=d).tile[0]
        for d in ("cuda:0", "cuda:1")
    ]
    assert sides[0] < sides[1]


def test_bfloat16_counts_where_it_is_native(monkeypatch):
    found = {6: False, 7: False, 8: True, 9: True}
    for major, native in found.items():
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda device, major=major: SimpleNamespace(major=major)
        )
        assert precision.bfloat16_is_native("cuda:0") is native


def test_training_in_emulated_bfloat16_is_refused(cards, monkeypatch):
    from napari_genrecon.training.loop import device
    from napari_genrecon.training.recipes.vae import VAEOptions

    monkeypatch.setattr(device, "bfloat16_is_native", lambda name: False)
    with pytest.raises(OptionError, match="'cuda:0' has no instructions for bfloat16: choose precision 'float32'"):
        device.fabric_for(VAEOptions(device="cuda", precision="bfloat16"))


# --- float32 without TF32 ---


def test_networks_compute_in_full_float32_and_settings_come_back():
    spec, seen = find_model("auto", "denoise"), []
    run = runtime.Model(spec, "cpu")
    backends = (torch.backends.cudnn.conv, torch.backends.cuda.matmul, torch.backends.mkldnn.conv)
    run._network.register_forward_hook(lambda *_: seen.append([backend.fp32_precision for backend in backends]))
    before = [backend.fp32_precision for backend in backends]
    run(np.zeros((16, 16)), 1.0, (0.0, 0.0))
    assert seen == [["ieee"] * 3]
    assert [backend.fp32_precision for backend in backends] == before


def test_networks_take_turns_with_samples_whose_settings_would_be_mixed_up_else(monkeypatch):
    from napari_genrecon.models.generative import load_generative

    model, seen = load_generative(find_model("nuclei-dcgan-32", "sample"), "cpu"), []

    def mean(z):
        seen.append(runtime.ONE_AT_A_TIME.locked())
        return torch.zeros(len(z), 1, 32, 32)

    monkeypatch.setattr(model, "_mean", mean)
    model.sample(1)
    assert seen == [True]


# --- errors ---


@pytest.mark.parametrize(
    "text",
    [
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to",
        "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate",
        "std::bad_alloc",
        "bad allocation",
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuFFT error: CUFFT_ALLOC_FAILED",
        "Unable to find a valid cuDNN algorithm to run convolution",
        "HIP out of memory. Tried to allocate 2.00 GiB",
        "MPS backend out of memory (MPS allocated: 5.00 GB)",
        "Invalid buffer size: 12.00 GiB",
        "Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
    ],
)
def test_running_out_of_memory_is_known_by_its_words(text):
    with (
        pytest.raises(
            OutOfMemoryError, match=r"'net' ran out of memory on device 'cuda:0' .*or choose device 'cpu'$"
        ) as f,
        plain_errors("net", "cuda:0"),
    ):
        raise RuntimeError(text)
    assert isinstance(f.value, MemoryError)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), MemoryError()], ids=["torch", "python"])
def test_running_out_of_memory_is_known_by_its_class(error):
    with (
        pytest.raises(OutOfMemoryError, match=r"ran out of memory on device 'cpu' .*: close other programs$"),
        plain_errors("net"),
    ):
        raise error


def test_tensors_of_a_failed_try_are_freed_before_the_next():
    left = []

    def fill():
        features = torch.zeros(10)
        left.append(weakref.ref(features))
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemoryError, match="ran out of memory"), plain_errors("net"):
        fill()
    assert left[0]() is None


def test_error_of_a_device_offers_the_cpu():
    with (
        pytest.raises(InferenceError, match=r"'net' failed while running on device 'mps' \(choose device 'cpu', which"),
        plain_errors("net", "mps"),
    ):
        raise NotImplementedError("The operator 'aten::x' is not currently implemented for the MPS device")


def test_lost_device_asks_for_a_restart():
    with (
        pytest.raises(InferenceError, match=r"\(restart the program, or choose device 'cpu'\): CUDA error: an illegal"),
        plain_errors("net", "cuda:0"),
    ):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_error_on_the_cpu_offers_nothing():
    with pytest.raises(InferenceError, match=r"'net' failed while running: shape mismatch$"), plain_errors("net"):
        raise RuntimeError("shape mismatch")


def test_network_that_does_not_fit_gets_a_sentence_and_no_smaller_tiles(monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(InferenceError, match="'denoise-2d' ran out of memory") as found:
        runtime.Model(find_model("auto", "denoise"), "cpu")
    assert not isinstance(found.value, MemoryError)


# --- what is said ---


def test_devices_command_names_every_card_and_why_it_is_not_used(cards, capsys):
    cards.wrong["cuda:0"] = NO_KERNEL
    assert main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cuda:1: Card 1, 8.6 GB of memory free; works; float32 and bfloat16; device 'auto' takes it"
    assert f"cuda:0: Card 0, 2.1 GB of memory free; not used: {NO_KERNEL}" in lines
    assert any(line.startswith("cpu: processor") and line.endswith("; works; float32") for line in lines)


@pytest.mark.parametrize(
    ("build", "platform", "hint"),
    [
        (None, "win32", "was built without GPU support"),
        ("13.0", "linux", "look at nvidia-smi"),
        (None, "darwin", "Apple silicon"),
    ],
)
def test_devices_command_says_why_there_is_no_card(monkeypatch, capsys, build, platform, hint):
    monkeypatch.setattr(devices, "_gpus", lambda: ())
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(devices.sys, "platform", platform)
    devices._best.cache_clear()
    assert main(["devices"]) == 0
    assert hint in capsys.readouterr().out


def test_forms_offer_the_devices_that_exist(cards):
    from napari_genrecon.widgets.form import _devices

    assert known_devices() == ("auto", "cuda:0", "cuda:1", "cpu")
    assert _devices("mps")[-1] == "mps"  # of the Preferences


def test_window_does_not_wait_for_torch_that_another_thread_loads(monkeypatch):
    half_loaded = types.ModuleType("torch")
    half_loaded.__spec__ = SimpleNamespace(_initializing=True)
    monkeypatch.setitem(sys.modules, "torch", half_loaded)
    assert known_devices() == ("auto", "cpu", "cuda", "mps")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what a process has open from /proc")
def test_thread_opens_the_libraries_of_torch_before_it_imports_them():
    code = """
import sys, threading
from napari_genrecon import models

opened = []

class Imports:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torch._C":
            opened.append("libtorch_cpu" in open("/proc/self/maps").read())

sys.meta_path.insert(0, Imports)
worker = threading.Thread(target=models.load_torch)
worker.start()
worker.join()
assert opened == [True], opened
assert sys.modules["torch"].ones(3).sum() == 3
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_window_command_loads_torch_before_napari(monkeypatch, tmp_path):
    """In a fresh process, as everything is loaded here; napari is one that only notes what it finds."""
    package = tmp_path / "napari"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import sys\ntorch_first = 'torch' in sys.modules\ndef main(): print(torch_first, sys.argv)\n"
    )
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from napari_genrecon.cli import main"
    code = f"{start}; main(['window', 'a.tif'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.stdout.strip() == "True ['napari', 'a.tif']", found.stderr


def test_window_command_without_napari_gets_a_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "napari.__main__", None)
    assert main(["window"]) == 1
    assert "the window needs napari (" in capsys.readouterr().err


def test_torch_that_cannot_be_loaded_gets_a_sentence(monkeypatch):
    """Windows refuses torch's libraries when Qt's were loaded first."""

    def failing(name):
        raise OSError("[WinError 1114] A dynamic link library initialization routine failed")

    monkeypatch.setattr(models, "import_module", failing)
    with pytest.raises(MissingPackageError, match=r"PyTorch cannot be loaded: .*1114.*start it with 'genrecon window'"):
        load_network(find_model("auto", "denoise"))


@pytest.mark.parametrize(("name", "turn"), [(3, 3), ("SLURMCluster-0", None)])
def test_only_local_workers_have_a_turn(monkeypatch, name, turn):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(distributed, "get_worker", lambda: SimpleNamespace(name=name))
    assert devices._turn() == turn


@pytest.mark.slow
def test_workers_of_a_real_local_cluster_have_turns_of_their_own():
    pytest.importorskip("distributed")
    from napari_genrecon.engine.cluster import connected

    with connected("local", 2) as client:
        workers = list(client.scheduler_info()["workers"])
        turns = [client.submit(devices._turn, workers=[one], pure=False).result() for one in workers]
    assert sorted(turns) == [0, 1]


def test_a_process_that_is_no_worker_has_no_turn():
    pytest.importorskip("distributed")
    assert devices._turn() is None
