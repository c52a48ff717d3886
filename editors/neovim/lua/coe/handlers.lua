-- Answers what the server sends: our own additions, and what Neovim's own handlers answer less
-- well. Named in lsp/coe.lua.

local notify = require('coe.messages').notify

local M = {}

---@class coe.PreviewParams
---@field repair integer
---@field uri string
---@field version? integer
---@field function string
---@field message string
---@field patches { label: string, diff: string, uri: string, newText: string }[]

---@class coe.StatusParams
---@field state 'idle'|'testing'|'loading'|'fetching'|'repairing'|'failed'
---@field message string
---@field queued? integer

--- Answer a request when the user has decided. Neovim runs the handler of a server's request in a
--- coroutine, so that it can wait without holding up the editor.
---@param start fun(decide: fun(answer: any)) calls `decide` once
local function decided(start)
  local routine, is_main = coroutine.running()
  assert(routine and not is_main, 'a request must be handled in a coroutine')
  start(function(answer)
    vim.schedule(function() -- never before the yield below
      local ok, err = coroutine.resume(routine, answer)
      if not ok then
        notify(('an answer to the server was lost: %s'):format(err), vim.log.levels.ERROR)
      end
    end)
  end)
  return coroutine.yield()
end

--- Show the patches, and answer which one the user accepts.
---@param params coe.PreviewParams
function M.preview(_, params, ctx)
  return decided(function(decide)
    require('coe.preview').open(params, ctx.client_id, function(index)
      decide({ accept = index or vim.NIL })
    end)
  end)
end

--- Neovim's own handler asks at once, in the middle of what is being typed.
---@param params lsp.ShowMessageRequestParams
function M.show_message_request(_, params, ctx)
  return decided(function(decide)
    require('coe.question').ask(params, ctx.client_id, function(action)
      decide(action or vim.NIL)
    end)
  end)
end

---@param params coe.StatusParams
function M.status(_, params, ctx)
  require('coe.status').on_status(ctx.client_id, params)
end

local WATCHED_FILES = 'workspace/didChangeWatchedFiles'

--- Files are watched by us; what else the server registers is Neovim's.
---@param params lsp.RegistrationParams
function M.register_capability(err, params, ctx)
  local others = {} ---@type lsp.Registration[]
  for _, registration in ipairs(params.registrations) do
    if registration.method == WATCHED_FILES then
      local client = assert(vim.lsp.get_client_by_id(ctx.client_id))
      require('coe.watch').start(client, registration.registerOptions)
    else
      table.insert(others, registration)
    end
  end
  return vim.lsp.handlers['client/registerCapability'](err, { registrations = others }, ctx)
end

local LEVELS = { vim.log.levels.ERROR, vim.log.levels.WARN }

--- Neovim's own handler ends messages with an empty line, which asks for a key press each time.
---@param params lsp.ShowMessageParams
function M.show_message(_, params)
  notify(params.message, LEVELS[params.type] or vim.log.levels.INFO)
end

--- Neovim's own handler skips an edit for an older text, but reports it as applied; and it lets an
--- edit join the changes before it in one step of undo.
---@param params lsp.ApplyWorkspaceEditParams
function M.apply_edit(err, params, ctx)
  for _, change in ipairs(params.edit.documentChanges or {}) do
    local document = change.textDocument
    if document then
      local bufnr = vim.uri_to_bufnr(document.uri)
      local current = vim.lsp.util.buf_versions[bufnr]
      if document.version and current and current > document.version then
        return { applied = false, failureReason = 'the document has changed since' }
      end
      if vim.api.nvim_buf_is_loaded(bufnr) then
        vim.api.nvim_buf_call(bufnr, function()
          vim.cmd('let &l:undolevels = &l:undolevels') -- |undo-break|
        end)
      end
    end
  end
  local silent = { edit = params.edit } -- a label would be printed
  return vim.lsp.handlers['workspace/applyEdit'](err, silent, ctx)
end

return M
