"""Mistakes in the fast kernels; a line is as in `gradients`."""

from __future__ import annotations

from mistakes import Lines

CONVOLUTIONS: Lines = {
    "kernels.numpy_conv.by_patches": [
        ("the kernel not flipped", "w[::-1, ::-1].transpose", "w.transpose", "grad-conv2d grad-layer-conv2d grad-unet"),
        ("flipped along one axis", "w[::-1, ::-1].transpose", "w[::-1].transpose", "grad-conv2d grad-layer-conv2d"),
        ("the kernel's gradient not flipped back", "[:, ::-1, ::-1].transpose", ".transpose",
         "grad-conv2d grad-layer-conv2d grad-unet"),
        ("padding as large as the kernel", "p < k", "p <= k", "grad-conv2d"),
        ("padding of the way back not turned round", "(k - 1 - before, k - 1 - after)",
         "(k - 1 - after, k - 1 - before)", "grad-conv2d"),
        ("the last chunk's kernel gradient alone", "total += block.reshape", "total = block.reshape",
         "grad-conv2d"),
        ("no bias", "y[part] += b", "y[part] += 0 * b", "grad-conv2d grad-layer-conv2d"),
        ("another kernel gradient if the input's is not asked for", "gw_from_patches(g))", "2 * gw_from_patches(g))",
         "grad-conv2d"),
        ("the bias's gradient over one image", "channel_sums(g)", "channel_sums(g[:1])", "grad-conv2d"),
    ],
    "kernels.numpy_dense.dense": [
        ("the weight not transposed", "flat @ w.T", "flat @ w.reshape(o, c)",
         "grad-linear grad-layer-linear grad-conv2d grad-layer-conv2d"),
        ("the weight's gradient over one image", "x.reshape(-1, c).T, flat",
         "x[:1].reshape(-1, c).T, flat[: len(flat) // len(x)]", "grad-linear grad-layer-linear grad-mlp grad-unet"),
        ("the bias's gradient a mean", "channel_sums(flat)", "channel_sums(flat) / len(flat)",
         "grad-linear grad-layer-linear grad-conv2d"),
        ("no bias", "y += b", "y += 0 * b", "grad-linear grad-layer-linear grad-conv2d"),
        ("the bias laid on the input's array", "y = np.matmul(rows(x), w)",
         "y = np.matmul(rows(x), w, out=rows(x) if c == o else None)", "grad-linear"),
    ],
    "kernels.numpy_dense.pointwise": [
        ("the kernel's gradient transposed", "through_w().reshape", "through_w().T.reshape",
         "grad-conv2d grad-layer-conv2d grad-layer-residual-block"),
        ("no bias", "dense(x, w[0, 0], b)", "dense(x, w[0, 0])", "grad-conv2d grad-layer-conv2d"),
    ],
    "kernels.numpy_conv._gx_by_taps": [
        ("the taps exchanged", ":, :, :, p, q", ":, :, :, q, p", "grad-conv2d grad-layer-downsample"),
        ("overwritten, not added", "+= each[", "= each[", "grad-conv2d grad-layer-downsample"),
        ("the stride's offset", "p : p + stride * (ho - 1) + 1 : stride", "0 : stride * (ho - 1) + 1 : stride",
         "grad-conv2d grad-layer-downsample"),
    ],
    "kernels.numpy_conv.patches": [
        ("the stride of rows alone", "pixel * stride", "pixel", "grad-conv2d grad-layer-downsample"),
    ],
}

UPSAMPLE: Lines = {
    "kernels.numpy_upsample.in_two_steps": [
        ("one pixel of each block on the way back", "through_upsample(gx())[0]", "gx()[:, ::2, ::2] + 0",
         "grad-upsample_conv2d"),
        ("no bias", "(large, w, b, **_LARGE)", "(large, w, **_LARGE)", "grad-upsample_conv2d"),
    ],
    "kernels.numpy_upsample.by_parities": [
        ("no bias", "in_rows += np.tile(b, width)", "in_rows += 0",
         "grad-upsample_conv2d grad-layer-upsample grad-unet"),
        ("each number of the bias repeated", "np.tile(b, width)", "np.repeat(b, width)",
         "grad-upsample_conv2d grad-layer-upsample"),
        ("rows' and columns' parities exchanged", ".transpose(2, 3, 0, 4, 1, 5)", ".transpose(2, 3, 1, 4, 0, 5)",
         "grad-upsample_conv2d grad-layer-upsample grad-unet"),
        ("inputs and outputs not exchanged", "flat_w.reshape(9, c, o).swapaxes(1, 2).reshape(9, o * c)",
         "flat_w", "grad-upsample_conv2d grad-layer-upsample grad-unet"),
        ("the last chunk's kernel gradient alone", "total += x[part]", "total = x[part]", "grad-upsample_conv2d"),
        ("the kernel's gradient flipped", "_STRIDED.T.astype", "_STRIDED[:, ::-1].T.astype",
         "grad-upsample_conv2d grad-layer-upsample grad-unet"),
        ("the bias's gradient over one image", "channel_sums(g)", "channel_sums(g[:1])", "grad-upsample_conv2d"),
    ],
    "kernels.numpy_upsample._parity_patches": [
        ("rows' and columns' parities exchanged", "padded[:, a:, b:]", "padded[:, b:, a:]",
         "grad-upsample_conv2d grad-layer-upsample grad-unet"),
    ],
}

WINOGRAD: Lines = {
    "kernels.numpy_winograd.fits": [
        ("padding that the way back cannot cut off", "0 <= zeros <= 2", "True", "grad-conv2d"),
    ],
    "kernels.numpy_winograd.winograd": [
        ("no bias", "padding, ho, wo, b,", "padding, ho, wo, None,", "grad-conv2d"),
        ("height and width exchanged", "padding, ho, wo, b", "padding, wo, ho, b", "grad-conv2d"),
        ("the kernel turned on the way there", "kernel_places(w, scheme.to_places)", "kernel_places(w, scheme.flipped)",
         "grad-conv2d"),
        ("the kernel's gradient not turned back", "scheme.flipped.T", "scheme.to_places.T", "grad-conv2d"),
        ("another kernel gradient if the input's is not asked for",
         "gradients(scheme, x, w, g, padding, with_input=False)[1]",
         "2 * gradients(scheme, x, w, g, padding, with_input=False)[1]", "grad-conv2d"),
        ("the bias's gradient over one image", "ascontiguousarray(g)", "ascontiguousarray(g[:1])", "grad-conv2d"),
        ("whole tiles alone", "padding, ho, wo, b", "padding, ho - ho % scheme.m, wo, b", "grad-conv2d"),
    ],
    "kernels.numpy_winograd.kernel_places": [
        ("the kernel turned", "matrix.astype", "matrix[:, ::-1].astype", "grad-conv2d"),
        ("the kernel's taps transposed", "np.ascontiguousarray(w)", "np.ascontiguousarray(w.swapaxes(0, 1))",
         "grad-conv2d"),
    ],
    "kernels.numpy_winograd._Tiling.overlapping": [
        ("rows without their padding", "low = m * first - top", "low = m * first", "grad-conv2d"),
        ("columns without their padding", "left : left + width", ": width", "grad-conv2d"),
        ("the border above left as it was", "padded[:, :before] = 0", "padded[:, :before] += 1", "grad-conv2d"),
        ("the border below left as it was", "padded[:, before + here.shape[1] :] = 0",
         "padded[:, before + here.shape[1] :] += 1", "grad-conv2d"),
        ("rows and columns of a tile exchanged", "(row, 2 * row, pixel, image, m * row, m * pixel, number)",
         "(pixel, 2 * pixel, row, image, m * row, m * pixel, number)", "grad-conv2d"),
        ("the first rows and the last for the even and the odd", "(row, 2 * row, pixel", "(n // 2 * row, row, pixel",
         "grad-conv2d"),
        ("tiles that begin two pixels apart", "m * pixel, number", "2 * pixel, number", "grad-conv2d"),
    ],
    "kernels.numpy_winograd._Tiling.disjoint": [
        ("rows and columns of a tile exchanged", "transpose(2, 4, 0, 1, 3, 5)", "transpose(4, 2, 0, 1, 3, 5)",
         "grad-conv2d"),
        ("an image of odd size at the other end", "whole[:, : here.shape[1], :width]",
         "whole[:, : here.shape[1], -width:]", "grad-conv2d"),
    ],
    "kernels.numpy_winograd._Tiling.put": [
        ("rows and columns of a tile exchanged", "transpose(2, 3, 0, 4, 1, 5)", "transpose(2, 3, 1, 4, 0, 5)",
         "grad-conv2d"),
        ("an output of odd size from the other end", "[:, : here.shape[1], :width]", "[:, -here.shape[1] :, -width:]",
         "grad-conv2d"),
    ],
    "kernels.numpy_winograd._to_places": [
        ("the even rows for the odd ones", "tiles[half:]", "tiles[:half]", "grad-conv2d"),
        ("the even rows' matrix for both", "scheme.odd", "scheme.even", "grad-conv2d"),
        ("the even rows alone, of tiles of 4×4", "scheme.odd,", "scheme.odd * (scheme.m == 4),", "grad-conv2d"),
        ("the even rows alone, of tiles of 6×6", "scheme.odd,", "scheme.odd * (scheme.m == 2),", "grad-conv2d"),
        ("the difference turned round", "plus - minus", "minus - plus", "grad-conv2d"),
        ("the difference after the sum", "difference = plus - minus\n    plus += minus",
         "plus += minus\n    difference = plus - minus", "grad-conv2d"),
        ("the value at −p in the place of p", "plus += minus\n    minus[...] = difference",
         "minus += plus\n    plus[...] = difference", "grad-conv2d"),
        ("no sum", "plus += minus", "plus += 0", "grad-conv2d"),
    ],
    "kernels.numpy_winograd.convolve": [
        ("every lot written over the first", "y[part], first", "y[: part.stop - part.start], first", "grad-conv2d"),
    ],
    "kernels.numpy_winograd._outputs": [
        ("the bias at one corner of a tile", "return _transform(scheme.with_bias, products, matrices)",
         "products[0] += products[count]\n    return _transform(scheme.to_outputs, products[:count], matrices)",
         "grad-conv2d"),
        ("each number of the bias repeated", "products[count].reshape(rows, o)[...] = b",
         "products[count] = np.repeat(b, rows)", "grad-conv2d"),
        ("no bias", "[...] = b", "[...] = 0 * b", "grad-conv2d"),
    ],
    "kernels.numpy_winograd.gradients": [
        ("the kernel not flipped", "kernel_places(w, scheme.flipped)", "kernel_places(w, scheme.to_places)",
         "grad-conv2d"),
        ("flipped along one axis", "kernel_places(w, scheme.flipped)", "kernel_places(w[::-1], scheme.to_places)",
         "grad-conv2d"),
        ("inputs and outputs not exchanged", ".swapaxes(1, 2) if", " if", "grad-conv2d"),
        ("padding of the way back not turned round", "(2 - before, 2 - after)", "(2 - after, 2 - before)",
         "grad-conv2d"),
        ("the first lot's input for all", "disjoint(x[part]", "disjoint(x[: part.stop - part.start]", "grad-conv2d"),
        ("the last lot alone", "np.add(total, products, out=total)", "products", "grad-conv2d"),
        ("the rows of a tile upside down", "scheme.to_outputs.T, tiling", "scheme.to_outputs[::-1].T, tiling",
         "grad-conv2d"),
    ],
}

NORM_KERNELS: Lines = {
    "kernels.numpy_norm._normalise": [
        ("ε forgotten", " + x.dtype.type(eps)", "", "grad-group_norm grad-layer-group-norm"),
        ("the group's size of all channels", "x.shape[2] // groups", "x.shape[2]", "grad-group_norm grad-unet"),
        ("no mean taken off", "/ size, r), out=z_runs)", "* 0, r), out=z_runs)",
         "grad-group_norm grad-group_norm_silu"),
        ("the second moment about half the mean", "np.square(z, out=y)", "np.multiply(z, x, out=y)\n    y += z * z",
         "grad-group_norm"),
        ("the scale forgotten", "repeated(inverse * scale, r)", "repeated(inverse, r)",
         "grad-group_norm grad-layer-group-norm"),
        ("the bias forgotten", "y_runs += repeated(bias[None, None], r)", "y_runs += 0", "grad-group_norm"),
    ],
    "kernels.numpy_norm._over_group": [
        ("each channel by itself", "if c == groups", "if True", "grad-group_norm grad-group_norm_silu grad-unet"),
        ("the first channel of a small group", "for i in range(c // groups)", "for i in range(1)",
         "grad-group_norm grad-group_norm_silu grad-unet"),
        ("a mean over a large group", "each.sum(axis=2", "each.mean(axis=2", "grad-group_norm grad-group_norm_silu"),
        ("channels dealt out to groups in turn", "sums.reshape(k, groups, c // groups)",
         "sums.reshape(k, c // groups, groups).swapaxes(1, 2)", "grad-group_norm grad-unet"),
        ("the sums of the first image", "out[...] = total", "out[...] = total[:1]", "grad-group_norm"),
    ],
    "kernels.numpy_norm._input_gradient": [
        ("the variance held constant", "np.multiply(z_runs, repeated(along_v, r), out=out_runs)",
         "np.multiply(z_runs, 0, out=out_runs)", "grad-group_norm grad-unet"),
        ("the mean held constant", "out_runs += repeated(along_m, r)", "out_runs += 0",
         "grad-group_norm grad-layer-group-norm"),
        ("not divided by the variance", "inverse * inverse / size", "inverse / size", "grad-group_norm grad-unet"),
        ("the scale forgotten", "repeated(scale * inverse, r)", "repeated(inverse, r)", "grad-group_norm grad-unet"),
        ("the scale forgotten in the means", "_over_group(b * scale, groups)", "_over_group(b, groups)",
         "grad-group_norm grad-unet"),
        ("the scale's gradient not divided by the deviation", "pixel_sums(out) * inverse", "pixel_sums(out)",
         "grad-group_norm grad-layer-group-norm"),
        ("the cotangent is written to", "g_runs = g_runs * repeated", "g_runs *= repeated", "grad-group_norm"),
    ],
    "kernels.numpy_norm.normalise_silu": [
        ("s for s + y(1 − s)", "gh *= y[part]", "gh *= 0", "grad-group_norm_silu grad-unet"),
        ("the cotangent is written to", "gh *= g[part]", "gh = np.multiply(g[part], gh, out=g[part])",
         "grad-group_norm_silu"),
    ],
    "kernels.numpy_norm._one_plus_exponential": [
        ("the wrong sign",
         "np.multiply(h, -_LOG2_E, out=out)\n        np.exp2(out, out=out)\n    else:\n        np.negative(h, out=out)",
         "np.multiply(h, _LOG2_E, out=out)\n        np.exp2(out, out=out)\n    else:\n        out[...] = h",
         "grad-group_norm_silu grad-unet"),
        ("the exponential alone", "out += 1", "out += 0", "grad-group_norm_silu grad-unet"),
    ],
    "kernels.numpy_norm.normalise": [
        ("the scale's and the bias's gradients exchanged", "b.sum(axis=(0, 1)), a.sum(axis=(0, 1))",
         "a.sum(axis=(0, 1)), b.sum(axis=(0, 1))", "grad-group_norm"),
        ("the gradient of a batch's first image", "b.sum(axis=(0, 1))", "b[0].sum(axis=0)", "grad-group_norm"),
    ],
}

RUNS: Lines = {
    "kernels.numpy_runs.channel_sums": [
        ("over one image", "x.reshape(1, -1, x.shape[-1])", "x[:1].reshape(1, -1, x.shape[-1])",
         "grad-conv2d grad-linear"),
        ("over the pixels but the first", "pixel_sums(flat)", "pixel_sums(flat[:, 1:])",
         "grad-conv2d grad-linear grad-layer-conv2d grad-layer-linear"),
    ],
    "kernels.numpy_runs.product": [
        ("the second factor turned round", "np.matmul(a, b).reshape(shape)\n    if", "np.matmul(a, b[::-1])."
         "reshape(shape)\n    if", "grad-linear grad-layer-linear grad-conv2d"),
        ("in another order", ".reshape(shape)\n    if", ".T.reshape(shape)\n    if", "grad-linear grad-conv2d"),
    ],
    "kernels.numpy_runs.repeated": [
        ("each number, not each vector", "out.reshape(k, 1, times * c)",
         "out.swapaxes(1, 2).reshape(k, 1, times * c)", "grad-group_norm grad-group_norm_silu"),
        ("the first image's for all", "out[...] = vectors", "out[...] = vectors[:1]",
         "grad-group_norm grad-group_norm_silu"),
        ("for one pixel of a run", "out[...] = vectors", "out[...] = 0\n    out[:, :1] = vectors", "grad-group_norm"),
    ],
    "kernels.numpy_runs.pixel_sums": [
        ("a mean", "np.matmul(_ones(x.shape[1], x.dtype), x)", "np.mean(x, axis=1, keepdims=True)",
         "grad-group_norm grad-group_norm_silu grad-conv2d grad-linear"),
        ("all but the first pixel", "np.matmul(_ones(x.shape[1], x.dtype), x)", "np.sum(x[:, 1:], axis=1, "
         "keepdims=True)", "grad-group_norm grad-group_norm_silu grad-conv2d grad-linear"),
        ("the whole batch's", "np.matmul(_ones(x.shape[1], x.dtype), x)",
         "np.broadcast_to(np.sum(x, axis=(0, 1)), (x.shape[0], 1, x.shape[2]))", "grad-group_norm"),
    ],
    "kernels.numpy_runs.pixels_in_a_run": [
        ("a number that leaves pixels over", "pixels % r == 0 and ", "", "grad-group_norm grad-group_norm_silu"),
    ],
}

KERNELS: Lines = {**CONVOLUTIONS, **UPSAMPLE, **WINOGRAD, **NORM_KERNELS, **RUNS}
