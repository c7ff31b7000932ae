-- Ghost text for Neovim 0.11: one request at a time, one suggestion on the screen, taken whole, by word or by line.
local M = {}

local METHOD = "textDocument/inlineCompletion"
local DEBOUNCE = 60 -- ms; the server waits and takes the newest on its own as well
local space = vim.api.nvim_create_namespace("nayru.ghost")
local states = {} -- buffer -> { client, timer, request, item, text, row, column }

local function clear(state)
  if state.buffer and vim.api.nvim_buf_is_valid(state.buffer) then
    vim.api.nvim_buf_clear_namespace(state.buffer, space, 0, -1)
  end
  state.item, state.text = nil, nil
end

local function cancel(state)
  state.timer:stop()
  if state.request then
    state.client:cancel_request(state.request)
    state.request = nil
  end
end

--- What is still to be shown of an item: its text without what stands between the range's start and the cursor.
local function remaining(state, item)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local line = vim.api.nvim_get_current_line()
  local start = column
  if item.range then
    if item.range.start.line ~= row - 1 then
      return nil
    end
    start = vim.str_byteindex(line, state.client.offset_encoding, item.range.start.character, false)
  end
  local typed = line:sub(start + 1, column)
  local text = item.insertText
  if type(text) ~= "string" or not vim.startswith(text, typed) then
    return nil
  end
  return text:sub(#typed + 1)
end

local function draw(state)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  vim.api.nvim_buf_clear_namespace(state.buffer, space, 0, -1)
  local lines = vim.split(state.text, "\n", { plain = true })
  local below = {}
  for index = 2, #lines do
    table.insert(below, { { lines[index] == "" and " " or lines[index], "NayruGhost" } })
  end
  local at_end = column >= #vim.api.nvim_get_current_line()
  vim.api.nvim_buf_set_extmark(state.buffer, space, row - 1, column, {
    virt_text = { { lines[1], "NayruGhost" } },
    virt_text_pos = at_end and "overlay" or "inline",
    virt_lines = #below > 0 and below or nil,
    hl_mode = "combine",
  })
end

local function show(state, result)
  local items = result and (result.items or result) or {}
  local item = items[1]
  if not item or vim.fn.mode() ~= "i" or vim.api.nvim_get_current_buf() ~= state.buffer then
    return clear(state)
  end
  local text = remaining(state, item)
  if not text or text == "" then
    return clear(state)
  end
  state.item, state.text = item, text
  draw(state)
end

local function ask(state, kind)
  cancel(state)
  local parameters = vim.lsp.util.make_position_params(0, state.client.offset_encoding)
  parameters.context = { triggerKind = kind }
  local sent
  local _, id = state.client:request(METHOD, parameters, function(failure, result)
    if state.request ~= sent then
      return -- overtaken
    end
    state.request = nil
    if failure then
      clear(state)
    else
      show(state, result)
    end
  end, state.buffer)
  state.request, sent = id, id
end

local function changed(state)
  if vim.fn.pumvisible() == 1 then
    cancel(state)
    return clear(state)
  end
  -- Typing along a suggestion keeps it, without asking again.
  if state.item then
    local text = remaining(state, state.item)
    if text and text ~= "" then
      state.text = text
      return draw(state)
    end
  end
  clear(state)
  cancel(state)
  state.timer:start(DEBOUNCE, 0, vim.schedule_wrap(function()
    if vim.fn.mode() == "i" and vim.api.nvim_get_current_buf() == state.buffer then
      ask(state, 2)
    end
  end))
end

--- Put `text` at the cursor and leave the cursor behind it.
local function insert(state, text)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local lines = vim.split(text, "\n", { plain = true })
  vim.api.nvim_buf_set_text(state.buffer, row - 1, column, row - 1, column, lines)
  local last = #lines
  vim.api.nvim_win_set_cursor(0, { row + last - 1, last == 1 and column + #lines[1] or #lines[last] })
end

--- Take the suggestion, or its first word or line. False when there is none, so that the key can do its own work.
function M.accept(part)
  local state = states[vim.api.nvim_get_current_buf()]
  if not state or not state.text then
    return false
  end
  local text, item = state.text, state.item
  local taken = text
  if part == "word" then
    taken = text:match("^%s*%S+") or text
  elseif part == "line" then
    taken = text:match("^[^\n]*\n?") or text
  end
  clear(state)
  insert(state, taken)
  if taken == text and item.command then
    state.client:exec_cmd(item.command, { bufnr = state.buffer })
  elseif taken ~= text then
    state.item, state.text = item, text:sub(#taken + 1)
    local range = item.range
    if range and taken:find("\n") then
      -- the item's range stays on its first line: what is left is an insertion here
      state.item = { insertText = state.text, command = item.command }
    end
    draw(state)
  end
  return true
end

function M.dismiss()
  local state = states[vim.api.nvim_get_current_buf()]
  if state then
    cancel(state)
    clear(state)
  end
end

--- Ask now, by hand.
function M.trigger()
  local state = states[vim.api.nvim_get_current_buf()]
  if state then
    ask(state, 1)
  end
end

--- The text on the screen, for tests and status lines.
function M.visible()
  local state = states[vim.api.nvim_get_current_buf()]
  return state and state.text or nil
end

local function map(buffer, key, run, what)
  if not key then
    return
  end
  vim.keymap.set("i", key, function()
    if not vim.tbl_isempty(vim.fn.complete_info({ "selected" })) and vim.fn.pumvisible() == 1 then
      return key -- the menu has the key
    end
    local state = states[buffer]
    if not state or not state.text then
      return key
    end
    vim.schedule(run)
    return ""
  end, { buffer = buffer, expr = true, replace_keycodes = true, desc = what })
end

function M.attach(client, buffer, keys)
  -- `:bdelete` takes the keys away but keeps the buffer: they are set at each attachment.
  map(buffer, keys.accept, function() M.accept() end, "Accept the suggestion")
  map(buffer, keys.accept_word, function() M.accept("word") end, "Accept the next word of the suggestion")
  map(buffer, keys.accept_line, function() M.accept("line") end, "Accept the next line of the suggestion")
  map(buffer, keys.dismiss, M.dismiss, "Dismiss the suggestion")
  if states[buffer] then
    states[buffer].client = client
    return
  end
  vim.api.nvim_set_hl(0, "NayruGhost", { link = "Comment", default = true })
  local state = { client = client, buffer = buffer, timer = assert(vim.uv.new_timer()) }
  states[buffer] = state
  local group = vim.api.nvim_create_augroup("nayru.ghost." .. buffer, {})
  vim.api.nvim_create_autocmd({ "InsertEnter", "TextChangedI", "CursorMovedI" }, {
    group = group,
    buffer = buffer,
    callback = function()
      changed(state)
    end,
  })
  vim.api.nvim_create_autocmd({ "InsertLeave", "BufLeave" }, {
    group = group,
    buffer = buffer,
    callback = function()
      cancel(state)
      clear(state)
    end,
  })
  vim.api.nvim_create_autocmd("BufWipeout", {
    group = group,
    buffer = buffer,
    callback = function()
      cancel(state)
      state.timer:close()
      states[buffer] = nil
    end,
  })
end

return M
