-- Neovim 0.11's own configuration form, for `vim.lsp.enable("nayru")` without this plugin's `setup`.
return {
  cmd = { "nayru", "serve" },
  filetypes = { "asm65816" },
  root_dir = function(buffer, found)
    require("nayru").root_dir(buffer, found)
  end,
}
