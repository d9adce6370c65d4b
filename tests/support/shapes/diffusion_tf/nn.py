"""A function of the shape of the paper's nn.py."""

import tensorflow.compat.v1 as tf

DEFAULT = tf.initializers.variance_scaling(scale=1.0)  # not a name of the stand-in


def meanflat(x):
    return tf.reduce_mean(x, axis=list(range(1, len(x.shape))))
