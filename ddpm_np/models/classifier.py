"""A small convolutional classifier, whose features tell generated images from real ones; and its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ddpm_np.autograd import ops
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import of, to_host
from ddpm_np.nn import Conv2d, GroupNorm, Linear, Module


@dataclass(frozen=True)
class ClassifierConfig:
    """The shape of a classifier.

    Parameters
    ----------
    image_size
        Side of the image, or (H, W); at least 8, odd sides too.
    in_channels
        Channels of the image.
    classes
        K, at least 2.
    channels
        Channels of the first convolution; each halving of the side doubles them, up to `features`.
    features
        F, the channels of the last convolution.
    groups
        Groups of each normalisation.
    norm_eps
        ε under the root of each normalisation.
    """

    image_size: int | tuple[int, int]
    in_channels: int
    classes: int
    channels: int = 16
    features: int = 64
    groups: int = 8
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        size = self.image_size
        object.__setattr__(self, "image_size", size if isinstance(size, int) else tuple(size))
        if len(self.size) != 2 or min(self.size) < 8:
            raise ValueError(f"image_size must be one side or (H, W), each at least 8, got {size}: enlarge the images")
        for name, least in (("in_channels", 1), ("classes", 2), ("channels", 1), ("features", 1), ("groups", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for width in self.widths:
            if width % self.groups:
                raise ValueError(f"{width} channels do not divide into {self.groups} groups: change channels, features "
                                 "or groups")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels after each convolution: the first, one a halving until no side is above 4, and the last."""
        halvings = (max(self.size) - 1).bit_length() - 2  # ⌈log₂ side⌉ − 2: a side s becomes ⌈s/2⌉
        return (*(min(self.channels * 2**i, self.features) for i in range(halvings + 1)), self.features)


class Block(Module):
    """SiLU(GroupNorm(conv(x))), a 3×3 convolution of stride 1 or 2."""

    def __init__(self, c_in: int, c_out: int, stride: int, config: ClassifierConfig):
        self.conv = Conv2d(c_in, c_out, stride=stride)
        self.norm = GroupNorm(c_out, config.groups, config.norm_eps, silu=True)

    def __call__(self, x: Any) -> Tensor:
        return self.norm(self.conv(x))


class Classifier(Module):
    """Logits of K classes from an image: convolutions, a mean over positions, a dense layer.

    One block keeps the side, some halve it until it is at most 4, and the last keeps it: its convolutions reach across
    the whole image. An image's features are the same bits in any batch.

    Parameters
    ----------
    config
        Its shape.
    seed, dtype, backend
        First weights (fan-average uniform).

    Examples
    --------
    >>> import numpy as np
    >>> model = Classifier(ClassifierConfig(image_size=8, in_channels=1, classes=10))
    >>> x = np.zeros((2, 8, 8, 1), np.float32)
    >>> model(x).shape, model.features(x).shape
    ((2, 10), (2, 64))
    """

    def __init__(self, config: ClassifierConfig, seed: int = 0, dtype: str = "float32", backend: Any = "numpy"):
        self.config = config
        widths = config.widths
        strides = (1, *(2,) * (len(widths) - 2), 1)
        inputs = (config.in_channels, *widths[:-1])
        self.blocks = [Block(*layer, config) for layer in zip(inputs, widths, strides, strict=True)]
        self.classify = Linear(config.features, config.classes)
        self.initialise(seed, dtype, backend)

    def features(self, x: Any) -> Tensor:
        """What the dense layer sees: the last block's channels, each averaged over its positions.

        Parameters
        ----------
        x
            Array or Tensor (N, H, W, C) in [−1, 1], of the parameters' dtype.

        Returns
        -------
        Tensor (N, F)

        Raises
        ------
        ValueError
            For images of another shape than the configuration's.
        """
        x = x if isinstance(x, Tensor) else Tensor(x)
        expected = (*self.config.size, self.config.in_channels)
        if tuple(x.shape[1:]) != expected:
            raise ValueError(f"expected images of shape (N, {', '.join(map(str, expected))}), got {tuple(x.shape)}: "
                             "use a classifier for images of that shape")
        for block in self.blocks:
            x = block(x)  # (N, H', W', C')
        return ops.mean(x, axis=(1, 2))  # (N, F)

    def __call__(self, x: Any) -> Tensor:
        """Logits (N, K) of images (N, H, W, C): see `features`."""
        return self.classify(self.features(x))


def log_softmax(x: Any) -> Any:
    """ln(e^x/Σ e^x) = (x − m) − ln Σ e^{x − m} over the last axis, m the maximum (of the real part), held constant.

    The result does not depend on m, so neither does its gradient.

    >>> import numpy as np
    >>> log_softmax(np.array([[1000.0, 1000.0]]))
    array([[-0.69314718, -0.69314718]])
    """
    data = x.data if isinstance(x, Tensor) else x
    host = of(data)
    m = host.max(host.real(data) if "complex" in str(data.dtype) else data, axis=-1, keepdims=True)  # (…, 1)
    xp, shifted = of(x), x - m
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def cross_entropy(logits: Any, labels: Any) -> Any:
    """−ln p(y|x), p = softmax(logits): one number an image.

    Parameters
    ----------
    logits
        Array or Tensor (N, K).
    labels
        Int array (N,), 0..K − 1, on the logits' device.

    Returns
    -------
    (N,)
        An array or a Tensor, as the logits are.

    Raises
    ------
    ValueError
        For labels of another shape, or outside 0..K − 1.

    Examples
    --------
    >>> import numpy as np
    >>> cross_entropy(np.zeros((2, 4)), np.array([0, 3]))  # ln 4
    array([1.38629436, 1.38629436])
    """
    n, k = logits.shape
    if tuple(labels.shape) != (n,):
        raise ValueError(f"expected one label an image, shape ({n},), got {tuple(labels.shape)}")
    one_hot = labels[:, None] == of(labels).arange(k)  # (N, K)
    if not to_host(of(labels).all(of(labels).any(one_hot, axis=1))):
        raise ValueError(f"labels must be from 0 to {k - 1} for logits of {k} classes: number the classes from 0")
    log_p = log_softmax(logits)  # (N, K)
    return -of(log_p).sum(log_p * of(labels).astype(one_hot, logits.dtype), axis=1)
