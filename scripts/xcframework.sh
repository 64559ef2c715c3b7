#!/bin/sh
# Makes CAneTrain.xcframework of the library: what Xcode links and embeds into apps, and what the Swift
# package takes in place of pkg-config. Runs on a Mac with Xcode. Each slice is a dynamic library that
# was built before; a platform without one is named and left out.
#
# usage: xcframework.sh [--dry-run] [--macos library] [--ios library] [--simulator library] folder version
#
# CODESIGN_IDENTITY signs with another identity than the ad-hoc one, which is for tests on one's own Mac.
set -eu

name=CAneTrain
identifier=ane-train.$name
headers='include/ane_train.h include/ane_train_apple.h'
usage='usage: xcframework.sh [--dry-run] [--macos library] [--ios library] [--simulator library] folder version'

fail() { echo "xcframework: $*" >&2; exit 1; }

dry= macos= ios= simulator=
while [ $# -gt 2 ]; do
  case $1 in
    --dry-run) dry=1; shift; continue ;;
    --macos) macos=$2 ;;
    --ios) ios=$2 ;;
    --simulator) simulator=$2 ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
  shift 2
done
[ $# -eq 2 ] || { echo "$usage" >&2; exit 2; }
case $1 in /*) folder=$1 ;; *) folder=$PWD/$1 ;; esac
version=$2

# Every command that changes something goes through here.
run() {
  if [ -n "$dry" ]; then echo "$*"; else "$@"; fi
}

write() { # path; the text comes from stdin
  if [ -n "$dry" ]; then echo "write $1:"; sed 's/^/    /'; else cat > "$1"; fi
}

# A field of LC_BUILD_VERSION. The platform is a number or, from LLVM's otool, a name.
build_version() { # field, library
  otool -l "$2" | awk -v name="$1" \
    '$1 == "cmd" { inside = $2 == "LC_BUILD_VERSION" } inside && $1 == name { print $2 }' |
    sed -e 's/^macos$/1/' -e 's/^ios$/2/' -e 's/^iossimulator$/7/'
}

# What would only show when an app does not start.
check_library() { # library, platform's number, platform
  [ -f "$1" ] || fail "expected a library for $3, saw no file $1"
  case " $(lipo -archs "$1") " in
    *' arm64 '*) ;;
    *) fail "expected arm64 in $1, saw $(lipo -archs "$1")" ;;
  esac
  seen=$(build_version platform "$1")
  [ "$seen" = "$2" ] || fail "expected a library for $3 (platform $2), saw platform $seen in $1"
  foreign=$(otool -L "$1" | sed 1d | awk '{ print $1 }' | grep -v -e '^@rpath/libane_train' \
    -e '^/usr/lib/' -e '^/System/' || true)
  [ -z "$foreign" ] || fail "expected $1 to need libraries of the system alone, saw" $foreign \
    "(link archives, as 'make macos' does)"
}

module_map() {
  printf 'framework module %s {\n' $name
  for header in $headers; do printf '  header "%s"\n' "${header##*/}"; done
  printf '  export *\n}\n'
}

plist() { # the text of its dictionary comes from stdin
  cat << END
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
$(cat)
</dict>
</plist>
END
}

# The App Store asks for it: the library collects nothing, and looks at the sizes of files (fstat) in the
# app's folder and of those that the user chose.
privacy_manifest() {
  plist << END
  <key>NSPrivacyTracking</key>
  <false/>
  <key>NSPrivacyTrackingDomains</key>
  <array/>
  <key>NSPrivacyCollectedDataTypes</key>
  <array/>
  <key>NSPrivacyAccessedAPITypes</key>
  <array>
    <dict>
      <key>NSPrivacyAccessedAPIType</key>
      <string>NSPrivacyAccessedAPICategoryFileTimestamp</string>
      <key>NSPrivacyAccessedAPITypeReasons</key>
      <array><string>C617.1</string><string>3B52.1</string></array>
    </dict>
  </array>
END
}

information() { # platform, minimum system
  case $1 in
    MacOSX) rest="<key>LSMinimumSystemVersion</key>
  <string>$2</string>" ;;
    *) rest="<key>MinimumOSVersion</key>
  <string>$2</string>
  <key>UIDeviceFamily</key>
  <array><integer>1</integer><integer>2</integer></array>" ;;
  esac
  plist << END
  <key>CFBundleDevelopmentRegion</key>
  <string>en</string>
  <key>CFBundleExecutable</key>
  <string>$name</string>
  <key>CFBundleIdentifier</key>
  <string>$identifier</string>
  <key>CFBundleInfoDictionaryVersion</key>
  <string>6.0</string>
  <key>CFBundleName</key>
  <string>$name</string>
  <key>CFBundlePackageType</key>
  <string>FMWK</string>
  <key>CFBundleShortVersionString</key>
  <string>$version</string>
  <key>CFBundleVersion</key>
  <string>$version</string>
  <key>CFBundleSupportedPlatforms</key>
  <array><string>$1</string></array>
  $rest
END
}

# A debug map, which names the object files, is what dsymutil reads.
has_debug_map() { nm -ap "$1" | grep -q ' OSO '; }

# One framework: flat on iOS, with versions on macOS. Adds the arguments of xcodebuild to $arguments.
slice() { # library, folder of the slice, platform, platform's number
  library=$1 slice=$folder/slices/$2 platform=$3
  minimum=0.0
  if [ -z "$dry" ]; then
    check_library "$library" "$4" "$platform"
    minimum=$(build_version minos "$library")
  fi
  framework=$slice/$name.framework
  if [ "$platform" = MacOSX ]; then
    contents=$framework/Versions/A resources=$framework/Versions/A/Resources
    install_name=@rpath/$name.framework/Versions/A/$name
  else
    contents=$framework resources=$framework
    install_name=@rpath/$name.framework/$name
  fi
  run mkdir -p "$contents/Headers" "$contents/Modules" "$resources"
  # shellcheck disable=SC2086
  run cp $headers "$contents/Headers"
  module_map | write "$contents/Modules/module.modulemap"
  information "$platform" "$minimum" | write "$resources/Info.plist"
  privacy_manifest | write "$resources/PrivacyInfo.xcprivacy"
  if [ "$platform" = MacOSX ]; then
    run ln -s A "$framework/Versions/Current"
    for link in Headers Modules Resources $name; do
      run ln -s "Versions/Current/$link" "$framework/$link"
    done
  fi

  binary=$contents/$name
  run cp "$library" "$binary"
  run chmod 755 "$binary"
  run install_name_tool -id "$install_name" "$binary"
  symbols=
  if [ -n "$dry" ] || has_debug_map "$library"; then
    run dsymutil "$binary" -o "$slice/$name.framework.dSYM"
    symbols="-debug-symbols $slice/$name.framework.dSYM"
  else
    echo "no dSYM for $platform: $library has no debug map"
  fi
  run strip -S "$binary"
  # Changing the file has made its signature invalid; arm64 runs nothing without one.
  run codesign --force --sign "${CODESIGN_IDENTITY:--}" --timestamp=none "$framework"
  run plutil -lint "$resources/Info.plist" "$resources/PrivacyInfo.xcprivacy"
  run codesign --verify --strict "$framework"
  arguments="$arguments -framework $framework $symbols"
}

case $folder in
  *[[:space:]]*) fail "expected a folder without spaces, saw '$folder'" ;;
esac
if [ -z "$dry" ]; then
  for tool in codesign dsymutil ditto install_name_tool lipo nm otool plutil strip swift xcodebuild; do
    command -v $tool > /dev/null || fail "expected $tool, which comes with Xcode, saw none"
  done
fi
[ -n "$macos$ios$simulator" ] || fail 'expected --macos, --ios or --simulator with a library, saw none'

run rm -rf "$folder"
run mkdir -p "$folder"
arguments=
if [ -n "$macos" ]; then slice "$macos" macos-arm64 MacOSX 1; else echo 'left out: macOS'; fi
if [ -n "$ios" ]; then slice "$ios" ios-arm64 iPhoneOS 2; else echo 'left out: iOS'; fi
if [ -n "$simulator" ]; then
  slice "$simulator" ios-arm64-simulator iPhoneSimulator 7
else
  echo "left out: iOS's simulator"
fi

# shellcheck disable=SC2086
run xcodebuild -create-xcframework $arguments -output "$folder/$name.xcframework"
run plutil -lint "$folder/$name.xcframework/Info.plist"
# Links inside the framework must stay links.
run ditto -c -k --sequesterRsrc --keepParent "$folder/$name.xcframework" "$folder/$name.xcframework.zip"
run rm -rf "$folder/slices"
if [ -n "$dry" ]; then
  run swift package compute-checksum "$folder/$name.xcframework.zip"
else
  echo "made $folder/$name.xcframework"
  echo "checksum for binaryTarget: $(swift package compute-checksum "$folder/$name.xcframework.zip")"
fi
