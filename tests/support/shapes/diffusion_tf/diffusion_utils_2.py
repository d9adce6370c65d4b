"""A class of the shape of the paper's code for TensorFlow 1, written for the tests of its adapter."""

import numpy as np
import tensorflow.compat.v1 as tf

from . import nn


def normal_kl(mean1, logvar1, mean2, logvar2):
    apart = tf.squared_difference(mean1, mean2) * tf.exp(-logvar2)
    return 0.5 * (logvar2 - logvar1 - 1.0 + tf.exp(logvar1 - logvar2) + apart)


class GaussianDiffusion2:
    def __init__(self, *, betas, model_mean_type, model_var_type, loss_type):
        assert (model_mean_type, loss_type) == ("eps", "mse")
        self.alphas_cumprod = np.cumprod(1 - betas)

    def table(self, values, t, x):
        found = tf.gather(tf.convert_to_tensor(values, dtype=tf.float32), t)
        assert found.shape == [x.shape[0]]
        return tf.reshape(found, [x.shape[0]] + [1] * (len(x.shape) - 1))

    def q_sample(self, x, t, noise):
        bars = self.alphas_cumprod
        return self.table(np.sqrt(bars), t, x) * x + self.table(np.sqrt(1 - bars), t, x) * noise

    def training_losses(self, net, x, t, noise):
        return nn.meanflat(tf.squared_difference(noise, net(self.q_sample(x, t, noise), t)))
