// The VS Code client of Nayru: it starts the server and shows what it says. All knowledge of assembly is the server's.
import * as vscode from "vscode";
import { Nayru } from "./client";
import { registerCommands } from "./commands";
import { StatusItem } from "./status";

let nayru: Nayru | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const status = new StatusItem();
  const made = (nayru = new Nayru(context.extension, status));
  context.subscriptions.push(
    status,
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("nayru.server.path")) {
        void made.restart();
      }
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => {
      if (!made.running) {
        void made.restart();
      }
    }),
  );
  registerCommands(context, made, status);
  void made.start(); // not awaited: it may show a message that waits for an answer
}

/** VS Code waits for this: the server stores what was accepted before it ends. */
export async function deactivate(): Promise<void> {
  await nayru?.stop();
}
