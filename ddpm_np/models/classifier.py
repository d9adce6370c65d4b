"""A small convolutional classifier, whose features serve to compare generated images with real ones; and its loss."""

from __future__ import annotations

from dataclasses import dataclass

from ddpm_np import arguments
from ddpm_np.autograd import ops
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array, Backend, Ints, dtype_name, of, plain, to_host
from ddpm_np.models.inputs import batch
from ddpm_np.nn import Conv2d, GroupNorm, Linear, Module


@dataclass(frozen=True)
class ClassifierConfig:
    """The shape of a classifier.

    Attributes
    ----------
    image_size : int or tuple of int
        The side of the image, or (H, W); each at least 8, and odd sides are allowed.
    in_channels : int
        Channels of the image.
    classes : int
        K, at least 2.
    channels : int
        Channels of the first convolution; each halving of the side doubles them, up to `features`.
    features : int
        F, the channels of the last convolution.
    groups : int
        Groups of each normalisation.
    norm_eps : float
        The ε under the root of each normalisation.

    Raises
    ------
    ValueError
        If a value is out of range, or the channels do not divide into the groups.
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
        object.__setattr__(self, "image_size", arguments.sides("image_size", size, 8, "enlarge the images"))
        for name, least in (("in_channels", 1), ("classes", 2), ("channels", 1), ("features", 1), ("groups", 1)):
            arguments.count(name, getattr(self, name), least)
        for width in self.widths:
            if width % self.groups:
                raise ValueError(f"{width} channels do not divide into {self.groups} groups: change channels, features "
                                 "or groups")

    @property
    def size(self) -> tuple[int, int]:
        """The image's (H, W).

        Returns
        -------
        tuple of int
        """
        return (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels after each convolution: the first, one for each halving until no side exceeds 4, and the last.

        Returns
        -------
        tuple of int
        """
        halvings = (max(self.size) - 1).bit_length() - 2  # ⌈log₂ side⌉ − 2: a side s becomes ⌈s/2⌉
        return (*(min(self.channels * 2**i, self.features) for i in range(halvings + 1)), self.features)


class Block(Module):
    """SiLU(GroupNorm(conv(x))), a 3×3 convolution of stride 1 or 2.

    Parameters
    ----------
    c_in, c_out, stride : int
    config : ClassifierConfig
    """

    def __init__(self, c_in: int, c_out: int, stride: int, config: ClassifierConfig) -> None:
        self.conv = Conv2d(c_in, c_out, stride=stride)
        self.norm = GroupNorm(c_out, config.groups, config.norm_eps, silu=True)

    def __call__(self, x: Array) -> Tensor:
        return self.norm(self.conv(x))


class Classifier(Module):
    """Logits of K classes from an image: convolutions, a mean over positions, a dense layer.

    The first block keeps the side, the next ones halve it until it is at most 4, and the last keeps it: its
    convolutions reach across the whole image. On the CPU, an image's features have the same bits in any batch.

    Parameters
    ----------
    config : ClassifierConfig
        Its shape.
    seed : int
        The seed of the first weights (fan-average uniform).
    dtype : str
        The dtype of the weights.
    backend : str or Backend
        Where the weights live.

    Examples
    --------
    >>> import numpy as np
    >>> model = Classifier(ClassifierConfig(image_size=8, in_channels=1, classes=10))
    >>> x = np.zeros((2, 8, 8, 1), np.float32)
    >>> model(x).shape, model.features(x).shape
    ((2, 10), (2, 64))
    """

    def __init__(self, config: ClassifierConfig, seed: int = 0, dtype: str = "float32",
                 backend: str | Backend = "numpy") -> None:
        self.config = config
        widths = config.widths
        strides = (1, *(2,) * (len(widths) - 2), 1)
        inputs = (config.in_channels, *widths[:-1])
        self.blocks = [Block(*layer, config) for layer in zip(inputs, widths, strides, strict=True)]
        self.classify = Linear(config.features, config.classes)
        self.initialise(seed, dtype, backend)

    def features(self, x: Array) -> Tensor:
        """Return the input of the dense layer: the last block's channels, each averaged over its positions.

        Parameters
        ----------
        x : array or Tensor of shape (N, H, W, C)
            In [−1, 1], of the parameters' dtype.

        Returns
        -------
        Tensor of shape (N, F)

        Raises
        ------
        TypeError
            If the images are not of floating-point numbers.
        ValueError
            If they have another shape than the configuration's.
        """
        x = batch(x, (*self.config.size, self.config.in_channels), advice=": use a classifier for images of that shape")
        for block in self.blocks:
            x = block(x)  # (N, H', W', C')
        return ops.mean(x, axis=(1, 2))  # (N, F)

    def __call__(self, x: Array) -> Tensor:
        """Return the logits (N, K) of images (N, H, W, C): see `features`."""
        return self.classify(self.features(x))


def log_softmax(x: Array) -> Array:
    """Return ln(e^x/Σ e^x) = (x − m) − ln Σ e^{x − m} over the last axis, m the maximum.

    The maximum, that of the real part, is held constant: the result does not depend on it, and so neither does the
    gradient.

    Parameters
    ----------
    x : array or Tensor of shape (…, K)

    Returns
    -------
    array or Tensor of shape (…, K)

    Examples
    --------
    >>> import numpy as np
    >>> log_softmax(np.array([[1000.0, 1000.0]]))
    array([[-0.69314718, -0.69314718]])
    """
    data = plain(x)
    host = of(data)
    m = host.max(host.real(data) if "complex" in dtype_name(data.dtype) else data, axis=-1, keepdims=True)  # (…, 1)
    xp, shifted = of(x), x - m
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def cross_entropy(logits: Array, labels: Ints) -> Array:
    """Return −ln p(y|x) of each image, p = softmax(logits), in nats.

    Parameters
    ----------
    logits : array or Tensor of shape (N, K)
    labels : int array of shape (N,)
        0..K − 1, on the logits' device.

    Returns
    -------
    array or Tensor of shape (N,)

    Raises
    ------
    TypeError
        If the labels are not an int array.
    ValueError
        If they have another shape, or are out of range.

    Examples
    --------
    >>> import numpy as np
    >>> cross_entropy(np.zeros((2, 4)), np.array([0, 3]))  # ln 4
    array([1.38629436, 1.38629436])
    """
    n, k = logits.shape
    if "int" not in dtype_name(getattr(labels, "dtype", "")):
        raise TypeError(f"labels must be an int array of shape ({n},), got {arguments.described(labels)}")
    if tuple(labels.shape) != (n,):
        raise ValueError(f"expected one label for each image, shape ({n},), got {tuple(labels.shape)}")
    one_hot = labels[:, None] == of(labels).arange(k)  # (N, K)
    if not to_host(of(labels).all(of(labels).any(one_hot, axis=1))):
        raise ValueError(f"labels must be from 0 to {k - 1} for logits of {k} classes: number the classes from 0")
    log_p = log_softmax(logits)  # (N, K)
    zeros = of(plain(logits)).zeros_like(plain(logits))  # not a product with 0: ln p may be −∞ where y is another label
    return -of(log_p).sum(of(log_p).where(one_hot, log_p, zeros), axis=1)
