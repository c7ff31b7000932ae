#!/usr/bin/env bash
# What the VS Code extension is built with (TypeScript, esbuild, vsce), in editors/vscode/node_modules.
. "$(dirname "$0")/../common.sh"
begin ../editors/vscode/node_modules/.bin/tsc ../editors/vscode/node_modules/.bin/esbuild ../editors/vscode/node_modules/.bin/vsce
command -v npm >/dev/null || apt nodejs npm
cd "$ROOT/editors/vscode"
export npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
npm install --no-package-lock
npx --no-install tsc --noEmit
done_
