"""Compiles every module that has a ``.pxd`` beside it; the rest is in pyproject.toml.

Compiled modules call each other in C, so it is all of them or none. Where there is no
compiler, or one that fails, none: the package installs and runs interpreted.
HELLOWATCH_REQUIRE_EXT=1 makes a failed compilation an error; HELLOWATCH_PURE=1 skips it.

What ``build/`` holds from an earlier build is used again where the *contents* it was made
from are the same, and never shipped otherwise (docs/decisions/0001-build.md).
"""

import os
import sys
from hashlib import sha256
from pathlib import Path

import Cython
from Cython.Build import cythonize
from Cython.Build.Dependencies import create_dependency_tree
from Cython.Compiler import Options
from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

REQUIRED = os.environ.get("HELLOWATCH_REQUIRE_EXT") == "1"
PURE = os.environ.get("HELLOWATCH_PURE") == "1"
if REQUIRED and PURE:
    sys.exit("HELLOWATCH_REQUIRE_EXT=1 and HELLOWATCH_PURE=1 contradict each other: unset one.")

GENERATED = Path("build/cython")

DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "boundscheck": True,
    "wraparound": False,
    "embedsignature": False,
}

# Every memoryview here has one dimension: a slice is passed as 64 octets instead of 208
# (Cython wants one to spare).
Options.buffer_max_dims = 2


def hot_modules() -> list[Extension]:
    """One extension for each Python file with a C header of the same name."""
    headers = sorted(Path("parsers").rglob("*.pxd")) + sorted(Path("sniffer").rglob("*.pxd"))
    return [
        Extension(
            ".".join(header.with_suffix("").parts),
            [str(header.with_suffix(".py"))],
            extra_compile_args=["-O2", "-g0"],
        )
        for header in headers
        if header.stem != "__init__"
    ]


class BuildExtensions(build_ext):
    """Translates and compiles what changed; all or none."""

    def run(self) -> None:
        """Compile; on failure drop every extension, or raise where they are required."""
        if not self.extensions:
            return
        try:
            keys = self.forget_changed()
            self.translate()
            self.parallel = os.cpu_count()
            super().run()
        except Exception as problem:  # Cython's, the compiler's or the operating system's
            if REQUIRED:
                raise
            self.drop()
            self.warn(f"not compiled, runs interpreted (many times slower): {problem}")
            return
        for key, digest in keys.items():
            key.parent.mkdir(parents=True, exist_ok=True)
            key.write_text(digest, encoding="ascii")

    def forget_changed(self) -> dict[Path, str]:
        """Delete the C of modules whose sources or settings changed; return the new keys.

        Contents count, not times: a file replaced by an older one is a change too.
        """
        settings = Path("setup.py").read_bytes() + f"{Cython.__version__} {sys.version}".encode()
        flags = "".join(f"{name}={os.environ.get(name)};" for name in ("CFLAGS", "CPPFLAGS"))
        tree = create_dependency_tree()
        keys = {}
        for extension in self.extensions:
            source = Path(extension.sources[0])
            digest = sha256(settings + flags.encode())
            for dependency in sorted(tree.all_dependencies(str(source)) | {str(source)}):
                digest.update(sha256(Path(dependency).read_bytes()).digest())
            key = GENERATED / source.with_suffix(".key")
            keys[key] = digest.hexdigest()
            if not key.exists() or key.read_text(encoding="ascii") != keys[key]:
                key.with_suffix(".c").unlink(missing_ok=True)
                key.unlink(missing_ok=True)
        return keys

    def translate(self) -> None:
        """Turn the Python sources of all extensions into C."""
        translated = cythonize(
            [Extension(extension.name, extension.sources) for extension in self.extensions],
            build_dir=str(GENERATED),
            compiler_directives=DIRECTIVES,
            nthreads=os.cpu_count() or 1,
        )
        sources = {extension.name: extension.sources for extension in translated}
        for extension in self.extensions:
            extension.sources = sources[extension.name]

    def drop(self) -> None:
        """Leave no extension behind, of this build or an earlier one."""
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.extensions = []


class Build(build):
    """A build that holds what this build made, and nothing an earlier one left there."""

    def run(self) -> None:
        """Build, then delete from the build folder whatever is no output of it."""
        self.get_finalized_command("build_py").force = True
        super().run()
        made = {
            Path(output)
            for command in self.get_sub_commands()
            for output in self.get_finalized_command(command).get_outputs()
        }
        for path in Path(self.build_lib).rglob("*"):
            if path.is_file() and path not in made:
                path.unlink()


setup(
    ext_modules=[] if PURE else hot_modules(),
    cmdclass={"build": Build, "build_ext": BuildExtensions},
)
