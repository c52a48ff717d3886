-- How Neovim runs coe-lsp; read by vim.lsp.enable('coe'), changed by vim.lsp.config('coe', {...}).

--- A handler that loads its code when it is first needed.
---@param name string
local function handler(name)
  return function(...)
    return require('coe.handlers')[name](...)
  end
end

---@type vim.lsp.Config
return {
  cmd = { 'coe-lsp', 'serve' },
  filetypes = { 'python' },
  -- One nested list: the nearest folder that has any of them, as the server looks for it.
  root_markers = {
    { 'pyproject.toml', 'pytest.ini', 'setup.cfg', 'setup.py', 'tox.ini', '.git' },
  },
  capabilities = {
    -- Off on Linux, since Neovim's own watcher falls short there; ours is used.
    workspace = { didChangeWatchedFiles = { dynamicRegistration = true } },
    experimental = { coe = { preview = true, status = true, chain = true } },
  },
  -- Nothing is set; but an empty Lua table alone would reach the server as a list.
  settings = { coe = vim.empty_dict() },
  handlers = {
    ['client/registerCapability'] = handler('register_capability'),
    ['coe/preview'] = handler('preview'),
    ['coe/status'] = handler('status'),
    ['window/showMessage'] = handler('show_message'),
    ['window/showMessageRequest'] = handler('show_message_request'),
    ['workspace/applyEdit'] = handler('apply_edit'),
  },
}
