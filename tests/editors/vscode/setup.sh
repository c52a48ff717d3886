#!/bin/sh
# Installs code-server (VS Code in a browser) and playwright-core into FOLDER, once.
#     setup.sh FOLDER
# Needs node 20 and npm; and, from Debian, chromium and ripgrep.
set -e
mkdir -p "$1"
cd "$1"
[ -f ready ] && exit 0
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund code-server@4.100.3 playwright-core@1.54
cd node_modules/code-server/lib/vscode
npm install --omit=dev --ignore-scripts --no-audit --no-fund
(cd extensions && npm install --omit=dev --ignore-scripts --no-audit --no-fund)
npm rebuild @vscode/spdlog native-watchdog
ln -sfn node_modules node_modules.asar
mkdir -p node_modules/@vscode/ripgrep/bin
ln -sf "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg
cd "$1"
npm rebuild argon2
touch ready
