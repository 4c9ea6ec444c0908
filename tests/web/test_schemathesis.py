"""schemathesis sends what the OpenAPI document allows and what it does not: no server error."""

import re
import subprocess
import sys

from program import OFFICE, SECONDS, environment, hellowatch
from serving import serving

STORE = "sqlite:///office.db"
SETTINGS = {"uploads": 1024, "upload_bytes": 1 << 20, "request_seconds": 2.0}


def test_no_request_is_answered_by_a_server_error(tmp_path):
    hellowatch("analyze", "-o", "x", "--store", STORE, str(OFFICE), cwd=tmp_path)
    with serving(tmp_path, SETTINGS, "--store", STORE) as page:
        page.over(page.put("office.pcapng", OFFICE.read_bytes()))
        options = ("--checks", "not_a_server_error", "--phases", "coverage,fuzzing", "-n", "3")
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", *options),
                *("--exclude-path-regex", "progress$", "--seed", "1", "--no-color"),
                f"{page.origin}/api/v1/openapi.json",
            ],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        told = ran.stdout.decode()
        assert ran.returncode == 0, told
        selected, tested = (
            int(re.search(rf"{word}: (\d+)", told)[1]) for word in ("Selected", "Tested")
        )
        paths = page.ask("GET", "/api/v1/openapi.json").json()["paths"]
        assert len(paths) <= tested == selected
