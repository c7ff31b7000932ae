// node --test: where the server's program is found, and that a workspace cannot slip one in.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";

const { findServer } = createRequire(import.meta.url)(process.env.NAYRU_FIND);

const files = (...names) => ({ isFile: (name) => names.includes(name) });
const around = {
  setting: "", environments: [], searchPath: "/usr/local/bin:/usr/bin", windows: false, folders: ["/home/me/game"],
  trusted: false, home: "/home/me", isFile: () => false,
};

test("the setting comes first, and must be absolute", () => {
  const both = files("/opt/n/nayru", "/usr/bin/nayru");
  assert.equal(findServer({ ...around, ...both, setting: "/opt/n/nayru" }).command, "/opt/n/nayru");
  assert.match(findServer({ ...around, ...both, setting: "bin/nayru" }).problem, /absolute/);
  assert.match(findServer({ ...around, ...both, setting: "/nowhere" }).problem, /names no file/);
  assert.equal(findServer({ ...around, ...files("/home/me/x/nayru"), setting: "~/x/nayru" }).command, "/home/me/x/nayru");
});

test("the active environment comes before PATH", () => {
  const both = files("/env/bin/nayru", "/usr/bin/nayru");
  assert.equal(findServer({ ...around, ...both, environments: [undefined, "/env"] }).command, "/env/bin/nayru");
  assert.equal(findServer({ ...around, ...both, environments: ["/other"] }).command, "/usr/bin/nayru");
});

test("an untrusted workspace does not bring the program", () => {
  const inside = { ...around, ...files("/home/me/game/.venv/bin/nayru"), environments: ["/home/me/game/.venv"] };
  assert.match(findServer(inside).problem, /not trusted/);
  assert.equal(findServer({ ...inside, trusted: true }).command, "/home/me/game/.venv/bin/nayru");
  const onPath = { ...around, ...files("/home/me/game/nayru", "nayru", "./nayru"), searchPath: ".::/home/me/game" };
  assert.equal(findServer(onPath).command, undefined);
  assert.equal(findServer({ ...onPath, trusted: true, searchPath: ".:" }).command, undefined);
  const beside = { ...around, ...files("/home/me/game2/bin/nayru"), environments: ["/home/me/game2"] };
  assert.equal(findServer(beside).command, "/home/me/game2/bin/nayru");
});

test("on Windows", () => {
  const windows = { ...around, windows: true, searchPath: "C:\\Tools;.", folders: ["c:\\Game"], home: "C:\\Users\\me" };
  assert.equal(findServer({ ...windows, ...files("C:\\Tools\\nayru.exe") }).command, "C:\\Tools\\nayru.exe");
  assert.equal(findServer({ ...windows, ...files("C:\\game\\env\\Scripts\\nayru.exe"), environments: ["C:\\game\\env"] }).command, undefined);
  assert.equal(findServer({ ...windows, ...files("D:\\env\\Scripts\\nayru.exe"), environments: ["D:\\env"] }).command, "D:\\env\\Scripts\\nayru.exe");
});

test("nothing found is said in one sentence", () => {
  assert.match(findServer(around).problem, /neither .* nor on PATH/);
});
