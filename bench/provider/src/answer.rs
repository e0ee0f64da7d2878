//! What is said in a reply, before a dialect puts it into words.
//!
//! Comes in: the script, the head of the request and, unless the script says
//! everything, the conversation. Goes out: [`Answer`]: texts, tool calls, the
//! reason to stop and exact token counts. Knows neither bytes nor connections.

use crate::conversation::{Call, Conversation, Head, ToolKind};
use crate::improvise::{self, Part};
use crate::script::{Flavour, Script, Stop, Tool, UsageScript};
use crate::tokens::{Usage, prompt_usage, tokens};

/// A text of exactly one token by the counting rule.
const ONE_TOKEN: &str = "tok ";

/// The content of a reply.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Makes the reply's ids; the number of the request in the log.
    pub(crate) id: u64,
    pub(crate) model: String,
    pub(crate) thinking: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) stop: Stop,
    pub(crate) usage: Usage,
    /// In how many pieces each text is streamed; by words if not said.
    pub(crate) chunks: Option<usize>,
    pub(crate) flavour: Option<Flavour>,
}

impl Answer {
    /// The answer to a request with a body of that many bytes.
    pub(crate) fn new(
        id: u64,
        script: &Script,
        head: &Head,
        conversation: &Conversation,
        body_bytes: usize,
    ) -> Self {
        let part = said(script, head, conversation);
        let reasoning = script
            .thinking
            .as_ref()
            .map_or(0, |thinking| tokens(thinking.len()));
        let texts = part
            .text
            .iter()
            .chain(part.calls.iter().map(|call| &call.input));
        let output = reasoning + texts.map(|text| tokens(text.len())).sum::<u64>();
        let counted = Usage {
            output: output.max(1),
            reasoning,
            ..prompt_usage(
                body_bytes,
                conversation.caching,
                conversation.has_earlier_answer,
            )
        };
        Self {
            id,
            model: script.model.clone().unwrap_or_else(|| head.model.clone()),
            thinking: script.thinking.clone(),
            text: part.text,
            calls: part.calls,
            stop: script.stop.unwrap_or(part.stop),
            usage: script.usage.over(counted),
            chunks: script.chunks,
            flavour: script.flavour,
        }
    }
}

impl Answer {
    /// The same for a request that is not for words: nothing was put out, unless the script says so.
    pub(crate) fn without_output(mut self, script: &Script) -> Self {
        self.usage.output = script.usage.output.unwrap_or(0);
        self.usage.reasoning = 0;
        self
    }
}

/// The text and calls: the script's, and improvised where it has none.
fn said(script: &Script, head: &Head, conversation: &Conversation) -> Part {
    let text = match (&script.text, script.tokens) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(count)) => Some(ONE_TOKEN.repeat(count)),
        (None, None) => None,
    };
    // A tool that has answered is not called again: the turn must come to an end.
    let calls: Vec<Call> = match &conversation.tool_result {
        Some(_) => Vec::new(),
        None => script
            .tool
            .iter()
            .chain(&script.tools)
            .map(|tool| scripted_call(tool, conversation))
            .collect(),
    };
    if !calls.is_empty() {
        return Part {
            text,
            calls,
            stop: Stop::Tool,
        };
    }
    match text {
        Some(text) => Part {
            text: Some(text),
            calls,
            stop: Stop::End,
        },
        None => improvise::answer(head, conversation),
    }
}

fn scripted_call(tool: &Tool, conversation: &Conversation) -> Call {
    let offered = conversation
        .tools
        .iter()
        .find(|offered| offered.name == tool.name);
    let input = tool.input.as_ref().map_or("{}", |input| input.get());
    // Free text is written as a JSON string in the script; what isn't one goes as it is.
    let input = serde_json::from_str::<String>(input).unwrap_or_else(|_| input.to_owned());
    Call {
        name: tool.name.clone(),
        kind: offered.map_or(ToolKind::Function, |offered| offered.kind),
        namespace: offered.and_then(|offered| offered.namespace.clone()),
        input,
    }
}

impl UsageScript {
    /// The counted figures with those of the script in their place.
    fn over(self, counted: Usage) -> Usage {
        Usage {
            input: self.input.unwrap_or(counted.input),
            cache_read: self.cache_read.unwrap_or(counted.cache_read),
            cache_write: self.cache_write.unwrap_or(counted.cache_write),
            cache_write_long: self.cache_write_long.unwrap_or(counted.cache_write_long),
            output: self.output.unwrap_or(counted.output),
            reasoning: self.reasoning.unwrap_or(counted.reasoning),
            input_audio: self.input_audio.unwrap_or(counted.input_audio),
            input_image: self.input_image.unwrap_or(counted.input_image),
            input_tool: self.input_tool.unwrap_or(counted.input_tool),
            output_audio: self.output_audio.unwrap_or(counted.output_audio),
            output_image: self.output_image.unwrap_or(counted.output_image),
            web_searches: self.web_searches.unwrap_or(counted.web_searches),
        }
    }
}

/// Cuts a text into that many pieces, or by words; never into empty ones.
pub(crate) fn pieces(text: &str, count: Option<usize>) -> Vec<&str> {
    let Some(count) = count else {
        return text.split_inclusive(' ').collect();
    };
    let mut pieces = Vec::new();
    let mut rest = text;
    for left in (1..=count.max(1)).rev() {
        if rest.is_empty() {
            break;
        }
        let mut at = rest.len().div_ceil(left);
        while !rest.is_char_boundary(at) {
            at += 1;
        }
        let (piece, tail) = rest.split_at(at);
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::{Answer, pieces};
    use crate::conversation::{Conversation, Head};
    use crate::script::Script;

    #[test]
    fn pieces_are_as_many_as_asked_for_and_make_up_the_text() {
        let text = "grüße an alle";
        for count in 1..=text.chars().count() {
            let pieces = pieces(text, Some(count));
            assert_eq!(pieces.concat(), text);
            assert!(pieces.len() <= count && pieces.iter().all(|piece| !piece.is_empty()));
        }
        assert_eq!(pieces("abcdef", Some(3)), ["ab", "cd", "ef"]);
        assert_eq!(pieces("one two", None), ["one ", "two"]);
        assert_eq!(pieces("ab", Some(9)), ["a", "b"]);
    }

    #[test]
    fn tokens_are_counted_by_the_rule_unless_the_script_says_otherwise() {
        let answer = |json| {
            let script = Script::from_json(json).unwrap();
            Answer::new(1, &script, &Head::default(), &Conversation::default(), 400).usage
        };
        let counted = answer(r#"{"text":"12345","thinking":"1234"}"#);
        assert_eq!(
            (counted.input, counted.output, counted.reasoning),
            (100, 3, 1)
        );
        assert_eq!(answer(r#"{"tokens":70}"#).output, 70);
        let said = answer(r#"{"text":"x","usage":{"input":7,"output":9,"cache_read":5}}"#);
        assert_eq!((said.input, said.output, said.cache_read), (7, 9, 5));
    }
}
