r"""The discretised decoder (13) and bits per dimension, term by term."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("decoder", "The decoder (13) and bits per dimension", page="decoder")

ENDS = {"a": r"\frac{\xo-\frac{1}{255}-\muth}{\sig}", "b": r"\frac{\xo+\frac{1}{255}-\muth}{\sig}"}
DENSITY = r"\frac{1}{\sqrt{2\pi\sig^2}}e^{-\frac{(x-\muth)^2}{2\sig^2}}"

line("decoder.levels", r"-1+\frac{2u}{255} = \frac{2u-255}{255}",
     "A byte u = 0 … 255 is scaled to [−1, 1]; neighbours are 2/255 apart.", eq="13")
line("decoder.width", r"\left(\xo+\frac{1}{255}\right)-\left(\xo-\frac{1}{255}\right) = \frac{2}{255}",
     "Each level has the bin that reaches half a level to either side.", on="decoder.levels", eq="13")
line("decoder.distribution", r"\Phi(u) = \int_{-\infty}^{u} \frac{1}{\sqrt{2\pi}}e^{-\frac{x^2}{2}} \,d x",
     "Φ is the standard normal's distribution function …", numeric=True, eq="13")
line("decoder.slope", r"\pd{u}{\Phi(u)} = \frac{1}{\sqrt{2\pi}}e^{-\frac{u^2}{2}}", "… and its derivative the density.",
     on="decoder.distribution", eq="13")
line("decoder.substitute", r"\pd{x}{f} = " + DENSITY, "Substitute u = (x − μ)/σ: Φ((x − μ)/σ) is a primitive of the "
     "density.",
     on="decoder.slope", given={"f": r"\Phi\left(\frac{x-\muth}{\sig}\right)"}, eq="13")
line("decoder.bin", rf"\int_{{\xo-\frac{{1}}{{255}}}}^{{\xo+\frac{{1}}{{255}}}} {DENSITY} \,d x = \Phi(b)-\Phi(a)",
     "So a bin's integral in (13) is a difference of two values of Φ.", on="decoder.substitute", given=ENDS,
     numeric=True,
     code="np.exp(d.decoder_log_likelihood(x_0, mu_theta, np.log(sigma)))", eq="13")
line("decoder.reflect", r"\Phi(b)-\Phi(a) = \Phi(-a)-\Phi(-b)",
     "By symmetry the difference can be taken on the side where both values are small: no digits are lost.",
     on="decoder.bin", eq="13")
line("decoder.log-difference", r"\ln(p-q) = \ln p+\ln\left(1-e^{\ln q-\ln p}\right)",
     "Its logarithm from logarithms, p = Φ(b) and q = Φ(a), which do not underflow in the tails.",
     on="decoder.reflect", eq="13")
line("decoder.edge-right", r"\int_{a}^{\infty} \frac{1}{\sqrt{2\pi}}e^{-\frac{x^2}{2}} \,d x = 1-\Phi(a) = \Phi(-a)",
     "The last level's bin reaches to infinity …", on="decoder.bin", numeric=True, eq="13")
line("decoder.edge-left", r"\int_{-\infty}^{b} \frac{1}{\sqrt{2\pi}}e^{-\frac{x^2}{2}} \,d x = \Phi(b)",
     "… and the first level's from minus infinity.", on="decoder.bin", numeric=True, eq="13")
line("decoder.telescope", r"\sum_{i=1}^{n}\left(F_{i}-F_{i-1}\right) = F_{n}-F_{0}",
     "Neighbouring bins share an end, so the sum over the levels telescopes …", on="decoder.bin", sizes={"n": (1, 2,
     5)},
     eq="13")
line("decoder.total", r"\Phi(c)+\left(\Phi(u)-\Phi(c)\right)+1-\Phi(u) = 1",
     "… to Φ(∞) − Φ(−∞) = 1: the probabilities of all levels add up to 1, for any mean and variance.",
     on="decoder.telescope decoder.edge-left decoder.edge-right", eq="13")
line("decoder.product", r"\ln\prod_i p_i = \sum_i\ln p_i", "Dimensions are independent given x₁: log probabilities "
     "add.", eq="13")
line("decoder.bits", r"\frac{\ln p}{\ln 2}\ln 2 = \ln p", "Bits are nats divided by ln 2, and −log₂ p bits name an "
     "event of probability p.")
line("decoder.uniform", r"-\frac{1}{\ln 2}\ln\frac{1}{256} = 8",
     "A uniform guess of one of 256 levels costs 8 bits per dimension.",
     on="decoder.bits")
line("decoder.per-dimension", r"\frac{1}{\ln 2}\cdot\frac{1}{3}\sum_i L_i = \frac{L_1+L_2+L_3}{3\ln 2}",
     "Bits per dimension: the sum over all pixels and channels, divided by their number and by ln 2.",
     on="decoder.bits", eq="5")
line("decoder.scaling", r"-\ln\left(\frac{2}{255}f\right) = -\ln f+\ln\frac{255}{2}",
     "A density f on [−1, 1] gives a bin about (2/255)·f: continuous and discrete figures differ by ln 127.5 a "
     "dimension.",
     on="decoder.width")
line("decoder.scaling-bits", r"\frac{1}{\ln 2}\ln\frac{255}{2} = \frac{\ln 255}{\ln 2}-1",
     "That is 6.99 bits, which some published figures leave out.", on="decoder.scaling")
line("decoder.change-of-variables", r"\frac{255}{2\sqrt{2\pi}\sig\cdot\frac{255}{2}}e^{-\frac{\left(\frac{255}{2}x"
     r"-\frac{255}{2}\muth\right)^2}"
     r"{2\left(\frac{255}{2}\sig\right)^2}} = " + DENSITY, "The same density in units of levels, by the change of "
     "variables.",
     on="decoder.scaling")
line("decoder.peak", r"\Phi(v)-\Phi(-v) = 2\Phi(v)-1",
     "A perfect mean still pays for σ₁: the level's own bin is ±1/(255σ₁) wide, v = 1/(255σ₁).", on="decoder.reflect",
     given={"v": r"\frac{1}{255\sig}"}, eq="L_0")
line("decoder.terms", r"\frac{1}{\ln 2}\left(L_T+\sum_{t=1}^{T} L_{t-1}\right) = \frac{L_T}{\ln 2}+\frac{L_0}{\ln "
     r"2}+\sum_{t>1}\frac{L_{t-1}}{\ln 2}",
     "The bound in bits per dimension: prior, decoder and the steps between.", on="decoder.per-dimension bound.total",
     eq="5")
