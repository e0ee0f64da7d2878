//! What has been read of a reply so far, in the words of no dialect.
//!
//! Owns: [`Reply`], which the dialects fill in, and the normal form of token counts. In: values as providers state them.
//! Out: [`Usage`] and the facts of a reply. The last value of a count wins, nothing is ever added up over events.
//! Must not know: field names, framing.

use super::{
    clip,
    conversation::NAME,
    partial::PartialArguments,
    turn::{CallHash, TurnHash},
};
use crate::record::{ToolCall, Usage};

/// Tokens of one kind that one reply may state: a thousand times what the largest models take. More is no count, and must
/// not fill sums that everybody's figures are part of.
const TOKENS: u64 = 1 << 30;

/// Bytes of text that stand for a token where nobody counted.
const BYTES: u64 = 4;

/// Tokens of so many bytes of text, by the rule of thumb.
pub(crate) const fn about_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES)
}

/// What the counts of a stream that was cut leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unstated {
    /// Whether the input was not stated.
    pub input: bool,
    /// Tokens of output that passed and were not stated, by the rule of thumb.
    pub output: u64,
}

/// Tool calls kept of one reply.
const CALLS: usize = 256;

/// Token counts as stated; none = not stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Input without what was read from or written to a cache (Anthropic).
    pub(super) input: Option<u64>,
    /// All input, the cached parts included (`OpenAI`).
    pub(super) input_all: Option<u64>,
    pub(super) cache_read: Option<u64>,
    /// All cache writes, whatever their time to live.
    pub(super) cache_write: Option<u64>,
    /// Of which for an hour or longer.
    pub(super) cache_write_1h: Option<u64>,
    /// Of which for less, where that is stated apart.
    pub(super) cache_write_short: Option<u64>,
    /// Input that the provider's tools brought, on top of either input (Gemini).
    pub(super) tool_input: Option<u64>,
    /// All output, reasoning included.
    pub(super) output: Option<u64>,
    /// Output without reasoning, where that is what is stated (Gemini).
    pub(super) output_shown: Option<u64>,
    pub(super) reasoning: Option<u64>,
    /// Of all input, whatever its cache.
    pub(super) audio_input: Option<u64>,
    pub(super) image_input: Option<u64>,
    /// Of what was read from a cache.
    pub(super) cached_audio: Option<u64>,
    pub(super) cached_image: Option<u64>,
    /// Of all output.
    pub(super) audio_output: Option<u64>,
    pub(super) image_output: Option<u64>,
    pub(super) web_searches: Option<u64>,
    pub(super) web_fetches: Option<u64>,
    pub(super) file_searches: Option<u64>,
    /// Calls of the provider's other tools.
    pub(super) server_tools: Option<u64>,
}

impl Counts {
    /// Whether any tokens were stated.
    pub(super) fn any(&self) -> bool {
        self.states_input() || self.states_output()
    }

    /// Whether input was stated.
    pub(super) fn states_input(&self) -> bool {
        self.input.is_some() || self.input_all.is_some()
    }

    /// Whether output was stated.
    pub(super) fn states_output(&self) -> bool {
        self.output.is_some() || self.output_shown.is_some()
    }

    /// The counts, cut to what can be one.
    pub(super) fn usage(&self) -> Usage {
        let mut usage = self.stated();
        for count in usage.kinds_mut() {
            *count = (*count).min(TOKENS);
        }
        usage
    }

    /// Whether a stated count can't be one.
    pub(super) fn absurd(&self) -> bool {
        self.stated() != self.usage()
    }

    /// The normal form: disjoint parts of input, and output with reasoning inside.
    fn stated(&self) -> Usage {
        let of = Option::unwrap_or_default;
        let cache_read = of(self.cache_read);
        let cache_write_1h = of(self.cache_write_1h);
        let cache_write = match self.cache_write {
            Some(all) => all.saturating_sub(cache_write_1h),
            None => of(self.cache_write_short),
        };
        let input = self.input.unwrap_or_else(|| {
            of(self.input_all)
                .saturating_sub(cache_read)
                .saturating_sub(cache_write)
                .saturating_sub(cache_write_1h)
        });
        let output = self
            .output
            .unwrap_or_else(|| of(self.output_shown).saturating_add(of(self.reasoning)));
        Usage {
            input: input.saturating_add(of(self.tool_input)),
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            reasoning: of(self.reasoning),
            web_searches: of(self.web_searches),
            audio_input: of(self.audio_input),
            image_input: of(self.image_input),
            cached_audio: of(self.cached_audio),
            cached_image: of(self.cached_image),
            audio_output: of(self.audio_output),
            image_output: of(self.image_output),
            web_fetches: of(self.web_fetches),
            file_searches: of(self.file_searches),
            server_tools: of(self.server_tools),
        }
    }
}

/// One reply, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) counts: Counts,
    pub(super) model: Option<String>,
    pub(super) id: Option<String>,
    pub(super) stop_reason: Option<String>,
    pub(super) service_tier: Option<String>,
    pub(super) turn: TurnHash,
    /// The provider reported an error inside the reply.
    pub(super) error: bool,
    /// The provider said that this was all.
    pub(super) finished: bool,
    /// Something of a reply was seen.
    pub(super) started: bool,
    /// Pieces that could not be read.
    pub(super) failures: u32,
    /// Bytes of text, thinking and arguments that were shown.
    pub(super) shown: u64,
    /// Bytes that whole items showed (responses).
    pub(super) shown_in_items: u64,
    /// How many were shown when the output was last stated: those are in the count.
    counted: u64,
    /// Arguments that come as paths and values (Gemini).
    pub(super) partial: Option<Box<PartialArguments>>,
    calls: Vec<OpenCall>,
    /// Results of the provider's own tools.
    hosted: Vec<ToolCall>,
}

/// A tool call, possibly still open.
#[derive(Debug)]
struct OpenCall {
    /// The dialect's index of it.
    index: u64,
    tool: ToolCall,
    hash: CallHash,
}

impl Reply {
    /// Whether neither text nor call was read yet.
    pub(super) fn is_empty(&self) -> bool {
        self.turn.is_empty() && self.calls.is_empty()
    }

    /// A fragment of the text.
    pub(super) fn say(&mut self, fragment: &str) {
        self.turn.text(fragment);
        self.show(fragment);
    }

    /// A fragment of what costs output and is no part of the turn, such as thinking.
    pub(super) fn show(&mut self, fragment: &str) {
        self.shown += fragment.len() as u64;
    }

    /// Reads one piece; when it states the output, what was shown so far is in the count.
    pub(super) fn piece<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let stated = |reply: &Self| (reply.counts.output, reply.counts.output_shown);
        let before = stated(self);
        let result = read(self);
        if stated(self) != before {
            self.counted = self.shown;
        }
        result
    }

    /// What the counts leave out of what was shown.
    pub(super) fn unstated(&self) -> Unstated {
        let counted = self.counts.usage().output.max(about_tokens(self.counted));
        Unstated {
            input: !self.counts.states_input(),
            output: about_tokens(self.shown).saturating_sub(counted),
        }
    }

    /// A call begins; `index` is how its fragments name it.
    pub(super) fn begin_call(&mut self, index: u64, id: &str, name: &str) {
        if self.calls.len() < CALLS {
            self.calls.push(OpenCall {
                index,
                tool: ToolCall {
                    name: clip(name, NAME).to_owned(),
                    call: clip(id, NAME).to_owned(),
                    ..ToolCall::default()
                },
                hash: CallHash::new(name),
            });
        }
    }

    /// The call that was begun last, to note what else is stated of it.
    pub(super) fn last_call(&mut self) -> Option<&mut ToolCall> {
        self.calls.last_mut().map(|call| &mut call.tool)
    }

    /// The result of a call that the provider ran by itself.
    pub(super) fn hosted_result(&mut self, id: &str, failed: bool, bytes: usize) {
        let named = self.calls.iter().find(|call| call.tool.call == id);
        if self.hosted.len() < CALLS {
            self.hosted.push(ToolCall {
                name: named.map(|call| call.tool.name.clone()).unwrap_or_default(),
                server: named
                    .map(|call| call.tool.server.clone())
                    .unwrap_or_default(),
                call: clip(id, NAME).to_owned(),
                result_error: Some(failed),
                result_bytes: bytes as u64,
                hosted: true,
                ..ToolCall::default()
            });
        }
    }

    /// Whether a call of that index is known.
    pub(super) fn has_call(&self, index: u64) -> bool {
        self.calls.iter().any(|call| call.index == index)
    }

    /// Arguments of the newest call of that index.
    pub(super) fn arguments(&mut self, index: u64, fragment: &str) {
        if let Some(call) = self.calls.iter_mut().rev().find(|call| call.index == index) {
            call.tool.argument_bytes += fragment.len() as u64;
            self.shown += fragment.len() as u64;
            call.hash.arguments(fragment);
        }
    }

    /// A whole call.
    pub(super) fn call(&mut self, id: &str, name: &str, arguments: &str) {
        let index = u64::MAX - self.calls.len() as u64;
        self.begin_call(index, id, name);
        self.arguments(index, arguments);
    }

    /// A whole text.
    pub(super) fn text(&mut self, text: &str) {
        self.say(text);
        self.turn.end_text();
    }

    /// The calls, with the results of the provider's own, and the turn with them.
    pub(super) fn close(&mut self) -> Vec<ToolCall> {
        self.turn.end_text();
        for call in &self.calls {
            self.turn.call(call.hash.finish());
        }
        std::mem::take(&mut self.calls)
            .into_iter()
            .map(|call| call.tool)
            .chain(std::mem::take(&mut self.hosted))
            .collect()
    }
}

/// A short text of the provider, cut to what a record keeps.
pub(super) fn short(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| clip(text, NAME).to_owned())
}
