// Drives VS Code in a browser as a user would; what was seen at each step goes to stdout as JSON, pictures to a folder.
import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";

const job = JSON.parse(process.env.NAYRU_DRIVE);
const require = createRequire(job.playwright + "/");
const { chromium } = require("playwright-core");
const seen = {};
const patience = job.patience ?? 60_000;

const browser = await chromium.launch({
  executablePath: job.browser,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
page.setDefaultTimeout(patience);

const picture = (name) => page.screenshot({ path: `${job.pictures}/${name}.png`, animations: "disabled" });
const plain = (text) => (text ?? "").replaceAll("\u00a0", " ");
const lines = async () => (await page.locator(".monaco-editor .view-line").allTextContents()).map(plain);

async function until(name, look, limit = patience) {
  const end = Date.now() + limit;
  for (;;) {
    const value = await look().catch(() => undefined);
    if (value) {
      return (seen[name] = value);
    }
    if (Date.now() > end) {
      await picture(`missing-${name}`);
      throw new Error(`not seen: ${name}`);
    }
    await page.waitForTimeout(150);
  }
}

// Picks a row of the quick input; opens it again when the editor, still busy, loses the keys.
async function choose(key, typed, row) {
  await until(`choice ${typed}`, async () => {
    await page.keyboard.press("Escape");
    await page.keyboard.press(key);
    const input = page.locator(".quick-input-widget:visible input").first();
    await input.fill(typed, { timeout: 5000 });
    const wanted = page.locator(".quick-input-widget:visible .monaco-list-row", { hasText: row }).first();
    await wanted.waitFor({ timeout: 5000 });
    await wanted.click({ timeout: 5000 });
    return true;
  });
}

async function open(name) {
  await choose("Control+p", name, name);
  await until(`open ${name}`, async () => (await page.locator(".tab.active").textContent())?.includes(name));
  await page.locator(".monaco-editor .view-line").first().waitFor();
}

const command = (title) => choose("F1", `>${title}`, title);

async function go(line, column) {
  await until(`place ${line}:${column}`, async () => {
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+g");
    await page.locator(".quick-input-widget:visible input").first().fill(`:${line}:${column}`, { timeout: 5000 });
    await page.keyboard.press("Enter");
    await page.waitForTimeout(100);
    return plain(await page.locator(".statusbar").textContent()).includes(`Ln ${line}, Col ${column}`);
  });
}

const status = async () =>
  plain(await page.locator('.statusbar-item[id*="nayru.status"]').first().getAttribute("aria-label").catch(() => ""));
const messages = async () => (await page.locator(".notification-list-item-message").allTextContents()).map(plain);
const answer = (button) => page.locator(".notification-list-item .monaco-button:visible", { hasText: button }).first().click();
// Ghost text is drawn as one span per token.
const ghost = async () => (await page.locator('.view-line [class*="ghost-text"]').allTextContents()).map(plain).join("");

try {
  await page.goto(job.url);
  await page.locator(".monaco-workbench").waitFor();
  await page.locator(".monaco-editor .view-line").first().waitFor();

  // Diagnostics: the squiggle, and its text in the list of problems.
  await until("squiggle", () => page.locator(".squiggly-warning, .squiggly-error").count());
  await page.keyboard.press("Control+Shift+m");
  await until("problem", async () => {
    const rows = await page.locator(".markers-panel .monaco-list-row").allTextContents();
    return rows.map(plain).find((row) => row.includes("8-bit here"));
  });
  await picture("vscode-diagnostic");
  await page.keyboard.press("Control+Shift+m");
  await page.locator(".monaco-editor .view-line").nth(2).click();

  await go(job.hover.line, job.hover.column);
  await until("hover", async () => {
    await page.keyboard.press("Control+k");
    await page.keyboard.press("Control+i");
    await page.locator(".monaco-hover:visible .hover-contents").first().waitFor({ timeout: 3000 });
    const text = plain(await page.locator(".monaco-hover:visible").first().textContent());
    const opaque = (await page.locator(".monaco-hover:visible").first().evaluate((box) => getComputedStyle(box).opacity)) === "1";
    return opaque && text.includes("INIDISP") && text;
  });
  await picture("vscode-hover");
  await page.keyboard.press("Escape");

  await go(job.call.line, 1);
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await page.keyboard.type("JSR WaitF", { delay: 30 });
  await until("completion", async () => {
    const shown = await page.locator(".suggest-widget.visible .monaco-list-row .label-name").allTextContents();
    return shown.map(plain).find((label) => label === "WaitFrame");
  });
  await picture("vscode-completion");
  await page.keyboard.press("Tab");
  await until("completed", async () => (await lines()).filter((line) => line.trim() === "JSR WaitFrame").length >= 2);
  await command("File: Revert File");

  // Ghost text: by itself after Enter, or by Alt+\ where the editor was too busy to ask.
  await open(job.ghost.file);
  await go(job.ghost.line, 1);
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  seen.ghostBySelf = false;
  for (let end = Date.now() + 4000; Date.now() < end && !seen.ghostBySelf; await page.waitForTimeout(100)) {
    seen.ghostBySelf = Boolean(await ghost());
  }
  await until("ghost", async () => {
    if (!(await ghost())) {
      await page.keyboard.press("Alt+Backslash");
      await page.waitForTimeout(700);
    }
    return ghost();
  });
  seen.statusWithGhost = await status();
  await picture("vscode-ghost");
  const taken = seen.ghost.trim().split("\n")[0];
  await page.keyboard.press("Tab");
  await until("afterTab", async () => !(await ghost()) && (await lines()).find((line) => line.trim() === taken), 10_000);

  // The first thing taken raises the question for consent.
  await until("consent", async () => (await messages()).find((text) => text.includes("training samples")));
  await picture("vscode-consent");
  await answer("Yes");
  await page.keyboard.press("Control+s");

  // Silence says why.
  await go(1, 5);
  await until("silence", async () => {
    await page.keyboard.press("Alt+Backslash");
    await page.waitForTimeout(300);
    const text = await status();
    return text.includes("silent") && text;
  });

  await open(job.comment.file);
  await go(job.comment.line, 1);
  await command("Nayru: Generate Routine from Comment");
  await until("routine", async () => (await lines()).some((line) => line.includes(job.comment.label)));
  await until("routineMessage", async () => (await messages()).find((text) => text.includes(" bytes")));
  await picture("vscode-routine");
  await page.keyboard.press("Control+s");
  await until("saved", async () => (await page.locator(".tab.active.dirty").count()) === 0);

  await until("sampleRow", async () => {
    await command("Nayru: Show Stored Samples");
    const row = page.locator(".quick-input-widget:visible .monaco-list-row", { hasText: taken }).first();
    await row.waitFor({ timeout: 3000 });
    const text = plain(await row.textContent());
    await picture("vscode-samples");
    await row.click();
    return text;
  });
  await until("sample", async () => (await lines()).find((line) => line.includes('"offered"')));
  await command("View: Close Editor");

  const before = await status();
  await command("Nayru: Restart Server");
  await until("restarted", async () => {
    const text = await status();
    return text !== before && text.startsWith("Nayru ready") && text;
  });
  await command("Nayru: Show Status");
  await until("statusMessage", async () => (await messages()).find((text) => text.includes("Nayru ready")));
  await picture("vscode-status");
} catch (error) {
  seen.failure = String(error);
  await picture("vscode-failure").catch(() => undefined);
} finally {
  await browser.close();
  writeFileSync(job.seen, JSON.stringify(seen));
}
