"""Builds the private module _native with SWIG, and puts the library beside it.

The library and its header come from an installed copy: the folder that ANE_TRAIN_STAGE names, or the
one that `make stage` of the repository writes. Nothing is written into the source folder.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import stub  # noqa: E402

ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "python"
LIBRARY = re.compile(r"libane_train(\.so\.\d+|\.\d+\.dylib)")  # as programs name it when they load


def stage() -> Path:
    if given := os.environ.get("ANE_TRAIN_STAGE"):
        return Path(given)
    subprocess.run(["make", "-C", str(ROOT), "stage"], check=True)
    return ROOT / "build" / "release" / "stage"


class BuildNative(build_ext):
    """Compiles what SWIG writes, and copies the library into the package."""

    def build_extension(self, ext: Extension) -> None:
        installed = stage()
        package = Path(self.get_ext_fullpath(ext.name)).parent
        package.mkdir(parents=True, exist_ok=True)
        ext.sources = [self.run_swig(installed / "include", package)]
        ext.include_dirs = [str(installed / "include"), str(HERE / "native")]
        ext.library_dirs = [str(installed / "lib")]
        super().build_extension(ext)
        stub.write(installed / "include", package / "_native.py", package / "_native.pyi")
        for file in (installed / "lib").iterdir():
            if LIBRARY.fullmatch(file.name):
                (package / file.name).unlink(missing_ok=True)  # who has it loaded keeps what it has
                shutil.copy(file, package)

    def run_swig(self, headers: Path, package: Path) -> str:
        Path(self.build_temp).mkdir(parents=True, exist_ok=True)
        source = str(Path(self.build_temp) / "_native.c")
        # int64_t is `long` on 64-bit Linux, `long long` on macOS.
        width = [] if sys.platform == "darwin" else ["-DSWIGWORDSIZE64"]
        folders = [f"-I{headers}", f"-I{HERE / 'native'}"]
        interface = str(HERE / "native" / "ane_train.i")
        command = [
            "swig",
            "-python",
            "-interface",
            "_native_calls",
            "-Wall",
            "-Werror",
            *width,
            *folders,
        ]
        self.spawn([*command, "-outdir", str(package), "-o", source, interface])
        return source


NATIVE = Extension(
    "ane_train._native_calls",
    sources=[],
    libraries=["ane_train"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    py_limited_api=True,
    extra_link_args=["-Wl,-rpath," + ("@loader_path" if sys.platform == "darwin" else "$ORIGIN")],
)

BUILD.mkdir(parents=True, exist_ok=True)
setup(
    ext_modules=[NATIVE],
    cmdclass={"build_ext": BuildNative},
    options={"build": {"build_base": str(BUILD)}, "egg_info": {"egg_base": str(BUILD)}},
)
