//! Tells Zed how to start `coe-lsp serve`, and hands it the user's settings. Installs nothing.

use zed_extension_api::{self as zed, serde_json, settings::LspSettings, LanguageServerId, Result};

struct Coe;

fn settings(id: &LanguageServerId, worktree: &zed::Worktree) -> LspSettings {
    LspSettings::for_worktree(id.as_ref(), worktree).unwrap_or_default()
}

impl zed::Extension for Coe {
    fn new() -> Self {
        Coe
    }

    /// `lsp.coe.binary` of Zed's settings, else `coe-lsp` on the project's PATH.
    fn language_server_command(
        &mut self,
        id: &LanguageServerId,
        worktree: &zed::Worktree,
    ) -> Result<zed::Command> {
        let binary = settings(id, worktree).binary;
        let path = binary.as_ref().and_then(|binary| binary.path.clone());
        let arguments = binary.and_then(|binary| binary.arguments);
        let command = path.or_else(|| worktree.which("coe-lsp")).ok_or(
            "coe-lsp is not on PATH: run `uv tool install coe-lsp`, or set lsp.coe.binary.path",
        )?;
        Ok(zed::Command {
            command,
            args: arguments.unwrap_or_else(|| vec!["serve".into()]),
            env: worktree.shell_env(),
        })
    }

    /// The server asks for the section `coe`.
    fn language_server_workspace_configuration(
        &mut self,
        id: &LanguageServerId,
        worktree: &zed::Worktree,
    ) -> Result<Option<serde_json::Value>> {
        let section = settings(id, worktree).settings.unwrap_or_default();
        Ok(Some(serde_json::json!({ "coe": section })))
    }
}

zed::register_extension!(Coe);
