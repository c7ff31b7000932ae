// One item in the status bar: what the server does, or why it is silent.
import * as vscode from "vscode";

export interface ServerStatus {
  state: string;
  model?: string;
  reason?: string;
  latencyMs?: number;
}

const ICONS: Record<string, string> = {
  ready: "$(sparkle)",
  busy: "$(sync~spin)",
  starting: "$(sync~spin)",
  silent: "$(circle-outline)",
  off: "$(circle-slash)",
  error: "$(warning)",
  stopped: "$(error)",
};

export class StatusItem implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem("nayru.status", vscode.StatusBarAlignment.Right, 50);
  private last: ServerStatus = { state: "starting", reason: "the server is starting" };

  constructor() {
    this.item.name = "Nayru";
    this.item.command = "nayru.showStatus";
    this.show(this.last);
    this.item.show();
  }

  show(status: ServerStatus): void {
    this.last = status;
    // Who answers, or that nobody does; the reason is in the tooltip and behind a click.
    const beside = status.state === "ready" ? (status.model ?? "").split(" (")[0].slice(0, 30) : status.state;
    this.item.text = `${ICONS[status.state] ?? "$(circle-outline)"} Nayru${beside ? `: ${beside}` : ""}`;
    this.item.tooltip = this.text();
    this.item.accessibilityInformation = { label: this.text() };
  }

  /** "ready: local, 12 ms" or "silent: the cursor is in a comment". */
  text(): string {
    const { state, model, reason, latencyMs } = this.last;
    const facts = [model, latencyMs ? `${latencyMs} ms` : "", reason].filter(Boolean).join(", ");
    return `Nayru ${state}${facts ? `: ${facts}` : ""}`;
  }

  dispose(): void {
    this.item.dispose();
  }
}
