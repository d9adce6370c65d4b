"""The repositories: where each is, at which commit, which file has its mathematics, and its adapter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Factory = Callable[[np.ndarray], Any]


class Repository(NamedTuple):
    """A repository.

    Parameters
    ----------
    name : str
        OWNER/NAME on GitHub.
    commit : str
        The commit that was read and run.
    licence : str
        Its licence; empty if it has no licence file.
    file : str
        The file with the mathematics.
    adapter : str
        KIND: of ``ddpm-np check --target KIND:PATH``, or MODULE.FUNCTION of this package.
    notes : str
        Conventions found, and what could not be asked.
    """

    name: str
    commit: str
    licence: str
    file: str
    adapter: str
    notes: str

    def folder(self, checkouts: Path) -> Path:
        """Return the checkout's folder, OWNER+NAME."""
        return (checkouts / self.name.replace("/", "+")).resolve()

    def targets(self, checkouts: Path) -> dict[str, Factory]:
        """Return the factories by name."""
        kind, colon, package = self.adapter.partition(":")
        if colon:
            where = f"{self.folder(checkouts)}{':' if package else ''}{package}"
            return import_module(f"ddpm_np.check.targets.{kind.replace('-', '_')}").targets(where)
        module, _, function = self.adapter.partition(".")
        return {"": getattr(import_module(f"peers.{module}"), function)(self.folder(checkouts))}

    def blob(self, checkouts: Path) -> str:
        """Return Git's id of the file on this machine; `git rev-parse COMMIT:FILE` gives that of the commit."""
        text = (self.folder(checkouts) / self.file).read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest()


KARLO = "ldm.modules.karlo.kakao.modules.diffusion"
REPOSITORIES = tuple(Repository(*row) for row in (
    ("hojonathanho/diffusion", "1e0dceb", "", "diffusion_tf/diffusion_utils_2.py", "authors:",
     "the paper's own code; TensorFlow 1, of which NumPy does the work in float64; its loop clips x̂₀"),
    ("openai/improved-diffusion", "1bc7bbb", "MIT", "improved_diffusion/gaussian_diffusion.py", "openai:",
     "β is scaled by 1000/T"),
    ("openai/guided-diffusion", "22e0df8", "MIT", "guided_diffusion/gaussian_diffusion.py", "openai:",
     "β is scaled by 1000/T"),
    ("facebookresearch/DiT", "ed81ce2", "CC BY-NC 4.0", "diffusion/gaussian_diffusion.py", "openai:",
     "a copy of OpenAI's; β is scaled by 1000/T"),
    ("GuyTevet/motion-diffusion-model", "d4fd88c", "MIT", "diffusion/gaussian_diffusion.py", "openai:",
     "a copy of OpenAI's for motions; its losses need masks and a motion"),
    ("openai/glide-text2im", "69b5307", "MIT", "glide_text2im/gaussian_diffusion.py", "openai:",
     "learned ranges only, no losses"),
    ("andreas128/RePaint", "8e2a055", "CC BY-NC-SA 4.0", "guided_diffusion/gaussian_diffusion.py", "openai:",
     "a part of OpenAI's; the chain with jumps back is not asked"),
    ("Stability-AI/stablediffusion", "cf1d67a", "MIT", "ldm/models/diffusion/ddpm.py", "compvis:",
     "a copy of CompVis's, with v"),
    ("Stability-AI/stablediffusion", "cf1d67a", "MIT", f"{KARLO.replace('.', '/')}/gaussian_diffusion.py",
     f"openai:{KARLO}", "karlo, a copy of OpenAI's; learned ranges only, no losses"),
    ("CompVis/latent-diffusion", "a506df5", "MIT", "ldm/models/diffusion/ddpm.py", "compvis:",
     'the "linear" schedule is linear in √β; "sqrt_linear" was asked'),
    ("Project-MONAI/MONAI", "d388d1c6f", "Apache 2.0", "monai/networks/schedulers/ddpm.py", "monai:",
     "steps of shortened chains of DDPMScheduler are not in the table (finding 1)"),
    ("Project-MONAI/GenerativeModels", "7428fce", "Apache 2.0", "generative/networks/schedulers/ddpm.py", "monai:",
     "where MONAI's schedulers began"),
    ("crowsonkb/k-diffusion", "4601bf0", "MIT", "k_diffusion/external.py", "k-diffusion:",
     "σ = √((1 − ᾱ)/ᾱ) and x/√ᾱ; steps have no integer t; solvers of a higher order are not asked"),
    ("NVlabs/edm", "008a4e5", "CC BY-NC-SA 4.0", "training/networks.py", "edm:",
     "σ = √((1 − ᾱ)/ᾱ) and x/√ᾱ; no schedule can be handed over; DDIM for η = 0 by its Euler step"),
    ("yang-song/score_sde_pytorch", "cb1f359", "Apache 2.0", "sde_lib.py", "continuous.score_sde",
     "the discrete VP process; t is a fraction of N − 1"),
    ("LuChengTHU/dpm-solver", "52bc3fb", "MIT", "dpm_solver_pytorch.py", "continuous.dpm_solver",
     "schedules whose log-SNR falls below −5.1 are cut off there, by choice, and not asked; DDIM for η = 0"),
    ("Janspiry/Image-Super-Resolution-via-Iterative-Refinement", "01d27a7", "Apache 2.0",
     "model/sr3_modules/diffusion.py", "schedulers.janspiry",
     "SR3: the net gets √ᾱ; training draws it between two steps"),
    ("ermongroup/ddim", "e8df66c", "MIT", "functions/denoising.py", "schedulers.ermongroup",
     "losses are sums; its DDPM chain has large variances and clips"),
    ("pesser/pytorch_diffusion", "304bdff", "MIT", "pytorch_diffusion/diffusion.py", "others.pesser",
     "steps of the paper's net: x̂₀ is always clipped; results are float32"),
    ("tqch/ddpm-torch", "b60eb8d", "MIT", "ddpm_torch/diffusion.py", "schedulers.tqch",
     "the paper's code for PyTorch"),
    ("w86763777/pytorch-ddpm", "f804ccb", "WTFPL", "diffusion.py", "trainers.w86763777",
     "the finished image is clipped"),
    ("zoubohao/DenoisingDiffusionProbabilityModel-ddpm-", "54532d6", "MIT", "Diffusion/Diffusion.py",
     "trainers.zoubohao", "the finished image is clipped, x̂₀ is not"),
    ("labmlai/annotated_deep_learning_paper_implementations", "e6b3c8a6", "MIT", "labml_nn/diffusion/ddpm/__init__.py",
     "trainers.labml", "σ_t² is β_t, at t = 1 too"),
    ("abarankab/DDPM", "d159fbf", "", "ddpm/diffusion.py", "trainers.abarankab", ""),
    ("dome272/Diffusion-Models-pytorch", "be35220", "Apache 2.0", "ddpm.py", "trainers.dome272",
     "its index i is the paper's t = i + 1, and i = 0 is not used"),
    ("tcapelle/Diffusion-Models-pytorch", "e9bab9a", "Apache 2.0", "ddpm_conditional.py", "trainers.tcapelle",
     "as the above; without labels"),
    ("VSehwag/minimal-diffusion", "ea0321e", "", "main.py", "others.vsehwag", ""),
    ("explainingai-code/DDPM-Pytorch", "b524321", "MIT", "scheduler/linear_noise_scheduler.py",
     "trainers.explainingai", "x̂₀ is clipped; to ask it without, `torch.clamp` is left out"),
    ("tanelp/tiny-diffusion", "726b6bb", "", "ddpm.py", "schedulers.tanelp", "points in the plane"),
    ("bot66/MNISTDiffusion", "c7ba8e0", "MIT", "model.py", "schedulers.bot66", "a batch has one t"),
    ("cloneofsimo/minDiffusion", "00a3c80", "", "mindiffusion/ddpm.py", "others.cloneofsimo",
     "t = 1..T; β linear in t only, from two ends"),
    ("TeaPearce/Conditional_Diffusion_MNIST", "657b498", "MIT", "script.py", "others.teapearce",
     "t = 1..T; β linear in t only, from two ends"),
    ("jannerm/diffuser", "7ea4228", "MIT", "diffuser/models/diffusion.py", "others.jannerm",
     "trajectories, without conditions; its weighted losses are not asked"),
    ("mikonvergence/DiffusionFastForward", "999ca58", "MIT", "src/DenoisingDiffusionProcess/forward.py",
     "others.mikonvergence", "a batch of its sampler has one t"),
    ("AkiRusProd/numpy-diffusion", "5116f79", "", "diffusion/diffusion.py", "continuous.akirusprod",
     "NumPy; the net gets t/T"),
))
