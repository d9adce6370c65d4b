"""Automatic differentiation: Tensors, the tape they leave, and the ops that make it."""

from ddpm_np.autograd.tensor import Tensor, gradients, is_recording, no_grad

__all__ = ["Tensor", "gradients", "is_recording", "no_grad"]
