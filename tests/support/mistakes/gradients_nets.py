"""Mistakes in the tape, the layers, the nets, the losses and the optimiser; a line is as in `gradients`."""

from __future__ import annotations

from mistakes import Lines

TAPE: Lines = {
    "autograd.tape._accumulate": [
        ("overwriting, not adding", "return backend.asarray(total + g)", "return backend.asarray(g)",
         "grad-tape grad-layer-attention grad-unet"),
        ("adding once too often", "total += g", "total += 2 * g", "grad-tape"),
        ("in place whoever owns it", "if not owned", "if not owned and total.flags.writeable is None", "grad-tape"),
    ],
    "autograd.tape.walk": [
        ("a part of two ways met by one", "pending[id(edge)] = (_accumulate(*pending[id(edge)], add), True)", "pass",
         "grad-tape"),
        ("the tape walked as it was made, deepest last", "heapq.heappush(heap, (-edge.depth,",
         "heapq.heappush(heap, (edge.depth,", "grad-tape grad-unet"),
    ],
    "autograd.tape.undo_broadcasting": [
        ("a mean for a sum", "xp.sum(g, axis=axes)", "xp.mean(g, axis=axes)", "grad-tape grad-multiply grad-add"),
        ("leading axes not summed", "tuple(range(extra)) + tuple(", "tuple(", "grad-tape grad-multiply"),
        ("axes of length 1 not summed", "if n == 1 and g.shape[extra + i] != 1", "if n == 0",
         "grad-tape grad-multiply"),
        ("the first entry for the sum", "xp.sum(g, axis=axes)", "xp.max(g, axis=axes)", "grad-tape grad-divide"),
        ("a mean for a sum by a product", "xp.ones((1, along), dtype=g.dtype)",
         "xp.ones((1, along), dtype=g.dtype) / along", "grad-tape grad-multiply grad-add"),
        ("a product over what lies between", "axes == tuple(range(axes[0], axes[-1] + 1)) and ", "",
         "grad-multiply grad-add"),
        ("what stands before and after exchanged", "xp.reshape(g, (before, along, after))",
         "xp.reshape(g, (after, along, before))", "grad-multiply grad-add"),
    ],
    "autograd.tape._fit": [
        ("a gradient in the dtype of what was repeated", "if g.dtype != edge.dtype", "if False", "grad-tape"),
    ],
    "autograd.tensor.Tensor.backward": [
        ("the newest gradient for the sum", "leaf.grad += g", "leaf.grad[...] = g", "grad-tape"),
        ("the leaf shares the cotangent", "leaf.grad = g if owned else of(g).astype(g, g.dtype, copy=True)",
         "leaf.grad = g", "grad-tape"),
    ],
    "autograd.tensor._OpTable.stop_gradient": [
        ("detach forgotten", "return Tensor.from_op(x.data, None, x.writes) if isinstance(x, Tensor) else x",
         "return x", "grad-tape grad-hybrid-loss"),
    ],
    "autograd.tensor.edge_of": [
        ("every Tensor is differentiated", "isinstance(x, Tensor) and x.requires_grad", "isinstance(x, Tensor)",
         "grad-tape"),
    ],
    "autograd.tensor.is_recording": [
        ("no_grad forgotten", "return _recording.get()", "return True", "grad-tape"),
    ],
    "autograd.tensor.Tensor.__rsub__": [
        ("the operands exchanged", "(other, self)", "(self, other)", "grad-tape"),
    ],
    "autograd.tensor.Tensor.__rtruediv__": [
        ("the operands exchanged", "(other, self)", "(self, other)", "grad-tape"),
    ],
    "autograd.tensor.Tensor.__neg__": [
        ("the sign dropped", "OPS.negative(self)", "self", "grad-tape"),
    ],
    "autograd.op.Op.choose": [
        ("a kernel where it does not suit", "kernel.when(*arrays, **static)", "True", "grad-conv2d"),
    ],
}

LAYERS: Lines = {
    "nn.layers.Conv2d.__call__": [
        ("no padding given on", "padding=self.padding", "padding=((1, 1), (1, 1))", "grad-layer-conv2d"),
        ("no bias", "self.bias", "None", "grad-layer-conv2d grad-layer-downsample grad-unet"),
        ("the stride forgotten", "stride=self.stride", "stride=1", "grad-layer-conv2d grad-layer-downsample"),
    ],
    "nn.layers.GroupNorm.__call__": [
        ("one group", "groups=self.groups", "groups=1", "grad-layer-group-norm grad-unet"),
        ("another ε", "eps=self.eps", "eps=1e-5", "grad-layer-group-norm grad-unet"),
        ("SiLU forgotten", "if self.silu", "if False", "grad-layer-group-norm grad-layer-residual-block grad-unet"),
    ],
    "nn.layers.Attention.__call__": [
        ("no residual sum", "x + ops.reshape(self.to_out", "ops.reshape(self.to_out", "grad-layer-attention grad-unet"),
        ("a residual sum over √2", "return x + ops.reshape(self.to_out[0](y), (n, height, width, c))",
         "return (x + ops.reshape(self.to_out[0](y), (n, height, width, c))) * 2**-0.5",
         "grad-layer-attention grad-unet"),
        ("the normalised image added", "return x +", "return self.group_norm(x) +", "grad-layer-attention"),
        ("not normalised", "self.group_norm(x)", "x", "grad-layer-attention grad-unet"),
        ("keys from the values' weights", "self.to_k(h)", "self.to_v(h)", "grad-layer-attention grad-unet"),
        ("heads interleaved", "(n, length, heads, c // heads)), (0, 2, 1, 3)",
         "(n, length, c // heads, heads)), (0, 3, 1, 2)",
         "grad-layer-attention grad-unet"),
        ("heads not put back", "ops.permute_dims(y, (0, 2, 1, 3))", "y", "grad-layer-attention grad-unet"),
    ],
    "nn.layers.Dropout.__call__": [
        ("no 1/(1 − p)", "1 / (1 - self.p)", "1.0", "grad-layer-dropout"),
        ("1/p", "1 / (1 - self.p)", "1 / self.p", "grad-layer-dropout"),
        ("p is what is kept", "tuple(shape), 1 - self.p", "tuple(shape), self.p", "grad-layer-dropout"),
        ("the same elements in every layer", "draws.calls += 1", "draws.calls += 0", "grad-layer-dropout"),
        ("on in evaluation", "not self.training or self.p == 0", "self.p == 0", "grad-layer-dropout"),
        ("the gradient is cut", "ops.dropout(x", "ops.dropout(ops.OPS.stop_gradient(x)", "grad-layer-dropout"),
    ],
    "models.unet.time_embedding": [
        ("half for half − 1", "half - freq_shift", "half", "grad-unet grad-mlp"),
        ("cosines first", "if flip_sin_to_cos else (xp.sin(angle), xp.cos(angle))", "if True else ()",
         "grad-unet grad-mlp"),
        ("frequencies of base e", "-math.log(10000.0)", "-1.0", "grad-unet grad-mlp"),
    ],
    "models.unet.UNet.embed": [
        ("t not shifted", "t - 1,", "t,", "grad-unet"),
        ("SiLU forgotten", "return ops.silu(temb)", "return temb", "grad-unet"),
        ("the label dropped", "temb = temb + ops.linear(", "ops.linear(", "grad-unet"),
    ],
    "models.unet.TimeEmbedding.__call__": [
        ("no SiLU between", "ops.silu(self.linear_1(embedding))", "self.linear_1(embedding)",
         "grad-layer-time-embedding grad-unet"),
    ],
    "models.unet.ResidualBlock.__call__": [
        ("no residual sum", "return h + (self.conv_shortcut(x) if self.conv_shortcut else x)", "return h",
         "grad-layer-residual-block grad-unet"),
        ("a sum over √2", "return h + (self.conv_shortcut(x) if self.conv_shortcut else x)",
         "return (h + (self.conv_shortcut(x) if self.conv_shortcut else x)) * 2**-0.5",
         "grad-layer-residual-block grad-unet"),
        ("t after the second norm", "self.conv2(self.dropout(self.norm2(h)))",
         "self.conv2(self.dropout(self.norm2(h - ops.reshape(self.time_emb_proj(temb), (len(h), 1, 1, h.shape[3])))))",
         "grad-layer-residual-block grad-unet"),
        ("t dropped", "h = h + ops.reshape(", "ops.reshape(", "grad-layer-residual-block grad-unet"),
        ("dropout before the norm", "self.dropout(self.norm2(h))", "self.norm2(self.dropout(h))", "grad-layer-dropout"),
        ("the shortcut from the normalised image", "self.conv_shortcut(x)", "self.conv_shortcut(self.norm1(x))",
         "grad-layer-residual-block grad-unet"),
    ],
    "models.unet.Downsample.__init__": [
        ("paddings exchanged", '0 if padding == "asymmetric" else 1', '1 if padding == "asymmetric" else 0',
         "grad-layer-downsample grad-unet"),
        ("zeros on the left and top", "((before, 1), (before, 1))", "((1, before), (1, before))",
         "grad-layer-downsample grad-unet"),
    ],
    "models.unet.UNet.__call__": [
        ("skips first in, first out", "skips.pop()", "skips.pop(0)", "grad-unet"),
        ("[skip, h] for [h, skip]", "ops.concat(h, skips.pop(), axis=3)", "ops.concat(skips.pop(), h, axis=3)",
         "grad-unet"),
        ("no attention in the middle", "h = self.mid_block.attentions[0](h)", "pass", "grad-unet"),
        ("the middle's attention before both blocks",
         "h = self.mid_block.resnets[0](h, temb)\n    h = self.mid_block.attentions[0](h)",
         "h = self.mid_block.attentions[0](h)\n    h = self.mid_block.resnets[0](h, temb)", "grad-unet"),
        ("the end not normalised", "self.conv_norm_out(h)", "h", "grad-unet"),
        ("the image's gradient is cut", "h = self.conv_in(x)", "h = self.conv_in(ops.OPS.stop_gradient(x))",
         "grad-unet"),
    ],
    "models.unet.UNet.__init__": [
        ("every level as wide as the first", "widths = config.widths", "widths = config.widths[:1] * 9", "grad-unet"),
        ("a time embedding of 8 times the channels", "4 * config.channels", "8 * config.channels", "grad-unet"),
        ("attention one level further down", "config.size[0] // 2**i in", "config.size[0] // 2 ** (i + 1) in",
         "grad-unet"),
    ],
    "models.unet.ResidualBlock.__init__": [
        ("a shortcut everywhere", "kernel=1) if c_in != c_out else None", "kernel=1)",
         "grad-unet"),
        ("the first norm in the second's groups", "GroupNorm(c_out, config.groups", "GroupNorm(c_out, 1",
         "grad-layer-residual-block grad-unet"),
    ],
    "models.unet.Level.block": [
        ("no attention", "self.attentions[i](h) if self.attentions else h", "h", "grad-unet"),
        ("attention before the block", "self.resnets[i](x, temb)",
         "self.resnets[i](self.attentions[i](x) if self.attentions and not i else x, temb)", "grad-unet"),
    ],
    "models.mlp.MLP.embed": [
        ("t not shifted", "t - 1", "t", "grad-mlp grad-loss"),
    ],
    "models.mlp.Layer.__call__": [
        ("t dropped", "self.linear(h) + self.time_emb_proj(embedding)", "self.linear(h)", "grad-mlp grad-loss"),
    ],
    "models.classifier.log_softmax": [
        ("no maximum taken off", "shifted = of(x), x - m", "shifted = of(x), x", "grad-classifier"),
        ("the maximum not taken off again", "return shifted -", "return x -", "grad-classifier"),
        ("the mean for the sum", "xp.sum(xp.exp(shifted)", "xp.mean(xp.exp(shifted)", "grad-classifier"),
    ],
    "models.classifier.cross_entropy": [
        ("the sign", "return -of(log_p)", "return of(log_p)", "grad-classifier"),
    ],
    "models.classifier.Classifier.features": [
        ("a sum over positions", "ops.mean(x, axis=(1, 2))", "ops.OPS.sum(x, axis=(1, 2))", "grad-classifier"),
    ],
}

LOSSES: Lines = {
    "diffusion.loss.simple_loss": [
        ("a sum for the mean", "return mean_over_image(of(difference).square(difference))",
         "return of(difference).sum(of(difference).square(difference), axis=tuple(range(1, difference.ndim)))",
         "grad-loss"),
        ("absolute differences' squares halved", "of(difference).square(difference)",
         "0.5 * of(difference).square(difference)", "grad-loss"),
        ("the mean over the batch too", "mean_over_image(of(difference).square(difference))",
         "of(difference).mean(of(difference).square(difference))", "grad-loss"),
        ("the gradient through the prediction is cut", "- output", "- of(output).stop_gradient(output)", "grad-loss"),
        ("x₀'s gradient is cut", "output = model(x_t, t)", "output = model(of(x_t).stop_gradient(x_t), t)",
         "grad-loss"),
        ("the net evaluated at t − 1", "model(x_t, t)", "model(x_t, t - 1)", "grad-loss"),
        ("the net evaluated at x₀", "model(x_t, t)", "model(x_0, t)", "grad-loss"),
    ],
    "diffusion.forward.q_sample": [
        ("1 − ᾱ without its root", "k.sqrt_one_minus_alpha_bar", "k.one_minus_alpha_bar", "grad-loss"),
    ],
    "diffusion.loss.target": [
        ("x_t for x₀", "return x_0\n", "return x_t\n", "grad-loss"),
    ],
    "diffusion.loss.hybrid_loss": [
        ("the mean is not held", "(xp.stop_gradient(prediction), second)", "(prediction, second)", "grad-hybrid-loss"),
        ("the variance is held too", "(xp.stop_gradient(prediction), second)",
         "(xp.stop_gradient(prediction), xp.stop_gradient(second))", "grad-hybrid-loss"),
        ("the variance is held, the mean not", "(xp.stop_gradient(prediction), second)",
         "(prediction, xp.stop_gradient(second))", "grad-hybrid-loss"),
        ("the factor T dropped", "weight * schedule.T * term", "weight * term", "grad-hybrid-loss"),
        ("λ dropped", "weight * schedule.T * term", "schedule.T * term", "grad-hybrid-loss"),
        ("L_simple's mean held too", "x_0, x_t, t, noise, predicts) - prediction",
         "x_0, x_t, t, noise, predicts) - xp.stop_gradient(prediction)", "grad-hybrid-loss"),
    ],
    "diffusion.variance.learned_range_log_variance": [
        ("v for (v + 1)/2", "(v + 1.0) * 0.5", "v", "grad-hybrid-loss"),
        ("the ends exchanged", "k.log_beta + (1.0 - w) * k.posterior_log_variance_clipped",
         "k.posterior_log_variance_clipped + (1.0 - w) * k.log_beta", "grad-hybrid-loss"),
    ],
}

OPTIMISER: Lines = {
    "training.adam.adam_step": [
        ("no bias correction", "m / (1 - b1**k)\n    v_hat = v / (1 - b2**k)", "m\n    v_hat = v", "adam"),
        ("ε inside the root", "(of(v_hat).sqrt(v_hat) + eps)", "of(v_hat).sqrt(v_hat + eps)", "adam"),
        ("(1 − β₂) dropped", "(1 - b2) * g**2", "g**2", "adam"),
        ("the moments of the update before", "return of(new).astype(new, theta.dtype), m, v",
         "return of(new).astype(new, theta.dtype), (m - (1 - b1) * g) / max(b1, 0.1), v", "adam"),
    ],
    "training.adam.Adam.update": [
        ("a gradient that is not finite is used", "array[...] = xp.where(ok, updated, array)", "array[...] = updated",
         "adam"),
    ],
    "training.fused_update.fused_factors": [
        ("no bias correction", "number(rate / (1 - b1**k), zero),\n                   "
         "number(1 / xp.sqrt(1 - b2**k), zero)", "number(rate, zero), number(1 + zero, zero)", "adam"),
        ("m alone corrected", "number(1 / xp.sqrt(1 - b2**k), zero)", "number(1 + zero, zero)", "adam"),
        ("v alone corrected", "number(rate / (1 - b1**k), zero)", "number(rate, zero)", "adam"),
        ("β₁ and β₂ exchanged", "(b1, b2) = of(k)", "(b2, b1) = of(k)", "adam"),
        ("moments decay where the step is none", "number(b1 + zero, 1 + zero)", "number(b1 + zero, b1 + zero)", "adam"),
        ("a step that is not finite moves the parameters", "number(rate / (1 - b1**k), zero)",
         "number(rate / (1 - b1**k), rate)", "adam"),
    ],
    "training.adam.Adam.factors": [
        ("the correction's count from 0", "self.counts[group] + 1, rate",
         "self.counts[group] + (self.counts[group] == 0), rate", "adam"),
    ],
    "training.adam.Adam.count": [
        ("the count not raised", "xp.where(ok, xp.ones_like(self.updates), xp.zeros_like(self.updates))",
         "xp.zeros_like(self.updates)", "adam"),
        ("a step that is not finite counts", "xp.where(ok, xp.ones_like(self.updates), xp.zeros_like(self.updates))",
         "xp.ones_like(self.updates)", "adam"),
    ],
    "training.fused_update.fused_update": [
        ("ε inside the root", "xp.sqrt(v_block) * root + eps", "xp.sqrt(v_block * root * root + eps)", "adam"),
        ("ε̂: added before the correction", "(xp.sqrt(v_block) * root + eps)", "((xp.sqrt(v_block) + eps) * root)",
         "adam"),
        ("the root of v forgotten", "xp.sqrt(v_block) * root", "v_block * root * root", "adam"),
        ("uphill", "p -= step", "p += step", "adam"),
        ("(1 − β₂) dropped", "v_block += add_v * (g * g)", "v_block += g * g", "adam"),
        ("(1 − β₁) dropped", "m_block += add_m * g", "m_block += g", "adam"),
        ("the gradient for its square", "(g * g)", "abs(g)", "adam"),
        ("the update before the moments", "p -= step * m_block / (xp.sqrt(v_block) * root + eps)",
         "p -= step * (m_block - add_m * g) / (xp.sqrt(v_block) * root + eps)", "adam"),
    ],
    "training.adam.Adam.rate": [
        ("warm-up off by one", "self.updates / self.warmup", "(self.updates + 1) / self.warmup", "adam"),
        ("warm-up does not end", "xp.clip(self.updates / self.warmup, None, 1.0)", "(self.updates / self.warmup)",
         "adam"),
        ("no warm-up", "self.warmup == 0", "True", "adam"),
    ],
    "training.adam.Adam.step": [
        ("not finite is not noticed", "asarray(self.flat.xp.isfinite(norm_by_blocks(self.flat.grad)))", "True",
         "adam"),
    ],
    "training.flat.blocks": [
        ("the last block dropped", "range(0, size, length)", "range(0, max(size - length, 1), length)", "adam"),
    ],
    "training.flat.Flat.add": [
        ("an old gradient stays where there is none", "part[...] = 0 if g is None else g",
         "part[...] = part if g is None else g", "adam"),
        ("the last part's gradient for the sum", "part[...] += g", "part[...] = g", "adam"),
    ],
    "training.clip.clip_scale": [
        ("the norm always made the one allowed", "xp.clip(max_norm / (norm + 1e-6), None, 1.0)",
         "max_norm / (norm + 1e-6)",
         "norm-clip"),
        ("the square of the norm", "max_norm / (norm + 1e-6)", "max_norm / (norm * norm + 1e-6)", "norm-clip"),
    ],
    "training.clip.clip_grad_norm": [
        ("by value", "xp.where(ok, p.grad, xp.zeros_like(p.grad)) * scale",
         "xp.clip(xp.where(ok, p.grad, xp.zeros_like(p.grad)), -max_norm, max_norm)", "norm-clip"),
        ("not finite stays", "xp.where(ok, p.grad, xp.zeros_like(p.grad))", "p.grad", "norm-clip"),
    ],
    "training.clip.global_norm": [
        ("the norm of the largest", "xp.sqrt(xp.sum(xp.square(", "xp.sqrt(xp.max(xp.square(", "norm-clip"),
    ],
    "training.flat.norm_from_squares": [
        ("the root forgotten", "xp.sqrt(xp.sum(xp.stack(sums)))", "xp.sum(xp.stack(sums))", "norm-clip"),
    ],
    "training.flat.accumulate": [
        ("a mean square", "xp.sum(xp.square(total))", "xp.mean(xp.square(total))", "norm-clip"),
    ],
    "training.ema.EMA.share": [
        ("the decay reversed", "share = 1 - self.decay", "share = self.decay", "ema"),
        ("an update that did not count moves it", "share * ok if isinstance(ok, bool)",
         "share if isinstance(ok, bool)", "ema"),
        ("… by a device's flag", "xp.where(ok, share, 0.0)", "xp.where(ok, share, share)", "ema"),
    ],
    "training.ema.EMA.move": [
        ("weights added, not averaged", "(self.source.data[block] - average)", "self.source.data[block]", "ema"),
    ],
    "training.ema.EMA.__init__": [
        ("the average shares the weights", "self.data = self.source.buffer()", "self.data = self.source.data", "ema"),
        ("it begins at 0", "self.data[...] = self.source.data", "self.data[...] = 0", "ema"),
    ],
}
