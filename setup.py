"""Compiles every module that has a ``.pxd`` beside it; the rest is in pyproject.toml.

HELLOWATCH_REQUIRE_EXT=1 makes a failed compilation an error; HELLOWATCH_PURE=1 skips it.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

REQUIRED = os.environ.get("HELLOWATCH_REQUIRE_EXT") == "1"
PURE = os.environ.get("HELLOWATCH_PURE") == "1"

# Every memoryview here has one dimension: a slice is passed as 64 octets instead of 208 (Cython wants one to spare).
Options.buffer_max_dims = 2


def hot_modules() -> list[Extension]:
    """One extension for each Python file with a C header of the same name."""
    headers = sorted(Path("parsers").rglob("*.pxd")) + sorted(Path("sniffer").rglob("*.pxd"))
    return [
        Extension(
            ".".join(header.with_suffix("").parts),
            [str(header.with_suffix(".py"))],
            extra_compile_args=["-O2", "-g0"],
            optional=not REQUIRED,
        )
        for header in headers
        if header.stem != "__init__"
    ]


extensions = [] if PURE else cythonize(
    hot_modules(),
    build_dir="build/cython",
    compiler_directives={
        "language_level": 3,
        "annotation_typing": False,
        "boundscheck": True,
        "wraparound": False,
        "embedsignature": False,
    },
)
setup(ext_modules=extensions)
