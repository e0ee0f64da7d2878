//! What is asked, and what must come of it: every format, whole and streamed, and every way in which a request can go wrong.
//!
//! Owns: [`WAYS`], and [`Kinds`], the prepared requests. In: the seed. Out: for each number the request that has it; for the
//! provider its scripts; for the gateway its document. Number and way stand in each path, so that the provider's log and the
//! records can be told apart by them.

use super::books::Saw;
use aperture::record::End;
use load::format::{self, FORMATS};
use provider::{Matcher, Provider, Script};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Where the number of a request stands, in hexadecimal digits.
const NUMBER: &str = "00000000";
/// Where that of its session stands.
const SESSION: &str = "99999999";
/// Requests of one session.
pub(super) const TOGETHER: u64 = 40;
/// A model whose provider is not there.
const DEAD_MODEL: &str = "endurance-dead-model";
/// A model of nobody.
const NO_MODEL: &str = "endurance-no-such-model";
/// How long the gateway waits for a silent provider.
const SILENCE: &str = "3s";
/// Bytes of a large request, and of a large answer.
const LARGE: usize = 400_000;

/// How the client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Reads,
    /// A little at a time.
    ReadsSlowly,
    /// Within some milliseconds of its request.
    LeavesAtOnce,
    /// After the first bytes of the answer's body.
    LeavesMidway,
    /// When half of its body is sent.
    LeavesUpload,
}

/// Which of a format's requests go that way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Both,
    Whole,
    Streams,
    /// A token count.
    Count,
    /// The list of models.
    List,
}

/// Whether the provider gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    Sees,
    Never,
    /// It depends on who is faster.
    May,
}

/// One way in which requests go.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) name: &'static str,
    /// How often, of a thousand.
    weight: u64,
    of: Of,
    /// The provider's script, beside its text and figures.
    script: &'static str,
    pub(super) client: Client,
    pub(super) upstream: Upstream,
    /// What the client may see: an answer in full, a broken one, none.
    pub(super) saw: Saw,
    /// The statuses that it may have, for the client and in the record.
    pub(super) statuses: &'static [u16],
    /// The ends that its record may have; none where nothing is recorded.
    pub(super) ends: &'static [End],
}

const fn way(name: &'static str, weight: u64, of: Of, script: &'static str) -> Way {
    Way {
        name,
        weight,
        of,
        script,
        client: Client::Reads,
        upstream: Upstream::Sees,
        saw: Saw::Whole,
        statuses: &[200],
        ends: &[End::Complete],
    }
}

const fn fails(mut way: Way, saw: Saw, statuses: &'static [u16], ends: &'static [End]) -> Way {
    way.saw = saw;
    way.statuses = statuses;
    way.ends = ends;
    way
}

const fn by(mut way: Way, client: Client) -> Way {
    way.client = client;
    way
}

const fn upstream(mut way: Way, upstream: Upstream) -> Way {
    way.upstream = upstream;
    way
}

const BROKE: &[End] = &[End::UpstreamError];
const GONE: &[End] = &[End::ClientGone];

/// All of them. The weights add up to a thousand.
#[rustfmt::skip]
pub(super) const WAYS: [Way; 24] = [
    way("whole", 280, Of::Whole, "{}"),
    way("streamed", 310, Of::Streams, "{}"),
    way("large_request", 5, Of::Both, "{}"),
    by(way("slow_reader", 5, Of::Whole, "{}"), Client::ReadsSlowly),
    way("token_count", 40, Of::Count, "{}"),
    fails(upstream(way("model_list", 20, Of::List, "{}"), Upstream::Never), Saw::Whole, &[200], &[]),
    fails(way("error_400", 30, Of::Both, r#"{"status": 400}"#), Saw::Whole, &[400], &[End::Complete]),
    fails(way("error_429", 30, Of::Both, r#"{"status": 429, "retry_after": "1"}"#), Saw::Whole, &[429], &[End::Complete]),
    fails(way("error_529", 20, Of::Both, r#"{"status": 529}"#), Saw::Whole, &[529], &[End::Complete]),
    fails(upstream(way("no_such_model", 30, Of::Both, "{}"), Upstream::Never), Saw::Whole, &[404], &[End::Refused]),
    fails(upstream(way("provider_refuses", 20, Of::Both, "{}"), Upstream::Never), Saw::Whole, &[502], BROKE),
    fails(way("provider_stalls_first", 2, Of::Both, r#"{"stall": "before_head"}"#), Saw::Whole, &[504], &[End::Timeout]),
    fails(way("provider_stalls_midway", 2, Of::Streams, r#"{"stall": "mid_stream"}"#), Saw::Broken, &[200], &[End::Timeout]),
    fails(way("provider_closes_first", 20, Of::Both, r#"{"cut": "before_head"}"#), Saw::Whole, &[502], BROKE),
    fails(way("provider_closes_midway", 20, Of::Streams, r#"{"cut": "mid_stream"}"#), Saw::Broken, &[200], BROKE),
    // Who reads late finds neither head nor body.
    fails(way("provider_resets_midway", 20, Of::Streams, r#"{"cut": "mid_stream", "cut_how": "rst"}"#), Saw::Broken, &[200, 502], BROKE),
    way("provider_closes_after", 30, Of::Both, r#"{"headers": {"connection": "close"}}"#),
    fails(way("garbage_head", 10, Of::Both, r#"{"garbage": "head"}"#), Saw::Whole, &[502], BROKE),
    way("garbage_body", 10, Of::Both, r#"{"garbage": "body"}"#),
    fails(way("wrong_length", 10, Of::Whole, r#"{"wrong_length": true}"#), Saw::Broken, &[200], BROKE),
    fails(way("huge_head", 1, Of::Both, r#"{"huge_headers": 1048576}"#), Saw::Whole, &[502], BROKE),
    fails(upstream(by(way("leaves_at_once", 30, Of::Both, r#"{"delay_ms": 100}"#), Client::LeavesAtOnce), Upstream::May),
        Saw::Left, &[200], &[End::ClientGone, End::Complete]),
    fails(by(way("leaves_midway", 45, Of::Streams, r#"{"stall": "mid_stream"}"#), Client::LeavesMidway), Saw::Left, &[200], GONE),
    fails(upstream(by(way("leaves_upload", 10, Of::Both, "{}"), Client::LeavesUpload), Upstream::Never), Saw::Left, &[], GONE),
];

/// One prepared request.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its place in [`WAYS`].
    pub(super) way: usize,
    pub(super) bytes: Vec<u8>,
    /// Where its number stands.
    numbers: Vec<usize>,
    /// Where that of its session stands.
    session: Option<usize>,
}

/// All prepared requests, by way.
#[derive(Debug)]
pub(super) struct Kinds {
    seed: u64,
    by_way: Vec<Vec<Kind>>,
}

/// A number that looks random and is the same for the same seed.
pub(super) const fn mixed(seed: u64, n: u64, of: u64) -> u64 {
    let mut x = n
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(seed.wrapping_mul(0xd134_2543_de82_ef95));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % of
}

// === impl Way ===

impl Way {
    /// Whether its requests leave a record.
    pub(super) const fn is_recorded(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Whether the provider's figures of it stand in the record.
    pub(super) fn is_counted(&self) -> bool {
        self.is_recorded()
            && self.saw == Saw::Whole
            && self.statuses == [200]
            && self.of != Of::Count
            && !self.name.starts_with("garbage")
    }

    fn script(&self) -> Script {
        let mut script: Value = serde_json::from_str(self.script).unwrap();
        let words = if self.client == Client::ReadsSlowly {
            LARGE / 5
        } else {
            80
        };
        script["text"] = "word ".repeat(words).into();
        script["chunks"] = 12.into();
        script["usage"] = json!({"input": 500, "output": 225});
        Script::from_json(&script.to_string()).unwrap()
    }
}

// === impl Kinds ===

impl Kinds {
    pub(super) fn new(seed: u64, authority: &str) -> Self {
        assert_eq!(WAYS.iter().map(|way| way.weight).sum::<u64>(), 1000);
        let by_way = (0..WAYS.len()).map(|at| kinds(at, authority)).collect();
        Self { seed, by_way }
    }

    /// The request of that number.
    pub(super) fn of(&self, n: u64) -> &Kind {
        let mut left = mixed(self.seed, 2 * n, 1000);
        let way = WAYS.iter().position(|way| {
            let here = left < way.weight;
            left = left.saturating_sub(way.weight);
            here
        });
        let kinds = &self.by_way[way.expect("the weights add up to a thousand")];
        let at = mixed(self.seed, 2 * n + 1, kinds.len() as u64);
        &kinds[usize::try_from(at).unwrap()]
    }
}

/// Every request that goes that way.
fn kinds(at: usize, authority: &str) -> Vec<Kind> {
    let way = &WAYS[at];
    let model = match way.name {
        "no_such_model" => Some(NO_MODEL),
        "provider_refuses" => Some(DEAD_MODEL),
        _ => None,
    };
    let whole = |name: &str| {
        let asked = format::Format::named(name).unwrap().asked(authority, false);
        String::from_utf8(asked.unwrap().bytes.to_vec()).unwrap()
    };
    let texts = match way.of {
        Of::List => vec![format!(
            "GET /v1/models HTTP/1.1\r\nhost: {authority}\r\n\r\n"
        )],
        Of::Count => vec![
            whole("anthropic").replacen("/v1/messages", "/v1/messages/count_tokens", 1),
            whole("gemini").replacen(":generateContent", ":countTokens", 1),
        ],
        of => {
            let pairs = FORMATS.iter().flat_map(|it| [(it, false), (it, true)]);
            let pairs =
                pairs.filter(|(_, stream)| of == Of::Both || *stream == (of == Of::Streams));
            let asked = pairs.filter_map(|(format, stream)| match model {
                Some(model) => format.asked_of(authority, stream, model),
                None => format.asked(authority, stream),
            });
            let asked = asked.map(|asked| String::from_utf8(asked.bytes.to_vec()).unwrap());
            asked.collect()
        }
    };
    texts.iter().map(|text| kind(at, text)).collect()
}

/// The request with its way and places for numbers.
fn kind(at: usize, text: &str) -> Kind {
    let way = &WAYS[at];
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().strip_suffix(" HTTP/1.1").unwrap();
    let mark = if line.contains('?') { '&' } else { '?' };
    let mut body = body.to_owned();
    if way.name == "large_request" {
        let turn = format!("Turn {NUMBER}. ");
        body = body.replace(&turn, &(turn.clone() + &"much to read ".repeat(LARGE / 13)));
    }
    let mut bytes = format!("{line}{mark}way={}&n={NUMBER} HTTP/1.1\r\n", way.name);
    for line in lines.filter(|line| !line.starts_with("content-length:")) {
        bytes += line;
        bytes += "\r\n";
    }
    if !body.is_empty() {
        write!(
            bytes,
            "x-endurance-session: {SESSION}\r\ncontent-length: {}\r\n",
            body.len()
        )
        .unwrap();
    }
    bytes += "\r\n";
    bytes += &body;
    Kind {
        way: at,
        numbers: bytes.match_indices(NUMBER).map(|(at, _)| at).collect(),
        session: bytes.find(SESSION),
        bytes: bytes.into_bytes(),
    }
}

// === impl Kind ===

impl Kind {
    /// The request of that number, into a buffer.
    pub(super) fn write(&self, n: u64, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.bytes);
        let number = format!("{n:08x}");
        for at in &self.numbers {
            into[*at..at + 8].copy_from_slice(number.as_bytes());
        }
        if let Some(at) = self.session {
            let session = format!("{:08x}", n / TOGETHER);
            into[at..at + 8].copy_from_slice(session.as_bytes());
        }
    }
}

/// The number that a path carries.
pub(super) fn number(path: &str) -> Option<u64> {
    let (_, digits) = path.rsplit_once("&n=")?;
    u64::from_str_radix(digits.get(..8)?, 16).ok()
}

/// Tells the provider how each way goes.
pub(super) fn teach(provider: &Provider) {
    for way in &WAYS {
        provider.script(Matcher::path(format!("way={}&", way.name)), way.script());
    }
}

/// The gateway's document; that of another version differs in a model.
pub(super) fn document(provider: &str, version: u64) -> String {
    let mut document = format::config(provider, "full");
    document["gateway"]["timeouts"] = json!({"first_byte": SILENCE, "chunk_idle": SILENCE});
    document["gateway"]["session_headers"] = json!(["x-endurance-session"]);
    let mut dead = document["providers"]["openai"].clone();
    dead["baseurl"] = "http://127.0.0.1:1".into();
    dead["models"] = json!([DEAD_MODEL, format!("endurance-version-{version}")]);
    let all = [
        "anthropic_messages",
        "openai_chat",
        "openai_responses",
        "gemini",
        "vertex",
        "bedrock",
    ];
    dead["compatibility"] = all
        .iter()
        .map(|flag| ((*flag).to_owned(), true.into()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    document["providers"]["dead"] = dead;
    document.to_string()
}
