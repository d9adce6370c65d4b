"""Diffusion in the plane: data that one can see whole, nets that learn it in seconds, and pictures of both."""

from ddpm_np.toys.data import TOYS, Toy, mixture, moons, swiss_roll, toy
from ddpm_np.toys.training import LearnedForward, Settings, Trained, judge, toy_schedule, train

__all__ = ["TOYS", "LearnedForward", "Settings", "Toy", "Trained", "judge", "mixture", "moons", "swiss_roll", "toy",
           "toy_schedule", "train"]
