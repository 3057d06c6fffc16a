"""A device that is not the CPU, computed on the CPU, on which what real GPUs refuse is an error.

It takes the place that torch leaves for devices written by others ("privateuse1"): tensors of this device wrap one on
the CPU, and every operation is done on those. As on a GPU, an operation on tensors of two devices fails; as on MPS,
float64 does not exist; and memory runs out where a test says. It has to be loaded before anything else uses torch's
devices, and stays for the process: use it in a subprocess.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "fakegpu"


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self):
        return [torch.bfloat16]

    def empty_cache(self):
        ACCOUNT.released += 1


_setup_privateuseone_for_python_backend(NAME, backend_module=_Backend())
DEVICE = torch.device(NAME, 0)


@dataclass
class Account:
    """What happened on the device, and when its memory runs out."""

    copies_in: int = 0
    copies_out: int = 0
    allocations: int = 0
    released: int = 0  # how often the memory that torch keeps was given back
    fails_at: int | None = None  # number of the allocation that fails, once
    largest: int | None = None  # bytes; every larger allocation fails
    error: str = ""  # what the failing allocation says instead
    operations: set[str] = field(default_factory=set)

    def reset(self, **limits):
        self.__init__(**limits)

    def allocate(self, size):
        self.allocations += 1
        if self.allocations == self.fails_at or (self.largest is not None and size > self.largest):
            if self.error:
                raise RuntimeError(self.error)
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes")


ACCOUNT = Account()


class OnDevice(torch.Tensor):
    """A tensor of the device; `inside` is the one on the CPU."""

    @staticmethod
    def __new__(cls, inside):
        if inside.dtype in (torch.float64, torch.complex128):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        ACCOUNT.allocate(inside.numel() * inside.element_size())
        made = torch.Tensor._make_wrapper_subclass(
            cls, inside.size(), strides=inside.stride(), dtype=inside.dtype, device=DEVICE, layout=inside.layout
        )
        made.inside = inside
        return made

    def __repr__(self, **_):
        return f"OnDevice({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        name, kwargs = func._schema.name.removeprefix("aten::"), dict(kwargs or {})
        ACCOUNT.operations.add(name)
        _refuse_mixed(name, args, kwargs)
        target = _target(args, kwargs)
        done = func(*tree_map(_inside, args), **tree_map(_inside, kwargs))
        if name == "_local_scalar_dense" or (name in ("_to_copy", "to") and target == "cpu"):
            ACCOUNT.copies_out += 1
            return done
        if name == "copy_":
            return _copied(*args[:2])
        if func._schema.is_mutable:
            return args[0] if isinstance(args[0], OnDevice) else None
        return tree_map(lambda x: OnDevice(x) if isinstance(x, torch.Tensor) else x, done)


def _refuse_mixed(name, args, kwargs):
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    foreign = [x for x in tensors if not isinstance(x, OnDevice) and x.dim() > 0]
    if foreign and name not in ("copy_", "_to_copy", "index.Tensor"):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {DEVICE} and cpu ({name})")


def _target(args, kwargs):
    """Return the kind of device that an operation was asked to put its result on; None if it was not asked."""
    asked = [x.type for x in tree_leaves((args, kwargs)) if isinstance(x, torch.device)]
    return asked[0] if asked else None


def _inside(value):
    if isinstance(value, OnDevice):
        return value.inside
    return torch.device("cpu") if isinstance(value, torch.device) and value.type == NAME else value


def _copied(to, source):
    if not isinstance(to, OnDevice):
        ACCOUNT.copies_out += 1
    elif not isinstance(source, OnDevice):
        ACCOUNT.copies_in += 1
    return to


# --- what torch calls where no tensor of the device is there yet ---


def _empty(size, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
    return OnDevice(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(size, stride, dtype=None, layout=None, device=None, pin_memory=None):
    return OnDevice(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source, to, non_blocking=False):
    inner = source.inside if isinstance(source, OnDevice) else source
    if isinstance(to, OnDevice):
        ACCOUNT.copies_in += not isinstance(source, OnDevice)
        to.inside.copy_(inner)
    else:
        ACCOUNT.copies_out += 1
        to.copy_(inner)
    return to


_LIBRARY = torch.library.Library("aten", "IMPL")
_LIBRARY.impl("empty.memory_format", _empty, "PrivateUse1")
_LIBRARY.impl("empty_strided", _empty_strided, "PrivateUse1")
_LIBRARY.impl("_copy_from", _copy_from, "PrivateUse1")


def list_it():
    """Make the package find the device, as its only GPU."""
    from napari_genrecon.models import devices

    devices._gpus = lambda: (str(DEVICE),)
    devices._title = lambda name: SimpleNamespace(cpu="processor").__dict__.get(name, "a GPU that is none")
    devices._best.cache_clear()
    # Tensors of inference mode have no version, which some operations ask a wrapped tensor for; no_grad is the same
    # but for that.
    torch.inference_mode = lambda mode=True: torch.no_grad() if mode else nullcontext()
