if vim.g.loaded_nayru then
  return
end
vim.g.loaded_nayru = true

local function command(name, run, options)
  vim.api.nvim_create_user_command(name, run, options)
end

command("NayruGenerate", function(arguments)
  require("nayru").generate(arguments.line1, arguments.line2)
end, { range = true, desc = "Generate a routine from the comment here" })
command("NayruStatus", function()
  vim.notify(require("nayru").status_text())
end, { desc = "Say what Nayru does, or why it is silent" })
command("NayruRestart", function()
  require("nayru").restart()
end, { desc = "Restart the Nayru server" })
command("NayruSamples", function(arguments)
  require("nayru").samples(arguments.fargs)
end, { nargs = "*", desc = "list | show ID | delete ID", complete = function() return { "list", "show", "delete" } end })

require("nayru").autostart()
