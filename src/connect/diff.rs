//! The difference of two texts, line by line.
//!
//! Owns: [`diff`]. In: two texts. Out: the lines that go and come, with a few around them. Must not know: what they are.

/// Lines shown around what changes.
const AROUND: usize = 3;

/// Beyond that many pairs of lines what changes is shown as all of it, old and new.
const PAIRS: usize = 4 << 20;

/// The lines that differ, marked `-` and `+`.
pub(super) fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let start = old.iter().zip(&new).take_while(same).count();
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev());
    let end = tail.take_while(same).count();
    let (gone, come) = (
        &old_rest[..old_rest.len() - end],
        &new_rest[..new_rest.len() - end],
    );
    let mut text = String::new();
    let mut line = |mark: char, line: &str| {
        text.push(mark);
        text.push_str(line);
        text.push('\n');
    };
    for same in &old[start.saturating_sub(AROUND)..start] {
        line(' ', same);
    }
    for (mark, changed) in changes(gone, come) {
        line(mark, changed);
    }
    for same in old_rest[old_rest.len() - end..].iter().take(AROUND) {
        line(' ', same);
    }
    text
}

/// By the longest common subsequence.
fn changes<'a>(gone: &[&'a str], come: &[&'a str]) -> Vec<(char, &'a str)> {
    if gone.len().saturating_mul(come.len()) > PAIRS {
        let gone = gone.iter().map(|line| ('-', *line));
        return gone.chain(come.iter().map(|line| ('+', *line))).collect();
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
            lines.push((' ', gone[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == come.len()
            || i < gone.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1]
        {
            lines.push(('-', gone[i]));
            i += 1;
        } else {
            lines.push(('+', come[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn lines_that_go_and_come_are_marked_with_a_few_around_them() {
        assert_eq!(diff("a\nb\n", "a\nb\n"), " a\n b\n");
        assert_eq!(diff("", "a\n"), "+a\n");
        let old = "1\n2\n3\n4\nx\ny\n5\n6\n7\n8\n";
        let new = "1\n2\n3\n4\nX\ny\nz\n5\n6\n7\n8\n";
        assert_eq!(diff(old, new), " 2\n 3\n 4\n-x\n+X\n y\n+z\n 5\n 6\n 7\n");
        assert_eq!(diff("a\nb\n", "b\n"), "-a\n b\n");
    }
}
