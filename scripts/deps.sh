#!/bin/sh
# Installs the packages that are missing; does nothing, quickly, when none is.
# usage: deps.sh build|test|fuzz|macos|arm64
set -eu

debian_build='g++ make pkg-config libdnnl-dev libhwy-dev libcjson-dev libpcre2-dev libutf8proc-dev python3'
debian_test='python3-venv python3-dev doctest-dev gobjc libgnustep-base-dev clang-format clang-tidy llvm lld python3-numpy python3-torch libopenblas0-pthread doxygen valgrind'
debian_fuzz='clang libclang-rt-14-dev'
debian_macos='dpkg-dev lld llvm python3-venv'
debian_arm64='g++-aarch64-linux-gnu gobjc-aarch64-linux-gnu qemu-user'
brew_build='highway cjson pcre2 utf8proc pkgconf'
brew_fuzz='llvm'
brew_test='doxygen doctest clang-format llvm numpy pytorch'

install_debian() {
  missing=
  for package in "$@"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  echo "installing:$missing"
  sudo=
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -qq
  # shellcheck disable=SC2086
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

install_brew() {
  missing=
  installed=" $(brew list --formula -1 | tr '\n' ' ') "
  for package in "$@"; do
    case $installed in *" $package "*) ;; *) missing="$missing $package" ;; esac
  done
  [ -n "$missing" ] || return 0
  echo "installing:$missing"
  # shellcheck disable=SC2086
  brew install $missing
}

case ${1:-} in
  build | test | fuzz) ;;
  macos | arm64)
    command -v dpkg-query > /dev/null || { echo "expected Debian for the $1 cross build" >&2; exit 1; }
    ;;
  *) echo "usage: deps.sh build|test|fuzz|macos|arm64" >&2; exit 2 ;;
esac

if command -v dpkg-query > /dev/null; then
  # shellcheck disable=SC2046
  install_debian $(eval "echo \$debian_$1")
elif command -v brew > /dev/null; then
  # shellcheck disable=SC2046
  install_brew $(eval "echo \$brew_$1")
else
  echo "neither apt nor Homebrew is here; install these by hand:" >&2
  eval "echo \$debian_$1" >&2
  exit 1
fi
