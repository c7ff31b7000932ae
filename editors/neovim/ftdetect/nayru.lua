-- `.asm` is many languages. A file is 65816 assembly for Asar when a nayru.toml stands above it, or when its first
-- lines say so; anything else keeps the type that Neovim gives it.
local telltale = vim.regex([[\c^\s*\(lorom\|hirom\|exlorom\|exhirom\|sa1rom\|fullsa1rom\|sfxrom\|norom\|incsrc\s\|org\s\+\$]]
  .. [[\|freecode\|freedata\|arch\s\+65816\|rep\s\+#\$\|sep\s\+#\$\|autoclean\s\|namespace\s\)]])

local function is_ours(buffer, path)
  if #vim.fs.find("nayru.toml", { upward = true, path = vim.fs.dirname(path), limit = 1 }) > 0 then
    return true
  end
  for _, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, 300, false)) do
    if telltale:match_str(line) then
      return true
    end
  end
  return false
end

vim.filetype.add({
  extension = {
    asm = function(path, buffer)
      return is_ours(buffer, path) and "asm65816" or "asm"
    end,
  },
})
