#!/usr/bin/env bash
# The bsnes cores of Debian, unpacked into .tools/cores (no root needed, no emulator front end comes along).
. "$(dirname "$0")/../common.sh"
cores=(bsnes_mercury_performance_libretro.so bsnes_mercury_accuracy_libretro.so)
begin "${cores[@]/#/cores/}"
command -v apt-get >/dev/null && command -v dpkg >/dev/null || stop "needs apt-get and dpkg (Debian 12+ or Ubuntu 24.04+)"
build=$TOOLS/build/bsnes
rm -rf "$build"
mkdir -p "$build"
cd "$build"
packages=(libretro-bsnes-mercury-performance libretro-bsnes-mercury-accuracy)
exec 9>"$TOOLS/build/apt.lock"
flock 9
apt_lists
# The user _apt cannot write into this folder: harmless, but it would be the last line of the log.
apt-get download -qq -o APT::Sandbox::User=root "${packages[@]}"
exec 9>&-
for package in *.deb; do dpkg -x "$package" unpacked; done
for core in "${cores[@]}"; do cp "$(find unpacked -name "$core")" "$TOOLS/cores/"; done
cd "$TOOLS"
rm -rf "$build"
done_
