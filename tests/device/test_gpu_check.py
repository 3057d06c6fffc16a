"""The script that checks a graphics card, on the CPU."""

import gpu_check
import pytest
from bench import gpu_parts


def test_parts_take_nine_minutes_at_most():
    assert sum(gpu_check.PARTS.values()) <= 9 * 60
    assert set(gpu_check.PARTS) == set(gpu_parts.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("part", gpu_check.PARTS)
def test_every_part_finds_the_cpu_in_order(part, own_folders):
    found = getattr(gpu_parts, part)("cpu", small=True)
    assert found.pop("ok", True), found
    assert found


def test_a_part_that_hangs_costs_its_own_time_only(monkeypatch):
    monkeypatch.setitem(gpu_check.PARTS, "devices", 0.05)
    assert gpu_check.run("devices", "cpu", small=False) == {"ok": False, "error": "not finished after 0.05 s"}


@pytest.mark.slow
def test_a_device_that_is_not_there_is_a_finding():
    found = gpu_check.run("devices", "cuda:9", small=True)
    assert not found["ok"]
    assert "is not available here" in found["error"]
