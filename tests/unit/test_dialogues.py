"""Conversations in clear, through the tracker: what comes out of each, and when."""

import craft
import pytest
from craft import Conversation
from tracking import batch_of, track, tracker

from sniffer.config import TrackSettings
from sniffer.track.layout import MOST_TALKS

OLD = craft.client_hello(craft.TLS_1_0, sni="outlook.office365.com")
REFUSED = craft.alert(2, 70)
EHLO = b"250-mx.example.net Hello\r\n250-STARTTLS\r\n250 SIZE\r\n"
BARE = b"250-mx.example.net Hello\r\n250 SIZE\r\n"
SECRET = b"tweety-5f2a"


def smtp(answer: bytes = EHLO, port: int = 587) -> Conversation:
    talk = Conversation(server_port=port).open().server(b"220 mx.example.net ESMTP\r\n")
    return talk.client(b"EHLO HP3C2AF4\r\n").server(answer)


def mail(talk: Conversation) -> Conversation:
    talk.client(b"MAIL FROM:<a@b>\r\n").server(b"250 ok\r\n").client(b"DATA\r\n" + SECRET)
    return talk.fin("client").fin("server")


def test_an_upgrade_leaves_a_handshake_and_the_names() -> None:
    talk = smtp().client(b"STARTTLS\r\n").server(b"220 go\r\n").client(OLD).server(REFUSED)
    seen = track(talk.fin("server").frames())
    assert seen.only.starttls == "smtp"
    (dialogue,) = seen.dialogues
    assert (dialogue.upgraded, dialogue.offered, dialogue.refused) == (True, True, False)
    assert dialogue.names == (("ehlo", b"HP3C2AF4"),)
    assert dialogue.server_name == b"mx.example.net"
    assert dialogue.flow.source == craft.address("10.0.0.50")
    assert dialogue.flow.mac == craft.mac(craft.CLIENT_MAC)


def test_mail_sent_in_clear_where_nothing_else_was_offered() -> None:
    talk = mail(smtp(BARE))
    seen = track(talk.frames())
    assert seen.handshakes == []
    (dialogue,) = seen.dialogues
    assert (dialogue.offered, dialogue.went_on, dialogue.login) == (False, True, None)
    assert (dialogue.protocol, dialogue.upgraded) == ("smtp", False)
    mail_from = next(i for i, s in enumerate(talk.segments, 1) if s.payload.startswith(b"MAIL"))
    assert dialogue.frame == mail_from
    assert SECRET not in repr(dialogue).encode()


def test_an_upgrade_refused_and_then_clear_text() -> None:
    talk = smtp().client(b"STARTTLS\r\n").server(b"454 TLS not available\r\n")
    (dialogue,) = track(mail(talk).frames()).dialogues
    assert (dialogue.asked, dialogue.refused, dialogue.went_on) == (True, True, True)


def test_a_refused_client_that_only_closes_is_told_at_once() -> None:
    talk = smtp().client(b"STARTTLS\r\n").server(b"454 no\r\n").fin("client").fin("server")
    one = tracker()
    one.observe(batch_of(talk.frames()))
    assert one.heard() == []
    one.tick(talk.frames()[-1][0] + 30 * 1_000_000_000)
    (dialogue,) = one.heard()
    assert (dialogue.refused, dialogue.went_on) == (True, False)


@pytest.mark.parametrize("split", [1, 3, 17])
def test_lines_cut_anywhere_tell_the_same(split: int) -> None:
    talk = Conversation(server_port=143).open()
    talk.server(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n", split=split)
    talk.client(b'a ID ("name" "MFP" "version" "2")\r\n', split=split).server(b"a OK\r\n")
    talk.client(b"b LOGIN u " + SECRET + b"\r\nc SELECT INBOX\r\n", split=split)
    (dialogue,) = track(talk.frames()).dialogues
    assert (dialogue.offered, dialogue.login, dialogue.went_on) == (False, "LOGIN", True)
    assert dialogue.names == (("imap-id", b"MFP 2"),)
    assert SECRET not in repr(dialogue).encode()


def test_segments_of_both_sides_out_of_order() -> None:
    talk = smtp(BARE)
    talk.client(b"AUTH PLAIN ").client(SECRET + b"\r\n").server(b"235 ok\r\n")
    frames = talk.frames()
    where = next(i for i, s in enumerate(talk.segments) if s.payload == b"AUTH PLAIN ")
    frames[where], frames[where + 1] = frames[where + 1], frames[where]
    (dialogue,) = track(frames).dialogues
    assert (dialogue.login, dialogue.offered) == ("PLAIN", False)


def test_a_hello_cut_behind_the_upgrade_is_an_upgrade_all_the_same() -> None:
    talk = smtp().client(b"STARTTLS\r\n").server(b"220 go\r\n").client(OLD[:60])
    seen = track(talk.frames())
    assert (seen.only.starttls, seen.only.hello.complete) == ("smtp", False)
    assert [dialogue.upgraded for dialogue in seen.dialogues] == [True]


def test_one_direction_alone() -> None:
    talk = mail(smtp(BARE).client(b"AUTH PLAIN " + SECRET + b"\r\n").server(b"235 ok\r\n"))
    (dialogue,) = track(talk.frames("client")).dialogues
    assert (dialogue.offered, dialogue.login, dialogue.went_on) == (None, "PLAIN", True)
    assert track(talk.frames("server")).dialogues == []


def test_a_hello_in_clear_is_no_dialogue() -> None:
    seen = track(Conversation().open().client(OLD).server(REFUSED).fin("server").frames())
    assert seen.dialogues == []


def test_other_protocols_are_no_dialogue() -> None:
    ssh = Conversation(server_port=587).open()
    ssh.server(b"SSH-2.0-OpenSSH_9.2\r\n").client(b"SSH-2.0-OpenSSH_9.2\r\n")
    web = Conversation(server_port=587).open().client(b"GET / HTTP/1.1\r\n\r\n")
    assert track(ssh.frames() + web.frames()).dialogues == []


def test_a_line_without_end_is_let_go() -> None:
    """Row B13: 8 KiB of a line are looked at, on either side."""
    talk = Conversation(server_port=587).open()
    talk.server(b"220 " + b"x" * 20_000).client(b"EHLO p\r\n" + b"NOOP" * 4000)
    seen = track(talk.client(b"\r\nMAIL FROM:<a@b>\r\n").frames())
    assert [dialogue.went_on for dialogue in seen.dialogues] == [False]


def test_the_oldest_dialogue_makes_room() -> None:
    frames = []
    for number in range(MOST_TALKS + 1):
        client = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        talk = Conversation(client=client, server_port=587).open()
        frames += talk.client(b"EHLO p\r\n").frames()
    seen = track(frames, settings=TrackSettings(flows=1 << 16, reassembly_bytes=1 << 20))
    assert len(seen.dialogues) == MOST_TALKS + 1
    assert seen.counters.evicted == {"dialogue": 1}
