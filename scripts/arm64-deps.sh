#!/bin/sh
# A folder with Debian's arm64 libraries and headers, for cross builds and for running their
# programs under qemu. The machine's own packages are left alone. Does nothing, quickly, when all is
# there.
# usage: arm64-deps.sh folder
set -eu

packages='libc6-dev libstdc++6 libgomp1 libdnnl-dev libhwy-dev libcjson-dev libpcre2-dev libutf8proc-dev doctest-dev libgnustep-base-dev'
# Programs that others depend on, but that run on the build machine: taken as installed.
provided='gobjc perl perl-base dpkg tar'

scripts=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
sysroot=$(cd "$1" && pwd)

# The stamp says which scripts made the folder.
made_by=$(cat "$0" "$scripts/cross-apt.sh" | cksum)
if [ "$(cat "$sysroot/stamp" 2> /dev/null || true)" = "$made_by" ]; then exit 0; fi
find "$sysroot" -mindepth 1 -delete
work=$sysroot/apt

echo 'arm64-deps: packages'
# shellcheck source=cross-apt.sh
. "$scripts/cross-apt.sh"
private_apt "$work" deb arm64
for package in $provided; do
  printf '%s\n' "Package: $package" 'Status: install ok installed' 'Architecture: arm64' \
    'Multi-Arch: allowed' 'Version: 99:1' 'Maintainer: none' 'Description: on the build machine' ''
done > "$work/status"
# shellcheck disable=SC2086
apt-get -c "$work/apt.conf" install -qq --download-only $packages > "$work/apt.log" 2>&1 ||
  { cat "$work/apt.log" >&2; exit 1; }

# Debian's merged /usr: packages still name /lib.
mkdir -p "$sysroot/usr/lib" "$sysroot/usr/bin" "$sysroot/usr/sbin"
for folder in lib bin sbin; do ln -s "usr/$folder" "$sysroot/$folder"; done
for package in "$work"/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -xf - -C "$sysroot" --keep-directory-symlink \
    --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale
done
rm -rf "$work"
find "$sysroot" -type l -lname '/*' | while read -r link; do
  ln -sfnr "$sysroot$(readlink "$link")" "$link"
done

[ -e "$sysroot/lib/ld-linux-aarch64.so.1" ] && [ -e "$sysroot/usr/lib/aarch64-linux-gnu/libdnnl.so" ] ||
  { echo "expected arm64's loader and libdnnl.so below $sysroot" >&2; exit 1; }
echo "$made_by" > "$sysroot/stamp"
