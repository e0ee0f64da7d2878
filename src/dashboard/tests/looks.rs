//! What pages say: empty and filled, with hostile texts, with warnings, and exactly for two of them.

use super::{
    house::{BOBS, bob, bobs_request, capture, carol, dora, id, record},
    *,
};
use crate::{
    config::grant::{Capability, Grant, Src},
    record::{Cost, CostState, End, HeadLines, Record, RequestId, SessionId, ToolCall},
};
use http::header::CONTENT_DISPOSITION;
use route::Side;
use std::collections::BTreeSet;

/// Elements without an end tag.
const VOID: [&str; 5] = ["meta", "link", "input", "br", "img"];

/// Every page with data, as an admin sees it.
fn addresses() -> Vec<String> {
    vec![
        Route::Overview.path(),
        "/ui/?period=24h".into(),
        "/ui/?period=90d".into(),
        Route::Logs.path(),
        Route::Session(BOBS).path(),
        Route::Request(bobs_request()).path(),
        Route::Tools.path(),
        Route::Adoption.path(),
        Route::Models.path(),
        Route::Person("bob@example.com".into()).path(),
        Route::Connect.path(),
        Route::Access.path(),
        "/ui/access/?who=bob%40example.com&model=claude-haiku-4-5".into(),
        "/ui/access/?who=tag%3Aci&model=nothing&endpoint=openai_chat".into(),
        Route::Audit.path(),
        format!("{}?view=requests", Route::Session(BOBS).path()),
        "/ui/?until=2026-11-20&status=5xx&client=claude-code".into(),
        Route::Settings.path(),
        Route::AddProvider.path(),
        "/ui/settings/provider?kind=vertex".into(),
        "/ui/settings/provider?kind=self-hosted".into(),
        Route::AddGrant.path(),
        Route::MakeAdmin.path(),
        Route::History.path(),
        "/ui/nothing".into(),
    ]
}

/// What holds for every page: no script, no style in the markup, every element closed, no text that deceives.
pub(super) fn sound(page: &str) {
    assert!(
        page.starts_with("<!DOCTYPE html><html lang=\"en\">"),
        "{page}"
    );
    let lower = page.to_lowercase();
    for never in [
        "<script>",
        "<script ",
        "\"javascript:",
        " style=\"",
        "<iframe",
        "=\"http",
    ] {
        // The one foreign address is the name space of the icon.
        let lower = lower.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        // And the one script is a file of ours, named in the head alone.
        let own = format!("<script src=\"{}\" defer></script>", assets::script_path());
        assert_eq!(lower.matches(&own).count(), 1);
        // What stands in a field is loaded by nobody.
        let lower = lower.replace(&own, "").replace(" value=\"http", "");
        assert!(!lower.contains(never), "{never} in {page}");
    }
    // A choice's value goes back as it is; its label is what people see.
    let mut labels = page.to_owned();
    while let Some((before, after)) = labels.split_once("<option value=\"") {
        let (_, after) = after.split_once('"').expect("a value ends");
        labels = format!("{before}<option {after}");
    }
    // A text that is edited goes back as it is, too.
    while let Some((before, after)) = labels.split_once("<textarea ") {
        let (_, after) = after.split_once("</textarea>").expect("it ends");
        labels = format!("{before}{after}");
    }
    assert!(!labels.contains(['\u{202e}', '\u{200b}', '\0']), "{page}");
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.trim_start_matches("<!DOCTYPE html>");
    while let Some(at) = rest.find('<') {
        let tag = &rest[at + 1..];
        let end = tag.find('>').expect("a tag ends");
        let (tag, after) = (&tag[..end], &tag[end + 1..]);
        rest = after;
        assert!(!tag.contains('<'), "{tag}");
        let quotes = tag.matches('"').count();
        assert!(quotes.is_multiple_of(2), "a value is not closed: <{tag}>");
        let name = tag.split([' ', '/']).find(|part| !part.is_empty());
        let name = name.expect("an element has a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "in {page}");
        } else if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
        // Outside of its values a tag has no handlers and no attribute twice.
        let names: Vec<&str> = tag
            .split('"')
            .step_by(2)
            .flat_map(|part| part.split_whitespace().skip_while(|word| *word == name))
            .filter_map(|word| word.strip_suffix('='))
            .collect();
        assert!(names.iter().all(|name| !name.starts_with("on")), "<{tag}>");
        let once: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(once.len(), names.len(), "<{tag}>");
    }
    assert_eq!(open, [] as [&str; 0]);
    assert_eq!(page.matches("<h1").count(), 1);
    assert!(page.contains("<title>") && page.contains("<main id=\"main\">"));
}

#[tokio::test]
async fn every_page_is_sound_with_and_without_data() {
    let empty = House::empty();
    let filled = House::filled().await;
    for path in addresses() {
        for (caller, role) in [(dora(), Role::Admin), (bob(), Role::User)] {
            sound(text(&empty.ask(&caller, role, &path).await));
            sound(text(&filled.ask(&caller, role, &path).await));
        }
    }
}

#[tokio::test]
async fn hostile_texts_stay_texts_in_every_field() {
    let evil =
        "\"><script>alert(1)</script><img src=x onerror=\"x\">'&amp;\u{202e}\u{200b}\0javascript:";
    let eve = house::caller("user:<script>", evil);
    let house = House::empty();
    let some = || Some(evil.to_owned());
    for (n, end) in End::ALL.into_iter().enumerate() {
        let minutes = 10 + n as u64;
        let hostile = Record {
            client: crate::record::Client {
                name: evil.into(),
                version: evil.into(),
            },
            path: evil.into(),
            grant: some(),
            provider: some(),
            provider_request_id: some(),
            model_asked: some(),
            model: (n % 2 == 0).then(|| evil.to_owned()),
            model_served: some(),
            failure: some(),
            agent: some(),
            title: some(),
            stop_reason: some(),
            capture_lost: some(),
            status: Some(418),
            end,
            cost: Cost {
                basis: evil.into(),
                prices: evil.into(),
                state: CostState::Unpriced,
                pico: 0,
            },
            tools: vec![ToolCall {
                name: evil.into(),
                call: evil.into(),
                argument_bytes: 9_999_999,
                result_error: (n % 2 == 0).then_some(true),
                ..ToolCall::default()
            }],
            who: crate::record::Who {
                node: evil.into(),
                node_name: evil.into(),
                tags: vec![evil.into()],
                ..record(&eve, bobs_request(), 1).who
            },
            parent_session: Some(SessionId(9)),
            ..record(&eve, id(minutes, 1), 1)
        };
        let mut kept = capture(evil, evil);
        kept.request_head.push(evil, evil);
        kept.response_head = HeadLines::from_iter([("content-type", evil)]);
        house.writer.start(&hostile);
        if end != End::InFlight {
            house.writer.finish(hostile, Some(kept));
        }
    }
    house.writer.flush().await.unwrap();
    {
        // In keys, values and comments; the control character would be no document.
        let quoted = serde_json::Value::from(evil).to_string();
        let text = house::DOCUMENT.replacen('{', &format!("{{ // {evil}\n{quoted}: {quoted},"), 1);
        std::fs::write(&house.file, text).unwrap();
        let mut state = house.state.lock();
        state.reload_failure = some();
        let mut config = Config::clone(&state.config);
        let mut provider = Provider::clone(&config.providers["backup"]);
        provider.name = evil.into();
        provider.description = evil.into();
        provider.models.push(evil.into());
        config.providers.insert("backup".into(), Arc::new(provider));
        config.hash = evil.into();
        state.config = Arc::new(config);
    }
    let query = "q=%22%3E%3Cscript%3E%E2%80%AE&model=%22%3E%3Cscript%3E&user=%3Cscript%3E";
    let mut paths = vec![
        format!("/ui/logs/?{query}"),
        format!("/ui/?period=%22%3E%3Cscript%3E&{query}"),
        Route::Session(SessionId(1)).path(),
        Route::Person(evil.into()).path(),
        "/ui/%22%3E%3Cscript%3E".into(),
    ];
    paths.extend((0..End::ALL.len()).map(|n| Route::Request(id(10 + n as u64, 1)).path()));
    paths.extend(addresses());
    let mut shown = 0;
    for path in &paths {
        for (caller, role) in [(dora(), Role::Admin), (Arc::clone(&eve), Role::User)] {
            let rsp = house.ask(&caller, role, path).await;
            sound(text(&rsp));
            shown += text(&rsp).matches("‹U+202E›").count();
        }
    }
    assert!(shown > 200, "the texts are on the pages: {shown}");
    let body = Route::Body(id(11, 1), Side::Response).path();
    let rsp = house.ask(&eve, Role::User, &body).await;
    assert_eq!(rsp.body(), evil, "a download is exact");
    let name = rsp.headers()[CONTENT_DISPOSITION].to_str().unwrap();
    assert!(name.ends_with("-response.bin\""), "{name}");
}

#[tokio::test]
async fn warnings_stand_on_every_page_while_they_hold() {
    let house = House::filled().await;
    let warnings = [
        "Everyone on this tailnet is an admin",
        "Development listener",
        "The store can't write",
        "The node's key expires in 6 days",
        "The configuration on disk was not taken",
    ];
    let dev = |on: bool, of: Arc<Caller>| {
        Arc::new(Caller {
            dev: on,
            ..Caller::clone(&of)
        })
    };
    for path in addresses() {
        let page = house.ask(&dora(), Role::Admin, &path).await;
        assert!(
            warnings
                .iter()
                .all(|warning| !text(&page).contains(warning))
        );
    }
    {
        let mut state = house.state.lock();
        state.store_degraded = true;
        state.key_expiry = Some(Timestamp(NOW.0 + 7 * 86_400_000 - 1));
        state.reload_failure = Some("line 3: the reason".into());
        let mut config = Config::clone(&state.config);
        config.grants.push(Grant {
            origin: "temp_grants[0]".into(),
            src: vec![Src::Everyone],
            capabilities: vec![Capability {
                role: Some(Role::Admin),
                ..Capability::default()
            }],
        });
        state.config = Arc::new(config);
    }
    for path in addresses() {
        for (caller, role) in [(dora(), Role::Admin), (carol(), Role::User)] {
            let page = house.ask(&dev(true, caller), role, &path).await;
            for warning in warnings {
                assert!(text(&page).contains(warning), "{warning} on {path}");
            }
            let reason = text(&page).contains("the reason");
            assert_eq!(reason, role == Role::Admin, "{path}");
            sound(text(&page));
        }
    }
}

#[tokio::test]
async fn the_key_is_mentioned_seven_days_before_and_after() {
    let house = House::empty();
    let day = 86_400_000;
    for (expiry, says) in [
        (NOW.0 + 8 * day, None),
        (NOW.0 + 7 * day, Some("expires in 7 days")),
        (NOW.0 + day, Some("expires in 1 day.")),
        (NOW.0 + day - 1, Some("expires in less than a day")),
        (NOW.0 - day, Some("has expired")),
    ] {
        house.state.lock().key_expiry = Some(Timestamp(expiry));
        let page = house.ask(&dora(), Role::Admin, "/ui/").await;
        let shown = text(&page).contains("The node's key");
        assert_eq!(shown, says.is_some());
        assert!(
            says.is_none_or(|says| text(&page).contains(says)),
            "{says:?}"
        );
    }
}

/// Admins are told what else is wrong with the node, and may ask for a new login; others neither see nor may.
#[tokio::test]
async fn admins_log_the_node_in_again() {
    let house = House::empty();
    let concern = ("the name <ai> was taken".to_owned(), "rename it".to_owned());
    {
        let mut state = house.state.lock();
        state.key_expiry = Some(Timestamp(NOW.0 + 1));
        state.node_concerns = vec![concern];
    }
    let said = "<strong>The name &lt;ai&gt; was taken. </strong>Rename it.";
    let button = "href=\"/ui/node/login\"";
    let page = house.ask(&dora(), Role::Admin, "/ui/").await;
    assert!(text(&page).contains(said), "{}", text(&page));
    assert!(text(&page).contains(button));
    let page = house.ask(&dora(), Role::User, "/ui/").await;
    assert!(!text(&page).contains("was taken") && !text(&page).contains(button));

    let path = Route::NodeLogin.path();
    let page = house.ask(&dora(), Role::Admin, &path).await;
    assert!(text(&page).contains("method=\"post\""));
    let page = house.send(&dora(), Role::User, &path, &[]).await;
    assert_eq!(page.status(), StatusCode::FORBIDDEN);
    assert!(!text(&page).contains("login.example"));
    let page = house.send(&dora(), Role::Admin, &path, &[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(text(&page).contains("href=\"https://login.example/a/&lt;b&gt;\""));
}

#[tokio::test]
async fn logs_are_filtered_and_paged() {
    let house = House::empty();
    for n in 0..61_u32 {
        let (who, model) = if n % 2 == 0 {
            (bob(), "claude-opus-4-7")
        } else {
            (dora(), "claude-haiku-4-5")
        };
        let made = Record {
            title: Some(format!("title-{n:02}")),
            model: Some(model.into()),
            ..record(
                &who,
                id(100 - u64::from(n), u128::from(n)),
                u128::from(n) + 1,
            )
        };
        house.put(made, None);
    }
    house.writer.flush().await.unwrap();
    let titles = |page: &str| -> Vec<String> {
        let links = page.split("title-").skip(1);
        links.map(|part| part[..2].to_owned()).collect()
    };
    let first = house.ask(&dora(), Role::Admin, "/ui/logs/").await;
    let first_titles = titles(text(&first));
    assert_eq!(first_titles.len(), 50);
    assert_eq!(first_titles[0], "60");
    let (_, next) = text(&first)
        .split_once("<a rel=\"next\" href=\"")
        .expect("an older page");
    let (next, _) = next.split_once('"').unwrap();
    let second = house
        .ask(&dora(), Role::Admin, &next.replace("&amp;", "&"))
        .await;
    let all: Vec<String> = first_titles
        .into_iter()
        .chain(titles(text(&second)))
        .collect();
    let expected: Vec<String> = (0..61).rev().map(|n| format!("{n:02}")).collect();
    assert_eq!(all, expected);
    assert!(!text(&second).contains("rel=\"next\""));

    for (query, count) in [
        ("user=bob@example.com", 31),
        ("user=nobody", 0),
        ("model=claude-haiku-4-5", 30),
        ("model=claude-haiku-4-5&user=bob@example.com", 0),
        ("q=title+17", 1),
        (&SessionId(18).to_string(), 61),
        (&format!("q={}", SessionId(18)), 1),
        ("after=nonsense", 61),
    ] {
        let page = house
            .ask(&dora(), Role::Admin, &format!("/ui/logs/?{query}"))
            .await;
        assert_eq!(titles(text(&page)).len(), count.min(50), "{query}");
    }
    let own = house.ask(&bob(), Role::User, "/ui/logs/?q=title").await;
    assert_eq!(titles(text(&own)).len(), 31);
}

#[tokio::test]
async fn models_are_those_that_the_caller_may_use() {
    let house = House::empty();
    let page = house.ask(&carol(), Role::User, "/ui/models/").await;
    assert!(text(&page).contains("claude-haiku-4-5") && !text(&page).contains("claude-opus"));
    assert!(text(&page).contains("$0.10"), "the price of cached input");
    let page = house.ask(&dora(), Role::Admin, "/ui/models/").await;
    assert_eq!(text(&page).matches(">unpriced<").count(), 2);
    assert!(
        text(&page).contains("everyone") && text(&page).contains("2 models have no known price")
    );
    assert_eq!(
        text(&page).matches("only as").count(),
        1,
        "the plain name goes to one provider"
    );
    assert!(text(&page).contains("backup/claude-opus-4-7"));
}

#[tokio::test]
async fn long_sessions_continue_on_a_second_page() {
    let house = House::empty();
    for n in 0..203 {
        house.put(record(&bob(), RequestId(id(50, 0).0 + n), 5), None);
    }
    house.writer.flush().await.unwrap();
    let path = format!("{}?view=requests", Route::Session(SessionId(5)).path());
    let first = house.ask(&bob(), Role::User, &path).await;
    let rows = |page: &str| page.matches("href=\"/ui/requests/").count();
    assert_eq!(rows(text(&first)), 200);
    let (_, next) = text(&first)
        .split_once("<a rel=\"next\" href=\"")
        .expect("a later page");
    let (next, _) = next.split_once('"').unwrap();
    let next = next.replace("&amp;", "&");
    let second = house.ask(&bob(), Role::User, &next).await;
    assert_eq!(rows(text(&second)), 3);

    // The conversation comes in shorter pages.
    let talk = house
        .ask(&bob(), Role::User, &Route::Session(SessionId(5)).path())
        .await;
    assert_eq!(rows(text(&talk)), 20);
    assert!(text(&talk).contains("Later requests"));
}

#[test]
fn figures_beyond_all_measure_are_shown_and_not_a_panic() {
    let most = u64::MAX;
    let mut usage = crate::record::Usage::default();
    for kind in usage.kinds_mut() {
        *kind = most;
    }
    let record = Record {
        usage,
        timings: crate::record::Timings {
            sent_us: most,
            head_us: most,
            first_byte_us: most,
            total_us: most,
        },
        cost: Cost {
            pico: most,
            state: CostState::Priced,
            ..Cost::default()
        },
        bytes: crate::record::Bytes {
            request: most,
            response: most,
        },
        ..record(&bob(), bobs_request(), BOBS.0)
    };
    let totals = view::Totals::of(&record);
    let twice = view::Totals::sum([&totals, &totals]);
    assert_eq!(twice.cost, most);
    let state = house::state();
    let frame = Frame {
        caller: &bob(),
        role: Role::User,
        state: &state,
        now: NOW,
        host: "ai",
        base: "http://ai",
    };
    let view = view::Overview {
        whose: Whose::Own,
        selection: Selection {
            period: Some(view::Period::Day),
            ..Selection::default()
        },
        before: twice,
        choices: Choices::default(),
        bars: vec![
            view::Bar {
                start: NOW,
                totals: twice,
            };
            2
        ],
        models: Vec::new(),
        people: Vec::new(),
        active: Vec::new(),
        errors: vec![record.clone()],
    };
    let overview = pages::overview::render(&frame, &view).into_string();
    assert!(overview.contains("$18,446,744"), "{overview}");
    let view = RequestPage {
        record,
        capture: None,
    };
    let request = pages::request::render(&frame, &view).into_string();
    assert!(request.contains("18,446,744,073,709,551,615"));
}

/// One tag a line, and the stylesheet and script by names that do not change with them.
fn readable(page: &str) -> String {
    let page = page.replace(assets::style_path(), "/ui/assets/style.css");
    let page = page.replace(assets::script_path(), "/ui/assets/page.js");
    let page = page.replace(
        concat!("aperture ", env!("CARGO_PKG_VERSION")),
        "aperture x.y.z",
    );
    page.replace('<', "\n<").replace("\n</", "</")
}

#[tokio::test]
async fn the_overview_looks_like_this() {
    let house = House::filled().await;
    let page = house.ask(&dora(), Role::Admin, "/ui/?period=7d").await;
    insta::assert_snapshot!("overview", readable(text(&page)));
}

#[tokio::test]
async fn a_request_looks_like_this() {
    let house = House::filled().await;
    let path = Route::Request(bobs_request()).path();
    let page = house.ask(&bob(), Role::User, &path).await;
    insta::assert_snapshot!("request", readable(text(&page)));
}
