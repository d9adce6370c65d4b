"""The usual names: of tables, of functions for each method of a check target, and of their parameters.

Names only order the trials and say how sure a reading is. What a function is, its numbers decide.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KINDS: dict[str, str] = {  # what a parameter may be given, by its name
    "x_0": "x0 x_0 x_start xstart x_init x_orig original originals original_samples original_image clean "
           "clean_images x data batch images image img imgs pred_x0 pred_xstart x0_pred x_recon "
           "x_0_pred x0_hat x_0_hat x_hat inputs "
           "y_0 sample samples pred_x_start latents pred_x_0 start x_zero input",
    "x_t": "xt x_t x img imgs image images sample samples noisy x_noisy noisy_image noisy_images latents current x_i "
           "x_cur y_t z_t zt xs x_in current_image inputs noisy_samples input",
    "x_prev": "x_prev x_tm1 x_t_minus_1 xt_prev x prev x_before x_last xprev img image",
    "noise": "noise noises eps epsilon e z x_noise rand ε Ɛ rnd gaussian_noise n_t noise_t xi",
    "eps": "eps epsilon noise noise_pred pred_noise predicted_noise model_output eps_theta pred_eps et e output out "
           "eps_pred epsilon_theta noise_estimate estimated_noise model_out e_t eps_hat noise_hat pred",
    "v": "v velocity model_output output v_pred pred_v v_t",
    "t": "t timestep timesteps time step ts t_batch steps t_index i k idx time_step time_steps t_idx _ts tt index n",
    "model": "model denoise_fn denoise_model eps_model net network unet backbone nn_model eps_net noise_predictor "
             "denoiser eps_theta_fn model_fn fn predictor diffusion_model noise_model epsilon_model score_model",
    "shape": "shape size sample_shape img_shape image_shape dims",
    "n": "n n_samples num_samples batch_size n_sample nsamples sample_num num batch_num bs b count n_images num_images "
         "sample_size",
    "x_T": "x_T xT x_t x img noise x_noise z latents start x_init xt seed init x_start",
    "betas": "betas beta b given_betas beta_t beta_schedule betas_t new_betas",
    "alphas": "alphas alpha a alpha_t alphas_t",
    "alpha_bars": "alphas_cumprod alpha_bar alphas_bar alpha_bars alpha_hat a_bar abar alphabar alpha_cumprod ab "
                  "alphas_hat alphabars alpha_cum_prod",
    "sqrt_alpha_bars": "sqrt_alphas_cumprod sqrt_alpha_bar sqrt_alphas_bar sqrtab sqrt_alpha_cumprod",
    "sqrt_one_minus_alpha_bars": "sqrt_one_minus_alphas_cumprod sqrt_one_minus_alpha_bar sqrt_one_minus_alphas_bar "
                                 "sqrtmab sqrt_one_minus_alpha_cumprod",
    "T": "T n_T timesteps noise_steps num_timesteps n_steps steps diffusion_steps num_diffusion_timesteps "
         "num_train_timesteps n_timesteps time_steps num_steps n_timestep num_diffusion_steps total_steps max_t "
         "num_diffusion_timestep nb_steps schedule_length diffusion_timesteps num_noise_steps N_STEPS",
    "beta_start": "beta_start beta_1 beta1 beta_min min_beta linear_start low start b_start b0 beta_0 beta0 b1",
    "beta_end": "beta_end beta_T betaT beta_2 beta2 beta_max max_beta linear_end high end b_end bT b2 beta_last",
    "name": "schedule schedule_name beta_schedule noise_schedule schedule_type beta_type kind mode name type",
    "clip": "clip_denoised clip clip_x_start clip_x0 clamp clipped clip_sample clipped_reverse_diffusion clip_pred",
    "device": "device dev",
    "eta": "eta ddim_eta",
    "dim": "dim embedding_dim emb_dim d embed_dim dims n_channels channels time_dim size emb_size hidden_size d_model",
    "none": "y c cond labels label classes class_labels context condition condition_x self_cond x_self_cond "
            "model_kwargs mask text prompt emb cond_fn denoised_fn",
    "level": "continuous_sqrt_alpha_cumprod noise_level gamma",
    "seq": "seq",
    "mean1": "mean1 mu1 mu_1 mean_1 mu_q mean_q", "logvar1": "logvar1 log_var1 logvar_1 logvar_q log_var_q",
    "mean2": "mean2 mu2 mu_2 mean_2 mu_p mean_p", "logvar2": "logvar2 log_var2 logvar_2 logvar_p log_var_p",
    "mean": "means mean mu", "log_scale": "log_scales log_scale logscale logstd log_std",
    "true": "return_pred return_pred_xstart return_x0 return_pred_x0 with_x0",
    "rng": "rng generator key random_state",
}
ALLOWED = {name: frozenset(kind for kind, names in KINDS.items() if name in names.split())
           for name in {name for names in KINDS.values() for name in names.split()}}

ROLES: dict[str, str] = {  # names of functions that leave no doubt about what is meant
    "q_sample": "q_sample q_x q_xt forward_diffusion forward_diffusion_sample forward_process diffuse add_noise "
                "add_noise_to noise_images noise_image perturb_x perturb q_sample_x_t sample_from_forward_process "
                "_forward_diffusion forward_noise diffusion_forward noising sample_q q",
    "q_step": "q_step forward_step q_one_step one_step_forward",
    "q_posterior": "q_posterior q_posterior_mean_variance q_posterior_mean_var q_mean_variance posterior "
                   "q_posterior_mean posterior_mean",
    "predict_x0": "predict_start_from_noise predict_xstart_from_eps _predict_xstart_from_eps predict_x0 reconstruct_x0 "
                  "_pred_x_0_from_eps predict_x0_from_eps predict_x0_from_noise pred_x0 predict_start estimate_x0",
    "x0_from_mean": "_predict_xstart_from_xprev predict_xstart_from_xprev",
    "predict_eps": "predict_noise_from_start _predict_eps_from_xstart predict_eps_from_xstart predict_eps "
                   "predict_eps_from_x0",
    "mean_from_eps": "predict_xt_prev_mean_from_eps mean_from_eps p_mean remove_noise _predict_mean_from_eps",
    "velocity": "get_velocity velocity get_v predict_v",
    "x0_from_velocity": "predict_start_from_v predict_start_from_z_and_v x0_from_velocity",
    "eps_from_velocity": "predict_eps_from_z_and_v eps_from_velocity",
    "score_from_eps": "score_from_eps",
    "p_mean_variance": "p_mean_variance p_mean_var",
    "p_sample": "p_sample p_sample_step reverse_step sample_prev_timestep _reverse_diffusion sample_step denoise_step "
                "p_step reverse_diffusion_step step backward_step remove_noise_step",
    "sample": "sample p_sample_loop sampling sample_loop reverse_process sample_from_reverse_process sample_images "
              "ddpm_denoise_sample ddpm_steps p_sample generate sample_backward sample_ddpm reverse_diffusion",
    "simple_loss": "p_losses loss get_losses get_loss training_losses train_losses noise_estimation_loss loss_fn "
                   "compute_loss diffusion_loss simple_loss",
    "kl": "normal_kl gaussian_kl kl_normal kl",
    "decoder_log_likelihood": "discretized_gaussian_log_likelihood discretized_gaussian_loglik",
    "prior_kl": "_prior_bpd prior_bpd prior_kl",
    "vlb_term": "_vb_terms_bpd vb_terms_bpd _loss_term_bpd vlb_term",
    "vlb": "calc_bpd_loop calc_all_bpd vlb",
    "ddim_step": "ddim_sample ddim_step",
    "draw_t": "sample_timesteps draw_t sample_t draw_timesteps random_timesteps sample_time_steps",
}
ROLE_NAMES = {role: frozenset(names.split()) for role, names in ROLES.items()}

ALPHA_BAR = _words(
    "alphas_cumprod alpha_cumprod alpha_bar alpha_bars alphas_bar alphas_bars alpha_hat "
    "alphas_hat alphabar alphabar_t abar a_bar alpha_cum_prod alphas_cum_prod alpha_bar_t "
    "alpha_cumprods alphas_bar_t cumprod_alphas alpha_cum alphas_hats")
LOG_VARIANCE = _words(
    "posterior_log_variance_clipped posterior_log_var_clipped posterior_logvar_clipped "
    "beta_tilde_log log_posterior_variance")
POSTERIOR_VARIANCE = _words(
    "posterior_variance posterior_var beta_tilde betas_tilde")

_SCHEDULE = re.compile(r"schedul|beta|alpha", re.I)
_UNSAFE = re.compile(
    r"train|main|save|load|plot|show|download|fit|launch|setup|write|export|wandb|log_|eval|visual|fid|dataset|dataloader|"
    r"__(?!call)|parse|animate|draw_(?!t$|noise)|display|checkpoint|ema|optim", re.I)


def is_schedule_name(name: str) -> bool:
    """Return whether a function of this name makes, or sets, a schedule."""
    return bool(_SCHEDULE.search(name))


def is_steps_name(name: str) -> bool:
    """Return whether a name is one for the number of steps T, in any case."""
    return "T" in ALLOWED.get(name, ()) or (name.isupper() and "T" in ALLOWED.get(name.lower(), ()))


def kinds(parameter: str) -> frozenset[str]:
    """Return what a parameter of this name may be given; empty if the name is not known."""
    return ALLOWED.get(parameter) or ALLOWED.get(parameter.lower()) or frozenset()


def may_be_called(name: str) -> bool:
    """Return whether a function's name promises that it only computes."""
    return name in SAFE or not _UNSAFE.search(name)


SAFE = frozenset(name for names in ROLE_NAMES.values() for name in names) | {"forward", "__call__"}
