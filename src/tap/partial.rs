//! Arguments of a call that arrive as paths and values, put together.
//!
//! Owns: [`PartialArguments`]. In: `$.path` and a value at a time, texts in fragments (Gemini on Vertex, where a client asks
//! for it). Out: the JSON object that the client will repeat in its history, members in the order in which they came.
//! Everything is bounded; what can't be placed is left out.

/// Values that one call may have.
const VALUES: usize = 4096;
/// Bytes of all texts that are kept.
const BYTES: usize = 1 << 20;
/// Depth of a path.
const DEPTH: usize = 32;

/// Arguments under way.
#[derive(Debug, Default)]
pub(super) struct PartialArguments {
    root: Node,
    values: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
enum Node {
    #[default]
    Empty,
    Text(String),
    /// A value as it is written.
    Plain(String),
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
}

enum Step<'a> {
    Member(&'a str),
    Element(usize),
}

impl PartialArguments {
    /// A text at that path, or the next fragment of the one that is there.
    pub(super) fn text(&mut self, path: &str, fragment: &str) {
        self.bytes += fragment.len();
        if self.bytes > BYTES {
            return;
        }
        match self.place(path) {
            Some(Node::Text(text)) => text.push_str(fragment),
            Some(node @ Node::Empty) => *node = Node::Text(fragment.to_owned()),
            _ => {}
        }
    }

    /// Another value at that path, as it is written.
    pub(super) fn plain(&mut self, path: &str, value: &str) {
        self.bytes += value.len();
        if self.bytes <= BYTES
            && let Some(node) = self.place(path)
        {
            *node = Node::Plain(value.to_owned());
        }
    }

    /// The object.
    pub(super) fn finish(&self) -> String {
        let mut json = String::new();
        match &self.root {
            Node::Empty => json.push_str("{}"),
            root => root.write(&mut json),
        }
        json
    }

    fn place(&mut self, path: &str) -> Option<&mut Node> {
        self.values += 1;
        let steps = steps(path)?;
        if self.values > VALUES {
            return None;
        }
        steps
            .into_iter()
            .try_fold(&mut self.root, |node, step| node.step(&step))
    }
}

impl Node {
    fn step(&mut self, step: &Step<'_>) -> Option<&mut Self> {
        match step {
            Step::Member(name) => {
                if matches!(self, Self::Empty) {
                    *self = Self::Object(Vec::new());
                }
                let Self::Object(members) = self else {
                    return None;
                };
                let at = members.iter().position(|(known, _)| known == name);
                let at = at.unwrap_or_else(|| {
                    members.push(((*name).to_owned(), Self::Empty));
                    members.len() - 1
                });
                Some(&mut members[at].1)
            }
            Step::Element(index) => {
                if matches!(self, Self::Empty) {
                    *self = Self::Array(Vec::new());
                }
                let Self::Array(elements) = self else {
                    return None;
                };
                if *index == elements.len() {
                    elements.push(Self::Empty);
                }
                elements.get_mut(*index)
            }
        }
    }

    fn write(&self, json: &mut String) {
        let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
        match self {
            Self::Empty => json.push_str("null"),
            Self::Text(text) => json.push_str(&quoted(text)),
            Self::Plain(value) => json.push_str(value),
            Self::Object(members) => {
                json.push('{');
                for (at, (name, node)) in members.iter().enumerate() {
                    json.push_str(if at > 0 { "," } else { "" });
                    json.push_str(&quoted(name));
                    json.push(':');
                    node.write(json);
                }
                json.push('}');
            }
            Self::Array(elements) => {
                json.push('[');
                for (at, node) in elements.iter().enumerate() {
                    json.push_str(if at > 0 { "," } else { "" });
                    node.write(json);
                }
                json.push(']');
            }
        }
    }
}

/// The steps of `$.a.b[0]['c']`.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() && steps.len() < DEPTH {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']')?;
            let name = inner[..end].trim_matches(['\'', '"']);
            steps.push(match inner[..end].parse() {
                Ok(index) => Step::Element(index),
                Err(_) => Step::Member(name),
            });
            rest = &inner[end + 1..];
        } else {
            let inner = rest.strip_prefix('.').unwrap_or(rest);
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            if end == 0 {
                return None;
            }
            steps.push(Step::Member(&inner[..end]));
            rest = &inner[end..];
        }
    }
    (rest.is_empty() && !steps.is_empty()).then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_their_paths_say() {
        let mut arguments = PartialArguments::default();
        assert_eq!(arguments.finish(), "{}");
        arguments.text("$.zip", "New ");
        arguments.text("$.zip", "\"Delhi\"");
        arguments.plain("$.a.n", "1.5");
        arguments.text("$.list[0].x", "1");
        arguments.text("$.list[1].x", "2");
        arguments.plain("$['b']", "true");
        assert_eq!(
            arguments.finish(),
            r#"{"zip":"New \"Delhi\"","a":{"n":1.5},"list":[{"x":"1"},{"x":"2"}],"b":true}"#
        );
    }

    #[test]
    fn what_cannot_be_placed_is_left_out() {
        let mut arguments = PartialArguments::default();
        for path in [
            "",
            "$",
            "$.",
            "$.a[",
            "$..a",
            "$.list[9]",
            &".x".repeat(DEPTH + 1),
        ] {
            arguments.text(path, "x");
        }
        arguments.text("$.a", "x");
        arguments.text("$.a.b", "y");
        arguments.plain("$.big", &"1".repeat(BYTES));
        assert_eq!(arguments.finish(), r#"{"list":[],"a":"x"}"#);
    }
}
