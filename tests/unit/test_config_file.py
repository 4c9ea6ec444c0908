"""Where settings come from, what counts when, and what is said of mistakes."""

import os
import re
import tomllib

import msgspec
import pytest
from program import ROOT

from sniffer.config import Settings
from sniffer.config_file import (
    LONGEST_FILE,
    Configuration,
    Sources,
    needs_new_worker,
    needs_restart,
    settings_known,
    toml_value,
)
from sniffer.errors import ConfigError, ConfigErrors

PAGE = (ROOT / "docs" / "configuration.md").read_text()
EXAMPLE = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]
ANOTHER = {
    # key: as in the file, in the environment, and what both mean
    "watch.interfaces": ('["eth1", "any"]', "eth1, any", ("eth1", "any")),
    "watch.ports": ('"993,10143/imap"', "993,10143/imap", "993,10143/imap"),
    "judge.profile": ('"gmail"', "gmail", "gmail"),
    "judge.profiles": ('["/p/mine.toml"]', "/p/mine.toml", ("/p/mine.toml",)),
    "identify.manuf": ('"/p/manuf"', "/p/manuf", "/p/manuf"),
    "capture.source": ('"ring"', "ring", "ring"),
    "store.site": ('"Lyon"', "Lyon", "Lyon"),
    "store.url": ('"sqlite:///p.db"', "sqlite:///p.db", "sqlite:///p.db"),
    "web.listen_address": ('"[::1]:9"', "[::1]:9", "[::1]:9"),
    "web.config_file": ('"/p/web.yml"', "/p/web.yml", "/p/web.yml"),
    "serve.listen_address": ('":9"', ":9", ":9"),
    "serve.hosts": ('["a", "b"]', "a,b", ("a", "b")),
    "serve.folder": ('"/p/captures"', "/p/captures", "/p/captures"),
    "log.level": ('"debug"', "debug", "debug"),
    "log.format": ('"json"', "json", "json"),
}


def another(key: str) -> tuple[str, str, object]:
    """Return a value that is not the default: of a number twice of it, of a switch the other."""
    if key in ANOTHER:
        return ANOTHER[key]
    default = settings_known()[key].default
    if isinstance(default, bool):
        value = not default
    else:
        value = 0.5 if repr(default) == "1.0" else default * 2
    return toml_value(value), toml_value(value), value


def value_of(configuration: Configuration, key: str) -> object:
    section, _, name = key.partition(".")
    return getattr(getattr(configuration.settings, section), name)


@pytest.fixture
def load(tmp_path):
    def load(text: str | bytes = "", options=None, **environ: str) -> Configuration:
        path = tmp_path / "config.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Sources(str(path), options or {}, environ).load()

    return load


def said(load, *arguments, **environ: str) -> list[str]:
    with pytest.raises((ConfigError, ConfigErrors)) as caught:
        load(*arguments, **environ)
    errors = getattr(caught.value, "errors", [caught.value])
    return [re.sub(r"^.*/config\.toml", "FILE", str(error)) for error in errors]


# ---------------------------------------------------------------------------- the documents


def test_documented_file_holds_every_setting_with_its_default(load):
    table = tomllib.loads(EXAMPLE)
    listed = {f"{section}.{name}" for section, keys in table.items() for name in keys}
    assert listed == settings_known().keys()
    assert load(EXAMPLE).settings == Settings()


@pytest.mark.parametrize("key", settings_known())
def test_documented_file_says_what_each_setting_is_and_allows(key):
    section, _, name = key.partition(".")
    part = re.search(rf"^\[{section}\].*?(?=^\[|\Z)", EXAMPLE, re.DOTALL | re.MULTILINE)[0]
    told = re.search(rf"((?:^# .*\n)+){name} = ", part, re.MULTILINE)[1]
    allowed = settings_known()[key].allowed
    if allowed not in ("a text", "a list of texts"):
        assert f"{allowed[0].upper()}{allowed[1:]}." in told
    assert told.count("\n") >= 1


# ------------------------------------------------------------------------ arrays of tables


def test_relays_are_tables_of_their_own(load):
    example = re.search(r"```toml\n(\[\[relay\]\].*?)```", PAGE, re.DOTALL)[1]
    configuration = load(example + "[log]\nlevel = 'info'\n[[relay]]\nname='b'\naddresses=['::1']")
    relays = configuration.settings.relay
    assert [(relay.name, relay.ports) for relay in relays] == [("cellar", (465, 993)), ("b", ())]
    assert configuration.settings.log.level == "info"
    assert load().settings.relay == ()


GOOD = "[[relay]]\nname = 'a'\naddresses = ['::1']\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[relay]]\nname = 'a'", ":1: relay: Object missing required field `addresses`"),
        (GOOD + "nam = 'a'", ":1: relay: Object contains unknown field `nam`, at relay[0]"),
        (GOOD.replace("'a'", "'A'"), ":1: relay: Expected `str` matching regex"),
        (GOOD.replace("'::1'", ""), ":1: relay: Expected `array` of length >= 1"),
        (GOOD.replace("::1", "10.0.0.1/8"), ":1: relay: a: 10.0.0.1/8 has host bits set"),
        (GOOD.replace("::1", "x"), ":1: relay: a: 'x' does not appear to be"),
        (GOOD + GOOD, ":4: relay: two are called 'a'"),
        (GOOD + "ports = [0]", ":1: relay: Expected `int` >= 1"),
        ("[relay]\nname = 'a'", ":2: relay.name: there is no such section"),
        ("relay = 3", ":1: relay: 3 is not an array of tables: write [[relay]]"),
    ],
)
def test_wrong_relay_is_refused_with_file_and_key(load, text, told):
    (line,) = said(load, text)
    assert line.startswith("FILE" + told)


# ----------------------------------------------------------------------------- what counts


@pytest.mark.parametrize("key", settings_known())
def test_every_setting_can_be_set_by_file_and_by_environment(load, key):
    section, _, name = key.partition(".")
    in_file, in_environment, value = another(key)
    default = value_of(load(), key)
    assert default != value

    by_file = load(f"\n[{section}]\n# why\n{name} = {in_file}\n")
    assert value_of(by_file, key) == value
    assert by_file.origins[key] == f"{by_file.path}:4"
    variable = f"HELLOWATCH_{section}__{name}".upper()
    by_environment = load(
        f"[{section}]\n{name} = {toml_value(default)}", **{variable: in_environment}
    )
    assert value_of(by_environment, key) == value
    assert by_environment.origins[key] == variable
    others = by_environment.origins | by_file.origins
    assert {others[one] for one in others if one != key} == {"default"}


def test_command_line_comes_before_environment_before_file_before_default(load):
    text = "[track]\nflows = 2048\nanswer_seconds = 2\n[web]\nscrapes = 2"
    options = {"track.flows": ("--flows", 8192)}
    environ = {"HELLOWATCH_TRACK__FLOWS": "4096", "HELLOWATCH_TRACK__ANSWER_SECONDS": "4"}
    configuration = load(text, options, **environ)
    track = configuration.settings.track
    assert (track.flows, track.answer_seconds) == (8192, 4)
    assert configuration.settings.web.scrapes == 2
    assert configuration.settings.web.request_seconds == 10
    assert configuration.origins["track.flows"] == "--flows"


def test_files_named_in_a_file_count_from_its_folder(load):
    configuration = load(
        '[judge]\nprofiles = ["mine.toml", "/x.toml"]\n[web]\nconfig_file = "w.yml"'
    )
    folder = os.path.dirname(configuration.path)
    assert configuration.settings.judge.profiles == (f"{folder}/mine.toml", "/x.toml")
    assert configuration.settings.web.config_file == f"{folder}/w.yml"
    assert load("[web]\nconfig_file = ''").settings.web.config_file == ""


def test_file_may_be_written_in_any_way_toml_knows(load):
    dotted = load('track.flows = 4096\n"log" = { level = "info" }\n[watch]')
    assert dotted.settings.track.flows == 4096
    assert dotted.origins["track.flows"].endswith(":1")
    assert dotted.settings.log.level == "info"


def test_variables_of_others_are_let_be(load):
    assert load(HELLOWATCH_EXPECT="compiled", HELLO__WATCH="1").settings == Settings()


# ----------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[track]\nflows = 1000",
            "FILE:2: track.flows: 1000 is not an integer from 1024 to 16777216",
        ),
        ("[track]\nflows = 1025", "FILE:2: track.flows: 1025 is no power of two: 1024 or 2048"),
        ("[track]\nflows = '2048'", "FILE:2: track.flows: '2048' is not an integer from 1024 to"),
        ("[track]\nflows = 2048.0", "FILE:2: track.flows: 2048.0 is not an integer from"),
        ("[track]\nflows = true", "FILE:2: track.flows: true is not an integer from"),
        ("\n\n[track]\nflws = 1", "FILE:4: track.flws: there is no such key; [track] has flows, "),
        (
            "[trak]\nflows = 1",
            "FILE:2: trak.flows: there is no such section; the sections are watch",
        ),
        ("[log]\nflows = 1", "FILE:2: log.flows: there is no such key; [log] has level, format "),
        ("[trak]", "FILE:1: trak: there is no such key; the sections are watch"),
        ("track = 5", "FILE:1: track: is a section: write [track]"),
        ("flows = 4096", "FILE:1: flows: there is no such key; the sections are watch"),
        ("[web]\nrequest_seconds = 0", "request_seconds: 0 is not a number above 0, at most 600"),
        ("[capture]\ntunnels = 1", "FILE:2: capture.tunnels: 1 is not true or false"),
        ("[capture]\nblock_bytes = 70000", "70000 is no power of two: 65536 or 131072"),
        ("[log]\nlevel = 'loud'", "'loud' is not one of error, warning, info, debug"),
        ("[watch]\ninterfaces = 'eth1'", "watch.interfaces: 'eth1' is not a list of texts"),
        ("[watch]\ninterfaces = ['a/b']", "watch.interfaces: 'a/b' is no interface's name"),
        ("[watch]\nports = '99999'", "FILE:2: watch.ports: '99999' is no port: write 1 to 65535"),
        ("[web]\nlisten_address = '::1:9'", "web.listen_address: '::1:9' is ambiguous"),
        ("[track\n", "FILE: no TOML: Expected ']' at the end of a table declaration (at line 1"),
        ("[log]\n[log]\n", "FILE: no TOML: Cannot declare ('log',) twice (at line 2"),
        ("a = " + "[" * 5000 + "]" * 5000, "FILE: no TOML: maximum recursion depth exceeded"),
        ("a = " + "9" * 5000, "FILE: no TOML: Exceeds the limit"),
        (b"[log]\nlevel = '\xff'", "FILE: is no text: 'utf-8' codec can't decode"),
        ("#" * (LONGEST_FILE + 1), "FILE: is longer than 1 MiB"),
    ],
)
def test_mistake_in_the_file_is_told_with_line_key_and_what_is_allowed(load, text, told):
    (line,) = said(load, text)
    assert told in line


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[track]\nflws = 1", "(did you mean track.flows?)"),
        ("[trakc]\nflows = 1", "(did you mean track.flows?)"),
        ("[log]\nflows = 1", "(did you mean track.flows?)"),
        ("flows = 4096", "(did you mean track.flows?)"),
        ("[mtrics]\nlisten_address = ''", "(did you mean web.listen_address?)"),
    ],
)
def test_what_was_meant_perhaps_is_said(load, text, meant):
    assert meant in said(load, text)[0]


def test_mistakes_in_the_environment_name_the_variable(load):
    told = said(
        load,
        HELLOWATCH_TRACK__FLOWS="many",
        HELLOWATCH_TRACK__FLWS="1",
        HELLOWATCH_WATCH__PORTS="0",
    )
    assert [line.partition("; ")[0] for line in told] == [
        "environment: HELLOWATCH_TRACK__FLOWS: 'many' is not an integer from 1024 to 16777216",
        "environment: HELLOWATCH_TRACK__FLWS: there is no such key",
        "environment: HELLOWATCH_WATCH__PORTS: '0' is no port: write 1 to 65535, or any",
    ]
    assert "(did you mean HELLOWATCH_TRACK__FLOWS?)" in told[1]


def test_all_mistakes_are_told_in_one_run(load):
    text = "[track]\nflows = 1\nx = 1\n[log]\nlevel = 1\n[web]\nlisten_address = 'x'\n"
    told = said(load, text, HELLOWATCH_WEB__SCRAPES="0")
    assert [re.search(r"(track|log|web|HELLO)\S*(?=:)", line)[0] for line in told] == [
        "track.flows",
        "track.x",
        "log.level",
        "HELLOWATCH_WEB__SCRAPES",
        "web.listen_address",
    ]


def test_pipe_and_folder_are_no_configuration_and_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("pipe", "is no regular file"), ("", "Is a directory"), ("no", "No such")):
        with pytest.raises(ConfigError, match=why):
            Sources(str(tmp_path / name), {}, {}).load()


def test_every_setting_has_bounds_that_its_default_keeps():
    for setting in settings_known().values():
        assert msgspec.convert(setting.default, setting.type) == setting.default
        assert "None" not in setting.allowed


@pytest.mark.parametrize("key", settings_known())
def test_documented_is_what_a_reload_makes_of_each_setting(key):
    rows = re.findall(r"^\| (`.*?) \| (\w+ .*) \|$", PAGE, re.MULTILINE)
    section = key.partition(".")[0]
    named = {name: what for keys, what in rows for name in keys.split(", ")}
    told = named.get(f"`{key}`") or named[f"`{section}`"]
    if needs_restart(key):
        assert told.startswith("used after a restart")
    elif needs_new_worker(key):
        assert told.startswith("used by a new capturing process")
    else:
        assert told.startswith("used at once")
