//! The difference of two texts as a table. Must not know: what the texts are.

use crate::{
    dashboard::{format, settings::view::masked},
    diff::{self, Line, Mark},
};
use maud::{Markup, html};

/// Lines that are shown.
const SHOWN: usize = 3_000;

/// One line as it is shown.
struct Row<'a> {
    line: Line<'a>,
    text: &'a str,
    /// The bytes that are new or gone, in a line that takes another's place.
    changed: Option<(usize, usize)>,
}

/// The lines that differ. Secrets are hidden in what comes, too; a line that looks the same on both sides says why it is there.
pub(super) fn render(id: &str, old: &str, new: &str) -> Markup {
    let hunks = diff::hunks(old, new);
    let (come, gone) = diff::count(old, new);
    let (old_shown, new_shown) = (masked(old), masked(new));
    let mut left = SHOWN;
    let mut shown = Vec::new();
    for hunk in &hunks {
        let taken = hunk.len().min(left);
        left -= taken;
        shown.push(rows(
            &hunk[..taken],
            old_shown.as_deref(),
            new_shown.as_deref(),
        ));
    }
    let name = match id {
        "settings-diff-theirs" => "What they changed, by line",
        "settings-diff-mine" => "What you changed, by line",
        _ => "Changed lines",
    };
    html! {
        div.difference id=(id) {
            p.counts {
                @if hunks.is_empty() { "No line differs." }
                @else {
                    span.come { "+" (format::count(come as u64)) } " "
                    span.gone { "−" (format::count(gone as u64)) }
                    span.quiet { " lines" }
                }
            }
            @if !hunks.is_empty() {
                div.scroll role="region" aria-label=(name) tabindex="0" {
                    table {
                        caption.quiet { (name) }
                        thead.quiet { tr { th scope="col" { "Before" } th scope="col" { "After" } th scope="col" { "Change" } th scope="col" { "Line" } } }
                        @for hunk in &shown { tbody { @for row in hunk { (render_row(row)) } } }
                    }
                }
                @if left == 0 { p.note { "More lines differ than are shown." } }
            }
        }
    }
}

/// Lines with their secrets hidden; those that take each other's place, one by one, know where they differ.
fn rows<'a>(
    lines: &[Line<'a>],
    old: Option<&'a [String]>,
    new: Option<&'a [String]>,
) -> Vec<Row<'a>> {
    let row = |line: &Line<'a>| {
        let (shown, number) = if line.mark == Mark::Gone {
            (old, line.old)
        } else {
            (new, line.new)
        };
        let hidden = shown.and_then(|lines| lines.get(number - 1));
        Row {
            line: *line,
            text: hidden.map_or(line.text, String::as_str),
            changed: None,
        }
    };
    let mut rows: Vec<Row<'a>> = lines.iter().map(row).collect();
    let run = |rows: &[Row<'_>], from: usize, mark| {
        rows[from..]
            .iter()
            .take_while(|row| row.line.mark == mark)
            .count()
    };
    let mut at = 0;
    while at < rows.len() {
        let gone = run(&rows, at, Mark::Gone);
        let come = run(&rows, at + gone, Mark::Come);
        if gone == come {
            for pair in 0..gone {
                let (before, after) = (at + pair, at + gone + pair);
                if let Some((was, is)) = differing(rows[before].text, rows[after].text) {
                    rows[before].changed = Some(was);
                    rows[after].changed = Some(is);
                }
            }
        }
        at += (gone + come).max(1);
    }
    rows
}

/// Where two lines differ, when most of them is the same.
fn differing(old: &str, new: &str) -> Option<((usize, usize), (usize, usize))> {
    let front: usize = old
        .chars()
        .zip(new.chars())
        .take_while(|(a, b)| a == b)
        .map(|(letter, _)| letter.len_utf8())
        .sum();
    let back: usize = old[front..]
        .chars()
        .rev()
        .zip(new[front..].chars().rev())
        .take_while(|(a, b)| a == b)
        .map(|(letter, _)| letter.len_utf8())
        .sum();
    let alike = front + back;
    (old != new && 2 * alike >= old.len().min(new.len()))
        .then(|| ((front, old.len() - back), (front, new.len() - back)))
}

fn render_row(row: &Row<'_>) -> Markup {
    let line = &row.line;
    let fresh = line.mark == Mark::Come && row.text != line.text;
    let (class, sign, word) = match line.mark {
        Mark::Same => ("same", "", ""),
        Mark::Gone => ("gone", "−", "removed"),
        Mark::Come => ("come", "+", "added"),
    };
    html! {
        tr class=(class) {
            td.at { @if line.mark != Mark::Come { (line.old) } }
            td.at { @if line.mark != Mark::Gone { (line.new) } }
            td.sign { span aria-hidden="true" { (sign) } span.quiet { (word) } }
            td.text {
                code {
                    @match row.changed {
                        Some((from, until)) if from < until => {
                            (format::shown(&row.text[..from])) mark { (format::shown(&row.text[from..until])) } (format::shown(&row.text[until..]))
                        }
                        _ => (format::shown(row.text)),
                    }
                }
                @if fresh { span.fresh { "new secret" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_replace_each_other_show_where_they_differ() {
        assert_eq!(
            differing("a \u{fc} c", "a \u{f6}\u{f6} c"),
            Some(((2, 4), (2, 6)))
        );
        assert_eq!(differing("[1, 2]", "[1, 2, 3]"), Some(((5, 5), (5, 8))));
        assert_eq!(differing("abc", "xyz"), None);
        let page = render("d", "x\n{\"a\": 1}\n", "x\n{\"a\": 12}\n").into_string();
        assert!(
            page.contains("<code>{&quot;a&quot;: 1<mark>2</mark>}</code>"),
            "{page}"
        );
        let apart = render("d", "one\n", "two\nthree\n").into_string();
        assert!(!apart.contains("<mark>"));
    }

    #[test]
    fn a_new_secret_is_hidden_and_said() {
        let old = "{\n  \"apikey\": \"(secret, not shown)\"\n}\n";
        let new = "{\n  \"apikey\": \"sk-0123456789abcdef\"\n}\n";
        let page = render("d", old, new).into_string();
        assert!(
            !page.contains("sk-0123") && page.contains("new secret"),
            "{page}"
        );
        assert_eq!(page.matches("<tr class=\"come\">").count(), 1);
    }
}
