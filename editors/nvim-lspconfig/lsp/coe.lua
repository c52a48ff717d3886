---@brief
---
--- https://github.com/coe-lsp/coe-lsp
---
--- Repairs failing Python functions on your own machine, with mutations and a small language model,
--- and proves each repair with your own tests.
---
--- ```sh
--- uv tool install coe-lsp
--- ```
---
--- The code action "Repair with CoE" asks before it changes anything. The plugin in the server's
--- repository adds a preview of the diff, a status line and commands.
---
--- Settings, all of them optional:
---
--- ```lua
--- vim.lsp.config('coe', {
---   settings = {
---     coe = {
---       budget = 30, -- seconds that a repair may search
---       model = 'none', -- mutations alone
---     },
---   },
--- })
--- ```

---@type vim.lsp.Config
return {
  cmd = { 'coe-lsp', 'serve' },
  filetypes = { 'python' },
  root_markers = {
    { 'pyproject.toml', 'pytest.ini', 'setup.cfg', 'setup.py', 'tox.ini', '.git' },
  },
}
