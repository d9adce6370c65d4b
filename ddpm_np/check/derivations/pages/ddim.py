r"""DDIM: its marginals for every σ, η between 0 and 1, inversion; and the probability-flow ODE, its limit."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("ddim", "DDIM", page="ddim")

CLOSED = {r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"}
ESTIMATED = {r"\xh": r"\frac{\xt-\sqrt{1-\ab}\epsh}{\sqrt{\ab}}"}
K = r"\sqrt{1-\abs-\sig^2}"
STEP = rf"\sqrt{{\abs}}\frac{{\xt-\sqrt{{1-\ab}}\eps}}{{\sqrt{{\ab}}}}+{K}\eps+\sig\z"
LANDED = {"y": STEP, **CLOSED}
ETA = {r"\sig": r"\eta\sqrt{\frac{1-\abs}{1-\ab}}\sqrt{1-\frac{\ab}{\abs}}"}
MODEL = r"\frac{1}{\sqrt{\al}}\left(\xt-\frac{\be}{\sqrt{1-\ab}}\epsh\right)"

line("ddim.insert", rf"y = \sqrt{{\abs}}\xo+{K}\eps+\sig\z", "Insert (4) with its true noise into the step: x̂₀ is x₀.",
     on="4 ddim-12", given=LANDED, eq="ddim-12")
line("ddim.mean", r"\E_{\eps,\z}[y] = \sqrt{\abs}\xo", "The two noises have mean 0.", on="ddim.insert", given=LANDED,
     eq="ddim-12")
line("ddim.variance", rf"\Var_{{\eps,\z}}[y] = \left({K}\right)^2+\sig^2 = 1-\abs",
     "Their variances add up to that of (4) at s: the marginals are kept for every σ_t.", on="ddim.insert",
     given=LANDED,
     eq="ddim-12")
line("ddim.posterior-form", rf"\sqrt{{\abs}}\xo+{K}\frac{{\xt-\sqrt{{\ab}}\xo}}{{\sqrt{{1-\ab}}}} = "
     rf"\left(\sqrt{{\abs}}-\frac{{{K}\sqrt{{\ab}}}}{{\sqrt{{1-\ab}}}}\right)\xo+\frac{{{K}}}{{\sqrt{{1-\ab}}}}\xt",
     "As a posterior given x₀ (Song et al., 7): the noise of x_t points the same way at s.", on="ddim.insert",
     eq="ddim-12")
line("ddim.step", r"\sqrt{\abp}\xh+\sqrt{1-\abp-\sig^2}\epsh+\sig\z = \frac{\sqrt{\abp}}{\sqrt{\ab}}\xt+"
     r"\left(\sqrt{1-\abp-\sig^2}-\frac{\sqrt{\abp}\sqrt{1-\ab}}{\sqrt{\ab}}\right)\epsh+\sig\z",
     "The step is affine in x_t, ε_θ and z.", on="ddim-12", given=ESTIMATED, eq="ddim-12")
line("ddim.sigma-square", r"\sig^2 = \eta^2\frac{(1-\abs)(\abs-\ab)}{(1-\ab)\abs}", "(16) squared.", on="ddim-16",
     given=ETA, eq="ddim-16")
line("ddim.sigma-beta", r"\sig^2 = \eta^2\bt", "For s = t − 1 it is η²β̃_t.", on="ddim.sigma-square posterior.variance",
     given={r"\sig": r"\eta\sqrt{\frac{1-\abp}{1-\ab}}\sqrt{1-\frac{\ab}{\abp}}"},
     code="d.ddim_sigma(s, t, t-1, eta.item(), x_t)**2", eq="ddim-16")
line("ddim.eta-one-root", r"1-\abp-\bt = \frac{\al(1-\abp)^2}{1-\ab}", "At η = 1 the radicand is a square …",
     on="ddim.sigma-beta",
     eq="ddim-16")
line("ddim.eta-one", rf"\sqrt{{\abp}}\xh+\sqrt{{1-\abp-\bt}}\epsh = {MODEL}",
     "… and the mean is (11): DDIM at η = 1 is Algorithm 2 with "
     "σ_t² = β̃_t.", on="ddim.eta-one-root noise.eleven", given=ESTIMATED,
     code="d.ddim_step(d.Reverse(s, lambda x, t: eps_theta), x_t, t, t-1, 1.0, 0*x_t)", eq="ddim-12")
line("ddim.eta-one-posterior", r"\sqrt{\abp}\xo+\sqrt{1-\abp-\bt}\frac{\xt-\sqrt{\ab}\xo}{\sqrt{1-\ab}} = \mut",
     "… and the posterior form is (7).", on="ddim.eta-one-root ddim.posterior-form",
     code="d.posterior_mean(s, x_0, x_t, t)",
     eq="ddim-12")
line("ddim.room", r"1-\abs-\sig^2 = (1-\abs)\left(1-\eta^2\frac{\abs-\ab}{\abs(1-\ab)}\right)",
     "The radicand stays positive up to η = 1.", on="ddim.sigma-square", given=ETA, eq="ddim-16")
line("ddim.room-one", r"1-\frac{\abs-\ab}{\abs(1-\ab)} = \frac{\ab(1-\abs)}{\abs(1-\ab)} \geq 0",
     "… since this is what is left there.",
     on="ddim.room", eq="ddim-16")
line("ddim.zero", r"\sqrt{\abs}\xh+\sqrt{1-\abs}\epsh = "
     r"\sqrt{\frac{\abs}{\ab}}\xt+\left(\sqrt{1-\abs}-\sqrt{\frac{\abs(1-\ab)}{\ab}}\right)\epsh",
     "η = 0: no noise, a map.", on="ddim.step", given=ESTIMATED,
     code="d.ddim_step(d.Reverse(s, lambda x, t: eps_theta), x_t, t, t-1, 0.0)", eq="ddim-12")
line("ddim.last", r"y = \xh", "The last step, to ᾱ₀ = 1, returns x̂₀.", on="ddim.zero",
     given={"y": r"\sqrt{\abp}\xh+\sqrt{1-\abp}\epsh", r"\abp": "1", **ESTIMATED},
     code="d.ddim_step(d.Reverse(s, lambda x, t: eps_theta), x_t, t, t-1, 0.0)", eq="ddim-12")
line("ddim.scaled", r"\frac{\sqrt{\abs}\xh+\sqrt{1-\abs}\epsh}{\sqrt{\abs}}-\frac{\xt}{\sqrt{\ab}} = "
     r"\left(\sqrt{\frac{1-\abs}{\abs}}-\sqrt{\frac{1-\ab}{\ab}}\right)\epsh",
     "In x/√ᾱ a step is one of Euler's, of length the change of √((1 − ᾱ)/ᾱ).", on="ddim.zero", given=ESTIMATED,
     eq="ddim-12")
line("ddim.dpm-solver", r"\sqrt{\frac{\abs}{\ab}}\xt-\sqrt{1-\abs}\left(\frac{\sqrt{\frac{\abs}{1-\abs}}}"
     r"{\sqrt{\frac{\ab}{1-\ab}}}-1\right)\epsh = \sqrt{\abs}\xh+\sqrt{1-\abs}\epsh",
     "DPM-Solver-1 is the same map, where e^h is the quotient of the roots of the two signal-to-noise ratios.",
     on="ddim.zero", given=ESTIMATED, eq="dpm-solver-1")
line("ddim.inverse", r"\sqrt{\ab}\frac{\left(\sqrt{\abs}\xh+\sqrt{1-\abs}\epsh\right)-\sqrt{1-\abs}\epsh}{\sqrt{\abs}}"
     r"+\sqrt{1-\ab}\epsh = \xt",
     "The way back with the same ε_θ is exact: inversion.", on="ddim.zero", given=ESTIMATED, eq="ddim-inversion")
line("ddim.inverse-step", r"\sqrt{\frac{\ab}{\abs}}\left(\sqrt{\abs}\xh+\sqrt{1-\abs}\epsh\right)+\left(\sqrt{1-\ab}-"
     r"\sqrt{\frac{\ab(1-\abs)}{\abs}}\right)\epsh = \xt", "The same step written like the forward one, with s and t "
     "exchanged.",
     on="ddim.inverse", given=ESTIMATED, eq="ddim-inversion")
line("ddim.angle", r"\frac{\sqrt{\abs}}{\sqrt{\ab}}+\left(\sqrt{1-\abs}-\frac{\sqrt{\abs}\sqrt{1"
     r"-\ab}}{\sqrt{\ab}}\right)\frac{\sqrt{1-\ab}}{\vt} = "
     r"\frac{\sqrt{\abs}\sqrt{\ab}\ds^2+\sqrt{1-\abs}\sqrt{1-\ab}}{\vt}",
     "On Gaussian data with the best net a step multiplies the deviation from the mean by this …",
     on="ddim.zero score.gaussian-noise", eq="oracle-gaussian")
line("ddim.cosine", r"\frac{\sqrt{\abs}\sqrt{\ab}\ds^2+\sqrt{1-\abs}\sqrt{1"
     r"-\ab}}{\vt}\cdot\frac{\sqrt{\vt}}{\sqrt{\vp}} = "
     r"\frac{\sqrt{\abs}\ds}{\sqrt{\vp}}\cdot\frac{\sqrt{\ab}\ds}{\sqrt{\vt}}+\frac{\sqrt{1"
     r"-\abs}}{\sqrt{\vp}}\cdot\frac{\sqrt{1-\ab}}{\sqrt{\vt}}",
     "… in units of the standard deviations √v: the cosine of the angle between (s√ᾱ, √(1 − ᾱ)) at the two steps. So "
     "DDIM "
     "shrinks Gaussian data by Π cos.", on="ddim.angle", eq="oracle-gaussian")
line("ddim.subsequence", r"A_{1}\prod_{i=2}^{n}\frac{A_{i}}{A_{i-1}} = A_{n}",
     "A chain over a subsequence τ of the steps needs ᾱ at its steps alone: their ratios multiply up (A_i = ᾱ at τ_i).",
     on="forward.respaced-variance", sizes={"n": (2, 3, 4)}, eq="timesteps")
line("ddim.linspace", r"1+\frac{(i-1)(T-1)}{n-1}+\frac{T-1}{n-1} = 1+\frac{i(T-1)}{n-1}",
     "n steps in equal distances of (T − 1)/(n − 1), from 1 to T.", on="ddim.subsequence", eq="timesteps")

derivation("ode", "The probability-flow ODE", page="ode")

RATES = {"y": "-by"}  # ᾱ(t) = y, ᾱ' = −b·y: b is the continuous β
FLOW = {**RATES, "x": r"-\frac{b}{2}\left(x-\frac{\eps}{\sqrt{1-y}}\right)"}
VARIANCE = r"y\ds^2+1-y"

line("ode.beta", r"\pd{t}{\ln y} = -b", "In continuous time ᾱ(t) = y has the rate −b: β_t is b times a small step.",
     on="forward.log-step", rates=RATES)
line("ode.signal", r"\pd{t}{\sqrt{y}} = -\frac{b}{2}\sqrt{y}", "The signal's coefficient decays at half that rate …",
     on="ode.beta", rates=RATES)
line("ode.noise", r"\pd{t}{\sqrt{1-y}} = \frac{by}{2\sqrt{1-y}}", "… while the noise's grows.", on="ode.beta",
     rates=RATES)
line("ode.ratio", r"\pd{t}{\sqrt{\frac{1-y}{y}}} = \frac{b}{2\sqrt{y(1-y)}}", "The length of DDIM's step in the limit.",
     on="ddim.scaled ode.signal ode.noise", rates=RATES)
line("ode.scaled", r"\pd{t}{\frac{x}{\sqrt{y}}} = \frac{b}{2\sqrt{y(1-y)}}\eps",
     "The flow x' = −(b/2)(x − ε/√(1 − y)) has DDIM's limit: d(x/√ᾱ) = ε·d√((1 − ᾱ)/ᾱ).", on="ode.ratio", rates=FLOW)
line("ode.score-form", r"-\frac{b}{2}\left(x-\frac{\eps}{\sqrt{1-y}}\right) = -\frac{b}{2}\left(x+s\right)",
     "With the score s = −ε/√(1 − ᾱ): x' = −½b·(x + ∇ln q), the probability-flow ODE.", on="ode.scaled score.noise",
     given={"s": r"-\frac{\eps}{\sqrt{1-y}}"}, eq="score")
line("ode.path", r"\pd{t}{\sqrt{y}a+\sqrt{1-y}\eps} = "
     r"-\frac{b}{2}\left(\sqrt{y}a+\sqrt{1-y}\eps-\frac{\eps}{\sqrt{1-y}}\right)",
     "Along (4) with x₀ = a and a fixed ε, the flow's velocity is the derivative of the path.",
     on="ode.signal ode.noise", rates=RATES)
line("ode.variance", r"\pd{t}{g} = -b(g-1)", "The marginal variance of Gaussian data: the rate "
     "of dx = −½b·x dt + √b dw.", on="forward.data-variance", given={"g": VARIANCE}, rates=RATES, eq="oracle-gaussian")
line("ode.sde-step", r"\Var_{\eps,\z}\left[g\right] = (1-\be)u^2+\be",
     "A step of (2) is one of that SDE: it multiplies the variance by 1 − β and adds β.", on="forward.step-variance",
     given={"g": r"\sqrt{1-\be}\,u\eps+\sqrt{\be}\z"}, eq="2")
line("ode.deviation", r"\pd{t}{\sqrt{g}} = -\frac{b}{2}\left(\sqrt{g}-\frac{\sqrt{g}}{g}\right)",
     "The flow carries Gaussian data along multiples of the standard deviation √v: x' = −½b·(x − x/v).",
     on="ode.variance score.gaussian", given={"g": VARIANCE}, rates=RATES)
line("ode.divergence", r"\pd{x}{f} = -\frac{b}{2}\left(1-\frac{1}{v}\right)",
     "The divergence of the flow f on Gaussian data …", on="ode.score-form score.gaussian",
     given={"f": r"-\frac{b}{2}\left(x-\frac{x-\sqrt{y}m}{v}\right)"})
line("ode.likelihood", r"\pd{t}{-\frac{1}{2}\ln g} = \frac{b}{2}\left(1-\frac{1}{g}\right)",
     "… is minus the rate of ln q along it: the exact likelihood is an integral of divergences.",
     on="ode.divergence ode.variance",
     given={"g": VARIANCE}, rates=RATES)
line("ode.likelihood-total", r"-\frac{1}{2}\ln\frac{g}{\ds^2}-\left(-\frac{1}{2}\ln g\right) = \ln\ds",
     "Integrated from 0 to t, ½ ln(v/s²) is the ratio of the two densities' scales.", on="ode.likelihood",
     given={"g": VARIANCE})
line("ode.continuity", r"\pd{t}{p} = \pd{x}{\frac{b}{2}(x+\pd{x}{\ln p})p}",
     "The flow transports the marginal: the continuity equation, for Gaussian data of variance v with v' = −b(v − 1).",
     on="ode.score-form ode.variance", given={"p": r"\frac{1}{\sqrt{v}}e^{-\frac{x^2}{2v}}"}, rates={"v": "-b(v-1)"})
line("ode.fokker-planck", r"\pd{t}{p} = \pd{x}{\frac{b}{2}xp}+\frac{b}{2}\pd{x}{\pd{x}{p}}",
     "So does the SDE dx = −½b·x dt + √b dw: the same marginals, by the Fokker–Planck equation.",
     on="ode.continuity score.fokker-planck",
     given={"p": r"\frac{1}{\sqrt{v}}e^{-\frac{x^2}{2v}}"}, rates={"v": "-b(v-1)"})
line("ode.reverse-drift", r"-\frac{b}{2}x-bs = -\frac{b}{2}(x+s)-\frac{b}{2}s",
     "The reverse SDE has the drift −½b·x − b·s: the ODE's, and a Langevin term for its noise.",
     on="ode.score-form score.fokker-planck")
