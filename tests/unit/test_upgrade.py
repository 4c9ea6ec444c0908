"""Upgrades by STARTTLS, and datagrams in fragments, through the tracker."""

import craft
import pytest
from craft import Conversation, ethernet, ipv4, ipv6, ipv6_fragment
from tracking import ANY_PORT, track

from parsers.tls.facts import TLS_1_0
from sniffer.event import Side

OLD = craft.client_hello(craft.TLS_1_0, sni="outlook.office365.com")
REFUSED = craft.alert(2, 70)
FLIGHT = craft.server_hello() + craft.certificate_flight()
KEYS = craft.client_key_exchange() + craft.change_cipher_spec() + craft.finished()
AGREED = craft.change_cipher_spec() + craft.finished()
EHLO = b"250-mx Hello [192.0.2.9]\r\n250-STARTTLS\r\n250 8BITMIME\r\n"


def smtp(port: int = 25) -> Conversation:
    talk = Conversation(server_port=port).open().server(b"220 mx ESMTP\r\n")
    return talk.client(b"EHLO printer\r\n").server(EHLO)


def imap() -> Conversation:
    talk = Conversation(server_port=143).open()
    return talk.server(b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n")


def pop3() -> Conversation:
    return Conversation(server_port=110).open().server(b"+OK ready\r\n")


UPGRADES = [
    ("smtp", smtp().client(b"STARTTLS\r\n").server(b"220 go ahead\r\n"), "smtp"),
    ("submission", smtp(587).client(b"starttls\n").server(b"220 2.0.0\r\n"), "smtp"),
    ("imap", imap().client(b"a1 STARTTLS\r\n").server(b"a1 OK begin\r\n"), "imap"),
    (
        "imap-id-with-a-literal",
        imap()
        .client(b'a1 ID ("name" {10}\r\n')
        .server(b"+ go on\r\n")
        .client(b'a2 STARTTL")\r\n')
        .server(b"a1 OK\r\n")
        .client(b"a2 STARTTLS\r\n")
        .server(b"* OK wait\r\na2 OK\r\n"),
        "imap",
    ),
    (
        "pop3",
        pop3()
        .client(b"CAPA\r\n")
        .server(b"+OK\r\nSTLS\r\n.\r\n")
        .client(b"STLS\r\n")
        .server(b"+OK\r\n"),
        "pop3",
    ),
    (
        "refused-once",
        smtp()
        .client(b"STARTTLS\r\n")
        .server(b"454 not now\r\n")
        .client(b"STARTTLS\r\n")
        .server(b"220\r\n"),
        "smtp",
    ),
    (
        "asked-twice-in-a-row",
        imap().client(b"a1 STARTTLS\r\n").server(b"a1 OK\r\n").client(b"a2 STARTTLS\r\n"),
        "imap",
    ),
    (
        "after-a-failed-login",
        smtp()
        .client(b"AUTH LOGIN\r\n")
        .server(b"334 VXNlcg==\r\n")
        .client(b"cHJpbnRlcg==\r\n")
        .server(b"538 encryption needed\r\n")
        .client(b"STARTTLS\r\n")
        .server(b"220\r\n"),
        "smtp",
    ),
]


@pytest.mark.parametrize(
    ("name", "talk", "protocol"), [pytest.param(*case, id=case[0]) for case in UPGRADES]
)
def test_a_hello_behind_an_upgrade(name: str, talk: Conversation, protocol: str) -> None:
    talk.client(OLD)
    frame = len(talk.segments)
    one = track(talk.server(REFUSED).fin("server").frames()).only
    assert (one.frame, one.starttls, one.hello.max_offered) == (frame, protocol, TLS_1_0)
    assert (one.outcome, one.alert_sender) == ("alert", Side.SERVER)
    assert one.flow.syn_seen


def test_an_upgrade_seen_from_the_clients_side_alone() -> None:
    talk = smtp().client(b"STARTTLS\r\n").server(b"220\r\n").client(OLD).server(REFUSED)
    one = track(talk.frames("client")).only
    assert (one.starttls, one.outcome, one.flow.server_half) == ("smtp", "unknown", False)


def test_an_established_upgrade() -> None:
    talk = smtp().client(b"STARTTLS\r\n").server(b"220\r\n").client(OLD).server(FLIGHT)
    one = track(talk.client(KEYS).server(AGREED).frames()).only
    assert (one.starttls, one.outcome, one.server_hello.negotiated) == (
        "smtp",
        "established",
        TLS_1_0,
    )


@pytest.mark.parametrize("split", [1, 7, 23])
def test_lines_and_hello_cut_anywhere(split: int) -> None:
    lines = b"EHLO printer\r\nSTARTTLS\r\n"
    talk = Conversation(server_port=25).open().server(b"220 mx\r\n").client(lines, split=split)
    talk.server(EHLO + b"220 go\r\n").client(OLD, split=split).server(REFUSED)
    one = track(talk.frames()).only
    assert (one.starttls, one.outcome) == ("smtp", "alert")


def test_a_hello_that_did_not_wait_for_the_answer() -> None:
    talk = smtp().client(b"STARTTLS\r\n" + OLD).server(b"220 go\r\n" + REFUSED)
    one = track(talk.frames()).only
    assert (one.starttls, one.outcome) == ("smtp", "alert")


@pytest.mark.parametrize(
    ("talk", "answer"),
    [
        (smtp().client(b"STARTTLS\r\n" + OLD), b"454 TLS not available\r\n"),
        (imap().client(b"a STARTTLS\r\n" + OLD), b"a BAD unknown command\r\n"),
        (pop3().client(b"STLS\r\n" + OLD), b"-ERR no\r\n"),
    ],
    ids=["smtp", "imap", "pop3"],
)
def test_a_refusal_that_the_client_did_not_wait_for(talk: Conversation, answer: bytes) -> None:
    one = track(talk.server(answer).fin("server").frames()).only
    assert (one.outcome, one.ended_by, one.refused_by) == (
        "refused-starttls",
        Side.SERVER,
        Side.SERVER,
    )


def test_mail_in_clear_holds_no_hello_whatever_its_text_says() -> None:
    talk = smtp().client(b"MAIL FROM:<a@b>\r\n").server(b"250\r\n").client(b"DATA\r\n")
    talk.server(b"354\r\n").client(b"STARTTLS\r\n").client(OLD).server(b"250\r\n")
    assert track(talk.frames()).handshakes == []


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-x\r\n",
        b"A" * 9000,
        b"EHLO " + b"x" * 9000,
        b"EHLO x\r\n" * 99,
        b"a LOGIN {4294967296}\r\n",
        b"a LOGIN {99999999999999999999999}\r\n",
    ],
    ids=["http", "ssh", "no-line-end", "endless-line", "endless-dialogue", "literal", "longer"],
)
def test_what_is_no_dialogue_is_let_go(opening: bytes) -> None:
    """B13: 8 KiB a line, then nothing more is wanted."""
    talk = Conversation(server_port=2525).open().client(opening).client(b"STARTTLS\r\n").client(OLD)
    seen = track(talk.frames(), ports=ANY_PORT)
    assert (seen.handshakes, seen.counters.undecoded) == ([], {})
    assert seen.counters.reassembly_bytes == 0


@pytest.mark.parametrize("junk", [b"\0\xff\x16\x03", b"NOOP\r\n\x16\x03\x01", b"x" * 9000])
def test_junk_behind_the_upgrade_makes_no_hello(junk: bytes) -> None:
    """Row B13: junk in one segment with the upgrade."""
    talk = smtp().client(b"STARTTLS\r\n" + junk).server(b"220 go\r\n").client(OLD).server(REFUSED)
    seen = track(talk.frames())
    assert (seen.handshakes, seen.counters.undecoded) == ([], {})


def test_a_reply_sent_before_its_question_changes_nothing() -> None:
    """Row B13: the server's answer to the upgrade stands behind an earlier one."""
    talk = Conversation(server_port=587).open().server(b"220 mx\r\n").client(b"EHLO p\r\n")
    talk.server(b"250 STARTTLS\r\n220 go\r\n").client(b"STARTTLS\r\n").client(OLD)
    one = track(talk.server(REFUSED).frames()).only
    assert (one.starttls, one.outcome) == ("smtp", "alert")


def test_an_upgrade_on_any_port_joined_in_the_middle() -> None:
    talk = smtp(2525).client(b"STARTTLS\r\n").server(b"220\r\n").client(OLD).server(REFUSED)
    one = track(talk.frames()[3:], ports=ANY_PORT).only
    assert (one.starttls, one.outcome) == ("smtp", "alert")


# ----------------------------------------------------------------------------- fragments

CLIENT, SERVER = "10.0.0.50", "52.96.0.10"


def fragments4(packet_payload: bytes, size: int, number: int = 7) -> list[bytes]:
    found = []
    for at in range(0, len(packet_payload), size):
        more = 0x2000 if at + size < len(packet_payload) else 0
        piece = packet_payload[at : at + size]
        packet = ipv4(CLIENT, SERVER, piece, fragment=more | at // 8, identification=number)
        found.append(ethernet(packet, vlans=(12,)))
    return found


def fragments6(packet_payload: bytes, size: int) -> list[bytes]:
    client, server = "2001:db8::50", "2001:db8::10"
    found = []
    for at in range(0, len(packet_payload), size):
        more = at + size < len(packet_payload)
        piece = packet_payload[at : at + size]
        header = ipv6_fragment(at, more, 7)
        found.append(ethernet(ipv6(client, server, piece, headers=[header])))
    return found


def timed(frames: list[bytes]) -> list[tuple[int, bytes]]:
    return [(number * 1_000_000, octets) for number, octets in enumerate(frames)]


@pytest.mark.parametrize("backwards", [False, True], ids=["in-order", "backwards"])
def test_a_hello_in_ipv4_fragments(backwards: bool) -> None:
    pieces = fragments4(craft.tcp(CLIENT, SERVER, 50123, 993, OLD), 64)
    if backwards:
        pieces.reverse()
    found = track(timed(pieces))
    one = found.only
    assert one.frame == len(pieces)
    assert one.hello.complete
    assert one.hello.server_name == b"outlook.office365.com"
    assert (one.flow.source, one.flow.vlan) == (craft.address(CLIENT), 12)
    assert one.flow.mac == craft.mac(craft.CLIENT_MAC)
    assert found.counters.undecoded == {}


def test_a_hello_in_ipv6_fragments() -> None:
    segment = craft.tcp("2001:db8::50", "2001:db8::10", 50123, 993, OLD)
    one = track(timed(fragments6(segment, 80))).only
    assert one.flow.source == craft.address("2001:db8::50")
    assert one.hello.complete


def test_a_fragmented_tunnel_still_names_the_client_inside() -> None:
    inner = ipv4(CLIENT, SERVER, craft.tcp(CLIENT, SERVER, 50123, 993, OLD))
    outer = b"\0\0\x08\0" + inner
    pieces = [
        ethernet(
            ipv4(
                "192.0.2.1",
                "192.0.2.2",
                outer[at : at + 64],
                protocol=47,
                fragment=(0x2000 if at + 64 < len(outer) else 0) | at // 8,
                identification=9,
            )
        )
        for at in range(0, len(outer), 64)
    ]
    one = track(timed(pieces)).only
    assert one.flow.source == craft.address(CLIENT)
    assert [(t.type, t.outer_source) for t in one.flow.tunnels] == [
        ("gre", craft.address("192.0.2.1"))
    ]


def test_overlapping_fragments_are_dropped_and_counted() -> None:
    pieces = fragments4(craft.tcp(CLIENT, SERVER, 50123, 993, OLD), 64)
    other = fragments4(bytes(64) + bytes(64), 64)[0]
    found = track(timed([pieces[0], other, *pieces[1:]]))
    assert found.handshakes == []
    assert found.counters.undecoded["fragment"] >= 2


def test_a_tunnel_is_told_with_the_flow() -> None:
    inner = ethernet(ipv4(CLIENT, SERVER, craft.tcp(CLIENT, SERVER, 50123, 993, OLD)))
    vxlan = b"\x08\0\0\0\0\0\x4d\0" + inner
    outer = craft.udp("192.0.2.1", "192.0.2.2", 49152, 4789, vxlan)
    one = track([(0, ethernet(ipv4("192.0.2.1", "192.0.2.2", outer, protocol=17)))]).only
    (tunnel,) = one.flow.tunnels
    assert (tunnel.type, tunnel.id, tunnel.outer_source) == (
        "vxlan",
        77,
        craft.address("192.0.2.1"),
    )


def test_a_client_that_closed_first_may_still_be_answered() -> None:
    talk = Conversation().open().client(OLD).server(FLIGHT).client(KEYS).fin("client")
    assert track(talk.frames()).only.outcome == "closed"
    assert track(talk.server(AGREED).fin("server").frames()).only.outcome == "established"


@pytest.mark.parametrize(
    ("ttl", "by"), [(115, Side.SERVER), (114, Side.SERVER), (62, Side.PATH), (255, Side.PATH)]
)
def test_a_reset_from_another_distance_is_the_paths(ttl: int, by: Side) -> None:
    talk = Conversation(server_ttl=115).open().client(OLD).rst("server", ttl=ttl)
    one = track(talk.frames()).only
    assert (one.outcome, one.ended_by, one.refused_by) == ("reset", Side.SERVER, by)


def test_a_reset_of_a_server_never_heard_before_is_the_servers() -> None:
    talk = Conversation(server_ttl=115).open().client(OLD).rst("server", ttl=60)
    one = track([talk.frames()[0], *talk.frames()[2:]]).only
    assert (one.outcome, one.refused_by) == ("reset", Side.SERVER)
