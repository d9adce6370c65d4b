r"""The forward process: from one step (2) to all of them at once (4), by induction."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("forward", "The forward process in closed form", page="forward")

PREVIOUS = {r"\xp": r"\sqrt{\abp}\xo+\sqrt{1-\abp}\epsp"}
STEP = {r"\xt": r"\sqrt{\al}\xp+\sqrt{\be}\z", **PREVIOUS}
ONE = {r"\xt": r"\sqrt{\al}\xp+\sqrt{\be}\z"}
CLOSED = {r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"}

line("forward.alpha", r"\al = 1-\be", "The variance that a step keeps.", code="k.alpha", eq="alpha-bar")
line("forward.product", r"\ab = \al\abp", "A product grows by one factor a step.", on="forward.alpha",
     code="k.alpha_bar", eq="alpha-bar")
line("forward.product-out", r"a_t\prod_{s=1}^{t-1} a_s = \prod_{s=1}^{t} a_s",
     "The definition of ᾱ_t: all factors up to t, written for a_s = α_s.", on="forward.product",
     sizes={"t": (1, 2, 3, 4, 5)}, eq="alpha-bar")
line("forward.step-mean", r"\E_{\z}[\xt] = \sqrt{\al}\xp = \sqrt{1-\be}\xp",
     "The noise z has mean 0.", on="2", given=ONE, code="d.q_step(s, x_prev, t, 0*z)", eq="2")
line("forward.step-variance", r"\Var_{\z}[\xt] = \be", "The noise z has variance 1.", on="2", given=ONE,
     code="k.beta", eq="2")
line("forward.step-power", r"(\sqrt{1-\be})^2+(\sqrt{\be})^2 = 1",
     "The squares of the two coefficients add up to 1, so data of variance 1 keep it.", on="2", eq="2")
line("forward.insert", r"\xt = \sqrt{\al}\left(\sqrt{\abp}\xo+\sqrt{1-\abp}\epsp\right)+\sqrt{\be}\z",
     "Insert the claim for t − 1 into the step (2).", on="2 4", given=STEP, eq="4")
line("forward.expand", r"\xt = \sqrt{\al\abp}\xo+\sqrt{\al(1-\abp)}\epsp+\sqrt{\be}\z",
     "Multiply out; roots of products are products of roots.", on="forward.insert", given=STEP, eq="4")
line("forward.mean", r"\E_{\epsp,\z}[\xt] = \sqrt{\al\abp}\xo = \sqrt{\ab}\xo", "Both noises have mean 0.",
     on="forward.expand forward.product", given=STEP, code="d.q_sample(s, x_0, t, 0*eps)", eq="4")
line("forward.variance-sum", r"\Var_{\epsp,\z}[\xt] = \al(1-\abp)+\be",
     "Variances of independent noises add, each times the square of its coefficient.", on="forward.expand", given=STEP,
     eq="4")
line("forward.step", r"\al(1-\abp)+\be = \al-\ab+1-\al = 1-\ab",
     "Insert β_t = 1 − α_t and α_t·ᾱ_{t−1} = ᾱ_t: the induction is complete.",
     on="forward.variance-sum forward.alpha forward.product", code="k.one_minus_alpha_bar", eq="4")
line("forward.variance", r"\Var_{\epsp,\z}[\xt] = 1-\ab", "The variance of (4).",
     on="forward.variance-sum forward.step",
     given=STEP, code="k.one_minus_alpha_bar", eq="4")
line("forward.start", r"\xt = \sqrt{\al}\xo+\sqrt{\be}\eps",
     "The induction starts at t = 1, where ᾱ₀ = 1 makes (4) the step (2).", on="2 4", given={**CLOSED, r"\abp": "1"},
     eq="4")
line("forward.merged", r"\left(\sqrt{\al(1-\abp)}\right)^2+\left(\sqrt{\be}\right)^2 = \left(\sqrt{1-\ab}\right)^2",
     "A sum of independent normal noises is normal, so one ε with the root of the summed squares stands for both.",
     on="forward.step", eq="4")
line("forward.characteristic", r"\ln e^{-\frac{1}{2}u^2\al(1-\abp)}+\ln e^{-\frac{1}{2}u^2\be} = "
     r"-\frac{1}{2}u^2(1-\ab)",
     "That the sum is normal: characteristic functions of independent summands multiply, and exponents add.",
     on="forward.step", eq="4")
line("forward.sample", r"\xt = \sqrt{\ab}\xo+\sqrt{1-\ab}\eps", "(4) as a sample: any x_t at once from x₀.", on="4",
     given=CLOSED, code="d.q_sample(s, x_0, t, eps)", eq="4")
line("forward.second-moment", r"\E_{\eps}\left[\xt^2\right] = \ab\xo^2+1-\ab",
     "The square of the mean plus the variance.",
     on="forward.sample", given=CLOSED, eq="4")
line("forward.data-mean", r"\E_{\xo,\eps}[\xt] = \sqrt{\ab}\dm", "Average (4) over data of mean m.",
     on="forward.sample",
     given=CLOSED, eq="oracle-gaussian")
line("forward.data-variance", r"\Var_{\xo,\eps}[\xt] = \ab\ds^2+1-\ab = \vt",
     "Average (4) over data of variance s²: the marginal's variance goes from s² to 1.", on="forward.sample",
     given=CLOSED, eq="oracle-gaussian")
line("forward.data-covariance", r"\Cov_{\xo,\eps}[\xo,\xt] = \sqrt{\ab}\ds^2",
     "Only the signal part of x_t varies with x₀.", on="forward.sample", given=CLOSED)
line("forward.correlation", r"\frac{\Cov_{\xo,\eps}[\xo,\xt]}{\ds\sqrt{\Var_{\xo,\eps}[\xt]}} = "
     r"\frac{\sqrt{\ab}\ds}{\sqrt{\vt}}",
     "The correlation of x_t with the data falls to 0 as ᾱ_t does.", on="forward.data-covariance forward.data-variance",
     given=CLOSED)
line("forward.step-covariance", r"\Cov_{\epsp,\z}[\xp,\xt] = \sqrt{\al}(1-\abp)",
     "Given x₀, neighbours share the noise ε_{t−1}, which the step scales by √α_t.", on="forward.expand", given=STEP)
line("forward.snr", r"\snr = \frac{\ab}{1-\ab}", "The variance of the signal over that of the noise, for data of "
     "variance 1.",
     on="forward.sample", code="k.alpha_bar/k.one_minus_alpha_bar")
line("forward.step-correlation", r"\frac{\Cov_{\epsp,\z}[\xp,\xt]}{\sqrt{(1-\abp)(1-\ab)}} = "
     r"\sqrt{\frac{\al(1-\abp)}{1-\ab}} = \sqrt{\frac{\snr}{\snrp}}",
     "The squared correlation of neighbours is the ratio of their signal-to-noise ratios.",
     on="forward.step-covariance forward.snr", given=STEP)
line("forward.snr-inverse", r"\frac{\snr}{1+\snr} = \ab", "The schedule back from its signal-to-noise ratio.",
     on="forward.snr", code="k.alpha_bar")
line("forward.snr-falls", r"\snrp-\snr = \frac{\abp-\ab}{(1-\abp)(1-\ab)} = \frac{\abp\be}{(1-\abp)(1-\ab)} \geq 0",
     "Each step lowers the signal-to-noise ratio.", on="forward.snr forward.product")
line("forward.step-ratio", r"\be = 1-\frac{\ab}{\abp}", "The step's variance from the products: how a schedule given "
     "by ᾱ_t, or a "
     "respaced one, gets its β.", on="forward.product", code="k.beta", eq="respacing")
line("forward.log-step", r"\ln\ab = \ln\abp+\ln(1-\be)", "The logarithm of a product is a sum.", on="forward.product",
     eq="alpha-bar")
line("forward.log-form", r"1-\exp\left(\sum_{s=1}^{t}\ln a_s\right) = 1-\prod_{s=1}^{t} a_s",
     "1 − ᾱ_t is computed as −expm1(Σ log1p(−β)): the same number, without the cancellation of 1 − ᾱ_t at small t.",
     on="forward.log-step", sizes={"t": (1, 2, 3, 4, 5)}, eq="alpha-bar")
line("forward.gap", r"(1-\ab)-(1-\abp) = \abp\be \geq 0", "The noise grows at every step.", on="forward.product")
line("forward.noise-of", r"\frac{\xt-\sqrt{\ab}\xo}{\sqrt{1-\ab}} = \eps", "(4) solved for the noise.",
     on="forward.sample",
     given=CLOSED, code="d.predict_eps(s, d.q_sample(s, x_0, t, eps), t, x_0)", eq="eps")
line("forward.respaced-mean", r"\sqrt{\frac{\ab}{\abs}}\left(\sqrt{\abs}\xo\right) = \sqrt{\ab}\xo",
     "A step over several t at once has α = ᾱ_t/ᾱ_s …", on="forward.sample", eq="respacing")
line("forward.respaced-variance", r"\frac{\ab}{\abs}(1-\abs)+1-\frac{\ab}{\abs} = 1-\ab",
     "… and leads to the same marginals: respacing keeps (4).", on="forward.respaced-mean", eq="fewer-steps")
