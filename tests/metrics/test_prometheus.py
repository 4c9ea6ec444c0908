"""A real Prometheus scrapes a replay and counts what analyze counts."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
import trustme
from program import OFFICE, SECONDS, hellowatch, running

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is missing")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def prometheus(target: str, folder: Path, **how: object) -> Iterator[str]:
    """Start Prometheus on loopback, scraping ``target`` every second; yield its address."""
    job = {"job_name": "hellowatch", "static_configs": [{"targets": [target]}], **how}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [job],
    }
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS)


def query(address: str, expression: str) -> list[tuple[dict[str, str], float]]:
    """Return the samples of an instant query; none while Prometheus is not up."""
    url = f"{address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            told = json.load(answer)
    except OSError:
        return []
    return [(row["metric"], float(row["value"][1])) for row in told["data"]["result"]]


def test_prometheus_counts_what_analyze_counts(tmp_path: Path) -> None:
    offline = json.loads(hellowatch("analyze", "--format", "json", OFFICE, cwd=tmp_path).stdout)
    hellos = offline["totals"]["hellos"]
    with running("--replay", OFFICE, cwd=tmp_path) as program:
        program.wait_until_replayed()
        target = program.address.removeprefix("http://")
        with prometheus(target, tmp_path) as address:
            until = time.monotonic() + SECONDS
            while query(address, "sum(hellowatch_client_hellos_total)") != [({}, hellos)]:
                assert time.monotonic() < until, query(address, "up")
                time.sleep(0.2)
            assert [value for _, value in query(address, "up")] == [1]
            by_version = query(address, "sum by (version) (hellowatch_client_hellos_total) > 0")
            assert {labels["version"]: value for labels, value in by_version} == offline["totals"][
                "by_max_offered"
            ]
            (_, legacy) = query(address, "sum(hellowatch_device_legacy_hellos_total)")[0]
            assert legacy == offline["totals"]["by_verdict"]["legacy"]
            joined = query(
                address,
                "sum by (device, status) (hellowatch_device_legacy_hellos_total"
                " * on (device) group_left (status) hellowatch_device_info)",
            )
            statuses = {device["ip"]: device["status"] for device in offline["devices"]}
            assert joined
            for labels, _ in joined:
                assert labels["status"] == statuses[labels["device"]]
        assert program.end()[0] == 0


def test_prometheus_scrapes_by_tls_with_a_password_and_not_without(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(6)).decode()
    (tmp_path / "web.yml").write_text(
        "tls_server_config: {cert_file: server.pem, key_file: server.pem}\n"
        f"basic_auth_users: {{prometheus: {hashed}}}\n"
    )
    options = ("--web.config.file", "web.yml", "--replay", OFFICE)
    with running(*options, cwd=tmp_path) as program:
        assert program.address.startswith("https://")
        target = program.address.removeprefix("https://")
        tls = {"scheme": "https", "tls_config": {"ca_file": str(tmp_path / "ca.pem")}}
        for password, up in (("open sesame", 1), ("guess", 0)):
            login = {"username": "prometheus", "password": password}
            folder = tmp_path / password
            folder.mkdir()
            with prometheus(target, folder, basic_auth=login, **tls) as address:
                until = time.monotonic() + SECONDS
                while not (told := query(address, "up")):
                    assert time.monotonic() < until
                    time.sleep(0.2)
                assert [value for _, value in told] == [up]
