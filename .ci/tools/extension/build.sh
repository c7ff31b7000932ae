#!/usr/bin/env bash
# What the VS Code extension is built with (TypeScript, esbuild, vsce), in editors/vscode/node_modules.
. "$(dirname "$0")/../common.sh"
INPUTS=(editors/vscode/package.json editors/vscode/package-lock.json)
begin ../editors/vscode/node_modules/.bin/{tsc,esbuild,vsce}
need_node
cd "$ROOT/editors/vscode"
npm ci --ignore-scripts
npx --no-install tsc --noEmit
done_
