#!/usr/bin/env python3
"""Runs scripts/xcframework.sh on Linux and checks what it makes.

LLVM has most of the tools that the script needs from Xcode. For the others, this file stands in under
their names: it writes down how it was called and makes what they would make. The libraries are a
function compiled for each platform, and the cross-built library where there is one.

usage: check-xcframework.py work-directory version [cross-built-library]
"""

import json
import os
import plistlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

LLVM = {
    "otool": "llvm-otool",
    "lipo": "llvm-lipo",
    "install_name_tool": "llvm-install-name-tool",
    "nm": "llvm-nm",
    "strip": "llvm-strip",
    "dsymutil": "dsymutil",
    "llc": "llc",
    "ld64.lld": "ld64.lld",
}
STAND_INS = ("codesign", "ditto", "plutil", "swift", "xcodebuild")
# The library's names of the platforms, the linker's, and the oldest systems.
PLATFORMS = {
    "macos": ("macos-arm64", "macos", "14.0"),
    "ios": ("ios-arm64", "ios", "17.0"),
    "simulator": ("ios-arm64-simulator", "ios-simulator", "17.0"),
}
NAME = "CAneTrain"

FUNCTION = """
target triple = "arm64-apple-{system}"
define i32 @anet_abi_version() !dbg !4 {{
  ret i32 0, !dbg !7
}}
!llvm.dbg.cu = !{{!0}}
!llvm.module.flags = !{{!2, !3}}
!0 = distinct !DICompileUnit(language: DW_LANG_C99, file: !1, emissionKind: FullDebug)
!1 = !DIFile(filename: "function.c", directory: "/")
!2 = !{{i32 2, !"Dwarf Version", i32 4}}
!3 = !{{i32 2, !"Debug Info Version", i32 3}}
!4 = distinct !DISubprogram(name: "anet_abi_version", scope: !1, file: !1, line: 1, type: !5,
                            unit: !0, spFlags: DISPFlagDefinition)
!5 = !DISubroutineType(types: !6)
!6 = !{{null}}
!7 = !DILocation(line: 1, scope: !4)
"""


# --- Stand-ins -----------------------------------------------------------------------------------


def stand_in(tool, arguments):
    with open(os.environ["XCFRAMEWORK_CALLS"], "a") as calls:
        calls.write(json.dumps([tool, *arguments]) + "\n")
    if tool == "plutil":
        for path in arguments[1:]:
            with open(path, "rb") as file:
                plistlib.load(file)
    elif tool == "ditto":
        archive(Path(arguments[-2]), arguments[-1])
    elif tool == "swift":
        print("0" * 64)
    elif tool == "xcodebuild":
        create_xcframework(arguments)


def archive(source, path):
    with zipfile.ZipFile(path, "w") as file:
        for item in sorted(source.rglob("*")):
            file.write(item, item.relative_to(source.parent))


def create_xcframework(arguments):
    values = arguments[1:]
    pairs = list(zip(values[::2], values[1::2]))
    output = Path(dict(pairs)["-output"])
    libraries = []
    for option, value in pairs:
        source = Path(value)
        if option != "-output" and not source.is_absolute():
            sys.exit(f"xcodebuild: expected an absolute path, saw {value}")
        if option == "-framework":
            identifier = source.parent.name
            platform, architecture, *variant = identifier.split("-")
            libraries.append({
                "LibraryIdentifier": identifier,
                "LibraryPath": source.name,
                "SupportedArchitectures": [architecture],
                "SupportedPlatform": platform,
                **({"SupportedPlatformVariant": variant[0]} if variant else {}),
            })
            shutil.copytree(source, output / identifier / source.name, symlinks=True)
        elif option == "-debug-symbols":
            shutil.copytree(source, output / identifier / "dSYMs" / source.name, symlinks=True)
    with open(output / "Info.plist", "wb") as file:
        plistlib.dump({
            "AvailableLibraries": libraries,
            "CFBundlePackageType": "XFWK",
            "XCFrameworkFormatVersion": "1.0",
        }, file)


# --- The check -----------------------------------------------------------------------------------


def expect(what, expected, seen):
    if expected != seen:
        sys.exit(f"{what}: expected {expected!r}, saw {seen!r}")
    print(f"ok: {what}")


def tool_folder(work):
    """A folder of PATH with LLVM's tools and the stand-ins, under the names that Xcode has."""
    folder = work / "tools"
    folder.mkdir(parents=True)
    for name, llvm in LLVM.items():
        # Debian's before others: the linker of Swift's toolchain, for one, refuses macOS.
        debian = sorted(str(path) for path in Path("/usr/lib").glob(f"llvm-*/bin/{llvm}"))
        found = debian[-1] if debian else shutil.which(llvm)
        if not found:
            print(f"skipped: needs {llvm} (packages llvm and lld)")
            sys.exit(0)
        # By their own names, since LLVM's programs are several in one.
        (folder / name).write_text(f'#!/bin/sh\nexec {found} "$@"\n')
        (folder / name).chmod(0o755)
    for name in STAND_INS:
        script = f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} --as {name} "$@"\n'
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder


def run(*command, **options):
    return subprocess.run([str(part) for part in command], text=True, capture_output=True, **options)


def library(folder, platform, install_name="@rpath/libane_train.0.dylib", links=()):
    """A dynamic library with one function of ours."""
    _, system, minimum = PLATFORMS[platform]
    folder.mkdir()
    source, module, product = (folder / name for name in ("f.ll", "f.o", "libane_train.0.dylib"))
    triple = {"macos": "macos14.0", "ios": "ios17.0", "simulator": "ios17.0-simulator"}[platform]
    source.write_text(FUNCTION.format(system=triple))
    run("llc", "-filetype=obj", source, "-o", module, check=True)
    run("ld64.lld", "-arch", "arm64", "-platform_version", system, minimum, minimum, "-dylib",
        "-headerpad_max_install_names", "-install_name", install_name,
        module, *links, "-o", product, check=True)  # fmt: skip
    return product


def check_framework(xcframework, platform, version, has_symbols=True):
    identifier, _, minimum = PLATFORMS[platform]
    framework = xcframework / identifier / f"{NAME}.framework"
    is_mac = platform == "macos"
    contents = framework / "Versions/A" if is_mac else framework
    resources = contents / "Resources" if is_mac else contents
    names = {"Headers", "Modules", NAME} | (
        {"Resources"} if is_mac else {"Info.plist", "PrivacyInfo.xcprivacy"})
    expect(f"{platform}: layout", names, {item.name for item in contents.iterdir()})
    if is_mac:
        links = {item.name: os.readlink(item) for item in framework.iterdir() if item.is_symlink()}
        expect("macos: links", {name: f"Versions/Current/{name}" for name in names}, links)
        expect("macos: version", "A", os.readlink(framework / "Versions/Current"))
    for name in ("ane_train.h", "ane_train_apple.h"):
        same = (contents / "Headers" / name).read_text() == Path(f"include/{name}").read_text()
        expect(f"{platform}: {name} is ours", True, same)
    expect(f"{platform}: module map",
           'framework module CAneTrain {\n  header "ane_train.h"\n  header "ane_train_apple.h"\n'
           "  export *\n}\n",
           (contents / "Modules/module.modulemap").read_text())  # fmt: skip

    with open(resources / "PrivacyInfo.xcprivacy", "rb") as file:
        privacy = plistlib.load(file)
    expect(f"{platform}: collects nothing", (False, []),
           (privacy["NSPrivacyTracking"], privacy["NSPrivacyCollectedDataTypes"]))  # fmt: skip
    with open(resources / "Info.plist", "rb") as file:
        info = plistlib.load(file)
    oldest = info["LSMinimumSystemVersion" if is_mac else "MinimumOSVersion"]
    expect(f"{platform}: Info.plist", (NAME, "FMWK", version, version, minimum),
           (info["CFBundleExecutable"], info["CFBundlePackageType"], info["CFBundleVersion"],
            info["CFBundleShortVersionString"], oldest))  # fmt: skip
    path = f"Versions/A/{NAME}" if is_mac else NAME
    seen = run("otool", "-D", contents / NAME, check=True).stdout.split()[-1]
    expect(f"{platform}: install name", f"@rpath/{NAME}.framework/{path}", seen)
    symbols = xcframework / identifier / "dSYMs" / f"{NAME}.framework.dSYM"
    expect(f"{platform}: dSYM", has_symbols, symbols.is_dir())


def check_refusals(script, libraries, work):
    """What must not become a framework, and the words of the refusal."""
    output = work / "refused"
    foreign = library(work / "other", "macos", "/opt/homebrew/lib/libother.dylib")
    dependent = library(work / "dependent", "macos", links=[foreign])
    for arguments, words in (
        (["--macos", dependent], "saw /opt/homebrew/lib/libother.dylib"),
        (["--macos", work / "none.dylib"], "saw no file"),
        (["--macos", libraries["ios"]], "expected a library for MacOSX"),
        (["--ios", libraries["simulator"]], "expected a library for iPhoneOS"),
        ([], "expected --macos, --ios or --simulator"),
    ):
        result = run("sh", script, *arguments, output, "1.0")
        refused = result.returncode != 0 and words in result.stderr
        expect(f"refused: {words}", (True, False), (refused, list(output.glob("*.zip")) != []))


def check_swift(swift, xcframework, work):
    """The module map is one that Swift reads, and the package takes the framework."""
    source = work / "import.swift"
    source.write_text("import CAneTrain\nlet version: UInt32 = anet_abi_version()\n")
    frameworks = xcframework / PLATFORMS["macos"][0]
    compiled = run(Path(swift).with_name("swiftc"), "-typecheck", "-F", frameworks, source)
    expect("Swift imports the module", (0, ""), (compiled.returncode, compiled.stderr))
    described = run(
        swift, "package", "--package-path", "swift", "--scratch-path", work / "scratch", "describe",
        "--type", "json", env=os.environ | {
            "ANE_TRAIN_XCFRAMEWORK": os.path.relpath(xcframework, "swift")})  # fmt: skip
    if described.returncode != 0:
        sys.exit(f"swift package describe failed:\n{described.stderr}")
    kinds = {target["name"]: target["type"] for target in json.loads(described.stdout)["targets"]}
    expect("the package takes the framework", "binary", kinds["CAneTrain"])


def main():
    swift = shutil.which(os.environ.get("SWIFT", "swift"))
    work, version = Path(sys.argv[1]).resolve(), sys.argv[2]
    cross_built = [Path(path) for path in sys.argv[3:] if Path(path).is_file()]
    shutil.rmtree(work, ignore_errors=True)
    tools = tool_folder(work)
    os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
    os.environ["XCFRAMEWORK_CALLS"] = str(work / "calls")
    script = "scripts/xcframework.sh"
    libraries = {platform: library(work / platform, platform) for platform in PLATFORMS}
    options = [part for name, path in libraries.items() for part in (f"--{name}", path)]
    output = work / "output"

    planned = run("sh", script, "--dry-run", *options, output, version, check=True).stdout
    expect("a dry run makes nothing", False, output.exists())
    made = run("sh", script, *options, output, version)
    if made.returncode != 0:
        sys.exit(f"{script} failed:\n{made.stdout}{made.stderr}")
    with open(work / "calls") as file:
        calls = [json.loads(line) for line in file]
    expect("a dry run tells each command", [],
           [call for call in calls if " ".join(call) not in planned])  # fmt: skip
    expect("slices are signed before they are joined", ["xcodebuild"],
           [call[0] for call in calls[[c[0] for c in calls].index("xcodebuild"):]
            if call[0] in ("codesign", "xcodebuild")])  # fmt: skip
    for platform in PLATFORMS:
        check_framework(output / f"{NAME}.xcframework", platform, version)
    expect("checksum is told", True, "checksum for binaryTarget: " + "0" * 64 in made.stdout)
    check_refusals(script, libraries, work)
    if swift:
        check_swift(swift, output / f"{NAME}.xcframework", work)
    else:
        print("not checked, for there is no Swift toolchain: the package with the framework")

    for path in cross_built:
        made = run("sh", script, "--macos", path, work / "cross", version)
        if made.returncode != 0:
            sys.exit(f"{script} failed on {path}:\n{made.stdout}{made.stderr}")
        expect("missing platforms are named", True, "left out: iOS\n" in made.stdout)
        has_symbols = (work / f"cross/{NAME}.xcframework/macos-arm64/dSYMs").is_dir()
        expect("a missing dSYM is named", not has_symbols, "no dSYM for MacOSX" in made.stdout)
        check_framework(work / f"cross/{NAME}.xcframework", "macos", version, has_symbols)


if __name__ == "__main__":
    if sys.argv[1] == "--as":
        stand_in(sys.argv[2], sys.argv[3:])
    else:
        main()
