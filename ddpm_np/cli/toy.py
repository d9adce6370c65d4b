"""Learn a distribution in the plane with a small net, mean and variance, and draw what it learned.

In the folder --out: forward.png (the data on its way to noise), reverse.png (the learned chain beside the true
marginals), field.png (the score, learned and exact), variance.png (σ_t² learned, and β), flow.gif (noise to data).
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  ddpm-np toy swiss-roll
  ddpm-np toy mixture --T 20 --out runs/coarse     fewer, larger steps
  ddpm-np toy moons --learn-beta                   the forward variances are learned too
"""
TOYS = ("swiss-roll", "moons", "mixture")
T, STEPS = (100, 20), (1000, 600)  # as a rule, and where β is learned: it matters most where steps are few


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=TOYS, help="the data")
    parser.add_argument("--T", type=int, help=f"steps of the chain (default: {T[0]}; {T[1]} with --learn-beta)")
    parser.add_argument("--steps", type=int,
                        help=f"of training (default: {STEPS[0]}; {STEPS[1]} with --learn-beta)")
    parser.add_argument("--learn-beta", action="store_true", help="learn β₁..β_T too: all by the variational bound")
    parser.add_argument("--seed", type=int, default=0, help="of data, weights and noise (default: 0)")
    parser.add_argument("--out", type=Path, help="folder of the pictures (default: runs/toy-NAME)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


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
    print(f"L_simple {found.loss:.4f} ± {found.loss_error:.4f}; the exact net's on the same draws {found.floor:.4f}, "
          f"E(ε_θ − ε*)² {found.excess:.4f}\n"
          f"bound {found.bound:.3f} nats a dimension, {found.gap:.3f} ± {found.gap_error:.3f} above the entropy; "
          f"L_T {found.prior:.2g}")
    if args.learn_beta:
        before, after = trained.start.beta, trained.schedule.beta
        print(f"β from {before[1]:.3g} .. {before[-1]:.3g} to {after[1]:.3g} .. {after[-1]:.3g}")
    return 0
