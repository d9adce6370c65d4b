r"""Schedules: linear, cosine, harmonic, learned; zero terminal SNR; the embedding of t."""

from ddpm_np.check.derivations.relation import derivation, line

derivation("schedules", "Schedules", page="cosine")

COSINE = {"u": r"\cos^2\phi"}
RESCALED = {"b_1": r"(r_{1}-r_{3})\frac{r_{1}}{r_{1}-r_{3}}", "b_2": r"(r_{2}-r_{3})\frac{r_{1}}{r_{1}-r_{3}}",
            "b_3": r"(r_{3}-r_{3})\frac{r_{1}}{r_{1}-r_{3}}"}

line("schedules.linear", r"\left(p+\frac{t}{n}(q-p)\right)-\left(p+\frac{t-1}{n}(q-p)\right) = \frac{q-p}{n}",
     "The linear schedule rises in equal steps, n = T − 1 of them from p = β₁ to q = β_T.", eq="linear-schedule")
line("schedules.linear-end", r"g = q", "… and ends at β_T.", on="schedules.linear",
     given={"g": r"p+\frac{t}{n}(q-p)", "t": "n"}, eq="linear-schedule")
line("schedules.quadratic", r"\left(\sqrt{p}+w(\sqrt{q}-\sqrt{p})\right)^2 = (1-w)^2p+2w(1-w)\sqrt{pq}+w^2q",
     "The quadratic schedule has √β in equal steps.", eq="named-schedules")
line("schedules.sigmoid", r"p+\frac{q-p}{1+e^{-x}}+p+\frac{q-p}{1+e^{x}} = p+q",
     "The sigmoid schedule is symmetric about the middle: opposite steps add up to β₁ + β_T.", eq="named-schedules")
line("schedules.harmonic", r"1-\frac{1}{n+1} = \frac{n}{n+1}",
     "The harmonic schedule has β = 1/(n + 1) with n steps to go …", eq="named-schedules")
line("schedules.harmonic-product", r"\prod_{i=1}^{j}\frac{T-i}{T-i+1} = \frac{T-j}{T}",
     "… so ᾱ_t falls in equal steps: the product telescopes, here to the j-th of T.", on="schedules.harmonic",
     sizes={"j": (1, 2, 3, 4)}, eq="named-schedules")
line("schedules.sine", r"1-u = \sin^2\phi", "The cosine schedule is an angle: ᾱ = cos²φ, so 1 − ᾱ = sin²φ …",
     given=COSINE, eq="cosine-schedule")
line("schedules.snr", r"\frac{u}{1-u} = \frac{1}{\tan^2\phi}", "… and the SNR is cot²φ.", on="schedules.sine",
     given=COSINE, eq="cosine-schedule")
line("schedules.log-snr", r"\ln\frac{u}{1-u} = -2\ln\tan\phi", "Its logarithm.", on="schedules.snr", given=COSINE,
     eq="cosine-schedule")
line("schedules.cosine-beta", r"1-\frac{\cos^2(\phi+\delta)}{\cos^2\phi} = "
     r"1-\left(\cos\delta-\sin\delta\tan\phi\right)^2",
     "β_t of an angle that grows by δ: it grows with tan φ, and near φ = π/2 the clip at 0.999 is needed.",
     on="schedules.sine", eq="cosine-schedule")
line("schedules.cosine-rate", r"\pd{\phi}{\ln u} = -2\tan\phi",
     "In continuous time the rate of ln ᾱ is −2 tan φ: small at first, so the "
     "first steps remove little.", on="schedules.sine", given=COSINE, eq="cosine-schedule")
line("schedules.cosine-slope", r"\pd{\phi}{u} = -\sin(\phi+\phi)",
     "ᾱ falls like a sine of twice the angle: fastest in the middle.",
     on="schedules.sine", given=COSINE, eq="cosine-schedule")
line("schedules.offset", r"\frac{\cos^2\phi}{\cos^2\psi}\cdot\cos^2\psi = \cos^2\phi",
     "f(0) = cos²ψ is not 1 because of the offset s; dividing by it makes ᾱ₀ = 1.", on="schedules.sine",
     eq="cosine-schedule")
line("schedules.learned", r"\pd{w_{k}}{\prod_i\left(1-\frac{1}{1+e^{-w_i}}\right)} = "
     r"-\frac{1}{1+e^{-w_k}}\prod_i\left(1-\frac{1}{1+e^{-w_i}}\right)",
     "A learned schedule β = σ(w): the derivative of ᾱ_T by one w_t is −β_t·ᾱ_T.", on="forward.product-out",
     eq="learned-schedule")
line("schedules.learned-log", r"\pd{w}{\ln\left(1-\frac{1}{1+e^{-w}}\right)} = -\frac{1}{1+e^{-w}}",
     "In logarithms: each step adds its own −β_t.",
     on="schedules.learned", eq="learned-schedule")
line("schedules.learned-prior", r"\pd{y}{\frac{1}{2}\left(y\xo^2-y-\ln(1-y)\right)} = "
     r"\frac{1}{2}\left(\xo^2+\frac{y}{1-y}\right)",
     "… times the slope of L_T in ᾱ_T = y.", on="schedules.learned kl.prior", eq="learned-schedule")
line("schedules.rescale-end", r"b_3 = 0", "Zero terminal SNR: shift √ᾱ_t = r_t by the last and stretch, here for T = "
     "3: the last is 0 …",
     given=RESCALED)
line("schedules.rescale-start", r"b_1 = r_1", "… the first stays …", given=RESCALED)
line("schedules.rescale-order", r"b_1-b_2 = \frac{r_1(r_1-r_2)}{r_1-r_3}", "… and the order is kept.",
     on="schedules.rescale-end",
     given=RESCALED)
line("schedules.rescale-beta", r"1-\frac{b_2^2}{b_1^2} = 1-\left(\frac{r_2-r_3}{r_1-r_3}\right)^2",
     "The new β_t from the new ᾱ; β_T is 1.",
     on="schedules.rescale-order forward.step-ratio", given=RESCALED, eq="zero-terminal-snr")
line("schedules.zero-snr-v", r"\v = -\xo", "At ᾱ_T = 0, x_T is pure noise and v is −x₀: a net that predicts v can "
     "still be trained there …",
     on="velocity.definition", given={r"\v": r"\sqrt{\ab}\eps-\sqrt{1-\ab}\xo", r"\ab": "0"}, eq="velocity")
line("schedules.zero-snr-eps", r"\xt = \eps", "… while ε is the input itself and tells nothing of x₀.",
     on="schedules.zero-snr-v",
     given={r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps", r"\ab": "0"}, eq="eps")
line("schedules.zero-snr-prior", r"L = 0", "The prior's term L_T is then exactly 0.", on="kl.prior",
     given={"L": r"\frac{1}{2}\left(\ab\xo^2-\ab-\ln(1-\ab)\right)", r"\ab": "0"}, eq="L_T")
line("schedules.offset-mean", r"\E_{\xo,\eps}[\xt] = \sqrt{\ab}\dm",
     "With ᾱ_T > 0 the last image keeps √ᾱ_T of the data's mean brightness, which sampling from N(0, 1) does not give "
     "it.",
     on="forward.data-mean", given={r"\xt": r"\sqrt{\ab}\xo+\sqrt{1-\ab}\eps"})
line("schedules.embedding-norm", r"\sin^2(\omega t)+\cos^2(\omega t) = 1",
     "Each pair of the embedding lies on a circle …", eq="time-embedding")
line("schedules.embedding-shift", r"\sin(\omega t+\omega k) = \sin(\omega t)\cos(\omega k)+\cos(\omega t)\sin(\omega "
     r"k)",
     "… and a shift of t turns it by the angle ωk: linear in the pair.", on="schedules.embedding-norm",
     eq="time-embedding")
line("schedules.embedding-product", r"\sin(\omega t)\sin(\omega k)+\cos(\omega t)\cos(\omega k) = \cos(\omega "
     r"t-\omega k)",
     "The inner product of two embeddings depends on the difference of the times alone.", on="schedules.embedding-norm",
     eq="time-embedding")
line("schedules.embedding-frequencies", r"\frac{e^{-(j+1)\lambda}}{e^{-j\lambda}} = e^{-\lambda}",
     "The frequencies e^{−jλ} = 10000^{−j/n}, λ = ln 10000/n, fall by one factor.", eq="time-embedding")
