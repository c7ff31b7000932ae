// What the server is told of the settings: of the user's own, only what the user set; of the workspace's, only
// `nayru.project`. Merged values are never sent: a workspace could hide keys among them that this extension does not list.
import * as vscode from "vscode";

const OWN = "nayru.server."; // the extension's own section

export function settingsFor(extension: vscode.Extension<unknown>, scope?: vscode.Uri): Record<string, unknown> {
  const declared = Object.keys(
    (extension.packageJSON as { contributes: { configuration: { properties: object } } }).contributes.configuration.properties,
  );
  const all = vscode.workspace.getConfiguration(undefined, scope);
  const answer: Record<string, unknown> = {};
  for (const name of declared.filter((name) => !name.startsWith(OWN))) {
    const value = name === "nayru.project" ? all.get(name) : all.inspect(name)?.globalValue;
    if (value === undefined || value === null || (name === "nayru.project" && !Object.keys(value as object).length)) {
      continue;
    }
    const parts = name.split(".").slice(1);
    const last = parts.pop() as string;
    let place = answer;
    for (const part of parts) {
      place = (place[part] ??= {}) as Record<string, unknown>;
    }
    place[last] = value;
  }
  return answer;
}
