//! The one stylesheet and the icon, compiled in; the stylesheet's address carries the hash of its text.

use std::sync::LazyLock;

/// The stylesheet.
pub(super) const STYLE: &str = include_str!("style.css");
/// The icon, also the mark beside the name.
pub(super) const ICON: &str = include_str!("icon.svg");

/// The stylesheet's address: another text, another address, so that it can be cached for ever.
pub(super) fn style_path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| {
        let hash = blake3::hash(STYLE.as_bytes()).to_hex();
        format!("/ui/assets/style-{}.css", &hash[..12])
    });
    &PATH
}
