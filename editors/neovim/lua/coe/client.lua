-- Finds the running server for a buffer, or says why there is none; sends it commands.

local notify = require('coe.messages').notify

local M = {}

local INSTALL = 'Install it (for instance `pipx install coe-lsp`) so that it is on the PATH, or name '
  .. "it: vim.lsp.config('coe', { cmd = { '/path/to/coe-lsp', 'serve' } }). "
  .. 'Then restart Neovim; `:checkhealth coe` tells more.'

--- What to do about an executable that is not there; nil if it is.
---@return string?
function M.missing()
  local cmd = vim.tbl_get(vim.lsp.config, 'coe', 'cmd')
  if type(cmd) == 'table' and vim.fn.executable(cmd[1]) == 0 then
    return ('the server `%s` was not found. %s'):format(cmd[1], INSTALL)
  end
end

local warned = false

--- Say once in a session that the executable is not there.
function M.warn_if_missing()
  local problem = not warned and M.missing()
  if problem then
    warned = true
    notify(problem, vim.log.levels.ERROR)
  end
end

--- All running servers, one for each project.
---@return vim.lsp.Client[]
function M.all()
  return vim.lsp.get_clients({ name = 'coe' })
end

---@param bufnr integer
---@return string
local function why_absent(bufnr)
  if not vim.lsp.is_enabled('coe') then
    return "not enabled. Add vim.lsp.enable('coe') to your init.lua."
  elseif vim.bo[bufnr].filetype ~= 'python' or vim.bo[bufnr].buftype ~= '' then
    return 'this buffer is no Python file.'
  elseif M.missing() then
    return M.missing() --[[@as string]]
  elseif #vim.lsp.get_clients({ name = 'coe', _uninitialized = true }) > 0 then
    return 'the server is still starting; try again in a moment.'
  end
  return ('the server is not running for this file. See `:checkhealth coe` and %s.'):format(
    vim.lsp.log.get_filename()
  )
end

--- The server that looks after a buffer; nil after a message that says why there is none.
---@param bufnr integer
---@return vim.lsp.Client?
function M.of_buffer(bufnr)
  local client = vim.lsp.get_clients({ name = 'coe', bufnr = bufnr })[1]
  if not client then
    notify(why_absent(bufnr), vim.log.levels.WARN)
  end
  return client
end

--- Run one of the server's commands; an error is shown, a result goes to `on_result`.
---@param client vim.lsp.Client
---@param command string
---@param argument? table
---@param on_result? fun(result: any)
function M.execute(client, command, argument, on_result)
  local request = { title = command, command = command, arguments = argument and { argument } }
  client:exec_cmd(request, nil, function(err, result)
    if err then
      notify(('%s: %s'):format(command, err.message), vim.log.levels.ERROR)
    elseif on_result then
      on_result(result)
    end
  end)
end

return M
