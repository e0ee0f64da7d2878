//! Who reaches what: every route, as everybody, from everywhere, and one reviewed table of the answers.
//!
//! The list of routes is put together from what routes requests (`aperture::server::every_route`), the table is
//! docs/access-table.md. What must hold whatever the table says is asserted besides.

use crate::support::{Gateway, Lab, gateway::Options, lab::KEY, message, repository};
use aperture::{
    record::{RequestId, SessionId},
    server::{Place, Port, every_route},
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use provider::{Matcher, Provider, Script};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Nodes, each with what the columns of the table call it.
const CALLERS: [(&str, &str); 5] = [
    ("alice", "admin"),
    ("bob", "owner"),
    ("carol", "other user"),
    ("ci", "tagged"),
    ("mallory", "no role"),
];
const OWNER: usize = 1;
const OTHERS: [usize; 2] = [2, 3];
const NOBODY: usize = 4;

/// Where a request comes from, as its head says: host and origin.
const OURS: (&str, Option<&str>) = ("ai", None);
const OWN_PAGE: (&str, Option<&str>) = ("ai", Some("http://ai"));
const ELSEWHERE: (&str, Option<&str>) = ("evil.example", None);
const FOREIGN_PAGES: [(&str, Option<&str>); 3] = [
    ("ai", Some("http://evil.example")),
    ("ai", Some("null")),
    // A name that was made to lead here is its own origin.
    ("evil.example", Some("http://evil.example")),
];

/// What everybody got.
type Answers = [u16; CALLERS.len()];

/// One route's answers.
struct Row {
    place: Place,
    ours: Answers,
    own_page: Answers,
    elsewhere: Answers,
    foreign: [Answers; FOREIGN_PAGES.len()],
}

fn topology() -> Value {
    let person = |name: &str| json!({"name": name, "user": format!("{name}@example.com"), "forward": ["ai:80", "ai:9090"]});
    let users = ["alice", "bob", "carol", "mallory"];
    let logins = users.map(|name| json!({"login": format!("{name}@example.com"), "display": name}));
    let mut nodes = vec![
        json!({"name": "ai", "external": true, "user": "admin@example.com", "tags": ["tag:ai"]}),
        json!({"name": "ci", "user": "alice@example.com", "tags": ["tag:ci"], "forward": ["ai:80", "ai:9090"]}),
    ];
    nodes.extend(users.map(person));
    json!({"users": logins, "authKeys": {KEY: {"hostname": "ai"}}, "nodes": nodes, "grants": []})
}

/// One provider of everything; alice is admin, mallory nobody, the others are users.
fn document(url: &str) -> String {
    let grant = |src: &Value, role: &str| {
        let capabilities = json!([{"role": role}, {"models": "**"}]);
        json!({"src": src, "app": {"tailscale.com/cap/aperture": capabilities}})
    };
    let flags = [
        "anthropic_messages",
        "openai_chat",
        "openai_responses",
        "gemini",
        "vertex",
        "bedrock",
    ];
    let flags: serde_json::Map<String, Value> = flags
        .iter()
        .map(|flag| ((*flag).to_owned(), true.into()))
        .collect();
    json!({
        "providers": {"all": {
            "baseurl": url,
            "authorization": {"type": "Bearer", "value": "sk-upstream-key"},
            "models": ["m"],
            "compatibility": flags,
        }},
        "grants": [
            grant(&json!(["alice@example.com"]), "admin"),
            grant(&json!(["bob@example.com", "carol@example.com", "tag:ci"]), "user"),
        ],
    })
    .to_string()
}

/// A body that every dialect finds its parts in.
fn body(place: &Place) -> Bytes {
    if place.method == Method::GET || place.method == Method::HEAD || place.part == "API" {
        return Bytes::from_static(b"{}");
    }
    let parts = json!([{"role": "user", "parts": [{"text": "hello"}]}]);
    let converses = place.path.contains("/converse");
    let content = if converses {
        json!([{"text": "hello"}])
    } else {
        json!("hello")
    };
    json!({
        "model": "m", "max_tokens": 9, "anthropic_version": "x",
        "messages": [{"role": "user", "content": content}],
        "input": "hello", "prompt": "hello", "contents": parts, "content": parts[0],
    })
    .to_string()
    .into()
}

/// The doors of one caller.
struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    gateway: String,
    metrics: String,
}

impl Caller {
    async fn of(lab: &Lab, name: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            gateway: lab.forward(name, "ai:80").await,
            metrics: lab.forward(name, "ai:9090").await,
        }
    }

    /// The status; what follows the head is not waited for.
    async fn ask(&self, place: &Place, (host, origin): (&str, Option<&str>)) -> u16 {
        let door = match place.port {
            Port::Metrics => &self.metrics,
            Port::Gateway | Port::Secure => &self.gateway,
        };
        let path = place
            .path
            .replace("{model}", "m")
            .replace("{version}", "1")
            .replace("{id}", "of_nobody");
        let path = path
            .replace("{project}", "p")
            .replace("{region}", "us-east5");
        let mut request = Request::builder()
            .method(&place.method)
            .uri(format!("{door}{path}"))
            .header("host", host)
            .header("content-type", "application/json");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(Full::new(body(place))).unwrap();
        let answer = self.client.request(request).await;
        answer
            .unwrap_or_else(|error| panic!("{place:?}: {error:?}"))
            .status()
            .as_u16()
    }
}

async fn everybody(callers: &[Caller], place: &Place, from: (&str, Option<&str>)) -> Answers {
    let all = join_all(callers.iter().map(|caller| caller.ask(place, from))).await;
    all.try_into().unwrap()
}

/// Bob's only request and its session.
async fn bobs(gateway: &Gateway) -> (SessionId, RequestId) {
    let records = gateway.finished(1).await;
    let record = records.first().unwrap();
    assert_eq!(record.who.login, "bob@example.com");
    (record.session.unwrap(), record.id)
}

#[tokio::test]
async fn every_route_answers_everybody_as_the_table_says() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    provider.script(
        Matcher::any(),
        Script {
            tokens: Some(3),
            ..Script::default()
        },
    );
    let lab = Lab::start(&topology()).await;
    let gateway = Gateway::on(&lab, &document(&provider.url()), Options::default()).await;
    let callers = join_all(CALLERS.iter().map(|(name, _)| Caller::of(&lab, name))).await;
    let messages = format!("{}/v1/messages", callers[OWNER].gateway);
    let first = crate::support::http::post(&messages, message("m", "hello", false));
    assert_eq!(first.await.status, StatusCode::OK);
    let (session, request) = bobs(&gateway).await;

    let mut rows = Vec::new();
    for place in every_route(session, request, "bob@example.com") {
        let mut foreign = [[0; CALLERS.len()]; FOREIGN_PAGES.len()];
        for (answers, from) in foreign.iter_mut().zip(FOREIGN_PAGES) {
            *answers = everybody(&callers, &place, from).await;
        }
        rows.push(Row {
            ours: everybody(&callers, &place, OURS).await,
            own_page: everybody(&callers, &place, OWN_PAGE).await,
            elsewhere: everybody(&callers, &place, ELSEWHERE).await,
            foreign,
            place,
        });
    }
    let broken: Vec<String> = rows.iter().flat_map(broken).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let table = written(&rows, session, request);
    let file = repository("docs/access-table.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|word| word == "always") {
        std::fs::write(&file, &table).unwrap();
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    let differing: Vec<&str> = table
        .lines()
        .filter(|line| !reviewed.contains(line))
        .collect();
    assert!(
        table == reviewed,
        "docs/access-table.md is not what everybody gets (INSTA_UPDATE=always writes it anew; then review it):\n{}",
        differing.join("\n")
    );
    gateway.stop().await;
}

/// What must be true of every route, whatever the table says; what is not.
fn broken(row: &Row) -> Vec<String> {
    let mut broken = Vec::new();
    let mut holds = |yes: bool, what: &str| {
        if !yes {
            let Place { method, path, .. } = &row.place;
            broken.push(format!("{method} {path}: {what}"));
        }
    };
    for answers in &row.foreign {
        holds(*answers == [403; CALLERS.len()], "a page of another origin");
    }
    holds(row.own_page == row.ours, "a page of our own");
    // The page that tells people without a role what to do looks like the others.
    let Place { method, path, .. } = &row.place;
    let looks = path.starts_with("/ui/assets/") || path == "/favicon.ico";
    let nobodys = if looks && *method == Method::GET {
        200
    } else {
        403
    };
    holds(row.ours[NOBODY] == nobodys, "somebody without a role");
    holds(row.elsewhere[NOBODY] == 403, "somebody without a role");
    let for_programs = matches!(
        row.place.part,
        "Models" | "Stored objects" | "Not offered" | "Lists and probes"
    );
    if !for_programs || row.place.path == "/" {
        let refused = row.elsewhere == [403; CALLERS.len()];
        holds(refused, "a name that is not ours");
    } else {
        holds(row.elsewhere == row.ours, "a program's own name for us");
    }
    let of_bob = ["ses_", "req_", "bob@"]
        .iter()
        .any(|word| path.contains(word));
    if of_bob && row.place.method == Method::GET {
        for other in OTHERS {
            holds(matches!(row.ours[other], 403 | 404), "somebody else's");
        }
    }
    broken
}

const HEAD: &str = "# Who reaches what

Written by a test that asks every route on a tailnet as everybody (`tests/lab/access.rs`), and compared with what it gets ever after. The
rows come from the tables that route requests, so a new route without a row fails the test.

A cell is the HTTP status. *owner* is a user and asks for what is theirs; *other user* and *tagged* (a node with tags instead of a person)
are users too, and ask for the same; *no role* is on the tailnet and in no grant. 404 hides what is another's. The last two columns are
the answers to all five in the same order, where they differ from those before: *foreign name* with a `Host` that is none of the
gateway's names and no `Origin` (programs come under any name; a page under a made-up name has an `Origin`), *foreign page* with an
`Origin` that is not the gateway's own, or `null`. Requests that carry the gateway's own `Origin` are answered as those without one.
Style, script and icon are for everybody: a browser whose caller has no role is told so by a page that looks like the others. Models are
asked with a body that works, the API's writes with an empty object, stored objects with an id that is nobody's.
";

/// The document.
fn written(rows: &[Row], session: SessionId, request: RequestId) -> String {
    let mut text = HEAD.to_owned();
    let mut part = "";
    for row in rows {
        if row.place.part != part {
            part = row.place.part;
            let names: Vec<&str> = CALLERS.iter().map(|(_, name)| *name).collect();
            let _ = write!(
                text,
                "\n## {part}\n\n| request | {} | foreign name | foreign page |\n|{}\n",
                names.join(" | "),
                " --- |".repeat(CALLERS.len() + 3)
            );
        }
        let path = row
            .place
            .path
            .replace(&session.to_string(), "{session}")
            .replace(&request.to_string(), "{request}")
            .replace("bob@example.com", "{login}");
        // The names of assets change with what is in them.
        let path = match path
            .strip_prefix("/ui/assets/")
            .and_then(|name| name.split_once('-'))
        {
            Some((name, rest)) => {
                let kind = rest.rsplit('.').next().unwrap_or_default();
                format!("/ui/assets/{name}-{{hash}}.{kind}")
            }
            None => path,
        };
        let cells = row.ours.map(|status| status.to_string()).join(" | ");
        let [foreign, ..] = row.foreign;
        let _ = writeln!(
            text,
            "| `{} {path}` | {cells} | {} | {} |",
            row.place.method,
            differing(row.elsewhere, row.ours),
            differing(foreign, row.ours),
        );
    }
    text
}

/// Answers as a cell: one number when all are the same.
fn differing(answers: Answers, ours: Answers) -> String {
    if answers == ours {
        return "the same".to_owned();
    }
    if answers.iter().all(|status| *status == answers[0]) {
        return answers[0].to_string();
    }
    answers.map(|status| status.to_string()).join(" ")
}
