-- The commands, the progress, and one message where the server is enabled but cannot be started.

if vim.g.loaded_coe then
  return
end
vim.g.loaded_coe = true

if vim.fn.has('nvim-0.11') == 0 then
  vim.notify('coe needs Neovim 0.11 or newer.', vim.log.levels.ERROR)
  return
end

local command = vim.api.nvim_create_user_command

command('CoeRepair', function(args)
  require('coe').repair({ file = args.bang })
end, { bang = true, desc = 'Repair the function under the cursor; with ! the most suspect one' })

command('CoeCancel', function()
  require('coe').cancel()
end, { desc = 'Stop all repairs and close their previews' })

command('CoeChain', function()
  require('coe').chain()
end, { desc = 'Show the last chain of edits' })

command('CoeCheck', function()
  require('coe').check()
end, { desc = "Run the file's tests now" })

command('CoeDoctor', function()
  require('coe').doctor()
end, { desc = 'Show what a repair needs and what is amiss' })

command('CoeRestartWorker', function()
  require('coe').restart_worker()
end, { desc = 'End the test processes; they start anew when needed' })

local group = vim.api.nvim_create_augroup('coe', {})

vim.api.nvim_create_autocmd('LspProgress', {
  group = group,
  desc = 'Show the progress of repairs',
  callback = function(event)
    require('coe.status').on_progress(event.data.client_id, event.data.params)
  end,
})

-- vim.lsp.enable() is silent where it finds no executable.
vim.api.nvim_create_autocmd('FileType', {
  group = group,
  pattern = 'python',
  desc = 'Say once if coe-lsp is enabled but missing',
  callback = function(event)
    if vim.bo[event.buf].buftype == '' and vim.lsp.is_enabled('coe') then
      -- Later: an error inside an autocommand would look as if opening the file had failed.
      vim.schedule(require('coe.client').warn_if_missing)
    end
  end,
})
