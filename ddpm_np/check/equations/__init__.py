"""The properties by topic; importing this package fills the registry in the paper's order."""

from ddpm_np.check.equations import (  # noqa: I001 - the order of the registry
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
    extensions,
    package_functions,
    weights,
    chains,
    oracles,
    later,
    fewer_steps,
)

__all__ = [
    "appendix", "bound", "chains", "decoder", "expectations", "extensions", "fewer_steps", "forward", "later", "losses",
    "oracles", "package_functions", "posterior", "reverse", "sampler", "schedules", "statistics", "weights",
]
