"""A frame that is not mail costs no Python object, and no hello is missed meanwhile.

That nothing is made per frame the compiler proves, since ``_scan`` runs without the
interpreter's lock. Here it is counted: over a million mixed frames the objects alive grow
with the hellos alone.
"""

import gc
import sys
from importlib.resources import files
from itertools import cycle

import craft
from craft import Conversation
from tracking import tracker

import parsers
from parsers.batch import NO_VLAN, Batch

MILLION = 1_000_000
FRAMES = 8192
STEP_NS = 1_000
TALKS = 8
"""Mail conversations among the frames of each batch."""

OLD = craft.client_hello(craft.TLS_1_0, sni="outlook.office365.com")
REFUSED = craft.alert(2, 70)
SECOND_NS = 1_000_000_000


def established():
    talk = Conversation(client="10.0.0.9").open().client(OLD).server(craft.server_hello())
    talk.client(craft.change_cipher_spec() + craft.finished())
    return talk.server(craft.change_cipher_spec() + craft.finished())


def noise():
    """Frames of all that an office's network carries beside handshakes of mail."""
    https = Conversation(server_port=443, client_port=40_001).open().client(OLD)
    https.server(craft.server_hello() + craft.certificate_flight())
    for _ in range(4):
        https.client(craft.application_data(200)).server(craft.application_data(1400)).ack("client")
    ssh = Conversation(server_port=22, client_port=40_002, vlans=(7,)).open()
    ssh.client(b"SSH-2.0-OpenSSH_9.2\r\n").server(b"SSH-2.0-OpenSSH_9.2\r\n")
    web6 = Conversation("2001:db8::1", "2001:db8::2", server_port=443).open()
    web6.client(craft.tls13_client_hello()).ack("server")
    query = craft.udp("10.0.0.5", "10.0.0.1", 5353, 53, bytes(40))
    ping = craft.icmp_echo(1, 2)
    mail = established()
    settled = len(mail.segments)
    for _ in range(6):
        mail.server(craft.application_data(1400)).ack("client").client(craft.application_data(90))
    scan = [Conversation(client=f"10.9.8.{n}").syn() for n in range(1, 9)]
    frames = [
        *(octets for talk in (https, ssh, web6, *scan) for _, octets in talk.frames()),
        *(octets for _, octets in mail.frames()[settled:]),
        craft.ethernet(craft.ipv4("10.0.0.5", "10.0.0.1", query, protocol=craft.UDP)),
        craft.ethernet(craft.ipv4("10.0.0.5", "10.0.0.1", ping, protocol=craft.ICMP)),
        craft.arp_request("10.0.0.5", craft.CLIENT_MAC, "10.0.0.1"),
        craft.ethernet(b"\x42\x42\x03" + bytes(35), kind=38),
        bytes(9),
    ]
    # As often of each kind as it comes, in an order that mixes them.
    return frames[::3] + frames[1::3] + frames[2::3]


class Traffic:
    """Batch after batch of noise, each with mail conversations of its own among it."""

    def __init__(self, count):
        self.count = count
        self.talk = Conversation(client="10.1.0.1").open().client(OLD).server(REFUSED)
        self.talk.fin("server").fin("client")
        self.noise = noise()
        self.wire = bytearray(b"".join(self.noise))
        self.places = []
        at = 0
        for octets in self.noise:
            self.places.append((at, at + len(octets)))
            at += len(octets)
        self.talks = []
        for _ in range(TALKS):
            places = []
            for _, octets in self.talk.frames():
                places.append((len(self.wire), len(self.wire) + len(octets)))
                self.wire += octets
            self.talks.append(places)
        self.batch = Batch(count)
        self.batch.wire = memoryview(self.wire)
        self.time_ns = craft.START_NS
        self.opened = 0

    def next(self, talks=TALKS):
        """Fill the batch anew: ``talks`` conversations, each with a client port of its own."""
        self.batch.clear()
        mail = [place for places in self.talks[:talks] for place in places]
        for places in self.talks[:talks]:
            port = (10_000 + self.opened % 50_000).to_bytes(2, "big")
            address = (0x0A02 << 16 | self.opened // 50_000).to_bytes(4, "big")
            self.opened += 1
            for (start, _), segment in zip(places, self.talk.segments, strict=True):
                ip, tcp = start + 14, start + 34
                where = (ip + 12, tcp) if segment.side == "client" else (ip + 16, tcp + 2)
                self.wire[where[0] : where[0] + 4] = address
                self.wire[where[1] : where[1] + 2] = port
        every = self.count // len(mail) if mail else self.count + 1
        rest = cycle(self.places)
        for index in range(self.count):
            start, end = mail.pop(0) if mail and index % every == every - 1 else next(rest)
            self.batch.add(start, end, end - start, self.time_ns, NO_VLAN, craft.LINK_ETHERNET)
            self.time_ns += STEP_NS
        return self.batch


def warmed(traffic):
    """Return a tracker that has seen all of it once, its established session included."""
    one = tracker()
    session = Batch(32)
    frames = established().frames()
    session.wire = memoryview(b"".join(octets for _, octets in frames))
    at = 0
    for time_ns, octets in frames:
        session.add(at, at + len(octets), len(octets), time_ns, NO_VLAN, craft.LINK_ETHERNET)
        at += len(octets)
    one.observe(session)
    # The end of its session is not waited for any more.
    traffic.time_ns += 12 * SECOND_NS
    one.tick(traffic.time_ns)
    one.observe(traffic.next())
    assert [event.outcome for event in one.ready()] == ["established"] + ["alert"] * TALKS
    return one


def test_all_hellos_are_found_among_mixed_frames():
    traffic = Traffic(1024)
    one = warmed(traffic)
    found = []
    for _ in range(4):
        one.observe(traffic.next())
        found += one.ready()
    assert [event.outcome for event in found] == ["alert"] * (4 * TALKS)
    assert len({event.flow.source_port for event in found}) == 4 * TALKS
    counters = one.counters()
    assert counters.frames == 5 * 1024 + len(established().segments)
    assert counters.internal_errors == []
    assert counters.evicted == {}


def test_what_runs_for_every_frame_is_declared_to_need_no_python():
    nogil = {
        "tracker": ("_scan", "_matters"),
        "streams": ("is_same", "note_acknowledgement", "note_syn", "offset"),
        "flows": ("locate",),
    }
    for module, names in nogil.items():
        header = files("sniffer.track").joinpath(f"{module}.pxd").read_text()
        for name in names:
            (line,) = [line for line in header.splitlines() if f" {name}(" in line]
            assert line.endswith(" nogil"), line


# Interpreted, all is an object; and CI allows no skipped test.
if parsers.compiled():

    def test_a_million_frames_that_are_no_handshake_make_no_python_object():
        traffic = Traffic(FRAMES)
        one = warmed(traffic)
        batch = traffic.next(talks=0)
        one.observe(batch)
        gc.collect()
        gc.disable()
        try:
            tracked = gc.get_count()[0]
            blocks = sys.getallocatedblocks()
            for _ in range(MILLION // FRAMES + 1):
                one.observe(batch)
            grown = sys.getallocatedblocks() - blocks
            tracked = gc.get_count()[0] - tracked
        finally:
            gc.enable()
        assert one.frames > MILLION
        assert one.ready() == []
        assert grown <= 8, "what the test itself holds"
        assert tracked <= 8

    def test_over_a_million_mixed_frames_objects_grow_with_the_hellos_alone():
        traffic = Traffic(FRAMES)
        one = warmed(traffic)
        found = []
        batches = MILLION // FRAMES + 1
        gc.collect()
        blocks = sys.getallocatedblocks()
        for _ in range(batches):
            one.observe(traffic.next())
            found += one.ready()
        grown = sys.getallocatedblocks() - blocks
        assert one.frames > MILLION
        assert len(found) == batches * TALKS
        assert {event.outcome for event in found} == {"alert"}
        assert grown <= 40 * len(found), "a hello with its addresses, lists and answer"
        del found
        one.tick(traffic.time_ns + 20 * SECOND_NS)
        gc.collect()
        assert sys.getallocatedblocks() - blocks <= 100, "none of them stays"
