"""Whose certificate a server shows: names out of the records of TLS 1.2 and older."""

import craft
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given
from hypothesis import strategies as st

from parsers.tls import certificate
from parsers.tls.facts import CertificateNames

CA = trustme.CA(organization_name="Example Trust", organization_unit_name="CA 1")
ISSUED = CA.issue_cert("mail.example.org", common_name="mail.example.org")
DER = x509.load_pem_x509_certificate(ISSUED.cert_chain_pems[0].bytes()).public_bytes(Encoding.DER)
NAMES = CertificateNames(
    subject=b"mail.example.org", issuer=None, issuer_organization=b"Example Trust"
)


def message(*certificates: bytes) -> bytes:
    return craft.handshake(
        11, craft.vector(3, b"".join(craft.vector(3, one) for one in certificates))
    )


def found(octets: bytes) -> CertificateNames | None:
    """Look between octets that must not matter."""
    wire = b"\x16\x03\x03\xff" + octets + b"\xff" * 8
    return certificate.find(memoryview(wire), 4, 4 + len(octets))


HELLO = craft.server_hello_message()


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(craft.record(message(DER)), id="alone"),
        pytest.param(craft.record(message(DER, DER)), id="with its issuer's behind it"),
        pytest.param(craft.record(HELLO + message(DER)), id="behind the hello in one record"),
        pytest.param(craft.record(HELLO) + craft.record(message(DER)), id="in a record of its own"),
        pytest.param(craft.records(HELLO + message(DER), 100), id="over many records"),
    ],
)
def test_names_of_the_servers_own_certificate(octets: bytes) -> None:
    assert found(octets) == NAMES


def test_common_name_of_the_issuer() -> None:
    own = x509.load_pem_x509_certificate(CA.cert_pem.bytes())
    assert own.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME) == []
    wire = DER.replace(b"\x06\x03\x55\x04\x0b", b"\x06\x03\x55\x04\x03", 1)
    assert found(craft.record(message(wire))).issuer == b"CA 1"


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(craft.record(HELLO), id="a hello alone"),
        pytest.param(craft.application_data(), id="application data"),
        pytest.param(craft.record(message()), id="no certificate"),
        pytest.param(craft.record(message(b"\x30\x80" + DER)), id="indefinite length"),
        pytest.param(craft.record(message(bytes(900))), id="zeros"),
    ],
)
def test_nothing_is_named_where_nothing_is(octets: bytes) -> None:
    assert found(octets) is None


def test_cut_at_any_octet_names_less_and_nothing_else() -> None:
    whole = craft.record(HELLO + message(DER))
    seen = [found(whole[:end]) for end in range(len(whole) + 1)]
    assert seen[-1] == NAMES
    partial = CertificateNames(subject=None, issuer=None, issuer_organization=b"Example Trust")
    assert list(dict.fromkeys(seen)) == [None, partial, NAMES]


@given(st.binary(max_size=300), st.integers(0, 400))
@example(b"\x30\x83\xff\xff\xff\x30\x83\xff\xff\xff\xa0\x83\xff\xff\xff", 0)
def test_no_octets_raise(junk: bytes, at: int) -> None:
    wire = craft.record(message(DER[:at] + junk + DER[at + len(junk) :]))
    names = found(wire)
    assert names is None or isinstance(names, CertificateNames)
