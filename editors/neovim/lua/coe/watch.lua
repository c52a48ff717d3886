-- Tells a server what changes on the disk. Neovim's own watcher is off on Linux, where it sees the
-- files of the root folder alone, and walks through every package that is installed below it.

local M = {}

--- So many folders of a project are watched, the upper ones first.
M.most = 500

--- For how long changes are gathered, in milliseconds.
local PATIENCE = 200

local CHANGED = vim.lsp.protocol.FileChangeType.Changed
local DELETED = vim.lsp.protocol.FileChangeType.Deleted

local SKIPPED = { __pycache__ = true, node_modules = true, ['site-packages'] = true }

---@class coe.Watcher
---@field client_id integer
---@field patterns vim.lpeg.Pattern[]
---@field folders table<string, uv.uv_fs_event_t>
---@field count integer of folders
---@field changed table<string, true>
---@field timer uv.uv_timer_t

local watchers = {} ---@type table<integer, coe.Watcher> by client

--- Whether a folder may hold sources of the project: it is not hidden, and nothing installed.
---@param path string
---@return boolean
local function holds_sources(path)
  local name = vim.fs.basename(path)
  return not (name:match('^%.') or SKIPPED[name])
    and not vim.uv.fs_stat(vim.fs.joinpath(path, 'pyvenv.cfg'))
end

---@param watcher coe.Watcher
local function stop(watcher)
  watchers[watcher.client_id] = nil
  watcher.timer:close()
  for _, handle in pairs(watcher.folders) do
    handle:close()
  end
end

local report ---@type fun(watcher: coe.Watcher)

---@param watcher coe.Watcher
---@param path string
local function note(watcher, path)
  watcher.changed[path] = true
  if not watcher.timer:is_active() then
    watcher.timer:start(
      PATIENCE,
      0,
      vim.schedule_wrap(function()
        if watchers[watcher.client_id] == watcher then
          report(watcher)
        end
      end)
    )
  end
end

---@param watcher coe.Watcher
---@param folder string
local function watch(watcher, folder)
  if watcher.folders[folder] or watcher.count >= M.most then
    return
  end
  local handle = assert(vim.uv.new_fs_event())
  local started = handle:start(folder, {}, function(_, name)
    if name then
      note(watcher, vim.fs.joinpath(folder, name))
    end
  end)
  if started then
    watcher.folders[folder] = handle
    watcher.count = watcher.count + 1
  else
    handle:close() -- it is gone again, or the system has no more to give
  end
end

--- Forget a folder and those below it.
---@param watcher coe.Watcher
---@param top string
local function unwatch(watcher, top)
  for folder, handle in pairs(watcher.folders) do
    if folder == top or vim.startswith(folder, top .. '/') then
      handle:close()
      watcher.folders[folder] = nil
      watcher.count = watcher.count - 1
    end
  end
end

--- Watch a folder and those below it.
---@param watcher coe.Watcher
---@param top string
---@param on_file? fun(path: string)
local function watch_all(watcher, top, on_file)
  watch(watcher, top)
  local function below(name)
    return vim.fs.joinpath(top, name)
  end
  local function enter(name)
    return watcher.folders[below(name)] ~= nil
  end
  for name, kind in vim.fs.dir(top, { depth = 20, skip = enter }) do
    if kind == 'directory' and holds_sources(below(name)) then
      watch(watcher, below(name))
    elseif kind ~= 'directory' and on_file then
      on_file(below(name))
    end
  end
end

function report(watcher)
  local paths = vim.tbl_keys(watcher.changed)
  watcher.changed = {}
  local changes = {} ---@type lsp.FileEvent[]
  for _, path in ipairs(paths) do
    local kind = (vim.uv.fs_stat(path) or {}).type
    if watcher.folders[path] then -- gone, or another one was put in its place
      unwatch(watcher, path)
    end
    if kind == 'directory' and holds_sources(path) then
      watch_all(watcher, path, function(file) -- what came with it was not seen
        note(watcher, file)
      end)
    end
    for _, pattern in ipairs(kind ~= 'directory' and watcher.patterns or {}) do
      if pattern:match(path) then
        local change = kind and CHANGED or DELETED
        table.insert(changes, { uri = vim.uri_from_fname(path), type = change })
        break
      end
    end
  end
  local client = vim.lsp.get_client_by_id(watcher.client_id)
  if not client then
    stop(watcher)
  elseif #changes > 0 then
    client:notify('workspace/didChangeWatchedFiles', { changes = changes })
  end
end

--- Watch the client's folder for what its server registered.
---@param client vim.lsp.Client
---@param options lsp.DidChangeWatchedFilesRegistrationOptions
function M.start(client, options)
  if not client.root_dir then
    return
  end
  local watcher = {
    client_id = client.id,
    patterns = vim.tbl_map(function(each)
      return vim.glob.to_lpeg(each.globPattern)
    end, options.watchers),
    folders = {},
    count = 0,
    changed = {},
    timer = assert(vim.uv.new_timer()),
  }
  watchers[client.id] = watcher
  watch_all(watcher, client.root_dir)
end

vim.api.nvim_create_autocmd('LspDetach', {
  group = vim.api.nvim_create_augroup('coe.watch', {}),
  desc = 'A server that has ended is told nothing',
  callback = vim.schedule_wrap(function(event)
    local watcher = watchers[event.data.client_id]
    if watcher and not vim.lsp.get_client_by_id(watcher.client_id) then
      stop(watcher)
    end
  end),
})

return M
