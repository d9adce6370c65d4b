"""Kill runs at random moments beside a disk that fills, resume them, and compare: ``python scripts/kill_runs.py``.

Each of --runs runs of a small net starts in a folder of its own, is ended by SIGKILL after a random time and resumed,
up to six times, and then trains to its end. In every second run the disk is made nearly full between two kills, so
that the next save fails; the line that the command then prints must name the file and say what to free, and is obeyed.

The disk is a tmpfs of 8 MB, mounted for each run, where that is allowed (as root on Linux). Elsewhere a limit on the
size of a file (RLIMIT_FSIZE) stands for the full disk, and the script says so.

The last checkpoint must have the same bytes as that of a run without a break, and metrics.jsonl the same records but
for the speed. The exit status is 1 if one has not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = 60
ARGUMENTS = ["train", "--preset", "digits", "--set", "model.channels=8", "--set", "model.groups=4", "--set",
             "model.attention_resolutions=[]", "--set", "T=10", "--set", "ema=0.5", "--set", "log_every=1", "--set",
             "save_every=5", "--set", "sample_every=20", "--set", "keep=2", "--batch-size", "4", "--quiet", "--steps",
             str(STEPS)]
LAST = f"checkpoint-{STEPS:08d}.safetensors"
DISK = 8_000_000  # bytes: a checkpoint has 0.7 MB
LIMITED = ("import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
           "from ddpm_np.cli import main; sys.exit(main(sys.argv[1:]))")


def command(folder: Path, workers: int, limited: bool = False) -> list[str]:
    """Return the command that starts a run, or resumes it if it has a checkpoint."""
    resumed = ["--resume"] if any(folder.glob("checkpoint-*.safetensors")) else []
    program = ["-c", LIMITED] if limited else ["-m", "ddpm_np"]
    return [sys.executable, *program, *ARGUMENTS, *resumed, "--workers", str(workers), "--out", str(folder)]


def ended(folder: Path, workers: int, kill_after: float | None = None, limited: bool = False) -> tuple[int, str]:
    """Train, and kill the process after some seconds; return its exit status and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command(folder, workers, limited), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True, env=environment)
    try:
        said = process.communicate(timeout=kill_after or 600)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        said = process.communicate()[1]
    return process.returncode, said


def records(folder: Path) -> list[dict[str, float]]:
    """Return the records of a run without the speed."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def mounted(disk: Path) -> bool:
    """Mount a tmpfs; return whether that was possible."""
    try:
        return subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], capture_output=True,
                              check=False).returncode == 0
    except OSError:
        return False


def fill(disk: Path, chance: random.Random) -> None:
    """Leave less room than a checkpoint needs on a disk, and sometimes none."""
    room = os.statvfs(disk)
    left = chance.choice((0, 4096, chance.randrange(600_000)))
    (disk / "full").write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - left)))


def killed(disk: Path, chance: random.Random, fills: bool, is_tmpfs: bool, counts: Counter[str]) -> str:
    """Kill a run and resume it to its end; return what is wrong with it, or ""."""
    folder, kills = disk / "run", chance.randrange(1, 7)
    full_at = chance.randrange(kills) if fills else -1
    for kill in range(kills):
        workers, full = chance.choice((1, 2)), kill == full_at
        if full and is_tmpfs:
            fill(disk, chance)
        status, said = ended(folder, workers, None if full else chance.uniform(0.3, 4.0), full and not is_tmpfs)
        counts["kills"] += status == -9
        if full:
            counts["full disks"] += 1
            (disk / "full").unlink(missing_ok=True)
            helps = any(word in said for word in ("delete files there", "raise it"))
            if status == 0:
                counts["full disks that stopped nothing"] += 1
            elif status != 2 or said.count("\n") != 1 or str(folder) not in said or not helps:
                return f"a full disk ended in status {status}: {said}"
        elif status not in (0, -9):
            return f"status {status}: {said}"
    status, said = ended(folder, 1)
    counts["leftovers at the end"] += len(list(folder.glob(".*")))
    return "" if status == 0 else f"the last resumption ended in status {status}: {said}"


def main() -> int:
    """Run the trials; print a table of counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="runs to kill and resume (default: 50)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of moments and disks (default: 0)")
    args = parser.parse_args()
    started, counts, wrong = time.monotonic(), Counter[str](), 0
    with tempfile.TemporaryDirectory() as place:
        whole, disk = Path(place) / "whole", Path(place) / "disk"
        status, said = ended(whole, 1)
        if status != 0:
            print(f"the run without a break ended in status {status}: {said}", file=sys.stderr)
            return 1
        disk.mkdir()
        is_tmpfs = mounted(disk)
        if is_tmpfs:
            subprocess.run(["umount", str(disk)], check=True)
        print(f"the full disk is {f'a tmpfs of {DISK:,} bytes' if is_tmpfs else 'a limit on the size of a file'}")
        for i in range(args.runs):
            if is_tmpfs and not mounted(disk):
                raise OSError(f"{disk} could be mounted before and cannot now")
            try:
                fault = killed(disk, random.Random(f"{args.seed}/{i}"), i % 2 == 1, is_tmpfs, counts)
                counts["runs"] += 1
                if not fault and (disk / "run" / LAST).read_bytes() != (whole / LAST).read_bytes():
                    fault = "the last checkpoint has other bytes"
                if not fault and records(disk / "run") != records(whole):
                    fault = "the log has other records"
            finally:
                subprocess.run(["umount", str(disk)] if is_tmpfs else ["rm", "-r", str(disk / "run")], check=True)
            if fault:
                wrong += 1
                print(f"run {i}: {fault}", file=sys.stderr, flush=True)
    kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    for what, count in counts.items():
        print(f"{what}: {count}")
    print(f"{wrong} of {counts['runs']} runs ended otherwise than without a break; seed {args.seed}, "
          f"{time.monotonic() - started:.0f} s, {kib / 1024:.0f} MiB at most")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
