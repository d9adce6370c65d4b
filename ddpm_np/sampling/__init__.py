"""Sampling from a trained net: the net as a function ε_θ(x, t), and the samplers with all that they need of it."""
