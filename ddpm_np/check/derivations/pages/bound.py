r"""The bound from Jensen's inequality to (5): on a latent variable with three values, then on trajectories."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("bound", "The bound, from Jensen to (5)", page="bound")

NORMAL = {"q_3": "1-q_{1}-q_{2}"}  # Σ q = 1
BOTH = {**NORMAL, "p_3": "1-p_{1}-p_{2}"}
EXCESS = {"g": r"u-1-\ln u"}
FIRST = {r"\qf_1": r"\qmi{1}"}  # q(x₁ | x₀) is both a step and a marginal

line("bound.evidence", r"\sum_i p_i = \sum_i q_i\frac{p_i}{q_i}",
     "p(x₀) is the sum of the joint p_i = p(x₀, z_i) over the latent z, here with three values; any q can be put in.",
     eq="3")
line("bound.tangent", r"\pd{u}{g} = \frac{u-1}{u}",
     "The logarithm lies below its tangent at 1: u − 1 − ln u has its only stationary point at u = 1 …",
     given=EXCESS, eq="3")
line("bound.convex", r"\pd{u}{\frac{u-1}{u}} = \frac{1}{u^2} \geq 0", "… which is a minimum, since −ln is convex …",
     on="bound.tangent", eq="3")
line("bound.touch", r"g = 0", "… of value 0 at u = 1.", on="bound.convex", given={**EXCESS, "u": "1"}, eq="3")
line("bound.kl-tangent", r"\sum_i q_i\left(\frac{p_i}{q_i}-1\right) = 0",
     "So KL(q ‖ p) = −Σ q ln(p/q) ≥ −Σ q (p/q − 1), and that is 0 as both add up to 1: KL ≥ 0.", on="bound.touch",
     given=BOTH, eq="kl")
line("bound.gap", r"\sum_i q_i\ln\frac{q_i}{p_i}+\ln\sum_j p_j = \sum_i q_i\ln\frac{q_i}{p_i/\sum_j p_j}",
     "The bound −Σ q ln(p/q) exceeds −ln p(x₀) by KL(q ‖ p(z | x₀)) ≥ 0: Jensen's inequality with its gap.",
     on="bound.kl-tangent bound.evidence", given=NORMAL, eq="3")
line("bound.tight", r"\sum_i q_i\ln\frac{q_i}{p_i} = -\ln\sum_j p_j",
     "The bound is exact where q is the model's posterior.", on="bound.gap",
     given={"q_1": r"p_{1}/(p_{1}+p_{2}+p_{3})", "q_2": r"p_{2}/(p_{1}+p_{2}+p_{3})",
     "q_3": r"p_{3}/(p_{1}+p_{2}+p_{3})"},
     eq="3")
line("bound.two-point", r"\pd{w}{-\ln(wp+(1-w)q)} = -\frac{p-q}{wp+(1-w)q}",
     "Jensen for two points: along the chord …", on="bound.convex", eq="3")
line("bound.two-point-curvature", r"\pd{w}{-\frac{p-q}{wp+(1-w)q}} = \frac{(p-q)^2}{(wp+(1-w)q)^2} \geq 0",
     "… −ln is convex, so it lies below the chord's values.", on="bound.two-point", eq="3")
line("bound.joint-model", r"\ln\left(\pT\prod_{t=1}^T\pr{t}\right) = \ln\pT+\sum_{t=1}^T\ln\pr{t}",
     "The model is a Markov chain from x_T down: its joint density is a product (1).", on="1", eq="joint")
line("bound.joint-forward", r"\ln\prod_{t=1}^T\qf{t} = \sum_{t=1}^T\ln\qf{t}",
     "The forward process is a Markov chain from x₀ up (2).", on="2", eq="joint")
line("bound.path", r"-\ln\frac{\pT\prod_{t=1}^T\pr{t}}{\prod_{t=1}^T\qf{t}} = "
     r"-\ln\pT-\sum_{t=1}^T\ln\frac{\pr{t}}{\qf{t}}",
     "The latent is x_{1:T} and q the forward process: the bound (3) is the mean of this.",
     on="bound.gap bound.joint-model bound.joint-forward", eq="3")
line("bound.five-path", r"-\ln\pT-\sum_{t=1}^T\ln\frac{\pr{t}}{\qf{t}} = \ln\frac{\qmi{T}}{\pT}+"
     r"\sum_{t>1}\ln\frac{\qpost{t}}{\pr{t}}-\ln\pone",
     "On every trajectory (3) is the sum of three kinds of log ratios; appendix A has the steps.",
     on="bound.path", given=FIRST, eq="5")
line("bound.kl-mean", r"\sum_i q_i\ln\frac{q_i}{p_i} = -\sum_i q_i\ln p_i-\left(-\sum_i q_i\ln q_i\right)",
     "The mean of a log ratio under its numerator is a KL divergence: cross entropy minus entropy.",
     on="bound.five-path",
     given=BOTH, eq="5")
line("bound.total", r"L_T+\sum_{t>1}L_{t-1}+L_0 = \sum_{t=0}^{T} L_t",
     "The terms of (5): the prior's L_T, the steps' L_1 … L_{T−1}, the data's L₀.", on="bound.five-path bound.kl-mean",
     eq="5")
line("bound.one-term", r"\sum_{t=1}^{T}\frac{1}{T}\left(L_T+TL_{t-1}\right) = L_T+\sum_{t=1}^{T}L_{t-1}",
     "One term, chosen uniformly and multiplied by T, has the mean of all.", on="bound.total", eq="bound-loss")
line("bound.algorithm-1", r"\pd{\epsh}{(\eps-\epsh)^2} = -2(\eps-\epsh)",
     "A step of Algorithm 1 descends one term's gradient; by the mean over t and ε it is that of the objective.",
     on="bound.one-term", eq="algorithm-1")
line("bound.uniform", r"\sum_{t=1}^{T}\frac{1}{T} = 1", "The probabilities of the steps of Algorithm 1 add up to 1.",
     eq="algorithm-1")
line("bound.importance", r"\sum_i q_i\frac{L_i}{q_i} = \sum_i L_i",
     "Other probabilities than the uniform ones need the weight 1/q_t.", on="bound.one-term", eq="bound-loss")
line("bound.hybrid", r"\pd{u}{\frac{1}{2}\left(u+\kappa e^{-u}\right)} = \frac{1}{2}\left(1-\kappa e^{-u}\right)",
     "L_vlb trains the variance alone: in u = ln σ² a term is ½(u + κe^{−u}) up to a constant, κ the mean squared "
     "distance from μ_θ …", on="5 kl", eq="hybrid")
line("bound.hybrid-minimum", r"1-\kappa e^{-u} = 0", "… so that the best variance is κ.",
     on="bound.hybrid", given={"u": r"\ln\kappa"}, eq="hybrid")
