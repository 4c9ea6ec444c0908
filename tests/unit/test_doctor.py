"""Every finding of the doctor, from frames that show it; and what it says of the whole."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import craft
import pytest
import trustme
from craft import MILLISECOND_NS, START_NS, Conversation, Frame
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from tracking import batch_of

from sniffer.capture.interfaces import Interface, Offloads
from sniffer.config import DEFAULT_PORTS, InventorySettings, Ports, TrackSettings
from sniffer.doctor.examine import Diagnosis, examine
from sniffer.doctor.finding import Code, Evidence, Finding, Port, Severity
from sniffer.doctor.report import diagnosis_json, diagnosis_text
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage, Doubt
from sniffer.judge.profile import load_profiles
from sniffer.judge.verdict import Judge
from sniffer.pipeline import Pipeline
from sniffer.survey import Facts, Survey
from sniffer.track.tracker import Tracker

PROFILES = load_profiles()
SMALL = TrackSettings(flows=1024, reassembly_bytes=1 << 20)
OUTLOOK = "outlook.office365.com"
OLD = craft.client_hello(craft.TLS_1_0, sni=OUTLOOK)
NEW = craft.tls13_client_hello(sni=OUTLOOK)
FLIGHT = craft.server_hello() + craft.certificate_flight()
HOUR = 3600.0


class Frames:
    """A source of frames at hand, and what would have been said of the input."""

    frames_dropped = 0

    def __init__(self, frames: list[Frame], snaplen: int, link: int) -> None:
        self._batch = batch_of(frames, link=link, snaplen=snaplen)
        self._is_read = not frames

    def read(self, batch: Any) -> bool:
        if self._is_read:
            return False
        for name in ("wire", "starts", "ends", "wire_lengths", "times_ns", "vlans", "links"):
            setattr(batch, name, getattr(self._batch, name))
        batch.count = self._batch.count
        self._is_read = True
        return True

    def close(self) -> None:
        pass


def evidence_of(
    frames: Iterable[Frame],
    *,
    snaplen: int = 1 << 18,
    link: int = craft.LINK_ETHERNET,
    ports: Ports = DEFAULT_PORTS,
    port: Port | None = None,
    own: tuple[bytes, ...] = (),
    status: str = "ok",
    dropped: int = 0,
) -> Evidence:
    """Run frames through survey and pipeline, as ``hellowatch doctor`` does."""
    captured = list(frames)
    aggregate = Aggregate(InventorySettings(), ports, PROFILES)
    tracker = Tracker(SMALL, ports, bytes(16))
    pipeline = Pipeline(tracker, Judge(ports, PROFILES, None), aggregate)
    pipeline.run(Frames(captured, snaplen, link))
    survey = Survey(ports, own)
    survey.observe(batch_of(captured, link=link, snaplen=snaplen))
    coverage = pipeline.coverage()
    coverage.frames_dropped = dropped
    told = {
        "path": "office.pcap",
        "format": "pcap",
        "status": status,
        "frames": coverage.frames,
        "problem": None if status == "ok" else "the file is cut short at offset 99",
    }
    return Evidence(
        coverage=coverage,
        facts=survey.facts(),
        snapshot=aggregate.snapshot(),
        ports=ports,
        profiles=PROFILES,
        inputs=[] if port is not None else [told],
        port=port,
    )


def call(
    number: int = 0, hello: bytes = OLD, server: str = "52.96.0.10", **more: Any
) -> Conversation:
    """Make a client's conversation with a server, up to the refusal."""
    more = {"client_mac": f"3c:2a:f4:00:01:{number:02x}", "client_port": 40000 + number} | more
    more = {"time_ns": START_NS + number * 100 * MILLISECOND_NS} | more
    client = more.pop("client", f"10.0.0.{50 + number}")
    talk = Conversation(client, server, **more).open().client(hello)
    return talk.server(FLIGHT).ack("client").server(craft.alert())


def calls(number: int = 6, **more: Any) -> list[Frame]:
    return craft.merged(*(call(one, **more).frames() for one in range(number)))


def day(frames: list[Frame]) -> list[Frame]:
    """Let the frames come again every quarter of an hour for nine hours, then no more."""
    pause = 900 * 1_000_000_000
    return [(at + turn * pause, octets) for turn in range(37) for at, octets in frames]


def other_vlan(frames: list[Frame], vlan: int) -> list[Frame]:
    return [(at, one[:12] + craft.u16s(craft.VLAN, vlan) + one[12:]) for at, one in frames]


def inspected() -> list[Frame]:
    """A server in a provider's range whose certificate an inspector issued."""
    made = trustme.CA(organization_name="Example Inspection").issue_cert(OUTLOOK)
    pem = made.cert_chain_pems[0].bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    shown = craft.handshake(11, craft.vector(3, craft.vector(3, der)))
    flight = craft.record(craft.server_hello_message() + shown)
    return Conversation().open().client(OLD).server(flight).ack("client").frames()


def hellos(*versions: int, **more: Any) -> list[Frame]:
    """One address that says as many different hellos."""
    shapes = [craft.client_hello(version, sni=OUTLOOK) for version in versions]
    return [
        frame
        for number, hello in enumerate(shapes)
        for frame in call(number, hello, client="203.0.113.9", **more).frames()
    ]


def arp() -> list[Frame]:
    wire = craft.ethernet(
        craft.arp_request("10.0.0.1", craft.SERVER_MAC, "10.0.0.2"),
        destination="ff:ff:ff:ff:ff:ff",
        kind=craft.ARP,
    )
    return [(START_NS, wire)]


def many(frames: int, kind: int) -> list[Frame]:
    return [(START_NS, craft.ethernet(bytes(46), kind=kind))] * frames


def looked_at(**more: Any) -> Port:
    interface = Interface(name="eth1", index=2, is_up=True, has_carrier=True, mtu=1500)
    told = {"interface": interface, "offloads": Offloads(gro=True), "lost": {}, "is_up": True}
    return Port(**(told | more))


@dataclass(frozen=True)
class Case:
    """Evidence that has to lead to a finding."""

    code: Code
    severity: Severity
    evidence: Callable[[], Evidence]
    says: str = ""

    @property
    def id(self) -> str:
        return f"{self.code}, {self.severity}: {self.says}"


PROBLEM, WARNING, NOTE = Severity

CASES = [
    Case(Code.NOTHING_SEEN, PROBLEM, lambda: evidence_of([]), "No frame was seen."),
    Case(
        Code.LINK_TYPE,
        PROBLEM,
        lambda: evidence_of(calls(), link=105),
        "is not read (LINKTYPE 105, 802.11).",
    ),
    Case(Code.NO_MAIL, PROBLEM, lambda: evidence_of(calls(server_port=443)), "No conversation"),
    Case(
        Code.NO_CLIENT_SIDE,
        PROBLEM,
        lambda: evidence_of(call().frames("server")),
        "Only one direction",
    ),
    Case(
        Code.DROPPED,
        PROBLEM,
        lambda: evidence_of(calls(), port=looked_at(), dropped=40),
        "of the frames were dropped",
    ),
    Case(
        Code.DROPPED,
        NOTE,
        lambda: evidence_of(day(calls()), port=looked_at(), dropped=1),
        "1 frame found no room",
    ),
    Case(
        Code.UNREAD,
        PROBLEM,
        lambda: evidence_of([*calls(), (START_NS, craft.ethernet(b"\x45\0", kind=0x0800)[:18])]),
        "could not be read (truncated 1)",
    ),
    Case(
        Code.UNKNOWN_ETHERTYPES,
        PROBLEM,
        lambda: evidence_of([*calls(), *many(3, 0x88B5)]),
        "unknown types (0x88b5 3)",
    ),
    Case(
        Code.UNKNOWN_ETHERTYPES,
        NOTE,
        lambda: evidence_of([*day(calls()), *many(3, 0x88B5)]),
        "3 frames of types that are not read (0x88b5)",
    ),
    Case(Code.CUT_HELLOS, PROBLEM, lambda: evidence_of(calls(), snaplen=96), "6 of 6 hellos"),
    Case(
        Code.CUT_HELLOS,
        NOTE,
        lambda: evidence_of(
            craft.merged(calls(20), Conversation("10.9.9.9").open().client(OLD[:60]).frames())
        ),
        "1 of 21 hellos were not seen to their end",
    ),
    Case(
        Code.UNSEEN,
        PROBLEM,
        lambda: evidence_of(
            Conversation()
            .open()
            .client(OLD)
            .server(FLIGHT)
            .lose("server", 5000)
            .ack("client")
            .server(craft.alert())
            .frames(),
            port=looked_at(),
        ),
        "the kernel dropped none: they were lost before this machine",
    ),
    Case(
        Code.NO_ROOM,
        PROBLEM,
        lambda: evidence_of(
            [
                frame
                for one in range(2000)
                for frame in Conversation(f"10.1.{one >> 8}.{one & 255}")
                .open()
                .client(OLD)
                .frames()
            ]
        ),
        "for want of room (flow",
    ),
    Case(
        Code.DAMAGED,
        WARNING,
        lambda: evidence_of(calls(), status="partial"),
        "office.pcap: the file is cut short at offset 99.",
    ),
    Case(
        Code.INTERFACE_DOWN,
        WARNING,
        lambda: evidence_of([], port=looked_at(is_up=False)),
        "eth1 is down",
    ),
    Case(
        Code.INTERFACE_LOSES,
        WARNING,
        lambda: evidence_of(calls(), port=looked_at(lost={"rx_crc_errors": 3})),
        "eth1 lost or refused frames meanwhile: rx_crc_errors 3",
    ),
    Case(
        Code.NOT_MIRRORED,
        WARNING,
        lambda: evidence_of(
            [*call().frames(), *arp()], port=looked_at(), own=(craft.mac("3c:2a:f4:00:01:00"),)
        ),
        "of 8 frames 1 went to all or to groups, 7 to or from this machine",
    ),
    Case(
        Code.ONE_MACHINE,
        WARNING,
        lambda: evidence_of(call().frames()),
        "runs between 00:00:5e:00:01:01 and 3c:2a:f4:00:01:00",
    ),
    Case(
        Code.ONE_WAY,
        WARNING,
        lambda: evidence_of(call().frames("client")),
        "What servers answer is missing",
    ),
    Case(
        Code.ONE_WAY,
        WARNING,
        lambda: evidence_of([*call(1).frames("server"), *call(2).frames("client")]),
        "2 of 2 conversations show one direction only",
    ),
    Case(
        Code.COPIES,
        WARNING,
        lambda: evidence_of(craft.mirrored(calls())),
        "50 % of the segments are copies of one seen a moment ago, all of them unchanged",
    ),
    Case(
        Code.COPIES,
        WARNING,
        lambda: evidence_of(craft.merged(calls(), other_vlan(calls(), 7))),
        "in another VLAN",
    ),
    Case(
        Code.COPIES,
        WARNING,
        lambda: evidence_of(craft.merged(calls(), calls(client_ttl=63, server_ttl=63))),
        "one hop further",
    ),
    Case(
        Code.NO_HELLOS,
        WARNING,
        lambda: evidence_of(
            [
                frame
                for one in range(6)
                for talk in [Conversation(client_port=2000 + one).client(craft.application_data())]
                for frame in talk.server(craft.application_data()).frames()
            ]
        ),
        "6 conversations on the watched ports, and in none of them a ClientHello",
    ),
    Case(
        Code.ONLY_OPENINGS,
        WARNING,
        lambda: evidence_of(
            [frame for one in range(6) for frame in call(one).frames()[:2]],
        ),
        "12 segments of the watched ports, and none carries anything",
    ),
    Case(
        Code.ONE_PORT,
        WARNING,
        lambda: evidence_of(calls(20)),
        "All 140 TCP segments belong to port 993",
    ),
    Case(
        Code.WRONG_VLAN,
        WARNING,
        lambda: evidence_of(calls(server_port=443, vlans=(30,))),
        "Frames of VLAN 30 were seen, and no mail in any of them.",
    ),
    Case(
        Code.VLANS,
        NOTE,
        lambda: evidence_of(craft.merged(calls(vlans=(10,)), calls(server_port=443, vlans=(20,)))),
        "Frames of VLANs 10, 20 pass here; there was no mail in VLAN 20.",
    ),
    Case(
        Code.TUNNELS,
        NOTE,
        lambda: evidence_of(
            [
                (at, craft.ethernet(craft.ipv4("192.0.2.1", "192.0.2.2", one[14:], protocol=4)))
                for at, one in calls()
            ]
        ),
        "42 frames came through a tunnel (ip-in-ip 42)",
    ),
    Case(
        Code.MAIL_ELSEWHERE,
        WARNING,
        lambda: evidence_of(
            craft.merged(
                calls(),
                Conversation(server_port=2525).open().client(OLD).frames(),
                Conversation(server_port=10143).open().client(b"a1 STARTTLS\r\n").frames(),
            )
        ),
        "not watched: 2525, 10143.",
    ),
    Case(
        Code.SNAP_LENGTH,
        WARNING,
        lambda: evidence_of(calls(), snaplen=60),
        "not even the version",
    ),
    Case(
        Code.SNAP_LENGTH,
        WARNING,
        lambda: evidence_of(calls(), snaplen=70),
        "where TCP has no options",
    ),
    Case(
        Code.SNAP_LENGTH,
        WARNING,
        lambda: evidence_of(calls(), snaplen=96),
        "12 of 42 frames cut at a snap length of 96 octets: a hello's version can be read",
    ),
    Case(Code.SNAP_LENGTH, NOTE, lambda: evidence_of(calls(), snaplen=800), "most hellos"),
    Case(
        Code.CUT_BEFORE,
        WARNING,
        lambda: evidence_of([(at, one[:96]) for at, one in calls()]),
        "12 of 42 TCP segments are shorter than their IP packet says",
    ),
    Case(
        Code.OFFLOAD,
        NOTE,
        lambda: evidence_of(
            Conversation(mss=9000).open().client(OLD).server(FLIGHT + bytes(4000)).frames(),
            port=looked_at(),
        ),
        "Here gro is on.",
    ),
    Case(
        Code.CHECKSUMS,
        NOTE,
        lambda: evidence_of(calls(good_checksum=False)),
        "42 of 42 TCP checksums do not fit: a card fills them in later",
    ),
    Case(
        Code.CLOCK_UNSET,
        WARNING,
        lambda: evidence_of(calls(time_ns=5 * 1_000_000_000)),
        "The first frame is of 1970-01-01",
    ),
    Case(
        Code.CLOCK_BACK,
        WARNING,
        lambda: evidence_of([*call(1, time_ns=START_NS + 10**12).frames(), *call(2).frames()]),
        "by up to 16 min 39 s",
    ),
    Case(
        Code.SILENCE,
        NOTE,
        lambda: evidence_of([*call(1).frames(), *call(2).wait(2 * HOUR).fin("client").frames()]),
        "No frame for 2 h from",
    ),
    Case(Code.TOO_SHORT, WARNING, lambda: evidence_of(calls()), "Less than a second was watched"),
    Case(
        Code.TOO_SHORT,
        WARNING,
        lambda: evidence_of(call().wait(HOUR).fin("client").frames()),
        "Only 1 h was watched",
    ),
    Case(
        Code.OUTSIDE_NAT,
        WARNING,
        lambda: evidence_of(hellos(0x0300, 0x0301, 0x0302, 0x0303)),
        "4 stacks, one address: behind 203.0.113.9 are at least 4 clients or programs",
    ),
    Case(
        Code.OUTSIDE_NAT,
        WARNING,
        lambda: evidence_of([*hellos(0x0301), *hellos(0x0303, client_ttl=120, client_port=9)]),
        "Their hop limits began at 64 and 128: no single system does that.",
    ),
    Case(
        Code.SAME_HELLO,
        WARNING,
        lambda: evidence_of([*calls(3), *calls(6, server="52.96.0.11")]),
        "All 6 devices show one and the same hello, to 2 servers",
    ),
    Case(
        Code.FOREIGN_CERTIFICATE,
        WARNING,
        lambda: evidence_of(inspected()),
        "Exchange Online, shows a certificate issued by Example Inspection.",
    ),
    Case(
        Code.PATH_RESETS,
        WARNING,
        lambda: evidence_of(
            Conversation(server_ttl=110).open().client(OLD).rst("server", ttl=60).frames()
        ),
        "Handshakes of 10.0.0.50 are reset from another distance",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_finding(case: Case) -> None:
    evidence = case.evidence()
    diagnosis = examine(evidence)
    agree(evidence, diagnosis)
    found = [one for one in diagnosis.findings if one.code is case.code]
    assert [one.severity for one in found] == [case.severity], codes(diagnosis)
    assert case.says in found[0].finding
    assert found[0].cure
    assert found[0].figures


def test_every_code_has_a_case() -> None:
    assert {case.code for case in CASES} == set(Code)


def test_every_doubt_is_a_code_with_a_cure() -> None:
    assert {doubt.value for doubt in Doubt} <= {code.value for code in Code}


def test_nothing_is_wrong_with_a_good_day() -> None:
    frames = craft.merged(
        *(call(one, NEW, server_port=port).frames() for one, port in enumerate((993, 995, 587)))
    )
    evidence = evidence_of(day(frames))
    diagnosis = examine(evidence)
    assert codes(diagnosis) == []
    assert diagnosis.fit
    assert diagnosis.verdict == (
        "None of the 3 devices seen offers old TLS. Nothing is told of those that did not speak."
    )
    text = diagnosis_text(diagnosis_json(evidence, diagnosis), lambda word, severity: word)
    assert "Nothing is wrong with this picture." in text
    assert "What we could see: 9 h" in text


def test_one_new_client_is_told_as_one() -> None:
    diagnosis = examine(evidence_of(call(hello=NEW).frames()))
    assert diagnosis.verdict.startswith("The one device seen does not offer old TLS. ")


def codes(diagnosis: Diagnosis) -> list[str]:
    return [f"{one.code} {one.severity}" for one in diagnosis.findings]


def agree(evidence: Evidence, diagnosis: Diagnosis) -> None:
    """The doctor and the coverage never disagree, and an unfit capture is never cleared."""
    fit, why = evidence.coverage.fitness()
    problems = [one for one in diagnosis.findings if one.severity is PROBLEM]
    assert diagnosis.fit == fit == (not problems)
    assert {one.code.value for one in problems} == {d.value for d in evidence.coverage.doubts()}
    cleared = diagnosis.verdict.startswith(("None of the ", "The one device seen does not "))
    assert not cleared or (fit and evidence.coverage.hellos)
    if not fit:
        assert why in diagnosis.verdict


COUNTS = st.dictionaries(
    st.sampled_from(["link_type", "depth", "truncated", "0x0806", "0x88b5", "flow"]),
    st.integers(1, 30),
)


@given(
    st.builds(
        Coverage,
        frames=st.integers(0, 1000),
        frames_dropped=st.integers(0, 20),
        bytes=st.integers(0, 100_000),
        flows=st.integers(0, 20),
        one_sided_flows=st.integers(0, 20),
        hellos=st.integers(0, 20),
        undecoded=COUNTS,
        ethertypes=COUNTS,
        incomplete=COUNTS,
        evicted=COUNTS,
        unseen_bytes=st.integers(0, 3000),
    ),
    st.sampled_from([Facts(), evidence_of(calls()).facts, evidence_of(inspected()).facts]),
    st.sampled_from([None, looked_at(), looked_at(is_up=False, lost={"rx_errors": 1})]),
)
def test_doctor_and_coverage_never_disagree(
    coverage: Coverage, facts: Facts, port: Port | None
) -> None:
    for snapshot in (EMPTY, SOME):
        evidence = Evidence(
            coverage=coverage,
            facts=facts,
            snapshot=snapshot,
            ports=DEFAULT_PORTS,
            profiles=PROFILES,
            port=port,
        )
        agree(evidence, examine(evidence))


EMPTY = evidence_of([]).snapshot
SOME = evidence_of(calls()).snapshot


def test_old_clients_are_told_though_the_capture_is_unfit() -> None:
    diagnosis = examine(evidence_of([*calls(), *many(30, 0x88B5)]))
    assert not diagnosis.fit
    assert diagnosis.verdict.startswith("6 of 6 devices seen offer old TLS. There may be more: ")


def test_retries_of_a_capable_client_are_one_stack() -> None:
    first = call(0, craft.client_hello(craft.TLS_1_2, sni=OUTLOOK), client="10.0.0.9")
    others = [
        call(
            number,
            craft.client_hello(version, sni=OUTLOOK, suites=(*craft.SUITES, craft.FALLBACK_SCSV)),
            client="10.0.0.9",
        )
        for number, version in enumerate((0x0302, 0x0301, 0x0300), 1)
    ]
    frames = craft.merged(*(one.frames() for one in (first, *others)))
    assert Code.OUTSIDE_NAT not in [one.code for one in examine(evidence_of(frames)).findings]


def test_worst_findings_come_first_and_text_is_inert() -> None:
    evidence = evidence_of(craft.mirrored(calls()), snaplen=96)
    diagnosis = examine(evidence)
    ranks = [list(Severity).index(one.severity) for one in diagnosis.findings]
    assert ranks == sorted(ranks)
    told = diagnosis_json(evidence, diagnosis)
    told["findings"][0]["finding"] = "x"
    text = diagnosis_text(told, lambda word, severity: f"<{word}>")
    assert text.startswith("6 of 6 devices seen offer old TLS. There may be more: ")
    assert "<PROBLEM> cut-hellos\n    x\n    To do: Capture whole frames" in text
    assert max(map(len, text.splitlines())) <= 100


def test_issuer_from_the_wire_is_printable() -> None:
    made = trustme.CA(organization_name="Evil\x1b[31m\u202eInspector").issue_cert(OUTLOOK)
    der = x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes())
    shown = craft.handshake(11, craft.vector(3, craft.vector(3, der.public_bytes(Encoding.DER))))
    flight = craft.record(craft.server_hello_message() + shown)
    talk = Conversation().open().client(OLD).server(flight)
    found: list[Finding] = [
        one
        for one in examine(evidence_of(talk.frames())).findings
        if one.code is Code.FOREIGN_CERTIFICATE
    ]
    assert "Evil\\x1b[31m\\xe2\\x80\\xaeInspector" in found[0].finding
