"""Damaged files of every reader: the right result, or an error in one line. `scripts/fuzz.py` reads more of them."""

from __future__ import annotations

import os
from random import Random

import pytest
from damage import ALLOWED, DIFFERS, REFUSED, SAME, Case, damage, fuzz, outcome
from damaged_data import PICTURES, data_cases

from ddpm_np.data import DataError

FILES = int(os.environ.get("DDPM_NP_DAMAGED", "30"))  # for each of some 37 readers
NAMES = ["npy", "npy.gz", "npz", "npz deflated", "idx images", "idx labels", "idx.gz images", "idx.gz labels",
         "cifar binary", "cifar xz", "cifar pickle", "cifar binary tar", "cifar pickle tar",
         *[f"picture {suffix[1:]}" for suffix in PICTURES], "picture png 16 bits", "picture png palette",
         "picture tif 16 bits", "picture tif deflated", "picture tga packed", "picture webp lossy", "picture icns"]


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return data_cases(tmp_path_factory.mktemp("damaged"))


def test_every_case_is_tried(cases):
    assert set(cases) <= set(NAMES)
    assert len(cases) >= 30  # some of Pillow's formats need libraries that it may have been built without


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_right_or_refused_in_a_line(cases, name):
    if name not in cases:
        pytest.skip("Pillow cannot write this format here")
    seen = list(fuzz(cases[name], name, FILES))
    wrong = [(tried.number, tried.kind, tried.text) for tried in seen if tried.kind not in ALLOWED]
    assert not wrong
    assert any(tried.kind == REFUSED for tried in seen)


def test_what_a_fuzz_finds_wrong():
    """A reader that raises another error, one whose message has two lines, and one that overlooks its checksum."""
    def reader(data):
        if data == b"whole":
            return 1
        if data == b"foreign":
            raise IndexError("no")
        if data == b"lines":
            raise DataError("a\nb")
        if data == b"refused":
            raise DataError("no")
        return 2

    case = Case(b"whole", reader, (DataError,), checksum=True)
    kinds = {data: outcome(case, 1, data, may_differ=data == b"raw")[0]
             for data in (b"whole", b"foreign", b"lines", b"refused", b"raw", b"overlooked")}
    assert {data for data, kind in kinds.items() if kind not in ALLOWED} == {b"foreign", b"lines", b"overlooked"}
    assert (kinds[b"whole"], kinds[b"refused"], kinds[b"raw"]) == (SAME, REFUSED, DIFFERS)


def test_damage_is_the_same_for_the_same_seed():
    files = [[damage(b"some bytes, 12 of them", Random(f"{seed}/{i}")) for i in range(50)] for seed in (0, 0, 1)]
    assert files[0] == files[1] != files[2]
    assert len(set(files[0])) > 40
