//! Findings for people: as a compiler prints them, and as log lines.
//!
//! Owns: the layout. In: findings. Out: text, or log events. Must not know: where they come from.

use super::{Finding, Severity, Strictness, finding::Class};
use std::{fmt::Write as _, path::Path};

/// Renders findings for `aperture check`: `file:line:column: severity: message`, the key path, a hint.
pub fn render_findings(path: &Path, findings: &[Finding]) -> String {
    let mut out = String::new();
    let (mut errors, mut warnings) = (0, 0);
    for finding in findings {
        let severity = match finding.severity(Strictness::Save) {
            Severity::Error => {
                errors += 1;
                "error"
            }
            Severity::Warning => {
                warnings += 1;
                "warning"
            }
        };
        let (line, column) = (finding.line, finding.column);
        let message = visible(&finding.message);
        let file = visible(&path.to_string_lossy());
        // Writing to a String can't fail.
        let _ = writeln!(out, "{file}:{line}:{column}: {severity}: {message}");
        if !finding.path.is_empty() {
            let _ = writeln!(out, "    at {}", visible(&finding.path));
        }
        if let Some(hint) = &finding.hint {
            let _ = writeln!(out, "    hint: {}", visible(hint));
        }
    }
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    let _ = writeln!(
        out,
        "{}, {}",
        plural(errors, "error"),
        plural(warnings, "warning")
    );
    out
}

/// Logs findings as a load sees them: one event each.
pub fn log_findings(path: &Path, findings: &[Finding]) {
    for finding in findings {
        let file = path.display();
        let Finding {
            line,
            column,
            path: key,
            message,
            hint,
            ..
        } = finding;
        let hint = hint.as_deref().unwrap_or_default();
        if finding.class == Class::Broken {
            tracing::error!(%file, line, column, key, hint, "config: {message}");
        } else {
            tracing::warn!(%file, line, column, key, hint, "config: {message}");
        }
    }
}

/// A text without control characters: keys come from a file and go to a terminal.
fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            let escaped = letter.is_control().then(|| letter.escape_unicode());
            let plain = escaped.is_none().then_some(letter);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}
