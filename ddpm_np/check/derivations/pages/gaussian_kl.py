r"""KL divergences of Gaussians and (8): the terms of the bound in closed form."""

from ddpm_np.check.derivations.pages.posterior import log_normal
from ddpm_np.check.derivations.relation import derivation, line

derivation("kl", "The KL divergence of Gaussians, and (8)", page="gaussian-kl")

DRAW = {"x": r"\ma+\sa\z"}
FIRST, SECOND = log_normal("x", r"\ma", r"\sa^2"), log_normal("x", r"\mb", r"\sb^2")
KL = r"\frac{1}{2}\left(\ln\frac{\sb^2}{\sa^2}+\frac{\sa^2+(\ma-\mb)^2}{\sb^2}-1\right)"
C = r"\frac{1}{2}\left(\ln\frac{\sig^2}{\bt}+\frac{\bt}{\sig^2}-1\right)"
PLANE = {"x_1": r"l_{1,1}z_{1}", "x_2": r"l_{2,1}z_{1}+l_{2,2}z_{2}"}  # a correlated pair, by its Cholesky factor
SIGMA = {"f_1_1": r"l_{1,1}^2", "f_1_2": r"l_{1,1}l_{2,1}", "f_2_2": r"l_{2,1}^2+l_{2,2}^2"}  # its covariance

line("kl.density", rf"{FIRST} = \ln\frac{{1}}{{\sqrt{{2\pi\sa^2}}}}-\frac{{(x-\ma)^2}}{{2\sa^2}}",
     "The logarithm of a normal density.", code="d.log_normal(x, mean1, np.log(sigma1**2))", eq="log-normal")
line("kl.log-ratio", rf"{FIRST}-\left({SECOND}\right) = "
     rf"\ln\frac{{\sb}}{{\sa}}-\frac{{(x-\ma)^2}}{{2\sa^2}}+\frac{{(x-\mb)^2}}{{2\sb^2}}",
     "The log ratio of two normal densities: 2π cancels.", on="kl.density", eq="kl")
line("kl.own-square", r"\E_{\z}\left[(x-\ma)^2\right] = \sa^2",
     "x = μ₁ + σ₁z: the square of its own deviation has mean σ₁².",
     given=DRAW, eq="kl")
line("kl.other-square", r"\E_{\z}\left[(x-\mb)^2\right] = \sa^2+(\ma-\mb)^2",
     "Around another centre the distance of the means adds.", given=DRAW, eq="kl")
line("kl.mean", r"\E_{\z}\left[\ln\frac{\sb}{\sa}-\frac{(x-\ma)^2}{2\sa^2}+\frac{(x-\mb)^2}{2\sb^2}\right] = "
     r"\ln\frac{\sb}{\sa}-\frac{1}{2}+\frac{\sa^2+(\ma-\mb)^2}{2\sb^2}", "Average the log ratio term by term.",
     on="kl.log-ratio kl.own-square kl.other-square", given=DRAW, eq="kl")
line("kl.closed", rf"\ln\frac{{\sb}}{{\sa}}-\frac{{1}}{{2}}+\frac{{\sa^2+(\ma-\mb)^2}}{{2\sb^2}} = {KL}",
     "The KL divergence of two Gaussians.", on="kl.mean",
     code="d.kl(mean1, np.log(sigma1**2), mean2, np.log(sigma2**2))", eq="kl")
line("kl.equal", r"D = 0", "It is 0 for equal Gaussians …", on="kl.closed", given={"D": KL, r"\mb": r"\ma",
     r"\sb": r"\sa"}, eq="kl")
line("kl.in-u", rf"{KL} = \frac{{1}}{{2}}\left(u-1-\ln u\right)+\frac{{(\ma-\mb)^2}}{{2\sb^2}}",
     "… and otherwise positive: with u = σ₁²/σ₂² both parts are, by u − 1 ≥ ln u.", on="kl.closed bound.touch",
     given={"u": r"\frac{\sa^2}{\sb^2}"}, eq="kl")
line("kl.slope", r"\pd{\mb}{D} = \frac{\mb-\ma}{\sb^2}", "Its slope in the second mean pulls towards the first …",
     on="kl.closed", given={"D": KL}, eq="kl")
line("kl.slope-scale", r"\pd{\sb}{D} = \frac{\sb^2-\sa^2-(\ma-\mb)^2}{\sb^3}",
     "… and that in the second scale vanishes where σ₂² is the mean squared distance from μ₂.", on="kl.closed",
     given={"D": KL}, eq="kl")
line("kl.asymmetric", r"\frac{\sa^2}{\sb^2}-\ln\frac{\sa^2}{\sb^2}-\left(\frac{\sb^2}{\sa^2}"
     r"-\ln\frac{\sb^2}{\sa^2}\right) = "
     r"\frac{\sa^4-\sb^4}{\sa^2\sb^2}-4\ln\frac{\sa}{\sb}", "The two directions differ, so q comes first in (5) and p "
     "second.",
     on="kl.closed", eq="kl")
line("kl.sum", r"\sum_i\left(\ln r_i-\ln p_i\right) = \ln\frac{r_1r_2r_3}{p_1p_2p_3}",
     "With independent dimensions the density is a product, so KL divergences add over the dimensions.", on="kl.closed",
     eq="kl")
line("kl.entropy", rf"\E_{{\z}}\left[-\left({FIRST}\right)\right] = \frac{{1}}{{2}}\ln(2\pi\sa^2)+\frac{{1}}{{2}}",
     "The entropy of a Gaussian.", on="kl.own-square", given=DRAW, eq="16")
line("kl.cross-entropy", rf"\E_{{\z}}\left[-\left({SECOND}\right)\right] = "
     rf"\frac{{1}}{{2}}\ln(2\pi\sb^2)+\frac{{\sa^2+(\ma-\mb)^2}}{{2\sb^2}}",
     "The cross entropy: what data of the first cost under the second.", on="kl.other-square", given=DRAW, eq="L_0")
line("kl.covariance", r"\E_{z_i}\left[x_1x_2\right] = l_{1,1}l_{2,1}",
     "Without a diagonal: a pair x = Lz has the covariance LLᵀ.", given=PLANE)
line("kl.quadratic", r"\E_{z_i}\left[ax_1^2+2bx_1x_2+cx_2^2\right] = af_{1,1}+2bf_{1,2}+cf_{2,2}",
     "A quadratic form has the mean tr(PΣ): E[xᵀPx] = tr(P E[xxᵀ]).", on="kl.covariance", given={**PLANE, **SIGMA})
line("kl.determinant", r"f_{1,1}f_{2,2}-f_{1,2}^2 = l_{1,1}^2l_{2,2}^2",
     "The determinant of the covariance is the square of that of its factor …", given=SIGMA)
line("kl.log-determinant", r"\frac{1}{2}\ln\left(f_{1,1}f_{2,2}-f_{1,2}^2\right) = \ln l_{1,1}+\ln l_{2,2}",
     "… so ½ ln det Σ is the sum of the factor's log diagonal: KL = ½(ln det Σ₂/det Σ₁ + tr(Σ₂⁻¹Σ₁) + dᵀΣ₂⁻¹d − 2).",
     on="kl.determinant", given=SIGMA)
line("kl.self-trace", r"\frac{f_{2,2}f_{1,1}-2f_{1,2}^2+f_{1,1}f_{2,2}}{f_{1,1}f_{2,2}-f_{1,2}^2} = 2",
     "tr(Σ⁻¹Σ) is the dimension, so the KL of equal Gaussians is 0.", on="kl.log-determinant")
line("kl.step", r"\frac{1}{2}\left(\ln\frac{\sig^2}{\bt}+\frac{\bt+(\mut-\muth)^2}{\sig^2}-1\right) = "
     rf"\frac{{1}}{{2\sig^2}}\nsq{{\mut-\muth}}+{C}",
     "L_{t−1} is the KL of the posterior and the model's step; only the means have parameters: (8), coordinate by "
     "coordinate.",
     on="kl.closed 6", code="ln2*d.vlb_term(d.Reverse(s, lambda x, t: mu_theta, predicts='mean', "
     "variance=np.full(s.T+1, sigma.item()**2)), x_0, x_t, t, levels=None)", eq="8")
line("kl.mismatch", r"\frac{1}{2\sig^2}\nsq{\mut-\muth} = \frac{(\mut-\muth)^2}{2\sig^2}", "The part that is trained.",
     on="kl.step",
     code="d.mean_mismatch(d.Reverse(s, lambda x, t: mu_theta, predicts='mean', "
     "variance=np.full(s.T+1, sigma.item()**2)), x_0, x_t, t)", eq="8")
line("kl.constant", rf"{C} = \frac{{1}}{{2}}\left(\frac{{\bt}}{{\sig^2}}-1-\ln\frac{{\bt}}{{\sig^2}}\right)",
     "The constant is that of u − 1 − ln u ≥ 0 at u = β̃_t/σ_t².", on="kl.step bound.touch",
     code="d.mismatch_constant(s, t, x_t, np.full(s.T+1, sigma.item()**2))", eq="8")
line("kl.constant-small", r"C = 0", "For σ_t² = β̃_t it is 0 …", on="kl.constant", given={"C": C,
     r"\sig": r"\sqrt{\bt}"}, eq="8")
line("kl.constant-large", rf"{C} = \frac{{1}}{{2}}\left(\ln\frac{{1-\ab}}{{1-\abp}}+\frac{{1-\abp}}{{1-\ab}}-1\right)",
     "… and for σ_t² = β_t it depends on the schedule alone.", on="kl.constant posterior.ratio",
     given={r"\sig": r"\sqrt{\be}"},
     code="d.mismatch_constant(s, t, x_t, 'large')", eq="8")
line("kl.prior", r"\frac{1}{2}\left(\ln\frac{1}{1-\ab}+1-\ab+\left(\sqrt{\ab}\xo\right)^2-1\right) = "
     r"\frac{1}{2}\left(\ab\xo^2-\ab-\ln(1-\ab)\right)", "L_T is the KL of (4) at T and N(0, 1).", on="kl.closed 4",
     code="d.kl(k.sqrt_alpha_bar*x_0, np.log(k.one_minus_alpha_bar), 0*x_0, 0*x_0)", eq="L_T")
line("kl.prior-slope", r"\pd{y}{\frac{1}{2}\left(yu-y-\ln(1-y)\right)} = \frac{1}{2}\left(u+\frac{y}{1-y}\right)",
     "In y = ᾱ_T (u = x₀²) it grows, so a schedule that ends lower pays less.", on="kl.prior", eq="L_T")
line("kl.prior-data", r"\E_{\xo}\left[\frac{1}{2}\left(\ab\xo^2-\ab-\ln(1-\ab)\right)\right] = "
     r"\frac{1}{2}\left(\ab(\dm^2+\ds^2)-\ab-\ln(1-\ab)\right)", "Averaged over data of mean m and variance s².",
     on="kl.prior", eq="L_T")
line("kl.data", log_normal(r"\xo", r"\muth", r"\sig^2") + r" = -\ln\sig-\frac{1}{2}\ln(2\pi)-\frac{(\xo"
     r"-\muth)^2}{2\sig^2}",
     "L₀ with a continuous decoder is minus this; the discretised one is (13).", on="kl.density",
     code="d.log_normal(x_0, mu_theta, np.log(sigma**2))", eq="L_0")
