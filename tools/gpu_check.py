"""Check and measure this product on a graphics card: ``python tools/gpu_check.py --device cuda --output found.json``.

Every part runs in a process of its own with a deadline, so that one that hangs or ends the process costs its own time
only; all together take nine minutes at most. ``--device cpu --small`` runs every part anywhere, as the tests do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

PARTS = {  # seconds; 540 in all
    "devices": 30,
    "correct": 90,
    "tiled": 40,
    "repeatable": 40,
    "speed": 80,
    "memory": 60,
    "training": 80,
    "resumed": 60,
    "cancelled": 20,
    "workers": 40,
}
_PATIENCE = 6  # times the deadlines with --small, which machines of any speed run
_MARK = "RESULT "  # begins the line of the child's output that holds its findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="what to check: cuda, cuda:1, mps, cpu")
    parser.add_argument("--small", action="store_true", help="small images and few steps, to try the script itself")
    parser.add_argument("--only", help="parts to run, separated by commas")
    parser.add_argument("--output", type=Path, help="file for the findings as JSON; printed anyway")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        from bench import gpu_parts

        found = getattr(gpu_parts, given.part)(given.device, small=given.small)
        print(_MARK + json.dumps(found))
        return 0
    found = {part: run(part, given.device, given.small) for part in (given.only or ",".join(PARTS)).split(",")}
    text = json.dumps(found, indent=1)
    print(text)
    if given.output:
        given.output.write_text(text)
    return 0 if all(part["ok"] for part in found.values()) else 1


def run(part: str, device: str, small: bool) -> dict[str, object]:
    """Run one part in a process of its own, and return what it found or how it failed."""
    command = [sys.executable, __file__, "--part", part, "--device", device, *(["--small"] if small else [])]
    started, limit = time.perf_counter(), PARTS[part] * (_PATIENCE if small else 1)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GENRECON_RUNS": f"{folder}/runs", "GENRECON_MODELS": f"{folder}/models"}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment)
        except subprocess.TimeoutExpired:
            return {"ok": False, "error": f"not finished after {limit} s"}
    seconds = round(time.perf_counter() - started, 1)
    lines = [line.removeprefix(_MARK) for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode or not lines:
        return {"ok": False, "seconds": seconds, "error": done.stderr[-2000:] or f"exit status {done.returncode}"}
    found = json.loads(lines[-1])
    return {"ok": found.pop("ok", True), "seconds": seconds, **found}


if __name__ == "__main__":
    sys.exit(main())
