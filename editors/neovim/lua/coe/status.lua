-- What the servers are doing: coe/status for the statusline, the reports of progress echoed.

local M = {}

---@type table<integer, string> by client; empty when idle
local states = {}

-- Once a statusline shows what goes on, it need not be echoed as well.
local in_statusline = false

--- Text that fits in the command line, so that it never asks for a key press.
---@param text string
---@return string
local function fitted(text)
  text = text:gsub('%s+', ' ')
  if vim.fn.strdisplaywidth(text) <= vim.v.echospace then
    return text
  end
  while text ~= '' and vim.fn.strdisplaywidth(text) > vim.v.echospace - 1 do
    text = vim.fn.strcharpart(text, 0, vim.fn.strchars(text) - 1)
  end
  return text .. '…'
end

---@param client_id integer
---@param params coe.StatusParams
function M.on_status(client_id, params)
  local text = params.message
  if params.state == 'idle' then
    text = ''
  elseif params.state == 'failed' then
    text = 'failed' -- why was said in a message
  elseif (params.queued or 0) > 0 then
    text = ('%s (%d waiting)'):format(text, params.queued)
  end
  states[client_id] = text
  vim.cmd.redrawstatus()
end

--- Echo a report of work, outside the history of messages: what matters comes as a message too.
---@param client_id integer
---@param params lsp.ProgressParams
function M.on_progress(client_id, params)
  local client = vim.lsp.get_client_by_id(client_id)
  local value = params.value
  if not client or client.name ~= 'coe' or type(value) ~= 'table' then
    return
  end
  local mode = vim.api.nvim_get_mode().mode:sub(1, 1)
  local ended = value.kind == 'end'
  if mode == 'c' or mode == 'r' or (in_statusline and not ended) then
    return
  end
  local message = value.message or ''
  local text = value.title
  if ended then
    text = message ~= '' and 'coe: ' .. message or ''
  elseif message ~= '' then
    text = ('%s: %s'):format(text, message)
  end
  vim.api.nvim_echo({ { fitted(text) } }, false, {})
end

--- What goes on, for a statusline.
---@return string
function M.line()
  in_statusline = true
  local lines = {}
  for id, text in vim.spairs(states) do
    if not vim.lsp.get_client_by_id(id) then
      states[id] = nil
    elseif text ~= '' then
      table.insert(lines, 'coe: ' .. text)
    end
  end
  return table.concat(lines, ' | ')
end

return M
