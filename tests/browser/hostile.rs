//! Hostile texts in every place that a page shows: no script runs, nothing is asked of anybody, the page stays whole, and
//! what was said can be read.

use super::{
    World,
    chromium::{NARROW, ONE, Tab, WIDE},
    samples::{Sample, samples},
};
use crate::support::http;
use ::http::Method;
use futures_util::{StreamExt as _, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use provider::{Matcher, Script, Tool};
use serde::Deserialize;
use serde_json::{Value, json};

/// Bytes of a page, pictures of the conversation aside; see `dashboard::talk`.
const PAGE_BYTES: u64 = 1_500_000;
/// Milliseconds that the gateway may take for a page in a debug build beside other tests.
const PAGE_MS: f64 = 5_000.0;

/// What was made of one sample: its session, and requests of it.
#[derive(Debug)]
struct Sent {
    sample: Sample,
    requests: [String; 4],
}

/// What a page says of itself.
#[derive(Debug, Deserialize)]
struct Seen {
    pwned: bool,
    shows: bool,
    foreign: Vec<String>,
    bytes: u64,
    ms: f64,
}

/// All that can be opened is opened; then the page is looked at.
const LOOK: &str = "for (const it of document.querySelectorAll('details')) it.open = true;
    const own = new Set(['SCRIPT', 'LINK', 'IMG']);
    const foreign = [...document.querySelectorAll('script, link, img, iframe, object, embed, base, style, meta[http-equiv], form, [onload], [onerror], [onfocus], [style]')]
      .filter((it) => !(it.matches('script[src^=\"/ui/assets/\"]:empty, link[rel=stylesheet][href^=\"/ui/assets/\"], link[rel=icon], form.filter, form.trial')
        || it.matches('img.picture[src^=\"data:image/png;base64,\"]')));
    const visit = performance.getEntriesByType('navigation')[0];
    return { pwned: 'pwned' in window, shows: document.querySelector('main').textContent.includes(arguments[0]),
      foreign: foreign.map((it) => it.outerHTML.slice(0, 100)).slice(0, 3),
      bytes: visit.decodedBodySize, ms: visit.responseEnd - visit.requestStart };";

#[tokio::test]
async fn hostile_texts_do_nothing_wherever_they_are_shown() {
    let _one = ONE.lock().await;
    let world = World::start(false).await;
    let samples = samples();
    assert!(samples.len() >= 40);
    script(&world, &samples);
    let door = world.door("bob").await;
    let sent: Vec<Sent> = stream::iter(samples.into_iter().enumerate())
        .map(|(nth, sample)| send(&door, nth, sample))
        .buffer_unordered(6)
        .collect()
        .await;
    let whole = large(&door).await;
    let formula = world.door("formula").await;
    let body = crate::support::message("claude-haiku-4-5", "hello", false);
    assert_eq!(
        http::post(&format!("{formula}/v1/messages"), body)
            .await
            .status,
        200
    );
    let records = world.gateway.finished(4 * sent.len() + 2).await;
    // A body that can't be read belongs to no conversation.
    let session_of = |request: &str| {
        let mut records = records.iter();
        let record = records
            .find(|it| it.id.to_string() == request)
            .expect(request);
        record.session.map(|session| session.to_string())
    };

    let tab = world.browser("alice").await;
    let admin = world.door("alice").await;
    for (nth, sent) in sent.iter().enumerate() {
        let session = session_of(&sent.requests[0]);
        one(&tab, &admin, sent, session, nth.is_multiple_of(6)).await;
    }
    look(
        &tab,
        "50 MB",
        &format!("/ui/sessions/{}", session_of(&whole).unwrap()),
        "can't be read as a conversation",
    )
    .await;
    look(
        &tab,
        "50 MB",
        &format!("/ui/requests/{whole}"),
        "Only the first",
    )
    .await;
    for size in [WIDE, NARROW] {
        tab.size(size).await;
        for path in [
            "",
            "logs/",
            "logs/?user=bob%40example.com",
            "tool-use/",
            "adoption/",
            "models/",
            "audit/",
            "dashboard/bob@example.com",
            "dashboard/%3D1%2B1@example.com",
        ] {
            look(&tab, "all of them", &format!("/ui/{path}"), "").await;
        }
        tab.picture(&format!("hostile-logs-{}", size.0)).await;
    }
    tab.goto("http://ai/ui/logs/").await;
    listed(&tab, &sent).await;
    assert_eq!(world.strayed(), [""; 0]);
    tab.close().await;

    let csv = http::get(&format!(
        "{}/ui/adoption/people.csv",
        world.door("alice").await
    ))
    .await;
    let text = csv.text();
    assert!(text.contains("1+1@example.com"), "{text}");
    assert!(
        text.lines().all(|line| !line
            .trim_start_matches('"')
            .starts_with(['=', '+', '-', '@'])),
        "{text}"
    );
    world.gateway.stop().await;
}

/// What was made of one sample, on the pages that show it.
async fn one(tab: &Tab, admin: &str, sent: &Sent, session: Option<String>, picture: bool) {
    let (name, shows) = (&sent.sample.name, &sent.sample.shows);
    let [call, result, error, model] = &sent.requests;
    assert!(
        session.is_some() || shows.is_empty(),
        "{name} has no session"
    );
    // A page that says what it was asked for.
    let text = utf8_percent_encode(&sent.sample.line(), NON_ALPHANUMERIC).to_string();
    let asked = format!(
        "q={text}&user={text}&model={text}&provider={text}&client={text}&until={text}&sort={text}"
    );
    if let Some(session) = &session {
        tab.size(NARROW).await;
        look(tab, name, &format!("/ui/sessions/{session}"), shows).await;
        if picture {
            tab.picture(&format!("hostile-{}", name.replace(' ', "-")))
                .await;
        }
        tab.size(WIDE).await;
        read(
            admin,
            &sent.sample,
            &format!("/ui/sessions/{session}?view=requests"),
        )
        .await;
    }
    look(tab, name, &format!("/ui/requests/{call}"), "").await;
    look(tab, name, &format!("/ui/requests/{error}"), "").await;
    look(tab, name, &format!("/ui/logs/?{asked}"), "").await;
    for path in [
        format!("/ui/requests/{result}"),
        format!("/ui/requests/{model}"),
        format!("/ui/access/?who={text}&model={text}"),
        format!("/ui/?{asked}"),
    ] {
        read(admin, &sent.sample, &path).await;
    }
}

/// What the provider answers, by a head line: with the text, with a call, with an error.
fn script(world: &World, samples: &[Sample]) {
    for (nth, sample) in samples.iter().enumerate() {
        let matcher = |step: &str| Matcher {
            header: Some(("x-step".into(), format!("{nth}-{step}"))),
            ..Matcher::default()
        };
        let input = json!({"command": sample.text, "file_path": sample.text});
        let tool = Tool {
            name: sample.text.chars().take(200).collect(),
            input: Some(serde_json::value::to_raw_value(&input).unwrap()),
        };
        let call = Script {
            thinking: Some(sample.text.clone()),
            tool: Some(tool),
            ..Script::text(&sample.text)
        };
        let answer = Script::text(&sample.text);
        let mut error = Script::status(500);
        error.error.message = Some(sample.text.clone());
        error.error.kind = Some(sample.line());
        world.provider.script(matcher("call"), call);
        world.provider.script(matcher("result"), answer);
        world.provider.script(matcher("error"), error);
    }
}

/// Four requests of one session: a call, its result, an error, and a model of that name.
async fn send(door: &str, nth: usize, sample: Sample) -> Sent {
    let mut requests = Vec::new();
    let system = json!({"type": "text", "text": sample.text});
    let offered =
        json!([{"name": "mcp__srv__tool", "description": sample.text, "input_schema": {}}]);
    // The text itself may be no Unicode: it is put in as bytes.
    let user = |block: &str| {
        let mut body = b"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"".to_vec();
        body.extend(&sample.json);
        body.extend(b"\"}");
        body.extend(block.as_bytes());
        body.extend(b"]}");
        body
    };
    let block = sample.block.as_ref().map(|block| format!(",{block}"));
    let first = user(&block.unwrap_or_default());
    let mut history = first.clone();
    for step in ["call", "result", "error"] {
        let head = json!({"model": "claude-haiku-4-5", "max_tokens": 999, "system": [system], "tools": offered,
            "metadata": {"user_id": sample.line()}});
        let mut body = head.to_string().into_bytes();
        body.pop();
        body.extend(b",\"messages\":[");
        body.extend(&history);
        body.extend(b"]}");
        let (request, answer) = ask(door, nth, step, &sample, body).await;
        requests.push(request);
        if step == "call" {
            let content = &answer["content"];
            let call = content
                .as_array()
                .and_then(|it| it.last())
                .map(|it| &it["id"]);
            let result = json!([{"role": "assistant", "content": content}, {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": call, "is_error": true, "content": sample.text}]}]);
            let result = result.to_string();
            history.push(b',');
            history.extend(&result.as_bytes()[1..result.len() - 1]);
        }
    }
    let named: String = sample.text.chars().take(300).collect();
    let body = json!({"model": named, "max_tokens": 9, "messages": [{"role": "user", "content": sample.text}]});
    let (request, _) = ask(door, nth, "model", &sample, body.to_string().into_bytes()).await;
    requests.push(request);
    let requests = requests.try_into().expect("four of them");
    Sent { sample, requests }
}

/// One request; its id, and the answer.
async fn ask(
    door: &str,
    nth: usize,
    step: &str,
    sample: &Sample,
    body: Vec<u8>,
) -> (String, Value) {
    let (line, step, id) = (
        sample.line(),
        format!("{nth}-{step}"),
        format!("session-{nth}"),
    );
    let headers = [
        ("content-type", "application/json"),
        ("user-agent", line.as_str()),
        ("x-step", &step),
        ("x-sample", &line),
        ("x-session-id", &id),
        ("x-claude-code-agent-id", &line),
    ];
    let query = utf8_percent_encode(&line, NON_ALPHANUMERIC);
    let url = format!("{door}/v1/messages?beta={query}");
    let answer = http::send(Method::POST, &url, &headers, body).await;
    let request = answer.headers["aperture-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    (
        request,
        serde_json::from_slice(&answer.body).unwrap_or_default(),
    )
}

/// A prompt of 50 MB, which only a beginning is shown of.
async fn large(door: &str) -> String {
    let text = "<script>window.pwned=1</script> ".repeat((50 << 20) / 32);
    let body = format!(
        "{{\"model\":\"claude-haiku-4-5\",\"max_tokens\":9,\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}"
    );
    let headers = [
        ("content-type", "application/json"),
        ("x-script", "{\"status\":500}"),
    ];
    let answer = http::send(Method::POST, &format!("{door}/v1/messages"), &headers, body).await;
    answer.headers["aperture-request-id"]
        .to_str()
        .unwrap()
        .to_owned()
}

/// Goes to a page and looks whether it is only a page.
async fn look(tab: &Tab, name: &str, path: &str, shows: &str) {
    tab.goto(&format!("http://ai{path}")).await;
    let seen: Seen = tab.run(LOOK, &[shows.into()]).await;
    assert!(!seen.pwned, "{name}: a script ran on {path}");
    assert_eq!(seen.foreign, [""; 0], "{name}: {path}");
    assert!(seen.shows, "{name}: {path} does not show {shows:.80}");
    assert!(
        seen.bytes <= PAGE_BYTES,
        "{name}: {path} has {} bytes",
        seen.bytes
    );
    assert!(seen.ms <= PAGE_MS, "{name}: {path} took {} ms", seen.ms);
    assert_eq!(tab.overflow().await, [""; 0], "{name}: {path}");
    assert_eq!(tab.complaints().await, [""; 0], "{name}: {path}");
}

/// Reads a page without a browser: nothing of the text stands in it as markup.
async fn read(admin: &str, sample: &Sample, path: &str) {
    let page = http::get(&format!("{admin}{path}")).await.text();
    assert!(
        page.ends_with("</html>"),
        "{}: {path}: {page:.200}",
        sample.name
    );
    let markup = sample.text.contains('<') && page.contains(&sample.text);
    assert!(
        !markup && !page.contains("<script>"),
        "{}: {path}",
        sample.name
    );
}

/// Every session is in the list, under the beginning of what was said first.
async fn listed(tab: &Tab, sent: &[Sent]) {
    let titles: Vec<String> = tab
        .eval("[...document.querySelectorAll('td.main a.name')].map((it) => it.textContent)")
        .await;
    let plain = sent
        .iter()
        .filter(|sent| sent.sample.text.len() < 100 && !sent.sample.text.contains('\n'));
    for sent in plain.filter(|sent| sent.sample.text == sent.sample.shows) {
        let known = titles.iter().any(|title| title.trim() == sent.sample.text);
        assert!(known, "{}: {titles:?}", sent.sample.name);
    }
}
