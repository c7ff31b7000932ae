// Runs the server's program and speaks with it.
import { statSync } from "node:fs";
import { homedir } from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";
import { LanguageClient, LanguageClientOptions, RevealOutputChannelOn, ServerOptions, State } from "vscode-languageclient/node";
import { findServer, Found } from "./find";
import { settingsFor } from "./settings";
import { ServerStatus, StatusItem } from "./status";

interface PythonExtension {
  environments?: { getActiveEnvironmentPath(scope?: vscode.Uri): { path: string } };
}

export class Nayru {
  private client: LanguageClient | undefined;
  private readonly log = vscode.window.createOutputChannel("Nayru", { log: true });

  constructor(
    private readonly extension: vscode.Extension<unknown>,
    private readonly status: StatusItem,
  ) {}

  get running(): LanguageClient | undefined {
    return this.client?.isRunning() ? this.client : undefined;
  }

  async start(): Promise<void> {
    const { command, problem } = await this.find();
    if (!command) {
      this.status.show({ state: "stopped", reason: problem });
      await this.offerSettings(`Nayru: ${problem}.`);
      return;
    }
    this.log.info(`starting ${command} serve`);
    // Not in the workspace's folder: Python must not find modules there.
    const run = { command, args: ["serve"], options: { cwd: homedir(), env: { ...process.env, PYTHONSAFEPATH: "1" } } };
    const server: ServerOptions = { run, debug: run };
    const client = new LanguageClient("nayru", "Nayru", server, this.options());
    this.client = client;
    client.onNotification("nayru/status", (status: ServerStatus) => this.status.show(status));
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Stopped && this.client === client) {
        this.status.show({ state: "stopped", reason: "the server ended; see the log" });
      }
    });
    try {
      await client.start();
    } catch (error) {
      this.status.show({ state: "stopped", reason: `the server did not start: ${String(error)}` });
      await this.offerSettings(`Nayru: ${command} did not start; the log says why.`);
    }
  }

  private options(): LanguageClientOptions {
    return {
      documentSelector: ["file", "untitled", "vscode-remote"].map((scheme) => ({ scheme, language: "asm65816" })),
      initializationOptions: settingsFor(this.extension),
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      middleware: {
        workspace: {
          configuration: ({ items }) =>
            items.map(({ section, scopeUri }) =>
              section === "nayru" ? settingsFor(this.extension, scopeUri ? vscode.Uri.parse(scopeUri) : undefined) : null,
            ),
          // Only that something changed: the server then asks, and is answered by the function above.
          didChangeConfiguration: async () => {
            await this.running?.sendNotification("workspace/didChangeConfiguration", { settings: null });
          },
        },
      },
    };
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    await client?.dispose(3000).catch(() => undefined);
  }

  async restart(): Promise<void> {
    await this.stop();
    this.status.show({ state: "starting", reason: "restarting the server" });
    await this.start();
  }

  showLog(): void {
    this.log.show();
  }

  private async find(): Promise<Found> {
    return findServer({
      setting: vscode.workspace.getConfiguration("nayru").inspect<string>("server.path")?.globalValue ?? "",
      environments: [...(await this.chosenEnvironment()), process.env.VIRTUAL_ENV, process.env.CONDA_PREFIX],
      searchPath: process.env.PATH ?? "",
      windows: process.platform === "win32",
      folders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
      trusted: vscode.workspace.isTrusted,
      home: homedir(),
      isFile: (name) => statSync(name, { throwIfNoEntry: false })?.isFile() ?? false,
    });
  }

  /** The folder of the environment chosen in the Python extension, where that is installed. */
  private async chosenEnvironment(): Promise<string[]> {
    const python = vscode.extensions.getExtension<PythonExtension>("ms-python.python");
    if (!python) {
      return [];
    }
    try {
      const api = await python.activate();
      const chosen = api.environments?.getActiveEnvironmentPath(vscode.workspace.workspaceFolders?.[0]?.uri).path;
      // The interpreter lies in <environment>/bin or <environment>\Scripts, but a conda one on Windows in <environment>.
      return chosen && path.isAbsolute(chosen) ? [path.dirname(path.dirname(chosen)), path.dirname(chosen)] : [];
    } catch (error) {
      this.log.warn(`the Python extension names no environment: ${String(error)}`);
      return [];
    }
  }

  private async offerSettings(message: string): Promise<void> {
    const chosen = await vscode.window.showErrorMessage(message, "Settings", "Log");
    if (chosen === "Settings") {
      await vscode.commands.executeCommand("workbench.action.openSettings", "nayru.server.path");
    } else if (chosen === "Log") {
      this.showLog();
    }
  }
}
