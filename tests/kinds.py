"""The kinds of case there are, a small capture each: what other tools get wrong.

One printer-like client, 10.0.0.50, talks to a server in Exchange Online's range; hellos and
answers are what real programs said (``dialogues``), or octets of ``craft`` where no program
here says such a thing. What must be read in each stands in ``golden/kinds.toml`` (by hand)
and ``golden/kinds.tshark.ndjson`` (by tshark), and is not known here.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import craft
from craft import Conversation, Frame, ethernet, ipv4, u16s
from dialogues import Dialogue, dialogue
from tunnels import erspan_2, erspan_3, geneve, gre, outer_udp, vxlan

GREASE = 0x3A3A
NOBODY = "203.0.113.5"
"""A server that no profile names, for hellos that name none of a provider's."""

# What was said, by whom. Exchange Online's name stands in those of the office.
OLD = dialogue("office", "10.20.20.11")  # TLS 1.0 by POP3S, alert 70
BARE = dialogue("office", "10.20.20.12")  # TLS 1.0, neither name nor ticket; reset
AGREED = dialogue("office", "10.20.1.50")  # TLS 1.0
AGREED_1_2 = dialogue("dovecot-versions", "10.30.0.11", 2)
AGREED_1_3 = dialogue("dovecot-versions", "10.30.0.11", 3)
RESUMED = dialogue("dovecot-versions", "10.30.0.11", 9)  # TLS 1.2
ASKED_AGAIN = dialogue("dovecot-versions", "10.30.0.11", 10)  # HelloRetryRequest
MODERN = dialogue("dovecot-clients", "10.30.0.12")  # TLS 1.3
SUITES = dialogue("office", "10.20.30.22")  # TLS 1.2 with RSA key exchange and CBC only
SSL_3 = dialogue("oldest-hellos", "10.30.0.18")
JAVA = dialogue("oldest-hellos", "10.30.0.17")  # SSL 2.0's format, TLS 1.0
JAVA_REFUSED = dialogue("oldest-hellos", "10.30.0.17", 3)
REJECTED = dialogue("refused-client", "10.30.0.12")  # the certificate, by alert 48
NEEDLESS = dialogue("refused-alert", "10.30.0.11", 6)  # TLS_FALLBACK_SCSV, alert 86
CURL_1_2 = dialogue("refused-reset", "10.30.0.13")
CURL_1_0 = dialogue("refused-reset", "10.30.0.13", 1)
IMAP = dialogue("starttls", "10.30.0.11")
POP3 = dialogue("starttls", "10.30.0.11", 1)
SMTP = dialogue("starttls", "10.30.0.11", 2)
IMAP_CLOSED = dialogue("starttls", "10.30.0.11", 3)
POP3_CLOSED = dialogue("starttls", "10.30.0.12", 3)
SMTP_REFUSED = dialogue("starttls", "10.30.0.12", 4)

REFUSAL = craft.alert(2, 70)


def hello_of(said: Dialogue) -> bytes:
    """Return what the client says first, a hello in a segment of its own."""
    return next(octets for side, octets in said if side == "client")


def told(said: Dialogue, talk: Conversation | None = None) -> Conversation:
    """Let a conversation be opened and say this."""
    talk = (talk or Conversation()).open()
    for side, octets in said:
        (talk.client if side == "client" else talk.server)(octets)
    return talk


def nobody() -> Conversation:
    """Begin a conversation with a server of no provider."""
    return Conversation(server=NOBODY)


def refused(said: Dialogue = OLD, talk: Conversation | None = None) -> Conversation:
    """Let a hello be answered by alert 70, and both sides close."""
    talk = (talk or Conversation()).open().client(hello_of(said)).server(REFUSAL)
    return talk.fin("server").fin("client")


def carried(wrap: Callable[[bytes], bytes], talk: Conversation | None = None) -> list[Frame]:
    """Return a refused conversation with each frame inside something."""
    return [(time_ns, wrap(octets)) for time_ns, octets in refused(OLD, talk).frames()]


def packet(frame: bytes) -> bytes:
    """Return a frame's IP packet, without padding."""
    return frame[14 : 14 + int.from_bytes(frame[16:18])]


def tagged(frame: bytes, shim: bytes) -> bytes:
    """Put a shim between a frame's addresses and its type."""
    return frame[:12] + shim + frame[12:]


def seen(
    frames: Iterable[Frame], link_type: int = craft.LINK_ETHERNET, snaplen: int = 1 << 18
) -> bytes:
    """Write a capture."""
    return craft.pcap(frames, link_type=link_type, snaplen=snaplen)


@cache
def kinds() -> dict[str, bytes]:
    """Return every kind's capture file by its name."""
    groups = (endings, upgrades, damaged, wrapped, versions, look_alikes, stories)
    return {name: capture for group in groups for name, capture in group().items()}


def endings() -> dict[str, bytes]:
    """A whole hello, and every way a server ends it."""
    bare = craft.client_hello(craft.TLS_1_0)
    talk = {
        "established": told(AGREED).fin("client").fin("server"),
        "refused-alert-70": refused(),
        "refused-reset": Conversation().open().client(hello_of(OLD)).rst("server"),
        "refused-closed": Conversation().open().client(hello_of(OLD)).fin("server").fin("client"),
        "refused-firewall": Conversation().open().client(hello_of(OLD)).rst("server", ttl=253),
        "unanswered": Conversation()
        .open()
        .client(hello_of(OLD))
        .ack("server")
        .wait(20)
        .fin("client"),
        "printer-like-refused": refused(BARE),
        "printer-like-established": told(
            (("client", hello_of(BARE)), *AGREED[1:]),
        ).fin("client"),
        "no-extensions-alert-0x0301": Conversation()
        .open()
        .client(bare)
        .server(craft.alert(2, 70, craft.TLS_1_0))
        .fin("server"),
        "no-extensions-alert-0x0303": Conversation()
        .open()
        .client(bare)
        .server(craft.alert(2, 70, craft.TLS_1_2))
        .fin("server"),
        "no-extensions-reset": Conversation().open().client(bare).rst("server"),
        "ssl-3-established": told(SSL_3).fin("client"),
        "sslv2-format-refused": told(JAVA_REFUSED).fin("server"),
        "sslv2-format-established": told(JAVA).fin("client"),
        "sslv2-itself": Conversation()
        .open()
        .client(craft.sslv2_client_hello(craft.SSL_2_0, (0x010080, 0x0700C0)))
        .server(craft.sslv2_server_hello())
        .fin("client"),
        "sslv2-format-reset": Conversation().open().client(hello_of(JAVA_REFUSED)).rst("server"),
        "certificate-rejected": told(REJECTED, nobody()).fin("client"),
    }
    return {name: seen(one.frames()) for name, one in talk.items()}


def upgrades() -> dict[str, bytes]:
    """STARTTLS and STLS: agreed, refused inside TLS, refused in clear."""

    def on(port: int) -> Conversation:
        return Conversation(server_port=port)

    clear: Dialogue = (
        ("server", b"+OK ready\r\n"),
        ("client", b"STLS\r\n"),
        ("server", b"-ERR not here\r\n"),
        ("client", b"USER scanner\r\n"),
        ("server", b"+OK\r\n"),
        ("client", b"PASS secret\r\n"),
        ("server", b"+OK\r\n"),
        ("client", b"QUIT\r\n"),
    )
    hasty: Dialogue = (
        ("server", b"220 mail.example.org ESMTP\r\n"),
        ("client", b"EHLO printer\r\n"),
        ("server", b"250-mail.example.org\r\n250 STARTTLS\r\n"),
        ("client", b"STARTTLS\r\n" + hello_of(OLD)),
        ("server", b"454 TLS not available\r\n"),
    )
    talk = {
        "starttls-imap-established": told(IMAP, on(143)).fin("client"),
        "starttls-pop3-established": told(POP3, on(110)).fin("client"),
        "starttls-smtp-established": told(SMTP, on(25)).fin("client"),
        "starttls-submission-established": told(SMTP, on(587)).fin("client"),
        "starttls-imap-closed": told(IMAP_CLOSED[:-1], on(143)).fin("server"),
        "starttls-pop3-closed": told(POP3_CLOSED[:-1], on(110)).fin("server"),
        "starttls-smtp-refused": told(SMTP_REFUSED, on(25)).fin("server"),
        "starttls-refused-then-clear": told(clear, on(110)).fin("client"),
        "starttls-refused-hello-sent-already": told(hasty, on(25)).fin("server"),
    }
    halves = {
        "starttls-imap-client-half": told(IMAP, on(143)),
        "starttls-smtp-client-half": told(SMTP, on(25)),
    }
    return {name: seen(one.frames()) for name, one in talk.items()} | {
        name: seen(one.frames("client")) for name, one in halves.items()
    }


def damaged() -> dict[str, bytes]:
    """Cut, doubled, one-sided, out of order, with wrong checksums and lengths."""
    hello = hello_of(OLD)
    body = hello[5:]
    whole = refused().frames()
    large = craft.tls13_client_hello(
        supported_versions=(0x0304, 0x0303),
        extensions=[(21, b""), (0xFE0D, bytes(150)), craft.padding_extension(1300)],
    )

    def talk(**split: Sequence[int]) -> Conversation:
        one = Conversation().open().client(hello, **split)
        return one.server(REFUSAL).fin("server").fin("client")

    super_frame = Conversation(mss=60_000).open().client(large).server(REFUSAL).fin("server")
    offloaded = [
        (time_ns, octets[:16] + b"\0\0" + octets[18:] if len(octets) > 1514 else octets)
        for time_ns, octets in super_frame.frames()
    ]
    return {
        "split-at-7": seen(talk(split=(7,)).frames()),
        "split-at-1": seen(talk(split=(1,)).frames()),
        "split-in-three-out-of-order": seen(talk(split=(20, 30), order=(0, 2, 1)).frames()),
        "split-with-repetition": seen(talk(split=(20, 30), order=(0, 0, 1, 2, 1)).frames()),
        "split-by-a-large-key-share": seen(
            Conversation().open().client(large).server(REFUSAL).fin("server").frames()
        ),
        "super-frame": seen(super_frame.frames()),
        "super-frame-total-length-0": seen(offloaded),
        "two-records": seen(
            Conversation()
            .open()
            .client(craft.records(body, (20,)))
            .server(REFUSAL)
            .fin("server")
            .frames()
        ),
        "records-of-ten-octets": seen(
            Conversation()
            .open()
            .client(craft.records(body, 10))
            .server(REFUSAL)
            .fin("server")
            .frames()
        ),
        "two-records-two-segments": seen(
            Conversation()
            .open()
            .client(craft.records(body, (20,)), split=(25,))
            .server(REFUSAL)
            .fin("server")
            .frames()
        ),
        "client-half": seen(refused().frames("client")),
        "server-half": seen(told(AGREED).frames("server")),
        "no-syn": seen(whole[3:]),
        "joined-in-application-data": seen(told(AGREED).frames()[9:]),
        "snaplen-96": seen(whole, snaplen=96),
        "snaplen-68": seen(whole, snaplen=68),
        "snaplen-96-tls13": seen(
            Conversation().open().client(craft.tls13_client_hello()).frames(), snaplen=96
        ),
        "bad-checksums": seen(refused(OLD, Conversation(good_checksum=False)).frames()),
        "doubled": seen(craft.mirrored(whole)),
        "doubled-on-another-vlan": seen(
            craft.merged(whole, refused(OLD, Conversation(vlans=(30,))).frames())
        ),
        "doubled-client-half": seen(craft.mirrored(refused().frames("client"))),
        "hello-lost-in-part": seen(talk(split=(20, 30), order=(0, 2)).frames()),
    }


def wrapped() -> dict[str, bytes]:
    """Tags, tunnels and other link layers: the innermost client is the one that counts."""
    ends = ("2001:db8::50", "2001:db8:99::10")
    ways: dict[str, Callable[[bytes], bytes]] = {
        "erspan-1": lambda frame: gre(0x88BE, frame),
        "erspan-2": lambda frame: erspan_2(frame, 77),
        "erspan-3": lambda frame: erspan_3(frame, 78),
        "erspan-2-vlan-inside": lambda frame: erspan_2(tagged(frame, u16s(craft.VLAN, 20)), 77),
        "erspan-3-vn-tag": lambda frame: erspan_3(tagged(frame, u16s(0x8926, 0, 1)), 78),
        "vxlan": lambda frame: outer_udp(4789, vxlan(5001, frame)),
        "vxlan-in-vxlan": lambda frame: outer_udp(
            4789, vxlan(1, outer_udp(4789, vxlan(5001, frame)))
        ),
        "geneve": lambda frame: outer_udp(6081, geneve(88, 0x6558, frame)),
        "geneve-ip": lambda frame: outer_udp(6081, geneve(88, 0x0800, packet(frame))),
        "gre-ip": lambda frame: gre(0x0800, packet(frame)),
        "ip-in-ip": lambda frame: ethernet(
            ipv4("192.0.2.1", "192.0.2.2", packet(frame), protocol=4)
        ),
        "ttag": lambda frame: tagged(frame, u16s(0x8988, 0, 1, 2)),
        "vn-tag": lambda frame: tagged(frame, u16s(0x8926, 0, 1)),
        "mpls": lambda frame: ethernet(b"\0\1\1\x40" + packet(frame), kind=0x8847),
        "pppoe": lambda frame: ethernet(
            b"\x11\0\0\1" + u16s(2 + len(packet(frame)), 0x21) + packet(frame), kind=0x8864
        ),
    }
    found = {name: seen(carried(way)) for name, way in ways.items()}
    inside_4 = [
        (at, ethernet(ipv4("192.0.2.1", "192.0.2.2", frame[14:], protocol=41)))
        for at, frame in refused(OLD, Conversation(*ends)).frames()
    ]
    extended = Conversation(*ends, headers=(craft.hop_by_hop(),))
    return found | {
        "vlan": seen(refused(OLD, Conversation(vlans=(20,))).frames()),
        "qinq": seen(refused(OLD, Conversation(vlans=((craft.QINQ, 100), 20))).frames()),
        "ipv6": seen(refused(OLD, Conversation(*ends)).frames()),
        "ipv6-hop-by-hop": seen(refused(OLD, extended).frames()),
        "6in4": seen(inside_4),
        "cooked-v1": _by_link(craft.LINK_SLL),
        "cooked-v2": _by_link(craft.LINK_SLL2),
        "raw-ip": _by_link(craft.LINK_RAW),
        "loopback": _by_link(craft.LINK_NULL),
    }


def _by_link(link_type: int) -> bytes:
    talk = refused(OLD, Conversation(link_type=link_type))
    return seen(talk.frames(), link_type=link_type)


def versions() -> dict[str, bytes]:
    """The four versions apart, and lists with GREASE."""
    greased = (GREASE, 0x1301, 0xC02F, 0xC030)
    lists: dict[str, bytes] = {
        "supported-versions-1.1-and-1.0": craft.client_hello(
            craft.TLS_1_2, sni="m.test", supported_versions=(0x0302, 0x0301)
        ),
        "supported-versions-without-1.2": craft.client_hello(
            craft.TLS_1_2, (0x1301, *craft.SUITES), supported_versions=(0x0304, 0x0301)
        ),
        "supported-versions-grease-first": craft.client_hello(
            craft.TLS_1_2,
            greased,
            sni="outlook.office365.com",
            groups=(GREASE, 0x001D, 0x0017),
            signature_algorithms=(0x0403, 0x0804, 0x0401),
            supported_versions=(GREASE, 0x0304, 0x0303),
            extensions=[(GREASE, b""), (0x4A4A, b"\0")],
        ),
        "supported-versions-draft-28": craft.client_hello(
            craft.TLS_1_2, (0x1301, 0xC02F), supported_versions=(0x7F1C, 0x0303)
        ),
        "record-0x0300-hello-0x0301": craft.client_hello(craft.TLS_1_0, record_version=0x0300),
        "record-0x0301-hello-0x0303": craft.client_hello(craft.TLS_1_2, (0xC02F, 0x009C)),
        "record-0x0303-hello-0x0301": craft.client_hello(craft.TLS_1_0, record_version=0x0303),
        "alpn-not-ascii": craft.client_hello(craft.TLS_1_0, sni="m.test", alpn=(b"\xab\xcd",)),
    }
    found = {
        name: seen(nobody().open().client(hello).server(REFUSAL).fin("server").frames())
        for name, hello in lists.items()
    }
    chose_1_0 = (("client", hello_of(AGREED_1_2)), *AGREED[1:])
    greased_again = lists["supported-versions-grease-first"]
    answered = (("client", greased_again), *AGREED_1_3[1:])
    return found | {
        "tls13-established": seen(told(MODERN, nobody()).fin("client").frames()),
        "tls13-retry": seen(told(ASKED_AGAIN, nobody()).fin("client").frames()),
        "tls12-established": seen(told(AGREED_1_2, nobody()).fin("client").frames()),
        "tls12-resumed": seen(told(RESUMED, nobody()).fin("client").frames()),
        "tls12-server-chose-1.0": seen(told(chose_1_0, nobody()).fin("client").frames()),
        "tls12-rsa-suites-refused": seen(told(SUITES).fin("server").frames()),
        "grease-established": seen(told(answered).fin("client").frames()),
        "needless-fallback": seen(told(NEEDLESS, nobody()).fin("server").frames()),
    }


def look_alikes() -> dict[str, bytes]:
    """No hello, whatever it looks like."""
    sslv2 = craft.sslv2_client_hello(craft.SSL_2_0)
    data = craft.record(sslv2 * 3, craft.TLS_1_2, craft.APPLICATION_DATA)
    inside = told(AGREED).client(data, split=(5, len(sslv2), len(sslv2))).fin("client")
    quoted = craft.record(hello_of(OLD), craft.TLS_1_0, craft.APPLICATION_DATA)
    said: dict[str, Dialogue] = {
        "http-on-993": (("client", b"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n"),),
        "ssh-on-993": (
            ("server", b"SSH-2.0-OpenSSH_9.2\r\n"),
            ("client", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ),
        "imap-in-clear": (
            ("server", b"* OK ready\r\n"),
            ("client", b"a1 LOGIN scanner secret\r\n"),
            ("server", b"a1 OK done\r\n"),
        ),
        "record-of-zeros": (("client", craft.record(bytes(64))),),
        "hello-of-a-server": (("client", craft.server_hello()),),
    }
    found = {}
    for name, dialogue_ in said.items():
        port = 143 if name.startswith("imap") else 993
        talk = told(dialogue_, Conversation(server_port=port)).fin("client")
        found[name] = seen(talk.frames())
    dns = carried(lambda frame: outer_udp(53, vxlan(1, frame), source_port=4789))
    return found | {
        "sslv2-inside-application-data": seen(inside.frames()),
        "sslv2-inside-application-data-no-start": seen(inside.frames()[-4:-1]),
        "hello-inside-application-data": seen(told(AGREED).client(quoted).fin("client").frames()),
        "dns-from-the-vxlan-port": seen(dns),
    }


def stories() -> dict[str, bytes]:
    """Several conversations that belong together."""
    new, old = (
        nobody(),
        Conversation(server=NOBODY, client_port=50124, time_ns=craft.START_NS + 6 * 10**9),
    )
    ladder = craft.merged(
        new.open().client(hello_of(CURL_1_2)).rst("server").frames(),
        refused(CURL_1_0, old).frames(),
    )
    later = Conversation(client_port=50124, time_ns=craft.START_NS + 720 * 10**9)
    nat = craft.merged(told(MODERN, nobody()).fin("client").frames(), refused(OLD, later).frames())
    again = Conversation(client_isn=9_000_000, time_ns=craft.START_NS + 5 * 10**9)
    thrown_out = told(AGREED_1_2[:-1], nobody()).server(craft.application_data(90, craft.TLS_1_2))
    return {
        "fallback-within-30-s": seen(ladder),
        "two-stacks-one-address": seen(nat),
        "port-reused": seen(craft.merged(refused().frames(), refused(OLD, again).frames())),
        "thrown-out-inside-tls": seen(thrown_out.fin("server").fin("client").frames()),
    }
