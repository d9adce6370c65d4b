"""ONNX Runtime's side of the benchmark: diffusers' net, exported by PyTorch, in a session on the CPU.

It is only compared with, never used to compute: it is imported here alone, on demand.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np.bench import pytorch
from ddpm_np.bench.nets import Net
from ddpm_np.check.targets.peers import imported

WHAT = ("forward",)


def why_absent() -> str | None:
    """Return None if the export and the session can be imported, else the reason in one line."""
    absent = pytorch.why_absent()
    if absent:
        return absent
    try:
        for module in ("onnxruntime", "onnx", "onnxscript"):
            imported(module, module)
    except ImportError as error:
        return f"ONNX Runtime is not installed: pip install 'ddpm_np[bench]' ({error.__cause__})"
    return None


def exported(net: Any, x: Any, t: Any) -> bytes:
    """Return a PyTorch net as an ONNX model for inputs of these shapes."""

    class Plain(imported("torch", "PyTorch").nn.Module):  # type: ignore[misc]
        """The net as a function from tensors to a tensor."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Any, t: Any) -> Any:
            return self.net(x, t).sample

    torch = imported("torch", "PyTorch")
    logging.disable(logging.WARNING)  # it logs what it skips
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # and prints its progress
            program = torch.onnx.export(Plain().eval(), (x, t), dynamo=True, verbose=False)
    finally:
        logging.disable(logging.NOTSET)
    return bytes(program.model_proto.SerializeToString())


def session_of(model: bytes, workers: int) -> Any:
    """Return an inference session on the CPU with the given number of threads."""
    runtime = imported("onnxruntime", "ONNX Runtime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = workers, 3
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def forward(net: Any, x: np.ndarray, t: np.ndarray, workers: int) -> Callable[[], Any]:
    """Return the forward pass of a PyTorch net on images (N, H, W, C) at the paper's t as a function of a session."""
    torch = imported("torch", "PyTorch")
    images, steps = np.ascontiguousarray(x.transpose(0, 3, 1, 2)), t - 1
    session = session_of(exported(net, torch.from_numpy(images), torch.from_numpy(steps)), workers)
    inputs = dict(zip((each.name for each in session.get_inputs()), (images, steps), strict=True))
    return lambda: session.run(None, inputs)[0]


def side(what: str, net: Net, workers: int) -> Callable[[], Any]:
    """Return the net's forward pass, the only part that ONNX Runtime has here."""
    return forward(pytorch.build(net.config).eval(), net.images(), net.times(), workers)
