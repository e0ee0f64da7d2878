//! Which server a tool is from, by the names that clients give to their servers' tools.
//!
//! Owns: the table of conventions. In: the client's short name and the tool's. Out: the server, where the name tells.
//! Names are ambiguous where a client joins with a sign that its own tools have too; then its own tools are listed.

/// The server in a tool's name; none for the client's own tools.
pub fn tool_server<'a>(client: &str, tool: &'a str) -> Option<&'a str> {
    let server = match client {
        "opencode" | "kilo" if !OPENCODE.contains(&tool) => tool.split_once('_')?.0,
        "opencode" | "kilo" => return None,
        "gemini-cli" if !tool.contains("__") => tool.strip_prefix("mcp_")?.split_once('_')?.0,
        "copilot-cli" if !tool.contains("__") => tool.rsplit_once('-')?.0,
        // Claude Code, Codex, Qwen Code, Continue: `mcp__server__tool`; Goose: `extension__tool`.
        _ => {
            let name = tool.strip_prefix("mcp__").unwrap_or(tool);
            name.split_once("__")?.0
        }
    };
    (!server.is_empty()).then_some(server)
}

/// Tools of `OpenCode` and of Kilo themselves that have an underscore.
const OPENCODE: [&str; 10] = [
    "apply_patch",
    "plan_enter",
    "plan_exit",
    "todo_read",
    "todo_write",
    "agent_manager",
    "codebase_search",
    "semantic_search",
    "suggest_mode",
    "new_task",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_by_the_conventions_of_their_clients() {
        for (client, tool, server) in [
            ("claude-code", "mcp__github__create_issue", Some("github")),
            ("claude-code", "Bash", None),
            ("codex", "mcp__docs__search", Some("docs")),
            ("goose", "developer__shell", Some("developer")),
            ("gemini-cli", "mcp_github_create_issue", Some("github")),
            ("gemini-cli", "run_shell_command", None),
            ("qwen-code", "mcp__github__x", Some("github")),
            ("opencode", "github_create_issue", Some("github")),
            ("opencode", "apply_patch", None),
            ("opencode", "bash", None),
            (
                "copilot-cli",
                "github-mcp-server-list_issues",
                Some("github-mcp-server"),
            ),
            ("copilot-cli", "bash", None),
            ("openai-python", "get_weather", None),
            ("openai-python", "__x", None),
        ] {
            assert_eq!(tool_server(client, tool), server, "{client} {tool}");
        }
    }
}
