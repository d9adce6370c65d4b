"""The properties, by what they are about; importing this fills the registry in the paper's order."""

from ddpm_np.check.properties import (  # noqa: I001 - the order of the registry
    forward,
    posterior,
    reverse,
    sampler,
    bound,
    decoder,
    losses,
    statistics,
    schedules,
    appendix,
    expectations,
    further,
    parts,
    chains,
    oracles,
)

__all__ = ["appendix", "bound", "chains", "decoder", "expectations", "forward", "further", "losses", "oracles", "parts",
           "posterior", "reverse", "sampler", "schedules", "statistics"]
