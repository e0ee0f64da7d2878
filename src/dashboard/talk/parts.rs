//! The parts of a message, by the shapes that the dialects give them, and how much of all that a page takes.
//!
//! Owns: [`Part`], [`Budget`] and the reading of one content block. In: JSON values. Out: parts with bounded texts.
//! Must not know: which dialect it is, requests, answers.

use serde_json::Value;

/// Bytes of one text that are shown.
const TEXT: usize = 12 << 10;
/// Bytes of all texts of a page.
const TEXTS: usize = 400 << 10;
/// Bytes of one image, as a data URL.
const IMAGE: usize = 256 << 10;
/// Bytes of all images of a page.
const IMAGES: usize = 1 << 20;
/// Parts of a page.
const PARTS: usize = 2_000;

/// One piece of what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dashboard) enum Part {
    /// Text.
    Text(Text),
    /// The model's own reasoning, as far as the provider shows it.
    Thinking(Text),
    /// A tool call.
    Call(Call),
    /// A tool's result whose call is not on the page.
    Outcome(Outcome),
    /// A picture.
    Image(Image),
    /// An error that stands in the place of an answer.
    Error(Text),
    /// Something of another kind, by its name.
    Other(String),
}

/// A text, and how many bytes of it are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dashboard) struct Text {
    /// What is shown.
    pub(in crate::dashboard) text: String,
    /// Bytes that are not.
    pub(in crate::dashboard) left_out: usize,
}

/// A tool call of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dashboard) struct Call {
    /// The dialect's id; the name where it has none.
    pub(in crate::dashboard) id: String,
    /// The tool.
    pub(in crate::dashboard) name: String,
    /// Its arguments, as JSON text.
    pub(in crate::dashboard) arguments: Text,
    /// What came back.
    pub(in crate::dashboard) outcome: Option<Outcome>,
}

/// What a tool answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dashboard) struct Outcome {
    /// The id of the call.
    pub(in crate::dashboard) call: String,
    /// Texts and images.
    pub(in crate::dashboard) parts: Vec<Part>,
    /// It reported an error.
    pub(in crate::dashboard) failed: bool,
    /// From the end of the answer that called to the request that brought this, in milliseconds.
    pub(in crate::dashboard) took_ms: Option<u64>,
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dashboard) enum Image {
    /// To be shown: a data URL of a known kind of picture.
    Shown(String),
    /// Too large, of another kind, or elsewhere: what it is.
    Named(String),
}

/// How much a page may still take.
#[derive(Debug)]
pub(super) struct Budget {
    texts: usize,
    images: usize,
    parts: usize,
}

// === impl Budget ===

impl Budget {
    pub(super) const fn of_a_page() -> Self {
        Self {
            texts: TEXTS,
            images: IMAGES,
            parts: PARTS,
        }
    }

    pub(super) const fn is_spent(&self) -> bool {
        self.texts == 0 || self.parts == 0
    }

    /// The beginning of a text, as far as there is room.
    pub(super) fn text(&mut self, text: &str) -> Text {
        let room = TEXT.min(self.texts);
        let end = text.floor_char_boundary(room.min(text.len()));
        self.texts -= end;
        Text {
            text: text[..end].to_owned(),
            left_out: text.len() - end,
        }
    }

    /// Whether one more part may be made.
    fn part(&mut self) -> bool {
        let any = self.parts > 0 && self.texts > 0;
        self.parts = self.parts.saturating_sub(1);
        any
    }

    fn image(&mut self, kind: &str, data: &str) -> Image {
        let known = ["image/png", "image/jpeg", "image/gif", "image/webp"];
        let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        if known.contains(&kind) && data.len() <= IMAGE.min(self.images) && data.bytes().all(base64)
        {
            self.images -= data.len();
            return Image::Shown(format!("data:{kind};base64,{data}"));
        }
        let size = super::super::format::bytes(data.len() as u64 / 4 * 3);
        Image::Named(format!("{kind}, {size}"))
    }
}

/// All parts of a content: a string, one block, or a list of blocks.
pub(super) fn content(value: &Value, budget: &mut Budget) -> Vec<Part> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(blocks) => {
            let mut parts = Vec::new();
            for block in blocks {
                if !budget.part() {
                    break;
                }
                parts.extend(block_parts(block, budget));
            }
            parts
        }
        block if budget.part() => block_parts(block, budget),
        _ => Vec::new(),
    }
}

fn text_of<'a>(block: &'a Value, names: &[&str]) -> &'a str {
    let mut found = names.iter().filter_map(|name| block.get(name)?.as_str());
    found.next().unwrap_or_default()
}

/// A text, unless there is nothing in it.
pub(super) fn some_text(text: &str, budget: &mut Budget) -> Option<Text> {
    (!text.trim().is_empty()).then(|| budget.text(text))
}

/// The parts of one block. Most kinds are one part; a summary of reasoning may have none.
fn block_parts(block: &Value, budget: &mut Budget) -> Vec<Part> {
    if let Some(text) = block.as_str() {
        return some_text(text, budget)
            .map(Part::Text)
            .into_iter()
            .collect();
    }
    let kind = text_of(block, &["type"]);
    let one = match kind {
        "text" | "input_text" | "output_text" | "refusal" => {
            let text = text_of(block, &["text", "refusal"]);
            some_text(text, budget).map(Part::Text)
        }
        "thinking" | "summary_text" | "reasoning_text" => {
            let text = text_of(block, &["thinking", "text"]);
            some_text(text, budget).map(Part::Thinking)
        }
        "redacted_thinking" => Some(Part::Other("reasoning that the provider hides".into())),
        "reasoning" => {
            let lists = ["summary", "content"];
            let parts = lists.iter().filter_map(|name| block.get(name));
            return parts.flat_map(|list| content(list, budget)).collect();
        }
        "message" => {
            return content(block.get("content").unwrap_or(&Value::Null), budget);
        }
        "image" | "image_url" | "input_image" => Some(Part::Image(image(block, budget))),
        "function_call_output" | "custom_tool_call_output" => {
            let output = block.get("output").unwrap_or(&Value::Null);
            let call = text_of(block, &["call_id"]).to_owned();
            Some(outcome(call, output, false, budget))
        }
        kind if kind.ends_with("tool_result") => {
            let output = block.get("content").unwrap_or(&Value::Null);
            let failed = block.get("is_error") == Some(&Value::Bool(true));
            let call = text_of(block, &["tool_use_id"]).to_owned();
            Some(outcome(call, output, failed, budget))
        }
        kind if kind.ends_with("tool_use") || kind.ends_with("_call") => Some(call(block, budget)),
        "" => return by_member(block, budget),
        kind => Some(Part::Other(kind.chars().take(60).collect())),
    };
    one.into_iter().collect()
}

/// Blocks without a `type` say what they are by the one member that they have.
fn by_member(block: &Value, budget: &mut Budget) -> Vec<Part> {
    let one = if let Some(text) = block.get("text").and_then(Value::as_str) {
        let thought = block.get("thought") == Some(&Value::Bool(true));
        let kind = if thought { Part::Thinking } else { Part::Text };
        some_text(text, budget).map(kind)
    } else if let Some(inner) = block.get("functionCall").or_else(|| block.get("toolUse")) {
        Some(call(inner, budget))
    } else if let Some(inner) = block.get("toolResult") {
        let failed = text_of(inner, &["status"]) == "error";
        let output = inner.get("content").unwrap_or(&Value::Null);
        let call = text_of(inner, &["toolUseId"]).to_owned();
        Some(outcome(call, output, failed, budget))
    } else if let Some(inner) = block.get("functionResponse") {
        let output = inner.get("response").unwrap_or(&Value::Null);
        let call = text_of(inner, &["id", "name"]).to_owned();
        Some(outcome(call, output, false, budget))
    } else if let Some(inner) = block.get("inlineData") {
        let (kind, data) = (text_of(inner, &["mimeType"]), text_of(inner, &["data"]));
        Some(Part::Image(budget.image(kind, data)))
    } else if let Some(inner) = block.get("image") {
        let data = inner.get("source").unwrap_or(&Value::Null);
        let kind = format!("image/{}", text_of(inner, &["format"]));
        Some(Part::Image(budget.image(&kind, text_of(data, &["bytes"]))))
    } else if let Some(inner) = block.get("reasoningContent") {
        let text = inner.get("reasoningText").unwrap_or(inner);
        some_text(text_of(text, &["text"]), budget).map(Part::Thinking)
    } else if let Some(json) = block.get("json") {
        Some(Part::Text(budget.text(&json.to_string())))
    } else {
        let name = block.as_object().and_then(|members| members.keys().next());
        name.map(|name| Part::Other(name.chars().take(60).collect()))
    };
    one.into_iter().collect()
}

/// A call in any of its spellings.
pub(super) fn call(block: &Value, budget: &mut Budget) -> Part {
    let inner = block.get("function").unwrap_or(block);
    let name = match text_of(inner, &["name"]) {
        "" => text_of(block, &["type"]),
        name => name,
    };
    let arguments = ["input", "arguments", "args", "action"];
    let arguments = arguments.iter().find_map(|name| inner.get(name));
    let arguments = match arguments {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let id = match text_of(block, &["call_id", "id", "toolUseId"]) {
        "" => name,
        id => id,
    };
    Part::Call(Call {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: budget.text(&arguments),
        outcome: None,
    })
}

/// A tool's result.
pub(super) fn outcome(call: String, output: &Value, failed: bool, budget: &mut Budget) -> Part {
    let known = |value: &Value| value.is_string() || value.is_array() || value.is_null();
    let parts = if known(output) {
        content(output, budget)
    } else {
        vec![Part::Text(budget.text(&output.to_string()))]
    };
    Part::Outcome(Outcome {
        call,
        parts,
        failed,
        took_ms: None,
    })
}

fn image(block: &Value, budget: &mut Budget) -> Image {
    if let Some(source) = block.get("source") {
        return match text_of(source, &["type"]) {
            "base64" => {
                let (kind, data) = (text_of(source, &["media_type"]), text_of(source, &["data"]));
                budget.image(kind, data)
            }
            _ => Image::Named("an image elsewhere, which is not loaded".into()),
        };
    }
    let url = match block.get("image_url") {
        Some(Value::String(url)) => url,
        Some(value) => text_of(value, &["url"]),
        None => "",
    };
    let data = url.strip_prefix("data:");
    match data.and_then(|data| data.split_once(";base64,")) {
        Some((kind, data)) => budget.image(kind, data),
        None => Image::Named("an image elsewhere, which is not loaded".into()),
    }
}
