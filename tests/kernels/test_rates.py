"""The file of rates: used where it was measured, and nowhere else; whatever is wrong with it, kernels are chosen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

from ddpm_np.kernels import costs, rates_file
from ddpm_np.kernels.costs import DEFAULT, LEAST, MOST, Rates
from ddpm_np.kernels.rates_file import UnusableError
from ddpm_np.parallel.threads import map_in_order

OWN = Rates(50.0, 2.5, 5.0, 6.0, 30.0, 12.5, 2 << 20)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty cache folder, in which files of rates are read; nothing is remembered of other tests'."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(rates_file.VARIABLE)
    costs._kept.cache_clear()
    yield tmp_path / "ddpm_np"
    costs._kept.cache_clear()


def changed(file, part, **values):
    """Change entries of the file."""
    found = json.loads(file.read_text("utf-8"))
    found[part].update(values)
    file.write_text(json.dumps(found), "utf-8")


def assert_unusable(why):
    """Assert that the file is refused by a line that says why, and that kernels are chosen by the default rates."""
    with pytest.raises(UnusableError, match=why) as refused:
        costs.kept()
    assert "\n" not in str(refused.value)
    costs._kept.cache_clear()
    assert costs.rates() == DEFAULT


def test_what_was_written_is_read_once():
    assert costs.kept() is None
    file = rates_file.write(OWN._asdict())
    assert costs.kept() == OWN
    assert costs.rates() == OWN
    rates_file.write(DEFAULT._asdict())
    assert costs.rates() == OWN
    file.unlink()
    assert costs.kept() is None
    assert costs.rates() == OWN


def test_without_a_file_nothing_is_asked_of_the_machine(folder, monkeypatch):
    monkeypatch.setattr(rates_file, "key", lambda: pytest.fail("the machine was asked"))
    assert costs.rates() == DEFAULT
    folder.mkdir()
    (folder / "mnist").mkdir()
    assert costs.kept() is None


def test_each_processor_and_set_of_instructions_has_a_file(monkeypatch):
    here = rates_file.key()
    file = rates_file.write(OWN._asdict())
    for name, value in (("cpu", "Another CPU @ 2.50GHz / 8"), ("simd", "SSE")):
        monkeypatch.setattr(rates_file, "key", lambda name=name, value=value: {**here, name: value})
        assert costs.kept() is None
        assert rates_file.path(rates_file.key()) != file
    assert rates_file.path({"cpu": "A CPU (R) @ 2.50GHz / 8", "simd": "AVX-512"}).name == (
        "rates-a-cpu-r-2-50ghz-8-avx-512.json")


@pytest.mark.parametrize("name", ["cpu", "simd", "blas", "numpy"])
def test_a_file_of_another_machine_or_version_is_not_used(name):
    changed(rates_file.write(OWN._asdict()), "key", **{name: "other"})
    assert_unusable(rf"rates-.*\.json was measured with {name} other, and here it is ")


@pytest.mark.parametrize("content", [
    b"", b"{", b"\xff\xfe", b"[]", b"1", b"null", b"{}", b'{"key": {}}', b'{"key": 1, "rates": 2}', b"[" * 100_000])
def test_a_damaged_file_is_not_used(content):
    rates_file.write(OWN._asdict()).write_bytes(content)
    assert_unusable(r"rates-.*\.json is damaged")


@pytest.mark.parametrize(("name", "value"), [
    *((name, number) for name in Rates._fields for number in (0, -1.0, 1e300, float("nan"), "90", None)),
    ("tiles", 3e6), ("tiles", True), ("products", [1])])
def test_a_number_out_of_range_is_not_used(name, value):
    changed(rates_file.write(OWN._asdict()), "rates", **{name: value})
    assert_unusable(rf"rates-.*\.json has {name} = .*, expected a number from ")


def test_a_file_without_a_number_is_not_used():
    numbers = OWN._asdict()
    del numbers["tiles_2"]
    rates_file.write(numbers)
    assert_unusable("has tiles_2 = None")


def test_what_is_in_range():
    for rates in (LEAST, MOST):
        rates_file.write(rates._asdict())
        assert costs.kept() == rates


def test_a_file_that_cannot_be_read_is_not_used():
    file = rates_file.write(OWN._asdict())
    file.unlink()
    file.mkdir()
    assert_unusable("cannot be read")


def test_the_environment_says_to_ignore_the_file(monkeypatch):
    rates_file.write(OWN._asdict())
    monkeypatch.setenv(rates_file.VARIABLE, "default")
    assert costs.kept() is None
    assert costs.rates() == DEFAULT
    monkeypatch.setenv(rates_file.VARIABLE, "")
    assert costs.kept() == OWN


def test_without_a_home_there_is_no_file(monkeypatch):
    monkeypatch.setattr(rates_file, "cache_folder", lambda: None)
    assert costs.kept() is None
    with pytest.raises(ValueError, match="no home folder to keep rates in: set XDG_CACHE_HOME"):
        rates_file.write(OWN._asdict())


def test_rates_in_use_hold_inside_the_context_and_in_its_tasks():
    with costs.using(OWN):
        assert costs.rates() == OWN
        assert list(map_in_order(lambda _: costs.rates(), range(2), workers=2)) == [OWN, OWN]
        other = []
        thread = threading.Thread(target=lambda: other.append(costs.rates()))
        thread.start()
        thread.join()
        assert other == [DEFAULT]
    assert costs.rates() == DEFAULT


def test_kernels_are_chosen_by_the_rates_in_use():
    import numpy as np

    from ddpm_np.kernels.numpy_winograd import F2, F4, scheme_for

    x, w = np.ones((2, 16, 16, 64), np.float32), np.ones((3, 3, 64, 64), np.float32)
    for rates, expected in ((Rates(tiles_4=999.0, tiles_2=0.01), F2), (Rates(tiles_4=0.01, tiles_2=999.0), F4),
                            (Rates(tiles_4=999.0, tiles_2=999.0), None)):
        with costs.using(rates):
            assert scheme_for(x, w, ((1, 1), (1, 1))) is expected


def test_a_process_reads_the_file_and_loads_nothing_for_it_before():
    """In a fresh process: importing loads neither threadpoolctl nor the benchmark, and no file is no reason to."""
    code = ("import sys, ddpm_np.kernels.costs as costs; first = costs.rates() == costs.DEFAULT; "
            "print(first, 'threadpoolctl' in sys.modules, 'ddpm_np.bench' in sys.modules); "
            "costs._kept.cache_clear(); {}; print(costs.rates().products)")
    write = "costs.rates_file.write(costs.Rates(products=77.0)._asdict())"
    done = subprocess.run([sys.executable, "-c", code.format(write)], env=dict(os.environ), check=True,
                          capture_output=True, text=True).stdout
    assert done.split() == ["True", "False", "False", "77.0"]
