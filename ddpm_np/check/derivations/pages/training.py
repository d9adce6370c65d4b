r"""Adam and its bias correction, EMA, gradient clipping, and the vjps of the ops."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("adam", "Adam, bias correction and EMA", page="adam")

SIZES = {"k": (1, 2, 3, 4)}
NOISY = {f"g_{i}": rf"\mu+\nu z_{{{i}}}" for i in (1, 2, 3)}
FIRST = {"m": r"\frac{(1-a)g}{1-a}", "u": r"\frac{(1-b)g^2}{1-b}"}

line("adam.unrolled", r"a\left((1-a)\sum_{i=1}^{k}a^{k-i}g_{i}\right)+(1-a)g_{k+1} = "
     r"(1-a)\sum_{i=1}^{k+1}a^{k+1-i}g_{i}",
     "The moving average with decay a, written out: gradients weigh less the older they are.", sizes=SIZES)
line("adam.weights", r"(1-a)\sum_{i=1}^{k}a^{k-i} = 1-a^{k}", "The weights add up to 1 − aᵏ: a geometric sum …",
     on="adam.unrolled", sizes=SIZES)
line("adam.constant", r"\frac{(1-a)\sum_{i=1}^{k}a^{k-i}g}{1-a^{k}} = g",
     "… so dividing by it makes the average of a constant gradient that gradient: "
     "the bias correction.", on="adam.weights", sizes=SIZES)
line("adam.mean", r"\E_{z_i}\left[\frac{(1-a)\sum_{i=1}^{3}a^{3-i}g_i}{1-a^3}\right] = \mu",
     "Of random gradients of one mean μ the corrected average is unbiased.", on="adam.weights", given=NOISY)
line("adam.variance", r"\Var_{z_i}\left[(1-a)\sum_{i=1}^{3}a^{3-i}g_i\right] = (1-a)^2\nu^2\sum_{i=1}^{3}(a^{3-i})^2",
     "Its variance is that of a sum of squares of the weights: averaging pays.", on="adam.mean", given=NOISY)
line("adam.variance-limit", r"\frac{(1-a)^2}{1-a^2} = \frac{1-a}{1+a}",
     "In the long run the average has (1 − a)/(1 + a) of a gradient's variance.", on="adam.variance")
line("adam.first", r"\frac{m}{\sqrt{u}} = 1", "The first step has m̂/√v̂ = ±1: its length is the learning rate, "
     "whatever the gradient's.", on="adam.constant",
     given=FIRST)
line("adam.scale", r"\frac{cm}{\sqrt{c^2u}} = \frac{m}{\sqrt{u}}", "Scaling all gradients changes nothing (but for ε).",
     on="adam.first")
line("adam.step", r"y-\eta\frac{g}{\sqrt{g^2}+\zeta} = y-\frac{\eta g}{g+\zeta}",
     "The first update with Adam's ε = ζ, for g > 0.", on="adam.first",
     code="adam_step(y, g, 0*g, 0*g, 1, eta.item(), eps=zeta.item())[0]")
line("adam.second-moment", r"\E_{\z}\left[g^2\right] = \mu^2+\nu^2",
     "v estimates the mean square, not the variance: noise shortens the steps.",
     on="adam.mean", given={"g": r"\mu+\nu\z"})
line("adam.ema-unrolled", r"dy+(1-d)w = y+(1-d)(w-y)", "An EMA of weights moves by a share 1 − d of the distance: the "
     "form that is computed.")
line("adam.ema-weights", r"d^{k}+(1-d)\sum_{i=1}^{k}d^{k-i} = 1",
     "The initial weights keep the share dᵏ, so no correction is needed: all shares add up to 1.",
     on="adam.ema-unrolled adam.weights", sizes=SIZES)
line("adam.ema-age", r"\pd{d}{\frac{1}{1-d}} = \frac{1}{(1-d)^2}",
     "The mean age of the averaged weights is d·Σ i·dⁱ⁻¹·(1 − d) = d/(1 − d) updates, from this derivative "
     "of the geometric series.", on="adam.ema-weights")
line("adam.ema-half", r"e^{-\frac{\ln 2}{\ln d}\ln d} = \frac{1}{2}",
     "After ln 2/ln(1/d) updates half of a weight's share is left.", on="adam.ema-weights")
line("adam.clip", r"\sqrt{\sum_i\left(\frac{c}{u}g_i\right)^2} = c",
     "A gradient of norm u that is clipped to the norm c keeps its direction.",
     given={"u": r"\sqrt{\sum_ig_i^2}"})
line("adam.decoupled", r"(1-\eta\lambda)y-\eta g = y-\eta(g+\lambda y)",
     "For plain gradient descent weight decay and an L2 term agree; Adam's division tells them apart.")

derivation("vjp", "The ops and their vjps", page="autograd")

SOFTMAX = {"p_1": r"\frac{e^{x_{1}}}{\sum_je^{x_j}}", "p_2": r"\frac{e^{x_{2}}}{\sum_je^{x_j}}",
        "p_3": r"\frac{e^{x_{3}}}{\sum_je^{x_j}}"}
CONV = {f"y_{i}": rf"w_{{1}}x_{{{i}}}+w_{{2}}x_{{{i + 1}}}+w_{{3}}x_{{{i + 2}}}" for i in (1, 2)}
NORM = {"m": r"\frac{1}{3}\sum_ix_i", "v": r"\frac{1}{3}\sum_i(x_i-m)^2",
        **{f"y_{i}": rf"\frac{{x_{{{i}}}-m}}{{\sqrt{{v+\zeta}}}}" for i in (1, 2, 3)}}
SIGMOID = {"u": r"\frac{1}{1+e^{-x}}"}
TANH = {"u": r"\frac{e^{x}-e^{-x}}{e^{x}+e^{-x}}"}

line("vjp.multiply", r"\pd{a}{gab} = gb", "A vjp multiplies the gradient g of the result by the derivative: of a "
     "product the other factor.",
     code="vjp(ops.multiply, 0, g, a, b)")
line("vjp.divide", r"\pd{b}{g\frac{a}{b}} = -\frac{ga}{b^2}", "Of a quotient by its denominator.",
     code="vjp(ops.divide, 1, g, a, b)")
line("vjp.exp", r"\pd{x}{ge^{x}} = ge^{x}", "exp keeps its result.", code="vjp(ops.exp, 0, g, x)")
line("vjp.log", r"\pd{x}{g\ln x} = \frac{g}{x}", "ln keeps its argument.", code="vjp(ops.log, 0, g, x)")
line("vjp.sqrt", r"\pd{x}{g\sqrt{x}} = \frac{g}{2\sqrt{x}}", "√ keeps its result.", code="vjp(ops.sqrt, 0, g, x)")
line("vjp.square", r"\pd{x}{gx^2} = 2gx", "The square.", code="vjp(ops.square, 0, g, x)")
line("vjp.sin", r"\pd{x}{g\sin x} = g\cos x", "The sine.", code="vjp(ops.sin, 0, g, x)")
line("vjp.cos", r"\pd{x}{g\cos x} = -g\sin x", "The cosine.", code="vjp(ops.cos, 0, g, x)")
line("vjp.sigmoid", r"\pd{x}{gu} = gu(1-u)", "The sigmoid u: its derivative needs its result alone.", given=SIGMOID,
     code="vjp(ops.sigmoid, 0, g, x)")
line("vjp.tanh", r"\pd{x}{gu} = g(1-u^2)", "So does tanh's.", given=TANH, code="vjp(ops.tanh, 0, g, x)")
line("vjp.silu", r"\pd{x}{gxu} = gu\left(1+x(1-u)\right)", "SiLU is x·σ(x): the product rule.", on="vjp.sigmoid",
     given=SIGMOID, code="vjp(ops.silu, 0, g, x)")
line("vjp.tanh-sigmoid", r"u = \frac{2}{1+e^{-2x}}-1", "tanh is a sigmoid of twice the argument.", given=TANH)
line("vjp.log-ndtr", r"\pd{x}{g\ln\Phi(x)} = \frac{g}{\Phi(x)}\cdot\frac{1}{\sqrt{2\pi}}e^{-\frac{x^2}{2}}",
     "ln Φ of the decoder.", on="decoder.slope",
     code="vjp(ops.log_ndtr, 0, g, x)")
line("vjp.chain", r"\pd{x}{g\ln\left(1+e^{ax}\right)} = g\cdot\frac{1}{1+e^{ax}}\cdot e^{ax}\cdot a",
     "The tape multiplies derivatives from the end to the beginning.",
     on="vjp.exp vjp.log")
line("vjp.fan-out", r"\pd{x}{f+bx^2} = \pd{x}{f}+2bx", "A value that is used twice gets the sum of its gradients.",
     on="vjp.chain", given={"f": r"\ln(ax+1)"})
line("vjp.sum", r"\pd{x_{k}}{g\sum_ix_i} = g", "A sum spreads its gradient.", code="vjp(ops.sum_, 0, g[0, 0], x)")
line("vjp.mean", r"\pd{x_{k}}{\frac{g}{3}\sum_ix_i} = \frac{g}{3}", "A mean divides it.", on="vjp.sum",
     code="vjp(ops.mean, 0, g[0, 0], x)")
line("vjp.broadcast", r"\pd{a}{\sum_ig_iy_i} = \sum_ig_i", "What was broadcast gets the sum over the copies: "
     "broadcasting and summing are adjoint.", on="vjp.sum",
     given={f"y_{i}": rf"a+x_{{{i}}}" for i in (1, 2, 3)})
line("vjp.matmul-left", r"\pd{a_{k,l}}{\sum_i\sum_jg_{i,j}\sum_{m=1}^{3}a_{i,m}b_{m,j}} = \sum_jg_{k,j}b_{l,j}",
     "Y = AB: the gradient of A is GBᵀ.", code="vjp(ops.matmul, 0, g, a, b)[k-1, l-1]")
line("vjp.matmul-right", r"\pd{b_{k,l}}{\sum_i\sum_jg_{i,j}\sum_{m=1}^{3}a_{i,m}b_{m,j}} = \sum_ia_{i,k}g_{i,l}",
     "… and that of B is AᵀG.", code="vjp(ops.matmul, 1, g, a, b)[k-1, l-1]")
line("vjp.linear-bias", r"\pd{b_{k}}{\sum_i\sum_jg_{i,j}y_{i,j}} = \sum_ig_{i,k}", "A bias gets the sum over the rows.",
     on="vjp.broadcast",
     given={f"y_{i}_{j}": rf"a_{{{i},{j}}}+b_{{{j}}}" for i in (1, 2, 3) for j in (1, 2, 3)})
line("vjp.softmax-slope", r"\pd{x_{k}}{p_i} = p_i(\kron{i}{k}-p_k)",
     "The softmax's derivatives: p_i = e^{x_i}/Σ e^{x_j}.", given=SOFTMAX)
line("vjp.softmax", r"\pd{x_{k}}{\sum_ig_ip_i} = p_k\left(g_k-\sum_ig_ip_i\right)",
     "Summed over i with the gradients: its vjp.", on="vjp.softmax-slope",
     given=SOFTMAX, code="vjp(ops.softmax, 0, g, x)[k-1]")
line("vjp.softmax-shift", r"\frac{e^{x_i-c}}{\sum_je^{x_j-c}} = p_i",
     "A common shift cancels, so the largest x is subtracted first: no overflow.", given=SOFTMAX,
     code="ops.softmax.define(x)[0][i-1]")
line("vjp.softmax-sum", r"\sum_kp_k\left(g_k-\sum_ig_ip_i\right) = 0", "Its gradient sums to 0: a shift has no effect.",
     on="vjp.softmax", given=SOFTMAX)
line("vjp.cross-entropy", r"\pd{x_{k}}{-\ln p_i} = p_k-\kron{i}{k}", "The classifier's loss: probability less label.",
     on="vjp.softmax-slope", given=SOFTMAX)
line("vjp.attention-scale", r"\Var_{z_i}\left[\sum_iq_iz_i\right] = \sum_iq_i^2",
     "A score of attention is an inner product of D terms; for unit entries its variance is D, "
     "hence the 1/√D.", on="vjp.matmul-left")
line("vjp.attention-value", r"\pd{v_{k}}{g\sum_ip_iv_i} = gp_k", "Attention's values get their share of the gradient …",
     on="vjp.matmul-right")
line("vjp.attention-query", r"\pd{q}{\sum_ig_ip_i} = \sum_kp_k\left(g_k-\sum_ig_ip_i\right)k_{k}",
     "… and a query the softmax's gradient times the keys.", on="vjp.softmax",
     given={f"p_{i}": rf"\frac{{e^{{qk_{{{i}}}}}}}{{\sum_je^{{qk_j}}}}" for i in (1, 2, 3)})
line("vjp.norm-mean", r"\sum_iy_i = 0", "Normalised values have mean 0 …", given=NORM)
line("vjp.norm-square", r"\frac{1}{3}\sum_iy_i^2 = \frac{v}{v+\zeta}",
     "… and mean square 1, but for the ε of GroupNorm inside the root, here ζ.", given=NORM)
line("vjp.norm", r"\pd{x_{k}}{\sum_ig_iy_i} = "
     r"\frac{1}{\sqrt{v+\zeta}}\left(g_k-\frac{1}{3}\sum_ig_i-y_k\cdot\frac{1}{3}\sum_ig_iy_i\right)",
     "GroupNorm's vjp takes out the two directions that change mean and variance.", on="vjp.norm-mean vjp.norm-square",
     given=NORM,
     code="vjp(ops.group_norm, 0, g.reshape(1, 1, 1, 3), x.reshape(1, 1, 1, 3), np.ones(3), np.zeros(3), groups=1, "
     "eps=zeta.item()).ravel()[k-1]")
line("vjp.norm-scale", r"\pd{a}{\sum_ig_if_i} = \sum_ig_iy_i",
     "Its scale gets the gradient times the normalised values.", on="vjp.norm",
     given={f"f_{i}": rf"ay_{{{i}}}+b" for i in (1, 2, 3)})
line("vjp.norm-variance", r"\frac{1}{3}\sum_i(x_i-m)^2 = \frac{1}{3}\sum_ix_i^2-m^2",
     "The variance in one pass: equal, but it cancels in floating point, so the code centres first.",
     given={"m": NORM["m"]})
line("vjp.conv", r"\pd{w_{2}}{\sum_{i=1}^{2}g_iy_i} = g_1x_2+g_2x_3",
     "A convolution in one dimension: the kernel's gradient correlates input and gradient …", on="vjp.fan-out",
     given=CONV)
line("vjp.conv-input", r"\pd{x_{2}}{\sum_{i=1}^{2}g_iy_i} = g_1w_2+g_2w_1",
     "… and the input's convolves the gradient with the kernel turned round: the adjoint.", on="vjp.conv", given=CONV)
line("vjp.adjoint", r"\sum_i\left(\sum_ja_{i,j}x_j\right)g_i = \sum_jx_j\left(\sum_ia_{i,j}g_i\right)",
     "What adjoint means: ⟨Ax, g⟩ = ⟨x, Aᵀg⟩, for every linear op.",
     on="vjp.matmul-right")
line("vjp.upsample", r"\pd{x}{g_{1}x+g_{2}x+g_{3}x} = g_1+g_2+g_3",
     "Nearest upsampling copies a pixel; its gradient is the sum over the copies.", on="vjp.fan-out")
line("vjp.dropout", r"w\cdot\frac{x}{w} = x",
     "Dropout keeps a value with the probability w and then divides it by w, else it is 0: the mean stays.")
line("vjp.complex-step", r"\frac{a(x+z)^2-a(x-z)^2}{2z} = 2ax",
     "Central differences are exact on quadratics, and otherwise have an error of second order; the complex step has "
     "no cancellation at all.")
