-- :checkhealth nayru
local M = {}

function M.check()
  local health = vim.health
  health.start("nayru")
  if vim.fn.has("nvim-0.11") == 1 then
    health.ok("Neovim " .. tostring(vim.version()))
  else
    health.error("Neovim 0.11 or newer is needed; this is " .. tostring(vim.version()))
  end
  local command = require("nayru").server_command()
  if vim.fn.executable(command[1]) == 0 then
    health.error(command[1] .. " was not found", { "pipx install nayru", 'or name it: require("nayru").setup({ cmd = { "/path/to/nayru", "serve" } })' })
    return
  end
  health.ok("server: " .. table.concat(command, " "))
  local done = vim.system({ command[1], "doctor" }, { text = true, timeout = 20000 }):wait()
  for line in vim.gsplit(vim.trim(done.stdout or ""), "\n") do
    health.info(line)
  end
  if done.code ~= 0 then
    health.warn("`" .. command[1] .. " doctor` ended with code " .. done.code)
  end
  health.info(require("nayru").status_text())
end

return M
