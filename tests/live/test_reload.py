"""SIGHUP: another configuration in a running daemon, without a frame or a count lost."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import craft
import pytest
from daemon import CALL, Caller, Daemon, calls, daemon
from discovering import a, dns_answer
from namespaces import Namespace, eventually, namespace

RECEIVED, DROPPED = "hellowatch_frames_received_total", "hellowatch_frames_dropped_total"
LEGACY = "hellowatch_device_legacy_hellos_total"
HELLOS = "hellowatch_client_hellos_total"
UNREPORTED = "hellowatch_hellos_unreported_total"
IN_USE = b"The configuration was read again and is in use"
SAME = b"The configuration was read again; nothing changed"
STAYS = b"The configuration stays as it was"


@pytest.fixture
def ns():
    with namespace() as made:
        made.veth("far", "mirror")
        yield made


class Configured:
    """A daemon with a file, and clients that may call all the while."""

    def __init__(self, ns: Namespace, watching: Daemon, path: Path, caller: Caller) -> None:
        self.ns, self.watching, self.path, self.caller = ns, watching, path, caller
        self.hangups = 0

    def reload(self, text: str | bytes, wanted: bytes) -> None:
        """Write the file, send SIGHUP, and wait until it is said what became of it."""
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        said = self.watching.told.count(wanted)
        self.watching.process.send_signal(signal.SIGHUP)
        eventually(lambda: self.watching.told.count(wanted) > said, 15)

    def wait_for_new_worker(self, before: set[int]) -> None:
        """Wait until another worker tells what is seen, and the one before only its last words."""
        eventually(lambda: self.workers() - before, 15)
        time.sleep(1.5)

    def workers(self) -> set[int]:
        return self.watching.children("hw-mirror")

    @contextmanager
    def calling(self):
        """Have clients call all the while."""
        over = threading.Event()

        def call() -> None:
            while not over.is_set():
                self.caller.call()
                time.sleep(0.002)

        thread = threading.Thread(target=call)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def assert_all_is_counted(self, made: int) -> None:
        """Assert that so many calls are there, each once, in events and counters."""
        first = self.caller.port - made + 1
        eventually(lambda: len(self.watching.events) >= made, 15)
        assert calls(self.watching.events) == dict.fromkeys(range(first, first + made), 1)
        eventually(lambda: self.watching.metric(HELLOS) == made)
        eventually(lambda: self.watching.metric(RECEIVED) >= made * CALL)
        assert self.watching.metric(RECEIVED) == made * CALL
        assert self.watching.metric(DROPPED) == 0
        assert self.watching.metric(UNREPORTED) == 0
        outcomes = {event["hellowatch"]["outcome"] for event in self.watching.events}
        assert outcomes == {"alert"}


@pytest.fixture
def configured(ns, tmp_path):
    path = tmp_path / "hw.toml"
    path.write_text("")
    arguments = ("-i", "mirror", "--config", "hw.toml")
    with ns.sender("far") as far, daemon(ns, *arguments, cwd=tmp_path) as watching:
        yield Configured(ns, watching, path, Caller(far))


def test_settings_of_the_server_are_changed_in_place(configured):
    watching, caller = configured.watching, configured.caller
    caller.call(3)
    eventually(lambda: len(watching.events) == 3)
    before = configured.workers(), watching.child("hw-server")
    text = '[judge]\nprofile = "gmail"\n[metrics]\ndevice_series = 0\n[inventory]\ndevices = 16\n'
    configured.reload(text, IN_USE)
    caller.call(2)
    eventually(lambda: len(watching.events) == 5)

    assert (configured.workers(), watching.child("hw-server")) == before
    judged = [event["hellowatch"].get("profile") for event in watching.events]
    assert judged == ["exchange-online"] * 3 + ["gmail"] * 2
    assert watching.metric(LEGACY) == watching.metric(LEGACY, device="__overflow__") == 5
    configured.assert_all_is_counted(5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[track]\nflws = 1\n", b"hw.toml:2: track.flws: there is no such key"),
        ("[track]\nflows = 3\n[log]\nlevel = 1\n", b"hw.toml:4: log.level: 1 is not one of"),
        ("[judge]\nprofile = 'gmail'\nprofiles = ['x.toml']\n", b"x.toml: No such file"),
        ("[web]\nconfig_file = 'web.yml'\nrequest_seconds = 5\n", b"web.yml: No such file"),
        (b"\xff\xfe", b"hw.toml: is no text"),
    ],
)
def test_bad_file_changes_nothing_and_is_told_of(configured, text, why):
    watching = configured.watching
    before = configured.workers(), watching.child("hw-server")
    configured.reload(text, STAYS)
    eventually(lambda: why in watching.told)
    configured.caller.call(2)
    configured.assert_all_is_counted(2)
    eventually(lambda: (configured.workers(), watching.child("hw-server")) == before)
    profiles = [event["hellowatch"]["profile"] for event in watching.events]
    assert profiles == ["exchange-online"] * 2
    configured.path.write_text("")
    configured.reload("", SAME)


PROFILE = """
name = "ours"
title = "Our provider"
source = "its page"
checked = 2026-11-01
[[accepts]]
source = "its page"
checked = 2026-11-01
minimum_version = "TLS 1.2"
[names]
source = "its page"
checked = 2026-11-01
hosts = ["mail.ours.example"]
"""


def test_names_of_a_new_profile_are_listened_for(configured):
    configured.path.with_name("ours.toml").write_text(PROFILE)
    before = configured.workers()
    configured.reload('[judge]\nprofiles = ["ours.toml"]\n', IN_USE)
    eventually(lambda: configured.workers().isdisjoint(before), 15)
    there = "203.0.113.7"
    talk = craft.Conversation(server=there).open().client(craft.client_hello(sni=None))
    configured.caller.sender.send(dns_answer("mail.ours.example", a("mail.ours.example", there)))
    for _, octets in talk.server(craft.alert()).rst("server").frames():
        configured.caller.sender.send(octets)
    eventually(lambda: configured.watching.events)
    (event,) = configured.watching.events
    assert event["hellowatch"]["profile"] == "ours"
    assert event["hellowatch"]["destination_basis"] == "dns"


def test_other_ports_lose_and_double_no_frame_and_no_hello_under_way(configured):
    watching, before = configured.watching, configured.workers()
    with configured.calling():
        eventually(lambda: len(watching.events) > 50)
        configured.reload('[watch]\nports = "993,995"\n[track]\nflows = 4096\n', IN_USE)
        configured.wait_for_new_worker(before)
        seen = len(watching.events)
        eventually(lambda: len(watching.events) > seen + 50)
    configured.assert_all_is_counted(configured.caller.port - 20_000)
    assert watching.metric("hellowatch_capture_up") == 1
    assert watching.end() == 0


def test_hello_from_before_gets_its_outcome_from_after(configured):
    watching, before = configured.watching, configured.workers()
    early = [craft.Conversation(client_port=port).open() for port in (30_001, 30_002, 30_003)]
    waiting, halved, opened = early
    waiting.client(craft.client_hello(random=bytes(32)))
    hello = craft.client_hello(random=bytes(31) + b"\1", sni="mail.example.org")
    sent = [list(talk.frames()) for talk in early]
    for frames in sent:
        for _, frame in frames:
            configured.caller.sender.send(frame)
    configured.reload('[watch]\nports = "993"\n', IN_USE)
    eventually(lambda: configured.workers() - before)
    # The first half of one hello between the new worker's start and its taking over.
    halved.client(hello, split=[40, len(hello) - 40])
    halves = list(halved.frames())[len(sent[1]) :]
    configured.caller.sender.send(halves[0][1])
    time.sleep(1.6)
    configured.caller.sender.send(halves[1][1])
    opened.client(craft.client_hello(random=bytes(31) + b"\2"))
    for talk, already in (
        (waiting, len(sent[0])),
        (halved, len(list(halved.frames()))),
        (opened, len(sent[2])),
    ):
        talk.server(craft.alert()).rst("server")
        for _, frame in list(talk.frames())[already:]:
            configured.caller.sender.send(frame)
    eventually(lambda: len(watching.events) >= 3)
    time.sleep(0.3)
    told = {e["source"]["port"]: e["hellowatch"]["outcome"] for e in watching.events}
    assert told == dict.fromkeys((30_001, 30_002, 30_003), "alert")
    assert len(watching.events) == watching.metric(HELLOS) == 3


def test_old_worker_ends_when_nothing_is_waited_for(configured):
    before = configured.workers()
    configured.caller.call(2)
    configured.reload('[watch]\nports = "993,995"\n', IN_USE)
    eventually(lambda: configured.workers() and not configured.workers() & before, 10)
    configured.caller.call(2)
    configured.assert_all_is_counted(4)
    assert configured.ns.promiscuity("mirror") == 1


def test_reloads_use_up_no_spare_socket_and_say_when_theirs_are_gone(ns, tmp_path):
    path = tmp_path / "hw.toml"
    start = "[daemon]\nspare_sockets = 1\nreload_sockets = 1\n[watch]\nports = '993'\n"
    path.write_text(start)
    arguments = ("-i", "mirror", "--config", "hw.toml")
    with ns.sender("far") as far, daemon(ns, *arguments, cwd=tmp_path) as watching:
        made = Configured(ns, watching, path, Caller(far))
        before = made.workers()
        made.reload(start.replace("993", "993,995"), IN_USE)
        eventually(lambda: made.workers() and not made.workers() & before, 10)
        last = made.workers()
        made.reload(start.replace("993", "993,143"), STAYS)
        assert b"no socket is left for it; a restart reads it" in watching.told
        made.caller.call(2)
        made.assert_all_is_counted(2)
        assert made.workers() == last
        (worker,) = last
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: made.workers() and made.workers() != last)


def test_what_needs_a_restart_is_said_and_the_rest_is_used(configured):
    text = '[web]\nscrapes = 3\n[judge]\nprofile = "gmail"\n'
    configured.reload(text, IN_USE)
    told = configured.watching.told.decode()
    assert "A setting changed that needs a restart key=web.scrapes origin=hw.toml:2" in told
    configured.caller.call(1)
    eventually(lambda: len(configured.watching.events) == 1)
    assert configured.watching.events[0]["hellowatch"]["profile"] == "gmail"


def test_thousand_hangups_lose_nothing(configured):
    """Row P8 of the promises: good, bad and equal files, under traffic, ports changed twice."""
    watching, before = configured.watching, configured.workers()
    files = [
        "",
        "[metrics]\ndevice_series = 5\n",
        "[track]\nflows = 1\n",
        "[judge]\nprofile='gmail'",
    ]
    with configured.calling():
        for number in range(1000):
            if number in (300, 700):
                files = [f"[watch]\nports = '993,{number}'\n{text}" for text in files]
            if number % 10 == 0:
                new = configured.path.with_suffix(".new")
                new.write_text(files[number // 10 % len(files)])
                new.rename(configured.path)
            watching.process.send_signal(signal.SIGHUP)
            time.sleep(0.005)
        # Lines of the log are limited by now; what is in use shows all the same.
        configured.path.write_text("[metrics]\ndevice_series = 0\n")
        watching.process.send_signal(signal.SIGHUP)
        eventually(lambda: watching.metric(LEGACY, device="__overflow__") > 0, 10)
    made = configured.caller.port - 20_000
    configured.assert_all_is_counted(made)
    assert watching.process.poll() is None
    assert watching.child("hw-server")
    assert not configured.workers() & before


def test_server_that_is_started_anew_has_the_new_settings(configured):
    watching = configured.watching
    configured.reload('[judge]\nprofile = "gmail"\n', IN_USE)
    server = watching.child("hw-server")
    os.kill(server, signal.SIGKILL)
    eventually(lambda: watching.new_child("hw-server", server))
    configured.caller.call(1)
    eventually(lambda: len(watching.events) == 1)
    assert watching.events[0]["hellowatch"]["profile"] == "gmail"


@pytest.mark.parametrize("who", ["the old one", "the new one"])
def test_change_is_given_up_where_a_worker_dies_before_it(configured, who):
    watching, before = configured.watching, configured.workers()
    configured.path.write_text('[watch]\nports = "993"\n[judge]\nprofile = "gmail"\n')
    watching.process.send_signal(signal.SIGHUP)
    eventually(lambda: configured.workers() - before)
    victims = before if who == "the old one" else configured.workers() - before
    for worker in victims:
        os.kill(worker, signal.SIGKILL)
    eventually(lambda: STAYS in watching.told)
    if who == "the old one":
        eventually(lambda: b"another one takes over" in watching.told)
    eventually(lambda: len(configured.workers()) == 1)
    assert IN_USE not in watching.told
    eventually(lambda: watching.metric("hellowatch_capture_up") == 1)
    configured.caller.call(2)
    configured.assert_all_is_counted(2)
    assert watching.events[0]["hellowatch"]["profile"] == "exchange-online"
    configured.reload(configured.path.read_text(), IN_USE)
    assert watching.end() == 0
