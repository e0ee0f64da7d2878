//! The bytes: bodies and heads arrive as they were sent, but for the closed list.

use super::{
    random::{Random, lines},
    start,
    wire::{Ended, Head, Lines, Then, Upstream, Wire},
};
use crate::support::{EVERYBODY, soak};
use aperture::{
    endpoint::{Dialect, Endpoint, Work},
    provider::headers::{Edit, HEAD_EDITS, Side},
    record::End,
};
use std::{collections::HashMap, io::Write as _};

/// Lines of one connection (RFC 9110, 7.6.1): each side has its own.
const CONNECTION: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What framing says anew on each side.
const FRAMING: &[&str] = &["content-length"];

/// The endpoints that take a body for a model: all but those of stored objects.
fn kinds() -> Vec<Endpoint> {
    let all = Endpoint::ALL.into_iter();
    all.filter(|endpoint| endpoint.work() != Work::Store)
        .collect()
}

/// The path as a client writes it.
fn path(endpoint: Endpoint) -> String {
    endpoint
        .path()
        .replace("{project}", "acme")
        .replace("{region}", "global")
        .replace("{model}", &model(endpoint).replace(':', "%3A"))
}

/// The path as the provider gets it.
fn upstream_path(endpoint: Endpoint) -> String {
    let path = path(endpoint);
    path.strip_prefix("/bedrock").unwrap_or(&path).to_owned()
}

fn model(endpoint: Endpoint) -> &'static str {
    match endpoint.dialect() {
        Dialect::AnthropicMessages => "claude-haiku-4-5",
        Dialect::OpenaiChat | Dialect::OpenaiResponses => "gpt-4o",
        Dialect::GeminiGenerateContent | Dialect::GoogleGenerateContent => "gemini-2.5-pro",
        Dialect::GoogleRawPredict => "claude-sonnet-4-5@20250929",
        Dialect::BedrockModelInvoke | Dialect::BedrockConverse => "us.anthropic.claude-v1:0",
    }
}

/// The line that carries the provider's key.
fn credential(endpoint: Endpoint) -> (&'static str, &'static str) {
    match endpoint.dialect() {
        Dialect::AnthropicMessages => ("x-api-key", "sk-ant-upstream-key"),
        Dialect::GeminiGenerateContent => ("x-goog-api-key", "google-upstream-key"),
        _ => ("authorization", "Bearer upstream-key"),
    }
}

/// Everybody may use a provider of each family.
fn providers(base: &str) -> String {
    format!(
        r#"{{"providers": {{
            "anthropic": {{"baseurl": "{base}", "apikey": "sk-ant-upstream-key", "models": ["claude-haiku-4-5"], "compatibility": {{"anthropic_messages": true}}}},
            "openai": {{"baseurl": "{base}", "apikey": "upstream-key", "models": ["gpt-4o"], "compatibility": {{"openai_chat": true, "openai_responses": true}}}},
            "gemini": {{"baseurl": "{base}", "apikey": "google-upstream-key", "authorization": "x-goog-api-key", "models": ["gemini-2.5-pro"], "compatibility": {{"gemini": true}}}},
            "vertex": {{"baseurl": "{base}", "apikey": "upstream-key", "models": ["gemini-2.5-pro", "claude-sonnet-4-5@20250929"], "compatibility": {{"vertex": true}}}},
            "bedrock": {{"baseurl": "{base}", "apikey": "upstream-key", "models": ["us.anthropic.claude-v1:0"], "compatibility": {{"bedrock": true}}}}}},
          "temp_grants": [{EVERYBODY}]}}"#
    )
}

/// A response as the provider will send it.
struct Scripted {
    lines: Lines,
    status: u16,
    body: Vec<u8>,
    trailers: Lines,
    wire: Vec<u8>,
    then: Then,
    /// Some bytes of the wire are missing, or wrong.
    broken: bool,
    /// So much of the body is there, when the connection was closed in its middle.
    prefix: Option<usize>,
}

#[tokio::test]
async fn bodies_and_heads_arrive_identical_but_for_the_closed_list() {
    let mut upstream = Upstream::start().await;
    let gateway = start(&providers(&upstream.url)).await;
    let seed = std::env::var("APERTURE_SEED")
        .ok()
        .map_or(1, |seed| seed.parse().unwrap());
    let cases = if soak() { 20_000 } else { 600 };
    let kinds = kinds();
    let mut client: Option<Wire> = None;
    let mut expected = HashMap::new();
    for case in 0..cases {
        let random = &mut Random::new(seed * 1_000_000 + case);
        let case = format!("case {case} of seed {seed}");
        let kind = random.of(&kinds);

        let (sent_head, sent_body, wire) = request(random, kind);
        let scripted = response(random);
        let pieces = random.cut(&scripted.wire);
        upstream.reply(
            pieces.iter().map(|piece| piece.to_vec()).collect(),
            scripted.then,
        );

        println!(
            "{case}: {kind:?}, {} of {} bytes{}, then {:?}",
            scripted.wire.len(),
            scripted.body.len(),
            if scripted.broken { ", broken" } else { "" },
            scripted.then
        );

        let mut own = match client.take() {
            Some(client) if !random.one_in(4) => client,
            _ => Wire::connect(&gateway.url).await,
        };
        assert!(own.write_pieces(random.cut(&wire)).await, "{case}");
        let (seen_head, seen_body) = upstream.request().await;
        assert_eq!(seen_body, sent_body, "{case}");
        assert_request_head(&sent_head, &seen_head, kind, &case);

        let (head, body) = own.response().await;
        if scripted.broken && head.status() == 502 && scripted.status != 502 {
            // Broken before the end of the head: nothing of it was given to the client.
            assert_ne!(scripted.then, Then::Stay, "{case}");
            continue;
        }
        assert_eq!(head.status(), scripted.status, "{case}");
        assert_response_head(&scripted.lines, &head, &case);
        let id = head.get("aperture-request-id").unwrap().to_owned();
        if scripted.broken {
            assert_eq!(body.ended, Ended::Broken, "{case}");
            assert!(scripted.body.starts_with(&body.bytes), "{case}");
            if let Some(prefix) = scripted.prefix {
                assert_eq!(body.bytes.len(), prefix, "{case}");
            }
            expected.insert(id, (End::UpstreamError, body.bytes.len(), sent_body.len()));
        } else {
            assert_eq!(body.ended, Ended::Whole, "{case}");
            assert!(body.bytes == scripted.body, "{case}");
            assert_eq!(sorted(&body.trailers), sorted(&scripted.trailers), "{case}");
            expected.insert(id, (End::Complete, body.bytes.len(), sent_body.len()));
            client = Some(own);
        }
    }

    let records = gateway.finished(usize::try_from(cases).unwrap()).await;
    let mut met = 0;
    for record in records {
        let Some((end, response, request)) = expected.get(&record.id.to_string()) else {
            assert_eq!(record.failure.as_deref(), Some("broken"));
            continue;
        };
        met += 1;
        assert_eq!(record.bytes.request, *request as u64);
        if *end == End::Complete {
            // An error reported inside a response is the provider's, whatever the transport says.
            assert!(
                matches!(record.end, End::Complete | End::UpstreamError),
                "{record:?}"
            );
            assert_eq!(record.bytes.response, *response as u64, "{record:?}");
        } else {
            assert_eq!(record.end, *end, "{record:?}");
            assert!(record.bytes.response >= *response as u64, "{record:?}");
        }
    }
    assert_eq!(met, expected.len());
}

/// A random request: its lines, its body, its bytes on the wire.
fn request(random: &mut Random, kind: Endpoint) -> (Lines, Vec<u8>, Vec<u8>) {
    let mut members = vec![("model", format!("\"{}\"", model(kind)))];
    let stream = random.one_in(2);
    if stream {
        members.push(("stream", "true".into()));
    }
    if stream && kind == Endpoint::OpenaiChat {
        // Asked for by the client, so that the body needs no edit.
        members.push(("stream_options", "{ \"include_usage\":\ttrue }".into()));
    }
    if random.one_in(3) {
        members.push((
            "messages",
            "[{\"role\":\"user\",\"content\":\"hello\"}]".into(),
        ));
    }
    let body = random.json_object(&members).into_bytes();

    let mut head: Lines = random.header_lines();
    head.push((
        "content-type".into(),
        b"application/json; charset=utf-8".to_vec(),
    ));
    head.push((
        "accept-encoding".into(),
        random
            .of(&[&b"gzip, br"[..], b"identity", b"zstd;q=0.5, *"])
            .to_vec(),
    ));
    for (name, value) in [
        ("user-agent", "some-client/1.2 (odd)"),
        ("anthropic-version", "2099-01-01"),
        ("anthropic-beta", "one,two"),
        ("x-stainless-lang", "js"),
        ("te", "trailers"),
        ("accept", "*/*"),
    ] {
        if name == "te" || random.one_in(2) {
            head.push((name.into(), value.into()));
        }
    }
    if random.one_in(2) {
        head.push(("connection".into(), b"keep-alive, X-Named".to_vec()));
        head.push(("x-named".into(), b"belongs to one connection".to_vec()));
    }
    for row in HEAD_EDITS
        .iter()
        .filter(|row| row.side == Side::Request && row.edit == Edit::Drop)
    {
        // An origin is judged, not passed.
        if row.name != "origin" && row.name != "expect" && random.one_in(6) {
            head.push((row.name.replace('*', "for"), b"client-secret".to_vec()));
        }
    }
    shuffle(random, &mut head);
    let mut wire = format!("POST {} HTTP/1.1\r\nhost: ai\r\n", path(kind)).into_bytes();
    let chunked = random.one_in(2);
    if chunked {
        wire.extend_from_slice(b"transfer-encoding: chunked\r\n");
    } else {
        write!(wire, "content-length: {}\r\n", body.len()).unwrap();
    }
    if random.one_in(5) {
        wire.extend_from_slice(b"expect: 100-continue\r\n");
    }
    wire.extend(lines(&head));
    wire.extend_from_slice(b"\r\n");
    if chunked {
        wire.extend(random.chunked(&body, &Vec::new()));
    } else {
        wire.extend_from_slice(&body);
    }
    (head, body, wire)
}

/// A random response: whole or broken, in any framing and coding.
fn response(random: &mut Random) -> Scripted {
    let status = random.of(&[200, 200, 200, 200, 201, 400, 401, 429, 500, 503, 529]);
    let plain = match random.below(5) {
        0 => {
            let count = random.below(3_000);
            random.bytes(count)
        }
        1 => random
            .json_object(&[("usage", "{\"input_tokens\":3,\"output_tokens\":4}".into())])
            .into_bytes(),
        2 => Vec::new(),
        _ => events(random),
    };
    let (coding, body) = encoded(random, &plain);
    let mut head = response_lines(random, coding);
    let mut wire = format!("HTTP/1.1 {status} Whatever\r\n").into_bytes();
    wire.extend(lines(&head));
    let mut trailers = Lines::new();
    let (framed, mut then, mut can_break) = match random.below(5) {
        0 | 1 => {
            write!(wire, "content-length: {}\r\n\r\n", body.len()).unwrap();
            (body.clone(), Then::Stay, !body.is_empty())
        }
        2 | 3 => {
            wire.extend_from_slice(b"transfer-encoding: chunked\r\n");
            if random.one_in(3) {
                wire.extend_from_slice(b"trailer: x-checksum, x-more\r\n");
                head.push(("trailer".into(), b"x-checksum, x-more".to_vec()));
                trailers.push(("x-checksum".into(), b"0123".to_vec()));
                trailers.push(("x-more".into(), b"4567".to_vec()));
            }
            wire.extend_from_slice(b"\r\n");
            (random.chunked(&body, &trailers), Then::Stay, true)
        }
        _ => {
            wire.extend_from_slice(b"connection: close\r\n\r\n");
            (body.clone(), Then::Close, false)
        }
    };
    let head_end = wire.len();
    wire.extend_from_slice(&framed);
    can_break &= random.one_in(3);
    if can_break {
        let end = framed.len();
        match random.below(5) {
            // In the head.
            0 => {
                let at = random.below(head_end);
                wire.truncate(at);
            }
            // Bytes where the size of a chunk should be.
            1 if wire[head_end - 4..].starts_with(b"\r\n\r\n") && framed != body => {
                let at = head_end;
                wire.truncate(at);
                wire.extend_from_slice(b"garbage\r\n");
            }
            _ => wire.truncate(head_end + random.below(end)),
        }
        then = random.of(&[Then::Close, Then::Close, Then::Reset]);
    }
    let prefix = (can_break && then == Then::Close && framed == body && wire.len() >= head_end)
        .then(|| wire.len() - head_end);
    Scripted {
        prefix,
        lines: head,
        status,
        body,
        trailers,
        wire,
        then,
        broken: can_break,
    }
}

/// Header lines of a response: what nobody knows, what clients live by, and what must not pass.
fn response_lines(random: &mut Random, coding: &str) -> Lines {
    let mut head = random.header_lines();
    head.push((
        "content-type".into(),
        random
            .of(&[
                "application/json",
                "text/event-stream",
                "text/event-stream; charset=utf-8",
                "odd/type",
            ])
            .as_bytes()
            .to_vec(),
    ));
    if !coding.is_empty() {
        head.push(("content-encoding".into(), coding.as_bytes().to_vec()));
    }
    for (name, value) in [
        ("retry-after", "17"),
        ("x-should-retry", "true"),
        ("request-id", "req_of_the_provider"),
        ("anthropic-ratelimit-tokens-remaining", "12"),
        ("date", "Mon, 01 Jan 2001 00:00:00 GMT"),
        ("server-timing", "edge;dur=1"),
        ("aperture-request-id", "forged"),
        ("vary", "accept-encoding"),
    ] {
        if random.one_in(2) {
            head.push((name.into(), value.into()));
        }
    }
    for row in HEAD_EDITS
        .iter()
        .filter(|row| row.side == Side::Response && row.edit == Edit::Drop)
    {
        if random.one_in(5) {
            head.push((
                row.name.replace('*', "allow-origin"),
                b"of the provider".to_vec(),
            ));
        }
    }
    shuffle(random, &mut head);
    head
}

/// Events of no particular meaning, with every kind of line end.
fn events(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..random.below(30) {
        let end = random.of(&["\n", "\r\n", "\r"]);
        match random.below(6) {
            0 => text.push_str(": a comment"),
            1 => text.push_str("event: ping"),
            2 => text.push_str("data: [DONE]"),
            3 => text.push_str("data:{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}"),
            _ => {
                text.push_str("data: ");
                text.push_str(&random.json_string());
            }
        }
        text.push_str(end);
        if random.one_in(2) {
            text.push_str(end);
        }
    }
    text.into_bytes()
}

/// The body in a coding, or in none, or in one that it does not have.
fn encoded(random: &mut Random, plain: &[u8]) -> (&'static str, Vec<u8>) {
    match random.below(10) {
        0 => {
            let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            coder.write_all(plain).unwrap();
            ("gzip", coder.finish().unwrap())
        }
        1 => {
            let mut coder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            coder.write_all(plain).unwrap();
            ("deflate", coder.finish().unwrap())
        }
        2 => {
            let mut coder = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 18);
            coder.write_all(plain).unwrap();
            ("br", coder.into_inner())
        }
        3 => ("zstd", zstd::encode_all(plain, 1).unwrap()),
        4 => (
            random.of(&["gzip", "br", "zstd", "deflate", "unheard-of"]),
            plain.to_vec(),
        ),
        _ => ("", plain.to_vec()),
    }
}

fn assert_request_head(sent: &Lines, seen: &Head, kind: Endpoint, case: &str) {
    // The credential and the host are the provider's, not the client's.
    let (name, key) = credential(kind);
    assert_eq!(seen.all(name), [key.as_bytes()], "{case}");
    for other in ["x-api-key", "x-goog-api-key", "authorization"] {
        assert!(
            other == name || seen.get(other).is_none(),
            "{case}: {other}"
        );
    }
    if !sent.iter().any(|(name, _)| name == "anthropic-version") {
        let version: &[&[u8]] = match kind.dialect() {
            Dialect::AnthropicMessages => &[b"2023-06-01"],
            _ => &[],
        };
        assert_eq!(seen.all("anthropic-version"), version, "{case}");
    }
    let first = format!("POST {} HTTP/1.1", upstream_path(kind));
    assert_eq!(seen.first, first, "{case}");
    let set = |name: &str| {
        matches!(
            name,
            "host" | "x-api-key" | "x-goog-api-key" | "authorization"
        ) || name == "anthropic-version" && !sent.iter().any(|(sent, _)| sent == name)
    };
    let arrived: Lines = seen
        .lines
        .iter()
        .filter(|(name, _)| !set(name))
        .cloned()
        .collect();
    assert_same(sent, &arrived, Side::Request, case);
}

fn assert_response_head(sent: &Lines, seen: &Head, case: &str) {
    assert_eq!(seen.all("aperture-request-id").len(), 1, "{case}");
    assert!(
        seen.get("aperture-request-id").unwrap().starts_with("req_"),
        "{case}"
    );
    let own = seen.all("server-timing").pop().unwrap();
    assert!(own.starts_with(b"aperture;dur="), "{case}");
    let mut last = seen
        .lines
        .iter()
        .rposition(|(name, _)| name == "server-timing");
    let mut arrived = seen.lines.clone();
    if let Some(at) = last.take() {
        arrived.remove(at);
    }
    arrived.retain(|(name, _)| name != "aperture-request-id");
    let sent: Lines = sent
        .iter()
        .filter(|(name, _)| name != "aperture-request-id")
        .cloned()
        .collect();
    assert_same(&sent, &arrived, Side::Response, case);
}

/// What passes is the same, values of one name in their order; what does not is gone.
fn assert_same(sent: &Lines, arrived: &Lines, side: Side, case: &str) {
    let named: Vec<String> = sent
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| {
            String::from_utf8_lossy(value)
                .to_ascii_lowercase()
                .split(", ")
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let dropped = |name: &str| {
        HEAD_EDITS.iter().any(|row| {
            row.side == side
                && row.edit == Edit::Drop
                && row
                    .name
                    .strip_suffix('*')
                    .map_or(row.name == name, |start| name.starts_with(start))
        })
    };
    let passes = |name: &str| {
        !CONNECTION.contains(&name)
            && !FRAMING.contains(&name)
            && !named.iter().any(|own| own == name)
            && !dropped(name)
    };
    let wanted: Lines = sent
        .iter()
        .filter(|(name, _)| passes(name))
        .cloned()
        .collect();
    for (name, value) in arrived {
        assert!(
            !dropped(name) && !named.contains(name),
            "{case}: {name}: {value:?} passed"
        );
    }
    let arrived: Lines = arrived
        .iter()
        .filter(|(name, _)| {
            !CONNECTION.contains(&name.as_str()) && !FRAMING.contains(&name.as_str())
        })
        .cloned()
        .collect();
    assert_eq!(sorted(&wanted), sorted(&arrived), "{case}");
}

/// By name; the order of one name's values stays.
fn sorted(lines: &Lines) -> Lines {
    let mut sorted = lines.clone();
    sorted.sort_by(|one, two| one.0.cmp(&two.0));
    sorted
}

fn shuffle(random: &mut Random, lines: &mut Lines) {
    for at in (1..lines.len()).rev() {
        lines.swap(at, random.below(at + 1));
    }
}
