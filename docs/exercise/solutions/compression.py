"""14. Compression.

The bound is a code length. Algorithm 3 sends x_T, then each x_{t−1}, and Algorithm 4 shows what the receiver can make
of the image after the bits so far.
"""

from __future__ import annotations

import numpy as np


class Compression:
    """Rate and distortion."""

    def distortion(self, x_0, estimate, levels=256):
        """√(mean (x₀ − x̂₀)²) of each image on the scale of levels 0..levels − 1, (N,); images lie in [−1, 1]."""
        return (levels - 1) / 2 * np.sqrt(self.mean_over_image((x_0 - estimate) ** 2))

    def send(self, model, x_0, noise_at, levels=256, predicts="eps", variance="small", clip=False):
        """Algorithms 3 and 4: [(t, rate_t, distortion, x̂₀), …] for t = T, …, 0, rates in bits.

        rate_t = L_T + Σ_{s>t} (term s), where noise_at(t) is the ε of x_t. At t = 0 the estimate is x₀ itself.
        """
        rate, found = self.prior_kl(x_0), []
        for t in range(self.T, 0, -1):
            now = self.at(t, x_0)
            x_t = self.q_sample(x_0, now, noise_at(t))
            estimate = self.predict(model, x_t, now, predicts, clip)[0]
            found.append((t, rate, self.distortion(x_0, estimate, levels), estimate))
            rate = rate + self.vlb_term(model, x_0, x_t, now, variance, predicts, clip, levels)
        return [*found, (0, rate, 0 * rate, x_0)]
