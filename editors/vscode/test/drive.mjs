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

const picture = (name) => page.screenshot({ path: `${job.pictures}/${name}.png` });
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

async function open(name) {
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+p");
  await page.locator(".quick-input-widget input").fill(name);
  await page.locator(`.quick-input-list .monaco-list-row[aria-label*="${name}"]`).first().waitFor();
  await page.keyboard.press("Enter");
  await until(`open ${name}`, async () => (await page.locator(".tab.active").textContent())?.includes(name));
}

async function go(line, column) {
  await page.keyboard.press("Control+g");
  await page.locator(".quick-input-widget input").fill(`:${line}:${column}`);
  await page.keyboard.press("Enter");
  await page.waitForTimeout(300);
}

async function command(title) {
  await page.keyboard.press("F1");
  await page.locator(".quick-input-widget input").fill(`>${title}`);
  await page.locator(".quick-input-list .monaco-list-row").first().waitFor();
  await page.waitForTimeout(200);
  await page.keyboard.press("Enter");
}

const status = async () =>
  plain(await page.locator('.statusbar-item[id*="nayru.status"]').first().getAttribute("aria-label").catch(() => ""));

try {
  await page.goto(job.url);
  await page.locator(".monaco-workbench").waitFor();
  await page.locator(".monaco-editor .view-line").first().waitFor();
  await until("squiggle", () => page.locator(".squiggly-warning, .squiggly-error").count());
  await page.keyboard.press("Control+Shift+m");
  await until("problem", async () => {
    const rows = await page.locator(".markers-panel .monaco-list-row").allTextContents();
    return rows.map(plain).find((row) => row.includes("8-bit here"));
  });
  await picture("vscode-diagnostic");
  await page.keyboard.press("Control+Shift+m");

  const register = page.locator(".view-line span span", { hasText: "$2100" }).first();
  await register.hover();
  await until("hover", async () => {
    const text = plain(await page.locator(".monaco-hover:visible").first().textContent());
    return text.includes("INIDISP") && text;
  });
  await picture("vscode-hover");

  await page.locator(".monaco-editor .view-line").nth(2).click();
  await go(job.call.line, 1);
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await page.keyboard.type("JSR WaitF", { delay: 30 });
  await until("completion", async () => {
    const shown = await page.locator(".suggest-widget.visible .monaco-list-row .label-name").allTextContents();
    return shown.map(plain).find((label) => label === "WaitFrame");
  });
  await picture("vscode-completion");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+z");
  await page.keyboard.press("Control+z");

  await open("dma.asm");
  await go(job.ghost.line, job.ghost.column);
  await until("ghost", async () => {
    await page.keyboard.press("Alt+Backslash");
    await page.waitForTimeout(700);
    return (await page.locator('[class*="ghost-text"]').allTextContents()).map(plain).find((text) => text.trim());
  });
  seen.statusWithGhost = await status();
  await picture("vscode-ghost");
  await page.keyboard.press("Tab");
  await until("afterTab", async () => (await lines()).find((line) => line.trim() === "BRA DmaGo"), 10_000);
  await page.keyboard.press("Control+s");

  await open("text.asm");
  await go(job.comment.line, 1);
  await command("Nayru: Generate Routine from Comment");
  await until("routine", async () => (await lines()).some((line) => line.includes("Multiply16:")));
  await until("consent", async () => {
    const texts = await page.locator(".notification-list-item-message").allTextContents();
    return texts.map(plain).find((text) => text.includes("training samples"));
  });
  await picture("vscode-routine");
  await page.locator(".notification-list-item .monaco-button", { hasText: "Yes" }).first().click();
  await page.keyboard.press("Control+s");
  await until("status", async () => (await status()) || undefined);
  await page.waitForTimeout(500);
  await picture("vscode-status");
} catch (error) {
  seen.failure = String(error);
  await picture("vscode-failure").catch(() => undefined);
} finally {
  await browser.close();
  writeFileSync(job.seen, JSON.stringify(seen));
}
