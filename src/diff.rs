//! The difference of two texts, line by line.
//!
//! Owns: [`diff`], the same as [`hunks`] for pages, and [`merge`] of two edits of one text. In: texts. Out: the lines that
//! go and come, with a few around them. Must not know: what they are.

/// Lines shown around what changes.
const AROUND: usize = 3;

/// Beyond that many pairs of lines what changes is shown as all of it, old and new.
const PAIRS: usize = 4 << 20;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It stays.
    Same,
    /// It goes.
    Gone,
    /// It comes.
    Come,
}

/// One line of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) mark: Mark,
    /// Its number in the old text, from 1; of a line that comes, the number of the next old one.
    pub(crate) old: usize,
    /// Its number in the new text, from 1; of a line that goes, the number of the next new one.
    pub(crate) new: usize,
    pub(crate) text: &'a str,
}

/// The lines that differ, marked `-` and `+`.
pub(crate) fn diff(old: &str, new: &str) -> String {
    let lines = lines(old, new);
    let changed = |line: &Line<'_>| line.mark != Mark::Same;
    let first = lines.iter().position(changed);
    let (Some(first), Some(last)) = (first, lines.iter().rposition(changed)) else {
        return String::new();
    };
    let mut text = String::new();
    for line in &lines[first.saturating_sub(AROUND)..(last + AROUND + 1).min(lines.len())] {
        text.push(match line.mark {
            Mark::Same => ' ',
            Mark::Gone => '-',
            Mark::Come => '+',
        });
        text.push_str(line.text);
        text.push('\n');
    }
    text
}

/// The lines that differ, in runs with a few around them; runs that would touch are one.
pub(crate) fn hunks<'a>(old: &'a str, new: &'a str) -> Vec<Vec<Line<'a>>> {
    let lines = lines(old, new);
    let mut hunks: Vec<Vec<Line<'a>>> = Vec::new();
    let mut end = 0;
    for (at, line) in lines.iter().enumerate() {
        if line.mark == Mark::Same {
            continue;
        }
        let from = at.saturating_sub(AROUND);
        let until = (at + AROUND + 1).min(lines.len());
        match hunks.last_mut() {
            Some(hunk) if from <= end => hunk.extend_from_slice(&lines[end..until]),
            _ => hunks.push(lines[from..until].to_vec()),
        }
        end = until;
    }
    hunks
}

/// How many lines come, and how many go.
pub(crate) fn count(old: &str, new: &str) -> (usize, usize) {
    let lines = lines(old, new);
    let of = |mark| lines.iter().filter(|line| line.mark == mark).count();
    (of(Mark::Come), of(Mark::Gone))
}

/// Two edits of one text in one; none where they touch the same lines, or neighbouring ones.
pub(crate) fn merge(base: &str, mine: &str, theirs: &str) -> Option<String> {
    let (mine, theirs) = (edits(base, mine), edits(base, theirs));
    let base: Vec<&str> = base.split_inclusive('\n').collect();
    let mut all: Vec<Edit<'_>> = mine.into_iter().chain(theirs).collect();
    all.sort_by_key(|edit| (edit.from, edit.until));
    all.dedup();
    let mut out = String::new();
    let mut at = 0;
    let mut last: Option<usize> = None;
    for edit in all {
        if last.is_some_and(|until| edit.from <= until) {
            return None;
        }
        out.extend(base[at..edit.from].iter().copied());
        out.extend(edit.lines);
        at = edit.until;
        last = Some(edit.until);
    }
    out.extend(base[at..].iter().copied());
    Some(out)
}

/// Lines of the old text that are replaced.
#[derive(PartialEq, Eq)]
struct Edit<'a> {
    from: usize,
    until: usize,
    lines: Vec<&'a str>,
}

/// What makes one text of the other.
fn edits<'a>(old: &'a str, new: &'a str) -> Vec<Edit<'a>> {
    let old: Vec<_> = old.split_inclusive('\n').collect();
    let new: Vec<_> = new.split_inclusive('\n').collect();
    let mut edits: Vec<Edit<'a>> = Vec::new();
    let mut at = 0;
    let mut open = false;
    for (mark, line) in compare(&old, &new) {
        if mark == Mark::Same {
            at += 1;
            open = false;
            continue;
        }
        if !open {
            edits.push(Edit {
                from: at,
                until: at,
                lines: Vec::new(),
            });
            open = true;
        }
        let edit = edits.last_mut().expect("just pushed");
        if mark == Mark::Gone {
            at += 1;
            edit.until = at;
        } else {
            edit.lines.push(line);
        }
    }
    edits
}

/// Every line of both texts, numbered.
fn lines<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let (mut old_at, mut new_at) = (1, 1);
    let number = |(mark, text)| {
        let line = Line {
            mark,
            old: old_at,
            new: new_at,
            text,
        };
        old_at += usize::from(mark != Mark::Come);
        new_at += usize::from(mark != Mark::Gone);
        line
    };
    compare(&old, &new).into_iter().map(number).collect()
}

/// Every line of both, by what becomes of it.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Mark, &'a str)> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let start = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev());
    let end = tail.take_while(same).count();
    let (gone, come) = (
        &old_rest[..old_rest.len() - end],
        &new_rest[..new_rest.len() - end],
    );
    let kept = |line: &&'a str| (Mark::Same, *line);
    let mut all: Vec<_> = old[..start].iter().map(kept).collect();
    all.extend(changes(gone, come));
    all.extend(old_rest[old_rest.len() - end..].iter().map(kept));
    all
}

/// By the longest common subsequence.
fn changes<'a>(gone: &[&'a str], come: &[&'a str]) -> Vec<(Mark, &'a str)> {
    if gone.len().saturating_mul(come.len()) > PAIRS {
        let gone = gone.iter().map(|line| (Mark::Gone, *line));
        return gone
            .chain(come.iter().map(|line| (Mark::Come, *line)))
            .collect();
    }
    let width = come.len() + 1;
    let mut longest = vec![0_u32; (gone.len() + 1) * width];
    for i in (0..gone.len()).rev() {
        for j in (0..come.len()).rev() {
            longest[i * width + j] = if gone[i] == come[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < gone.len() || j < come.len() {
        if i < gone.len() && j < come.len() && gone[i] == come[j] {
            lines.push((Mark::Same, gone[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == come.len()
            || i < gone.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1]
        {
            lines.push((Mark::Gone, gone[i]));
            i += 1;
        } else {
            lines.push((Mark::Come, come[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{
        Mark::{Come, Gone, Same},
        *,
    };

    #[test]
    fn lines_that_go_and_come_are_marked_with_a_few_around_them() {
        assert_eq!(diff("a\nb\n", "a\nb\n"), "");
        assert_eq!(diff("", "a\n"), "+a\n");
        let old = "1\n2\n3\n4\nx\ny\n5\n6\n7\n8\n";
        let new = "1\n2\n3\n4\nX\ny\nz\n5\n6\n7\n8\n";
        assert_eq!(diff(old, new), " 2\n 3\n 4\n-x\n+X\n y\n+z\n 5\n 6\n 7\n");
        assert_eq!(diff("a\nb\n", "b\n"), "-a\n b\n");
        assert_eq!(count(old, new), (2, 1));
    }

    #[test]
    fn hunks_are_apart_where_enough_lines_stay() {
        let numbers: Vec<_> = (1..=20).map(|n| n.to_string()).collect();
        let old = numbers.join("\n") + "\n";
        let new = old.replace("\n2\n", "\ntwo\n").replace("18\n", "");
        let hunks = hunks(&old, &new);
        let shape = |hunk: &Vec<Line<'_>>| (hunk[0].old, hunk[0].new, hunk.len());
        assert_eq!(
            hunks.iter().map(shape).collect::<Vec<_>>(),
            [(1, 1, 6), (15, 15, 6)]
        );
        let marks: Vec<_> = hunks[0].iter().map(|line| line.mark).collect();
        assert_eq!(marks, [Same, Gone, Come, Same, Same, Same]);
        let near = old.replace("\n2\n", "\ntwo\n").replace("\n9\n", "\n");
        let joined = super::hunks(&old, &near);
        assert_eq!(joined.len(), 1);
        assert_eq!(joined[0].len(), 13, "no line twice, none left out");
        assert!(super::hunks(&old, &old).is_empty());
    }

    #[test]
    fn edits_that_are_apart_merge_and_others_do_not() {
        let base = "a\nb\nc\nd\ne\n";
        let merged = merge(base, "A\nb\nc\nd\ne\n", "a\nb\nc\nd\ne\nf\n");
        assert_eq!(merged.as_deref(), Some("A\nb\nc\nd\ne\nf\n"));
        assert_eq!(
            merge(base, "a\nb\nC\nd\ne\n", "a\nb\nX\nd\ne\n"),
            None,
            "the same line"
        );
        assert_eq!(
            merge(base, "a\nB\nc\nd\ne\n", "a\nb\nC\nd\ne\n"),
            None,
            "neighbours may mean each other"
        );
        assert_eq!(
            merge(base, "A\nb\n", "A\nb\n").as_deref(),
            Some("A\nb\n"),
            "the same edit once"
        );
        assert_eq!(merge("", "x\n", "y\n"), None);
        assert_eq!(merge(base, base, base).as_deref(), Some(base));
        assert_eq!(
            merge("a\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n", "A\r\nb\r\nc\r\n").as_deref(),
            Some("A\r\nb\r\nC\r\n")
        );
    }
}
