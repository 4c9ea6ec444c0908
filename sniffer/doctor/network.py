"""Tells who stands between the clients and us, or between us and the provider."""

from collections.abc import Iterator

from sniffer.doctor.finding import Code, Evidence, Finding, Severity
from sniffer.event import Side, Verdict, address
from sniffer.inventory.aggregate import DeviceSnapshot
from sniffer.inventory.assessment import programs
from sniffer.judge.profile import Profile
from sniffer.log import printable
from sniffer.survey import HOP_STARTS, Certificate

MANY_STACKS = 4
"""So many programs that fetch or send mail are rarely on one machine."""
MANY_DEVICES = 5
MANY_SERVERS = 2


def outside_nat(evidence: Evidence) -> Finding | None:
    """Tell an address that several machines share."""
    hops = evidence.facts.hops
    found = []
    for device in evidence.snapshot.devices:
        stacks = len(programs(device))
        starts = hops.get(device.address, 0).bit_count()
        if stacks >= MANY_STACKS or (stacks >= 2 and starts >= 2):
            found.append((stacks, starts, device))
    if not found:
        return None
    stacks, starts, device = max(found, key=lambda one: (one[0], one[1], one[2].address))
    name = address(device.address)
    sure = (
        f" Their hop limits began at {_listed(hops[device.address])}: no single system does that."
        if starts >= 2
        else ""
    )
    others = len(found) - 1
    more = f" So {'does' if others == 1 else 'do'} {others} more." if others else ""
    return Finding(
        code=Code.OUTSIDE_NAT,
        severity=Severity.WARNING,
        finding=(
            f"{stacks} stacks, one address: behind {name} are at least {stacks} clients or "
            f"programs, most likely machines behind address translation.{sure}{more}"
        ),
        figures={"device": name, "stacks": stacks, "hop_limits": starts, "devices": len(found)},
        cure=(
            "Move the mirror inside: to a port that the clients' own addresses pass, before the "
            "router or firewall that translates them."
        ),
        source="RFC 3022: traditional address translation",
    )


def same_hello(evidence: Evidence) -> Finding | None:
    """Tell that all devices show one hello: somebody speaks for them."""
    devices = evidence.snapshot.devices
    shapes = {stack for device in devices for stack in _stacks(device)}
    if len(devices) < MANY_DEVICES or len(shapes) != 1:
        return None
    servers = {
        destination.address
        for device in devices
        for stack in device.stacks
        for destination in stack.destinations
    }
    if len(servers) < MANY_SERVERS:
        return None
    return Finding(
        code=Code.SAME_HELLO,
        severity=Severity.WARNING,
        finding=(
            f"All {len(devices)} devices show one and the same hello, to {len(servers)} servers: "
            "either they are of one kind, or TLS is inspected on the way and this is the "
            "inspector's hello."
        ),
        figures={"devices": len(devices), "stacks": 1, "servers": len(servers)},
        cure=(
            "If a firewall inspects TLS, mirror before it, on the clients' side; or leave the "
            "mail provider out of the inspection."
        ),
    )


def foreign_certificate(evidence: Evidence) -> Finding | None:
    """Tell a provider's server that shows a certificate of somebody else's."""
    found = list(_foreign(evidence))
    if not found:
        return None
    certificate, profile = found[0]
    expected = profile.certificates
    assert expected is not None  # noqa: S101 (_foreign yields no other)
    issuer = _text(certificate.issuer_organization or certificate.issuer)
    return Finding(
        code=Code.FOREIGN_CERTIFICATE,
        severity=Severity.WARNING,
        finding=(
            f"TLS seems to be inspected on the way: {address(certificate.server)}, which is to be "
            f"{profile.title}, shows a certificate issued by {issuer or 'nobody named'}."
        ),
        figures={
            "server": address(certificate.server),
            "port": certificate.port,
            "subject": _text(certificate.subject),
            "issuer": issuer,
            "expected": list(expected.issuers),
            "certificates": len(found),
        },
        cure=(
            "What is seen here may be the inspector's hellos and refusals, not the provider's. "
            "Mirror before the inspector, or leave the mail provider out of the inspection."
        ),
        source=expected.source,
    )


def path_resets(evidence: Evidence) -> Finding | None:
    """Tell devices whose handshakes something on the way breaks off."""
    reset = [one for one in evidence.snapshot.devices if one.refused_by == Side.PATH]
    if not reset:
        return None
    names = ", ".join(address(device.address) for device in reset[:3])
    more = f" and {len(reset) - 3} more" if len(reset) > 3 else ""
    return Finding(
        code=Code.PATH_RESETS,
        severity=Severity.WARNING,
        finding=(
            f"Handshakes of {names}{more} are reset from another distance than the server's: by a "
            "firewall on the way, not by the provider."
        ),
        figures={"devices": len(reset)},
        cure="Look for these connections in the firewall's log; the provider has not refused them.",
    )


RULES = (outside_nat, same_hello, foreign_certificate, path_resets)


def _stacks(device: DeviceSnapshot) -> set[str]:
    """Return the shapes of a device; retries by one that can do better count as one with it."""
    return {
        stack.shape.id
        for stack in device.stacks
        if stack.shape is not None and stack.verdict is not Verdict.FALLBACK
    }


def _listed(hops: int) -> str:
    return " and ".join(str(start) for bit, start in enumerate(HOP_STARTS) if hops >> bit & 1)


def _foreign(evidence: Evidence) -> Iterator[tuple[Certificate, Profile]]:
    """Yield certificates of a provider's servers that none of its issuers issued."""
    labels = {
        (destination.address, destination.port): destination.label
        for device in evidence.snapshot.devices
        for stack in device.stacks
        for destination in stack.destinations
    }
    for certificate in evidence.facts.certificates:
        label = labels.get((certificate.server, certificate.port))
        profile = evidence.profiles.get(label or "")
        if profile is None or profile.certificates is None:
            continue
        issuer = _text(certificate.issuer_organization or certificate.issuer)
        if not any(issuer.startswith(known) for known in profile.certificates.issuers):
            yield certificate, profile


def _text(name: bytes | None) -> str:
    return "" if name is None else printable(name)
