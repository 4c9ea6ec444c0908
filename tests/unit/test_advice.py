"""What is advised, to which devices, and where it was read."""

from datetime import date

import pytest

from sniffer.event import Verdict
from sniffer.export.advice import Advice, Sample, advice_json, known

SAMPLES = [(advice, sample) for advice in known() for sample in advice.samples]


@pytest.mark.parametrize(
    ("advice", "sample"),
    SAMPLES,
    ids=[f"{a.text[:12]}-{s.kind}-{s.vendor or s.name}" for a, s in SAMPLES],
)
def test_advice_fits_its_samples_and_nothing_else(advice: Advice, sample: Sample) -> None:
    names = [] if sample.name is None else [sample.name]
    assert advice.fits(sample.kind, sample.vendor, names, [sample.verdict]) is sample.fits


@pytest.mark.parametrize("advice", known(), ids=[advice.text[:20] for advice in known()])
def test_every_advice_has_samples_both_ways_a_source_and_a_day(advice: Advice) -> None:
    assert {sample.fits for sample in advice.samples} == {True, False}
    assert advice.source
    assert advice.checked <= date(2100, 1, 1)
    assert advice.text.endswith(".")


def test_no_advice_is_given_where_nothing_is_exposed() -> None:
    good = [Verdict.OK, Verdict.FALLBACK, Verdict.UNKNOWN]
    assert advice_json("printer", "Ricoh Company, Ltd.", [], good) == []


def test_maker_is_known_by_the_name_where_a_router_hides_the_mac() -> None:
    told = advice_json("printer", None, ["RNP58387947"], [Verdict.LEGACY])
    assert any("Web Image Monitor" in one["text"] for one in told)
    assert all(date.fromisoformat(one["checked"]) for one in told)


def test_nothing_is_advised_to_a_kind_that_is_not_known() -> None:
    assert advice_json(None, None, ["cellar"], [Verdict.LEGACY]) == []
