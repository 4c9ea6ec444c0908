"""Who a device is: makers by MAC, places by address, classes by evidence."""

import pytest

from sniffer.config import IdentifySettings, Place
from sniffer.errors import ConfigError
from sniffer.identify.device_class import classify, known
from sniffer.identify.identity import Identity, Roster
from sniffer.identify.oui import Vendors
from sniffer.identify.place import Places

RICOH = bytes.fromhex("5838794b1011")
XEROX = bytes.fromhex("000000000001")


def address(text: str) -> bytes:
    from ipaddress import ip_address

    return ip_address(text).packed


# -- makers --------------------------------------------------------------------------------


def test_maker_is_told_by_the_first_half_of_a_mac():
    assert Vendors().of(RICOH) == "RICOH COMPANY, LTD."


@pytest.mark.parametrize(
    ("mac", "why"),
    [
        ("5a38794b1011", "made up by its owner"),
        ("01005e000001", "of a group"),
        ("70b3d5123456", "of a block that was cut into smaller ones"),
        ("fffffe000000", "of nobody"),
    ],
)
def test_mac_that_tells_of_no_maker(mac, why):
    assert Vendors().of(bytes.fromhex(mac)) is None, why


MANUF = """\
# comment

58:38:79\tMine\tMine alone
70:B3:D5:12:30:00/36\tSmall\tSmall blocks Ltd.
70-B3-D5-20-00-00/28\tMiddle
"""


def test_smaller_blocks_stand_in_a_manuf_file(tmp_path):
    (tmp_path / "manuf").write_text(MANUF)
    vendors = Vendors(str(tmp_path / "manuf"))
    found = [vendors.of(bytes.fromhex(mac)) for mac in ("70b3d5123456", "70b3d520ffff")]
    assert found == ["Small blocks Ltd.", "Middle"]
    assert vendors.of(bytes.fromhex("70b3d5124456")) is None
    assert vendors.of(RICOH) == "Mine alone"
    assert vendors.of(bytes.fromhex("3c2af46d6016")) == "Brother Industries, LTD."


@pytest.mark.parametrize("line", ["nonsense", "58:38\tX", "58:38:79/20\tX", "zz:38:79\tX"])
def test_wrong_manuf_file_is_refused_with_its_line(tmp_path, line):
    (tmp_path / "manuf").write_text(f"# first\n{line}\n")
    with pytest.raises(ConfigError, match="manuf:2: is no line of a manuf file"):
        Vendors(str(tmp_path / "manuf"))


# -- places --------------------------------------------------------------------------------


def test_smallest_network_is_the_place():
    places = Places(
        [
            Place(name="site", net=("10.0.0.0/8", "2001:db8::/32")),
            Place(name="hall", net=("10.1.0.0/16",), owner="Jo", contact="jo@example.org"),
            Place(name="printer", net=("10.1.2.3/32",)),
            Place(name="other", net=("10.1.0.0/16",)),
        ]
    )
    expected = {
        "10.1.2.3": "printer",
        "10.1.2.4": "hall",
        "10.2.0.1": "site",
        "2001:db8::1": "site",
        "192.0.2.1": None,
        "2001:db9::1": None,
        "::ffff:a01:203": None,
    }
    found = {text: places.of(address(text)) for text in expected}
    assert {text: place and place.name for text, place in found.items()} == expected


def test_everywhere_is_a_place_too():
    places = Places([Place(name="world", net=("0.0.0.0/0",))])
    assert places.of(address("203.0.113.9")).name == "world"
    assert places.of(address("::1")) is None


# -- classes -------------------------------------------------------------------------------

SAMPLES = [(evidence, sample) for evidence in known() for sample in evidence.samples]


@pytest.mark.parametrize(
    ("evidence", "sample"), SAMPLES, ids=[f"{e.device_class}-{e.by}-{s.text}" for e, s in SAMPLES]
)
def test_evidence_fits_its_samples_and_nothing_else(evidence, sample):
    assert evidence.fits(sample.text) is sample.fits


def test_every_evidence_has_samples_both_ways_and_a_source():
    for evidence in known():
        assert {sample.fits for sample in evidence.samples} == {True, False}
        assert evidence.source
        assert evidence.says.format(text="x") != evidence.says or "{text}" not in evidence.says


def test_one_that_decides_is_enough_and_is_told_with_what_hints():
    name, told = classify({"vendor": ["HP Inc."], "name": ["NPI8A2F10"]})
    assert name == "printer"
    assert len(told) == 2
    assert any("NPI8A2F10" in says for says in told)


def test_one_hint_is_a_guess_and_two_of_one_kind_are_one():
    assert classify({"vendor": ["HP Inc."]}) == (None, [])
    assert classify({"vendor": ["HP Inc.", "Canon Inc."]}) == (None, [])
    name, told = classify({"vendor": ["HP Inc."], "ja4": ["t10i060000_10cf42565879_000000000000"]})
    assert (name, len(told)) == ("printer", 2)


def test_evidence_that_contradicts_itself_says_nothing():
    assert classify({"vendor": ["Synology Incorporated"], "service": ["_ipp._tcp"]}) == (None, [])


def test_nothing_seen_is_nothing_known():
    assert classify({}) == (None, [])
    assert classify({"vendor": ["nobody"], "name": ["x" * 255]}) == (None, [])


# -- all of it -----------------------------------------------------------------------------


def test_identity_is_put_together():
    place = Place(name="hall", net=("10.0.0.0/8",), owner="Jo")
    roster = Roster(IdentifySettings(), [place])
    who = roster.identify(address("10.0.0.7"), RICOH, {})
    assert (who.vendor, who.device_class) == ("RICOH COMPANY, LTD.", "printer")
    assert (who.place, who.owner, who.contact) == ("hall", "Jo", None)
    assert roster.identify(address("192.0.2.1"), None, {}) == Identity()
