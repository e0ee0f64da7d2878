//! The clients: what each style sends, how it rewrites its history, and what goes wrong on the way.

use super::super::*;
use crate::tap::{ResponseTap, read_request};
use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use std::collections::HashMap;

/// People, each with two machines.
const PEOPLE: u64 = 6;
/// Conversations that run at the same time.
const AT_ONCE: usize = 160;
/// What many conversations begin with.
const COMMON: [&str; 6] = [
    "hi",
    "fix the build",
    "continue",
    "run the tests",
    "what does this do?",
    "hello",
];

/// Numbers that look random and depend on the seed alone.
pub(super) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// Something a model or a person says, never the same twice.
    fn words(&mut self, count: u64) -> String {
        let words = [
            "the", "parser", "fails", "because", "a", "token", "is", "late", "so", "we", "retry",
        ];
        let mut text = format!("{:x}", self.next());
        for _ in 0..count {
            text.push(' ');
            text.push_str(words[usize::try_from(self.below(11)).unwrap()]);
        }
        text
    }

    fn id(&mut self) -> String {
        format!(
            "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
            self.below(1 << 32),
            self.below(1 << 16),
            self.below(1 << 12),
            self.below(1 << 12),
            self.below(1 << 48)
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    ClaudeCode,
    Codex,
    OpenCode,
    Goose,
    Cline,
    Qwen,
    StoredResponses,
    NumberedCalls,
    BareSdk,
}

impl Style {
    const ALL: [Self; 9] = [
        Self::ClaudeCode,
        Self::Codex,
        Self::OpenCode,
        Self::Goose,
        Self::Cline,
        Self::Qwen,
        Self::StoredResponses,
        Self::NumberedCalls,
        Self::BareSdk,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::OpenCode => "opencode",
            Self::Goose => "goose",
            Self::Cline => "cline",
            Self::Qwen => "qwen-code",
            Self::StoredResponses => "stored-responses",
            Self::NumberedCalls => "numbered-calls",
            Self::BareSdk => "bare-sdk",
        }
    }

    const fn endpoint(self) -> Endpoint {
        match self {
            Self::ClaudeCode | Self::BareSdk => Endpoint::AnthropicMessages,
            Self::Codex | Self::StoredResponses => Endpoint::OpenaiResponses,
            _ => Endpoint::OpenaiChat,
        }
    }

    /// It names its sessions.
    const fn states(self) -> bool {
        matches!(
            self,
            Self::ClaudeCode | Self::Codex | Self::OpenCode | Self::Goose
        )
    }

    const fn spawns(self) -> bool {
        matches!(self, Self::ClaudeCode | Self::Codex | Self::OpenCode)
    }

    const fn has_tools(self) -> bool {
        !matches!(self, Self::BareSdk)
    }
}

#[derive(Clone, Debug)]
enum Turn {
    User(String),
    /// What the model said, and its calls: id, name, arguments.
    Model(String, Vec<(String, String, String)>),
    Results(Vec<(String, String)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Turn,
    Title,
    /// Asks for a summary of the history, which then replaces it.
    Compaction,
}

/// One conversation, fork or sub-agent.
struct Unit {
    number: usize,
    style: Style,
    person: u64,
    node: u64,
    id: String,
    /// The session, and the agent or thread that this is within it.
    root: String,
    agent: Option<String>,
    parent_id: Option<String>,
    parent: Option<usize>,
    forked: bool,
    directory: String,
    history: Vec<Turn>,
    turns_left: u64,
    requests: usize,
    /// Its first prompt is like no other: then a failed first request can be known again.
    unique: bool,
    waiting: Option<(RequestFacts, SessionId, Kind, Timestamp)>,
    last_response: Option<String>,
    /// New since that response, for stored ones.
    new: usize,
    /// The request is sent again; not streamed.
    again: bool,
    side: Option<Kind>,
    calls: u64,
}

/// What was found of one request, and what is true.
pub(super) struct Seen {
    pub(super) unit: usize,
    pub(super) style: &'static str,
    pub(super) session: SessionId,
    pub(super) parent: Option<usize>,
    pub(super) found_parent: Option<SessionId>,
    /// The client says with every request where it belongs.
    pub(super) told: bool,
    pub(super) first: bool,
}

pub(super) struct World {
    dice: Dice,
    sessions: Sessions,
    now: Timestamp,
    units: usize,
    open: Vec<Unit>,
    seen: Vec<Seen>,
    /// Goose's sessions of the day, by machine.
    numbered: HashMap<(u64, u64), u64>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            sessions: Sessions::new(20_000),
            now: Timestamp(1_795_000_000_000),
            units: 0,
            open: Vec::new(),
            seen: Vec::new(),
            numbered: HashMap::new(),
        }
    }

    pub(super) fn run(mut self, conversations: usize) -> Vec<Seen> {
        let mut begun = 0;
        while begun < conversations || !self.open.is_empty() {
            while self.open.len() < AT_ONCE && begun < conversations {
                let style = Style::ALL[begun % Style::ALL.len()];
                self.begin(style);
                begun += 1;
            }
            self.now.0 += 20 + self.dice.below(400);
            let at = usize::try_from(self.dice.below(self.open.len() as u64)).unwrap();
            let mut unit = self.open.swap_remove(at);
            if unit.waiting.is_some() {
                self.answer(&mut unit);
            } else {
                let titled = unit.side == Some(Kind::Title);
                self.ask(&mut unit);
                if titled {
                    // The conversation itself follows at once.
                    self.now.0 += self.dice.below(2000);
                    self.answer(&mut unit);
                    self.ask(&mut unit);
                }
            }
            if unit.turns_left > 0 || unit.waiting.is_some() {
                self.open.push(unit);
            }
        }
        self.seen
    }

    fn begin(&mut self, style: Style) {
        let dice = &mut self.dice;
        let (person, node) = (dice.below(PEOPLE), dice.below(2));
        let unique = dice.percent(55);
        let prompt = if unique {
            dice.words(9)
        } else {
            COMMON[usize::try_from(dice.below(6)).unwrap()].to_owned()
        };
        let id = if style == Style::Goose {
            let number = self.numbered.entry((person, node)).or_default();
            *number += 1;
            format!("20261128_{number}")
        } else {
            dice.id()
        };
        let titled = matches!(
            style,
            Style::ClaudeCode | Style::OpenCode | Style::Goose | Style::Qwen
        );
        let unit = Unit {
            number: self.units,
            style,
            person,
            node,
            root: id.clone(),
            id,
            agent: None,
            parent_id: None,
            parent: None,
            forked: false,
            directory: format!("/home/p{person}/{:x}", dice.next()),
            history: vec![Turn::User(prompt)],
            turns_left: 2 + dice.below(7),
            requests: 0,
            unique,
            waiting: None,
            last_response: None,
            new: 0,
            again: false,
            side: (titled && dice.percent(60)).then_some(Kind::Title),
            calls: 0,
        };
        self.units += 1;
        self.open.push(unit);
    }

    /// A unit that another one starts: with its history (a fork), or with a task (a sub-agent).
    fn child(&mut self, of: &Unit, forked: bool) {
        let id = self.dice.id();
        let history = if forked {
            let mut history = of.history.clone();
            history.push(Turn::User(self.dice.words(5)));
            history
        } else {
            // Sub-agents of different sessions often get the same task.
            let same = self.dice.percent(50);
            vec![Turn::User(if same {
                "explore the repository".into()
            } else {
                self.dice.words(9)
            })]
        };
        let unit = Unit {
            number: self.units,
            style: of.style,
            person: of.person,
            node: of.node,
            root: if forked { id.clone() } else { of.root.clone() },
            agent: (!forked).then(|| id.clone()),
            parent_id: Some(of.agent.clone().unwrap_or(of.id.clone())),
            id,
            parent: Some(of.number),
            forked,
            directory: of.directory.clone(),
            history,
            turns_left: 1 + self.dice.below(4),
            requests: 0,
            unique: true,
            waiting: None,
            last_response: None,
            new: 0,
            again: false,
            side: None,
            calls: 0,
        };
        self.units += 1;
        self.open.push(unit);
    }

    fn ask(&mut self, unit: &mut Unit) {
        let kind = unit.side.take().unwrap_or(Kind::Turn);
        let body = self.body(unit, kind).to_string();
        let headers = headers(unit);
        let client = Client {
            name: if unit.style == Style::Cline {
                "ai-sdk".into()
            } else {
                unit.style.name().into()
            },
            version: String::new(),
        };
        let facts =
            read_request(unit.style.endpoint(), &HeaderMap::new(), body.as_bytes()).unwrap();
        let found = self.sessions.assign(&Asking {
            user: &format!("user:{}", unit.person),
            node: &format!("n{}", unit.node),
            client: &client,
            endpoint: unit.style.endpoint(),
            headers: &headers,
            facts: &facts,
            configured: &[],
            now: self.now,
        });
        let session = found.session.unwrap();
        self.seen.push(Seen {
            unit: unit.number,
            style: unit.style.name(),
            session,
            parent: unit.parent,
            found_parent: found.parent,
            told: unit.agent.is_some(),
            first: unit.requests == 0,
        });
        unit.requests += 1;
        unit.waiting = Some((facts, session, kind, self.now));
    }

    fn answer(&mut self, unit: &mut Unit) {
        let (facts, session, kind, started) = unit.waiting.take().unwrap();
        let first = unit.history.len() == 1;
        // A first request that fails can only be known again by its words.
        let may_fail = kind == Kind::Turn && (!first || unit.unique || unit.style.states());
        let fate = if may_fail && !unit.again {
            self.dice.below(100)
        } else {
            99
        };
        unit.again = false;
        let failed = fate < 5;
        let cut = (5..14).contains(&fate);
        let cancelled = (9..14).contains(&fate);
        let text = match kind {
            Kind::Compaction => self.dice.words(80),
            Kind::Title => self.dice.words(3),
            Kind::Turn if self.dice.percent(30) => self.dice.words(2),
            Kind::Turn => self.dice.words(30),
        };
        let calls = self.calls(unit, kind == Kind::Turn && !cut);
        let response_id = format!("resp_{:x}", self.dice.next());
        let said = if calls.len() == 1 && self.dice.percent(50) {
            String::new()
        } else {
            text
        };
        let status = if failed { 529 } else { 200 };
        let mut tap = ResponseTap::new(unit.style.endpoint(), status, &HeaderMap::new());
        if cut {
            tap.feed(part_of_a_stream(unit.style, &response_id, &said).as_bytes());
        } else if !failed {
            tap.feed(
                reply(unit.style, &response_id, &said, &calls)
                    .to_string()
                    .as_bytes(),
            );
        }
        let response = tap.finish(!cut);
        self.sessions.learn(&Answered {
            user: &format!("user:{}", unit.person),
            client: if unit.style == Style::Cline {
                "ai-sdk"
            } else {
                unit.style.name()
            },
            session,
            model: ["p", "m"],
            request: &facts,
            response: &response,
            whole: !failed && !cut,
            started,
            now: self.now,
        });
        if kind == Kind::Title {
            return;
        }
        if failed || (cut && !cancelled) {
            // The same once more, in one piece; after a while, as clients do.
            unit.again = true;
            return;
        }
        if kind == Kind::Compaction {
            compact(unit, said);
            unit.new = unit.history.len();
            unit.last_response = None;
            return;
        }
        unit.turns_left -= 1;
        if cancelled {
            // Some keep what was said so far, some don't; then the person goes on.
            if self.dice.percent(50) && unit.style != Style::StoredResponses {
                let half = &said[..said.len() / 2];
                unit.history
                    .push(Turn::Model(half.trim().to_owned(), Vec::new()));
            }
            unit.history.push(Turn::User(self.dice.words(6)));
            if unit.style == Style::StoredResponses {
                unit.new += 1;
            }
            return;
        }
        unit.last_response = Some(response_id);
        unit.new = 1;
        unit.history.push(Turn::Model(said, calls.clone()));
        let next = if calls.is_empty() {
            let common = self.dice.percent(30);
            Turn::User(if common {
                "go on".into()
            } else {
                self.dice.words(6)
            })
        } else {
            Turn::Results(
                calls
                    .into_iter()
                    .map(|(id, ..)| (id, self.dice.words(4)))
                    .collect(),
            )
        };
        unit.history.push(next);
        self.whims(unit);
    }

    /// What the model calls, if anything: id, name, arguments.
    fn calls(&mut self, unit: &mut Unit, may: bool) -> Vec<(String, String, String)> {
        let mut calls = Vec::new();
        if may && unit.style.has_tools() && self.dice.percent(60) {
            for _ in 0..=self.dice.below(2) {
                let id = match unit.style {
                    Style::NumberedCalls => format!("functions.bash:{}", unit.calls),
                    _ => format!("call_{:x}", self.dice.next()),
                };
                unit.calls += 1;
                let command =
                    ["ls", "make", "git status"][usize::try_from(self.dice.below(3)).unwrap()];
                let arguments = json!({"command": command});
                calls.push((id, "bash".to_owned(), arguments.to_string()));
            }
        }
        calls
    }

    /// What happens between turns.
    fn whims(&mut self, unit: &mut Unit) {
        if unit.style.spawns() && unit.turns_left > 0 {
            if self.dice.percent(10) {
                for _ in 0..=self.dice.below(3) {
                    self.child(unit, false);
                }
            }
            if unit.agent.is_none() && self.dice.percent(4) {
                self.child_fork(unit);
            }
        }
        let compacts = !matches!(
            unit.style,
            Style::StoredResponses | Style::NumberedCalls | Style::BareSdk
        );
        if compacts && unit.history.len() >= 7 && self.dice.percent(15) {
            unit.side = Some(Kind::Compaction);
            if unit.style == Style::Cline {
                // Cut without asking anybody: the first pair stays, the middle goes.
                unit.side = None;
                let at = unit.history.len() - 3;
                unit.history.drain(2..at);
            }
        }
        let rewinds = matches!(unit.style, Style::BareSdk | Style::Cline);
        if rewinds && unit.history.len() >= 5 && self.dice.percent(6) {
            // The person goes back to an earlier reply and says something else.
            let before = &unit.history[..unit.history.len() - 2];
            let is_end = |turn: &Turn| matches!(turn, Turn::Model(_, calls) if calls.is_empty());
            if let Some(at) = before.iter().rposition(is_end) {
                unit.history.truncate(at + 1);
                unit.history.push(Turn::User(self.dice.words(6)));
            }
        }
    }

    fn child_fork(&mut self, unit: &Unit) {
        let mut copy = Unit {
            history: unit.history[..unit.history.len() - 1].to_vec(),
            id: unit.id.clone(),
            root: unit.root.clone(),
            agent: None,
            parent_id: None,
            directory: unit.directory.clone(),
            waiting: None,
            last_response: None,
            ..*unit
        };
        // A fork begins after a reply without open calls.
        if matches!(copy.history.last(), Some(Turn::Model(_, calls)) if calls.is_empty()) {
            self.child(&copy, true);
        }
        copy.history.clear();
    }

    fn body(&mut self, unit: &Unit, kind: Kind) -> Value {
        let mut history = unit.history.clone();
        if kind == Kind::Title {
            let prompt = match &history[0] {
                Turn::User(text) => text.clone(),
                _ => String::new(),
            };
            history = vec![Turn::User(prompt)];
        }
        if kind == Kind::Compaction {
            history.push(Turn::User("Summarise the conversation so far.".into()));
        }
        let tools = unit.style.has_tools() && kind != Kind::Title;
        let system = match kind {
            Kind::Title => "You write titles.".to_owned(),
            _ => format!(
                "You are an agent.\nWorking directory: {}\nToday is a day.",
                unit.directory
            ),
        };
        match unit.style.endpoint() {
            Endpoint::AnthropicMessages => self.messages(unit, &history, &system, tools),
            Endpoint::OpenaiResponses => self.items(unit, &history, &system, tools),
            _ => self.chat(unit, &history, &system, tools),
        }
    }

    /// Anthropic messages: marks move, lists become texts, thinking goes, reminders come.
    fn messages(&mut self, unit: &Unit, history: &[Turn], system: &str, tools: bool) -> Value {
        let claude = unit.style == Style::ClaudeCode;
        let last = history.len() - 1;
        let mut messages = Vec::new();
        for (at, turn) in history.iter().enumerate() {
            let (role, mut blocks) = match turn {
                Turn::User(text) => ("user", vec![json!({"type": "text", "text": text})]),
                Turn::Model(text, calls) => {
                    let mut blocks = Vec::new();
                    if claude && self.dice.percent(50) {
                        blocks.push(json!({"type": "thinking", "thinking": self.dice.words(4), "signature": "s"}));
                    }
                    if !text.is_empty() {
                        blocks.push(json!({"type": "text", "text": text}));
                    }
                    for (id, name, arguments) in calls {
                        let input: Value = serde_json::from_str(arguments).unwrap();
                        blocks.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
                    }
                    ("assistant", blocks)
                }
                Turn::Results(results) => ("user", results.iter().map(|(id, text)| {
                    json!({"type": "tool_result", "tool_use_id": id, "content": text})
                }).collect()),
            };
            if claude && role == "user" && self.dice.percent(30) {
                let reminder = format!(
                    "<system-reminder>\n{}\n</system-reminder>",
                    self.dice.words(5)
                );
                let reminder = json!({"type": "text", "text": reminder});
                let place = if self.dice.percent(50) {
                    0
                } else {
                    blocks.len()
                };
                blocks.insert(place, reminder);
            }
            if at == last
                && claude
                && let Some(block) = blocks.last_mut()
            {
                block["cache_control"] = json!({"type": "ephemeral"});
            }
            let alone = blocks.len() == 1
                && blocks[0]["type"] == "text"
                && blocks[0].get("cache_control").is_none();
            let content = if alone && self.dice.percent(50) {
                blocks[0]["text"].clone()
            } else {
                Value::Array(blocks)
            };
            messages.push(json!({"role": role, "content": content}));
        }
        let mut body = json!({"model": "m", "max_tokens": 9, "stream": !unit.again, "system": system, "messages": messages});
        if tools {
            body["tools"] = json!([{"name": "bash", "input_schema": {}}]);
        }
        body
    }

    /// Chat: block lists at times, an info block that moves (Goose), context in the first message (Qwen).
    fn chat(&mut self, unit: &Unit, history: &[Turn], system: &str, tools: bool) -> Value {
        let last = history.len() - 1;
        let mut messages = vec![json!({"role": "system", "content": system})];
        for (at, turn) in history.iter().enumerate() {
            match turn {
                Turn::User(text) => {
                    let mut text = text.clone();
                    if unit.style == Style::Qwen && at == 0 {
                        text = format!(
                            "<session_context>\nI'm currently working in the directory: {}\n</session_context>\n{text}",
                            unit.directory
                        );
                    }
                    if unit.style == Style::Goose && at == last {
                        text = format!("{text}\n<info-msg>\nIt is {}\n</info-msg>", self.now);
                    }
                    let parts = json!([{"type": "text", "text": text}]);
                    let content = if self.dice.percent(30) {
                        parts
                    } else {
                        json!(text)
                    };
                    messages.push(json!({"role": "user", "content": content}));
                }
                Turn::Model(text, calls) => {
                    let mut message = json!({"role": "assistant", "content": text});
                    if !calls.is_empty() {
                        message["tool_calls"] = calls.iter().map(|(id, name, arguments)| {
                            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
                        }).collect();
                    }
                    messages.push(message);
                }
                Turn::Results(results) => messages.extend(results.iter().map(
                    |(id, text)| json!({"role": "tool", "tool_call_id": id, "content": text}),
                )),
            }
        }
        let mut body = json!({"model": "m", "stream": !unit.again, "messages": messages});
        if tools {
            body["tools"] = json!([{"type": "function", "function": {"name": "bash"}}]);
        }
        body
    }

    /// Responses: all items, or only the new ones after a stored response.
    fn items(&mut self, unit: &Unit, history: &[Turn], system: &str, tools: bool) -> Value {
        let stored = unit.style == Style::StoredResponses && unit.last_response.is_some();
        let from = if stored { history.len() - unit.new } else { 0 };
        let mut items = Vec::new();
        if unit.style == Style::Codex {
            let context = format!(
                "<environment_context>\n<cwd>{}</cwd>\n{}</environment_context>",
                unit.directory,
                self.dice.words(2)
            );
            items.push(json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": context}]}));
        }
        for turn in &history[from..] {
            match turn {
                Turn::User(text) => items.push(json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})),
                Turn::Model(text, calls) => {
                    if !text.is_empty() {
                        items.push(json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}));
                    }
                    items.extend(calls.iter().map(|(id, name, arguments)| {
                        json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
                    }));
                }
                Turn::Results(results) => items.extend(results.iter().map(|(id, text)| {
                    json!({"type": "function_call_output", "call_id": id, "output": text})
                })),
            }
        }
        let mut body =
            json!({"model": "m", "stream": !unit.again, "instructions": system, "input": items});
        if tools {
            body["tools"] = json!([{"type": "function", "name": "bash"}]);
        }
        if stored {
            body["previous_response_id"] = json!(unit.last_response);
        }
        if unit.style == Style::Codex {
            body["prompt_cache_key"] = json!(unit.id);
        }
        body
    }
}

/// The history after a compaction.
fn compact(unit: &mut Unit, summary: String) {
    let next = unit.history.pop().unwrap();
    let next = match next {
        Turn::User(text) => Turn::User(text),
        _ => Turn::User("Continue with what you were doing.".into()),
    };
    unit.history = if unit.style == Style::Qwen {
        vec![
            Turn::User(summary),
            Turn::Model(
                "Got it. Thanks for the additional context!".into(),
                Vec::new(),
            ),
            next,
        ]
    } else {
        vec![
            Turn::User(format!(
                "This session goes on from an earlier one:\n\n{summary}"
            )),
            next,
        ]
    };
}

fn headers(unit: &Unit) -> HeaderMap {
    let mut lines: Vec<(&'static str, String)> = Vec::new();
    match unit.style {
        Style::ClaudeCode => {
            lines.push(("x-claude-code-session-id", unit.root.clone()));
            if let Some(agent) = &unit.agent {
                lines.push(("x-claude-code-agent-id", agent.clone()));
                let parent = unit.parent_id.clone().unwrap();
                if parent != unit.root {
                    lines.push(("x-claude-code-parent-agent-id", parent));
                }
            }
        }
        Style::Codex => {
            lines.push(("session-id", unit.root.clone()));
            lines.push(("thread-id", unit.agent.clone().unwrap_or(unit.id.clone())));
            if unit.agent.is_some() {
                lines.push(("x-openai-subagent", "collab_spawn".into()));
                lines.push(("x-codex-parent-thread-id", unit.parent_id.clone().unwrap()));
            }
            if unit.forked {
                lines.push((
                    "x-codex-forked-from-thread-id",
                    unit.parent_id.clone().unwrap(),
                ));
            }
        }
        Style::OpenCode => {
            lines.push(("x-session-id", unit.id.clone()));
            lines.push(("x-session-affinity", unit.id.clone()));
            if unit.agent.is_some() {
                lines.push(("x-parent-session-id", unit.parent_id.clone().unwrap()));
            }
        }
        Style::Goose => lines.push(("agent-session-id", unit.id.clone())),
        _ => {}
    }
    let line = |(name, value): (&'static str, String)| {
        (HeaderName::from_static(name), value.parse().unwrap())
    };
    lines.into_iter().map(line).collect()
}

fn reply(style: Style, id: &str, text: &str, calls: &[(String, String, String)]) -> Value {
    match style.endpoint() {
        Endpoint::AnthropicMessages => {
            let mut content = Vec::new();
            if !text.is_empty() {
                content.push(json!({"type": "text", "text": text}));
            }
            content.extend(calls.iter().map(|(id, name, arguments)| {
                let input: Value = serde_json::from_str(arguments).unwrap();
                json!({"type": "tool_use", "id": id, "name": name, "input": input})
            }));
            json!({"id": id, "type": "message", "content": content, "stop_reason": "end_turn"})
        }
        Endpoint::OpenaiResponses => {
            let mut output = Vec::new();
            if !text.is_empty() {
                output.push(
                    json!({"type": "message", "content": [{"type": "output_text", "text": text}]}),
                );
            }
            output.extend(calls.iter().map(|(id, name, arguments)| {
                json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
            }));
            json!({"id": id, "status": "completed", "output": output})
        }
        _ => {
            let calls: Vec<_> = calls.iter().map(|(id, name, arguments)| {
                json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
            }).collect();
            json!({"id": id, "choices": [{"index": 0, "message": {"content": text, "tool_calls": calls}}]})
        }
    }
}

/// The beginning of a stream that breaks off.
fn part_of_a_stream(style: Style, id: &str, text: &str) -> String {
    let half = &text[..text.len() / 2];
    match style.endpoint() {
        Endpoint::AnthropicMessages => format!(
            "event: message_start\ndata: {}\n\nevent: content_block_delta\ndata: {}\n\n",
            json!({"type": "message_start", "message": {"id": id, "content": []}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": half}}),
        ),
        Endpoint::OpenaiResponses => format!(
            "event: response.created\ndata: {}\n\n",
            json!({"type": "response.created", "response": {"id": id, "status": "in_progress"}}),
        ),
        _ => format!(
            "data: {}\n\n",
            json!({"id": id, "choices": [{"index": 0, "delta": {"content": half}}]})
        ),
    }
}
