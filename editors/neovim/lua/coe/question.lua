-- The server's questions, one at a time. The prompt takes every key that comes, so it is shown only
-- once the user is in Normal mode and has typed nothing for a moment.

local messages = require('coe.messages')

local M = {}

--- For how long no key was typed before a question is asked, in milliseconds.
M.quiet = 700

--- How often to look whether it may be asked, in milliseconds.
local PATIENCE = 100

--- Whether the user is in Normal mode, with no command begun.
---@return boolean
function M.hands_are_free()
  local mode = vim.api.nvim_get_mode()
  return (mode.mode == 'n' or mode.mode == 'nt')
    and not mode.blocking
    and vim.fn.getcmdwintype() == ''
end

---@class coe.Question
---@field params lsp.ShowMessageRequestParams
---@field client_id integer
---@field answer fun(action: lsp.MessageActionItem?)

local waiting = {} ---@type coe.Question[]
local asked = false
local announced = false
local last_key = 0 -- in nanoseconds
local keys = vim.api.nvim_create_namespace('coe.question')

local advance ---@type fun()

---@param question coe.Question
local function ask(question)
  asked = true
  local options = {
    kind = 'lsp_message',
    prompt = 'coe: ' .. messages.plain(question.params.message),
    format_item = function(action)
      return messages.plain(action.title)
    end,
  }
  local ok, err = pcall(vim.ui.select, question.params.actions or {}, options, function(action)
    asked = false
    question.answer(action)
    vim.schedule(advance)
  end)
  if not ok then
    asked = false
    messages.notify(('the question cannot be asked: %s'):format(err), vim.log.levels.ERROR)
    question.answer(nil)
  end
end

function advance()
  while waiting[1] and not vim.lsp.get_client_by_id(waiting[1].client_id) do
    table.remove(waiting, 1) -- nobody waits for the answer any more
  end
  if not waiting[1] or asked then
    vim.on_key(nil, keys)
    return
  elseif M.hands_are_free() and vim.uv.hrtime() - last_key >= M.quiet * 1e6 then
    ask(table.remove(waiting, 1))
    return
  elseif not announced and not M.hands_are_free() then
    announced = true
    messages.notify('there is a question; it is asked once you are in Normal mode.')
  end
  vim.defer_fn(advance, PATIENCE)
end

--- Ask when it does not disturb; `answer` is called with the user's choice, or nil.
---@param params lsp.ShowMessageRequestParams
---@param client_id integer
---@param answer fun(action: lsp.MessageActionItem?)
function M.ask(params, client_id, answer)
  table.insert(waiting, { params = params, client_id = client_id, answer = answer })
  if #waiting > 1 or asked then
    return
  end
  announced = false
  last_key = vim.uv.hrtime()
  vim.on_key(function()
    last_key = vim.uv.hrtime()
  end, keys)
  advance()
end

return M
