//! The head of a request: where it leads stays at the provider that was chosen, what must not pass does not, and everything
//! else does as it came. The same for the head of a response.
#![no_main]

use aperture::{
    config::Provider,
    endpoint::{Dialect, Hints, Route, leads_elsewhere, model_in_path, route},
    provider::{
        headers::{Edit, HEAD_EDITS, Side, redacted, to_client, to_provider},
        target::upstream_uri,
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header::CONNECTION};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut lines = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut lines);
    if !matches!(request.parse(input), Ok(httparse::Status::Complete(_))) {
        return;
    }
    let method = Method::from_bytes(request.method.unwrap_or_default().as_bytes());
    let uri = request.path.unwrap_or_default().parse::<Uri>();
    let (Ok(method), Ok(uri)) = (method, uri) else {
        return;
    };
    let Ok(head) = request
        .headers
        .iter()
        .map(|line| Ok((HeaderName::from_bytes(line.name.as_bytes())?, HeaderValue::from_bytes(line.value)?)))
        .collect::<Result<Vec<_>, http::Error>>()
    else {
        return;
    };
    let mut client = HeaderMap::new();
    for (name, value) in head {
        client.append(name, value);
    }
    routed(&method, &uri);
    up(&client);
    down(&client);
});

/// A path leads to one place, and below the base of the provider that serves it.
fn routed(method: &Method, uri: &Uri) {
    for anthropic in [false, true] {
        let hints = Hints { upgrade: false, anthropic };
        let (Route::Model(endpoint) | Route::Stored(endpoint)) = route(method, uri.path(), hints) else {
            continue;
        };
        if let Some(model) = model_in_path(endpoint, uri.path()) {
            assert!(uri.path().contains(model));
        }
        for base in ["https://one.example", "https://one.example/base"] {
            let provider = Provider::new("p", base.parse().expect("a base"));
            let Ok(upstream) = upstream_uri(&provider, endpoint.dialect(), uri) else {
                continue;
            };
            assert_eq!(upstream.scheme_str(), Some("https"));
            assert_eq!(upstream.authority().map(|it| it.as_str()), Some("one.example"));
            let prefix = provider.base.path().trim_end_matches('/');
            assert!(upstream.path().starts_with(prefix), "{upstream}");
            assert!(!leads_elsewhere(upstream.path()), "{upstream}");
            let query = upstream.query().unwrap_or_default();
            assert!(!query.split('&').any(|pair| pair.starts_with("key=")), "{upstream}");
        }
    }
}

/// Whether the closed list, or the connection's own line, keeps a line back.
fn kept_back(side: Side, head: &HeaderMap, name: &HeaderName) -> bool {
    let name = name.as_str();
    let listed = HEAD_EDITS.iter().any(|row| {
        let covers = match row.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == row.name,
        };
        let replaced = side == Side::Request && matches!(name, "host" | "content-length");
        covers && row.side == side && (row.edit == Edit::Drop || replaced)
    });
    let hop = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "http2-settings"];
    let named = head.get_all(CONNECTION).iter().any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.split(',').any(|part| part.trim().eq_ignore_ascii_case(name))
    });
    listed || named || hop.contains(&name)
}

fn passed(side: Side, before: &HeaderMap, after: &HeaderMap, added: &[&str]) {
    for name in before.keys() {
        let same = after.get_all(name).iter().eq(before.get_all(name));
        let gone = !after.contains_key(name) || added.contains(&name.as_str());
        let right = if kept_back(side, before, name) { gone } else { same };
        assert!(right, "{name}: {before:?} {after:?}");
    }
    for name in after.keys() {
        assert!(before.contains_key(name) || added.contains(&name.as_str()), "{name}");
    }
}

fn up(client: &HeaderMap) {
    let provider = Provider::new("p", "https://one.example".parse().expect("a base"));
    for dialect in Dialect::ALL {
        let head = to_provider(client, dialect, &provider, &[]);
        passed(Side::Request, client, &head, &["anthropic-version"]);
    }
    let shown = redacted(client);
    assert_eq!(shown.len(), client.len());
    for (name, text) in shown.iter() {
        let secret = name.contains("authorization") || name.contains("cookie") || name.ends_with("-key");
        assert!(!secret || text == "(redacted)", "{name}: {text}");
    }
}

fn down(head: &HeaderMap) {
    let mut client = head.clone();
    to_client(&mut client);
    passed(Side::Response, head, &client, &[]);
}
