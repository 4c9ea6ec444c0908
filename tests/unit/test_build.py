"""The build: which one is under test, and what it makes of any source and machine."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from zipfile import ZipFile

import pytest

import parsers

CHECKOUT = Path(__file__).parents[2]
BUILD_FILES = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("HELLOWATCH_", "PYTHON"))}
"""The environment, less what would point a build or an installation at this checkout."""

HOT = "def twice(number: int) -> int:\n    return number * 2\n"
HOT_HEADER = "cpdef int twice(int number) except? -1 nogil\n"
EXTENSION = f"parsers/hot{EXTENSION_SUFFIXES[0]}"
LOAD_ALL = """
import importlib, pkgutil, parsers, sniffer
for package in (parsers, sniffer):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print(parsers.compiled())
"""
SOURCES = ["parsers/__init__.py", "parsers/hot.pxd", "parsers/hot.py", "sniffer/__init__.py"]


def test_the_build_under_test_is_the_one_asked_for():
    in_checkout = Path(parsers.__file__).is_relative_to(CHECKOUT / "parsers")
    expected = os.environ.get("HELLOWATCH_EXPECT") or ("interpreted" if in_checkout else "compiled")

    assert expected in ("compiled", "interpreted")
    assert parsers.compiled() == (expected == "compiled"), parsers.__file__
    assert in_checkout == (expected == "interpreted"), parsers.__file__


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source tree of this project's build files and one small hot module."""
    tree = tmp_path / "source"
    tree.mkdir()
    for name in BUILD_FILES:
        shutil.copy(CHECKOUT / name, tree)
    (tree / "parsers").mkdir()
    shutil.copy(CHECKOUT / "parsers" / "__init__.py", tree / "parsers")
    (tree / "parsers" / "hot.py").write_text(HOT)
    (tree / "parsers" / "hot.pxd").write_text(HOT_HEADER)
    (tree / "sniffer").mkdir()
    (tree / "sniffer" / "__init__.py").touch()
    return tree


def test_module_with_a_header_is_compiled_and_its_source_shipped(source):
    assert wheel_of(source) == sorted([*SOURCES, EXTENSION])


def test_removed_module_and_removed_header_leave_the_next_build(source):
    (source / "parsers" / "gone.py").touch()
    assert "parsers/gone.py" in wheel_of(source)

    (source / "parsers" / "gone.py").unlink()
    (source / "parsers" / "hot.pxd").unlink()

    assert wheel_of(source) == ["parsers/__init__.py", "parsers/hot.py", "sniffer/__init__.py"]


def test_source_replaced_by_an_older_file_is_built_anew(source, tmp_path):
    wheel_of(source)
    hot = source / "parsers" / "hot.py"
    hot.write_text(HOT.replace("number * 2", "number * 2 + 1"))
    os.utime(hot, (0, 10**9))

    build(source, tmp_path / "wheels")

    assert run_wheel(tmp_path, "from parsers.hot import twice; print(twice(3))") == "7"


def test_unchanged_module_is_not_compiled_again(source):
    wheel_of(source)
    (made,) = (source / "build").rglob("hot.*.so")
    compiled_at = made.stat().st_mtime_ns
    (source / "parsers" / "other.py").touch()

    assert "parsers/other.py" in wheel_of(source)
    assert made.stat().st_mtime_ns == compiled_at


def test_without_a_working_compiler_it_installs_and_says_interpreted(source, tmp_path):
    said = build(source, tmp_path / "wheels", CC="/bin/false")

    assert "not compiled, runs interpreted" in said
    assert run_wheel(tmp_path, "import parsers; print(parsers.compiled())") == "False"
    assert run_wheel(tmp_path, "from parsers.hot import twice; print(twice(3))") == "6"


def test_whole_program_without_a_working_compiler_loads_interpreted(tmp_path):
    tree = tmp_path / "source"
    tree.mkdir()
    for name in BUILD_FILES:
        shutil.copy(CHECKOUT / name, tree)
    for package in ("parsers", "sniffer"):
        shutil.copytree(
            CHECKOUT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__")
        )

    build(tree, tmp_path / "wheels", CC="/bin/false")

    assert run_wheel(tmp_path, LOAD_ALL) == "False"


def test_with_a_compiler_it_says_compiled(source, tmp_path):
    build(source, tmp_path / "wheels", HELLOWATCH_REQUIRE_EXT="1")

    assert run_wheel(tmp_path, "import parsers; print(parsers.compiled())") == "True"
    assert run_wheel(tmp_path, "from parsers.hot import twice; print(twice(3))") == "6"


def test_one_extension_that_fails_takes_the_others_with_it(source):
    wheel_of(source)
    (source / "parsers" / "odd.py").write_text(HOT)
    (source / "parsers" / "odd.pxd").write_text("cpdef int twice(int number, int more) nogil\n")

    assert wheel_of(source) == sorted([*SOURCES, "parsers/odd.py", "parsers/odd.pxd"])


@pytest.mark.parametrize(
    ("header", "environment"),
    [
        pytest.param(HOT_HEADER, {"CC": "/bin/false"}, id="no compiler"),
        pytest.param("cpdef int twice(int number", {}, id="header that does not translate"),
        pytest.param(HOT_HEADER, {"HELLOWATCH_PURE": "1"}, id="contradiction"),
    ],
)
def test_required_extensions_that_cannot_be_built_are_an_error(source, header, environment):
    (source / "parsers" / "hot.pxd").write_text(header)

    with pytest.raises(subprocess.CalledProcessError):
        wheel_of(source, HELLOWATCH_REQUIRE_EXT="1", **environment)


def test_pure_build_holds_no_extension(source):
    assert wheel_of(source, HELLOWATCH_PURE="1") == SOURCES


def test_sdist_holds_what_its_build_needs_and_nothing_else(source, tmp_path):
    wheel_of(source)  # leaves build/ and generated C behind
    (source / "tests").mkdir()
    (source / "tests" / "test_nothing.py").touch()
    make = "import sys, setuptools.build_meta as b; b.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", make, tmp_path], cwd=source, check=True)
    (sdist,) = tmp_path.glob("*.tar.gz")

    shutil.unpack_archive(sdist, tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    held = {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()}

    assert {n for n in held if "egg-info" not in n} == {
        *BUILD_FILES,
        *SOURCES,
        "PKG-INFO",
        "setup.cfg",
    }
    assert wheel_of(unpacked, HELLOWATCH_REQUIRE_EXT="1") == sorted([*SOURCES, EXTENSION])


def run_wheel(folder: Path, program: str) -> str:
    """Install the one wheel under ``folder`` into an environment of its own; run there.

    What the wheel depends on is borrowed from the environment of the tests.
    """
    environment = folder / "environment"
    python = environment / "bin" / "python"
    if not environment.exists():
        venv.create(environment, with_pip=False, symlinks=True)
        (packages,) = environment.glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        (wheel,) = (folder / "wheels").glob("*.whl")
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
        install = [*pip, "--no-deps", "--ignore-installed", str(wheel)]
        subprocess.run(install, env=CLEAN, check=True, stdout=subprocess.PIPE)
    return subprocess.run(
        [python, "-I", "-c", program], check=True, text=True, stdout=subprocess.PIPE
    ).stdout.strip()


def wheel_of(source: Path, **environment: str) -> list[str]:
    """Build a wheel and answer the modules in it, extensions by their whole file name."""
    made = source.parent / "wheels"
    shutil.rmtree(made, ignore_errors=True)
    build(source, made, **environment)
    (wheel,) = made.glob("*.whl")
    with ZipFile(wheel) as archive:
        return sorted(n for n in archive.namelist() if n.startswith(("parsers/", "sniffer/")))


def build(source: Path, into: Path, **environment: str) -> str:
    """Build a wheel of ``source`` and answer what was said; raises where it fails."""
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
    return subprocess.run(
        [*command, "--no-index", "-w", str(into), "."],
        cwd=source,
        env={**CLEAN, **environment},
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ).stdout
