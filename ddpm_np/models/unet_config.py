"""The shape of a U-Net, as a checked dataclass."""

from __future__ import annotations

from dataclasses import dataclass

from ddpm_np import arguments, presets


@dataclass(frozen=True)
class UNetConfig:
    """The shape of a U-Net.

    Attributes
    ----------
    image_size : int or tuple of int
        The side of the image, or (H, W); divisible by 2^(levels − 1).
    in_channels : int
        Channels of the image.
    channels : int
        Channels of the first level; level i has ``channels · channel_multipliers[i]``.
    channel_multipliers : tuple of float
        One number for each level, whole or not; each level has half the side of the one before.
    blocks_per_level : int
        Residual blocks of a level on the way down; there is one more on the way up.
    attention_resolutions : tuple of int
        The heights (pixels) of the levels whose blocks are followed by attention.
    dropout : float
        The probability of dropping an element before the second convolution of each block.
    groups : int
        Groups of each normalisation.
    out_channels : int, optional
        Channels of the output; None for `in_channels`.
    heads : int
        Attention heads.
    num_classes : int, optional
        The number of labels y for which the net learns an embedding: ``model(x, t, y)``. None: it takes no labels.
    norm_eps : float
        The ε under the root of each normalisation.
    downsample_padding : str
        ``"asymmetric"`` (the paper: zeros on the right and bottom only) or ``"symmetric"``.
    flip_sin_to_cos : bool
        The order of the time embedding, as in `time_embedding`; False in the paper.
    freq_shift : float
        The frequencies of the time embedding, as in `time_embedding`; 1 in the paper.
    head_dim : int, optional
        The channels of a head, in place of `heads`: each level then has as many heads as fit in its channels.

    Raises
    ------
    ValueError
        If a value is out of range, or two do not go together.

    Examples
    --------
    >>> UNetConfig.preset("cifar10").widths
    (128, 256, 256, 256)
    """

    image_size: int | tuple[int, int]
    in_channels: int
    channels: int
    channel_multipliers: tuple[float, ...]
    blocks_per_level: int
    attention_resolutions: tuple[int, ...]
    dropout: float = 0.0
    groups: int = 32
    out_channels: int | None = None
    heads: int = 1
    num_classes: int | None = None
    norm_eps: float = 1e-6
    downsample_padding: str = "asymmetric"
    flip_sin_to_cos: bool = False
    freq_shift: float = 1
    head_dim: int | None = None

    def __post_init__(self) -> None:
        size = self.image_size
        object.__setattr__(self, "image_size", arguments.sides("image_size", size))
        object.__setattr__(self, "channel_multipliers", tuple(
            int(m) if m == int(m) else m for m in self.channel_multipliers))
        object.__setattr__(self, "attention_resolutions", tuple(self.attention_resolutions))
        counts = {name: getattr(self, name) for name in (
            "in_channels", "channels", "blocks_per_level", "groups", "heads", "out_channels", "num_classes",
            "head_dim")}
        for name, given in counts.items():
            if given is not None:
                arguments.count(name, given)
        arguments.number("dropout", self.dropout, least=0, below=1)
        if not self.channel_multipliers:
            raise ValueError("channel_multipliers is empty: give one number for each level, such as (1, 2, 2, 2)")
        reduction = 2 ** (len(self.channel_multipliers) - 1)
        for side in self.size:
            if side < 1 or side % reduction:
                raise ValueError(
                    f"image_size {size}: {len(self.channel_multipliers)} levels halve the side "
                    f"{len(self.channel_multipliers) - 1} times, so it must be a multiple of {reduction}"
                )
        for multiplier, width in zip(self.channel_multipliers, self.widths, strict=True):
            if width < 1 or abs(width - self.channels * multiplier) > 1e-6:
                raise ValueError(f"channel_multipliers: {multiplier} times {self.channels} channels must be a whole "
                                 "number of them, at least 1")
            if width % self.groups:
                raise ValueError(f"{width} channels do not divide into {self.groups} groups: change channels or groups")
        arguments.number("norm_eps", self.norm_eps, least=0)
        if self.head_dim is not None and self.heads != 1:
            raise ValueError(f"give heads or head_dim, not both: got {self.heads} and {self.head_dim}")
        arguments.one_of("downsample_padding", self.downsample_padding, ("asymmetric", "symmetric"))
        if self.channels % 2 or self.channels < 4:
            raise ValueError(f"channels is also the size of the time embedding: even and at least 4, got "
                             f"{self.channels}")
        if self.freq_shift == self.channels / 2:
            raise ValueError(f"freq_shift must not be half the channels, {self.channels}: the frequencies divide by "
                             "their difference")
        heights = {self.size[0] // 2**i for i in range(len(self.channel_multipliers))}
        if not set(self.attention_resolutions) <= heights:
            raise ValueError(
                f"attention_resolutions {self.attention_resolutions}: the levels' heights are {sorted(heights)}"
            )
        for i, width in enumerate(self.widths):
            if i == len(self.widths) - 1 or self.size[0] // 2**i in self.attention_resolutions:
                self.heads_of(width)

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
        """The channels of each level.

        Returns
        -------
        tuple of int
        """
        return tuple(round(self.channels * m) for m in self.channel_multipliers)

    def heads_of(self, channels: int) -> int:
        """Return the number of heads of an attention.

        Parameters
        ----------
        channels : int
            The channels that it attends over.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If the channels do not divide into heads.
        """
        if channels % (self.head_dim or self.heads):
            raise ValueError(f"{channels} channels do not divide into " + (
                f"{self.heads} heads: change heads" if self.head_dim is None else
                f"heads of {self.head_dim}: change head_dim"))
        return self.heads if self.head_dim is None else channels // self.head_dim

    @classmethod
    def preset(cls, name: str) -> UNetConfig:
        """Return the net of a preset.

        Parameters
        ----------
        name : str
            Such as ``"cifar10"`` (the paper's) or ``"digits"``.

        Returns
        -------
        UNetConfig
        """
        return cls(**presets.read(name)["model"])
