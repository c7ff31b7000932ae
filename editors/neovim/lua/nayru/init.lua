-- The Neovim client of Nayru: starts the server, shows its status, binds its commands. Ghost text is in ghost.lua.
local M = {}

local defaults = {
  cmd = nil, -- { "nayru", "serve" }; nil: the active virtual environment's nayru, else the one on PATH
  settings = {}, -- the user's settings, sent as `initializationOptions`
  ghost = true,
  builtin_inline_completion = false, -- Neovim 0.12's own ghost text (untried)
  keys = {
    accept = "<Tab>",
    accept_word = "<M-Right>",
    accept_line = "<M-Down>",
    dismiss = "<C-]>",
    generate = "<leader>ng",
  },
}

M.options = vim.deepcopy(defaults)
M.status = { state = "stopped", model = "", reason = "the server has not started", latencyMs = 0 }

--- The command that starts the server: the option, the active environment, then PATH.
function M.server_command()
  if M.options.cmd then
    return M.options.cmd
  end
  local environment = vim.env.VIRTUAL_ENV or vim.env.CONDA_PREFIX
  if environment then
    for _, place in ipairs({ "/bin/nayru", "/Scripts/nayru.exe" }) do
      if vim.fn.executable(environment .. place) == 1 then
        return { environment .. place, "serve" }
      end
    end
  end
  return { "nayru", "serve" }
end

function M.client()
  return vim.lsp.get_clients({ name = "nayru" })[1]
end

local function on_status(_, status)
  M.status = status
  vim.api.nvim_exec_autocmds("User", { pattern = "NayruStatus", data = status, modeline = false })
  vim.cmd.redrawstatus()
end

--- One line for a status line or `:NayruStatus`.
function M.status_text()
  local status = M.status
  local parts = { "nayru: " .. (status.state or "?") }
  if status.model and status.model ~= "" then
    table.insert(parts, status.model)
  end
  if status.latencyMs and status.latencyMs > 0 then
    table.insert(parts, ("%d ms"):format(status.latencyMs))
  end
  local text = table.concat(parts, " · ")
  if status.reason and status.reason ~= vim.NIL and status.reason ~= "" then
    text = text .. " (" .. status.reason .. ")"
  end
  return text
end

--- The project's folder: where nayru.toml stands, else the repository, else the file's own folder (but never a home or
--- a whole disk: those are no projects, and all their files would be read).
function M.root_dir(buffer, found)
  local name = vim.api.nvim_buf_get_name(buffer)
  local root = vim.fs.root(buffer, { "nayru.toml" }) or vim.fs.root(buffer, { ".git" })
  if not root and name ~= "" then
    local folder = vim.fs.dirname(vim.fs.normalize(name))
    if folder ~= vim.fs.normalize(vim.uv.os_homedir() or "/") and folder ~= vim.fs.dirname(folder) then
      root = folder
    end
  end
  found(root)
end

local function configuration()
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  -- Neovim 0.11 has no inline completion of its own; ghost.lua speaks it.
  capabilities.textDocument.inlineCompletion = { dynamicRegistration = false }
  return {
    cmd = M.server_command(),
    filetypes = { "asm65816" },
    root_dir = M.root_dir,
    capabilities = capabilities,
    init_options = M.options.settings,
    handlers = { ["nayru/status"] = on_status },
    on_attach = function(client, buffer)
      M.attach(client, buffer)
    end,
    on_exit = function(code)
      M.status = { state = "stopped", model = "", reason = "the server ended with code " .. code, latencyMs = 0 }
    end,
  }
end

function M.attach(client, buffer)
  if M.options.builtin_inline_completion and vim.lsp.inline_completion then
    vim.lsp.inline_completion.enable(true, { bufnr = buffer })
    if M.options.keys.accept then
      vim.keymap.set("i", M.options.keys.accept, function()
        return vim.lsp.inline_completion.get() and "" or M.options.keys.accept
      end, { buffer = buffer, expr = true, desc = "Accept the suggestion" })
    end
  elseif M.options.ghost then
    require("nayru.ghost").attach(client, buffer, M.options.keys)
  end
  if M.options.keys.generate then
    vim.keymap.set("n", M.options.keys.generate, "<Cmd>NayruGenerate<CR>",
      { buffer = buffer, desc = "Generate a routine from the comment here" })
  end
end

--- Called by plugin/nayru.lua once all scripts are read, so that `setup` may come before or after it.
function M.autostart()
  if vim.fn.has("nvim-0.11") == 0 then
    vim.notify("Nayru needs Neovim 0.11 or newer; this is " .. tostring(vim.version()), vim.log.levels.WARN)
    return
  end
  local function start()
    vim.lsp.config("nayru", configuration())
    vim.lsp.enable("nayru")
  end
  if vim.v.vim_did_enter == 1 then
    start()
  else
    vim.api.nvim_create_autocmd("VimEnter", { once = true, callback = start })
  end
end

--- Options: see `defaults` above. Optional; call it anywhere in the configuration.
function M.setup(options)
  M.options = vim.tbl_deep_extend("force", vim.deepcopy(defaults), options or {})
  if vim.v.vim_did_enter == 1 and vim.g.loaded_nayru then
    vim.lsp.config("nayru", configuration())
  end
end

local function execute(name, arguments, done)
  local client = M.client()
  if not client then
    vim.notify("Nayru does not run here: open an Asar source file first (:checkhealth nayru)", vim.log.levels.WARN)
    return
  end
  client:request("workspace/executeCommand", { command = name, arguments = arguments }, function(failure, result)
    if failure then
      vim.notify(name .. ": " .. failure.message, vim.log.levels.ERROR)
    elseif done then
      done(result)
    end
  end)
end

--- Ask for a routine from the comment in these lines (1-based, inclusive); the server applies the edit.
function M.generate(first, last)
  local buffer = vim.api.nvim_get_current_buf()
  local line = vim.api.nvim_buf_get_lines(buffer, last - 1, last, false)[1] or ""
  local client = M.client()
  if client then -- a file opened this very moment is told to the server a little later
    vim.wait(1000, function() return client.attached_buffers[buffer] end, 10)
  end
  execute("nayru.generate", {
    {
      uri = vim.uri_from_bufnr(buffer),
      range = { start = { line = first - 1, character = 0 }, ["end"] = { line = last - 1, character = #line } },
    },
  }, function(result)
    if type(result) ~= "table" then
      return
    end
    M.generated = result
    local reason = type(result.reason) == "string" and result.reason or ""
    vim.notify("nayru: " .. (result.applied and "routine " or "no routine: ") .. reason)
  end)
end

function M.restart()
  local clients = vim.lsp.get_clients({ name = "nayru" })
  for _, client in ipairs(clients) do
    client:stop()
  end
  vim.wait(3000, function()
    return #vim.lsp.get_clients({ name = "nayru" }) == 0
  end, 20)
  vim.lsp.enable("nayru", false)
  vim.lsp.enable("nayru")
end

local function show(result)
  local text = type(result) == "string" and result or vim.inspect(result)
  vim.cmd.new()
  vim.bo.buftype, vim.bo.bufhidden, vim.bo.swapfile = "nofile", "wipe", false
  vim.api.nvim_buf_set_lines(0, 0, -1, false, vim.split(text, "\n"))
end

function M.samples(words)
  local verb, id = words[1] or "list", words[2]
  if verb ~= "list" and not id then
    vim.notify(":NayruSamples " .. verb .. " needs the sample's id", vim.log.levels.WARN)
    return
  end
  execute("nayru.samples." .. verb, id and { id } or {}, show)
end

return M
