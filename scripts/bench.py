"""One whole training step beside PyTorch's, in one process, in turn.

``python scripts/bench.py`` (needs torch and diffusers; both only to be compared with). Each side draws t and noise,
runs forward and backward, clips, and updates Adam and EMA. The nets are equal: ours, and diffusers' UNet2DModel, in
its better memory layout. Prints medians and the ratio of each pair of neighbouring runs.
"""

from __future__ import annotations

import argparse
import statistics
import time

import diffusers
import numpy as np
import torch

from ddpm_np.diffusion import linear_schedule
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.nn import count_parameters
from ddpm_np.train import Trainer
from ddpm_np.workers import default_workers

NETS = {
    "8×8×1, 32 channels": (UNetConfig(8, 1, 32, (1, 2), 1, (4,), dropout=0.1), 64),
    "28×28×1, 32 channels": (UNetConfig(28, 1, 32, (1, 2, 2), 2, (7,), dropout=0.1), 32),
    "32×32×3, 128 channels": (UNetConfig.preset("cifar10"), 4),
}


class Theirs:
    """The same step in PyTorch."""

    def __init__(self, config: UNetConfig, layout: torch.memory_format):
        self.size, self.layout = config.size[0], layout
        heights = [self.size // 2**i for i in range(len(config.channel_multipliers))]
        attends = [h in config.attention_resolutions for h in heights]
        self.net = diffusers.UNet2DModel(
            sample_size=self.size, in_channels=config.in_channels, out_channels=config.in_channels,
            block_out_channels=[config.channels * m for m in config.channel_multipliers],
            layers_per_block=config.blocks_per_level, dropout=config.dropout, norm_num_groups=config.groups,
            down_block_types=["AttnDownBlock2D" if a else "DownBlock2D" for a in attends],
            up_block_types=["AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)],
            attention_head_dim=None, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6,
        ).to(memory_format=layout)
        self.parameters = list(self.net.parameters())
        self.adam = torch.optim.Adam(self.parameters, lr=2e-4)
        self.average = [p.detach().clone() for p in self.parameters]
        self.alpha_bar = torch.tensor(linear_schedule(1000).alpha_bar, dtype=torch.float32)

    def step(self, x_0: torch.Tensor) -> float:
        t = torch.randint(1, 1001, (len(x_0),))
        noise = torch.randn_like(x_0)
        a = self.alpha_bar[t][:, None, None, None]
        x_t = (a.sqrt() * x_0 + (1 - a).sqrt() * noise).contiguous(memory_format=self.layout)
        loss = torch.nn.functional.mse_loss(self.net(x_t, t - 1).sample, noise)
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1e-4)
        return loss.item()


def timed(step, x_0) -> float:
    started = time.perf_counter()
    step(x_0)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(default_workers())
    print(f"numpy {np.__version__}, torch {torch.__version__}, diffusers {diffusers.__version__}, "
          f"{default_workers()} CPUs, {args.repeats} repeats")
    for name, (config, batch) in NETS.items():
        x_0 = np.random.default_rng(0).uniform(-1, 1, (batch, *config.size, config.in_channels)).astype(np.float32)
        theirs = [Theirs(config, layout) for layout in (torch.contiguous_format, torch.channels_last)]
        ours = Trainer(UNet(config), linear_schedule(1000), shards=default_workers())
        numbers = count_parameters(ours.model)[0]
        assert numbers == sum(p.numel() for p in theirs[0].parameters)
        x_torch = torch.from_numpy(x_0.transpose(0, 3, 1, 2).copy())
        for _ in range(2):
            ours.step(x_0), [side.step(x_torch) for side in theirs]
        times = [(timed(ours.step, x_0), min(timed(side.step, x_torch) for side in theirs))
                 for _ in range(args.repeats)]
        ratios = sorted(a / b for a, b in times)
        a, b = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name}, {numbers:,} parameters, batch {batch}: ours {a:.3f} s, PyTorch {b:.3f} s, ratio "
              f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True)


if __name__ == "__main__":
    main()
