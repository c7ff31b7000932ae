#!/usr/bin/env bash
# Builds the real parts into .tools/, two at a time: `make tools`, or `.ci/tools/all.sh asar nvim` for some of them.
# A part that is there already costs nothing. When one fails the others go on, and the exit code says so.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
parts=("$@")
# The long ones first, beside each other: train mostly waits for the network and the disk, ollama for the processor.
[ $# -gt 0 ] || parts=(ollama train vscode asar nvim bsnes extension)
for part in "${parts[@]}"; do
  [ -x "$here/$part/build.sh" ] || { echo "tools: no such part: $part (there are: $(cd "$here" && echo */ | tr -d /))" >&2; exit 2; }
done
printf '%s\n' "${parts[@]}" | xargs -P 2 -I{} bash "$here/{}/build.sh" </dev/stdin
code=$?
[ $code = 0 ] || echo "tools: some parts are missing, see above; 'make tools' tries again what is not there yet" >&2
exit $((code != 0))
