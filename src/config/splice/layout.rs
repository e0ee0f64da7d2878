//! Where a new entry goes, and how the text around it is laid out.
//!
//! Owns: the indentation, line ends and trailing commas that a text uses, and the rule of the place: beside the entry that
//! is there, with that entry's comment left beside it. In: a text, a container's range and its entries'. Out: insertions.
//! Must not know: keys.

use super::{
    Edit, Piece,
    piece::{self, quote},
};
use jsonc_parser::{
    ParseResult, ast,
    common::{Range, Ranged},
};

/// How a text is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// Its line end.
    pub(super) newline: &'static str,
    /// One step of indentation.
    pub(super) unit: String,
    /// Whether the last entry over several lines has a comma.
    pub(super) trailing: bool,
}

/// The ranges of all comments, in order.
pub(super) struct Comments(Vec<Range>);

/// An object or array: its range with the brackets, and those of its entries.
pub(super) struct Container {
    range: Range,
    entries: Vec<Range>,
}

impl Style {
    /// As the text does it; two spaces where it does not say.
    pub(super) fn of(text: &str) -> Self {
        let newline = match text.find('\n') {
            Some(at) if text[..at].ends_with('\r') => "\r\n",
            _ => "\n",
        };
        let mut indents = text.lines().filter_map(|line| {
            let rest = line.trim_start_matches([' ', '\t']);
            let indent = &line[..line.len() - rest.len()];
            (!indent.is_empty() && rest.starts_with(['"', '{', '['])).then_some(indent)
        });
        Self {
            newline,
            unit: indents.next().unwrap_or("  ").to_owned(),
            trailing: false,
        }
    }
}

impl Comments {
    pub(super) fn of(text: &str, parsed: &ParseResult<'_>) -> Self {
        let all = parsed.comments.iter().flat_map(|map| map.values());
        let mut ranges: Vec<Range> = all
            .flat_map(|comments| comments.iter().map(Ranged::range))
            .collect();
        ranges.sort_by_key(|range| range.start);
        ranges.dedup();
        for range in &mut ranges {
            // The carriage return belongs to the line end.
            let comment = text[range.start..range.end].trim_end_matches('\r');
            range.end = range.start + comment.len();
        }
        Self(ranges)
    }

    /// The end of the comment that begins here.
    fn beginning_at(&self, at: usize) -> Option<usize> {
        let found = self.0.binary_search_by_key(&at, |range| range.start).ok()?;
        Some(self.0[found].end)
    }

    /// The end of the last comment within a range.
    fn last_within(&self, start: usize, end: usize) -> Option<usize> {
        let within = |range: &&Range| start <= range.start && range.end <= end;
        self.0.iter().rev().find(within).map(|range| range.end)
    }
}

impl Container {
    pub(super) fn object(object: &ast::Object<'_>) -> Self {
        Self {
            range: object.range(),
            entries: object.properties.iter().map(Ranged::range).collect(),
        }
    }

    pub(super) fn array(array: &ast::Array<'_>) -> Self {
        Self {
            range: array.range(),
            entries: array.elements.iter().map(Ranged::range).collect(),
        }
    }
}

/// What to insert for a new entry.
pub(super) fn insertion(
    text: &str,
    container: &Container,
    comments: &Comments,
    entry: (Option<&str>, &Piece),
) -> Vec<Edit> {
    let mut style = Style::of(text);
    let outer = indent_of(text, container.range.start);
    let (Some(first), Some(last)) = (container.entries.first(), container.entries.last()) else {
        let inner = format!("{outer}{}", style.unit);
        return vec![into_empty(
            text,
            container,
            comments,
            &style,
            (outer, &inner),
            entry,
        )];
    };
    let comma = comma_after(text, last.end, container.range.end, comments);
    let several = text[container.range.start..first.start].contains('\n');
    if !several {
        let entry = named(entry, &|piece| piece.inline());
        return vec![match comma {
            None => insert(last.end, format!(", {entry}")),
            Some(comma) => insert(comma + 1, format!(" {entry},")),
        }];
    }
    style.trailing = comma.is_some();
    let inner = indent_of(text, first.start);
    let one_line = !text[last.start..last.end].contains('\n');
    let entry = named(entry, &|piece| {
        let inline = piece.inline();
        if one_line && inline.len() <= piece::LONG {
            return inline;
        }
        piece.spread_entry(&style, inner)
    });
    let newline = style.newline;
    if let Some(comma) = comma {
        let at = end_of_line(text, comma + 1, comments);
        return vec![insert(at, format!("{newline}{inner}{entry},"))];
    }
    let at = end_of_line(text, last.end, comments);
    if at == last.end {
        return vec![insert(at, format!(",{newline}{inner}{entry}"))];
    }
    vec![
        insert(last.end, ",".to_owned()),
        insert(at, format!("{newline}{inner}{entry}")),
    ]
}

/// An entry of an empty container, after the comments in it.
fn into_empty(
    text: &str,
    container: &Container,
    comments: &Comments,
    style: &Style,
    (outer, inner): (&str, &str),
    entry: (Option<&str>, &Piece),
) -> Edit {
    let (open, close) = (container.range.start + 1, container.range.end - 1);
    let at = comments.last_within(open, close).unwrap_or(open);
    let entry = named(entry, &|piece| piece.spread_entry(style, inner));
    let newline = style.newline;
    // The bracket goes to a line of its own, unless it is on one.
    let end = if text[at..close].contains('\n') {
        String::new()
    } else {
        format!("{newline}{outer}")
    };
    insert(at, format!("{newline}{inner}{entry}{end}"))
}

fn insert(at: usize, text: String) -> Edit {
    Edit {
        start: at,
        end: at,
        text,
    }
}

fn named((key, value): (Option<&str>, &Piece), write: &dyn Fn(&Piece) -> String) -> String {
    match key {
        Some(key) => format!("{}: {}", quote(key), write(value)),
        None => write(value),
    }
}

/// The white space that the line of a byte begins with.
fn indent_of(text: &str, at: usize) -> &str {
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let rest = text[line..].trim_start_matches([' ', '\t']);
    &text[line..text.len() - rest.len()]
}

/// The comma that follows the last entry, past white space and comments.
fn comma_after(text: &str, from: usize, until: usize, comments: &Comments) -> Option<usize> {
    let mut at = from;
    while at < until {
        if let Some(end) = comments.beginning_at(at) {
            at = end;
            continue;
        }
        match text.as_bytes()[at] {
            b',' => return Some(at),
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => return None,
        }
    }
    None
}

/// The end of the line if nothing but white space and comments that end on it are before that; else where it began.
fn end_of_line(text: &str, from: usize, comments: &Comments) -> usize {
    let mut at = from;
    let mut taken = from;
    while at < text.len() {
        if let Some(end) = comments.beginning_at(at) {
            if text[at..end].contains('\n') {
                return taken;
            }
            at = end;
            taken = end;
            continue;
        }
        match text.as_bytes()[at] {
            b' ' | b'\t' => at += 1,
            b'\r' | b'\n' => return taken,
            _ => return from,
        }
    }
    taken
}
