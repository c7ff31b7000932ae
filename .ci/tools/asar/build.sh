#!/usr/bin/env bash
# Asar 1.91 as .tools/lib/libasar.so, compiled from the sources that the crate asar-snes carries (tests and CI only).
. "$(dirname "$0")/../common.sh"
begin lib/libasar.so
# Debian's plain cargo can be too old for what bindgen asks for; cargo-web is the one its browsers are built with.
if ! command -v cargo; then
  if apt_has cargo-web; then apt cargo-web rustc-web; else apt cargo; fi
fi
apt libclang-dev cmake g++
build=$TOOLS/build/asar
mkdir -p "$build"
cp "$RECIPE/Cargo.toml" "$RECIPE/empty.rs" "$build/"
cd "$build"
cargo build --release --quiet
archive=$(ls -t target/release/build/asar-snes-*/out/lib/libasar-static.a | head -n 1)
g++ -shared -o libasar.so -Wl,--whole-archive "$archive" -Wl,--no-whole-archive
"$PYTHON" -c "import ctypes; lib = ctypes.CDLL('./libasar.so'); lib.asar_apiversion(); assert lib.asar_version() == 10901" ||
  stop "the library that was built is not Asar 1.91"
mv libasar.so "$TOOLS/lib/libasar.so"
rm -rf target
done_
