"""PyTorch's side of the benchmark: the same net, step, forward pass and sampling in PyTorch and diffusers.

PyTorch is only compared with, never used to compute: it is imported here alone, on demand.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ddpm_np.bench.timing import COMPILED, EAGER
from ddpm_np.check.targets.peers import imported
from ddpm_np.diffusion import linear_schedule
from ddpm_np.models import UNetConfig

LAYOUTS = dict(zip(EAGER, ("contiguous_format", "channels_last"), strict=True))


def why_absent() -> str | None:
    """Return None if PyTorch and diffusers can be imported, else the reason in one line."""
    try:
        imported("torch", "PyTorch")
        imported("diffusers", "diffusers")
    except ImportError as error:
        return str(error)
    return None


def cpu_capability() -> str | None:
    """Return the instructions that PyTorch's own kernels use on this CPU, None without PyTorch."""
    if why_absent():
        return None
    return str(imported("torch", "PyTorch").backends.cpu.get_cpu_capability())


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Set PyTorch's number of threads while the context is open; do nothing if PyTorch is not installed."""
    if why_absent():
        yield
        return
    torch = imported("torch", "PyTorch")
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's own warnings
            yield
    finally:
        torch.set_num_threads(before)


def build(config: UNetConfig) -> Any:
    """Build diffusers' UNet2DModel with the same architecture and the same number of parameters."""
    diffusers = imported("diffusers", "diffusers")
    heights = [config.size[0] // 2**i for i in range(len(config.channel_multipliers))]
    attends = [height in config.attention_resolutions for height in heights]
    return diffusers.UNet2DModel(
        sample_size=config.size[0], in_channels=config.in_channels, out_channels=config.in_channels,
        block_out_channels=list(config.widths),
        layers_per_block=config.blocks_per_level, dropout=config.dropout, norm_num_groups=config.groups,
        down_block_types=["AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        up_block_types=["AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        attention_head_dim=None, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=config.norm_eps,
    )


class PyTorchNet:
    """A PyTorch net in one memory layout.

    Parameters
    ----------
    config : UNetConfig
        Configuration of the net.
    layout : str
        ``"contiguous_format"`` or ``"channels_last"``.
    compiled : bool
        Run forward and backward through torch.compile.
    device : str
        ``"cpu"`` or ``"cuda:N"``.
    """

    def __init__(self, config: UNetConfig, layout: str = "contiguous_format", compiled: bool = False,
                 device: str = "cpu"):
        self.torch, self.device = imported("torch", "PyTorch"), device
        self.layout = getattr(self.torch, layout)
        self.net = build(config).to(device=device, memory_format=self.layout)
        self.call = self.torch.compile(self.net) if compiled else self.net
        self.parameters = list(self.net.parameters())
        self.shape = (config.in_channels, *config.size)

    def images(self, x: np.ndarray) -> Any:
        """Convert images (N, H, W, C) to a tensor (N, C, H, W) in this layout."""
        images = self.torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(self.device)
        return images.contiguous(memory_format=self.layout)

    def _wait(self) -> None:
        """Wait for the GPU, if that is the device."""
        if self.device != "cpu":
            self.torch.cuda.synchronize(self.device)

    def training(self, x: np.ndarray) -> Callable[[], float]:
        """Return a whole training step on a batch as a function: draws, forward, backward, clip, Adam, EMA."""
        torch, x_0 = self.torch, self.images(x)
        alpha_bar = torch.tensor(linear_schedule(1000).alpha_bar, dtype=torch.float32, device=self.device)
        adam = torch.optim.Adam(self.parameters, lr=2e-4, fused=True)
        average = [p.detach().clone() for p in self.parameters]
        self.net.train()

        def step() -> float:
            t = torch.randint(1, 1001, (len(x_0),), device=self.device)
            noise = torch.randn_like(x_0)
            a = alpha_bar[t][:, None, None, None]
            x_t = (a.sqrt() * x_0 + (1 - a).sqrt() * noise).contiguous(memory_format=self.layout)
            loss = torch.nn.functional.mse_loss(self.call(x_t, t - 1).sample, noise)
            adam.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            adam.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, self.parameters, 1e-4)
            return loss.item()

        return step

    def forward(self, x: np.ndarray, t: np.ndarray) -> Callable[[], Any]:
        """Return the net's forward pass as a function: evaluation mode, no gradient."""
        torch, x_t, steps = self.torch, self.images(x), self.torch.from_numpy(t - 1).to(self.device)
        self.net.eval()

        def run() -> Any:
            with torch.inference_mode():
                y = self.call(x_t, steps).sample
            self._wait()
            return y

        return run

    def sampling(self, n: int, steps: int) -> Callable[[], Any]:
        """Return ancestral sampling of `n` images in `steps` steps as a function: diffusers' DDPMScheduler."""
        torch = self.torch
        scheduler = imported("diffusers", "diffusers").DDPMScheduler(
            num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, timestep_spacing="trailing")
        scheduler.set_timesteps(steps)
        self.net.eval()

        def run() -> Any:
            with torch.inference_mode():
                x = torch.randn(n, *self.shape, device=self.device).contiguous(memory_format=self.layout)
                for t in scheduler.timesteps:
                    x = scheduler.step(self.call(x, t).sample, t, x).prev_sample
                x = x.clamp(-1, 1)
            self._wait()
            return x

        return run


def sides(config: UNetConfig, run_of: Callable[[PyTorchNet], Callable[[], Any]], compiled: bool, device: str = "cpu",
          ) -> tuple[dict[str, Callable[[], Any]], list[str]]:
    """Return PyTorch's functions to time: one for each memory layout, and a compiled one on request.

    Parameters
    ----------
    config : UNetConfig
        Configuration of the net.
    run_of : callable
        Makes the function to time from a net.
    compiled : bool
        Include torch.compile if it works.
    device : str
        ``"cpu"`` or ``"cuda:N"``.

    Returns
    -------
    sides : dict
        The functions by name; empty without PyTorch.
    notes : list of str
        Reasons why a side is missing.
    """
    absent = why_absent()
    if absent:
        return {}, [f"PyTorch was not measured: {absent}"]
    if device != "cpu" and not imported("torch", "PyTorch").cuda.is_available():
        return {}, ["PyTorch was not measured: this build of it has no CUDA, or finds no GPU"]
    found = {name: run_of(PyTorchNet(config, layout, device=device)) for name, layout in LAYOUTS.items()}
    if not compiled:
        return found, []
    run = run_of(PyTorchNet(config, compiled=True, device=device))
    try:
        run()
    except Exception as error:  # torch.compile can raise anything: note it and measure the rest
        return found, [f"torch.compile does not work here: {one_line(error)}"]
    return {**found, COMPILED: run}, []


def one_line(error: BaseException, most: int = 160) -> str:
    """Return an error's type and its first non-empty line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:most]


def loading(images: np.ndarray, levels: int, batch: int) -> dict[str, Callable[[], Any]]:
    """Return an epoch of PyTorch's DataLoader with flips as functions by name: whole batches, and image by image.

    Both scale bytes to [−1, 1] in float32, as ours does.
    """
    torch = imported("torch", "PyTorch")
    data = imported("torch.utils.data", "PyTorch")
    dataset = data.TensorDataset(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    batches = data.BatchSampler(data.RandomSampler(dataset), batch, drop_last=True)
    loaders = (data.DataLoader(dataset, sampler=batches, batch_size=None),
               data.DataLoader(dataset, batch, shuffle=True, drop_last=True))

    def epoch(loader: Any) -> None:
        for (x,) in loader:
            scaled = x.float() * (2 / (levels - 1)) - 1
            mirrored = torch.rand(len(x)) < 0.5
            scaled[mirrored] = scaled[mirrored].flip(-1)

    return {name: lambda loader=loader: epoch(loader)  # type: ignore[misc]
            for name, loader in zip(LOADERS, loaders, strict=True)}


LOADERS = ("PyTorch, whole batches", "PyTorch, image by image")


def operation(name: str, layout: str, arrays: list[np.ndarray], options: dict[str, Any], cotangent: np.ndarray | None,
              ) -> Callable[[], Any]:
    """Return PyTorch's version of an op as a function: the forward, with all gradients if a cotangent is given.

    Parameters
    ----------
    name : str
        Name of our op.
    layout : str
        Memory layout of images and kernels, as in `PyTorchNet`.
    arrays : list of array
        Inputs of our op: images (N, H, W, C), kernels (kh, kw, C, O), dense weights (in, out).
    options : dict
        Static options of our op.
    cotangent : array or None
        Cotangent of the output; None: no gradients.
    """
    torch = imported("torch", "PyTorch")
    functional = torch.nn.functional

    def own(array: np.ndarray, axes: tuple[int, ...]) -> Any:
        tensor = torch.from_numpy(array.transpose(axes).copy())
        return tensor.contiguous(memory_format=getattr(torch, layout)) if array.ndim == 4 else tensor

    def converted(array: np.ndarray, is_weight: bool) -> Any:
        if array.ndim == 4:
            return own(array, (3, 2, 0, 1) if is_weight else (0, 3, 1, 2))
        return own(array, (1, 0)) if is_weight and array.ndim == 2 else own(array, tuple(range(array.ndim)))

    weighted = name in ("conv2d", "upsample_conv2d", "linear")
    tensors = [converted(array, weighted and i == 1) for i, array in enumerate(arrays)]

    def convolve(x: Any, w: Any, b: Any) -> Any:
        (top, bottom), (left, right) = options["padding"]
        if (top, left) == (bottom, right):
            return functional.conv2d(x, w, b, options["stride"], (top, left))
        return functional.conv2d(functional.pad(x, (left, right, top, bottom)), w, b, options["stride"])

    def norm(x: Any, scale: Any, bias: Any) -> Any:
        return functional.group_norm(x, options["groups"], scale, bias, options["eps"])

    run: Callable[..., Any] = {
        "conv2d": convolve, "linear": functional.linear, "group_norm": norm, "silu": functional.silu, "add": torch.add,
        "group_norm_silu": lambda *inputs: functional.silu(norm(*inputs)),
        "attention": functional.scaled_dot_product_attention,
        "upsample_conv2d": lambda x, w, b: functional.conv2d(
            functional.interpolate(x, scale_factor=2, mode="nearest"), w, b, padding=1),
    }[name]
    if cotangent is None:
        def forward() -> Any:
            with torch.inference_mode():
                return run(*tensors)

        return forward
    g = converted(cotangent, False)
    for tensor in tensors:
        tensor.requires_grad_()
    return lambda: torch.autograd.grad(run(*tensors), tensors, g)
