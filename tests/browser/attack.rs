//! A page of somebody else, open in the browser of a person whom the tailnet would let do everything: it changes nothing and
//! reads nothing, by forms, requests, pictures, frames, and a name that it lets lead to the gateway.

use super::{World, chromium::ONE};
use crate::support::{
    cloud::{Said, StandIn},
    http, message,
};
use aperture::record::End;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What pages, interfaces and models are asked for.
const GOALS: &[&str] = &[
    "/ui/",
    "/ui/logs/",
    "/ui/settings/",
    "/ui/adoption/people.csv",
    "/ui/live",
    "/api/config",
    "/aperture/config",
    "/aperture/openapi.json",
    "/api/providers",
    "/api/quotas",
    "/v1/models",
    "/v1/files",
    "/v1/messages",
    "/v1/chat/completions",
    "/v1/responses",
];

/// All that a page can try, each with what came of it: text that it could read, or why not.
const TRY: &str = r#"
const [base, goals, body, done] = arguments, results = [];
const refused = 'access denied: web pages of other sites may not call this gateway';
const note = (how, goal, text) => { if (text && !String(text).includes(refused)) results.push(how + ' ' + goal + ': ' + String(text).slice(0, 200)); };
const patient = (promise) => Promise.race([promise, new Promise((go) => setTimeout(go, 4000))]).catch(() => {});
const request = async (how, goal, options) => {
  try { const answer = await fetch(base + goal, options); note(how, goal, answer.type === 'opaque' ? '' : answer.ok && await answer.text()); }
  catch {}
};
const element = (tag, set) => new Promise((go) => {
  const it = document.createElement(tag);
  it.onload = () => go(it); it.onerror = () => go(null);
  set(it); document.body.append(it);
});
const tries = [];
for (const goal of goals) {
  for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH']) {
    const sent = method === 'GET' ? undefined : body;
    tries.push(request('cors ' + method, goal, { method, body: sent, credentials: 'include', headers: sent ? { 'content-type': 'application/json' } : {} }));
    tries.push(request('simple ' + method, goal, { method, body: sent, credentials: 'include' }));
  }
  tries.push(request('no-cors GET', goal, { mode: 'no-cors' }));
  tries.push(request('no-cors POST', goal, { mode: 'no-cors', method: 'POST', body }));
  tries.push(request('kept', goal, { mode: 'no-cors', method: 'POST', body, keepalive: true }));
  navigator.sendBeacon(base + goal, body);
  tries.push(element('img', (it) => { it.src = base + goal; }).then((it) => note('img', goal, it && it.naturalWidth)));
  tries.push(element('script', (it) => { it.src = base + goal; }));
  tries.push(element('link', (it) => { it.rel = 'stylesheet'; it.href = base + goal; }).then((it) => {
    try { note('css', goal, it && it.sheet.cssRules.length); } catch {} }));
  tries.push(element('iframe', (it) => { it.src = base + goal; }).then((it) => {
    try { note('frame', goal, it.contentDocument && it.contentDocument.body.innerText); } catch {} }));
  for (const kind of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data']) {
    tries.push(new Promise((go) => {
      const frame = document.createElement('iframe'); frame.name = 'f' + Math.random();
      const form = document.createElement('form'), field = document.createElement('textarea');
      Object.assign(form, { action: base + goal, method: 'POST', enctype: kind, target: frame.name });
      // As text it is the JSON that the goal would take.
      field.name = body.slice(0, -1) + ',"x":"'; field.value = '"}';
      form.append(field); document.body.append(frame, form);
      frame.onload = () => { try { note('form', goal, frame.contentDocument && frame.contentDocument.body.innerText); } catch {} go(); };
      form.submit();
    }));
  }
}
tries.push(new Promise((go) => { const it = new EventSource(base + '/ui/live'); it.onerror = () => { it.close(); go(); };
  it.addEventListener('part', (event) => { note('events', '/ui/live', event.data); it.close(); go(); }); }));
tries.push(new Promise((go) => { const it = new WebSocket(base.replace('http', 'ws') + '/v1/responses'); it.onerror = go;
  it.onopen = () => { note('socket', '/v1/responses', 'open'); go(); }; }));
Promise.all(tries.map(patient)).then(() => done(results));
"#;

/// What changes when somebody has got through: the configuration, what a provider was asked, and every record of a request
/// that was not refused.
async fn state(world: &World) -> Value {
    let config = std::fs::read_to_string(world.gateway.config_file()).unwrap();
    let log = world.provider.log();
    let asked: Vec<&str> = log.iter().map(|it| it.request.target.as_str()).collect();
    let records = world.gateway.records().await;
    let taken = records.iter().filter(|it| it.end != End::Refused);
    let taken: Vec<String> = taken
        .map(|it| format!("{} {:?}", it.path, it.end))
        .collect();
    json!({"config": config, "asked": asked, "taken": taken})
}

/// A page to begin with.
async fn hostile() -> StandIn {
    StandIn::start(|asked, _| Said {
        status: 200,
        // A new connection for each request: a name may lead elsewhere the next time.
        headers: vec![("content-type", "text/html"), ("connection", "close")],
        body: format!(
            "<!doctype html><title>prizes</title><p>{}</p>",
            asked.header("host")
        ),
        gate: None,
    })
    .await
}

#[tokio::test]
async fn a_page_of_somebody_else_changes_nothing_and_reads_nothing() {
    let _one = ONE.lock().await;
    let world = World::start(false).await;
    let door = world.door("alice").await;
    let own = http::post(
        &format!("{door}/v1/messages"),
        message("claude-haiku-4-5", "secret-of-alice", false),
    )
    .await;
    assert_eq!(own.status, 200);
    let id = world.gateway.finished(1).await.remove(0).id.to_string();
    let before = state(&world).await;

    let page = hostile().await;
    let address = page.url.trim_start_matches("http://").to_owned();
    let door = door.trim_start_matches("http://").to_owned();
    let switch = Switch::start(address.clone()).await;
    let names = [
        ("ai", door.as_str()),
        ("evil.example", address.as_str()),
        ("rebound.example", switch.address.as_str()),
    ];
    let tab = world.chromium.open("alice", &names, &address).await;
    // Alice's own pages work in this browser, so what follows is refused and not merely broken.
    tab.goto(&format!("http://ai/ui/requests/{id}")).await;
    assert!(
        tab.eval::<String>("document.body.innerText")
            .await
            .contains("secret-of-alice")
    );

    let mut goals: Vec<String> = GOALS.iter().map(|goal| (*goal).to_owned()).collect();
    goals.extend([
        format!("/ui/requests/{id}"),
        format!("/ui/requests/{id}/json"),
        format!("/ui/requests/{id}/request-body"),
    ]);
    let body = message("claude-haiku-4-5", "sent by a page", false);
    let arguments = |base: &str| vec![json!(base), json!(goals), json!(body)];
    tab.goto("http://evil.example/").await;
    let read: Vec<String> = tab.run_async(TRY, &arguments("http://ai")).await;
    assert_eq!(read, [""; 0], "a page of evil.example read this");
    assert_eq!(
        state(&world).await,
        before,
        "a page of evil.example changed something"
    );

    // The same name leads to the gateway from now on: to the browser that is one origin.
    tab.goto("http://rebound.example/").await;
    switch.lead_to(door);
    let read: Vec<String> = tab
        .run_async(TRY, &arguments("http://rebound.example"))
        .await;
    assert_eq!(read, [""; 0], "a page of rebound.example read this");
    assert_eq!(
        state(&world).await,
        before,
        "a page of rebound.example changed something"
    );
    tab.goto("http://rebound.example/ui/").await;
    let text: String = tab.eval("document.body.innerText").await;
    assert!(!text.contains("alice"), "{text}");

    // And an own page still may.
    tab.goto("http://ai/ui/connect/").await;
    tab.click("form.trial button").await;
    tab.until(
        "answered",
        "document.querySelector('form.trial output pre')",
    )
    .await;
    assert_ne!(state(&world).await, before);
    tab.close().await;
    world.gateway.stop().await;
}

/// A port that leads to one server, and later to another: a name that is bound again.
struct Switch {
    address: String,
    to: watch::Sender<String>,
}

impl Switch {
    async fn start(first: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (to, leads) = watch::channel(first);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut leads = leads.clone();
                let to = leads.borrow_and_update().clone();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else {
                        return;
                    };
                    // Browsers connect ahead: what was opened before leads nowhere afterwards.
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = leads.changed() => {}
                    }
                });
            }
        });
        Self { address, to }
    }

    fn lead_to(&self, address: String) {
        self.to.send_replace(address);
    }
}
