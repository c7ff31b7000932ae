#!/usr/bin/env bash
# VS Code in a browser (code-server 4.100.3 = VS Code 1.100), Chromium and playwright-core, in .tools/vscode, for the editor
# tests. Everything comes as packages; native parts are compiled here, ripgrep is Debian's.
. "$(dirname "$0")/../common.sh"
begin vscode/node_modules/code-server/out/node/entry.js
[ "$(uname -s)" = Linux ] || stop "this recipe is for Debian or Ubuntu; elsewhere the VS Code test skips"
need_node
packages=(ripgrep libkrb5-dev libx11-dev libxkbfile-dev pkg-config g++ make fonts-dejavu-core)
# Ubuntu has no Chromium package (its own comes as a snap): there any Chromium or Chrome that is installed already serves.
browser() { command -v chromium || command -v google-chrome || command -v chrome; }
if ! browser; then
  apt_has chromium || stop "no Chromium or Chrome on the PATH: sudo snap install chromium"
  packages+=(chromium)
fi
apt "${packages[@]}"
browser >/dev/null || stop "no chromium on the PATH: sudo apt-get install chromium"

home=$TOOLS/vscode
mkdir -p "$home"
cd "$home"
[ -e package.json ] || echo '{"private": true}' >package.json
npm install --ignore-scripts --no-save --no-package-lock code-server@4.100.3 playwright-core@1.65.1 node-gyp@11
gyp() { (cd "$1" && node "$home/node_modules/node-gyp/bin/node-gyp.js" rebuild --nodedir="$NODE_HEADERS"); }
# Its own script would first look for a ready binary outside the registries.
npm_config_build_from_source=true npm_config_nodedir=$NODE_HEADERS npm rebuild argon2
vs=$home/node_modules/code-server/lib/vscode
cd "$vs"
npm install --omit=dev --ignore-scripts
for module in @vscode/spdlog node-pty native-watchdog kerberos @vscode/deviceid; do gyp "node_modules/$module"; done
mkdir -p node_modules/@vscode/ripgrep/bin
ln -sf "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg
ln -sfn node_modules node_modules.asar
ln -sf code-linux.sh bin/remote-cli/code-server
ln -sf browser-linux.sh bin/helpers/browser.sh
(cd extensions && npm install --omit=dev --ignore-scripts)
cd "$home"
node node_modules/code-server/out/node/entry.js --version | grep -q '^4\.100\.3' || stop "the code-server that was built does not start"
done_
