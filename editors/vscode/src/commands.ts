// The palette's commands: each is one call to the server.
import * as vscode from "vscode";
import { Nayru } from "./client";
import { StatusItem } from "./status";

interface Generated {
  applied?: boolean;
  reason?: string;
}

interface SampleRow {
  id: string;
  kind: string;
  state: string;
  path: string;
  maker: string;
  text: string;
}

const SAMPLE = "nayru-sample";

export function registerCommands(context: vscode.ExtensionContext, nayru: Nayru, status: StatusItem): void {
  const command = (name: string, run: () => Promise<unknown>) =>
    context.subscriptions.push(vscode.commands.registerCommand(name, run));

  const ask = async <T>(name: string, ...args: unknown[]): Promise<T | undefined> => {
    const client = nayru.running;
    if (!client) {
      void vscode.window.showWarningMessage("Nayru does not run: open an .asm file, or see Nayru: Show Status.");
      return undefined;
    }
    return (await client.sendRequest("workspace/executeCommand", { command: name, arguments: args })) as T;
  };

  // A sample is shown as a document that cannot be edited.
  context.subscriptions.push(
    vscode.workspace.registerTextDocumentContentProvider(SAMPLE, {
      provideTextDocumentContent: async ({ path }) =>
        JSON.stringify((await ask("nayru.samples.show", path.replace(/\.json$/, ""))) ?? null, null, 2),
    }),
  );

  command("nayru.generateHere", async () => {
    const editor = vscode.window.activeTextEditor;
    if (!editor) {
      return;
    }
    const { start, end } = editor.selection;
    const answer = await ask<Generated>("nayru.generate", {
      uri: editor.document.uri.toString(),
      range: { start: { line: start.line, character: start.character }, end: { line: end.line, character: end.character } },
    });
    if (answer && !answer.applied) {
      void vscode.window.showInformationMessage(`Nayru: no routine: ${answer.reason ?? "nobody answered"}`);
    } else if (answer?.reason) {
      // Who wrote it and who judged it, bytes, cycles. With a button VS Code shows the whole sentence.
      if (await vscode.window.showInformationMessage(`Nayru: ${answer.reason}`, "Undo")) {
        await vscode.window.showTextDocument(editor.document);
        await vscode.commands.executeCommand("undo");
      }
    }
  });

  command("nayru.restartServer", () => nayru.restart());

  command("nayru.showStatus", async () => {
    const chosen = await vscode.window.showInformationMessage(status.text(), "Restart", "Log");
    if (chosen === "Restart") {
      await nayru.restart();
    } else if (chosen === "Log") {
      nayru.showLog();
    }
  });

  const pick = async (title: string): Promise<SampleRow | undefined> => {
    const rows = (await ask<SampleRow[]>("nayru.samples.list")) ?? [];
    if (!rows.length) {
      void vscode.window.showInformationMessage("Nayru: no samples are stored.");
      return undefined;
    }
    const items = rows.map((row) => ({
      label: row.text.trim().split("\n")[0] || "(empty)",
      description: `${row.state} · ${row.kind} · ${row.maker}`,
      detail: row.path,
      row,
    }));
    return (await vscode.window.showQuickPick(items, { title, matchOnDescription: true, matchOnDetail: true }))?.row;
  };

  command("nayru.showSamples", async () => {
    const row = await pick("Stored samples");
    if (row) {
      await vscode.window.showTextDocument(vscode.Uri.from({ scheme: SAMPLE, path: `${row.id}.json` }));
    }
  });

  command("nayru.deleteSample", async () => {
    const row = await pick("Delete which sample, for good?");
    if (row) {
      await ask("nayru.samples.delete", row.id);
      void vscode.window.showInformationMessage("Nayru: the sample is deleted.");
    }
  });
}
