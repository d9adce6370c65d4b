"""Damaged files of runs and of diffusers' folders: the same result, another if there is no checksum, or one line."""

from __future__ import annotations

import os

import pytest
from damage import ALLOWED, fuzz
from damaged_runs import run_cases

DAMAGED = int(os.environ.get("DDPM_NP_DAMAGED", "100"))  # files a reader; scripts/fuzz.py reads more
NAMES = ("checkpoint", "weights", "classifier", "metrics.jsonl", "evaluation.json", "diffusers model_index.json",
         "diffusers config.json", "diffusers scheduler_config.json", "diffusers diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return run_cases(tmp_path_factory.mktemp("damaged"))


def test_every_case_is_tested(cases):
    assert cases.keys() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_as_before_or_refused_in_a_line(cases, name):
    tried = list(fuzz(cases[name], name, DAMAGED))
    assert [(one.number, one.kind, one.text) for one in tried if one.kind not in ALLOWED] == []
    assert len(tried) == DAMAGED
