"""Reports as files: JSON by its schema, JUnit XML, badges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ddpm_np
from ddpm_np.check import CONVENTION, FAIL, PASS, PRECISION, UNVERIFIED, Report, Result, formats
from ddpm_np.check.result import VERDICTS

SCHEMA = Path(ddpm_np.__file__).parent / "check" / "report.schema.json"
SVG = "{http://www.w3.org/2000/svg}"


def result(verdict, **changes):
    error = 0.4 if verdict == FAIL else 1e-15
    made = Result("4", "x_t from x₀", verdict, error, 1e-9, 3, "", "", "exact fractions", 0.25)
    if verdict == FAIL:
        made = replace(made, counterexample="t=2: x_t got 16/25, expected 4/5", hint="a missing root")
    if verdict == UNVERIFIED:
        made = replace(made, error=float("nan"), cases=0, hint="the target lacks q_sample")
    if verdict == CONVENTION:
        made = replace(made, hint="declared: unit 'nats'")
    if verdict == PASS:
        made = replace(made, note="asked with clip=False")
    return replace(made, **changes)


def report(*verdicts, target="mine.py:Mine"):
    return Report(target, [result(verdict) for verdict in verdicts], 0, 1.5)


@pytest.fixture
def valid():
    """A function that validates JSON by the schema in the package."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema, one of the book's tools, is not installed")
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    return validator.is_valid


def test_reports_are_valid_by_the_schema(valid):
    every = report(*VERDICTS)
    assert valid(json.loads(formats.as_json([every])))
    assert valid(json.loads(formats.as_json([every, every])))
    infinite = Report("a", [result(FAIL, error=float("inf"))], 3, 0.0, "advice", ("note",))
    assert valid(json.loads(formats.as_json([infinite])))


def test_the_schema_refuses_what_is_no_report(valid):
    right = report(*VERDICTS).as_dict()
    assert valid(right)
    for wrong in ({**right, "more": 1}, {**right, "seed": -1}, {**right, "failed": "yes"}, {"reports": [right]},
                  {key: value for key, value in right.items() if key != "notes"}):
        assert not valid(wrong)
    for change in ({"verdict": "OK"}, {"error": "nan"}, {"cases": 1.5}, {"equation": ""}, {"counterexample": "t=2"}):
        assert not valid({**right, "results": [{**right["results"][0], **change}]})


def test_the_schema_names_every_verdict_and_field():
    definitions = json.loads(SCHEMA.read_text("utf-8"))["$defs"]
    shown = report(PASS).as_dict()
    assert list(definitions["report"]["properties"]) == definitions["report"]["required"] == list(shown)
    assert list(definitions["result"]["properties"]) == definitions["result"]["required"] == list(shown["results"][0])
    assert definitions["result"]["properties"]["verdict"]["enum"] == list(VERDICTS)
    assert definitions["report"]["properties"]["verdicts"]["required"] == list(VERDICTS)


def test_junit_has_a_case_for_each_equation():
    root = ElementTree.fromstring(formats.junit([report(PASS, FAIL, PRECISION, CONVENTION, UNVERIFIED)]).encode())
    assert root.tag == "testsuites"
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "5", "failures": "1", "errors": "0", "skipped": "1", "time": "1.500"}
    suite, = root
    assert suite.get("name") == "mine.py:Mine"
    right, wrong, single, declared, lacking = suite
    assert right.attrib == {"classname": "ddpm_np", "name": "4: x_t from x₀", "time": "0.250"}
    assert wrong.find("failure").get("message") == "t=2: x_t got 16/25, expected 4/5"
    assert wrong.find("failure").text == "t=2: x_t got 16/25, expected 4/5\na missing root"
    assert lacking.find("skipped").get("message") == "the target lacks q_sample"
    assert [case.find("properties/property").get("value") for case in (right, single, declared)] == [
        PASS, PRECISION, CONVENTION]
    assert [part.get("value") for part in declared.iter("property")] == [CONVENTION, "declared: unit 'nats'"]
    assert [part.get("value") for part in right.iter("property")] == [PASS, "asked with clip=False"]
    assert len(root.findall("*/testcase/failure")) == len(root.findall("*/testcase/skipped")) == 1


def test_junit_of_several_targets_and_of_text_that_xml_cannot_hold():
    odd = Report("a<b>&\x00", [result(FAIL, hint="\x1b[1m \ud800 <&>")], 0, 0.0)
    first, second = ElementTree.fromstring(formats.junit([report(PASS), odd]).encode())
    assert first.get("name") == "mine.py:Mine"
    assert second.get("name") == "a<b>&�"
    assert second.find("testcase/failure").text.endswith("\n�[1m � <&>")


@pytest.mark.parametrize(("reports", "value", "colour", "spoken"), [
    ([report(PASS, PRECISION, CONVENTION)], "3/3", formats.GREEN, "equations: 3 of the 3 verified hold"),
    ([report(PASS, FAIL, UNVERIFIED)], "1/2", formats.RED, "equations: 1 of the 2 verified hold"),
    ([report(PASS), report(PASS, FAIL)], "2/3", formats.RED, "equations: 2 of the 3 verified hold"),
    ([report(UNVERIFIED)], "none verified", formats.GREY, "equations: none could be verified")])
def test_a_badge_counts_what_holds_of_what_could_be_verified(reports, value, colour, spoken):
    text = formats.badge(reports)
    root = ElementTree.fromstring(text)
    assert (root.tag, root.get("role"), root.get("aria-label")) == (f"{SVG}svg", "img", spoken)
    assert root.find(f"{SVG}title").text == spoken
    assert [part.text for part in root.iter(f"{SVG}text")] == ["equations", value]
    assert [part.get("fill") for part in root.findall(f"{SVG}g/{SVG}rect")] == [formats.DARK, colour]
    assert text.count("http") == 1  # the namespace: nothing is fetched


def luminance(colour):
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [formats.GREEN, formats.RED, formats.GREY, formats.DARK])
def test_white_text_can_be_read_on_a_badge(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5  # WCAG's AA
