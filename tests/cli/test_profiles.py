"""Profiles as users meet them: listed, shown, compared, imported, and then used."""

import datetime
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from program import OFFICE, ROOT, hellowatch

SHIPPED = ROOT / "sniffer" / "judge" / "profiles"
OWN = """
name = "cellar"
title = "The server in the cellar"
source = "its dovecot.conf"
checked = 2026-01-02

[names]
source = "our DNS"
checked = 2026-01-02
hosts = ["mail.example.org"]

[[accepts]]
source = "its dovecot.conf"
checked = 2026-01-02
minimum_version = "TLS 1.2"
suites.tls12 = { accepted = [0xC030] }
window = { source = "the admin", checked = 2026-01-02, end = 2026-12-24 }

[[samples]]
what = "an old printer"
address = "192.0.2.9"
port = 993
server_name = "mail.example.org"
legacy_version = "TLS 1.0"
suites = [0x002F]
expected = { verdict = "legacy", reasons = ["version", "suites"], profile = "cellar", destination_basis = "sni" }
"""  # noqa: E501 (TOML has inline tables on one line)


def asked(*arguments: str | Path, home: Path) -> bytes:
    ran = hellowatch("profiles", *arguments, cwd=home, env={"XDG_STATE_HOME": str(home)})
    assert (ran.returncode, ran.stderr) == (0, b""), ran.stderr
    return ran.stdout


def imported(*files: str, home: Path) -> bytes:
    ran = hellowatch("profiles", "import", *files, cwd=home, env={"XDG_STATE_HOME": str(home)})
    assert (ran.returncode, ran.stdout) == (0, b""), ran.stderr
    return ran.stderr


def refused(*arguments: str, home: Path) -> str:
    ran = hellowatch("profiles", *arguments, cwd=home, env={"XDG_STATE_HOME": str(home)})
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert ran.stderr.count(b"\n") == 1
    return ran.stderr.decode().strip()


def test_profiles_are_listed_with_their_age_and_old_ones_marked(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    imported("own.toml", home=tmp_path)
    listed = {one["name"]: one for one in json.loads(asked("--format", "json", home=tmp_path))}
    assert list(listed) == ["exchange-online", "exchange-online-legacy", "gmail", "cellar"]
    age = (datetime.datetime.now(datetime.UTC).date() - datetime.date(2026, 1, 2)).days
    cellar = listed["cellar"]
    assert cellar["age_days"] in (age, age + 1)
    assert (cellar["is_old"], cellar["checked"]) == (True, "2026-01-02")
    assert cellar["from"] == str(tmp_path / "hellowatch" / "profiles" / "cellar.toml")
    assert listed["gmail"]["from"] is None
    table = asked(home=tmp_path).decode()
    assert "days ago, old: look it up again)  The server in the cellar" in table


@pytest.mark.parametrize("name", ["exchange-online", "exchange-online-legacy", "gmail"])
def test_profile_is_shown_whole(tmp_path: Path, name: str) -> None:
    file = (SHIPPED / f"{name}.toml").read_text()
    assert asked("show", name, "--format", "toml", home=tmp_path).decode() == file
    told = json.loads(asked("show", name, "--format", "json", home=tmp_path))
    assert told["title"] == tomllib.loads(file)["title"]
    shown = asked("show", name, home=tmp_path).decode()
    for host in told["names"]["hosts"]:
        assert host in shown
    for notice in told["notices"]:
        assert f"{notice['date']}: {notice['text']}" in shown


def test_shown_profile_says_what_is_taken_and_until_when(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    shown = asked("show", "own.toml", home=tmp_path).decode()
    assert "\nimaps: TLS 1.2 or newer; its dovecot.conf\n" in shown
    assert "  with TLS 1.2, taken: TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n" in shown
    assert "  old TLS ends: until 2026-12-24; the admin\n" in shown


def test_diff_tells_versions_suites_windows_and_places(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(OWN)
    other = OWN.replace("0xC030", "0xC030, 0xC02F").replace("12-24", "12-31")
    other = other.replace('minimum_version = "TLS 1.2"', 'minimum_version = "TLS 1.0"')
    (tmp_path / "two.toml").write_text(other.replace('["mail', '["imap.example.org", "mail'))
    compare = ("diff", "one.toml", "two.toml")
    found: list[dict[str, Any]] = json.loads(asked(*compare, "--format", "json", home=tmp_path))
    imaps = {one["what"]: (one["one"], one["other"]) for one in found if one["service"] == "imaps"}
    assert imaps == {
        "minimum_version": ("TLS 1.2", "TLS 1.0"),
        "suites.tls12.accepted": ("", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        "window.end": ("2026-12-24", "2026-12-31"),
    }
    places = [one for one in found if one["service"] == ""]
    assert places == [
        {"service": "", "what": "names.hosts", "one": "", "other": "imap.example.org"}
    ]
    table = asked(*compare, home=tmp_path).decode()
    assert "imaps: window.end\n  - 2026-12-24\n  + 2026-12-31\n" in table
    assert asked("diff", "one.toml", "one.toml", home=tmp_path) == b""


def test_imported_profile_is_used_by_analyze_and_replaces_one_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN.replace("mail.example.org", "outlook.office365.com"))
    assert b"cellar.toml: is new\n" in imported("own.toml", home=tmp_path)
    assert b"replaces the one of this name\n" in imported("own.toml", home=tmp_path)
    ran = hellowatch(
        *("analyze", OFFICE, "--format", "json"),
        cwd=tmp_path,
        env={"XDG_STATE_HOME": str(tmp_path)},
    )
    assert "cellar" in json.loads(ran.stdout)["profile"]
    text = (SHIPPED / "gmail.toml").read_text().replace("Gmail and", "G and")
    (tmp_path / "g.toml").write_text(text)
    imported("g.toml", home=tmp_path)
    names = [one["title"] for one in json.loads(asked("--format", "json", home=tmp_path))]
    assert names.count("G and Google Workspace") == 1
    assert "Gmail and Google Workspace" not in names


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("minimum_version", "minimum_versoin", "accepts[0].minimum_versoin: there is no such key"),
        ("0xC030", "0xC030, 0xC030", "accepts[0].suites.tls12.accepted: 0xc030 stands there twice"),
        ('name = "cellar"', 'name = "../cellar"', "name: Expected `str` matching regex"),
        ("[names]", "[names", "no TOML: "),
        (
            'verdict = "legacy"',
            'verdict = "ok"',
            "samples[0]: an old printer: is judged legacy version suites by cellar (sni), not ok",
        ),
    ],
)
def test_wrong_profile_is_refused_with_file_and_key_and_nothing_is_imported(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    (tmp_path / "good.toml").write_text(OWN.replace("cellar", "attic"))
    (tmp_path / "bad.toml").write_text(OWN.replace(old, new, 1))
    told = refused("import", "good.toml", "bad.toml", home=tmp_path)
    assert told.startswith(f"hellowatch: bad.toml: {why}")
    assert not (tmp_path / "hellowatch").exists()


def test_what_cannot_be_found_or_kept_is_one_line(tmp_path: Path) -> None:
    assert "neither a file nor one of exchange-online" in refused("show", "x", home=tmp_path)
    assert "No such file" in refused("import", "none.toml", home=tmp_path)
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "hellowatch").write_text("in the way")
    assert "hellowatch/profiles: " in refused("import", "own.toml", home=tmp_path)
    (tmp_path / "two.toml").write_text(OWN)
    told = refused("import", "own.toml", "two.toml", home=tmp_path)
    assert told == "hellowatch: two.toml: name: own.toml has the same name"
