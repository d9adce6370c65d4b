"""Train a small net, mean and variance, on a distribution in the plane, and plot what it learned.

It writes forward.png (the forward process), reverse.png (the learned chain beside the true marginals), field.png (the
score, learned and exact), variance.png (the learned σ_t² and β) and flow.gif (from noise to data).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ddpm_np.cli.options import count, seed

EXAMPLES = """examples:
  ddpm-np toy swiss-roll
  ddpm-np toy mixture --T 20 --out runs/coarse     fewer, larger steps
  ddpm-np toy moons --learn-beta                   the forward variances are learned too
"""
TOYS = ("swiss-roll", "moons", "mixture")
T, STEPS = (100, 20), (1000, 600)  # defaults without and with learned β, which matters most in short chains


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=TOYS, help="the distribution")
    parser.add_argument("--T", type=count, metavar="N",
                        help=f"steps of the chain (default: {T[0]}; {T[1]} with --learn-beta)")
    parser.add_argument("--steps", type=count, metavar="N",
                        help=f"training steps (default: {STEPS[0]}; {STEPS[1]} with --learn-beta)")
    parser.add_argument("--learn-beta", action="store_true",
                        help="learn β₁..β_T too, with the variational bound as the loss")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="seed of data, weights, noise (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: runs/toy-NAME)")
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar")


def run(args: argparse.Namespace) -> int:
    from ddpm_np import toys
    from ddpm_np.progress import Progress
    from ddpm_np.toys import plots
    from ddpm_np.training.trainer import Record

    settings = toys.Settings(
        T=T[args.learn_beta] if args.T is None else args.T, seed=args.seed, learn_beta=args.learn_beta,
        steps=STEPS[args.learn_beta] if args.steps is None else args.steps)
    out = args.out or Path("runs") / f"toy-{args.name}"
    out.mkdir(parents=True, exist_ok=True)
    with Progress("train", settings.steps, quiet=args.quiet) as progress:
        def on_step(step: int, record: Record | None) -> None:
            progress.advance()
            if record is not None and record.step == step - 1:
                progress.say(f"loss {record.loss:.4f}")

        trained = toys.train(toys.toy(args.name), settings, on_step)
    with Progress("draw", len(plots.NAMES), quiet=args.quiet) as progress:
        for path in plots.draw_all(out, trained, args.seed):
            progress.advance()
            print(path)
    found = toys.judge(trained)
    print(f"L_simple {found.loss:.4f} ± {found.loss_error:.4f}; of the exact ε* on the same draws {found.floor:.4f}, "
          f"E(ε_θ − ε*)² {found.excess:.4f}\n"
          f"bound {found.bound:.3f} nats per dimension, {found.gap:.3f} ± {found.gap_error:.3f} above the entropy; "
          f"L_T {found.prior:.2g}")
    if args.learn_beta:
        before, after = trained.start.beta, trained.schedule.beta
        print(f"β from {before[1]:.3g} .. {before[-1]:.3g} to {after[1]:.3g} .. {after[-1]:.3g}")
    return 0
