"""The command line: ``ddpm-np`` and ``python -m ddpm_np``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ddpm_np.cli import stopping

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EXPECTED = (ValueError, TypeError, OSError, MemoryError, OverflowError, RecursionError, ImportError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str or None
        The arguments. None takes those of the process, which then also handles its signals and its closed streams, and
        ends at once after Ctrl-C.

    Returns
    -------
    int
        The exit status: 0; 1 for a failed check, numbers that are not finite or a worker process that was killed; 2
        for bad input, too little memory or a GPU that fails; 130 for Ctrl-C; 143 for SIGTERM; 141 if what it prints is
        all that it does, and nobody reads it.
    """
    if argv is not None:
        return _run(argv)
    stopping.handle_signals()
    try:
        from ddpm_np.cli import streams

        streams.open_closed_descriptors()
        status = _run(None)
    except KeyboardInterrupt as error:  # outside of a command
        stopping.leave(*stopping.explain(error))
    finally:
        stopping.release_signals()
    if status in (stopping.INTERRUPTED, stopping.TERMINATED):
        stopping.leave(status)
    return status


def _run(argv: Sequence[str] | None) -> int:
    """Run one command on streams that never fail; return the exit status."""
    from ddpm_np.cli.streams import READER_GONE, ReaderGoneError, safe_streams

    with safe_streams() as out:
        try:
            from ddpm_np.cli.parser import build_parser

            args = build_parser().parse_args(argv)
            args.given = sys.argv[1:] if argv is None else list(argv)
            out.ends_with_reader = args.command in ("check", "bench") and not any(
                getattr(args, option, "") for option in ("json", "junit", "badge", "plot"))
            status = _command(args)
            out.flush()
            return status
        except KeyboardInterrupt as error:
            status, message = stopping.explain(error)
            _tell(message)
            return status
        except ReaderGoneError:
            return READER_GONE


def _command(args: argparse.Namespace) -> int:
    from ddpm_np import cuda
    from ddpm_np.autograd.ops import kernels
    from ddpm_np.cli.messages import line_of
    from ddpm_np.cli.options import choose_device
    from ddpm_np.cli.outputs import check_outputs
    from ddpm_np.parallel.processes import WorkerDied
    from ddpm_np.runs.sample import NotFiniteError
    from ddpm_np.training.trainer import TrainingDiverged

    try:
        check_outputs(args)
        choose_device(args)
        with kernels(getattr(args, "kernels", "fast")):
            return args.run(args) or 0
    except (TrainingDiverged, NotFiniteError) as error:
        _tell(f"stopped: {error}")
        return 1
    except WorkerDied as error:
        if args.debug:
            raise
        resume = "; then go on from the last checkpoint with --resume" if args.command == "train" else ""
        _tell(f"stopped: {line_of(error)}{resume}")
        return 1
    except Exception as error:
        if args.debug or not (isinstance(error, _EXPECTED) or cuda.explain(error)):
            raise
        _tell(f"error: {line_of(error)}")
        return 2


def _tell(line: str) -> None:
    """Print the one line of an error."""
    print(f"ddpm-np: {line}", file=sys.stderr)
