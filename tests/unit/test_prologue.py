"""What is kept of a dialogue in clear, from both sides' lines, and what never is."""

from typing import Any

import pytest

from parsers.prologue import LONGEST_NAME, MOST_NAMES, Prologue, is_mangled
from parsers.starttls import MOST_LINES, OVER, UPGRADE

CANARY = "tweety-5f2a"

SMTP = "S:220 mx.example.net ESMTP ready|C:EHLO HP3C2AF4"
IMAP = "S:* OK IMAP4 ready"
POP3 = "S:+OK ready"

DIALOGUES: list[tuple[str, str, dict[str, Any]]] = [
    # id, lines, what is kept; RFC 3207, 4954, 5321
    (
        "smtp-offered",
        f"{SMTP}|S:250-mx.example.net Hello|S:250-SIZE 1|S:250 STARTTLS|C:STARTTLS|S:220 go",
        {"offered": True, "asked": True, "refused": False, "server_name": b"mx.example.net"},
    ),
    (
        "smtp-missing",
        f"{SMTP}|S:250-mx|S:250-AUTH LOGIN|S:250 OK|C:MAIL FROM:<{CANARY}@b>",
        {"offered": False, "went_on": True, "mangled": False},
    ),
    (
        "smtp-refused",
        f"{SMTP}|S:250-mx|S:250 STARTTLS|C:STARTTLS|S:454-not|S:454 now|C:MAIL FROM:<a@b>",
        {"offered": True, "refused": True, "went_on": True},
    ),
    (
        "smtp-refused-then-accepted",
        f"{SMTP}|S:250 mx|C:STARTTLS|S:454 no|C:STARTTLS|S:220 go",
        {"refused": False, "asked": True},
    ),
    ("smtp-mangled", f"{SMTP}|S:250-mx|S:250-XXXXXXXA|S:250 SIZE", {"mangled": True}),
    ("smtp-helo-tells-no-list", "C:HELO p|S:250 mx", {"offered": None}),
    ("smtp-list-refused", f"{SMTP}|S:502 what|C:HELO p|S:250 mx", {"offered": None}),
    (
        "smtp-greeting-names-a-word-like-the-upgrade",
        "C:EHLO p|S:250-STARTTLS.example.net hello|S:250 SIZE",
        {"offered": False},
    ),
    (
        "smtp-pipelined",
        f"{SMTP}|C:STARTTLS|S:250-mx|S:250 STARTTLS|S:220 go",
        {"offered": True, "refused": False},
    ),
    (
        "smtp-auth-plain",
        f"{SMTP}|C:AUTH PLAIN AHR3ZWV0eQ{CANARY}==|S:235 ok",
        {"login": "PLAIN"},
    ),
    (
        "smtp-auth-plain-later",
        f"{SMTP}|C:auth plain|S:334|C:{CANARY}|S:235 ok",
        {"login": "PLAIN"},
    ),
    ("smtp-auth-login", f"{SMTP}|C:AUTH LOGIN|S:334 VX|C:{CANARY}", {"login": "LOGIN"}),
    (
        "smtp-auth-refused-before-any-secret",
        f"{SMTP}|C:AUTH LOGIN|S:538 encryption needed|C:STARTTLS|S:220 go",
        {"login": None, "asked": True, "refused": False},
    ),
    ("smtp-auth-given-up", f"{SMTP}|C:AUTH PLAIN|S:334|C:*|S:501", {"login": None}),
    ("smtp-auth-challenge", f"{SMTP}|C:AUTH CRAM-MD5|S:334 x|C:{CANARY}", {"login": None}),
    ("smtp-lines-before-the-greeting", "S:220-wait|S:220 mx.b.net|C:EHLO p", {"offered": None}),
    # RFC 9051, RFC 2971
    (
        "imap-offered",
        f"{IMAP}|C:a CAPABILITY|S:* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED|S:a OK",
        {"offered": True},
    ),
    (
        "imap-offered-in-the-greeting",
        "S:* OK [CAPABILITY IMAP4rev1 starttls AUTH=PLAIN] ready|C:a NOOP",
        {"offered": True},
    ),
    (
        "imap-missing",
        f"{IMAP}|C:a capability|S:* CAPABILITY IMAP4rev1 AUTH=LOGIN|S:a OK",
        {"offered": False},
    ),
    (
        "imap-refused",
        f"{IMAP}|C:a1 STARTTLS|S:* note|S:a1 BAD no|C:a2 LOGIN u {CANARY}|C:a3 SELECT INBOX",
        {"asked": True, "refused": True, "login": "LOGIN", "went_on": True},
    ),
    ("imap-another-tag", f"{IMAP}|C:a1 STARTTLS|S:a0 BAD no|S:a1 OK go", {"refused": False}),
    (
        "imap-logged-in-is-offered-nothing",
        f"{IMAP}|C:a LOGIN u {CANARY}|S:a OK [CAPABILITY IMAP4rev1 IDLE] in|C:b NOOP",
        {"offered": None, "login": "LOGIN"},
    ),
    (
        "imap-login-in-a-literal",
        f"{IMAP}|C:a LOGIN u {{11}}|S:+|C:|S:a OK|C:b LIST",
        {"login": "LOGIN", "went_on": True},
    ),
    ("imap-authenticate", f"{IMAP}|C:a AUTHENTICATE PLAIN {CANARY}", {"login": "PLAIN"}),
    ("imap-token", f"{IMAP}|C:a AUTHENTICATE XOAUTH2|S:+|C:{CANARY}", {"login": "XOAUTH2"}),
    (
        "imap-id",
        f'{IMAP}|C:a ID ("name" "MFP Mail" "version" "2.1" "vendor" "Acme" "support" "{CANARY}")',
        {"names": [("imap-id", b"Acme MFP Mail 2.1")]},
    ),
    ("imap-id-of-nobody", f"{IMAP}|C:a ID NIL", {"names": []}),
    # RFC 2449, 2595, 5034
    (
        "pop3-offered",
        f"{POP3}|C:CAPA|S:+OK list|S:USER|S:STLS|S:.|C:STLS|S:+OK",
        {"offered": True, "asked": True, "refused": False},
    ),
    ("pop3-missing", f"{POP3}|C:CAPA|S:+OK|S:USER|S:.|C:QUIT", {"offered": False}),
    ("pop3-no-list", f"{POP3}|C:CAPA|S:-ERR|C:QUIT", {"offered": None, "went_on": False}),
    ("pop3-refused", f"{POP3}|C:STLS|S:-ERR no", {"refused": True}),
    ("pop3-mangled", f"{POP3}|C:CAPA|S:+OK|S:XXXX|S:.", {"mangled": True, "offered": False}),
    ("pop3-user-alone", f"{POP3}|C:USER {CANARY}|S:-ERR", {"login": None}),
    (
        "pop3-login",
        f"{POP3}|C:USER {CANARY}|S:+OK|C:PASS {CANARY}|S:+OK|C:STAT",
        {"login": "USER", "went_on": True},
    ),
    ("pop3-apop", f"{POP3}|C:APOP u c4c9334bac560ecc979e58001b3e22fb|S:+OK", {"login": None}),
    ("pop3-auth", f"{POP3}|C:AUTH PLAIN|S:+ |C:{CANARY}|S:+OK", {"login": "PLAIN"}),
    # names
    (
        "ehlo",
        "C:EHLO HP3C2AF4|C:HELO hp.lan",
        {"names": [("ehlo", b"HP3C2AF4"), ("ehlo", b"hp.lan")]},
    ),
    ("ehlo-address", "C:EHLO [10.0.0.7]|C:EHLO", {"names": []}),
]


def heard(script: str) -> Prologue:
    prologue = Prologue()
    for line in script.split("|"):
        if line.startswith("C:"):
            prologue.hear_client(line[2:].encode())
        else:
            prologue.hear_server(line[2:].encode())
    return prologue


@pytest.mark.parametrize(
    ("script", "kept"), [pytest.param(*case[1:], id=case[0]) for case in DIALOGUES]
)
def test_what_is_kept_of_a_dialogue(script: str, kept: dict[str, Any]) -> None:
    prologue = heard(script)
    assert {name: getattr(prologue, name) for name in kept} == kept


@pytest.mark.parametrize("script", [pytest.param(case[1], id=case[0]) for case in DIALOGUES])
def test_no_secret_is_in_anything_that_is_kept(script: str) -> None:
    prologue = heard(script)
    kept = [getattr(prologue, name) for name in Prologue.__slots__]
    assert CANARY not in repr(kept)


def test_one_side_alone_is_enough() -> None:
    client = heard("C:EHLO p|C:AUTH PLAIN AHR3ZQ==|C:STARTTLS")
    assert (client.state, client.login, client.offered) == (UPGRADE, "PLAIN", None)


def test_a_dialogue_ends_after_so_many_lines() -> None:
    prologue = heard("|".join(["C:NOOP"] * MOST_LINES))
    assert prologue.state != OVER
    assert prologue.hear_client(b"NOOP") == OVER


def test_names_are_bounded() -> None:
    prologue = Prologue()
    for number in range(3 * MOST_NAMES):
        prologue.hear_client(b"EHLO " + b"%d" % number * 300)
    assert len(prologue.names) == MOST_NAMES
    assert {len(name) for _, name in prologue.names} == {LONGEST_NAME}


@pytest.mark.parametrize(
    ("word", "upgrade", "expected"),
    [
        (b"STARTTLS", b"STARTTLS", False),
        (b"XXXXXXXA", b"STARTTLS", True),
        (b"XXXXXXXX", b"STARTTLS", True),
        (b"STARTXXX", b"STARTTLS", True),
        (b"XSTARTTLS", b"STARTTLS", True),
        (b"XXXXSTARTTLS", b"STARTTLS", True),
        (b"XXXX", b"STLS", True),
        (b"8BITMIME", b"STARTTLS", False),
        (b"CHUNKING", b"STARTTLS", False),
        (b"X-EXPS", b"STARTTLS", False),
        (b"XCLIENTX", b"STARTTLS", False),
        (b"XEXCH50", b"STARTTLS", False),
        (b"SASL", b"STLS", False),
        (b"UIDL", b"STLS", False),
        (b"", b"STLS", False),
    ],
)
def test_a_word_written_over(word: bytes, upgrade: bytes, expected: bool) -> None:
    assert is_mangled(word, upgrade) is expected
