"""Plots: grids of images, and curves."""

from ddpm_np.viz.curves import plot_bound, plot_loss, plot_rate_distortion, plot_schedule
from ddpm_np.viz.images import grid, plot_forward, save_images, save_rows

__all__ = [
    "grid", "plot_bound", "plot_forward", "plot_loss", "plot_rate_distortion", "plot_schedule", "save_images",
    "save_rows",
]
