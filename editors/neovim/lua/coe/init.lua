-- What users call: the functions behind the commands, and the text for a statusline.

local client = require('coe.client')
local messages = require('coe.messages')

local M = {}

--- Run a command that concerns the current file.
---@param command string
---@param on_result? fun(result: any)
local function for_this_file(command, on_result)
  local bufnr = vim.api.nvim_get_current_buf()
  local server = client.of_buffer(bufnr)
  if server then
    client.execute(server, command, { uri = vim.uri_from_bufnr(bufnr) }, on_result)
  end
end

--- Whether the current buffer can be tested; if not, that is said.
---@return boolean
local function has_name()
  local named = vim.api.nvim_buf_get_name(0) ~= ''
  if not named then
    local advice = 'save this buffer first (`:write NAME`), then its tests run.'
    messages.notify(advice, vim.log.levels.WARN)
  end
  return named
end

--- Run a command that concerns no file; there is a server for each project.
---@param command string
local function for_all_servers(command)
  local servers = client.all()
  if #servers == 0 then
    messages.notify('no server is running.')
  end
  for _, server in ipairs(servers) do
    client.execute(server, command)
  end
end

--- Show a text that the server has made. Where there is none it says so itself.
---@param result? { title: string, text: string }
local function show(result)
  if result then
    require('coe.scratch').open(result.title, result.text)
  end
end

--- Repair the function under the cursor, or, with `file`, the most suspect ones of the file.
---@param opts? { file?: boolean }
function M.repair(opts)
  if not has_name() then
    return
  end
  if opts and opts.file then
    return for_this_file('coe.repairFile')
  end
  local bufnr = vim.api.nvim_get_current_buf()
  local server = client.of_buffer(bufnr)
  if server then
    local place = vim.lsp.util.make_position_params(0, server.offset_encoding)
    local argument = { uri = place.textDocument.uri, position = place.position }
    client.execute(server, 'coe.repair', argument)
  end
end

--- Stop all repairs; a change that is shown or waits to be shown is rejected.
function M.cancel()
  require('coe.preview').reject_all()
  for_all_servers('coe.cancel')
end

--- Show the last chain of edits in a window of its own.
function M.chain()
  for_this_file('coe.showChain', show)
end

--- Show what a repair needs on this machine and what is amiss.
function M.doctor()
  for_this_file('coe.doctor', show)
end

--- Run the file's tests now, whatever the setting `run` says.
function M.check()
  if has_name() then
    for_this_file('coe.check', require('coe.status').say_next)
  end
end

--- End the test processes; they start anew when needed.
function M.restart_worker()
  for_all_servers('coe.restartWorker')
end

--- For a statusline: what the servers do, else that a repair waits, else how many tests fail.
---@return string
function M.status()
  return require('coe.status').line()
end

return M
