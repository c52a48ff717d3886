-- Messages that never ask for a key press: one that is wider than the command line would wait for
-- <CR> and swallow what is typed meanwhile (|hit-enter|). It is put into |:messages| line by line,
-- and the screen gets what fits.

local M = {}

--- How often to look whether the command line is free again, in milliseconds.
local PATIENCE = 200

local MORE = ' … :messages'

--- On one line, with control characters made visible.
---@param text string
---@return string
function M.plain(text)
  return vim.fn.strtrans((vim.trim(text):gsub('[%s%z]+', ' ')))
end

--- The longest beginning of a text that is not wider than `room`; at least one character.
---@param text string
---@param room integer
---@return string
local function head(text, room)
  local length = vim.fn.strchars(text)
  while length > 1 and vim.fn.strdisplaywidth(vim.fn.strcharpart(text, 0, length)) > room do
    length = length - 1
  end
  return vim.fn.strcharpart(text, 0, length)
end

--- Plain text that fits in the command line.
---@param text string
---@param ellipsis? string what stands for the rest
---@return string
function M.fitted(text, ellipsis)
  ellipsis = ellipsis or '…'
  text = M.plain(text)
  if vim.fn.strdisplaywidth(text) <= vim.v.echospace then
    return text
  end
  local room = vim.v.echospace - vim.fn.strdisplaywidth(ellipsis)
  return head(text, room) .. ellipsis
end

--- Plain text cut into lines that fit, between words where there are any.
---@param text string
---@return string[]
local function wrapped(text)
  local lines = {} ---@type string[]
  local rest = M.plain(text)
  while vim.fn.strdisplaywidth(rest) > vim.v.echospace do
    local line = head(rest, vim.v.echospace)
    line = line:match('^(.*%S)%s') or line
    table.insert(lines, line)
    rest = vim.trim(rest:sub(#line + 1))
  end
  table.insert(lines, rest)
  return lines
end

--- Whether a message would come between the user and a command line or a question.
---@return boolean
function M.disturbing()
  local mode = vim.api.nvim_get_mode()
  return mode.blocking or mode.mode:match('^[cr]') ~= nil
end

---@type { [1]: string, [2]: integer|string? }[]
local waiting = {}
local polling = false

local unseen ---@type { [1]: string, [2]: integer|string? }?

--- Echo what fits, outside of |:messages|. 'showmode' writes over it in Insert mode: there, again
--- afterwards.
---@param text string
---@param highlight? integer|string
---@param ellipsis? string
function M.show(text, highlight, ellipsis)
  if M.disturbing() then
    return
  end
  local chunk = { M.fitted(text, ellipsis), highlight }
  vim.api.nvim_echo({ chunk }, false, {})
  if not vim.o.showmode or not vim.api.nvim_get_mode().mode:match('^[iR]') then
    return
  elseif not unseen then
    vim.api.nvim_create_autocmd('InsertLeave', {
      once = true,
      callback = vim.schedule_wrap(function()
        if not M.disturbing() then
          vim.api.nvim_echo({ unseen }, false, {})
        end
        unseen = nil
      end),
    })
  end
  unseen = chunk
end

local function flush()
  if #waiting == 0 or polling then
    return
  elseif M.disturbing() then
    polling = true
    vim.defer_fn(function()
      polling = false
      flush()
    end, PATIENCE)
    return
  end
  local shown = waiting
  waiting = {}
  for _, message in ipairs(shown) do
    local text, highlight = unpack(message)
    local lines = wrapped(text)
    for _, line in ipairs(lines) do
      vim.api.nvim_echo({ { line, highlight } }, true, {})
    end
    M.show(text, highlight, MORE)
  end
end

--- In place of |nvim_echo()|.
---@param chunks { [1]: string, [2]: integer|string? }[]
---@param _ boolean
---@param opts vim.api.keyset.echo_opts
local function echo_later(chunks, _, opts)
  local text = table.concat(vim.tbl_map(function(chunk)
    return chunk[1]
  end, chunks))
  table.insert(waiting, { text, opts.err and 'ErrorMsg' or chunks[1][2] })
  -- Later: a command that echoes more than a line asks for a key press, too.
  vim.schedule(flush)
end

---@param message string
---@param level? integer of |vim.log.levels|
function M.notify(message, level)
  -- The user's own vim.notify() has the message as it is. It may show it in a window; if it comes
  -- to echoing it, as Neovim's does, that is made harmless.
  local echo = vim.api.nvim_echo
  vim.api.nvim_echo = echo_later
  local ok, err = pcall(vim.notify, 'coe: ' .. message, level or vim.log.levels.INFO)
  vim.api.nvim_echo = echo
  if not ok then
    error(err, 0)
  end
end

return M
