//! The settings over HTTP: the rules of Origin and Host, the token, a save, and a provider that is tried.

use super::{document, start};
use crate::support::{Gateway, http as client};
use ::http::Method;
use provider::{Options, Provider};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The value of a hidden field.
fn field(page: &str, name: &str) -> String {
    let (_, after) = page
        .split_once(&format!("name=\"{name}\" value=\""))
        .unwrap_or_else(|| panic!("no {name} in {page}"));
    after.split_once('"').unwrap().0.to_owned()
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    fields.collect::<Vec<_>>().join("&")
}

async fn post(
    gateway: &Gateway,
    path: &str,
    lines: &[(&str, &str)],
    fields: &[(&str, &str)],
) -> client::Answer {
    let mut head = vec![FORM];
    head.extend_from_slice(lines);
    let url = format!("{}{path}", gateway.url);
    client::send(Method::POST, &url, &head, encoded(fields)).await
}

#[tokio::test]
async fn a_page_elsewhere_changes_nothing_and_our_own_does() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let text = document(&provider.url(), "");
    let gateway = start(&text).await;
    let page = client::get(&format!("{}/ui/settings/", gateway.url))
        .await
        .text();
    let (token, etag) = (field(&page, "token"), field(&page, "etag"));
    let edited = format!("// by a page\n{text}")
        .replace("sk-ant-upstream-key", "(secret, not shown)")
        .replace("sk-openai-upstream-key", "(secret, not shown)");
    let fields = [
        ("do", "save"),
        ("token", &*token),
        ("etag", &*etag),
        ("text", &*edited),
    ];
    let own = gateway.url.as_str();
    for lines in [
        vec![("origin", "http://evil.example")],
        vec![("origin", "null")],
        vec![("origin", "http://evil.example"), ("host", "evil.example")],
        vec![("host", "evil.example")],
        vec![("origin", own), ("host", "evil.example")],
        vec![("origin", own), ("sec-fetch-site", "cross-site")],
    ] {
        let answer = post(&gateway, "/ui/settings/", &lines, &fields).await;
        assert_eq!(answer.status, 403, "{lines:?}: {}", answer.text());
    }
    // Without the token, from wherever it comes.
    for lines in [vec![], vec![("origin", own)]] {
        let answer = post(
            &gateway,
            "/ui/settings/",
            &lines,
            &[fields[0], fields[2], fields[3]],
        )
        .await;
        assert_eq!(answer.status, 403);
    }
    let on_disk = || std::fs::read_to_string(gateway.config_file()).unwrap();
    assert_eq!(on_disk(), text);

    let answer = post(&gateway, "/ui/settings/", &[("origin", own)], &fields).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(
        on_disk(),
        format!("// by a page\n{text}"),
        "secrets are where they were"
    );
    let path = answer.headers["location"].to_str().unwrap().to_owned();
    let page = client::get(&format!("{}{path}", gateway.url)).await.text();
    assert!(page.contains("Saved, and in force."), "{page}");
    let history = client::get(&format!("{}/ui/settings/history/", gateway.url))
        .await
        .text();
    assert!(history.contains("dev@example.com"), "{history}");
}

#[tokio::test]
async fn a_provider_is_tried_with_the_key_of_the_form_alone() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let text = document(&provider.url(), "");
    let gateway = start(&text).await;
    let page = client::get(&format!("{}/ui/settings/provider?kind=openai", gateway.url))
        .await
        .text();
    let token = field(&page, "token");
    let url = provider.url();
    let fields = [
        ("do", "test"),
        ("token", &*token),
        ("kind", "openai"),
        ("id", "another"),
        ("baseurl", &*url),
        ("key", "sk-typed-0123456789"),
        ("scheme", "bearer"),
        ("flag", "openai_chat"),
    ];
    let answer = post(
        &gateway,
        "/ui/settings/provider",
        &[("origin", &*gateway.url)],
        &fields,
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        answer.text().contains("id=\"provider-outcome\""),
        "{}",
        answer.text()
    );
    let log = provider.log();
    let asked: Vec<_> = log
        .iter()
        .filter(|entry| entry.request.target.starts_with("/v1/models"))
        .collect();
    assert!(!asked.is_empty());
    for entry in &log {
        let lines = format!("{:?}", entry.request.headers);
        assert!(!lines.contains("upstream-key"), "{lines}");
    }
    assert!(format!("{:?}", asked[0].request.headers).contains("sk-typed-0123456789"));
    assert_eq!(
        std::fs::read_to_string(gateway.config_file()).unwrap(),
        text
    );
}
