r"""The weights of the bound for predictions of ε, x₀ and v, and those of other losses."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("weights", "The weights of the bound", page="weights")

ERRORS = {r"\epsh": r"\eps+\tau", r"\xh": r"\xo-\sqrt{\frac{1-\ab}{\ab}}\tau", r"\v": r"\sqrt{\ab}\eps-\sqrt{1-\ab}\xo",
          r"\vh": r"\sqrt{\ab}\epsh-\sqrt{1-\ab}\xh"}
SMALL = {r"\sig": r"\sqrt{\bt}"}

line("weights.x0", r"\frac{1}{2\sig^2}\nsq{\mut-(\cz\xh+\ct\xt)} = \frac{\cz^2}{2\sig^2}\nsq{\xo-\xh}",
     "The two means differ by c₀ times the error of x₀.", on="kl.step noise.clipped",
     code="d.bound_weight(s, t, np.full(s.T+1, sigma.item()**2), predicts='x0')*(x_0-x_0_hat)**2", eq="bound-weight")
line("weights.x0-inserted", r"\frac{\cz^2}{2\bt} = \frac{\abp\be^2}{2(1-\ab)^2}\cdot\frac{1-\ab}{(1-\abp)\be}",
     "With σ_t² = β̃_t: insert c₀ and β̃_t.", on="weights.x0 posterior.variance", eq="bound-weight")
line("weights.x0-small", r"\frac{\cz^2}{2\bt} = \frac{\abp\be}{2(1-\ab)(1-\abp)}", "Cancel one 1 − ᾱ_t and one β_t.",
     on="weights.x0-inserted", code="d.bound_weight(s, t, 'small', predicts='x0')", eq="bound-weight")
line("weights.snr-difference", r"\snrp-\snr = \frac{\abp(1-\ab)-\ab(1-\abp)}{(1-\abp)(1-\ab)} = "
     r"\frac{\abp-\ab}{(1-\abp)(1-\ab)}",
     "The fall of the signal-to-noise ratio in a step.", on="forward.snr", eq="bound-weight")
line("weights.x0-snr", r"\frac{\cz^2}{2\bt} = \frac{1}{2}\left(\snrp-\snr\right)",
     "So the bound's weight of ‖x₀ − x̂₀‖² is half of that fall: the question of which weight is right has one answer.",
     on="weights.x0-small weights.snr-difference forward.product", code="d.bound_weight(s, t, 'small', predicts='x0')",
     eq="bound-weight")
line("weights.latent-diffusion", r"\frac{\frac{\sqrt{\ab}}{2(2-\ab)}}{\frac{1}{2}(\snrp-\snr)} = "
     r"\frac{\sqrt{\ab}(1-\ab)(1-\abp)}{\abp\be(2-\ab)}",
     "latent-diffusion's 0.5·√ᾱ/(2·1 − ᾱ), over the right weight: far below 1 at small t, and large where β_t is "
     "small.",
     on="weights.x0-snr")
line("weights.proposed-repair", r"\frac{\frac{\sqrt{\ab}}{2(1-\ab)}}{\frac{1}{2}(\snrp-\snr)} = "
     r"\frac{\sqrt{\ab}(1-\abp)}{\abp\be}",
     "The repair that was proposed, √ᾱ/(2(1 − ᾱ)), over the right weight: it still lacks β_t.",
     on="weights.latent-diffusion")
line("weights.x0-large", r"\frac{\cz^2}{2\be} = \frac{\abp\be}{2(1-\ab)^2}", "The weight for σ_t² = β_t.",
     on="weights.x0",
     code="d.bound_weight(s, t, 'large', predicts='x0')", eq="bound-weight")
line("weights.eps-from-x0", r"\frac{\cz^2}{2\sig^2}\cdot\frac{1-\ab}{\ab} = \frac{\be^2}{2\sig^2\al(1-\ab)}",
     "The weight of the noise's error is that of x₀ over the SNR: (12).", on="weights.x0 noise.x0-error-square",
     code="d.bound_weight(s, t, np.full(s.T+1, sigma.item()**2), predicts='eps')", eq="12")
line("weights.v-error", r"\v-\vh = -\frac{1}{\sqrt{\ab}}\tau", "An error τ of the noise is one of v of τ/√ᾱ_t …",
     on="velocity.definition",
     given=ERRORS, eq="velocity")
line("weights.v-x0", r"\nsq{\v-\vh} = \left(\snr+1\right)\nsq{\xo-\xh}",
     "… so squared errors of v are SNR + 1 times those of x₀.",
     on="weights.v-error", given=ERRORS, eq="min-snr")
line("weights.v-eps", r"\nsq{\v-\vh} = \frac{1}{\ab}\nsq{\eps-\epsh} = \left(1+\frac{1}{\snr}\right)\nsq{\eps-\epsh}",
     "… and 1/ᾱ_t times those of ε.", on="weights.v-error", given=ERRORS, eq="velocity")
line("weights.snr-plus-one", r"\snr+1 = \frac{1}{1-\ab}", "SNR + 1 is the inverse of the noise's variance.",
     on="forward.snr",
     code="1/k.one_minus_alpha_bar", eq="min-snr")
line("weights.v", r"\frac{\cz^2}{2\sig^2}\nsq{\xo-\xh} = \frac{\cz^2(1-\ab)}{2\sig^2}\nsq{\v-\vh}",
     "The bound's weight of an error of v.", on="weights.x0 weights.v-x0 weights.snr-plus-one", given=ERRORS,
     eq="bound-weight")
line("weights.v-small", r"\frac{\cz^2(1-\ab)}{2\bt} = \frac{\abp\be}{2(1-\abp)} = \frac{1}{2}\snrp\be",
     "… with σ_t² = β̃_t: half the SNR at t − 1 times β_t.", on="weights.v weights.x0-small",
     code="d.bound_weight(s, t, 'small', predicts='v')", eq="bound-weight")
line("weights.mean", r"\frac{1}{2\sig^2} = \frac{\cz^2}{2\sig^2}\cdot\frac{1}{\cz^2}",
     "A net that predicts μ̃ has the weight 1/(2σ_t²).",
     on="kl.step", code="1/(2*sigma**2)", eq="prediction")
line("weights.sum", r"\sum_{t=2}^{T}\frac{1}{2}\left(r_{t-1}-r_{t}\right) = \frac{1}{2}\left(r_1-r_T\right)",
     "With one error for all t, the weights of x₀ add up to half the SNR's whole fall: the number of steps drops out.",
     on="weights.x0-snr", eq="5")
line("weights.continuous", r"-\frac{1}{2}\pd{t}{\frac{y}{1-y}} = \frac{by}{2(1-y)^2}",
     "In continuous time, y = ᾱ(t) with y' = −b·y: the weight is −½ SNR'(t), and only the SNR's ends matter to the "
     "total.",
     on="weights.sum", rates={"y": "-by"})
line("weights.min-snr", r"\frac{g}{\snr}\nsq{\eps-\epsh} = g\nsq{\xo-\xh} = \frac{g}{\snr+1}\nsq{\v-\vh}",
     "min-SNR: with g = min(SNR, γ) the three weighted losses are the same number.",
     on="noise.x0-error-square weights.v-x0",
     given=ERRORS, eq="min-snr")
line("weights.min-snr-low", r"\frac{\snr}{\snr} = 1", "Below γ the loss is L_simple …", on="weights.min-snr",
     code="d.min_snr_weight(s, t, x_t, gamma=1e9)", eq="min-snr")
line("weights.min-snr-v", r"\frac{\snr}{\snr+1} = \ab", "… in v its weight is ᾱ_t …", on="weights.min-snr",
     code="d.min_snr_weight(s, t, x_t, gamma=1e9, predicts='v')", eq="min-snr")
line("weights.min-snr-x0", r"\snr = \frac{\ab}{1-\ab}", "… and in x₀ the SNR.", on="weights.min-snr",
     code="d.min_snr_weight(s, t, x_t, gamma=1e9, predicts='x0')", eq="min-snr")
line("weights.p2", r"p\nsq{\eps-\epsh} = p\snr\nsq{\xo-\xh} = \frac{p\snr}{\snr+1}\nsq{\v-\vh}",
     "P2: with p = 1/(k + SNR)^γ in ε, the three weighted losses are the same number …",
     on="noise.x0-error-square weights.v-x0", given=ERRORS, eq="p2")
line("weights.p2-one", r"\frac{1}{1+\snr} = 1-\ab", "… and for k = γ = 1 the weight is the noise's variance.",
     on="weights.p2 weights.snr-plus-one", code="d.p2_weight(s, t, x_t)", eq="p2")
line("weights.edm-target", r"\frac{\left(1-\frac{c^2}{a^2+c^2}\right)^2c^2+\left(\frac{c^2}{a^2+c^2}\right)^2a^2}"
     r"{\frac{a^2c^2}{a^2+c^2}} = 1",
     "EDM: noise of deviation a on data of deviation c. Over c_out², the target x₀ − c_skip·x has variance 1.", on="4",
     eq="edm")
line("weights.score-matching", r"\frac{\be^2}{2\sig^2\al(1-\ab)}(1-\ab) = \frac{\be^2}{2\sig^2\al}",
     "As a loss of the score, ‖ε − ε_θ‖²/(1 − ᾱ_t), the bound's weight is β_t²/(2σ_t²α_t).",
     on="noise.twelve score.matching",
     eq="score-matching")
