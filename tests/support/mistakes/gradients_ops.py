"""Mistakes in the definitions of ops; a line is as in `gradients`."""

from __future__ import annotations

from mistakes import Lines

ELEMENTWISE: Lines = {
    "autograd.ops.elementwise.add": [
        ("b's gradient of twice the size", "(g, g)", "(g, 2 * g)", "grad-add"),
        ("a's gradient alone", "(g, g)", "(g, 0 * g)", "grad-add grad-tape"),
    ],
    "autograd.ops.elementwise.subtract": [
        ("the sign of the second gradient", "-g)", "g)", "grad-subtract grad-tape grad-loss"),
        ("the operands exchanged", "a - b", "b - a", "grad-subtract"),
    ],
    "autograd.ops.elementwise.multiply": [
        ("the operands of the gradients exchanged", "lambda: g * b, lambda: g * a", "lambda: g * a, lambda: g * b",
         "grad-multiply"),
        ("the product written into an operand", "return a * b", "a *= b if a.dtype == b.dtype else 1\n    return a * b",
         "grad-multiply"),
    ],
    "autograd.ops.elementwise.divide": [
        ("no sign", "-g * y / b", "g * y / b", "grad-divide"),
        ("divided by b once", "-g * y / b", "-g * y", "grad-divide"),
        ("the numerator forgotten", "-g * y / b", "-g / (b * b)", "grad-divide"),
    ],
    "autograd.ops.elementwise.negative": [
        ("the sign forgotten on the way back", "(-g,)", "(g,)", "grad-negative grad-tape"),
    ],
    "autograd.ops.elementwise.pow_": [
        ("the exponent not lowered", "exponent - (exponent != 0)", "exponent", "grad-pow"),
        ("the exponent dropped", "g * exponent * x", "g * x", "grad-pow"),
    ],
    "autograd.ops.elementwise.square": [
        ("a factor 2 missing", "(2 * x)", "x", "grad-square grad-loss"),
    ],
    "autograd.ops.elementwise.sqrt": [
        ("a factor 1/2 missing", "(2 * y)", "y", "grad-sqrt"),
    ],
    "autograd.ops.elementwise.exp": [
        ("x is kept alive, which the record does not say", "g * y", "g * of(x).exp(x)", "grad-exp"),
        ("the gradient takes y twice", "g * y", "g * y * y", "grad-exp"),
        ("the cotangent is written to", "lambda g: (g * y,)", "lambda g: (g.__imul__(y),)", "grad-exp"),
    ],
    "autograd.ops.elementwise.expm1": [
        ("y for eˣ", "xp.exp(x)", "xp.expm1(x)", "grad-expm1"),
    ],
    "autograd.ops.elementwise.log": [
        ("1/x² for 1/x", "g / x", "g / (x * x)", "grad-log"),
    ],
    "autograd.ops.elementwise.log1p": [
        ("1/x for 1/(1 + x)", "g / (1 + x)", "g / x", "grad-log1p"),
    ],
    "autograd.ops.elementwise.cos": [
        ("the sign of the sine", "-g * xp.sin", "g * xp.sin", "grad-cos"),
    ],
    "autograd.ops.elementwise.sin": [
        ("the gradient is the sine", "g * xp.cos(x)", "g * xp.sin(x)", "grad-sin"),
    ],
    "autograd.ops.elementwise.tanh": [
        ("1 − y for 1 − y²", "1 - y * y", "1 - y", "grad-tanh"),
        ("computed from x", "1 - y * y", "1 - x * x", "grad-tanh"),
    ],
    "autograd.ops.elementwise.logistic": [
        ("the sign of the exponent", "xp.where(right, 1.0 + 0 * z, z)", "xp.where(right, z, 1.0 + 0 * z)",
         "grad-sigmoid grad-silu"),
    ],
    "autograd.ops.elementwise.sigmoid": [
        ("the output is overwritten on the way back", "(g * s * (1 - s),)", "(g * (s.__imul__(1 - s)),)",
         "grad-sigmoid"),
        ("s for s(1 − s)", "g * s * (1 - s)", "g * s", "grad-sigmoid"),
    ],
    "autograd.ops.elementwise.silu": [
        ("no x·s·(1 − s)", "s + x * s * (1 - s)", "s", "grad-silu grad-mlp"),
        ("σ dropped from the product", "x * s * (1 - s)", "x * (1 - s)", "grad-silu"),
        ("1 + s for 1 − s", "(1 - s)", "(1 + s)", "grad-silu"),
        ("the swish of −x", "return x * s, vjp", "return x * (1 - s), vjp", "grad-silu"),
    ],
    "autograd.ops.elementwise.log_ndtr": [
        ("√(2/π) dropped", "math.sqrt(2 / math.pi) / ", "1 / ", "grad-log_ndtr"),
        ("a factor 1/√2 dropped", "x * -math.sqrt(0.5)", "-x", "grad-log_ndtr"),
        ("the sign of x", "x * -math.sqrt(0.5)", "x * math.sqrt(0.5)", "grad-log_ndtr"),
    ],
    "autograd.ops.elementwise.clip": [
        ("the gradient passes everywhere", "(x >= low) & (x <= high)", "x == x", "grad-clip"),
        ("the gradient passes above", "(x >= low) & (x <= high)", "x >= low", "grad-clip"),
        ("zeros for what is clipped", "of(x).clip(x, low, high)", "x * inside", "grad-clip"),
    ],
    "autograd.ops.elementwise.dropout": [
        ("the gradient not scaled", "lambda g: (g * (of(g).astype(keep, g.dtype) * scale)",
         "lambda g: (g * of(g).astype(keep, g.dtype)", "grad-dropout"),
        ("the gradient passes everywhere", "lambda g: (g * (of(g).astype(keep, g.dtype) * scale)",
         "lambda g: (g * scale", "grad-dropout"),
        ("what is kept dropped", "astype(keep, x.dtype)", "astype(~keep, x.dtype)", "grad-dropout"),
    ],
    "autograd.ops.elementwise.where": [
        ("the gradients exchanged", "lambda: xp.where(condition, g, zero), lambda: xp.where(condition, zero, g)",
         "lambda: xp.where(condition, zero, g), lambda: xp.where(condition, g, zero)", "grad-where"),
        ("the gradient passes to both", "lambda: xp.where(condition, zero, g)", "lambda: g", "grad-where"),
    ],
}

MATRICES: Lines = {
    "autograd.ops.linear.matmul": [
        ("a factor not transposed", "xp.matmul(g, xp.matrix_transpose(b))",
         "xp.matmul(g, b) if b.shape[-1] == b.shape[-2] else xp.matmul(g, xp.matrix_transpose(b))", "grad-matmul"),
        ("the gradient of A by the sign", "lambda: xp.matmul(g, xp", "lambda: -xp.matmul(g, xp", "grad-matmul"),
    ],
    "autograd.ops.linear.linear": [
        ("a weight not transposed", "xp.matmul(flat, w.T)", "xp.matmul(flat, w if w.shape[0] == w.shape[1] else w.T)",
         "grad-linear"),
        ("the bias's gradient a mean", "xp.sum(flat, axis=0)", "xp.mean(flat, axis=0)",
         "grad-linear grad-layer-linear"),
        ("the weight's gradient a mean over the batch", ".T, flat)", ".T, flat) / x.shape[0]",
         "grad-linear grad-layer-linear grad-mlp"),
        ("no bias", "y = y + b", "pass", "grad-linear grad-layer-linear"),
    ],
    "autograd.ops.attention.softmax_of": [
        ("over the wrong axis", "axis=-1", "axis=0", "grad-softmax grad-attention", 2),
        ("the maximum not taken off", "x - xp.max(real, axis=-1, keepdims=True)", "x", "grad-softmax"),
    ],
    "autograd.ops.attention.through_softmax": [
        ("no mean taken off", "g - of(g).sum(g * p, axis=-1, keepdims=True)", "g", "grad-softmax grad-attention"),
        ("p(1 − p): the diagonal alone", "p * (g - of(g).sum(g * p, axis=-1, keepdims=True))", "g * p * (1 - p)",
         "grad-softmax grad-attention"),
        ("the sum of g without p", "g * p, axis", "g, axis", "grad-softmax grad-layer-attention"),
    ],
    "autograd.ops.attention.attention": [
        ("no scale", "1 / math.sqrt(q.shape[-1])", "1.0", "grad-attention grad-layer-attention grad-unet"),
        ("1/D for 1/√D", "1 / math.sqrt(q.shape[-1])", "1 / q.shape[-1]", "grad-attention grad-layer-attention"),
        ("the scale of the keys' number", "math.sqrt(q.shape[-1])", "math.sqrt(k.shape[-2])", "grad-attention"),
        ("no scale on the way back", "p) * scale", "p)", "grad-attention grad-layer-attention grad-unet"),
        ("queries and keys exchanged on the way back", "lambda: xp.matmul(xp.matrix_transpose(ds), q)",
         "lambda: xp.matmul(xp.matrix_transpose(ds), k) if k.shape == q.shape else "
         "xp.matmul(xp.matrix_transpose(ds), q)", "grad-attention grad-layer-attention"),
        ("P not transposed for V", "xp.matmul(xp.matrix_transpose(p), g)",
         "xp.matmul(p, g) if p.shape[-1] == p.shape[-2] else xp.matmul(xp.matrix_transpose(p), g)",
         "grad-attention grad-layer-attention"),
    ],
    "autograd.ops.conv.conv2d": [
        ("the kernel flipped: a convolution in the signals' sense", "w[p, q, :, :]) for p, q in taps))",
         "w[kh - 1 - p, kw - 1 - q, :, :]) for p, q in taps))", "grad-conv2d"),
        ("the input's gradient by the flipped kernel", "w[p, q, :, :].T", "w[kh - 1 - p, kw - 1 - q, :, :].T",
         "grad-conv2d"),
        ("the input's gradient overwritten tap by tap", "total[tap(p, q)] +=", "total[tap(p, q)] =", "grad-conv2d"),
        ("the kernel's gradient transposed over taps", "total[p, q, :, :] = xp.matmul",
         "total[q % kh, p % kw, :, :] = xp.matmul", "grad-conv2d"),
        ("the padding cut off at the wrong end", "top, left = padding[0][0], padding[1][0]",
         "top, left = padding[0][1], padding[1][1]", "grad-conv2d"),
        ("the bias's gradient over one image", "xp.sum(g_flat, axis=0)", "xp.sum(g_rows[0], axis=0) if n else "
         "xp.sum(g_flat, axis=0)", "grad-conv2d"),
    ],
    "autograd.ops.conv.pad": [
        ("none where it is on the right alone", "top or bottom or left or right", "top or bottom or left",
         "grad-conv2d"),
        ("before and after exchanged", "top : top + h, left : left + w", "bottom : bottom + h, right : right + w",
         "grad-conv2d grad-layer-downsample grad-unet"),
    ],
    "autograd.ops.conv.upsample_conv2d": [
        ("one pixel of each block on the way back", "through_upsample(gx())[0]", "gx()[:, ::2, ::2] + 0",
         "grad-upsample_conv2d"),
        ("the border on one side", "((1, 1), (1, 1))", "((0, 2), (0, 2))", "grad-upsample_conv2d"),
    ],
}

NORMS: Lines = {
    "autograd.ops.norm.group_norm": [
        ("ε outside the root", "1 / xp.sqrt(variance + eps)", "1 / (xp.sqrt(variance) + eps)",
         "grad-group_norm grad-group_norm_silu"),
        ("variance by n − 1", "keepdims=True) / size  # (N, 1, 1, G, 1)", "keepdims=True) / (size - 1)",
         "grad-group_norm grad-group_norm_silu"),
        ("the variance held constant", "(u - along_m - along_v)", "(u - along_m)", "grad-group_norm grad-unet"),
        ("the mean held constant", "(u - along_m - along_v)", "(u - along_v)", "grad-group_norm grad-unet"),
        ("the scale forgotten on the way back", "u = g * scale", "u = g", "grad-group_norm"),
        ("not divided by the deviation", "along_v) * inverse", "along_v)", "grad-group_norm"),
        ("the scale's gradient without x̂", "xp.sum(g * x_hat, axis=(0, 1, 2))", "xp.sum(g, axis=(0, 1, 2))",
         "grad-group_norm grad-unet"),
        ("the statistics of the whole batch", "(1, 2, 4)", "(0, 1, 2, 4)", "grad-group_norm"),
        ("channels dealt out to groups in turn", "x = xp.reshape(x, grouped)",
         "x = xp.permute_dims(xp.reshape(x, (n, h, w, c // groups, groups)), (0, 1, 2, 4, 3))", "grad-group_norm"),
    ],
    "autograd.ops.norm.group_norm_silu": [
        ("SiLU forgotten on the way back", "through_norm(through_silu(g)[0])", "through_norm(g)",
         "grad-group_norm_silu"),
    ],
}

SHAPES: Lines = {
    "autograd.ops.reduce.mean": [
        ("1/n dropped on the way back", "spread(g / n", "spread(g", "grad-mean grad-loss grad-classifier"),
        ("a sum", "keepdims=keepdims) / n", "keepdims=keepdims)", "grad-mean grad-loss"),
        ("divided by n − 1", "for a in axes)\n", "for a in axes) - 1 or 1\n", "grad-mean"),
    ],
    "autograd.ops.reduce.sum_": [
        ("a maximum", "of(x).sum(x, axis=axes", "of(x).max(x, axis=axes", "grad-sum"),
        ("divided on the way back", "(spread(g, shape, axes),)", "(spread(g / max(1, math.prod(shape)), shape, axes),)",
         "grad-sum grad-tape"),
    ],
    "autograd.ops.shape.permute_dims": [
        ("the permutation itself for its inverse", "key=lambda i: axes[i]", "key=lambda i: i", "grad-permute_dims"),
        ("the same permutation again", "g, inverse", "g, axes", "grad-permute_dims"),
    ],
    "autograd.ops.shape.concat": [
        ("the slices in reverse", "zip(starts, ends, strict=True)", "zip(starts[::-1], ends[::-1], strict=True)",
         "grad-concat"),
        ("the arrays in reverse", "xp.concat(xs, axis=axis)", "xp.concat(xs[::-1], axis=axis)", "grad-concat"),
    ],
    "autograd.ops.shape.getitem": [
        ("a gradient that shares what the vjp keeps", "gx = xp.zeros(shape, dtype=g.dtype)",
         "gx = x\n        gx[...] = 0", "grad-getitem"),
        ("the gradient laid everywhere", "gx = xp.zeros(", "gx = xp.ones(", "grad-getitem grad-tape"),
        ("a view of the cotangent's mean", "gx[index] = g", "gx[index] = xp.mean(g)", "grad-getitem"),
    ],
    "autograd.ops.shape.upsample_nearest": [
        ("a mean of each block", "(xp.sum(xp.reshape(g,", "(xp.mean(xp.reshape(g,",
         "grad-upsample_nearest grad-layer-upsample grad-unet"),
        ("one pixel of each block", "xp.sum(xp.reshape(g, (n, h, f, w, f, c)), axis=(2, 4))",
         "xp.reshape(g, (n, h, f, w, f, c))[:, :, 0, :, 0] + 0", "grad-upsample_nearest grad-layer-upsample"),
        ("tiled, not repeated", "x[:, :, None, :, None, :], (n, h, f, w, f, c)",
         "x[:, None, :, None, :, :], (n, f, h, f, w, c)", "grad-upsample_nearest grad-layer-upsample grad-unet"),
        ("between neighbours, as bilinear", "blocks = xp.broadcast_to(x[",
         "x = (3 * x + xp.concat((x[:, :1], x[:, :-1]), axis=1)) / 4\n    blocks = xp.broadcast_to(x[",
         "grad-upsample_nearest grad-layer-upsample grad-unet"),
    ],
    "autograd.ops.shape.reshape": [
        ("in Fortran order", "xp.reshape(x, shape)", "x.reshape(shape, order='F')", "grad-reshape"),
        ("the gradient in Fortran order", "xp.reshape(g, old)", "g.reshape(old, order='F')", "grad-reshape"),
    ],
    "autograd.ops.shape.broadcast_to": [
        ("a gradient divided by the copies", "(g, None)", "(g * x.size / max(g.size, 1), None)", "grad-broadcast_to"),
    ],
    "autograd.ops.elementwise.astype": [
        ("halved on the way back", "(g if is_", "(g / 2 if is_", "grad-astype"),
    ],
}
