-- The test's whole configuration: this client, and the server named by the environment.
vim.opt.runtimepath:prepend(vim.env.NAYRU_NEOVIM_CLIENT)
vim.opt.swapfile = false
vim.opt.shadafile = "NONE"
vim.opt.more = false
vim.opt.laststatus = 2
vim.opt.number = true
vim.opt.signcolumn = "yes"
vim.g.mapleader = " "
vim.diagnostic.config({ virtual_text = true })
require("nayru").setup({ cmd = vim.json.decode(vim.env.NAYRU_SERVER) })
vim.opt.statusline = "%f  %{%v:lua.require('nayru').status_text()%}"
