//! What providers store belongs to whoever had it made: every caller tries every object over every route.

use super::{USERS, World, with};
use crate::support::{Gateway, gateway::Options, http::send};
use ::http::Method;
use provider::{Provider, Script};
use serde_json::{Value, json};

const PEOPLE: [&str; 3] = ["alice", "bob", "ci"];
const ANTHROPIC: (&str, &str) = ("anthropic-version", "2023-06-01");
const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=b");

/// Providers of the three APIs that store things.
fn config(provider: &str) -> String {
    format!(
        r#"{{"providers": {{
            "anthropic": {{"baseurl": "{provider}", "apikey": "k", "models": ["claude"], "compatibility": {{"anthropic_messages": true}}}},
            "openai": {{"baseurl": "{provider}", "apikey": "k", "models": ["gpt"], "compatibility": {{"openai_responses": true, "openai_chat": true}}}},
            "google": {{"baseurl": "{provider}", "apikey": "k", "authorization": "x-goog-api-key", "models": ["gem"], "compatibility": {{"gemini": true}}}}}},
          "temp_grants": [{USERS}]}}"#
    )
}

/// A request as somebody sends it.
struct Ask {
    method: Method,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Ask {
    fn new(method: Method, path: impl Into<String>, body: &Value) -> Self {
        Self {
            method,
            path: path.into(),
            headers: vec![JSON],
            body: if body.is_null() {
                String::new()
            } else {
                body.to_string()
            },
        }
    }

    fn form(path: &str, headers: &[(&'static str, &'static str)]) -> Self {
        let head = "Content-Disposition: form-data; name=";
        Self {
            method: Method::POST,
            path: path.to_owned(),
            headers: [headers, &[FORM]].concat(),
            body: format!(
                "--b\r\n{head}\"purpose\"\r\n\r\nuser_data\r\n--b\r\n{head}\"file\"; filename=\"a.txt\"\r\n\
                 Content-Type: text/plain\r\n\r\nthe bytes\r\n--b--\r\n"
            ),
        }
    }

    fn with(mut self, header: (&'static str, &'static str)) -> Self {
        self.headers.push(header);
        self
    }
}

/// A kind of object: how it is made, where the answer names it, what can be done with it, and how it is deleted.
struct Kind {
    make: fn() -> Ask,
    named: &'static str,
    uses: fn(&str) -> Vec<Ask>,
    delete: fn(&str) -> Ask,
}

const KINDS: [Kind; 6] = [
    Kind {
        make: || {
            Ask::new(
                Method::POST,
                "/v1/responses",
                &json!({"model": "gpt", "input": "hello"}),
            )
        },
        named: "/id",
        uses: |id| {
            let ask = |more: Value| {
                let mut body = json!({"model": "gpt", "input": "more"});
                body.as_object_mut()
                    .unwrap()
                    .append(&mut more.as_object().unwrap().clone());
                Ask::new(Method::POST, "/v1/responses", &body)
            };
            vec![
                Ask::new(Method::GET, format!("/v1/responses/{id}"), &Value::Null),
                Ask::new(
                    Method::GET,
                    format!("/responses/{id}/input_items"),
                    &Value::Null,
                ),
                ask(json!({"previous_response_id": id})),
                ask(json!({"previous_response_id": id, "stream": true})),
                Ask::new(
                    Method::POST,
                    "/v1/responses/input_tokens",
                    &json!({"model": "gpt", "input": "x", "previous_response_id": id}),
                ),
                Ask::new(
                    Method::POST,
                    format!("/v1/responses/{id}/cancel"),
                    &json!({}),
                ),
            ]
        },
        delete: |id| Ask::new(Method::DELETE, format!("/v1/responses/{id}"), &Value::Null),
    },
    Kind {
        make: || Ask::new(Method::POST, "/v1/conversations", &json!({})),
        named: "/id",
        uses: |id| {
            let item = json!({"items": [{"type": "message", "role": "user", "content": "one"}]});
            vec![
                Ask::new(Method::GET, format!("/v1/conversations/{id}"), &Value::Null),
                Ask::new(Method::POST, format!("/v1/conversations/{id}/items"), &item),
                Ask::new(
                    Method::GET,
                    format!("/v1/conversations/{id}/items"),
                    &Value::Null,
                ),
                Ask::new(
                    Method::POST,
                    "/v1/responses",
                    &json!({"model": "gpt", "input": "x", "conversation": id}),
                ),
                Ask::new(
                    Method::POST,
                    "/v1/responses",
                    &json!({"model": "gpt", "input": "x", "conversation": {"id": id}}),
                ),
            ]
        },
        delete: |id| {
            Ask::new(
                Method::DELETE,
                format!("/v1/conversations/{id}"),
                &Value::Null,
            )
        },
    },
    Kind {
        make: || Ask::form("/v1/files", &[]),
        named: "/id",
        uses: |id| {
            let part =
                json!([{"role": "user", "content": [{"type": "input_file", "file_id": id}]}]);
            let chat =
                json!([{"role": "user", "content": [{"type": "file", "file": {"file_id": id}}]}]);
            vec![
                Ask::new(Method::GET, format!("/v1/files/{id}"), &Value::Null),
                Ask::new(Method::GET, format!("/v1/files/{id}/content"), &Value::Null),
                Ask::new(
                    Method::POST,
                    "/v1/responses",
                    &json!({"model": "gpt", "input": part}),
                ),
                Ask::new(
                    Method::POST,
                    "/v1/chat/completions",
                    &json!({"model": "gpt", "messages": chat}),
                ),
            ]
        },
        delete: |id| Ask::new(Method::DELETE, format!("/v1/files/{id}"), &Value::Null),
    },
    Kind {
        make: || Ask::form("/v1/files", &[ANTHROPIC]),
        named: "/id",
        uses: |id| {
            let block = json!([{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": id}}]}]);
            vec![
                Ask::new(Method::GET, format!("/v1/files/{id}"), &Value::Null).with(ANTHROPIC),
                Ask::new(Method::GET, format!("/v1/files/{id}/content"), &Value::Null)
                    .with(ANTHROPIC),
                Ask::new(
                    Method::POST,
                    "/v1/messages",
                    &json!({"model": "claude", "max_tokens": 99, "messages": block}),
                ),
            ]
        },
        delete: |id| {
            Ask::new(Method::DELETE, format!("/v1/files/{id}"), &Value::Null).with(ANTHROPIC)
        },
    },
    Kind {
        make: || {
            let body = json!({"model": "models/gem", "contents": [{"role": "user", "parts": [{"text": "long"}]}]});
            Ask::new(Method::POST, "/v1beta/cachedContents", &body)
        },
        named: "/name",
        uses: |name| {
            let body = json!({"cachedContent": name, "contents": [{"role": "user", "parts": [{"text": "x"}]}]});
            vec![
                Ask::new(Method::GET, format!("/v1beta/{name}"), &Value::Null),
                Ask::new(Method::POST, "/v1beta/models/gem:generateContent", &body),
                Ask::new(
                    Method::POST,
                    "/v1beta/models/gem:streamGenerateContent?alt=sse",
                    &body,
                ),
            ]
        },
        delete: |name| Ask::new(Method::DELETE, format!("/v1beta/{name}"), &Value::Null),
    },
    Kind {
        make: || {
            let mut ask = Ask::new(Method::POST, "/upload/v1beta/files", &Value::Null);
            "the bytes".clone_into(&mut ask.body);
            ask.headers = vec![("content-type", "text/plain")];
            ask
        },
        named: "/file/name",
        uses: |name| {
            let uri = format!("https://generativelanguage.googleapis.com/v1beta/{name}");
            let part = json!([{"role": "user", "parts": [{"fileData": {"fileUri": uri, "mimeType": "text/plain"}}]}]);
            vec![
                Ask::new(Method::GET, format!("/v1beta/{name}"), &Value::Null),
                Ask::new(
                    Method::POST,
                    "/v1beta/models/gem:generateContent",
                    &json!({"contents": part}),
                ),
            ]
        },
        delete: |name| Ask::new(Method::DELETE, format!("/v1beta/{name}"), &Value::Null),
    },
];

async fn ask(door: &str, ask: &Ask) -> crate::support::http::Answer {
    let url = format!("{door}{}", ask.path);
    send(ask.method.clone(), &url, &ask.headers, ask.body.clone()).await
}

/// Everybody makes one of each kind.
async fn make(provider: &Provider, doors: &[String]) -> Vec<(usize, usize, String)> {
    let mut made = Vec::new();
    for (owner, door) in doors.iter().enumerate() {
        for (kind, row) in KINDS.iter().enumerate() {
            let answer = ask(door, &(row.make)()).await;
            assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
            let entry = provider.log().pop().unwrap();
            assert_eq!(entry.request.target, (row.make)().path);
            let id = answer
                .json()
                .pointer(row.named)
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned();
            made.push((owner, kind, id));
        }
    }
    made
}

/// Every caller tries every object over every route.
async fn try_every_pair(world: &World, doors: &[String], made: &[(usize, usize, String)]) -> usize {
    let mut tried = 0;
    for (asker, door) in doors.iter().enumerate() {
        for (owner, kind, id) in made {
            for request in (KINDS[*kind].uses)(id) {
                let before = world.provider.log().len();
                let answer = ask(door, &request).await;
                let what = format!(
                    "{} asks {} {} of {}: {} {}",
                    PEOPLE[asker],
                    request.method,
                    request.path,
                    PEOPLE[*owner],
                    answer.status,
                    answer.text()
                );
                let reached = world.provider.log().len() - before;
                if asker == *owner {
                    assert_eq!(answer.status, 200, "{what}");
                } else {
                    assert_eq!((answer.status.as_u16(), reached), (404, 0), "{what}");
                    let told = answer.text();
                    assert!(told.contains(&format!("{id} not found")), "{what}");
                }
                tried += 1;
            }
        }
    }
    tried
}

#[tokio::test]
async fn a_stored_object_is_its_creators_alone_over_every_route() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let lab = crate::support::Lab::start(&with(&[])).await;
    let document = config(&provider.url());
    let gateway = Gateway::on(&lab, &document, Options::default()).await;
    let world = World {
        provider,
        lab,
        gateway,
    };
    let mut doors = Vec::new();
    for person in PEOPLE {
        doors.push(world.door(person).await);
    }
    let made = make(&world.provider, &doors).await;
    let tried = try_every_pair(&world, &doors, &made).await;
    assert_eq!(tried, 3 * 3 * 23);

    // What nobody made here is nobody's, although the provider has it.
    let unheard = Ask::new(
        Method::GET,
        "/v1/responses/resp_made_elsewhere",
        &Value::Null,
    );
    assert_eq!(ask(&doors[0], &unheard).await.status, 404);
    // Lists would show what others keep.
    for path in [
        "/v1/files",
        "/v1/conversations",
        "/v1beta/cachedContents",
        "/v1beta/files",
        "/v1/batches",
    ] {
        let answer = ask(&doors[0], &Ask::new(Method::GET, path, &Value::Null)).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            answer.text().contains("not offered"),
            "{path}: {}",
            answer.text()
        );
    }

    // Ownership outlives the process.
    let World {
        provider,
        lab,
        gateway,
    } = world;
    let dir = Some(gateway.stop().await);
    let options = Options {
        dir,
        ..Options::default()
    };
    let gateway = Gateway::on(&lab, &document, options).await;
    let world = World {
        provider,
        lab,
        gateway,
    };
    try_every_pair(&world, &doors, &made).await;

    for (owner, kind, id) in &made {
        let delete = (KINDS[*kind].delete)(id);
        let other = (owner + 1) % PEOPLE.len();
        assert_eq!(ask(&doors[other], &delete).await.status, 404, "{id}");
        let answer = ask(&doors[*owner], &delete).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
    }
    world.gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_not_stored_is_nobodys() {
    let world = World::start(USERS, &[]).await;
    let door = world.door("alice").await;
    world
        .provider
        .script(provider::Matcher::model("gpt-5"), Script::text("hi"));
    let body = json!({"model": "gpt-5", "input": "hello", "store": false});
    let answer = ask(&door, &Ask::new(Method::POST, "/v1/responses", &body)).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let request = Ask::new(Method::GET, format!("/v1/responses/{id}"), &Value::Null);
    assert_eq!(ask(&door, &request).await.status, 404);
    world.gateway.stop().await;
}
