"""The package as its users get it: `pip wheel bindings/python`, then the wheel in environments with
nothing else but NumPy, one for each Python from 3.11 on that is here.
usage: check.py work-folder"""

import email.parser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
WORK = Path(sys.argv[1]).resolve()
# The tree's library, modules and Makefile must not help.
CLEAN = {key: value for key, value in os.environ.items()
         if not key.startswith(("PYTHON", "LD_", "DYLD_", "MAKE", "MFLAGS", "ANE_"))}  # fmt: skip
CLEAN["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
MAX_BYTES = 30 << 20


def check(condition, *what):
    if not condition:
        sys.exit("python-package-test: " + " ".join(map(str, what)))


def run(*command, code=0):
    """The output of a command that must end with this code, run in the work folder."""
    done = subprocess.run([*map(str, command)], cwd=WORK, env=CLEAN, text=True,
                          capture_output=True)  # fmt: skip
    check(done.returncode == code, *command, "ended with", done.returncode, "\n", done.stdout,
          done.stderr)  # fmt: skip
    return done.stdout + done.stderr


def build():
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", WORK, SOURCE)
    wheels = list(WORK.glob("*.whl"))
    check(len(wheels) == 1, wheels)
    return wheels[0]


def check_names(names):
    """Every module of ours, the library with what it needs, and nothing else."""
    modules = {f"ane_train/{file.name}" for file in (SOURCE / "ane_train").glob("*.py*")}
    check(modules <= names, "missing:", modules - names)
    expected = [
        r"ane_train/\w+\.pyi?", r"ane_train/py\.typed", r"ane_train/_native_calls\.abi3\.so",
        r"ane_train/libane_train\.(so\.\d+|\d+\.dylib)", r"ane_train/\.dylibs/[^/]+\.dylib",
        r"ane_train\.libs/lib(cjson|dnnl|gomp|hwy|pcre2-8|utf8proc|OpenCL)-[^/]+",
        r"ane_train-[\d.]+\.dist-info/(METADATA|RECORD|WHEEL|entry_points\.txt|top_level\.txt)",
        r"ane_train-[\d.]+\.dist-info/(licenses|sboms)/.+"]  # fmt: skip
    others = [name for name in names if not any(re.fullmatch(e, name) for e in expected)]
    check(not others, "not expected in the wheel:", others)


def check_wheel(wheel):
    check(re.fullmatch(r"ane_train-[\d.]+-cp311-abi3-(many|musl)?(linux|macosx)_\w+\.whl",
                       wheel.name), wheel.name)  # fmt: skip
    check(wheel.stat().st_size < MAX_BYTES, wheel.stat().st_size, "bytes")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        info = next(name for name in names if name.endswith("/METADATA")).rpartition("/")[0]
        text = archive.read(info + "/METADATA").decode()
    check_names(names)
    metadata = email.parser.Parser().parsestr(text)
    check(metadata["License-Expression"] == "MIT" and metadata["Summary"], text)
    check(metadata["Requires-Python"] == ">=3.11", text)
    check(set(metadata.get_all("Provides-Extra")) == {"dashboard", "plot", "progress"}, text)
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    check(len(needed) == 1 and needed[0].startswith("numpy"), needed)
    check("Typing :: Typed" in metadata.get_all("Classifier"), text)
    licences = {f"{info}/licenses/{name}" for name in metadata.get_all("License-File")}
    check(licences == {name for name in names if "/licenses/" in name}, licences)
    # One of ours, and one for each library that was copied in.
    copied = [name for name in names if name.startswith(("ane_train.libs/", "ane_train/.dylibs/"))]
    check(len(licences) == 1 + len(copied) > 1, licences, copied)


def check_installed(wheel, interpreter):
    folder = WORK / f"venv-{interpreter}"
    python, dashboard = folder / "bin" / "python", folder / "bin" / "ane-train-dashboard"
    run(interpreter, "-m", "venv", folder)
    pip = (python, "-m", "pip", "install", "-q", "--only-binary", ":all:")
    run(*pip, wheel)
    listed = run(python, "-m", "pip", "list", "--format", "freeze").split()
    packages = {line.partition("==")[0] for line in listed}
    check(packages <= {"ane-train", "numpy", "pip", "setuptools"}, packages)
    results = WORK / f"results-{interpreter}"
    results.mkdir()
    print(interpreter, run(python, HERE / "smoke.py", results).strip())
    log = results / "run.jsonl"
    check("pip install 'ane-train[dashboard]'" in run(dashboard, "--once", log, code=1))
    run(*pip, f"{wheel}[dashboard]")
    check("step 4 of 4" in run(dashboard, "--once", log))


def interpreters():
    """Those from 3.11 on that are on the path and work."""
    for minor in range(11, 16):
        name = f"python3.{minor}"
        if shutil.which(name) is None:
            continue
        done = subprocess.run([name, "-c", "import ensurepip, venv"], capture_output=True)
        if done.returncode == 0:
            yield name


shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
built = build()
check_wheel(built)
found = list(interpreters())
check(found, "no Python from 3.11 on with venv on the path")
for each in found:
    check_installed(built, each)
print(f"{built.name}: {built.stat().st_size / 1e6:.1f} MB, works in {', '.join(found)}")
