"""Layers, the modules that own their parameters, and the initialisers that give parameters their first values."""

from ddpm_np.nn.contents import module_contents
from ddpm_np.nn.init import Initialiser, fan_average_uniform, ones, zeros
from ddpm_np.nn.layers import Attention, Conv2d, Dropout, GroupNorm, Linear
from ddpm_np.nn.module import Module, Parameter, check_state, count_parameters, host_state

__all__ = [
    "Attention", "Conv2d", "Dropout", "GroupNorm", "Initialiser", "Linear", "Module", "Parameter", "check_state",
    "count_parameters", "fan_average_uniform", "host_state", "module_contents", "ones", "zeros",
]
