r"""Other readings: progressive coding, a hierarchical VAE, the bound of Gaussian data by (5) and (16), flow "
r"matching."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("coding", "Progressive coding and rate–distortion", page="compression")

line("coding.step", r"L_T+\sum_{s=j}^{T} L_{s-1} = L_T+\sum_{s=j+1}^{T} L_{s-1}+L_{j-1}",
     "The rate up to x_{t−1} is that up to x_t plus one term of (5).", on="bound.total", sizes={"T": (3, 4, 5), "j": (2,
     3)}, eq="algorithm-3")
line("coding.total", r"L_T+\sum_{s=1}^{T} L_{s-1} = \sum_{s=0}^{T} L_s", "Down to x₀ it is the whole bound.",
     on="coding.step", eq="algorithm-3")
line("coding.bits", r"\frac{1}{\ln 2}\ln\frac{q}{p} = \frac{\ln q-\ln p}{\ln 2}",
     "Sending a sample of q by a code for p costs about KL(q ‖ p): the mean of this many bits.", on="bound.kl-mean",
     eq="algorithm-3")
line("coding.estimate", r"\frac{\xt-\sqrt{1-\ab}\epsh}{\sqrt{\ab}}-\xo = \sqrt{\frac{1-\ab}{\ab}}(\eps-\epsh)",
     "Algorithm 4: the receiver of x_t estimates x₀ by (15); its error is that of the noise over √SNR.",
     on="noise.x0-error",
     given={r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"}, eq="algorithm-4")
line("coding.distortion", r"\sqrt{\frac{1}{3}\sum_i\left(\frac{255}{2}x_i-\frac{255}{2}y_i\right)^2} = "
     r"\frac{255}{2}\sqrt{\frac{1}{3}\sum_i(x_i-y_i)^2}",
     "The distortion on the scale of bytes is 255/2 times that on [−1, 1].", on="decoder.levels",
     code="d.distortion(x[None], y[None])", eq="algorithm-4")
line("coding.gaussian-rate", r"\frac{1}{2}\ln\frac{\ds^2}{\nu} = \frac{1}{2}\ln\left(1+\frac{\ab}{1-\ab}\ds^2\right)",
     "Gaussian data: x_t tells ½ ln(s²/Var[x₀ | x_t]) nats of x₀ …", on="variance.given-xt",
     given={r"\nu": r"\frac{\ds^2(1-\ab)}{\vt}"})
line("coding.rate-distortion", r"\ds^2e^{-2r} = \nu", "… and that rate r with the distortion Var[x₀ | x_t] lies on "
     "Shannon's curve D = s²·exp(−2R): no code does better.",
     on="coding.gaussian-rate", given={"r": r"\frac{1}{2}\ln\frac{\ds^2}{\nu}"})
line("coding.inpainting", r"\E_{\z}\left[y\right] = \sqrt{\al}\left(wx+(1-w)u\right)",
     "Inpainting mixes known and unknown pixels by a mask (w is 0 or 1) and repeats a forward step: (2) on the "
     "mixture.", on="2",
     given={"y": r"\sqrt{\al}\left(wx+(1-w)u\right)+\sqrt{\be}\z"}, eq="inpainting")
line("coding.inpainting-known", r"w\left(\sqrt{\abp}\xo+\sqrt{1-\abp}\epsp\right)+(1-w)u = "
     r"w\sqrt{\abp}\xo+w\sqrt{1-\abp}\epsp+u-wu",
     "The known pixels come from (4) at t − 1.", on="4", eq="inpainting")
line("coding.interpolation", r"(1-\lambda)\left(\sqrt{\ab}x+\sqrt{1-\ab}u\right)+\lambda\left(\sqrt{\ab}y+\sqrt{1"
     r"-\ab}w\right) = "
     r"\sqrt{\ab}\left((1-\lambda)x+\lambda y\right)+\sqrt{1-\ab}\left((1-\lambda)u+\lambda w\right)",
     "Interpolated latents are (4) of interpolated images with interpolated noise …", on="4", eq="interpolation")
line("coding.interpolation-noise", r"\Var_{\eps,\z}[y] = 1-2\lambda(1-\lambda)",
     "… whose variance is 1 only at the ends, unless both use the same noise: then the mixture has it too.",
     on="coding.interpolation",
     given={"y": r"(1-\lambda)\eps+\lambda\z"}, eq="interpolation")

derivation("hierarchy", "DDPM as a hierarchical VAE", page="hierarchical")

FIRST = {r"\qf_1": r"\qmi{1}"}

line("hierarchy.encoder", r"\prod_{t=1}^T\qf{t} = \qmi{T}\prod_{t>1}\qpost{t}",
     "The fixed encoder can be read from the top down: first x_T given x₀, then each x_{t−1} by the posterior.",
     on="appendix.bayes",
     given=FIRST, eq="joint")
line("hierarchy.ratio", r"\ln\frac{\prod_{t=1}^T\qf{t}}{\pT\prod_{t=1}^T\pr{t}} = "
     r"\ln\frac{\qmi{T}}{\pT}+\sum_{t>1}\ln\frac{\qpost{t}}{\pr{t}}-\ln\pone",
     "So the VAE's bound has one KL for each level of the hierarchy and one reconstruction: that is (5).",
     on="hierarchy.encoder",
     given=FIRST, eq="5")
line("hierarchy.single", r"\ln\frac{\qmi{1}}{\pT\pr{1}} = \ln\frac{\qmi{1}}{\pT}-\ln\pone",
     "With T = 1 it is the usual VAE's.", on="hierarchy.ratio",
     eq="5")
line("hierarchy.fixed", r"\pd{\muth}{D} = -\frac{\mut-\muth}{\sig^2}",
     "Only the decoder has parameters: a level's gradient pulls μ_θ to the encoder's μ̃_t.", on="kl.step",
     given={"D": r"\frac{(\mut-\muth)^2}{2\sig^2}+\frac{1}{2}\left(\ln\frac{\sig^2}{\bt}+\frac{\bt}{\sig^2}-1\right)"},
     eq="8")
line("hierarchy.reparametrise", r"\pd{\xo}{\xt} = \sqrt{\ab}",
     "(4) is the reparametrisation of the encoder: a sample as a function of data and noise.", on="4",
     given={r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"}, eq="4")

derivation("sixteen", "(5) and (16) on Gaussian data", page="bound")

line("sixteen.ratio", r"\frac{\be\vp}{\vt}\cdot\frac{1}{\bt} = \frac{\vp}{1-\abp}\cdot\frac{1-\ab}{\vt}",
     "The exact reverse variance over β̃_t: marginal over conditional variance at t − 1, over the same at t.",
     on="variance.gaussian", eq="16")
line("sixteen.information", r"\frac{1}{2}\ln\left(\frac{\be\vp}{\vt}\right)-\frac{1}{2}\ln\bt = "
     r"\frac{1}{2}\ln\frac{\vp}{1-\abp}-\frac{1}{2}\ln\frac{\vt}{1-\ab}",
     "Half its logarithm is what a term of (5) has over one of (16): the information on x₀ that the step removes.",
     on="sixteen.ratio appendix.difference", eq="16")
line("sixteen.step-difference", r"D-K = \frac{1}{2}\ln\frac{r}{\bt}",
     "For any μ_θ: the posterior's KL, averaged over x₀ given x_t (variance c₀²ν² = r − β̃_t of μ̃_t), less the exact "
     "step's KL.",
     on="kl.closed sixteen.information", given={
         "D": r"\frac{1}{2}\left(\ln\frac{\sig^2}{\bt}+\frac{\bt+(r-\bt)+(u-\muth)^2}{\sig^2}-1\right)",
         "K": r"\frac{1}{2}\left(\ln\frac{\sig^2}{r}+\frac{r+(u-\muth)^2}{\sig^2}-1\right)"}, eq="16")
line("sixteen.telescope", r"\sum_{t=2}^{T}\left(h_{t-1}-h_{t}\right) = h_1-h_T",
     "The informations h_t telescope over the steps …", on="sixteen.information", eq="16")
line("sixteen.entropy", r"\frac{1}{2}\ln(2\pi\ds^2)+\frac{1}{2} = -\frac{1}{2}\ln\frac{1}{2\pi\ds^2}+\frac{1}{2}",
     "… and with the prior's and the data's terms leave the entropy H(x₀) of (16).", on="kl.entropy sixteen.telescope",
     eq="16")
line("sixteen.decoder", r"\frac{1}{2}\ln(2\pi\sig^2)+\frac{\nu}{2\sig^2}-\left(\frac{1}{2}\ln\frac{\sig^2}{\nu}"
     r"+\frac{\nu}{2\sig^2}-\frac{1}{2}\right) = "
     r"\frac{1}{2}\ln(2\pi\nu)+\frac{1}{2}", "The last step: L₀ less its KL in (16) is the entropy of x₀ given x₁, of "
     "variance ν …", on="kl.cross-entropy kl.closed", eq="16")
line("sixteen.remaining", r"\frac{1}{2}\ln\nu+\frac{1}{2}\ln\frac{\vt}{1-\ab} = \ln\ds",
     "… and with h₁ that is H(x₀): nothing is left over.",
     on="sixteen.decoder variance.given-xt", given={r"\nu": r"\frac{\ds^2(1-\ab)}{\vt}"}, eq="16")
line("sixteen.prior", r"\frac{1}{2}\left(\ab\ds^2-\ab-\ln(1-\ab)\right)-\frac{1}{2}\left(\vt-1-\ln\vt\right) = "
     r"\frac{1}{2}\ln\frac{\vt}{1-\ab}",
     "The prior's KL given x₀, averaged, less that of the marginal is the information h_T.",
     on="kl.prior-data kl.closed", eq="26")
line("sixteen.unit", r"\frac{1}{2}\ln r-\frac{1}{2}\ln\be = 0",
     "For N(0, 1) and σ_t² = β_t every KL of (16) is 0, and the bound is the entropy ½ ln(2πe).",
     on="variance.unit", given={"r": r"\frac{\be\vp}{\vt}", r"\ds": "1"}, eq="16")

derivation("flow", "Flow matching: the same path in other coordinates", page="flow")

SCALE = r"\left(\sqrt{\ab}+\sqrt{1-\ab}\right)"
TIME = {r"\tau": rf"\frac{{\sqrt{{1-\ab}}}}{{{SCALE}}}"}
CLOSED = {r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"}

line("flow.path", rf"\frac{{\xt}}{{{SCALE}}} = (1-\tau)\xo+\tau\eps",
     "x_t over √ᾱ + √(1 − ᾱ) lies on the straight line from x₀ to ε, at τ.", on="4",
     given={**TIME, **CLOSED})
line("flow.velocity", r"\pd{\tau}{y} = \eps-\xo", "Its velocity is constant: the target of flow matching.",
     on="flow.path",
     given={"y": r"(1-\tau)\xo+\tau\eps"})
line("flow.snr", r"\frac{(1-\tau)^2}{\tau^2} = \snr", "The same point has the same signal-to-noise ratio: only time "
     "and scale differ.", on="flow.path", given=TIME)
line("flow.time-back", r"\frac{(1-\tau)^2}{(1-\tau)^2+\tau^2} = \ab", "ᾱ of a flow time.", on="flow.snr", given=TIME,
     code="k.alpha_bar")
line("flow.scale-back", rf"\sqrt{{(1-\tau)^2+\tau^2}} = \frac{{1}}{{{SCALE}}}",
     "… and the scale between the coordinates.", on="flow.snr", given=TIME)
line("flow.from-eps", rf"\epsh-\frac{{\xt-\sqrt{{1-\ab}}\epsh}}{{\sqrt{{\ab}}}} = "
     rf"\frac{{{SCALE}\epsh-\xt}}{{\sqrt{{\ab}}}}",
     "A net that predicts ε is one of the flow's velocity …", on="flow.velocity noise.estimate",
     code="eps_theta-d.predict_x0(s, x_t, t, eps_theta)")
line("flow.from-x0", r"\frac{y-\xo}{\tau} = \eps-\xo", "… so is one of x₀ …", on="flow.velocity",
     given={"y": r"(1-\tau)\xo+\tau\eps"})
line("flow.x0", r"y-\tau(\eps-\xo) = \xo", "… and x₀ follows from the velocity.", on="flow.velocity",
     given={"y": r"(1-\tau)\xo+\tau\eps"})
line("flow.eps", r"y+(1-\tau)(\eps-\xo) = \eps", "So does ε.", on="flow.velocity", given={"y": r"(1-\tau)\xo+\tau\eps"})
line("flow.euler", r"y+(\rho-\tau)(\eps-\xo) = (1-\rho)\xo+\rho\eps",
     "An Euler step from τ to ρ with the same velocity lands on the line: DDIM's step.",
     on="flow.path ddim.zero", given={"y": r"(1-\tau)\xo+\tau\eps"})
line("flow.score", r"-\frac{\eps}{\tau} = -\frac{y+(1-\tau)(\eps-\xo)}{\tau}",
     "The score of the line's marginal, −E[ε | y]/τ, from the velocity.",
     on="flow.eps score.noise", given={"y": r"(1-\tau)\xo+\tau\eps"})
line("flow.loss", r"\nsq{(\eps-\xo)-(\epsh-\xh)} = \frac{1}{(1-\tau)^2}\nsq{\eps-\epsh}",
     "Its loss is the noise's with the weight 1/(1 − τ)²: another weighting of the same error.",
     on="flow.velocity noise.x0-error",
     given={r"\xh": r"\frac{y-\tau\epsh}{1-\tau}", "y": r"(1-\tau)\xo+\tau\eps"})

derivation("guidance", "Classifier-free guidance", page="guidance")

line("guidance.bayes", r"\ln\frac{pq}{r}-\ln q = \ln p-\ln r",
     "ln p(y | x) = ln p(x | y) + ln p(y) − ln p(x), here p, q, r.", eq="guidance")
line("guidance.power", r"\pd{x}{f+w(f-u)} = (1+w)\pd{x}{f}-w\pd{x}{u}",
     "The score of p(x | y)·p(y | x)^w: with f = ln p(x | y) and u = ln p(x), for two quadratics.", on="guidance.bayes",
     given={"f": r"-a(x-b)^2", "u": r"-c(x-m)^2"}, eq="guidance")
line("guidance.noise", r"-\sqrt{1-\ab}\left((1+w)\left(-\frac{p}{\sqrt{1-\ab}}\right)-w\left(-\frac{q}{\sqrt{1"
     r"-\ab}}\right)\right) = (1+w)p-wq",
     "In terms of the noise, p = ε(x, y) and q = ε(x, ∅).", on="guidance.power score.noise",
     code="d.guided(lambda x, t, y: p if y[0] else q, t, 0, w.item())(x_t, t)", eq="guidance")
line("guidance.extrapolate", r"(1+w)p-wq = p+w(p-q)", "It goes on from the unconditional through the conditional "
     "prediction.", on="guidance.noise",
     code="d.guided(lambda x, t, y: p if y[0] else q, t, 0, w.item())(x_t, t)", eq="guidance")
line("guidance.zero", r"g = p", "w = 0 is the conditional net …", on="guidance.noise", given={"g": "(1+w)p-wq",
     "w": "0"}, eq="guidance")
line("guidance.unconditional", r"g = q", "… and w = −1 the unconditional one.", on="guidance.noise",
     given={"g": "(1+w)p-wq", "w": "-1"}, eq="guidance")
line("guidance.other-scale", r"q+(1+w)(p-q) = (1+w)p-wq", "Other code has the scale s = 1 + w: 1 is the conditional "
     "net there.", on="guidance.noise", eq="guidance")
line("guidance.estimate", r"\frac{\xt-\sqrt{1-\ab}\left((1+w)p-wq\right)}{\sqrt{\ab}} = "
     r"(1+w)\frac{\xt-\sqrt{1-\ab}p}{\sqrt{\ab}}-w\frac{\xt-\sqrt{1-\ab}q}{\sqrt{\ab}}",
     "x̂₀ is extrapolated alike, since the weights add up to 1.", on="guidance.noise noise.estimate",
     code="d.predict_x0(s, x_t, t, d.guided(lambda x, t, y: p if y[0] else q, t, 0, w.item())(x_t, t))", eq="guidance")
line("guidance.gaussian-variance", r"\frac{1}{\frac{1+w}{a}-\frac{w}{b}} = \frac{ab}{b+w(b-a)}",
     "On Gaussians of variance a (conditional) and b the guided density's precision is (1 + w)/a − w/b: narrower for "
     "b > a.",
     on="guidance.power", eq="guidance")
