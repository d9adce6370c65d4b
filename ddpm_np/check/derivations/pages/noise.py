r"""From the mean to the noise: (15), (9) to (12), Algorithm 2, and what (14) drops."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("noise", "From the mean to the noise", page="noise")

CLOSED = {r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"}
RECOVERED = {r"\xo": r"\frac{\xt-\sqrt{1-\ab}\eps}{\sqrt{\ab}}"}
ESTIMATED = {r"\xh": r"\frac{\xt-\sqrt{1-\ab}\epsh}{\sqrt{\ab}}"}
TRUE = r"\frac{1}{\sqrt{\al}}\left(\xt-\frac{\be}{\sqrt{1-\ab}}\eps\right)"
MODEL = r"\frac{1}{\sqrt{\al}}\left(\xt-\frac{\be}{\sqrt{1-\ab}}\epsh\right)"
WEIGHT = r"\frac{\be^2}{2\sig^2\al(1-\ab)}"
TABLE = "variance=np.full(s.T+1, sigma.item()**2)"

line("noise.solve", r"\frac{\xt-\sqrt{1-\ab}\eps}{\sqrt{\ab}} = \xo", "Solve (4) for x₀.", on="forward.sample",
     given=CLOSED,
     code="d.predict_x0(s, d.q_sample(s, x_0, t, eps), t, eps)", eq="15")
line("noise.round-trip", r"\sqrt{\ab}\left(\frac{\xt-\sqrt{1-\ab}\eps}{\sqrt{\ab}}\right)+\sqrt{1-\ab}\eps = \xt",
     "Insert x₀ of x_t and ε into (4): x_t.", on="noise.solve",
     code="d.q_sample(s, d.predict_x0(s, x_t, t, eps), t, eps)", eq="15")
line("noise.solve-eps", r"\frac{\xt-\sqrt{\ab}\xo}{\sqrt{1-\ab}} = \eps", "Solve (4) for ε.", on="forward.sample",
     given=CLOSED,
     code="d.predict_eps(s, d.q_sample(s, x_0, t, eps), t, x_0)", eq="eps")
line("noise.estimate", r"\xh = \frac{1}{\sqrt{\ab}}\xt-\frac{\sqrt{1-\ab}}{\sqrt{\ab}}\epsh",
     "(15): a predicted noise in the place of the true one gives an estimate of x₀.", on="noise.solve", given=ESTIMATED,
     code="d.predict_x0(s, x_t, t, eps_theta)", eq="15")
line("noise.insert", r"\mut = \cz\frac{\xt-\sqrt{1-\ab}\eps}{\sqrt{\ab}}+\ct\xt",
     "(9): insert x₀ of (4) into the posterior mean.", on="noise.solve posterior.mean", given=RECOVERED,
     code="d.posterior_mean(s, d.predict_x0(s, x_t, t, eps), x_t, t)", eq="9")
line("noise.first-coefficient", r"\frac{\cz}{\sqrt{\ab}} = \frac{\be}{\sqrt{\al}(1-\ab)}",
     "√ᾱ_{t−1}/√ᾱ_t is 1/√α_t.", on="noise.insert forward.product", eq="10")
line("noise.of-xt", r"\frac{\be}{\sqrt{\al}(1-\ab)}+\ct = \frac{\be+\al(1-\abp)}{\sqrt{\al}(1-\ab)}",
     "The coefficient of x_t, on a common denominator …", on="noise.first-coefficient", eq="10")
line("noise.of-xt-simple", r"\frac{\be+\al(1-\abp)}{\sqrt{\al}(1-\ab)} = \frac{1}{\sqrt{\al}}",
     "… whose numerator is that of the induction step of (4).", on="noise.of-xt forward.step", code="1/k.sqrt_alpha",
     eq="10")
line("noise.of-eps", r"\frac{\cz\sqrt{1-\ab}}{\sqrt{\ab}} = \frac{\be}{\sqrt{\al}\sqrt{1-\ab}}",
     "The coefficient of −ε.", on="noise.first-coefficient", code="k.beta/k.sqrt_one_minus_alpha_bar/k.sqrt_alpha",
     eq="10")
line("noise.ten", rf"\mut = {TRUE}", "(10): the posterior mean is x_t less some of its noise, rescaled.",
     on="noise.of-xt-simple noise.of-eps", given=RECOVERED,
     code="d.posterior_mean(s, d.predict_x0(s, x_t, t, eps), x_t, t)", eq="10")
line("noise.eleven", rf"\cz\xh+\ct\xt = {MODEL}", "(11): the model's mean has the same form with the predicted noise.",
     on="noise.ten noise.estimate", given=ESTIMATED, code="d.mean_from_eps(s, x_t, t, eps_theta)", eq="11")
line("noise.eleven-solved", rf"\left(\xt-\sqrt{{\al}}\left({MODEL}\right)\right)\frac{{\sqrt{{1-\ab}}}}{{\be}} = \epsh",
     "(11) solved for the noise.", on="noise.eleven",
     code="d.eps_from_mean(s, x_t, t, d.mean_from_eps(s, x_t, t, eps_theta))", eq="11")
line("noise.clipped", r"\cz\xh+\ct\xt-\left(\cz\xo+\ct\xt\right) = \cz(\xh-\xo)",
     "The route through x̂₀ lets one clip it: the mean moves by c₀ times the change of x̂₀.", on="noise.eleven",
     eq="clip")
line("noise.difference", rf"{TRUE}-\left({MODEL}\right) = \frac{{\be}}{{\sqrt{{\al}}\sqrt{{1-\ab}}}}(\epsh-\eps)",
     "x_t cancels in the difference of the two means.", on="noise.ten noise.eleven", eq="12")
line("noise.twelve", rf"\frac{{1}}{{2\sig^2}}\nsq{{{TRUE}-\left({MODEL}\right)}} = {WEIGHT}\nsq{{\eps-\epsh}}",
     "(12): square it; the term of the bound is a weighted error of the noise.", on="noise.difference kl.step",
     code="d.eq12_weight(s, t, np.full(s.T+1, sigma.item()**2))*(eps-eps_theta)**2", eq="12")
line("noise.nine", r"\frac{1}{2\sig^2}\nsq{\mut-\muth} = "
     r"\frac{1}{2\sig^2}\nsq{\cz\frac{\xt-\sqrt{1-\ab}\eps}{\sqrt{\ab}}+\ct\xt-\muth}",
     "(9) as a loss.", on="kl.step noise.insert", given=CLOSED,
     code=f"d.mean_mismatch_from_noise(d.Reverse(s, lambda x, t: mu_theta, predicts='mean', {TABLE}), x_0, t, eps)",
     eq="9")
line("noise.ten-loss", rf"\frac{{1}}{{2\sig^2}}\nsq{{\mut-\muth}} = \frac{{1}}{{2\sig^2}}\nsq{{{TRUE}-\muth}}",
     "(10) as a loss.",
     on="noise.nine noise.ten", given=CLOSED,
     code=f"d.mean_mismatch_simplified(d.Reverse(s, lambda x, t: mu_theta, predicts='mean', {TABLE}), x_0, t, eps)",
     eq="10")
line("noise.weight-large", rf"{WEIGHT} = \frac{{\be}}{{2\al(1-\ab)}}", "The weight for σ_t² = β_t.", on="noise.twelve",
     given={r"\sig": r"\sqrt{\be}"}, code="d.eq12_weight(s, t, 'large')", eq="12")
line("noise.weight-small", rf"{WEIGHT} = \frac{{\be}}{{2\al(1-\abp)}}", "The weight for σ_t² = β̃_t.",
     on="noise.twelve posterior.variance",
     given={r"\sig": r"\sqrt{\bt}"}, code="d.eq12_weight(s, t, 'small')", eq="12")
line("noise.weight-snr", r"\frac{\be}{2\al(1-\abp)} = \frac{1}{2}\left(\frac{\snrp}{\snr}-1\right)",
     "By signal-to-noise ratios: half their relative fall.", on="noise.weight-small forward.snr",
     code="d.eq12_weight(s, t, 'small')", eq="12")
line("noise.fourteen", rf"\frac{{2\sig^2\al(1-\ab)}}{{\be^2}}\cdot\frac{{1}}{{2\sig^2}}\nsq{{{TRUE}"
     rf"-\left({MODEL}\right)}} = \nsq{{\eps-\epsh}}",
     "(14) drops the weight: L_simple is the term times its inverse.", on="noise.twelve",
     eq="14")
line("noise.dropped", r"\frac{\be}{2\al(1-\ab)} = \frac{1}{2}\left(\frac{1}{\al}-1\right)\left(\snr+1\right)",
     "What is dropped: for the linear schedule the bound weighs small t most, where the signal-to-noise ratio is "
     "large.",
     on="noise.weight-large",
     code="d.eq12_weight(s, t, 'large')", eq="14")
line("noise.simple", r"\nsq{\eps-\epsh} = \eps^2-2\eps\epsh+\epsh^2", "L_simple of an image, coordinate by coordinate.",
     on="noise.fourteen", code="d.simple_loss(s, lambda x, t: eps_theta, x_0, t, eps)", eq="14")
line("noise.minimiser", r"\pd{\epsh}{w(\epsh-a)^2+(1-w)(\epsh-b)^2} = 2\left(\epsh-(wa+(1-w)b)\right)",
     "Whatever the weight, the best prediction at an x_t is the mean of the noises that lead there: E[ε | x_t].",
     on="noise.simple", eq="14")
line("noise.floor", r"w(\epsh-a)^2+(1-w)(\epsh-b)^2 = \left(\epsh-(wa+(1-w)b)\right)^2+w(1-w)(a-b)^2",
     "What remains is their variance: L_simple has a floor that no net goes below.", on="noise.minimiser", eq="14")
line("noise.algorithm-2", r"\frac{1}{\sqrt{\al}}\left(\xt-\frac{1-\al}{\sqrt{1-\ab}}\epsh\right)+\sig\z = "
     r"\cz\xh+\ct\xt+\sig\z",
     "A step of Algorithm 2 draws from N(μ_θ, σ_t²); its 1 − α_t is β_t.", on="noise.eleven", given=ESTIMATED,
     code=f"d.p_sample(d.Reverse(s, lambda x, t: eps_theta, {TABLE}), x_t, t, z)", eq="algorithm-2")
line("noise.algorithm-2-mean", rf"\E_{{\z}}\left[\xp\right] = {MODEL}", "Its mean …", on="noise.algorithm-2",
     given={r"\xp": rf"{MODEL}+\sig\z"}, eq="1")
line("noise.algorithm-2-variance", r"\Var_{\z}\left[\xp\right] = \sig^2", "… and variance are those of (1).",
     on="noise.algorithm-2", given={r"\xp": rf"{MODEL}+\sig\z"}, eq="1")
line("noise.perfect-step", r"\E_{\eps}\left[\xp\right] = \sqrt{\abp}\xo",
     "With the true noise the step lands on (4) at t − 1: its mean …", on="noise.ten posterior.tower-mean",
     given={r"\xp": TRUE, **CLOSED}, eq="algorithm-2")
line("noise.perfect-variance", r"\Var_{\eps,\z}\left[\xp\right] = 1-\abp", "… and, with σ_t² = β̃_t, its variance.",
     on="noise.perfect-step posterior.tower-variance", given={r"\xp": rf"{TRUE}+\sqrt{{\bt}}\z", **CLOSED},
     eq="algorithm-2")
line("noise.target-mean", rf"{TRUE} = \cz\xo+\ct\xt", "The target of a net that predicts μ̃ (the paper's ablation).",
     on="noise.ten", given=CLOSED, code="d.target(s, x_0, d.q_sample(s, x_0, t, eps), t, eps, 'mean')", eq="prediction")
line("noise.x0-error", r"\xo-\xh = \sqrt{\frac{1-\ab}{\ab}}(\epsh-\eps)",
     "An error of the noise is one of x₀, scaled by 1/√SNR.",
     on="noise.estimate noise.solve", given={**ESTIMATED, **CLOSED}, eq="15")
line("noise.x0-error-square", r"\nsq{\eps-\epsh} = \snr\nsq{\xo-\xh}",
     "The squares differ by the signal-to-noise ratio.",
     on="noise.x0-error", given={**ESTIMATED, **CLOSED}, eq="min-snr")
line("noise.chain", r"a(bx+c)+\sig\z = abx+ac+\sig\z",
     "A model that is affine in x_t makes the chain affine in x_T and the noises: the checker reads (1) off by unit "
     "vectors.",
     on="noise.algorithm-2", eq="1")
line("noise.chain-variance", r"\Var_{\eps,\z}\left[\xp\right] = a^2\ds^2+\sig^2",
     "Variances of such a chain: V_{t−1} = a_t²V_t + σ_t².", on="noise.chain", given={r"\xp": r"a\xt+\sig\z",
     r"\xt": r"\ds\eps"}, eq="1")
