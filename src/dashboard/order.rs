//! The order of a table's rows, which stands in the address like everything else that is chosen: `sort=people.cost`, and the
//! other way round `sort=-people.cost`.
//!
//! Owns: [`Column`], the heads of a table and the order of its rows. In: rows as they come, an address. Out: heads that lead
//! to the other orders, rows in the one that was asked for. Must not know: what the rows are.

use super::route::{Route, link};
use maud::{Markup, html};
use std::{borrow::Cow, cmp::Ordering};

/// Which way a column goes when it is chosen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Names: from A on.
    Up,
    /// Figures and times: the largest first.
    Down,
}

/// How two rows compare by one column.
type Compare<R> = fn(&R, &R) -> Ordering;

/// One column.
#[derive(Debug)]
pub(super) struct Column<R> {
    /// Its word in addresses.
    pub(super) word: &'static str,
    /// Its head.
    pub(super) label: Cow<'static, str>,
    pub(super) class: &'static str,
    /// What the head says on hover; may be empty.
    pub(super) title: &'static str,
    /// How its rows compare, and which way first; none when nobody orders by it.
    pub(super) by: Option<(Way, Compare<R>)>,
}

/// A page's address, without the order.
#[derive(Clone, Debug)]
pub(super) struct Address<'a> {
    pub(super) route: &'a Route,
    pub(super) pairs: Vec<(&'static str, &'a str)>,
    pub(super) sort: &'a str,
}

// === impl Column ===

impl<R> Column<R> {
    /// A name, from A on.
    pub(super) const fn name(word: &'static str, label: &'static str, compare: Compare<R>) -> Self {
        Self {
            word,
            label: Cow::Borrowed(label),
            class: "",
            title: "",
            by: Some((Way::Up, compare)),
        }
    }

    /// A figure, the largest first.
    pub(super) const fn figure(
        word: &'static str,
        label: &'static str,
        compare: Compare<R>,
    ) -> Self {
        Self {
            word,
            label: Cow::Borrowed(label),
            class: "num",
            title: "",
            by: Some((Way::Down, compare)),
        }
    }

    /// A time, the latest first.
    pub(super) const fn time(word: &'static str, label: &'static str, compare: Compare<R>) -> Self {
        Self {
            word,
            label: Cow::Borrowed(label),
            class: "",
            title: "",
            by: Some((Way::Down, compare)),
        }
    }

    /// One that nobody orders by.
    pub(super) const fn plain(label: &'static str, class: &'static str) -> Self {
        Self {
            word: "",
            label: Cow::Borrowed(label),
            class,
            title: "",
            by: None,
        }
    }

    /// The same, left out where the screen is narrow.
    pub(super) const fn optional(mut self) -> Self {
        self.class = match self.class.as_bytes() {
            b"" => "opt",
            _ => "num opt",
        };
        self
    }

    /// The same, with a word of explanation on hover.
    pub(super) const fn titled(mut self, title: &'static str) -> Self {
        self.title = title;
        self
    }
}

/// The column that an address orders a table by, and whether the other way round than it goes first.
fn chosen<'a>(sort: &'a str, table: &str) -> Option<(&'a str, bool)> {
    let (reversed, rest) = match sort.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, sort),
    };
    let column = rest.strip_prefix(table)?.strip_prefix('.')?;
    Some((column, reversed))
}

/// The heads of a table's columns.
pub(super) fn heads<R>(table: &str, columns: &[Column<R>], address: &Address<'_>) -> Markup {
    let chosen = chosen(address.sort, table);
    let at = |column: &Column<R>| {
        let back = chosen == Some((column.word, false));
        let sort = format!("{}{table}.{}", if back { "-" } else { "" }, column.word);
        let mut pairs = address.pairs.clone();
        pairs.push(("sort", &sort));
        link(address.route, &pairs)
    };
    let state = |column: &Column<R>| {
        let (way, _) = column.by?;
        let (_, reversed) = chosen.filter(|(word, _)| *word == column.word)?;
        Some(match (way, reversed) {
            (Way::Up, false) | (Way::Down, true) => "ascending",
            (Way::Down, false) | (Way::Up, true) => "descending",
        })
    };
    html! {
        @for column in columns {
            th class=[(!column.class.is_empty()).then_some(column.class)] scope="col" aria-sort=[state(column)]
                title=[(!column.title.is_empty()).then_some(column.title)] {
                @if column.by.is_some() { a href=(at(column)) { (column.label) } }
                @else if column.class.contains("graph") { span.quiet { (column.label) } }
                @else { (column.label) }
            }
        }
    }
}

/// The rows in the order that the address asks for; as they came when it asks for none that there is.
pub(super) fn rows<'r, R>(
    table: &str,
    columns: &[Column<R>],
    address: &Address<'_>,
    rows: &'r [R],
) -> Vec<&'r R> {
    let mut ordered: Vec<&R> = rows.iter().collect();
    let Some((word, reversed)) = chosen(address.sort, table) else {
        return ordered;
    };
    let found = columns.iter().find(|column| column.word == word);
    if let Some((way, compare)) = found.and_then(|column| column.by) {
        ordered.sort_by(|one, other| compare(one, other));
        if (way == Way::Down) != reversed {
            ordered.reverse();
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static str, u64);
    const COLUMNS: [Column<Row>; 3] = [
        Column::name("name", "Name", |a: &Row, b| a.0.cmp(b.0)),
        Column::figure("cost", "Cost", |a: &Row, b| a.1.cmp(&b.1)).optional(),
        Column::plain("Share", "opt graph"),
    ];
    const ROWS: [Row; 3] = [("b", 1), ("c", 9), ("a", 5)];

    fn address(sort: &str) -> Address<'_> {
        Address {
            route: &Route::Models,
            pairs: vec![("period", "7d"), ("q", "")],
            sort,
        }
    }

    #[test]
    fn rows_go_as_the_address_says() {
        for (sort, expected) in [
            ("", "bca"),
            ("t.name", "abc"),
            ("-t.name", "cba"),
            ("t.cost", "cab"),
            ("-t.cost", "bac"),
            ("other.cost", "bca"),
            ("t.", "bca"),
            ("t.nothing", "bca"),
            ("-", "bca"),
        ] {
            let rows = rows("t", &COLUMNS, &address(sort), &ROWS);
            let names: String = rows.iter().map(|row| row.0).collect();
            assert_eq!(names, expected, "{sort}");
        }
    }

    #[test]
    fn heads_lead_to_the_other_orders() {
        let heads = |sort| heads("t", &COLUMNS, &address(sort)).into_string();
        let plain = heads("");
        assert!(
            plain.contains("href=\"/ui/models/?period=7d&amp;sort=t.name\""),
            "{plain}"
        );
        assert!(!plain.contains("aria-sort") && plain.contains("<span class=\"quiet\">Share"));
        let once = heads("t.cost");
        assert!(
            once.contains("class=\"num opt\" scope=\"col\" aria-sort=\"descending\""),
            "{once}"
        );
        assert!(
            once.contains("sort=-t.cost") && once.contains("sort=t.name"),
            "{once}"
        );
        let twice = heads("-t.cost");
        assert!(
            twice.contains("aria-sort=\"ascending\"") && twice.contains("sort=t.cost"),
            "{twice}"
        );
    }
}
