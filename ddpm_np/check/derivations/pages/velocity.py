r"""v-prediction: (x_t, v) is (x₀, ε) rotated."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("velocity", "v-prediction", page="velocity")

PAIR = {r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps", r"\v": r"\sqrt{\ab}\eps-\sqrt{1-\ab}\xo"}
TURNED = {r"\xt": r"\cos\phi\,\xo+\sin\phi\,\eps", r"\v": r"\cos\phi\,\eps-\sin\phi\,\xo"}
MODEL = {r"\xh": r"\sqrt{\ab}\xt-\sqrt{1-\ab}\vh", r"\epsh": r"\sqrt{\ab}\vh+\sqrt{1-\ab}\xt"}

line("velocity.definition", r"\v = \sqrt{\ab}\eps-\sqrt{1-\ab}\xo", "v points from the data to the noise.", given=PAIR,
     code="d.velocity(s, x_0, t, eps)", eq="velocity")
line("velocity.target", r"\v = \frac{\sqrt{\ab}\xt-\xo}{\sqrt{1-\ab}}", "In terms of x_t and x₀.",
     on="velocity.definition", given=PAIR,
     code="d.target(s, x_0, x_t, t, eps, 'v')", eq="prediction")
line("velocity.x0-expand", r"\sqrt{\ab}\xt-\sqrt{1-\ab}\v = "
     r"\left(\left(\sqrt{\ab}\right)^2+\left(\sqrt{1-\ab}\right)^2\right)\xo",
     "ε cancels, and the squares add up to 1 …",
     on="velocity.definition", given=PAIR, eq="velocity")
line("velocity.x0", r"\sqrt{\ab}\xt-\sqrt{1-\ab}\v = \xo", "… x₀ back.", on="velocity.x0-expand", given=PAIR,
     code="d.x0_from_velocity(s, x_t, t, d.velocity(s, x_0, t, eps))", eq="velocity")
line("velocity.eps", r"\sqrt{\ab}\v+\sqrt{1-\ab}\xt = \eps", "ε back.", on="velocity.definition", given=PAIR,
     code="d.eps_from_velocity(s, x_t, t, d.velocity(s, x_0, t, eps))", eq="velocity")
line("velocity.norm", r"\nsq{\xt}+\nsq{\v} = \nsq{\xo}+\nsq{\eps}", "A rotation keeps lengths …",
     on="velocity.definition", given=PAIR, eq="velocity")
line("velocity.determinant", r"\sqrt{\ab}\sqrt{\ab}-\sqrt{1-\ab}\left(-\sqrt{1-\ab}\right) = 1",
     "… and its determinant is 1 …", on="velocity.definition", eq="velocity")
line("velocity.orthogonal", r"\Var_{\eps,z}[\xt+\v] = 2", "… so for data of variance 1 (x₀ a z here) x_t and v are "
     "uncorrelated, as x₀ and ε are: v is equally "
     "well scaled at every t (the variance of their sum is 1 + 1).", on="velocity.norm", given={r"\xo": "z", **PAIR},
     eq="velocity")
line("velocity.unit", r"\Var_{\eps,z}[\v] = 1", "v has variance 1 at every t.", on="velocity.orthogonal",
     given={r"\xo": "z", **PAIR}, eq="velocity")
line("velocity.derivative", r"\pd{\phi}{\xt} = \v", "With √ᾱ = cos φ, v is the velocity dx_t/dφ: hence its name.",
     on="velocity.definition", given=TURNED, eq="velocity")
line("velocity.acceleration", r"\pd{\phi}{\v} = -\xt", "… and the path is a circle.", on="velocity.derivative",
     given=TURNED, eq="velocity")
line("velocity.consistent", r"\sqrt{\ab}\xh+\sqrt{1-\ab}\epsh = \xt", "x̂₀ and ε̂ of a predicted v always fit x_t.",
     on="velocity.x0 velocity.eps",
     given=MODEL, code="d.q_sample(s, d.x0_from_velocity(s, x_t, t, v_theta), t, d.eps_from_velocity(s, x_t, t, "
     "v_theta))", eq="velocity")
line("velocity.x0-of-model", r"\xh = \sqrt{\ab}\xt-\sqrt{1-\ab}\vh",
     "x̂₀ needs no division, so it exists where ᾱ_t = 0.", given=MODEL,
     code="d.x0_from_velocity(s, x_t, t, v_theta)", eq="velocity")
line("velocity.mean", r"\cz\xh+\ct\xt = \sqrt{\al}\xt-\frac{\sqrt{\abp}\be}{\sqrt{1-\ab}}\vh",
     "The mean of a step from v: no division by √α_t either.",
     on="posterior.mean velocity.x0-of-model", given=MODEL,
     code="d.posterior_mean(s, d.x0_from_velocity(s, x_t, t, v_theta), x_t, t)", eq="11")
line("velocity.ddim", r"\cos\psi\left(\cos\phi\,x-\sin\phi\,v\right)+\sin\psi\left(\cos\phi\,v+\sin\phi\,x\right) = "
     r"\cos(\phi-\psi)x-\sin(\phi-\psi)v",
     "A DDIM step at η = 0 turns (x_t, v) by the angle φ_t − φ_s.", on="ddim-12 velocity.consistent", eq="ddim-12")
line("velocity.score", r"-\frac{\sqrt{\ab}\vh+\sqrt{1-\ab}\xt}{\sqrt{1-\ab}} = -\xt-\sqrt{\frac{\ab}{1-\ab}}\vh",
     "The score of a predicted v.", on="velocity.eps score.noise",
     code="d.score_from_eps(s, x_t, t, d.eps_from_velocity(s, x_t, t, v_theta))", eq="score")
