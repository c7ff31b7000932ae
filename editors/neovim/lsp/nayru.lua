-- Neovim 0.11's own configuration form: `vim.lsp.enable("nayru")` reads this file.
return {
  cmd = { "nayru", "serve" },
  filetypes = { "asm65816" },
  root_markers = { "nayru.toml", ".git" },
  workspace_required = false,
}
