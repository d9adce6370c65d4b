"""CuPy found and tried, GPUs chosen, CUDA's errors as one line: on a pretend machine."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import types

import fake_cupy
import numpy as np
import pytest
from fake_cupy.machine import (
    CompileException,
    CUBLASError,
    CUDADriverError,
    CUDARuntimeError,
    DynamicLibNotFoundError,
    NVRTCError,
    OutOfMemoryError,
    machine,
)

from ddpm_np import cuda
from ddpm_np.backend import BackendError, get_backend, use_device
from ddpm_np.cli import main
from ddpm_np.diffusion import linear_schedule
from ddpm_np.diffusion.oracle import Gaussian
from ddpm_np.parallel.processes import can_fork
from ddpm_np.parallel.threads import map_in_order

TWO = [("Fake A", 16 * 2**30), ("Fake B", 24 * 2**30)]


@pytest.fixture
def cupy():
    """The fake, with one GPU that nobody has used yet."""
    with fake_cupy.installed() as module:
        yield module


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of one step."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "--steps", "1", "--batch-size", "2", "--set", "T=3", "--out", str(folder), "--quiet"]) == 0
    return folder


def raising(error):
    def call(*args, **kwargs):
        raise error

    return call


def line(capsys):
    """Return the only line on standard error."""
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err.strip()


def test_a_function_and_a_product_are_computed_before_the_backend_opens(cupy, monkeypatch):
    called = []
    for name in ("exp", "matmul"):
        original = getattr(cupy, name)
        monkeypatch.setattr(cupy, name, lambda *x, original=original, name=name: (
            called.append((name, x[0].dtype.name)), original(*x))[1])
    get_backend("cupy")
    assert called == [("exp", "float32"), ("matmul", "float32")]
    assert machine.waited == [0]
    get_backend("cupy")
    use_device(0)
    assert machine.waited == [0]  # once for each GPU


FAILURES = {  # where: the error, what its line says, what it advises
    "no driver": ("driver", 0, "there is no NVIDIA driver (cudaErrorInsufficientDriver", "--gpus all"),
    "an old driver": ("getDeviceCount", CUDARuntimeError(35), "the NVIDIA driver is for CUDA 13.0, and CuPy needs 12.9",
                      "install a newer driver"),
    "no GPU": ("gpus", [], "no NVIDIA GPU is visible (cudaErrorNoDevice", "CUDA_VISIBLE_DEVICES"),
    "GPUs none": ("getDeviceCount", 0, "no NVIDIA GPU is visible", "CUDA_VISIBLE_DEVICES"),
    "libcuda is missing": ("exp", RuntimeError("CuPy failed to load libcuda.so.1: OSError: libcuda.so.1: cannot open"),
                           "there is no NVIDIA driver", "install it"),
    "a GPU too new": ("exp", CUDARuntimeError(209), "this GPU does not fit", "needs compute capability 7.5"),
    "driver API": ("exp", CUDADriverError(222), "this GPU does not fit", "needs compute capability 7.5"),
    "an architecture NVRTC lacks": (
        "exp", CompileException("nvrtc: error: invalid value for --gpu-architecture (-arch)\n", "", "k.cu", ()),
        "this GPU does not fit this CuPy and its CUDA (nvrtc: error: invalid", "needs compute capability 7.5"),
    "missing headers": (
        "exp", CompileException('In file\ncarray.cuh(3): catastrophic error: cannot open source file "cuda_fp16.h"\n'
                                "  #include <cuda_fp16.h>\n\n1 catastrophic error detected\n", "", "k.cu", ()),
        'CUDA\'s header files are missing (carray.cuh(3): catastrophic error: cannot open source file "cuda_fp16.h")',
        "pip install 'ddpm_np[cuda12]'"),
    "a compile error": ("exp", CompileException('k.cu(1): error: expected a ";"\n', "", "k.cu", ()),
                        'CUDA\'s compiler NVRTC failed (k.cu(1): error: expected a ";")', "of one version"),
    "NVRTC": ("exp", NVRTCError(7), "CUDA's compiler NVRTC failed (NVRTC_ERROR_BUILTIN", "of one version"),
    "no NVRTC": ("exp", DynamicLibNotFoundError('Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file'),
                 "CUDA's library libnvrtc.so.12 cannot be loaded", "pip install 'ddpm_np[cuda12]'"),
    "no cuBLAS": ("matmul", ImportError('Failure finding "libcublasLt.so.13 or libcublasLt.so.12": No such file'),
                  "CUDA's library libcublasLt.so.12 cannot be loaded", "pip install 'ddpm_np[cuda12]'"),
    "a library of Windows": ("matmul", OSError("Could not find module 'cublas64_12.dll'"),
                             "CUDA's library cublas64_12.dll cannot be loaded", "pip install 'ddpm_np[cuda12]'"),
    "cuBLAS cannot start": ("matmul", CUBLASError(1), "cuBLAS cannot start", "another GPU"),
    "cuBLAS and the GPU": ("matmul", CUBLASError(8), "this GPU does not fit", "needs compute capability"),
    "a full GPU": ("exp", OutOfMemoryError(4096, 0), "the GPU's memory is full (Out of memory allocating 4,096 bytes "
                   "(allocated so far: 0 bytes)): take another GPU", "close other programs"),
    "cuBLAS without memory": ("matmul", CUBLASError(3), "the GPU's memory is full", "close other programs"),
    "a wait that fails": ("deviceSynchronize", CUDARuntimeError(719), "the computation on the GPU failed",
                          "nvidia-smi"),
    "a forked process": ("exp", CUDARuntimeError(3), "CUDA cannot start in this process", "start it by 'spawn'"),
    "anything else": ("exp", KeyError("odd"), "CuPy fails on this machine (KeyError: 'odd')", "pip install"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_each_failure_shows_as_one_line_before_any_work(kind, cupy, monkeypatch, capsys, tmp_path):
    place, value, said, advice = FAILURES[kind]
    if place in ("driver", "gpus"):
        setattr(machine, place, value)
    else:
        home = cupy.cuda.runtime if place in ("getDeviceCount", "deviceSynchronize") else cupy
        monkeypatch.setattr(home, place, raising(value) if isinstance(value, Exception) else lambda: value)
    with pytest.raises(BackendError) as caught:
        get_backend("cupy")
    text = str(caught.value)
    assert text.startswith(f"backend 'cupy': {said}")
    assert advice in text
    assert text.endswith("; or use --backend numpy")
    assert "--batch-size" not in text
    assert not cuda.in_use()
    assert main(["train", "--backend", "cupy", "--steps", "1", "--out", str(tmp_path)]) == 2
    assert line(capsys) == f"ddpm-np: error: {text}"


@pytest.mark.parametrize(("code", "said"), [
    ("raise ImportError('''\n====\nFailed to import CuPy.\n\nOriginal error:\n  ImportError: libcudart.so.12: no\n"
     "===\n''')",
     "CuPy is installed, but cannot be imported (ImportError: libcudart.so.12: no): pip install --force-reinstall"),
    ("import a_package_that_cupy_lacks",
     "cannot be imported (ModuleNotFoundError: No module named 'a_package_that_cupy_lacks'): pip install"),
    ("raise OSError('no symbol')", "cannot be imported (OSError: no symbol): pip install --force-reinstall"),
    ("pass", "cannot be imported (AttributeError: module 'cupy' has no attribute '__version__'): pip install"),
    ("__version__ = '13.6.0'", "CuPy 13.6.0 is installed, but 14 or newer is needed: pip install --upgrade"),
])
def test_a_broken_cupy_is_told_from_an_absent_one(code, said, cupy, monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy")
    importlib.invalidate_caches()
    with pytest.raises(BackendError, match=r"^backend 'cupy': ") as caught:
        get_backend("cupy")
    assert said in str(caught.value)
    assert "not installed" not in str(caught.value)


def test_an_absent_cupy_is_called_so(cupy, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendError, match=r"needs CuPy, which is not installed: pip install 'ddpm_np\[cuda12\]'"):
        get_backend("cupy")


LATER = {  # an error in the middle of a command, and its line
    "memory": (OutOfMemoryError(2**30, 2**34), "the GPU's memory is full (Out of memory allocating 1,073,741,824 bytes "
               "(allocated so far: 17,179,869,184 bytes)): use a smaller --batch-size or, in train, --set "
               "recompute=true; take another GPU with --device N; or close other programs that use this one"),
    "runtime": (CUDARuntimeError(719), "the computation on the GPU failed (cudaErrorLaunchFailure: unspecified launch "
                "failure): start again; if it fails once more, see what nvidia-smi reports"),
    "driver": (CUDADriverError(700), "the computation on the GPU failed (CUDA_ERROR_700: of the fake): start again"),
    "cuBLAS": (CUBLASError(13), "the computation on the GPU failed (CUBLAS_STATUS_EXECUTION_FAILED): start again"),
    "NVRTC": (CompileException("k.cu(1): error: no\n", "", "k.cu", ()), "CUDA's compiler NVRTC failed (k.cu(1): error"),
}


@pytest.mark.parametrize("kind", LATER)
@pytest.mark.parametrize("command", ["train", "sample", "evaluate", "check"])
def test_an_error_in_the_middle_of_a_command_is_one_line(kind, command, run, cupy, monkeypatch, capsys, tmp_path):
    error, said = LATER[kind]
    get_backend("cupy")
    for name in ("sqrt", "matmul") if command != "check" else ("asarray",):
        monkeypatch.setattr(cupy, name, raising(error))
    arguments = {"train": ["--steps", "1", "--out", str(tmp_path)], "sample": [str(run), "-n", "1", "--steps", "1"],
                 "evaluate": [str(run), "--images", "1"], "check": ["--equation", "4"]}[command]
    quiet = [] if command == "check" else ["--quiet", "--kernels", "reference"][: 1 if command == "evaluate" else 3]
    monkeypatch.chdir(tmp_path)
    assert main([command, *arguments, "--backend", "cupy", *quiet]) == 2
    assert line(capsys).startswith(f"ddpm-np: error: {said}")
    with pytest.raises(type(error)):
        main([command, *arguments, "--backend", "cupy", *quiet, "--debug"])


@pytest.mark.parametrize("after", [3, 150])
def test_a_gpu_that_fails_once_ends_a_check_and_fails_no_equation(after, cupy, monkeypatch, capsys):
    """In a fixed case, and in Hypothesis's search, which would try the failing case again."""
    get_backend("cupy")
    original, calls = cupy.asarray, []

    def asarray(*args, **kwargs):
        calls.append(args)
        if len(calls) == after:
            raise OutOfMemoryError(8, 0)
        return original(*args, **kwargs)

    monkeypatch.setattr(cupy, "asarray", asarray)
    assert main(["check", "--equation", "4", "--examples", "50", "--backend", "cupy"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("ddpm-np: error: the GPU's memory is full")
    assert "FAIL" not in captured.out
    assert len(calls) == after


def test_errors_of_others_are_not_taken_for_cudas():
    assert cuda.explain(RuntimeError("cudaErrorLaunchFailure: unspecified launch failure")) is None
    assert cuda.explain(MemoryError("Out of memory allocating 5 bytes")) is None
    with pytest.raises(CUBLASError):  # from Python, they stay as they are
        raise CUBLASError(13)


@pytest.mark.parametrize(("gpus", "number", "said"), [
    (1, 5, "there is 1 GPU, 0: got {} 5"), (2, 2, "there are 2 GPUs, 0 and 1: got {} 2"),
    (8, 8, "there are 8 GPUs, 0 to 7: got {} 8"),
])
def test_a_number_out_of_range_names_the_gpus(gpus, number, said, cupy, capsys, tmp_path):
    machine.gpus = TWO[:1] * gpus
    with pytest.raises(BackendError) as caught:
        use_device(number)
    assert str(caught.value) == said.format("device")
    assert main(["train", "--backend", "cupy", "--device", str(number), "--out", str(tmp_path)]) == 2
    assert line(capsys) == f"ddpm-np: error: {said.format('--device')}"
    assert machine.waited == []


@pytest.mark.parametrize(("number", "kind", "said"), [
    (-1, ValueError, "device must be at least 0, got -1"), (True, TypeError, "device must be an int, got True"),
    (1.0, TypeError, "device must be an int, got 1.0"),
])
def test_a_number_that_is_none_is_refused(number, kind, said, cupy):
    with pytest.raises(kind, match=said):
        use_device(number)


COMMANDS = {"train": ["--steps", "1", "--batch-size", "2", "--out", "{tmp}/run"], "sample": ["{run}", "-n", "1"],
            "evaluate": ["{run}", "--images", "1"], "check": ["--equation", "4"], "plot": ["progressive", "{run}"]}


@pytest.mark.parametrize("command", COMMANDS)
def test_device_has_no_effect_on_a_cpu(command, run, cupy, tmp_path, capsys):
    arguments = [a.format(run=run, tmp=tmp_path) for a in COMMANDS[command]]
    assert main([command, *arguments, "--device", "0"]) == 2
    assert line(capsys) == "ddpm-np: error: --device has no effect with --backend numpy: leave it out"


@pytest.mark.parametrize("arguments", [
    ["plot", "loss", "{run}"], ["evaluate", "{run}", "--what", "floor"],
    ["evaluate", "{run}", "--what", "samples", "--samples", "x.npz"],
])
@pytest.mark.parametrize("option", [["--backend", "cupy"], ["--backend", "cupy", "--device", "0"]])
def test_a_backend_is_refused_where_nothing_is_computed_by_a_net(arguments, option, run, cupy, capsys):
    assert main([*(a.format(run=run) for a in arguments), *option]) == 2
    assert " has no effect with " in line(capsys)


def test_a_command_computes_on_the_gpu_that_it_is_given_and_on_no_other(run, cupy, tmp_path):
    machine.gpus = list(TWO)
    used = set()
    original = cupy.matmul
    cupy.matmul = lambda *x: (used.add(cupy.cuda.runtime.getDevice()), original(*x))[1]
    arguments = ["-n", "1", "--steps", "1", "--quiet", "--kernels", "reference", "--out", str(tmp_path / "s.npz")]
    assert main(["sample", str(run), "--backend", "cupy", "--device", "1", *arguments]) == 0
    assert used == {1}
    assert set(machine.waited) == {1}  # no context was made on GPU 0


def test_a_gpu_that_fails_leaves_the_one_before(cupy, monkeypatch):
    machine.gpus = list(TWO)
    get_backend("cupy")
    monkeypatch.setattr(cupy, "exp", raising(CUDARuntimeError(209)))
    with pytest.raises(BackendError, match="does not fit"):
        use_device(1)
    assert cuda.current_device() == 0


def test_worker_threads_use_the_gpu_of_the_thread_that_they_work_for(cupy):
    machine.gpus = list(TWO)
    main_thread = threading.get_ident()

    def work(i):
        assert threading.get_ident() != main_thread
        return cupy.cuda.runtime.getDevice()

    for number in (1, 0, 1):
        use_device(number)
        assert list(map_in_order(work, range(4), workers=2)) == [number] * 4


def test_one_backend_serves_all_gpus(cupy):
    machine.gpus = list(TWO)
    backend = use_device(1)
    assert backend is get_backend("cupy")
    assert backend.xp.module is cupy
    assert cuda.current_device() == 1
    assert use_device(np.int64(0)) is backend
    assert machine.waited == [1, 0]


def test_tables_are_copied_to_each_gpu_once(cupy):
    machine.gpus = list(TWO)
    schedule, oracle = linear_schedule(5), Gaussian(linear_schedule(5), np.zeros((2, 2, 1)), 1.0)
    copied = []
    for number in (0, 1, 0, 1):
        backend = use_device(number)
        x, t = backend.to_device(np.zeros((3, 2, 2, 1))), backend.to_device(np.array([1, 2, 5]))
        fake_cupy.counts.reset()
        _ = schedule.at(t, like=x).sqrt_alpha_bar
        oracle._like("mean", x)
        copied.append(fake_cupy.counts.uploads)
    assert copied == [2, 2, 0, 0]


def test_processes_are_forked_until_a_gpu_is_used(cupy):
    assert can_fork() == (sys.platform == "linux")
    assert cuda.current_device() is None
    get_backend("cupy")
    assert not can_fork()


def test_a_machine_without_a_gpu_goes_on_forking(cupy):
    machine.gpus = []
    with pytest.raises(BackendError):
        get_backend("cupy")
    assert can_fork() == (sys.platform == "linux")


def test_products_are_in_full_float32_whatever_the_environment_says(cupy, monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "1")
    machine.compute_type = 7  # decided already, by a product before
    get_backend("cupy")
    assert machine.compute_type == 1


@pytest.mark.parametrize("gone", ["module", "function"])
def test_a_cupy_without_the_setting_is_refused_only_where_tf32_is_asked_for(gone, cupy, monkeypatch):
    name = "cupy._core._routines_linalg"
    monkeypatch.setitem(sys.modules, name, None if gone == "module" else types.ModuleType(name))
    monkeypatch.setenv("CUPY_TF32", "1")
    with pytest.raises(BackendError, match=r"^backend 'cupy': CUPY_TF32 is set, .*: unset CUPY_TF32; or use"):
        get_backend("cupy")
    monkeypatch.delenv("CUPY_TF32")
    assert get_backend("cupy").name == "cupy"
    assert os.environ.get("CUPY_TF32") is None


def info(capsys):
    """Return what `ddpm-np info` says of the backend cupy."""
    assert main(["info"]) == 0
    found = [said for said in capsys.readouterr().out.splitlines() if said.startswith("backend cupy")]
    assert len(found) == 1
    return found[0].removeprefix("backend cupy").strip()


def test_info_names_the_gpus(cupy, capsys):
    machine.gpus = list(TWO)
    assert info(capsys) == f"CuPy {cupy.__version__}; 0: Fake A, 16.0 GiB; 1: Fake B, 24.0 GiB"


@pytest.mark.parametrize(("place", "error", "said"), [
    ("getDeviceCount", CUDARuntimeError(100), "not available: backend 'cupy': no NVIDIA GPU is visible"),
    ("getDeviceProperties", CUDARuntimeError(719), "not available: the computation on the GPU failed"),
    ("getDeviceProperties", KeyError("name"), "not available: 'name'"),
])
def test_info_never_fails(place, error, said, cupy, monkeypatch, capsys):
    monkeypatch.setattr(cupy.cuda.runtime, place, raising(error))
    assert info(capsys).startswith(said)
