"""Data for which ε* is known in closed form: the best net there can be, without any training."""

from ddpm_np.diffusion.oracle.affine import affine_bound_16, affine_nll, affine_vlb
from ddpm_np.diffusion.oracle.base import Oracle
from ddpm_np.diffusion.oracle.gaussian import Gaussian
from ddpm_np.diffusion.oracle.mixture import Mixture, atoms

__all__ = ["Gaussian", "Mixture", "Oracle", "affine_bound_16", "affine_nll", "affine_vlb", "atoms"]
