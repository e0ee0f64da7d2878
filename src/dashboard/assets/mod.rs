//! The one stylesheet, the one script (of two files) and the icon, compiled in; their addresses carry the hash of their text.

use std::sync::LazyLock;

/// The stylesheet.
pub(super) const STYLE: &str = include_str!("style.css");
/// The script: pages work without it, but for what moves by itself.
pub(super) const SCRIPT: &str = concat!(include_str!("page.js"), include_str!("editor.js"));
/// The icon, also the mark beside the name.
pub(super) const ICON: &str = include_str!("icon.svg");

/// The stylesheet's address: another text, another address, so that it can be cached for ever.
pub(super) fn style_path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| named("style", STYLE, "css"));
    &PATH
}

/// The script's address.
pub(super) fn script_path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| named("page", SCRIPT, "js"));
    &PATH
}

fn named(name: &str, text: &str, kind: &str) -> String {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    format!("/ui/assets/{name}-{}.{kind}", &hash[..12])
}
