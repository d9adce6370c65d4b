r"""Score, Tweedie's formula, denoising score matching and Langevin dynamics."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("score", "The score, Tweedie and Langevin", page="score")

CLOSED = {r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"}
KERNEL = r"-\frac{(\xt-\sqrt{\ab}\xo)^2}{2(1-\ab)}"
WEIGHTED = r"w_ie^{-\frac{(\xt-\sqrt{\ab}m_i)^2}{2(1-\ab)}}"
MIXTURE = {"f": r"\ln\sum_i" + WEIGHTED,  # data at three places m_i, of weights w_i
           "M": rf"\frac{{\sum_im_i{WEIGHTED}}}{{\sum_i{WEIGHTED}}}",
     "S": rf"\frac{{\sum_im_i^2{WEIGHTED}}}{{\sum_i{WEIGHTED}}}"}
UNIT = {"w_3": "1-w_{1}-w_{2}"}

line("score.conditional", rf"\pd{{\xt}}{{{KERNEL}}} = -\frac{{\xt-\sqrt{{\ab}}\xo}}{{1-\ab}}",
     "The score of (4): the derivative of its log density.", on="4 kl.density", eq="score")
line("score.noise", r"-\frac{\xt-\sqrt{\ab}\xo}{1-\ab} = -\frac{\eps}{\sqrt{1-\ab}}", "In terms of the noise of x_t.",
     on="score.conditional forward.noise-of", given=CLOSED, code="d.score_from_eps(s, x_t, t, eps)", eq="score")
line("score.back", r"-\sqrt{1-\ab}\left(-\frac{\epsh}{\sqrt{1-\ab}}\right) = \epsh",
     "A prediction of the noise is one of the score.",
     on="score.noise", code="d.eps_from_score(s, x_t, t, d.score_from_eps(s, x_t, t, eps_theta))", eq="score")
line("score.average", rf"\pd{{\xt}}{{f}} = \frac{{\sum_i\left(-\frac{{\xt-\sqrt{{\ab}}m_i}}{{1"
     rf"-\ab}}\right){WEIGHTED}}}{{\sum_i{WEIGHTED}}}",
     "The score of the marginal is the mean of the conditional scores, weighted by the posterior of x₀: here for data "
     "at "
     "three places m_i, of any weights.", on="score.conditional", given=MIXTURE, eq="score")
line("score.tweedie", r"\pd{\xt}{f} = \frac{\sqrt{\ab}M-\xt}{1-\ab}", "The mean passes to m_i: M = E[x₀ | x_t].",
     on="score.average",
     given=MIXTURE, eq="oracle-mixture")
line("score.tweedie-solved", r"\frac{\xt+(1-\ab)\pd{\xt}{f}}{\sqrt{\ab}} = M", "Tweedie's formula.", on="score.tweedie",
     given=MIXTURE, eq="oracle-mixture")
line("score.tweedie-second", r"\frac{1-\ab}{\ab}\left(1+(1-\ab)\pd{\xt}{\frac{\sqrt{\ab}M-\xt}{1-\ab}}\right) = S-M^2",
     "Differentiate once more: the variance of x₀ given x_t follows from the score's slope.", on="score.tweedie",
     given=MIXTURE, eq="oracle-mixture")
line("score.best-noise", r"-\sqrt{1-\ab}\pd{\xt}{f} = \frac{\xt-\sqrt{\ab}M}{\sqrt{1-\ab}}",
     "The best prediction of the noise, E[ε | x_t], is −√(1 − ᾱ_t) times the score.",
     on="score.tweedie noise.solve-eps",
     given=MIXTURE, eq="oracle-mixture")
line("score.best-agrees", r"\frac{\xt-\sqrt{1-\ab}\left(\frac{\xt-\sqrt{\ab}u}{\sqrt{1-\ab}}\right)}{\sqrt{\ab}} = u",
     "Tweedie's estimate and (15) at the best noise are one: u = E[x₀ | x_t].", on="score.best-noise noise.estimate",
     code="d.predict_x0(s, x_t, t, d.predict_eps(s, x_t, t, u))", eq="15")
line("score.gaussian", r"\pd{\xt}{g} = -\frac{\xt-\sqrt{\ab}\dm}{\vt}",
     "Gaussian data stay Gaussian: the score is linear.",
     on="forward.data-variance", given={"g": r"-\frac{(\xt-\sqrt{\ab}\dm)^2}{2\vt}"},
     code="d.Gaussian(s, m.item(), s_data.item()**2).score(x_t, t)", eq="oracle-gaussian")
line("score.gaussian-x0", r"\frac{\xt-(1-\ab)\frac{\xt-\sqrt{\ab}\dm}{\vt}}{\sqrt{\ab}} = "
     r"\dm+\frac{\sqrt{\ab}\ds^2}{\vt}(\xt-\sqrt{\ab}\dm)",
     "Tweedie gives the regression of x₀ on x_t.", on="score.gaussian score.tweedie-solved variance.gain",
     code="d.Gaussian(s, m.item(), s_data.item()**2).x0(x_t, t)", eq="oracle-gaussian")
line("score.gaussian-noise", r"-\sqrt{1-\ab}\left(-\frac{\xt-\sqrt{\ab}\dm}{\vt}\right) = \frac{\sqrt{1-\ab}}{\vt}\xt-"
     r"\frac{\sqrt{1-\ab}\sqrt{\ab}}{\vt}\dm", "The best net for Gaussian data is affine in x_t.", on="score.gaussian",
     code="d.Gaussian(s, m.item(), s_data.item()**2).eps(x_t, t)", eq="oracle-gaussian")
line("score.matching", r"\nsq{-\frac{\epsh}{\sqrt{1-\ab}}-\left(-\frac{\eps}{\sqrt{1-\ab}}\right)} = "
     r"\frac{\nsq{\eps-\epsh}}{1-\ab}",
     "Denoising score matching is the noise's error over 1 − ᾱ_t.", on="score.noise",
     code="d.score_matching_loss(s, lambda x, t: eps_theta, x_0, t, eps)", eq="score-matching")
line("score.vincent", r"\sum_iw_i(u-s_i)^2 = \left(u-\sum_iw_is_i\right)^2+\sum_iw_is_i^2-\left(\sum_iw_is_i\right)^2",
     "Vincent: the mean distance from the conditional scores s_i is that from their mean, the marginal's score, plus "
     "a constant.",
     on="score.average score.matching", given=UNIT, eq="score-matching")
line("score.vincent-slope", r"\pd{u}{g} = 2\left(u-\sum_iw_is_i\right)", "So both losses have the same gradient.",
     on="score.vincent",
     given={**UNIT, "g": r"\sum_iw_i(u-s_i)^2"}, eq="score-matching")
line("score.langevin-mean", r"\E_{\z}\left[y\right] = \left(1-\frac{\delta}{2\nu}\right)x",
     "A Langevin step on N(0, ν), whose score is −x/ν, shrinks x …", on="langevin",
     given={"y": r"x+\frac{\delta}{2}\left(-\frac{x}{\nu}\right)+\sqrt{\delta}\z"},
     code="d.langevin_step(x, -x/nu, delta, 0*x)",
     eq="langevin")
line("score.langevin-variance", r"\Var_{\eps,\z}\left[y\right] = \left(1-\frac{\delta}{2\nu}\right)^2u^2+\delta",
     "… and adds noise of variance δ.", on="score.langevin-mean",
     given={"y": r"x+\frac{\delta}{2}\left(-\frac{x}{\nu}\right)+\sqrt{\delta}\z", "x": r"u\eps"}, eq="langevin")
line("score.langevin-stationary", r"\left(1-\frac{\delta}{2}\right)^2\frac{1}{1-\frac{\delta}{4}}+\delta = "
     r"\frac{1}{1-\frac{\delta}{4}}",
     "On N(0, 1) the variance that the step keeps is 1/(1 − δ/4), not 1: the error of a finite step.",
     on="score.langevin-variance", eq="langevin")
line("score.langevin-scaled", r"\left(1-\frac{\delta}{2\nu}\right)^2\frac{\nu}{1-\frac{\delta}{4\nu}}+\delta = "
     r"\frac{\nu}{1-\frac{\delta}{4\nu}}",
     "On N(0, ν) it is ν/(1 − δ/(4ν)): steps proportional to ν = 1 − ᾱ_t make the same relative error at every level.",
     on="score.langevin-stationary", eq="annealed-langevin")
line("score.annealed-rescale", r"\sqrt{\frac{\abs}{\ab}}\sqrt{\ab}\xo = \sqrt{\abs}\xo",
     "Between levels x is multiplied by √(ᾱ_s/ᾱ_t), so the signal has the new level's scale.", on="forward.sample",
     eq="annealed-langevin")
line("score.fokker-planck", r"\frac{1}{2}\pd{x}{\pd{x}{p}} = \pd{x}{\frac{1}{2}p\pd{x}{\ln p}}",
     "In continuous time the density's flow by the noise is that of the drift ½∇ln p, so p is stationary: "
     "Fokker–Planck, here "
     "for a mixture of two normals.", on="score.langevin-mean",
     given={"p": r"we^{-\frac{(x-a)^2}{2}}+(1-w)e^{-\frac{(x-b)^2}{2}}"}, eq="langevin")
