r"""The choices of σ_t²: what each is optimal for, the optimal variance of any data, and the learned range."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("variance", "The variance of the reverse step", page="variance")

CLOSED = {r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"}
VAR = r"\frac{\ds^2(1-\ab)}{\vt}"  # Var[x₀ | x_t] for Gaussian data
R = r"\bt+\cz^2" + VAR
RANGE = r"w\ln\be+(1-w)\ln\bt"
LOSS = r"\frac{1}{2}\left(\ln u-\ln\bt+\frac{\bt+h}{u}-1\right)"  # L_{t−1} by u = σ_t², h the mean squared mismatch

line("variance.term", r"\frac{1}{2}\left(\ln\frac{u}{\bt}+\frac{\bt+h}{u}-1\right) = " + LOSS,
     "L_{t−1} as a function of u = σ_t², with h the mean of (μ̃_t − μ_θ)²: half of it is (8), the rest its constant.",
     on="kl.step", eq="8")
line("variance.slope", r"\pd{u}{g} = \frac{u-(\bt+h)}{2u^2}", "Its only stationary point is u = β̃_t + h …",
     on="variance.term",
     given={"g": LOSS}, eq="sigma")
line("variance.curvature", r"\pd{u}{\frac{u-y}{2u^2}} = \frac{2y-u}{2u^3}",
     "… a minimum, since at u = y the slope rises: "
     "the best variance is β̃_t plus the mean squared mismatch.", on="variance.slope", eq="sigma")
line("variance.at-optimum", r"g = \frac{1}{2}\ln\frac{\bt+h}{\bt}", "There the term is half a log ratio of variances.",
     on="variance.slope", given={"g": LOSS, "u": r"\bt+h"}, eq="sigma")
line("variance.total", r"\Var_{\eps,\z}\left[\xp\right] = \bt+\cz^2\nu^2",
     "For a net that knows E[x₀ | x_t] the mismatch is c₀ times x₀'s own deviation, of variance ν² = Var[x₀ | x_t]: "
     "total variance.",
     on="variance.slope posterior.mean", given={r"\xp": r"\cz(x+\nu\eps)+\ct\xt+\sqrt{\bt}\z"}, eq="sigma")
line("variance.point", r"\bt+\cz^2\cdot w^2-\bt = \frac{\abp\be^2}{(1-\ab)^2}w^2",
     "If x₀ is a single image, Var[x₀ | x_t] = w² = 0 and the optimum is β̃_t: the small choice.", on="variance.total",
     eq="sigma")
line("variance.gain", r"\frac{\Cov_{\xo,\eps}[\xo,\xt]}{\Var_{\xo,\eps}[\xt]} = \frac{\sqrt{\ab}\ds^2}{\vt}",
     "Gaussian data: the gain of E[x₀ | x_t] is covariance over variance.", on="forward.data-covariance", given=CLOSED,
     eq="oracle-gaussian")
line("variance.given-xt", r"\ds^2-\frac{\left(\sqrt{\ab}\ds^2\right)^2}{\vt} = " + VAR,
     "What is left of the data's variance when x_t is known.", on="variance.gain",
     code="d.Gaussian(s, 0.0, s_data.item()**2).x0_variance[t]", eq="oracle-gaussian")
line("variance.noise-given-xt", r"1-\frac{1-\ab}{\vt} = \frac{\ab\ds^2}{\vt}",
     "And of the noise's: the floor of L_simple.",
     on="variance.gain", code="d.Gaussian(s, 0.0, s_data.item()**2).eps_variance[t]", eq="oracle-gaussian")
line("variance.gaussian", R + r" = \frac{\be\vp}{\vt}", "The exact reverse variance of Gaussian data.",
     on="variance.total variance.given-xt", code="d.Gaussian(s, 0.0, s_data.item()**2).reverse_variance[t]",
     eq="oracle-gaussian")
line("variance.gaussian-mean", r"\cz\left(\dm+\frac{\sqrt{\ab}\ds^2}{\vt}(\xt-\sqrt{\ab}\dm)\right)+\ct\xt = "
     r"\frac{\sqrt{\al}\vp}{\vt}\xt+\frac{\sqrt{\abp}\be}{\vt}\dm", "Its mean: (7) at E[x₀ | x_t].",
     on="variance.gain posterior.mean",
     code="d.Gaussian(s, m.item(), s_data.item()**2).reverse_mean[0][t]*x_t"
     "+d.Gaussian(s, m.item(), s_data.item()**2).reverse_mean[1][t]", eq="oracle-gaussian")
line("variance.unit", r"r = \be", "For x₀ ~ N(0, 1) it is β_t: the large choice is exact.", on="variance.gaussian",
     given={"r": r"\frac{\be\vp}{\vt}", r"\ds": "1"}, code="k.beta", eq="sigma")
line("variance.zero", r"r = \bt", "For data without variance it is β̃_t: the small choice is exact.",
     on="variance.gaussian", given={"r": r"\frac{\be\vp}{\vt}", r"\ds": "0"}, code="k.beta_tilde", eq="sigma")
line("variance.upper", r"\be-\frac{\be\vp}{\vt} = \frac{\abp\be^2(1-\ds^2)}{\vt}",
     "Data of less than unit variance need less than β_t …", on="variance.gaussian", eq="sigma")
line("variance.lower", r"\frac{\be\vp}{\vt}-\bt = \frac{\abp\be^2\ds^2}{(1-\ab)\vt} \geq 0",
     "… and all need at least β̃_t.",
     on="variance.gaussian", eq="sigma")
line("variance.analytic", r"\bt+\cz^2\frac{1-\ab}{\ab}h = \bt+\frac{\be^2}{\al(1-\ab)}h",
     "Analytic-DPM: by the noise's remaining variance h = Var[ε | x_t], which is the least L_simple of the data.",
     on="variance.total noise.x0-error", code="d.optimal_variance(s, t, h)", eq="optimal-variance")
line("variance.analytic-score", r"1-(1-\ab)h = 1-\left(\sqrt{1-\ab}\right)^2h",
     "Its Γ_t: the noise's variance is 1 less that of its mean, h now the mean square of the score.",
     on="variance.analytic", eq="optimal-variance")
line("variance.analytic-upper", r"\bt+\frac{\be^2}{\al(1-\ab)} = \frac{\be}{\al}",
     "With h = 1, the most that there is, it is β_t/α_t: Analytic-DPM's upper bound.", on="variance.analytic",
     code="d.optimal_variance(s, t, 1.0+0*x_t)", eq="optimal-variance")
line("variance.analytic-gaussian", r"\bt+\frac{\be^2}{\al(1-\ab)}\cdot\frac{\ab\ds^2}{\vt} = \frac{\be\vp}{\vt}",
     "For Gaussian data it is the exact variance again.", on="variance.analytic variance.noise-given-xt "
     "variance.gaussian",
     eq="optimal-variance")
line("variance.range-form", r"w\ln\be+(1-w)\ln\bt = \ln\bt+w\ln\frac{1-\ab}{1-\abp}",
     "The learned range interpolates between the two logarithms.", on="posterior.ratio",
     code="d.learned_range_log_variance(s, 2*w-1, t)", eq="learned-range")
line("variance.range-small", r"g = \ln\bt", "An output of −1 (w = 0) gives β̃_t …", on="variance.range-form",
     given={"g": RANGE, "w": "0"}, eq="learned-range")
line("variance.range-large", r"g = \ln\be", "… 1 (w = 1) gives β_t …", on="variance.range-form",
     given={"g": RANGE, "w": "1"}, eq="learned-range")
line("variance.range-middle", r"g = \ln\sqrt{\be\bt}", "… and 0 their geometric mean.", on="variance.range-form",
     given={"g": RANGE, "w": r"\frac{1}{2}"}, eq="learned-range")
line("variance.range-slope", r"\pd{v}{g} = \frac{1}{2}\ln\frac{\be}{\bt}",
     "The output v enters as w = (v + 1)/2, so it moves the "
     "log variance by half the log ratio.", on="variance.range-form",
     given={"g": r"\frac{v+1}{2}\ln\be+\left(1-\frac{v+1}{2}\right)\ln\bt"}, eq="learned-range")
line("variance.range-inside", r"\frac{\be-\frac{\be\vp}{\vt}}{\be-\bt} = \frac{(1-\ab)(1-\ds^2)}{\vt}",
     "For Gaussian data with s ≤ 1 the optimum lies in the range, at this part of the way down.",
     on="variance.upper variance.lower", eq="learned-range")
line("variance.clipped", r"\frac{1-(1-r)}{1-(1-r)(1-p)}p = \frac{rp}{r+p-rp}",
     "At t = 1, where β̃₁ = 0, the code takes β̃₂, here by β₁ = r and β₂ = p.", on="posterior.first-variance",
     eq="log-variance")
