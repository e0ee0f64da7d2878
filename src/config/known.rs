//! Keys of the product that this version accepts and does not act on.
//!
//! Owns: one table: object, key, how grave, and what exactly is not done. A key that would protect something says so and
//! is a mistake, so that nobody believes in a protection that is not there.
//! Must not know: values.

use super::finding::Class;

/// One such key.
pub(crate) struct Known {
    /// The object it stands in, by its name in `raw`.
    pub(crate) object: &'static str,
    /// The key.
    pub(crate) key: &'static str,
    /// How grave it is.
    pub(crate) class: Class,
    /// What is not done, or what to write instead.
    pub(crate) note: &'static str,
}

impl Known {
    /// The finding's message.
    pub(crate) fn message(&self, key: &str) -> String {
        match self.object {
            // The real product calls these unknown, too.
            "Grant" => format!("unknown config key {key:?}"),
            _ => format!("{key:?} is not supported by this version, ignored"),
        }
    }
}

/// Looks a key up.
pub(crate) fn find(object: &str, key: &str) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.object == object && known.key == key)
}

const fn known(object: &'static str, key: &'static str, class: Class, note: &'static str) -> Known {
    Known {
        object,
        key,
        class,
        note,
    }
}

const CORS: &str = "web pages are allowed by gateway.cors.origins only";

/// The table.
pub(crate) const KNOWN: &[Known] = &[
    known(
        "Document",
        "quotas",
        Class::Mistake,
        "spending is not limited",
    ),
    known(
        "Document",
        "hooks",
        Class::Advice,
        "hooks are not called, guardrails included: requests pass unchecked",
    ),
    known(
        "Document",
        "exporters",
        Class::Advice,
        "nothing is exported",
    ),
    known(
        "Document",
        "mcp",
        Class::Advice,
        "MCP servers are not offered",
    ),
    known(
        "Document",
        "connectors",
        Class::Advice,
        "connectors are not offered",
    ),
    known(
        "Document",
        "database",
        Class::Mistake,
        "its retention is not applied: set gateway.retention and gateway.capture.age",
    ),
    known(
        "Document",
        "flags",
        Class::Advice,
        "no feature depends on it",
    ),
    known(
        "Document",
        "chat_models",
        Class::Advice,
        "there is no built-in chat",
    ),
    known(
        "Provider",
        "upstream",
        Class::Advice,
        "it changes nothing here",
    ),
    known(
        "Grant",
        "dst",
        Class::Mistake,
        "a grant of this document always means this gateway; dst belongs into the tailnet policy",
    ),
    known(
        "Grant",
        "ip",
        Class::Mistake,
        "ports belong into the tailnet policy; here it opens nothing",
    ),
    known(
        "Grant",
        "via",
        Class::Mistake,
        "routes belong into the tailnet policy; here it changes nothing",
    ),
    known(
        "Grant",
        "srcPosture",
        Class::Mistake,
        "postures can't be checked here, so this grant gives nothing; move it into the tailnet policy",
    ),
    known("TempItem", "hook", Class::Advice, "the hook is not called"),
    known(
        "Capability",
        "quotas",
        Class::Mistake,
        "spending under this grant is not limited",
    ),
    known(
        "Capability",
        "send_hooks",
        Class::Advice,
        "the hooks are not called, guardrails included: requests pass unchecked",
    ),
    known(
        "Capability",
        "mcp_tools",
        Class::Advice,
        "MCP servers are not offered",
    ),
    known(
        "Capability",
        "mcp_resources",
        Class::Advice,
        "MCP servers are not offered",
    ),
    known(
        "Capability",
        "mcp_templates",
        Class::Advice,
        "MCP servers are not offered",
    ),
    known(
        "Capability",
        "connectors",
        Class::Advice,
        "connectors are not offered",
    ),
    known(
        "Capability",
        "skills",
        Class::Advice,
        "there is no built-in chat",
    ),
    known(
        "Capability",
        "filterable_headers",
        Class::Advice,
        "logs can't be filtered by headers",
    ),
    known(
        "Capability",
        "direct_paths",
        Class::Advice,
        "there is no direct access",
    ),
    known(
        "Capability",
        "enable_chat_ui",
        Class::Advice,
        "there is no built-in chat",
    ),
    known("Capability", "set_cors", Class::Advice, CORS),
    known("Capability", "cors_paths", Class::Advice, CORS),
    known(
        "Capability",
        "Access-Control-Allow-Origin",
        Class::Advice,
        CORS,
    ),
    known(
        "Capability",
        "Access-Control-Allow-Methods",
        Class::Advice,
        CORS,
    ),
    known(
        "Capability",
        "Access-Control-Allow-Headers",
        Class::Advice,
        CORS,
    ),
];
