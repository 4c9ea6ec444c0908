#!/usr/bin/env python3
"""Build HelloWatch under AddressSanitizer into FOLDER, and run a script with that build.

    sanitized.py FOLDER SCRIPT [ARGUMENT...]

What reads or writes beside its memory ends the script at once, with a report. Python's own
allocator is left out, so that each object's memory has its borders. An interpreter is not
freed at its end: leaks are not looked for. A build of the same sources is used again.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "parsers",
    "sniffer",
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
)
FLAGS = "-fsanitize=address -fno-omit-frame-pointer -g1"


def main() -> int:
    """Build what is not built of these sources yet, and run."""
    folder, script = Path(sys.argv[1]).resolve(), sys.argv[2:]
    library = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    stamp = folder / "made-of"
    if not stamp.is_file() or stamp.read_text() != digest():
        shutil.rmtree(folder, ignore_errors=True)
        build(folder)
        stamp.write_text(digest())
    env = os.environ | {
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(folder),
    }
    return subprocess.run([sys.executable, *script], env=env, check=False).returncode


def digest() -> str:
    """Return what tells these sources from others."""
    all_of_them = hashlib.sha256(sys.version.encode())
    for name in SOURCES:
        path = ROOT / name
        for file in sorted(path.rglob("*.p*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".pyc":
                all_of_them.update(file.read_bytes())
    return all_of_them.hexdigest()


def build(folder: Path) -> None:
    """Compile and install; in a copy, so that the usual build keeps what it has."""
    copy = folder.with_name(folder.name + "-sources")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name)
        else:
            shutil.copy(ROOT / name, copy / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run(
        [*pip, "--no-deps", "--upgrade", "--target", str(folder), str(copy)],
        env=os.environ | {"CFLAGS": FLAGS, "HELLOWATCH_REQUIRE_EXT": "1"},
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main())
