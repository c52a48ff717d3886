-- What the servers are doing, what waits for the user and what fails: for the statusline. Reports of
-- progress are echoed.

local messages = require('coe.messages')

local M = {}

---@type table<integer, string> by client; empty when idle
local states = {}

-- Once a statusline shows what goes on, it need not be echoed as well.
local in_statusline = false

local wanted = false

--- Have what the next check comes to echoed: the user asked for it.
function M.say_next()
  wanted = true
end

---@param client_id integer
---@param params coe.StatusParams
function M.on_status(client_id, params)
  if wanted and params.state == 'idle' then
    wanted = false
    messages.show('coe: ' .. params.message)
  end
  local text = params.message
  if params.state == 'idle' then
    text = ''
  elseif params.state == 'failed' then
    text = 'failed' -- why was said in a message
  elseif (params.queued or 0) > 0 then
    text = ('%s (%d waiting)'):format(text, params.queued)
  end
  states[client_id] = messages.plain(text)
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
  local ended = value.kind == 'end'
  if messages.disturbing() or (in_statusline and not ended) then
    return
  end
  local message = value.message or ''
  local text = value.title
  if ended then
    text = message ~= '' and 'coe: ' .. message or ''
  elseif message ~= '' then
    text = ('%s: %s'):format(text, message)
  end
  vim.api.nvim_echo({ { messages.fitted(text) } }, false, {})
end

--- How many tests fail of what the current buffer holds, by its diagnostics.
---@return integer
local function failing()
  local tests = {} ---@type table<string, true>
  for _, diagnostic in ipairs(vim.diagnostic.get(0)) do
    local data = diagnostic.source == 'coe' and vim.tbl_get(diagnostic, 'user_data', 'lsp', 'data')
    for _, test in ipairs(data and data.tests or {}) do
      tests[test] = true
    end
  end
  return vim.tbl_count(tests)
end

--- For a statusline: what goes on, else what waits for a decision, else how many tests fail.
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
  if #lines > 0 then
    return table.concat(lines, ' | ')
  elseif require('coe.preview').waits() then
    return 'coe: repair waits'
  end
  local count = failing()
  return count > 0 and ('coe: %d failing'):format(count) or ''
end

return M
