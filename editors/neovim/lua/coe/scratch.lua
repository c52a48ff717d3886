-- A read-only Markdown document of the server's in a split; a second one takes the first's place.

local M = {}

--- The window that shows a document already, if any, in the current tab page.
---@return integer?
local function window()
  for _, win in ipairs(vim.api.nvim_tabpage_list_wins(0)) do
    if vim.w[win].coe_document then
      return win
    end
  end
end

---@param title string
---@param text string
function M.open(title, text)
  local bufnr = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, vim.split(vim.trim(text), '\r?\n'))
  local win = window()
  if win then
    vim.api.nvim_set_current_win(win)
    vim.api.nvim_win_set_buf(win, bufnr)
  else
    win = vim.api.nvim_open_win(bufnr, true, { split = 'below' })
    vim.w[win].coe_document = true
  end
  vim.bo[bufnr].bufhidden = 'wipe'
  -- The number keeps names apart; a buffer that is wiped only later still has the old one.
  vim.api.nvim_buf_set_name(bufnr, ('coe://%d/%s'):format(bufnr, title))
  vim.bo[bufnr].filetype = 'markdown'
  vim.bo[bufnr].modifiable = false
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = bufnr, nowait = true, desc = 'Close' })
end

return M
