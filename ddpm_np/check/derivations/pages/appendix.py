r"""Appendix A, (17) to (26): each line holds on every trajectory, with each density a free symbol, for T = 1 to 5."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("appendix", "Appendix A, line by line", page="appendix-a")

FIRST = {r"\qf_1": r"\qmi{1}"}  # q(x₁ | x₀) is both a step and a marginal
RATIO = r"-\ln\frac{\pT\prod_{t=1}^T\pr{t}}{\prod_{t=1}^T\qf{t}}"
SUMS = r"-\ln\pT-\sum_{t=1}^T\ln\frac{\pr{t}}{\qf{t}}"
SPLIT = r"-\ln\pT-\sum_{t>1}\ln\frac{\pr{t}}{\qf{t}}-\ln\frac{\pone}{\qone}"
BAYES = (r"-\ln\pT-\sum_{t>1}\ln\left(\frac{\pr{t}}{\qpost{t}}\cdot\frac{\qmi{t-1}}{\qmi{t}}\right)"
         r"-\ln\frac{\pone}{\qone}")
TELESCOPED = r"-\ln\frac{\pT}{\qmi{T}}-\sum_{t>1}\ln\frac{\pr{t}}{\qpost{t}}-\ln\pone"
MARGINAL = r"-\ln\pT-\sum_{t=1}^T\ln\left(\frac{\pr{t}}{\qrev{t}}\cdot\frac{\qx{t-1}}{\qx{t}}\right)"
MARGINAL_TELESCOPED = r"-\ln\frac{\pT}{\qx{T}}-\sum_{t=1}^T\ln\frac{\pr{t}}{\qrev{t}}-\ln\qx{0}"
STEPS = {"t": (2, 3, 4)}
CONDITIONAL = {"v_1_3": "1-v_{1,1}-v_{1,2}", "v_2_3": "1-v_{2,1}-v_{2,2}", "v_3_3": "1-v_{3,1}-v_{3,2}"}

line("appendix.seventeen", rf"{RATIO} = \ln\prod_{{t=1}}^T\qf{{t}}-\ln\left(\pT\prod_{{t=1}}^T\pr{{t}}\right)",
     "The start: the log ratio of the two joint densities on a trajectory.", on="3 joint", eq="17")
line("appendix.eighteen", rf"{RATIO} = {SUMS}", "The logarithm of a product is a sum; pair the factors of equal t.",
     on="appendix.seventeen", eq="18")
line("appendix.nineteen", rf"{SUMS} = {SPLIT}", "Split off t = 1, where q(x₁ | x₀) needs no Bayes' rule.",
     on="appendix.eighteen", given=FIRST, eq="19")
line("appendix.markov", r"\qf{t}\qmi{t-1} = \qpost{t}\qmi{t}",
     "Both are q(x_{t−1}, x_t | x₀): the step does not look back at x₀, so q(x_t | x_{t−1}, x₀) = q(x_t | x_{t−1}).",
     on="2", sizes=STEPS, eq="20")
line("appendix.bayes", r"\qf{t} = \qpost{t}\frac{\qmi{t}}{\qmi{t-1}}", "Bayes' rule, conditioned on x₀.",
     on="appendix.markov", sizes=STEPS, eq="20")
line("appendix.bayes-ratio", r"\frac{\pr{t}}{\qf{t}} = \frac{\pr{t}}{\qpost{t}}\cdot\frac{\qmi{t-1}}{\qmi{t}}",
     "Insert it into a factor.", on="appendix.bayes", sizes=STEPS, eq="20")
line("appendix.twenty", rf"{SPLIT} = {BAYES}", "… in each factor with t > 1.",
     on="appendix.nineteen appendix.bayes-ratio",
     given=FIRST, eq="20")
line("appendix.telescope-step", r"\ln\frac{\qmi{1}}{\qmi{t-1}}+\ln\frac{\qmi{t-1}}{\qmi{t}} = "
     r"\ln\frac{\qmi{1}}{\qmi{t}}",
     "The general step of the telescoping sum: the new numerator cancels the last denominator.", on="appendix.twenty",
     sizes={"t": (3, 4, 5)}, eq="21")
line("appendix.telescope", r"\sum_{t>1}\ln\frac{\qmi{t-1}}{\qmi{t}} = \ln\frac{\qmi{1}}{\qmi{T}}",
     "So the ratios of marginals leave only the first and the last.", on="appendix.telescope-step", eq="21")
line("appendix.cancel-one", r"-\ln\frac{\qone}{\qmi{T}}-\ln\pT-\ln\frac{\pone}{\qone} = "
     r"-\ln\frac{\pT}{\qmi{T}}-\ln\pone",
     "q(x₁ | x₀) cancels, and q(x_T | x₀) joins the prior.", on="appendix.telescope", eq="21")
line("appendix.twenty-one", rf"{BAYES} = {TELESCOPED}", "Together: (21).", on="appendix.telescope appendix.cancel-one",
     given=FIRST, eq="21")
line("appendix.seventeen-to-twenty-one", rf"{RATIO} = {TELESCOPED}", "The whole way from (17) to (21) at once.",
     on="appendix.twenty-one", given=FIRST, eq="21")
line("appendix.tower", r"\sum_i w_i\sum_j v_{i,j}f_{i,j} = \sum_i\sum_j w_iv_{i,j}f_{i,j}",
     "The mean over a pair of steps is the mean over x_t of the mean over x_{t−1} given x_t …", eq="22")
line("appendix.marginalise", r"\sum_i w_i\sum_j v_{i,j}f_i = \sum_i w_if_i",
     "… and a term that has x_t alone loses the other mean, since probabilities add up to 1.", on="appendix.tower",
     given=CONDITIONAL, eq="22")
line("appendix.twenty-two", r"\sum_i w_i\sum_j v_{i,j}\ln\frac{v_{i,j}}{p_{i,j}} = \sum_i\sum_j w_iv_{i,j}\left(\ln "
     r"v_{i,j}-\ln p_{i,j}\right)",
     "The inner mean of ln q/p under q is a KL divergence: (21) becomes (22), which is (5).",
     on="appendix.twenty-one appendix.tower appendix.marginalise", eq="22")
line("appendix.twenty-two-signs", r"-\ln\frac{\pT}{\qmi{T}}-\sum_{t>1}\ln\frac{\pr{t}}{\qpost{t}} = "
     r"\ln\frac{\qmi{T}}{\pT}+"
     r"\sum_{t>1}\ln\frac{\qpost{t}}{\pr{t}}", "A minus turns the ratios over, as KL divergences have them.",
     on="appendix.twenty-one", eq="22")
line("appendix.twenty-three", rf"{RATIO} = {SUMS}", "The second derivation starts from the same (18) …",
     on="appendix.eighteen", eq="23")
line("appendix.bayes-marginal", r"\qf{t} = \qrev{t}\frac{\qx{t}}{\qx{t-1}}",
     "… with Bayes' rule not conditioned on x₀: q(x_{t−1} | x_t) is the exact reverse step.", on="2", sizes=STEPS,
     eq="24")
line("appendix.twenty-four", rf"{SUMS} = {MARGINAL}", "Insert it into every factor, t = 1 too.",
     on="appendix.twenty-three appendix.bayes-marginal", eq="24")
line("appendix.telescope-marginal", r"\sum_{t=1}^T\ln\frac{\qx{t-1}}{\qx{t}} = \ln\frac{\qx{0}}{\qx{T}}",
     "The marginals telescope down to the data's density.", on="appendix.twenty-four", eq="25")
line("appendix.twenty-five", rf"{MARGINAL} = {MARGINAL_TELESCOPED}", "(25).", on="appendix.telescope-marginal", eq="25")
line("appendix.entropy", r"-\sum_i q_i\ln q_i = \sum_i q_i\ln\frac{1}{q_i}",
     "The mean of −ln q(x₀) over the data is their entropy H(x₀), which no model changes.", eq="26")
line("appendix.twenty-six", r"-\ln\frac{\pT}{\qx{T}}-\sum_{t=1}^T\ln\frac{\pr{t}}{\qrev{t}}-\ln\qx{0} = "
     r"\ln\frac{\qx{T}}{\pT}+"
     r"\sum_{t=1}^T\ln\frac{\qrev{t}}{\pr{t}}+\ln\frac{1}{\qx{0}}",
     "The means are two kinds of KL divergences and an entropy: (26), which is (16).",
     on="appendix.twenty-five appendix.entropy appendix.tower", eq="26")
line("appendix.difference", r"\ln\frac{\qpost{t}}{\qrev{t}} = \ln\frac{\qmi{t-1}}{\qx{t-1}}-\ln\frac{\qmi{t}}{\qx{t}}",
     "What a step of (5) costs more than one of (16): the information on x₀ that x_{t−1} has and x_t lacks.",
     on="appendix.bayes appendix.bayes-marginal", sizes=STEPS, eq="16")
line("appendix.difference-sum", r"\sum_{t>1}\ln\frac{\qpost{t}}{\qrev{t}}+\ln\frac{\qmi{T}}{\qx{T}} = "
     r"\ln\frac{\qmi{1}}{\qx{1}}",
     "All of them, with the prior's, add up to the information in x₁.", on="appendix.difference", eq="16")
