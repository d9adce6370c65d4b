"""The class of a machine, and one with AVX-512 held to AVX2."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import fake_cupy
import pytest

from ddpm_np.bench import hold, machine
from ddpm_np.bench.record import Record
from ddpm_np.cli import bench as command
from ddpm_np.cli import main

NEW = ["X86_V2", "X86_V3", "X86_V4", "AVX512_ICL"]  # as NumPy 2.4 names them
OLD = ["SSE", "SSE2", "AVX2", "FMA3", "AVX512F", "AVX512CD", "AVX512_SKX"]


@pytest.fixture
def avx512(monkeypatch):
    """As if this were an x86-64 machine with AVX-512."""
    monkeypatch.setattr(hold.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(hold, "numpy_features", lambda: NEW)
    monkeypatch.delenv(hold.VARIABLE, raising=False)


@pytest.mark.parametrize(("described", "label", "key"), [
    ({"simd": {"NumPy": "AVX-512"}, "blas": "openblas 0.3.31 SkylakeX"}, "AVX-512 (SkylakeX kernels)", "avx512"),
    ({"simd": {"NumPy": "AVX2"}, "blas": "openblas 0.3.31 Haswell"}, "AVX2 (Haswell kernels)", "avx2"),
    ({"simd": {"NumPy": "ASIMD"}, "blas": "openblas 0.3.31 neoversen1"}, "ASIMD (neoversen1 kernels)", "asimd"),
    ({"simd": {"NumPy": "AVX2"}, "blas": "mkl 2025"}, "AVX2", "avx2"),
    ({"blas": "openblas 0.3.31 Zen"}, "AVX2 (Zen kernels)", "avx2"),
    ({"blas": "unknown"}, "unknown", "unknown"),
    ({}, "unknown", "unknown"),
])
def test_the_class_of_a_described_machine(described, label, key):
    assert machine.class_of(described) == label
    assert machine.class_key(described) == key


def test_this_machine_has_a_class():
    described = Record({}).machine
    assert described["simd"]["NumPy"] == machine.simd_of(machine.numpy_features())
    assert machine.class_of(described).startswith(described["simd"]["NumPy"])
    assert machine.class_key(described).isalnum()


@pytest.mark.parametrize(("features", "above"), [(NEW, "X86_V4,AVX512_ICL"), (OLD, "AVX512F,AVX512CD,AVX512_SKX")])
def test_numpy_is_held_by_the_names_that_it_uses_itself(features, above):
    """A NumPy passes over names that it does not know, and would not be held by those of another version."""
    found = hold.variables(features, {"XLA_FLAGS": "--mine"})
    assert found["NPY_DISABLE_CPU_FEATURES"] == above
    assert found["OPENBLAS_CORETYPE"] == "Haswell"
    assert found["XLA_FLAGS"] == "--mine --xla_cpu_max_isa=AVX2"


@pytest.mark.skipif(machine.simd_of(machine.numpy_features()) != machine.AVX512, reason="this machine has no AVX-512")
def test_a_held_process_is_of_the_other_class():
    code = ("import json; from ddpm_np.bench import hold, machine; hold.verify(); "
            "print(json.dumps([machine.describe(), hold.held()]))")
    out = subprocess.run([sys.executable, "-c", code], env=hold.environment(), capture_output=True, check=True).stdout
    described, held = json.loads(out)
    assert machine.class_key(described) == held == "avx2"
    assert "SkylakeX" not in machine.class_of(described)


def test_a_process_that_was_not_held_is_no_measurement(monkeypatch):
    monkeypatch.setattr(hold, "numpy_features", lambda: NEW)
    with pytest.raises(ValueError, match="should be held to AVX2, and NumPy still finds AVX-512"):
        hold.verify()


@pytest.mark.parametrize(("architecture", "features", "words"), [
    ("aarch64", ["NEON", "ASIMD"], "is for x86-64 machines with AVX-512, and this one is aarch64"),
    ("x86_64", ["X86_V2", "X86_V3"], "is for machines with AVX-512, and NumPy finds AVX2 here"),
])
def test_nothing_can_be_held_where_there_is_no_avx512(monkeypatch, capsys, avx512, architecture, features, words):
    monkeypatch.setattr(hold.platform, "machine", lambda: architecture)
    monkeypatch.setattr(hold, "numpy_features", lambda: features)
    assert main(["bench", "--hold", "avx2", "--what", "step"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"error: --hold avx2 {words}: leave it out" in error


def test_the_command_runs_itself_in_a_held_process(monkeypatch, avx512):
    started = []

    class Child:
        def __init__(self, command, env):
            started.append((command, env))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def wait(self):
            return 7

    monkeypatch.setattr(command.subprocess, "Popen", Child)
    given = ["bench", "--hold", "avx2", "--what", "step", "--net", "8", "--quiet"]
    assert main(given) == 7
    ((run, environment),) = started
    assert run == [sys.executable, "-m", "ddpm_np", *given]
    assert environment[hold.VARIABLE] == "avx2"
    assert environment["PATH"] == os.environ["PATH"]


def test_a_gpu_is_not_held(capsys):
    with fake_cupy.installed():
        assert main(["bench", "--hold", "avx2", "--backend", "cupy"]) == 2
    assert "--hold avx2 holds the CPU: leave it out with --backend cupy" in capsys.readouterr().err
