//! One session as an agent leads it: requests that carry a growing context, with tools, sub-agents, breaks and failures.
//!
//! In: who, when, with what. Out: finished records in order, with captures where they are kept.

use crate::{
    Arguments,
    people::{Person, TOOLING, Tooling},
    random::Random,
    speech::{Speech, TITLES},
};
use aperture::{
    endpoint::Endpoint,
    price::{self, Basis, BasisSource},
    record::{
        Bytes, CacheMiss, Capture, CaptureMode, Client, CostState, End, MissCause, Record,
        RequestId, SessionId, Timestamp, Timings, ToolCall, Usage, UsageState, Who,
    },
};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// When a session begins, and how long it will be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) at: Timestamp,
    pub(crate) person: usize,
    turns: u64,
    id: u128,
}

/// Beginnings over all days: more on working days, more in the day, more as time goes on.
pub(crate) fn starts(
    arguments: &Arguments,
    everybody: &[Person],
    now: Timestamp,
    random: &mut Random,
) -> Vec<Start> {
    let weights: u64 = everybody.iter().map(|person| person.weight).sum();
    let mean = (arguments.requests / arguments.sessions.max(1)).max(1);
    let midnight = now.0 / DAY * DAY;
    let mut starts = Vec::new();
    while (starts.len() as u64) < arguments.sessions {
        let mut left = random.below(weights);
        let person = everybody.iter().position(|person| {
            let found = left < person.weight;
            left = left.saturating_sub(person.weight);
            found
        });
        let person = person.unwrap_or_default();
        let who = &everybody[person];
        let percent = random.within(who.since, 100);
        let back = arguments.days * (100 - percent) / 100;
        let day = midnight.saturating_sub(back.min(arguments.days - 1) * DAY);
        // 1970 began on a Thursday.
        let weekend = matches!((day / DAY + 3) % 7, 5 | 6);
        if weekend && !who.program && random.chance(850) {
            continue;
        }
        let hour = if who.program {
            random.below(24)
        } else {
            *random.pick(&[
                7, 8, 8, 9, 9, 9, 10, 10, 11, 12, 13, 13, 14, 14, 15, 15, 16, 17, 18, 20,
            ])
        };
        let at = day + hour * 60 * MINUTE + random.below(60 * MINUTE);
        // The latest sessions go on until now.
        let at = if at >= now.0 {
            now.0 - random.within(2, 40) * MINUTE
        } else {
            at
        };
        starts.push(Start {
            at: Timestamp(at),
            person,
            turns: random.around(mean).max(1),
            id: u128::from(random.next()) << 64 | u128::from(random.next()),
        });
    }
    starts
}

/// What goes from one request of a session to the next.
struct Course<'a> {
    start: &'a Start,
    person: &'a Person,
    tooling: &'a Tooling,
    model: (&'static str, &'static str, u64),
    clock: u64,
    /// Tokens of context so far, and those of them that the provider has cached.
    context: u64,
    cached: u64,
    /// Milliseconds since the answer before ended.
    paused: u64,
    open: Vec<ToolCall>,
    speech: Option<Speech>,
}

/// Plays a session; texts only where they are to be kept.
pub(crate) fn play(
    start: &Start,
    person: &Person,
    texts: bool,
    now: Timestamp,
    random: &mut Random,
) -> Vec<(Record, Option<Capture>)> {
    let favourite = if random.chance(800) {
        person.favourite
    } else {
        usize::try_from(random.below(TOOLING.len() as u64)).expect("invariant: few")
    };
    let tooling = &TOOLING[favourite];
    let title = random.pick(&TITLES);
    let mut course = Course {
        start,
        person,
        tooling,
        model: *random.pick(tooling.models),
        clock: start.at.0,
        context: if tooling.tools.is_empty() {
            600
        } else {
            14_000
        },
        cached: 0,
        paused: 0,
        open: Vec::new(),
        speech: (texts && tooling.client == "claude-code").then(|| Speech::new(title, random)),
    };
    // A program without tools asks once or twice, not for an afternoon.
    let turns = if tooling.tools.is_empty() {
        start.turns.min(6)
    } else {
        start.turns
    };
    let mut made = Vec::new();
    let mut agent: Option<(String, u64)> = None;
    for turn in 0..turns {
        if course.clock >= now.0 - 2_000 {
            break;
        }
        let (mut record, capture) =
            course.turn(turn, agent.as_ref().map(|(name, _)| name.as_str()), random);
        if turn == 0 {
            record.title = Some((*title).to_owned());
        }
        agent = match agent {
            Some((name, left)) if left > 0 => Some((name, left - 1)),
            None if tooling.client == "claude-code" && random.chance(25) => {
                let name = random.pick(&["Explore", "code-reviewer", "test-runner"]);
                Some(((*name).to_owned(), random.within(2, 5)))
            }
            Some(_) | None => None,
        };
        made.push((record, capture));
    }
    made
}

impl Course<'_> {
    #[expect(
        clippy::too_many_lines,
        reason = "one field of the record after the other"
    )]
    fn turn(
        &mut self,
        turn: u64,
        agent: Option<&str>,
        random: &mut Random,
    ) -> (Record, Option<Capture>) {
        let (provider, model, speed) = self.model;
        let low = u128::from(random.next());
        let id = RequestId(RequestId::at(Timestamp(self.clock)).0 | low);
        let endpoint = match (provider, self.tooling.client) {
            ("anthropic", _) => Endpoint::AnthropicMessages,
            (_, "codex") => Endpoint::OpenaiResponses,
            _ => Endpoint::OpenaiChat,
        };
        let mut record = Record::new(id, endpoint);
        record.who = Who {
            user: self.person.user.clone(),
            login: self.person.login.clone(),
            node: format!("n{}", self.person.node),
            node_name: self.person.node.clone(),
            tags: Vec::new(),
        };
        record.client = Client {
            name: self.tooling.client.into(),
            version: self.tooling.version.into(),
        };
        record.grant = Some("grants[0].app[1]: models **".into());
        record.path = format!("POST {}", endpoint.path());
        record.provider = Some(provider.into());
        record.model_asked = Some(model.into());
        record.model = Some(model.into());
        record.model_served = Some(model.into());
        record.streamed = true;
        record.session = Some(SessionId(self.start.id));
        record.agent = agent.map(str::to_owned);
        record.capture = if self.speech.is_some() {
            CaptureMode::Full
        } else {
            CaptureMode::Metadata
        };

        let output = random.around(320);
        let broken = random.chance(15);
        let read = if broken { 0 } else { self.cached };
        let new = random.around(if turn == 0 { 200 } else { 900 });
        self.context += new;
        let caches = provider != "private-llm" && self.context > 1_024;
        record.usage = Usage {
            input: if caches {
                random.within(3, 12)
            } else {
                self.context
            },
            cache_read: if caches { read } else { 0 },
            cache_write: if caches { self.context - read } else { 0 },
            output,
            reasoning: if provider == "openai" { output / 3 } else { 0 },
            ..Usage::default()
        };
        if endpoint != Endpoint::AnthropicMessages {
            // These count what they read from a cache, not what they write to it.
            record.usage.input += std::mem::take(&mut record.usage.cache_write);
        }
        record.usage_state = UsageState::Reported;
        if broken && caches && self.cached > 0 {
            record.cache_miss = Some(CacheMiss {
                expected_tokens: self.cached,
                cause: *random.pick(&[
                    MissCause::System,
                    MissCause::Tools,
                    MissCause::Message,
                    MissCause::Expired,
                ]),
                ..CacheMiss::default()
            });
        }
        let wait = random
            .around(if provider == "private-llm" {
                350_000
            } else {
                900_000
            })
            .max(60_000);
        let total = wait + output * 1_000_000 / speed;
        record.timings = Timings {
            sent_us: random.within(250, 900),
            head_us: wait * 9 / 10,
            first_byte_us: wait,
            total_us: total,
        };
        record.bytes = Bytes {
            request: self.context * 4,
            response: output * 90,
        };
        record.status = Some(200);
        record.end = End::Complete;
        record.stop_reason = Some(
            if self.tooling.tools.is_empty() {
                "end_turn"
            } else {
                "tool_use"
            }
            .into(),
        );
        self.results(&mut record, random);
        self.calls(&mut record, random);
        let failed = fail(&mut record, random);
        if record.usage_state != UsageState::None {
            record.cost = cost(provider, model, &record.usage, record.started);
        }
        let capture = self
            .speech
            .as_mut()
            .map(|speech| speech.turn(&record, turn, random));
        if failed {
            self.open.clear();
        } else {
            self.cached = if caches { self.context } else { 0 };
            self.context += output;
        }
        // Tools take their time, and now and then a person thinks.
        let pause = if random.chance(120) {
            random.around(3 * MINUTE)
        } else {
            random.around(2_500)
        };
        self.paused = pause.max(50);
        self.clock += total / 1_000 + self.paused;
        (record, capture)
    }

    /// What came back from the tools of the answer before.
    fn results(&mut self, record: &mut Record, random: &mut Random) {
        for call in self.open.drain(..) {
            record.tools.push(ToolCall {
                result_error: Some(random.chance(if call.name.contains("ash") { 90 } else { 25 })),
                argument_bytes: 0,
                result_bytes: random.around(900),
                duration_ms: Some(self.paused),
                ..call
            });
        }
    }

    /// What the model calls now.
    fn calls(&mut self, record: &mut Record, random: &mut Random) {
        if self.tooling.tools.is_empty() || random.chance(80) {
            return;
        }
        for _ in 0..random.within(1, 2) {
            let call = ToolCall {
                name: (*random.pick(self.tooling.tools)).to_owned(),
                call: format!("toolu_{:016x}", random.next()),
                argument_bytes: random.around(140),
                ..ToolCall::default()
            };
            self.open.push(call.clone());
            record.tools.push(call);
        }
    }
}

/// Now and then something fails; true when it did.
fn fail(record: &mut Record, random: &mut Random) -> bool {
    let (end, status, failure) = match random.below(1_000) {
        0..4 => (End::UpstreamError, Some(529), None),
        4..7 => (End::Complete, Some(429), None),
        7..9 => (End::UpstreamError, Some(502), Some("upstream_unreachable")),
        9..11 => (End::Timeout, Some(200), Some("idle_timeout")),
        11..13 => (End::Refused, Some(404), Some("no_model")),
        13..20 => (End::ClientGone, Some(200), None),
        20..22 => (End::Interrupted, Some(200), None),
        _ => return false,
    };
    record.end = end;
    record.status = status;
    record.failure = failure.map(str::to_owned);
    record.tools.retain(|tool| tool.result_error.is_some());
    record.stop_reason = None;
    if status == Some(200) {
        record.usage.output /= 3;
        record.usage_state = UsageState::Partial;
    } else {
        record.usage = Usage::default();
        record.usage_state = UsageState::None;
        record.timings.total_us = record.timings.first_byte_us;
    }
    true
}

fn cost(provider: &str, model: &str, usage: &Usage, at: Timestamp) -> aperture::record::Cost {
    let basis = Basis {
        catalogue: provider,
        source: BasisSource::Explicit,
        model,
        adjustment_ppm: 1_000_000,
    };
    let mut cost = price::cost(&basis, None, usage, at);
    price::VERSION.clone_into(&mut cost.prices);
    if cost.state != CostState::Priced {
        cost.basis.clear();
    }
    cost
}
