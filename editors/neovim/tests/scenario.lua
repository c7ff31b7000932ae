-- What a user does, in the real editor: each step records what was seen; the last line writes it all as JSON.
local seen = {}
local patience = tonumber(vim.env.NAYRU_PATIENCE or "20000")

local function step(name, look)
  local value
  vim.wait(patience, function()
    value = look()
    return value
  end, 30)
  seen[name] = value or false
  return value
end

local function finish()
  vim.fn.writefile({ vim.json.encode(seen) }, vim.env.NAYRU_SEEN)
  vim.cmd("qall!")
end

local function keys(text, mode)
  vim.api.nvim_feedkeys(vim.api.nvim_replace_termcodes(text, true, false, true), mode or "tx", false)
end

local function line_of(text)
  for number, line in ipairs(vim.api.nvim_buf_get_lines(0, 0, -1, false)) do
    if line:find(text, 1, true) then
      return number, line
    end
  end
end

local function client()
  return vim.lsp.get_clients({ name = "nayru" })[1]
end

-- consent is asked once; the test says yes
local asked = {}
vim.lsp.handlers["window/showMessageRequest"] = function(_, params)
  table.insert(asked, params.message)
  return params.actions and params.actions[1] or vim.NIL
end

local function run()
  vim.cmd.edit(vim.fn.fnameescape(vim.env.NAYRU_WORKSPACE .. "/boot.asm"))
  seen.filetype = vim.bo.filetype
  step("attached", function() return client() and client().initialized end)

  -- closed and opened again: `:bdelete` takes a buffer's keys away
  vim.cmd.bdelete()
  vim.cmd.edit(vim.fn.fnameescape(vim.env.NAYRU_WORKSPACE .. "/boot.asm"))
  step("keys_again", function()
    return vim.iter(vim.api.nvim_buf_get_keymap(0, "i")):any(function(one) return one.lhs == "<Tab>" end)
  end)

  -- a mistake: 16 bits written where A has 8
  local row = line_of("LDA #$80")
  vim.api.nvim_buf_set_lines(0, row - 1, row, false, { "    LDA.w #$80" })
  step("diagnostic", function()
    for _, one in ipairs(vim.diagnostic.get(0)) do
      if one.code == "NAY201" then return one.message end
    end
  end)
  vim.api.nvim_buf_set_lines(0, row - 1, row, false, { "    LDA #$80" })
  step("repaired", function() return #vim.diagnostic.get(0) == 0 end)

  -- hover on the store below it
  local where = { textDocument = vim.lsp.util.make_text_document_params(0), position = { line = row, character = 9 } }
  local answer = client():request_sync("textDocument/hover", where, patience, 0)
  seen.hover = answer and answer.result and answer.result.contents and answer.result.contents.value or false

  -- definition across files
  local call = line_of("JSR LoadGraphics")
  vim.api.nvim_win_set_cursor(0, { call, 10 })
  vim.lsp.buf.definition()
  step("definition", function() return vim.api.nvim_buf_get_name(0):match("dma%.asm$") end)
  vim.cmd.buffer(vim.fn.fnameescape(vim.env.NAYRU_WORKSPACE .. "/boot.asm"))

  -- completion: the label menu
  local at = line_of("JSR WaitFrame")
  local menu = client():request_sync("textDocument/completion", {
    textDocument = vim.lsp.util.make_text_document_params(0), position = { line = at - 1, character = 10 },
  }, patience, 0)
  local items = menu and menu.result and (menu.result.items or menu.result) or {}
  for _, item in ipairs(items) do
    if item.label == "WaitFrame" then seen.completion = item.label end
  end

  -- ghost text, taken with Tab
  vim.cmd.edit(vim.fn.fnameescape(vim.env.NAYRU_WORKSPACE .. "/dma.asm"))
  local move = line_of("; To OAM.")
  vim.api.nvim_buf_set_lines(0, move - 1, move - 1, false,
    { "; To WRAM, through its port.", "DmaToWram:", "    STZ $4300", "    LDA #$80", "    ", "" })
  vim.api.nvim_win_set_cursor(0, { move + 4, 3 })
  vim.cmd.startinsert({ bang = true })
  local ghost = require("nayru.ghost")
  vim.schedule(function()
    local timer = assert(vim.uv.new_timer())
    timer:start(0, 100, vim.schedule_wrap(function()
      if timer:is_closing() then return end
      if not ghost.visible() then
        seen.tries = (seen.tries or 0) + 1
        if seen.tries % 40 == 1 then -- every 4 s: asking again cancels the request before
          ghost.trigger()
        elseif seen.tries > 400 then
          timer:close()
          vim.schedule(finish)
        end
        return
      end
      timer:close()
      seen.ghost = ghost.visible()
      seen.status_with_ghost = require("nayru").status_text()
      keys("<Tab>", "m")
      vim.defer_fn(function()
        seen.after_tab = vim.api.nvim_buf_get_lines(0, move + 3, move + 4, false)[1]
        keys("<Esc>", "m")
        vim.defer_fn(function()
          local fine, failure = pcall(Rest)
          if not fine then
            seen.failure = tostring(failure)
            finish()
          end
        end, 200)
      end, 200)
    end))
  end)
end

function Rest()
  -- a routine from a comment
  vim.cmd.write()
  vim.cmd.edit(vim.fn.fnameescape(vim.env.NAYRU_WORKSPACE .. "/text.asm"))
  vim.api.nvim_buf_set_lines(0, -1, -1, false, { "", "; Multiply two unsigned 16-bit numbers" })
  local last = vim.api.nvim_buf_line_count(0)
  vim.api.nvim_win_set_cursor(0, { last, 0 })
  vim.cmd("NayruGenerate")
  step("routine", function() return line_of("Multiply16:") and true end)
  seen.generated = require("nayru").generated or false
  seen.mode = vim.fn.mode()
  step("consent", function() return asked[1] end)
  vim.cmd.write()
  local rows
  step("samples", function()
    local reply = client():request_sync("workspace/executeCommand", { command = "nayru.samples.list", arguments = {} }, 5000, 0)
    rows = reply and reply.result
    return type(rows) == "table" and #rows > 0 and #rows
  end)
  seen.status = require("nayru").status_text()
  require("nayru").restart()
  step("restarted", function() return client() and client().initialized end)
  finish()
end

vim.api.nvim_create_autocmd("VimEnter", { callback = function()
  vim.schedule(function()
    local fine, failure = pcall(run)
    if not fine then
      seen.failure = tostring(failure)
      finish()
    end
  end)
end })
