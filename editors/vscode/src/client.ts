// Finds the server and runs it: the setting, the active Python environment, then PATH.
import { existsSync } from "node:fs";
import * as path from "node:path";
import * as vscode from "vscode";
import { LanguageClient, LanguageClientOptions, RevealOutputChannelOn, ServerOptions } from "vscode-languageclient/node";
import { ServerStatus, StatusItem } from "./status";

export class Nayru {
  private client: LanguageClient | undefined;
  private readonly log = vscode.window.createOutputChannel("Nayru", { log: true });

  constructor(private readonly status: StatusItem) {}

  get running(): LanguageClient | undefined {
    return this.client?.isRunning() ? this.client : undefined;
  }

  async start(): Promise<void> {
    const command = serverCommand();
    const run = { command, args: ["serve"], options: { env: { ...process.env, PYTHONSAFEPATH: "1" } } };
    const server: ServerOptions = { run, debug: run };
    const options: LanguageClientOptions = {
      documentSelector: [
        { scheme: "file", language: "asm65816" },
        { scheme: "untitled", language: "asm65816" },
        { scheme: "vscode-remote", language: "asm65816" },
      ],
      initializationOptions: settings(),
      synchronize: { configurationSection: "nayru" },
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
    };
    const client = new LanguageClient("nayru", "Nayru", server, options);
    this.client = client;
    client.onNotification("nayru/status", (status: ServerStatus) => this.status.show(status));
    try {
      await client.start();
    } catch (error) {
      this.status.show({ state: "stopped", reason: `the server did not start: ${String(error)}` });
      const help = await vscode.window.showErrorMessage(
        `Nayru: "${command}" did not start. Install it with "pipx install nayru", or set nayru.server.path.`,
        "Open Settings",
      );
      if (help) {
        await vscode.commands.executeCommand("workbench.action.openSettings", "nayru.server.path");
      }
    }
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    if (client) {
      await client.dispose(3000).catch(() => undefined);
    }
  }

  async restart(): Promise<void> {
    await this.stop();
    this.status.show({ state: "starting", reason: "restarting the server" });
    await this.start();
  }

  showLog(): void {
    this.log.show();
  }
}

/** The user's settings as the server's configuration; `server` is the client's own. */
function settings(): Record<string, unknown> {
  const { server: _, ...rest } = JSON.parse(JSON.stringify(vscode.workspace.getConfiguration("nayru"))) as Record<string, unknown>;
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && typeof value !== "function"));
}

function serverCommand(): string {
  const chosen = vscode.workspace.getConfiguration("nayru").inspect<string>("server.path")?.globalValue;
  if (chosen) {
    return chosen;
  }
  const environment = process.env.VIRTUAL_ENV ?? process.env.CONDA_PREFIX;
  if (environment) {
    const place = path.join(environment, process.platform === "win32" ? "Scripts/nayru.exe" : "bin/nayru");
    if (existsSync(place)) {
      return place;
    }
  }
  return "nayru";
}
