-- `.asm` is many languages. A file is 65816 assembly for Asar when a nayru.toml stands above it, or when its lines say
-- so: Asar's own commands, or instructions that no other processor has. What ca65 and WLA write is not Asar's.
local commands = vim.regex([[\c^\s*\(lorom\|hirom\|exlorom\|exhirom\|sa1rom\|fullsa1rom\|sfxrom\|norom\|incsrc\s\|org\s\+\$]]
  .. [[\|freecode\|freedata\|arch\s\+65816\|autoclean\s\|namespace\s\)]])
local instructions = vim.regex([[\c^\s*\([A-Za-z_.+-][A-Za-z0-9_.]*:\?\s\+\)\?\(rep\s\+#\$\|sep\s\+#\$]]
  .. [[\|\(jsl\|jml\|pei\|mvn\|mvp\)\s\|\(rtl\|phk\|phb\|plb\|phd\|pld\|xba\|xce\|tcd\|tdc\)\s*\($\|;\|:\)\|[a-z]\{3}\.[bwl]\s\)]])
local others = vim.regex([[\c^\s*\.\(segment\|proc\|endproc\|include\|import\|export\|a8\|a16\|i8\|i16\|smart\|p816\|bank\|section\|define\)\>]])

local function is_ours(buffer, path)
  if #vim.fs.find("nayru.toml", { upward = true, path = vim.fs.dirname(path), limit = 1 }) > 0 then
    return true
  end
  local seen = false
  for _, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, 400, false)) do
    if others:match_str(line) then
      return false
    end
    seen = seen or commands:match_str(line) ~= nil or instructions:match_str(line) ~= nil
  end
  return seen
end

vim.filetype.add({
  extension = {
    asm = function(path, buffer)
      return is_ours(buffer, path) and "asm65816" or "asm"
    end,
  },
})
