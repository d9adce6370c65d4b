"""Gradients as equations: every op, the tape, every layer, the nets, the losses and Adam."""

from ddpm_np.check.gradients.runner import gradient_results, parts

__all__ = ["gradient_results", "parts"]
