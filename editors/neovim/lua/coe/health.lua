-- :checkhealth coe. Asks the server's own `doctor` about the machine and adds advice for Neovim.

local M = {}

local health = vim.health

--- How long the doctor may take, in milliseconds: it starts a sandbox and a Python.
local PATIENCE = 60000

--- What to do in Neovim about a check of the doctor's that fails; its own text says the rest.
local ADVICE = {
  interpreter = {
    'Give the project a `.venv` with pytest in it, or name another Python: '
      .. "vim.lsp.config('coe', { settings = { coe = { python = '/path/to/python' } } }).",
  },
  sandbox = {
    'Install bubblewrap; where it is forbidden, ask who runs the machine to allow user namespaces.',
    'To run your tests without isolation, as you do by hand: '
      .. "vim.lsp.config('coe', { settings = { coe = { sandbox = 'off' } } }).",
  },
  model = {
    'Run `coe-lsp models pull` once while online; the first repair offers it, too.',
    'To use a model file of your own: '
      .. "vim.lsp.config('coe', { settings = { coe = { model = '/path/to/model.gguf' } } }).",
  },
  processor = {
    'Install coe-lsp again, so that llama-cpp-python is compiled for this machine.',
  },
}

--- Run a program to its end.
---@param cmd string[]
---@param cwd? string
---@return boolean ran
---@return string text its output, or why there is none
local function run(cmd, cwd)
  local ok, result = pcall(function()
    return vim.system(cmd, { text = true, cwd = cwd }):wait(PATIENCE)
  end)
  if not ok then
    return false, tostring(result)
  elseif result.code == 124 then
    return false, ('no answer in %d seconds'):format(PATIENCE / 1000)
  end
  local text = vim.trim(result.stdout) ~= '' and result.stdout or result.stderr
  return vim.trim(result.stdout) ~= '', text
end

--- The `coe-lsp` that the configuration starts, without what follows `serve`.
---@param config vim.lsp.Config
---@return string[]?
local function program(config)
  if type(config.cmd) ~= 'table' then
    return nil
  end
  local words = {}
  for _, word in ipairs(config.cmd) do
    if word == 'serve' then
      return words
    end
    table.insert(words, word)
  end
end

local function check_neovim()
  local version = tostring(vim.version())
  if vim.fn.has('nvim-0.11') == 1 then
    health.ok('Neovim ' .. version)
  else
    health.error('Neovim ' .. version, 'coe needs Neovim 0.11 or newer.')
  end
  if vim.lsp.is_enabled('coe') then
    health.ok('enabled')
  else
    health.warn('not enabled', "Add vim.lsp.enable('coe') to your init.lua.")
  end
end

---@param config vim.lsp.Config
---@return string[]? program
local function check_server(config)
  local problem = require('coe.client').missing()
  if problem then
    local what, advice = problem:match('^(.-%.) (.*)$')
    health.error(what, advice)
    return nil
  end
  local cmd = program(config)
  if not cmd then
    health.warn(
      ('`cmd` is not of the form { "coe-lsp", "serve" }: %s'):format(vim.inspect(config.cmd)),
      'The checks below need the program that the server is started with; run `coe-lsp doctor`.'
    )
    return nil
  end
  local ran, version = run(vim.list_extend(vim.list_slice(cmd), { '--version' }))
  local path = vim.fn.exepath(cmd[1])
  if ran then
    health.ok(('server found: %s (%s)'):format(path, vim.trim(version)))
    return cmd
  end
  health.error(
    ('%s does not run: %s'):format(path, vim.trim(version)),
    'Install coe-lsp again in a Python (3.11 to 3.13) of its own.'
  )
end

local function check_clients()
  local clients = require('coe.client').all()
  if #clients == 0 then
    health.info('no server is running: none is started before a Python file is opened')
  end
  for _, client in ipairs(clients) do
    local version = vim.tbl_get(client, 'server_info', 'version') or 'unknown version'
    local root = client.root_dir or 'no project'
    health.info(('server %d is running: %s, %s'):format(client.id, version, root))
  end
end

--- Turn `  ok   name: text` and `  fail name: text` into reports.
---@param output string
---@param unneeded? string a check whose failure does not matter
---@return boolean any
local function report(output, unneeded)
  local checks = {} ---@type { verdict: string, name: string, text: string }[]
  for line in vim.gsplit(vim.trim(output), '\n') do
    local verdict, name, text = line:match('^%s*(%l+)%s+(%l+): (.*)$')
    if verdict == 'ok' or verdict == 'fail' then
      table.insert(checks, { verdict = verdict, name = name, text = text })
    elseif #checks > 0 then
      checks[#checks].text = checks[#checks].text .. '\n' .. line
    end
  end
  for _, check in ipairs(checks) do
    local text = ('%s: %s'):format(check.name, check.text)
    if check.verdict == 'ok' then
      health.ok(text)
    elseif check.name == unneeded then
      health.info(text)
    else
      health.error(text, ADVICE[check.name])
    end
  end
  return #checks > 0
end

---@param cmd string[]
---@param config vim.lsp.Config
local function check_machine(cmd, config)
  local client = require('coe.client').all()[1]
  local settings = vim.tbl_get(client or config, 'settings', 'coe') or {}
  cmd = vim.list_extend(vim.list_slice(cmd), { 'doctor' })
  for _, name in ipairs({ 'python', 'model' }) do
    if settings[name] then
      vim.list_extend(cmd, { '--' .. name, settings[name] })
    end
  end
  local folder = client and client.root_dir or vim.fn.getcwd()
  health.info('as seen from ' .. folder)
  local isolated = settings.sandbox ~= 'off'
  local ran, output = run(cmd, folder)
  if not isolated then
    health.warn(
      "the setting `sandbox` is 'off': tests run without isolation",
      'Remove the setting unless you trust everything that your tests run.'
    )
  end
  if not (ran and report(output, not isolated and 'sandbox' or nil)) then
    health.error(
      ('`%s` does not work: %s'):format(table.concat(cmd, ' '), vim.trim(output)),
      'Install coe-lsp again, and report this if it stays so.'
    )
  end
end

function M.check()
  health.start('coe: Neovim')
  check_neovim()
  local config = vim.lsp.config.coe
  health.start('coe: server')
  if not config then
    health.error(
      'lsp/coe.lua is not on the runtime path',
      'Install the plugin as a whole, see `:help coe-install`.'
    )
    return
  end
  local cmd = check_server(config)
  check_clients()
  if cmd then
    health.start('coe: what a repair needs')
    check_machine(cmd, config)
  end
end

return M
