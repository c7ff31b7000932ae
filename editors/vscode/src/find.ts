// Where the server's program is: the setting, the active Python environment, then PATH. Free of `vscode`, for its test.
//
// The answer is always an absolute path. A bare name would be searched for in the working directory first on Windows,
// and what a workspace brings must not run only because the folder was opened.
import * as path from "node:path";

export interface Surroundings {
  setting: string; // nayru.server.path, machine scope
  environments: (string | undefined)[]; // folders of active Python environments, the most specific first
  searchPath: string; // PATH
  windows: boolean;
  folders: string[]; // of the workspace
  trusted: boolean; // whether the user trusts the workspace
  home: string;
  isFile: (name: string) => boolean;
}

export interface Found {
  command?: string;
  problem?: string; // one sentence, when there is no command
}

export function findServer(around: Surroundings): Found {
  const paths = around.windows ? path.win32 : path.posix;
  const name = around.windows ? "nayru.exe" : "nayru";
  if (around.setting) {
    const chosen = around.setting.replace(/^~(?=[\\/])/, around.home);
    if (!paths.isAbsolute(chosen)) {
      return { problem: `nayru.server.path must be an absolute path, and is "${chosen}"` };
    }
    return around.isFile(chosen) ? { command: chosen } : { problem: `nayru.server.path names no file: ${chosen}` };
  }
  const inWorkspace = (place: string) =>
    around.folders.some((folder) => !paths.relative(folder, place).startsWith("..") && !paths.isAbsolute(paths.relative(folder, place)));
  let passedOver = "";
  for (const environment of around.environments) {
    const place = environment && paths.join(environment, around.windows ? "Scripts" : "bin", name);
    if (!place || !around.isFile(place)) {
      continue;
    }
    if (!inWorkspace(place) || around.trusted) {
      return { command: place };
    }
    passedOver = place;
  }
  for (const folder of around.searchPath.split(paths.delimiter)) {
    const place = folder && paths.isAbsolute(folder) ? paths.join(folder, name) : "";
    if (place && around.isFile(place) && (!inWorkspace(place) || around.trusted)) {
      return { command: place };
    }
  }
  return {
    problem: passedOver
      ? `the only nayru found lies inside this workspace, which is not trusted: ${passedOver}`
      : "nayru was found neither in the active Python environment nor on PATH; install it, or set nayru.server.path",
  };
}
