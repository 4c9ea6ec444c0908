"""``hellowatch config``, and the configuration in the commands that use it."""

import json
import tomllib
from pathlib import Path

from program import ANY_PORT, OFFICE, hellowatch

from sniffer.config import Settings
from sniffer.config_file import settings_known

FAULTY = "[track]\nflows = 3\n[web]\nlisten_adress = ':0'\n"


def test_show_prints_a_file_that_says_where_every_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[web]\nscrapes = 3\n")
    environ = {"HELLOWATCH_TRACK__FLOWS": "4096"}
    ran = hellowatch("config", "show", "--config", "my.toml", cwd=tmp_path, env=environ)
    assert (ran.returncode, ran.stderr) == (0, b"")
    lines = ran.stdout.decode().splitlines()
    assert "scrapes = 3  # my.toml:2" in lines
    assert "flows = 4096  # HELLOWATCH_TRACK__FLOWS" in lines
    assert "device_series = 1000  # default" in lines
    table = tomllib.loads(ran.stdout.decode())
    assert len([1 for keys in table.values() for _ in keys]) == len(settings_known())
    assert table["web"]["scrapes"] == 3
    (tmp_path / "shown.toml").write_bytes(ran.stdout)
    again = hellowatch("config", "check", "shown.toml", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, b"shown.toml: all of it can be used\n")


def test_check_tells_all_mistakes_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(FAULTY)
    told = (
        b"hellowatch: bad.toml:2: track.flows: 3 is not an integer from 1024 to 16777216\n"
        b"hellowatch: bad.toml:4: web.listen_adress: there is no such key; [web] has "
        b"listen_address, config_file, scrapes, request_seconds (did you mean "
        b"web.listen_address?)\n"
    )
    for arguments in (
        ("config", "check", "bad.toml"),
        ("config", "show", "--config", "bad.toml"),
        ("run", "--replay", OFFICE, "--config", "bad.toml"),
        ("analyze", OFFICE, "--config", "bad.toml"),
    ):
        ran = hellowatch(*arguments, cwd=tmp_path)
        assert (ran.returncode, ran.stdout, ran.stderr) == (2, b"", told)


def test_check_looks_into_the_files_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[judge]\nprofiles = ["mine.toml"]\nprofile = "nobody"\n')
    ran = hellowatch("config", "check", "a.toml", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (
        2,
        b"hellowatch: mine.toml: No such file or directory\n",
    )
    (tmp_path / "a.toml").write_text('[judge]\nprofile = "nobody"\n')
    ran = hellowatch("config", "check", "a.toml", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith(b"hellowatch: a.toml:2: judge.profile: 'nobody' is neither")


def test_run_and_analyze_do_what_the_file_says(tmp_path: Path) -> None:
    text = '[watch]\nports = "995"\n[judge]\nprofile = "gmail"\n[log]\nformat = "json"\n'
    (tmp_path / "my.toml").write_text(text)
    options = ("--config", "my.toml", "--format", "ndjson")
    analyzed = hellowatch("analyze", *options, OFFICE, cwd=tmp_path)
    run = hellowatch("run", *options, *ANY_PORT, "--duration=0", "--replay", OFFICE, cwd=tmp_path)
    for ran in (analyzed, run):
        events = [json.loads(line) for line in ran.stdout.splitlines()]
        assert {event["network"]["protocol"] for event in events} == {"pop3s"}
        assert {event["hellowatch"]["profile"] for event in events} == {"gmail"}
        assert all(json.loads(line) for line in ran.stderr.splitlines())
    over = hellowatch("analyze", *options, "--ports", "993", OFFICE, cwd=tmp_path)
    events = [json.loads(line) for line in over.stdout.splitlines()]
    assert {event["network"]["protocol"] for event in events} == {"imaps"}


def test_page_is_where_the_environment_says(tmp_path: Path) -> None:
    environ = {"HELLOWATCH_WEB__LISTEN_ADDRESS": "192.0.2.1:1"}
    ran = hellowatch("run", "--replay", OFFICE, cwd=tmp_path, env=environ)
    assert ran.returncode == 2
    assert b"cannot listen on 192.0.2.1:1" in ran.stderr


def test_check_of_nothing_says_that_defaults_are_used(tmp_path: Path) -> None:
    ran = hellowatch("config", "check", cwd=tmp_path)
    assert ran.returncode == 0
    assert b"defaults" in ran.stdout
    assert Settings().watch.interfaces == ()
