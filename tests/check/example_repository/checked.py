"""Which function of diffusion.py is which method of the checker."""

import diffusion

from ddpm_np.check.targets.functions import from_functions

Script = from_functions(
    q_sample=diffusion.add_noise, predict_x0=diffusion.remove_noise, q_posterior=diffusion.posterior,
    mean_from_eps=diffusion.step_mean, time_embedding=diffusion.embedding)
