"""The web configuration file as Prometheus exporters have it: TLS, users, headers.

    tls_server_config:
      cert_file: server.crt
      key_file: server.key
      client_auth_type: RequireAndVerifyClientCert
      client_ca_file: ca.crt
      min_version: TLS12
    http_server_config:
      headers:
        Strict-Transport-Security: max-age=31536000
    basic_auth_users:
      prometheus: $2y$10$...

What cannot be done here is refused, never passed over: somebody relies on it. Names of files
count from the file's own folder. Source: the documentation of prometheus/exporter-toolkit.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import os
import re
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from sniffer.config_file import read_text
from sniffer.errors import ConfigError, ConfigErrors, HelloWatchError

logger = logging.getLogger(__name__)

VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
CHOICES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "client_auth_type": ("NoClientCert", CLIENT_AUTH),
    "min_version": ("TLS12", VERSIONS),
    "max_version": ("TLS13", VERSIONS),
}
"""By key: what holds if it is not there, and what may stand there."""
HEADERS = (
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
)
TLS_KEYS = (
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "min_version",
    "max_version",
    "prefer_server_cipher_suites",
)
SECTIONS = ("tls_server_config", "http_server_config", "basic_auth_users")
ELSEWHERE = {
    "tls_server_config": (
        *("cert", "key", "client_ca", "client_allowed_sans", "cipher_suites"),
        "curve_preferences",
    ),
    "": ("rate_limit",),
}
"""Keys of exporters that are not built here."""

BCRYPT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")
LONGEST_PASSWORD = 72
"""Octets that bcrypt looks at."""
MOST_ANSWERS = 128
"""Log-ins whose answer is remembered; beyond it all are forgotten."""
NOBODY = "." * 53
"""Salt and hash of no password."""


class Web(NamedTuple):
    """What one state of the file says."""

    tls: ssl.SSLContext | None = None
    headers: Mapping[str, str] = {}
    users: "Users | None" = None
    files: tuple[str, ...] = ()
    """All that were read."""


class Users:
    """Who may see the pages.

    An answer costs bcrypt's time once; the next ones are remembered, by a keyed hash. An
    unknown name costs as much as a wrong password.
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        """Take names and bcrypt hashes."""
        self._hashes = dict(hashes)
        cost = max(int(hashed[4:6]) for hashed in hashes.values())
        self._nobody = f"$2b${cost:02d}${NOBODY}"
        self._key = os.urandom(32)
        self._answers: dict[bytes, bool] = {}
        self._one_at_a_time = threading.Lock()

    def admit(self, authorization: str | None) -> bool:
        """Tell whether the header of that name opens the door."""
        given = _credentials(authorization)
        if given is None:
            return False
        name, password = given
        hashed = self._hashes.get(name, self._nobody)
        asked = b"%d:%b%b" % (len(name), name.encode("utf-8", "surrogateescape"), password)
        key = hmac.digest(self._key, asked, hashlib.sha256)
        answer = self._answers.get(key)
        if answer is None:
            with self._one_at_a_time:
                answer = _fits(password, hashed) and name in self._hashes
                if len(self._answers) >= MOST_ANSWERS:
                    self._answers.clear()
                self._answers[key] = answer
        return answer


class WebConfig:
    """The file, read again whenever it or a file it names has changed."""

    def __init__(self, path: str) -> None:
        """Read the file; "" is none. Raises ConfigError, or ConfigErrors for several."""
        self.path = path
        self._lock = threading.Lock()
        self._web = read(path) if path else Web()
        self._seen = _states(self._web.files)

    def current(self) -> Web:
        """Return what holds now. A file that became bad is told of, and the old one holds."""
        if not self.path:
            return self._web
        with self._lock:
            seen = _states(self._web.files)
            if seen != self._seen:
                self._seen = seen
                try:
                    self._web = read(self.path)
                    self._seen = _states(self._web.files)
                except HelloWatchError as error:
                    fields = {"why": str(error)}
                    logger.error("The web configuration stays as it was", fields)
            return self._web


def read(path: str) -> Web:
    """Read the file. Raises ConfigError, or ConfigErrors for several."""
    import yaml

    text = read_text(path)
    try:
        table = yaml.safe_load(text)
        lines = dict(_lines(yaml.compose(text, yaml.SafeLoader)))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = path if mark is None else f"{path}:{mark.line + 1}"
        why = getattr(error, "problem", None) or str(error)
        raise ConfigError(place, "", f"no YAML: {why}") from error

    errors: list[ConfigError] = []

    def wrong(key: str, why: str) -> None:
        errors.append(ConfigError(f"{path}:{lines[key]}" if key in lines else path, key, why))

    web = _web(path, {} if table is None else table, wrong)
    if len(errors) > 1:
        raise ConfigErrors(errors)
    if errors:
        raise errors[0]
    return web


Wrong = Callable[[str, str], None]


def _web(path: str, table: object, wrong: Wrong) -> Web:
    sections = _table("", table, SECTIONS, wrong)
    folder = os.path.dirname(path)
    files = [path]
    tls = None
    # What is empty is as good as not there, as exporters have it.
    if sections.get("tls_server_config"):
        tls = _tls(folder, sections["tls_server_config"], files, wrong)
    http = _table(
        "http_server_config", sections.get("http_server_config"), ("headers", "http2"), wrong
    )
    if http.get("http2") and tls is None:
        wrong("http_server_config.http2", "is not spoken here, and needs TLS: leave it out")
    headers = _table("http_server_config.headers", http.get("headers"), HEADERS, wrong)
    for name, value in headers.items():
        if not isinstance(value, str) or not value.isprintable() or not value.isascii():
            wrong(f"http_server_config.headers.{name}", "is not one line of text")
    return Web(tls, headers, _users(sections.get("basic_auth_users"), wrong), tuple(files))


def _table(where: str, given: object, known: tuple[str, ...], wrong: Wrong) -> dict[str, Any]:
    """Return the known keys of a table, having told of the others."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        wrong(where, f"holds no keys; {', '.join(known)} may stand there")
        return {}
    told: dict[str, Any] = {}
    for name, value in given.items():
        key = f"{where}.{name}" if where else str(name)
        if name in known:
            told[name] = value
        elif name in ELSEWHERE.get(where, ()):
            wrong(key, "is not built here; take it out only if nothing relies on it")
        else:
            wrong(key, f"there is no such key; {', '.join(known)} may stand there")
    return told


def _tls(folder: str, given: object, files: list[str], wrong: Wrong) -> ssl.SSLContext | None:
    where = "tls_server_config"
    told = _table(where, given, TLS_KEYS, wrong)
    paths: dict[str, str] = {}
    for name in ("cert_file", "key_file", "client_ca_file"):
        value = told.get(name)
        if isinstance(value, str) and value:
            paths[name] = os.path.join(folder, value)
            files.append(paths[name])
        elif value:
            wrong(f"{where}.{name}", "is no file's name")
        elif name != "client_ca_file":
            wrong(where, f"{name} is missing")
    chosen: dict[str, Any] = {}
    for name, (default, allowed) in CHOICES.items():
        value = told.get(name) or default
        if isinstance(value, str) and value in allowed:
            chosen[name] = allowed[value]
        else:
            wrong(f"{where}.{name}", f"{value!r} is not one of {', '.join(allowed)}")
    if len(chosen) < len(CHOICES) or not {"cert_file", "key_file"} <= paths.keys():
        return None
    if chosen["min_version"] > chosen["max_version"]:
        wrong(f"{where}.max_version", "is older than min_version")
    if (chosen["client_auth_type"] is ssl.CERT_NONE) == ("client_ca_file" in paths):
        wrong(
            f"{where}.client_auth_type", "asks for certificates only together with client_ca_file"
        )
        return None
    return _context(
        where, paths, chosen, bool(told.get("prefer_server_cipher_suites", True)), wrong
    )


def _context(
    where: str,
    paths: Mapping[str, str],
    chosen: Mapping[str, Any],
    prefers_own: bool,
    wrong: Wrong,
) -> ssl.SSLContext | None:
    for name, path in paths.items():
        try:
            read_text(path)
        except ConfigError as error:
            wrong(f"{where}.{name}", f"{path}: {error.why}")
            return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    name = "cert_file"
    try:
        # An encrypted key has to end here, not in a question on the terminal.
        context.load_cert_chain(paths["cert_file"], paths["key_file"], password=lambda: "")
        name = "client_ca_file"
        if name in paths:
            context.load_verify_locations(paths[name])
    except (ssl.SSLError, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error)
        wrong(f"{where}.{name}", f"cannot be used: {str(why).replace('_', ' ').lower()}")
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # who asks for 1.0 shall have it
        context.minimum_version = chosen["min_version"]
        context.maximum_version = chosen["max_version"]
    context.verify_mode = chosen["client_auth_type"]
    if not prefers_own:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _users(given: object, wrong: Wrong) -> Users | None:
    where = "basic_auth_users"
    if not given:
        return None
    if not isinstance(given, dict):
        wrong(where, "holds no names with a bcrypt hash each")
        return None
    for name, hashed in given.items():
        found = BCRYPT.fullmatch(hashed) if isinstance(hashed, str) else None
        if not isinstance(name, str) or not name or ":" in name:
            wrong(f"{where}.{name}", "is no user's name")
        elif found is None or not 4 <= int(found[1]) <= 31:
            wrong(f"{where}.{name}", "is no bcrypt hash: make one by htpasswd -nBC 10 NAME")
        else:
            continue
        return None
    return Users(given)


def _lines(node: Any, where: str = "") -> Iterator[tuple[str, int]]:  # noqa: ANN401 (the library's nodes)
    """Yield keys and the lines they stand on."""
    for key, value in getattr(node, "value", ()) if getattr(node, "id", "") == "mapping" else ():
        name = f"{where}.{key.value}" if where else str(key.value)
        yield name, key.start_mark.line + 1
        yield from _lines(value, name)


def _credentials(authorization: str | None) -> tuple[str, bytes] | None:
    """Return name and password of a header; RFC 7617."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(token.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (name.decode("utf-8", "surrogateescape"), password) if colon else None


def _fits(password: bytes, hashed: str) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(password[:LONGEST_PASSWORD], hashed.encode())
    except ValueError:
        return False


def _states(paths: tuple[str, ...]) -> list[tuple[int, ...]]:
    """Return what changes when one of these files does."""
    states: list[tuple[int, ...]] = []
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            states.append(())
        else:
            states.append((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))
    return states
