"""The derivations in the book's order; importing this package fills `relation.DERIVATIONS`."""

from ddpm_np.check.derivations.pages import (  # noqa: I001 - the order of the book
    forward,
    posterior,
    bound,
    appendix,
    gaussian_kl,
    noise,
    decoder,
    variance,
    score,
    velocity,
    weights,
    ddim,
    schedules,
    readings,
    training,
    winograd,
)

__all__ = [
    "appendix", "bound", "ddim", "decoder", "forward", "gaussian_kl", "noise", "posterior", "readings", "schedules",
    "score", "training", "variance", "velocity", "weights", "winograd",
]
