r"""The posterior of a forward step, (6) and (7): Bayes' rule, completing the square, other forms, the edges."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("posterior", "The posterior of a forward step", page="posterior")

EXPONENT = (r"\frac{(\xt-\sqrt{\al}\xp)^2}{\be}+\frac{(\xp-\sqrt{\abp}\xo)^2}{1-\abp}-\frac{(\xt-\sqrt{\ab}\xo)^2}{1"
            r"-\ab}")
PRECISION = r"\left(\frac{\al}{\be}+\frac{1}{1-\abp}\right)"
LINEAR = r"\left(\frac{\sqrt{\al}}{\be}\xt+\frac{\sqrt{\abp}}{1-\abp}\xo\right)"
REST = r"\frac{\xt^2}{\be}+\frac{\abp}{1-\abp}\xo^2-\frac{(\xt-\sqrt{\ab}\xo)^2}{1-\ab}"
FORWARD = {r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"}
FIRST = {r"\abp": "1"}
TOWER = {r"\xp": r"\mut+\sqrt{\bt}\z", **FORWARD}


def log_normal(x: str, mean: str, variance: str) -> str:
    """Return the LaTeX of a normal log density."""
    return rf"-\frac{{1}}{{2}}\left(\ln(2\pi)+\ln({variance})+\frac{{({x}-{mean})^2}}{{{variance}}}\right)"


line("posterior.bayes", r"\ln\qpost{t}+\ln\qmi{t} = \ln\qf{t}+\ln\qmi{t-1}",
     "Bayes' rule for x_{t−1} and x_t given x₀; the chain is Markov, so q(x_t | x_{t−1}, x₀) = q(x_t | x_{t−1}).",
     on="2 4", sizes={"t": (2, 3)}, eq="6")
line("posterior.exponent", EXPONENT + r" = \frac{\xt^2-2\sqrt{\al}\xt\xp+\al\xp^2}{\be}+"
     r"\frac{\xp^2-2\sqrt{\abp}\xp\xo+\abp\xo^2}{1-\abp}-\frac{(\xt-\sqrt{\ab}\xo)^2}{1-\ab}",
     "−2 times the exponent of Bayes' rule; expand the two squares that contain x_{t−1}.", on="posterior.bayes", eq="6")
line("posterior.collect", EXPONENT + rf" = {PRECISION}\xp^2-2{LINEAR}\xp+{REST}", "Collect the powers of x_{t−1}.",
     on="posterior.exponent", eq="6")
line("posterior.common-denominator", r"\frac{\al}{\be}+\frac{1}{1-\abp} = \frac{\al(1-\abp)+\be}{\be(1-\abp)}",
     "Bring the coefficient of x_{t−1}² to a common denominator.", on="posterior.collect", eq="7")
line("posterior.numerator", r"\al(1-\abp)+\be = 1-\ab", "Its numerator is that of the induction step of (4).",
     on="posterior.common-denominator forward.step", code="k.one_minus_alpha_bar", eq="7")
line("posterior.precision", r"\frac{\al}{\be}+\frac{1}{1-\abp} = \frac{1-\ab}{\be(1-\abp)} = \frac{1}{\bt}",
     "So the precision of the posterior is 1/β̃_t: precisions add.",
     on="posterior.common-denominator posterior.numerator", code="1/k.beta_tilde", eq="7")
line("posterior.variance", r"\bt = \frac{1-\abp}{1-\ab}\be", "Invert the precision.", on="posterior.precision",
     code="d.q_posterior(s, x_t, x_t, t)[1]+0*x_t", eq="7")
line("posterior.linear", rf"\frac{{{LINEAR}}}{{{PRECISION}}} = {LINEAR}\frac{{\be(1-\abp)}}{{1-\ab}}",
     "The mean is the linear coefficient over the precision.", on="posterior.collect posterior.precision", eq="7")
line("posterior.distribute", rf"{LINEAR}\frac{{\be(1-\abp)}}{{1-\ab}} = "
     rf"\frac{{\sqrt{{\al}}(1-\abp)\xt+\sqrt{{\abp}}\be\xo}}{{1-\ab}}",
     "Multiply out: β_t cancels in the first term, 1 − ᾱ_{t−1} in the second.", on="posterior.linear", eq="7")
line("posterior.mean", r"\mut = \frac{\sqrt{\abp}\be}{1-\ab}\xo+\frac{\sqrt{\al}(1-\abp)}{1-\ab}\xt",
     "The mean of (7).", on="posterior.distribute", code="d.posterior_mean(s, x_0, x_t, t)", eq="7")
line("posterior.square", rf"{PRECISION}\xp^2-2{LINEAR}\xp+\frac{{\mut^2}}{{\bt}} = \frac{{(\xp-\mut)^2}}{{\bt}}",
     "Complete the square.", on="posterior.precision posterior.mean", eq="6")
line("posterior.constant", rf"{REST} = \frac{{\mut^2}}{{\bt}}",
     "What is left over is exactly the constant that the square needs: the posterior is normalised.",
     on="posterior.collect posterior.mean", eq="6")
line("posterior.closed", EXPONENT + r" = \frac{(\xp-\mut)^2}{\bt}", "The whole exponent is that of one Gaussian.",
     on="posterior.square posterior.constant", eq="6")
line("posterior.normaliser", r"\ln\be+\ln(1-\abp)-\ln(1-\ab) = \ln\bt",
     "The normalising factors of Bayes' rule combine to that of variance β̃_t.", on="posterior.variance", eq="6")
line("posterior.densities", log_normal(r"\xt", r"\sqrt{\al}\xp", r"\be") + log_normal(r"\xp", r"\sqrt{\abp}\xo",
     r"1-\abp")
     + r"+\frac{1}{2}\left(\ln(2\pi)+\ln(1-\ab)+\frac{(\xt-\sqrt{\ab}\xo)^2}{1-\ab}\right) = "
     + log_normal(r"\xp", r"\mut", r"\bt"), "Bayes' rule on the log densities, constants included: this is (6).",
     on="posterior.closed posterior.normaliser", code="d.log_normal(x_prev, d.posterior_mean(s, x_0, x_t, t), "
     "np.log(k.beta_tilde))", eq="6")
line("posterior.joint-mean", r"\sqrt{\abp}\xo+\frac{\sqrt{\al}(1-\abp)}{1-\ab}(\xt-\sqrt{\ab}\xo) = \mut",
     "The same by conditioning a joint Gaussian: mean plus covariance over variance times the surprise.",
     on="forward.step-covariance", code="d.posterior_mean(s, x_0, x_t, t)", eq="7")
line("posterior.joint-variance", r"1-\abp-\frac{(\sqrt{\al}(1-\abp))^2}{1-\ab} = \bt",
     "Its variance: the prior's minus the squared covariance over the variance of x_t.", on="forward.step-covariance",
     code="k.beta_tilde", eq="7")
line("posterior.kalman", r"\left(1-\frac{\al\bt}{\be}\right)\sqrt{\abp}\xo+\frac{\sqrt{\al}\bt}{\be}\xt = \mut",
     "As a filter: the prediction √ᾱ_{t−1}·x₀ and the observation x_t/√α_t, weighted by their precisions.",
     on="posterior.precision posterior.linear", eq="7")
line("posterior.coefficient-x0", r"\cz = \frac{\sqrt{\abp}\bt}{1-\abp} = \frac{\sqrt{\abp}\be}{1-\ab}",
     "The weight of x₀ in terms of β̃_t.", on="posterior.mean posterior.variance", code="k.posterior_x0", eq="7")
line("posterior.coefficient-xt", r"\ct = \frac{\sqrt{\al}\bt}{\be} = \frac{\sqrt{\al}(1-\abp)}{1-\ab}",
     "The weight of x_t in terms of β̃_t.", on="posterior.mean posterior.variance", code="k.posterior_xt", eq="7")
line("posterior.snr-form", r"\ct = \frac{1}{\sqrt{\al}}\left(1-\frac{\be}{1-\ab}\right) = "
     r"\frac{1}{\sqrt{\al}}\cdot\frac{\snr}{\snrp}",
     "The weight of x_t is that of undoing the scaling, times the ratio of the signal-to-noise ratios.",
     on="posterior.coefficient-xt forward.snr", code="k.posterior_xt", eq="7")
line("posterior.ratio", r"\frac{\bt}{\be} = \frac{1-\abp}{1-\ab}",
     "β̃_t is a part of β_t that approaches 1 as t grows.",
     on="posterior.variance", code="k.beta_tilde/k.beta", eq="7")
line("posterior.below", r"\be-\bt = \frac{\abp\be^2}{1-\ab} \geq 0", "Knowing x₀ can only lower the variance.",
     on="posterior.variance", eq="sigma")
line("posterior.harmonic", r"\frac{1}{\bt}-\frac{1}{\be} = \frac{1}{1-\abp}-1 = \snrp",
     "The precision that x₀ adds to a step is the signal-to-noise ratio at t − 1.",
     on="posterior.precision forward.snr",
     eq="7")
line("posterior.log-variance", r"\ln\bt = \ln\be+\ln(1-\abp)-\ln(1-\ab)", "The logarithm that the code tabulates.",
     on="posterior.normaliser", code="k.posterior_log_variance_clipped", eq="log-variance")
line("posterior.sum-of-weights", r"\cz+\ct\sqrt{\ab} = \sqrt{\abp}",
     "Tower rule for means, without x₀: insert E[x_t | x₀].",
     on="posterior.mean", code="k.posterior_x0+k.posterior_xt*k.sqrt_alpha_bar", eq="7")
line("posterior.tower-mean", r"\E_{\eps,\z}[\xp] = (\cz+\ct\sqrt{\ab})\xo = \sqrt{\abp}\xo",
     "The posterior averaged over q(x_t | x₀) has the mean of (4) at t − 1.", on="posterior.sum-of-weights",
     given=TOWER,
     eq="7")
line("posterior.tower-variance-sum", r"\Var_{\eps,\z}[\xp] = \ct^2(1-\ab)+\bt", "The law of total variance.",
     on="posterior.mean posterior.variance", given=TOWER, eq="7")
line("posterior.tower-terms", r"\ct^2(1-\ab) = \frac{\al(1-\abp)^2}{1-\ab}", "Insert c_t: one factor 1 − ᾱ_t cancels.",
     on="posterior.tower-variance-sum", eq="7")
line("posterior.tower-variance", r"\ct^2(1-\ab)+\bt = \frac{(1-\abp)\left(\al(1-\abp)+\be\right)}{1-\ab} = 1-\abp",
     "… and the variance of (4) at t − 1: posterior and marginals fit together.",
     on="posterior.tower-terms posterior.numerator", code="k.posterior_xt**2*k.one_minus_alpha_bar+k.beta_tilde",
     eq="7")
line("posterior.mean-square", r"\E_{\eps}\left[(\mut-\sqrt{\abp}\xo)^2\right] = \ct^2(1-\ab) = (1-\abp)-\bt",
     "How far the posterior mean moves with the noise: what the variance lacks.", on="posterior.tower-variance",
     given=FORWARD)
line("posterior.first-mean", r"\mut = \xo", "At t = 1, where ᾱ₀ = 1, the posterior is at the data …",
     on="posterior.mean",
     given=FIRST, code="d.posterior_mean(s, x_0, x_t, t)", eq="7")
line("posterior.first-variance", r"\bt = 0", "… without variance, so ln β̃₁ does not exist and the code clips it to "
     "ln β̃₂.",
     on="posterior.variance", given=FIRST, code="k.beta_tilde", eq="log-variance")
line("posterior.first-weights", r"1-\cz = \ct = 0", "At t = 1 the weight of x₀ is 1 and that of x_t is 0.",
     on="posterior.mean",
     given=FIRST, code="k.posterior_xt", eq="7")
line("posterior.solve-x0", r"\frac{\mut-\ct\xt}{\cz} = \xo", "(7) solved for x₀.", on="posterior.mean",
     code="d.x0_from_mean(s, x_t, t, d.posterior_mean(s, x_0, x_t, t))", eq="15")
line("posterior.mutual-information", r"\frac{1}{2}\ln\frac{1-\abp}{\bt} = \frac{1}{2}\ln\frac{1-\ab}{\be} = "
     r"-\frac{1}{2}\ln\left(1-\frac{\al(1-\abp)}{1-\ab}\right)",
     "What x_t tells of x_{t−1} given x₀, in nats: half the logarithm of the ratio of variances.",
     on="posterior.variance forward.step-correlation")
line("posterior.log-ratio-derivative", r"\pd{\xp}{-\frac{(\xt-\sqrt{\al}\xp)^2}{2\be}-\frac{(\xp"
     r"-\sqrt{\abp}\xo)^2}{2(1-\abp)}} = "
     r"-\frac{\xp-\mut}{\bt}", "A shorter way: the derivative of the exponent is linear, and it vanishes at the mean.",
     on="posterior.bayes", eq="6")
line("posterior.log-ratio-curvature", r"\pd{\xp}{g} = -\frac{1}{\bt}",
     "… and minus its slope is the precision.", on="posterior.log-ratio-derivative",
     given={"g": r"-\frac{\xp-\mut}{\bt}"}, eq="7")
