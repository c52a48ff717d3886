-- The floating window that shows a repair as a diff and asks. One at a time, others wait; nothing
-- is taken from the user's hands: it opens in Normal mode only, and keys typed in the first moment
-- were meant for the file and are ignored.

local free = require('coe.question').hands_are_free
local messages = require('coe.messages')

local M = {}

--- For how long after opening keys decide nothing, in milliseconds.
M.settle = 400

--- How often to look whether the user is back in Normal mode, in milliseconds.
local PATIENCE = 200

---@class coe.Preview
---@field params coe.PreviewParams
---@field client_id integer
---@field answer fun(index: integer?) called once; counts from 0, nil rejects
---@field choice integer the patch that is shown, from 1
---@field opened integer in nanoseconds
---@field announced? true
---@field bufnr integer
---@field win? integer

local waiting = {} ---@type coe.Preview[]
local shown ---@type coe.Preview?
local polling = false

---@param preview coe.Preview
---@return string[]
local function diff_lines(preview)
  local diff = preview.params.patches[preview.choice].diff
  return vim.split((diff:gsub('\r?\n$', '')), '\r?\n')
end

---@param preview coe.Preview
---@return vim.api.keyset.win_config
local function layout(preview)
  local patches = preview.params.patches
  local title = (' %s '):format(messages.plain(preview.params.message))
  local footer = ' <CR> accept  <Esc> reject '
  if #patches > 1 then
    local label = messages.plain(patches[preview.choice].label)
    footer = ('%s <Tab> next (%d of %d: %s) '):format(footer, preview.choice, #patches, label)
  end
  local lines = diff_lines(preview)
  local width = math.max(vim.fn.strdisplaywidth(title), vim.fn.strdisplaywidth(footer))
  for _, line in ipairs(lines) do
    width = math.max(width, vim.fn.strdisplaywidth(line))
  end
  local room = vim.o.lines - vim.o.cmdheight - 1
  width = math.max(1, math.min(width, vim.o.columns - 2))
  local height = math.max(1, math.min(#lines, room - 2))
  local given = vim.o.winborder
  return {
    relative = 'editor',
    width = width,
    height = height,
    row = math.max(0, math.floor((room - height - 2) / 2)),
    col = math.max(0, math.floor((vim.o.columns - width - 2) / 2)),
    border = (given == '' or given == 'none') and 'rounded' or given,
    title = title,
    footer = footer,
  }
end

---@param preview coe.Preview
local function draw(preview)
  vim.bo[preview.bufnr].modifiable = true
  vim.api.nvim_buf_set_lines(preview.bufnr, 0, -1, false, diff_lines(preview))
  vim.bo[preview.bufnr].modifiable = false
  if preview.win then
    vim.api.nvim_win_set_config(preview.win, layout(preview))
    vim.api.nvim_win_set_cursor(preview.win, { 1, 0 })
  end
end

local advance ---@type fun()

---@param preview coe.Preview
---@param index integer?
local function finish(preview, index)
  if shown ~= preview then
    return
  end
  shown = nil
  if preview.win and vim.api.nvim_win_is_valid(preview.win) then
    vim.api.nvim_win_close(preview.win, true)
  end
  preview.answer(index)
  vim.cmd.redrawstatus({ bang = true })
  vim.schedule(advance)
end

---@param preview coe.Preview
local function add_keys(preview)
  local function map(keys, desc, action)
    for _, key in ipairs(keys) do
      vim.keymap.set('n', key, function()
        if vim.uv.hrtime() - preview.opened >= M.settle * 1e6 then
          action()
        end
      end, { buffer = preview.bufnr, nowait = true, desc = desc })
    end
  end
  local function turn(step)
    return function()
      preview.choice = (preview.choice - 1 + step) % #preview.params.patches + 1
      draw(preview)
    end
  end
  map({ '<CR>', 'a' }, 'Accept this change', function()
    finish(preview, preview.choice - 1)
  end)
  map({ '<Esc>', 'q' }, 'Reject', function()
    finish(preview, nil)
  end)
  map({ '<Tab>' }, 'Next change', turn(1))
  map({ '<S-Tab>' }, 'Previous change', turn(-1))
end

---@param preview coe.Preview
local function show(preview)
  shown = preview
  preview.bufnr = vim.api.nvim_create_buf(false, true)
  vim.bo[preview.bufnr].bufhidden = 'wipe'
  draw(preview)
  add_keys(preview)
  local config = layout(preview)
  config.style = 'minimal'
  preview.win = vim.api.nvim_open_win(preview.bufnr, true, config)
  vim.wo[preview.win][0].wrap = false
  vim.bo[preview.bufnr].filetype = 'diff'
  preview.opened = vim.uv.hrtime()
  vim.api.nvim_echo({ { '' } }, false, {}) -- the title says what the last report said
  -- Closed by other means than our keys: whoever closes it does not want the change.
  vim.api.nvim_create_autocmd('WinClosed', {
    pattern = tostring(preview.win),
    once = true,
    callback = vim.schedule_wrap(function()
      finish(preview, nil)
    end),
  })
end

--- Show what waits, if nothing is shown and the user's hands are free; else look again later.
function advance()
  local preview = waiting[1]
  if shown or not preview or polling then
    return
  end
  if not free() then
    if not preview.announced then
      preview.announced = true
      messages.notify(preview.params.message .. ' The change is shown once you are in Normal mode.')
    end
    polling = true
    vim.defer_fn(function()
      polling = false
      advance()
    end, PATIENCE)
    return
  end
  table.remove(waiting, 1)
  vim.cmd.redrawstatus({ bang = true })
  local ok, err = pcall(show, preview)
  if not ok then
    messages.notify(('the change cannot be shown: %s'):format(err), vim.log.levels.ERROR)
    finish(preview, nil)
  end
end

--- Show patches when it does not disturb; `answer` is called once with the user's choice.
---@param params coe.PreviewParams
---@param client_id integer
---@param answer fun(index: integer?)
function M.open(params, client_id, answer)
  table.insert(waiting, { params = params, client_id = client_id, answer = answer, choice = 1 })
  advance()
end

--- Reject what is shown or waits and fits `condition`.
---@param condition fun(preview: coe.Preview): boolean
local function reject_where(condition)
  local left = {} ---@type coe.Preview[]
  local dropped = {} ---@type coe.Preview[]
  for _, preview in ipairs(waiting) do
    table.insert(condition(preview) and dropped or left, preview)
  end
  waiting = left
  for _, preview in ipairs(dropped) do
    preview.answer(nil)
  end
  if shown and condition(shown) then
    finish(shown, nil)
  end
end

--- Whether a change is shown or waits to be.
---@return boolean
function M.waits()
  return shown ~= nil or #waiting > 0
end

--- Reject all that is shown or waits.
function M.reject_all()
  reject_where(function()
    return true
  end)
end

local group = vim.api.nvim_create_augroup('coe.preview', {})

vim.api.nvim_create_autocmd('LspDetach', {
  group = group,
  desc = 'A file that is closed, or a server that has ended, can take no change',
  callback = function(event)
    local name = vim.api.nvim_buf_get_name(event.buf)
    reject_where(function(preview)
      return preview.client_id == event.data.client_id
        and vim.uri_to_fname(preview.params.uri) == name
    end)
  end,
})

vim.api.nvim_create_autocmd('VimResized', {
  group = group,
  desc = 'Keep the preview on the screen',
  callback = function()
    if shown and vim.api.nvim_win_is_valid(shown.win) then
      vim.api.nvim_win_set_config(shown.win, layout(shown))
    end
  end,
})

return M
