// The VS Code client of Nayru: it starts the server and shows what it says. All knowledge of assembly is the server's.
import * as vscode from "vscode";
import { registerCommands } from "./commands";
import { Nayru } from "./client";
import { StatusItem } from "./status";

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const status = new StatusItem();
  const nayru = new Nayru(status);
  context.subscriptions.push(status, { dispose: () => void nayru.stop() });
  registerCommands(context, nayru, status);
  context.subscriptions.push(
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("nayru.server.path")) {
        void nayru.restart();
      }
    }),
  );
  await nayru.start();
}

export function deactivate(): void {
  // The client is disposed of with the context.
}
