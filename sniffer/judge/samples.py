"""Whether the samples that stand in a profile are judged as the profile says."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from parsers.tls.facts import TLS_1_0, ClientHello
from sniffer.config import DEFAULT_PORTS
from sniffer.event import Flow, Handshake
from sniffer.judge.profile import VERSION_CODES, Expected, Profile, Sample
from sniffer.judge.verdict import Judge


def handshake_of(sample: Sample) -> Handshake:
    """Return the handshake that a sample describes."""
    versions = sample.supported_versions
    codes = None if versions is None else tuple(VERSION_CODES[word] for word in versions)
    hello = ClientHello(
        hello_format="tls",
        record_version=TLS_1_0,
        legacy_version=VERSION_CODES[sample.legacy_version],
        random=bytes(32),
        suites=sample.suites,
        server_name=sample.server_name.encode() if sample.server_name else None,
        supported_versions=codes,
        groups=sample.groups,
        signature_algorithms=sample.signature_algorithms,
    )
    client = ip_address("192.0.2.7").packed
    flow = Flow(client, 50_000, ip_address(sample.address).packed, sample.port)
    return Handshake(0, 1, flow, hello)


def judged(sample: Sample, profiles: Mapping[str, Profile]) -> Expected:
    """Return what the judge says of a sample."""
    found = Judge(DEFAULT_PORTS, profiles).judge(handshake_of(sample))
    return Expected(
        verdict=found.verdict,
        reasons=found.reasons,
        profile=found.profile,
        destination_basis=found.destination_basis,
    )


def failures(profile: Profile, profiles: Mapping[str, Profile]) -> Iterator[tuple[str, str]]:
    """Yield key and reason of the samples that come out otherwise beside other profiles."""
    beside = {name: other for name, other in profiles.items() if name != profile.name}
    beside[profile.name] = profile
    for number, sample in enumerate(profile.samples):
        found = judged(sample, beside)
        if found != sample.expected:
            why = f"{sample.what}: is judged {_words(found)}, not {_words(sample.expected)}"
            yield f"samples[{number}]", why


def _words(expected: Expected) -> str:
    said = [expected.verdict.value, *expected.reasons]
    if expected.profile is not None:
        said.append(f"by {expected.profile} ({expected.destination_basis})")
    return " ".join(said)
