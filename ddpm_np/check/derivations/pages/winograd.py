r"""Winograd's F(2, 3) by hand, Toom–Cook at any points, F(4, 3) at the package's; two dimensions, the gradient."""

from __future__ import annotations

from fractions import Fraction
from math import prod

from ddpm_np.check.derivations.relation import derivation, line

derivation("winograd", "Winograd's algorithm", page="winograd")

B = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
G = (("1", "0", "0"), (r"\frac{1}{2}", r"\frac{1}{2}", r"\frac{1}{2}"), (r"\frac{1}{2}", r"-\frac{1}{2}",
        r"\frac{1}{2}"), ("0", "0", "1"))
A = ((1, 1, 1, 0), (0, 1, -1, -1))
MATRICES = {**{f"B_{i + 1}_{j + 1}": str(B[i][j]) for i in range(4) for j in range(4)},
            **{f"G_{i + 1}_{j + 1}": G[i][j] for i in range(4) for j in range(3)},
            **{f"A_{i + 1}_{j + 1}": str(A[i][j]) for i in range(2) for j in range(4)}}
PLACES = (r"\sum_{k=1}^{4}\sum_{m=1}^{4}A_{ROW,k}A_{COLUMN,m}\left(\sum_{l=1}^{3}\sum_{n"
          r"=1}^{3}G_{k,l}w_{l,n}G_{m,n}\right)"
          r"\left(\sum_{l=1}^{4}\sum_{n=1}^{4}B_{k,l}d_{l,n}B_{m,n}\right)")
PARTS = {"m_1": r"(d_{1}-d_{3})g_{1}", "m_2": r"(d_{2}+d_{3})\frac{g_{1}+g_{2}+g_{3}}{2}",
         "m_3": r"(d_{3}-d_{2})\frac{g_{1}-g_{2}+g_{3}}{2}", "m_4": r"(d_{2}-d_{4})g_{3}"}

line("winograd.middle", r"(d_{2}+d_{3})\frac{g_{1}+g_{2}+g_{3}}{2}+(d_{3}-d_{2})\frac{g_{1}-g_{2}+g_{3}}{2} = "
     r"d_2g_2+d_3(g_1+g_3)",
     "Two products that share their middle terms: the sum …")
line("winograd.middle-difference", r"(d_{2}+d_{3})\frac{g_{1}+g_{2}+g_{3}}{2}-(d_{3}-d_{2})\frac{g_{1}-g_{2}"
     r"+g_{3}}{2} = d_2(g_1+g_3)+d_3g_2",
     "… and the difference.")
line("winograd.first", r"m_1+m_2+m_3 = d_1g_1+d_2g_2+d_3g_3", "F(2, 3): four products give the first …",
     on="winograd.middle", given=PARTS)
line("winograd.second", r"m_2-m_3-m_4 = d_2g_1+d_3g_2+d_4g_3",
     "… and the second output of a kernel of three: four instead of six.", on="winograd.middle-difference",
     given=PARTS)
line("winograd.matrices", r"\sum_{k=1}^{4}A_{i,k}\left(\sum_{l=1}^{3}G_{k,l}g_{l}\right)\left(\sum_{l"
     r"=1}^{4}B_{k,l}d_{l}\right) = \sum_{l=1}^{3}\sum_{m=1}^{4}"
     r"\sum_{k=1}^{4}A_{i,k}G_{k,l}B_{k,m}g_{l}d_{m}", "The same as Aᵀ[(Gg) ⊙ (Bᵀd)].",
     on="winograd.first winograd.second", given=MATRICES, sizes={"i": (1, 2)})
line("winograd.selects", r"\sum_{k=1}^{4}A_{1,k}G_{k,l}B_{k,j} = \kron{l}{j}",
     "The first output takes input l with the kernel's l, and nothing else …", on="winograd.matrices", given=MATRICES,
     sizes={"l": (1, 2, 3), "j": (1, 2, 3, 4)})
line("winograd.selects-next", r"\sum_{k=1}^{4}A_{2,k}G_{k,l}B_{k,j} = \kron{l+1}{j}",
     "… and the second takes input l + 1: this is the identity that the three matrices satisfy.",
     on="winograd.matrices",
     given=MATRICES, sizes={"l": (1, 2, 3), "j": (1, 2, 3, 4)})
line("winograd.two-dimensions", PLACES.replace("ROW", "1").replace("COLUMN",
     "1") + r" = \sum_{l=1}^{3}\sum_{n=1}^{3}w_{l,n}d_{l,n}",
     "In two dimensions, Aᵀ[(GwGᵀ) ⊙ (BᵀdB)]A, the identity holds along rows and along columns: here for one corner …",
     on="winograd.selects", given=MATRICES)
line("winograd.two-dimensions-next", PLACES.replace("ROW", "2").replace("COLUMN",
     "2") + r" = \sum_{l=1}^{3}\sum_{n=1}^{3}w_{l,n}d_{l+1,n+1}",
     "… and for the opposite one.", on="winograd.selects-next", given=MATRICES)
line("winograd.count", r"\frac{2\cdot2\cdot3\cdot3}{4\cdot4} = \frac{9}{4}",
     "4·4 products replace 2·2·9: 2.25 times fewer.",
     on="winograd.two-dimensions")

POWERS = (r"\left(\sum_{l=1}^{3}g_{l}AT^{l-1}\right)\left(\sum_{i=1}^{2}u_{i}AT^{i-1}\right)")
LAGRANGE = {
    "L_1": r"\frac{(x-a_{2})(x-a_{3})}{(a_{1}-a_{2})(a_{1}-a_{3})}",
    "L_2": r"\frac{(x-a_{1})(x-a_{3})}{(a_{2}-a_{1})(a_{2}-a_{3})}",
    "L_3": r"\frac{(x-a_{1})(x-a_{2})}{(a_{3}-a_{1})(a_{3}-a_{2})}"}
NODES = {"N": "(x-a_{1})(x-a_{2})(x-a_{3})"}

line("winograd.polynomials", POWERS.replace("AT", "x") + " = g_{1}u_{1}+(g_{2}u_{1}+g_{1}u_{2})x"
     "+(g_{3}u_{1}+g_{2}u_{2})x^2+g_{3}u_{2}x^3",
     "Two lists of numbers as coefficients: the product of the polynomials is a convolution of the lists.")
line("winograd.lagrange", r"\sum_{k=1}^{3}\left(c_{1}+c_{2}a_{k}+c_{3}a_{k}^2\right)L_{k} = c_{1}+c_{2}x+c_{3}x^2",
     "Its values at three points fix a polynomial of degree 2 (Lagrange) …", given=LAGRANGE)
line("winograd.infinity", r"\sum_{k=1}^{3}\left(c_{1}+c_{2}a_{k}+c_{3}a_{k}^2+c_{4}a_{k}^3\right)L_{k}+c_{4}N = "
     r"c_{1}+c_{2}x+c_{3}x^2+c_{4}x^3",
     "… and one of degree 3 by its leading coefficient besides, the value 'at ∞'.", on="winograd.lagrange",
     given=LAGRANGE | NODES)
line("winograd.toom-cook", r"\sum_{k=1}^{3}" + POWERS.replace("AT", "a_{k}") + "L_{k}+g_{3}u_{2}N = "
     + POWERS.replace("AT", "x"),
     "A value of the product is the product of the values: four multiplications instead of six, for any three points.",
     on="winograd.polynomials winograd.infinity", given=LAGRANGE | NODES)
line("winograd.transposed", "d_{1}g_{1}u_{1}+d_{2}(g_{2}u_{1}+g_{1}u_{2})+d_{3}(g_{3}u_{1}+g_{2}u_{2})"
     "+d_{4}g_{3}u_{2} = u_{1}(d_{1}g_{1}+d_{2}g_{2}+d_{3}g_{3})+u_{2}(d_{2}g_{1}+d_{3}g_{2}+d_{4}g_{3})",
     "The inner product of d with these coefficients is that of u with the outputs of a net's convolution. So the "
     "transposed map computes those: evaluation and interpolation change places, and the four multiplications stay.",
     on="winograd.polynomials vjp.adjoint")


def shown(x: Fraction) -> str:
    """Return a fraction as LaTeX."""
    size = str(abs(x)) if x.denominator == 1 else rf"\frac{{{abs(x.numerator)}}}{{{x.denominator}}}"
    return f"-{size}" if x < 0 else size


def expanded(roots: list[Fraction], factor: Fraction) -> list[Fraction]:
    """Return the coefficients of factor·Π (x − root), from the constant term on."""
    found = [factor]
    for root in roots:
        found = [a - root * b for a, b in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


def elements(name: str, matrix: list[list[Fraction]]) -> dict[str, str]:
    """Return the elements of a matrix as definitions."""
    return {f"{name}_{i}_{j}": shown(x) for i, row in enumerate(matrix, 1) for j, x in enumerate(row, 1)}


ANY = {"A_1_4": "0", "A_2_4": "1", "G_4_1": "0", "G_4_2": "0", "G_4_3": "1", "B_4_1": "-a_{1}a_{2}a_{3}",
       "B_4_2": "a_{1}a_{2}+a_{1}a_{3}+a_{2}a_{3}", "B_4_3": "-a_{1}-a_{2}-a_{3}", "B_4_4": "1"}
for k, m, n in ((1, 2, 3), (2, 1, 3), (3, 1, 2)):
    below = rf"(a_{{{k}}}-a_{{{m}}})(a_{{{k}}}-a_{{{n}}})"
    ANY |= {f"A_1_{k}": "1", f"A_2_{k}": f"a_{{{k}}}", f"G_{k}_1": "1", f"G_{k}_2": f"a_{{{k}}}",
            f"G_{k}_3": f"a_{{{k}}}^2", f"B_{k}_1": rf"\frac{{a_{{{m}}}a_{{{n}}}}}{{{below}}}",
            f"B_{k}_2": rf"-\frac{{a_{{{m}}}+a_{{{n}}}}}{{{below}}}", f"B_{k}_3": rf"\frac{{1}}{{{below}}}",
            f"B_{k}_4": "0"}
OURS = [Fraction(0), Fraction(5, 8), Fraction(3, 2), Fraction(-5, 8), Fraction(-3, 2)]
OTHERS = [[q for q in OURS if q != p] for p in OURS]
FOUR = {
    **elements("A", [[p**i for p in OURS] + [Fraction(i == 3)] for i in range(4)]),
    **elements("G", [[p**i for i in range(3)] for p in OURS] + [[Fraction(i == 2) for i in range(3)]]),
    **elements("B", [[*expanded(others, 1 / prod((p - q for q in others), start=Fraction(1))), Fraction(0)]
                     for p, others in zip(OURS, OTHERS, strict=True)] + [expanded(OURS, Fraction(1))]),
}

line("winograd.any-points", r"\sum_{k=1}^{4}A_{i,k}G_{k,l}\sum_{j=1}^{4}B_{k,j}x^{j-1} = x^{i+l-2}",
     "As matrices, for any three points: output i takes input j = i + l − 1 with the kernel's l, and nothing else.",
     on="winograd.toom-cook winograd.transposed", given=ANY, sizes={"i": (1, 2), "l": (1, 2, 3)},
     code="selected(a, 2, 3, x)[i-1, l-1]")
line("winograd.four-outputs", r"\sum_{k=1}^{6}A_{i,k}G_{k,l}\sum_{j=1}^{6}B_{k,j}x^{j-1} = x^{i+l-2}",
     "F(4, 3) with the package's points 0, ±5/8, ±3/2 and ∞: the same, for four outputs of six inputs.",
     on="winograd.any-points", given=FOUR, sizes={"i": (1, 2, 3, 4), "l": (1, 2, 3)},
     code="selected(POINTS, 4, 3, x)[i-1, l-1]")
line("winograd.opposite", r"\sum_{j=2}^{5}B_{k+2,j}d_{j} = -B_{k,2}d_{2}+B_{k,3}d_{3}-B_{k,4}d_{4}+B_{k,5}d_{5}",
     "The rows of −5/8 and −3/2 are those of 5/8 and 3/2 with every second sign changed (their other elements are 0): "
     "opposite points share their products, and take the sum and the difference of two parts.",
     on="winograd.four-outputs", given=FOUR, sizes={"k": (2, 3)})
line("winograd.four-count", r"\frac{4\cdot4\cdot3\cdot3}{6\cdot6} = 4",
     "In two dimensions 6·6 products replace 4·4·9: four times fewer, 2.25 for each output.",
     on="winograd.four-outputs winograd.two-dimensions")

TRILINEAR = (r"\sum_{k=1}^{4}\left(\sum_{i=1}^{2}A_{i,k}x_{i}\right)\left(\sum_{m=1}^{3}G_{k,m}w_{m}\right)"
             r"\left(\sum_{j=1}^{4}B_{k,j}d_{j}\right)")

line("winograd.trilinear", TRILINEAR + r" = x_{1}\sum_{m=1}^{3}w_{m}d_{m}+x_{2}\sum_{m=1}^{3}w_{m}d_{m+1}",
     "The four products with a weight for each output, x: a form that is linear in each of x, w and d.",
     on="winograd.selects winograd.selects-next", given=MATRICES)
line("winograd.kernel-gradient", rf"\pd{{w_{{l}}}}{{{TRILINEAR}}} = "
     r"\sum_{k=1}^{4}G_{k,l}\left(\sum_{i=1}^{2}A_{i,k}x_{i}\right)\left(\sum_{j=1}^{4}B_{k,j}d_{j}\right) = "
     "x_{1}d_{l}+x_{2}d_{l+1}",
     "So the kernel's gradient needs the same four products: of the transformed x and the transformed d.",
     on="winograd.trilinear vjp.adjoint", given=MATRICES, sizes={"l": (1, 2, 3)})
