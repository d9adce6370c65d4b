"""Diffusion in the plane: two-dimensional data, small nets that learn it in seconds, and plots of both."""

from ddpm_np.toys.data import TOYS, Toy, mixture, moons, swiss_roll, toy
from ddpm_np.toys.evaluation import judge
from ddpm_np.toys.training import LearnedForward, Settings, Trained, toy_schedule, train, train_stepwise

__all__ = ["TOYS", "LearnedForward", "Settings", "Toy", "Trained", "judge", "mixture", "moons", "swiss_roll", "toy",
           "toy_schedule", "train", "train_stepwise"]
