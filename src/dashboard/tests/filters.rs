//! What an address narrows: each page by what its figures can be told apart by, and by nothing else.

use super::{
    house::{bob, carol, dora, id, record},
    *,
};
use crate::{
    record::{Client, Record, ToolCall},
    store::{AuditAction, AuditEntry},
};

/// Bob calls two tools of one model, Dora one of another, through different clients and providers.
async fn busy() -> House {
    let house = House::empty();
    let calls = |names: &[&str]| -> Vec<ToolCall> {
        let call = |name: &&str| ToolCall {
            name: (*name).to_owned(),
            ..ToolCall::default()
        };
        names.iter().map(call).collect()
    };
    let bobs = Record {
        tools: calls(&["Bash", "Bash", "mcp__github__create_issue"]),
        title: Some("bobs-title".into()),
        ..record(&bob(), id(5, 1), 0xb0b)
    };
    let doras = Record {
        tools: calls(&["Bash", "mcp__jira__find"]),
        title: Some("doras-title".into()),
        client: Client {
            name: "codex".into(),
            version: "1".into(),
        },
        provider: Some("backup".into()),
        model: Some("claude-opus-4-7".into()),
        ..record(&dora(), id(4, 2), 0xd0)
    };
    house.put(bobs, None);
    house.put(doras, None);
    house.writer.flush().await.unwrap();
    house
}

/// The page, without its head and its filter.
async fn main_of(house: &House, caller: &Arc<Caller>, role: Role, path: &str) -> String {
    let rsp = house.ask(caller, role, path).await;
    assert_eq!(rsp.status(), StatusCode::OK, "{path}");
    looks::sound(text(&rsp));
    let (_, main) = text(&rsp).split_once("<main").unwrap();
    match main.split_once("</form>") {
        Some((_, rest)) => rest.to_owned(),
        None => main.to_owned(),
    }
}

#[tokio::test]
async fn tool_use_is_narrowed_by_tool_server_model_provider_and_client() {
    let house = busy().await;
    let (github, jira) = ("mcp__github__create_issue", "mcp__jira__find");
    for (query, total, has, hasnt) in [
        ("", "5 calls, 0 errors", vec!["Bash", github, jira], vec![]),
        (
            "tool=Bash",
            "3 calls, 0 errors",
            vec!["Bash", "bobs-title", "doras-title"],
            vec![github, jira],
        ),
        (
            "server=github",
            "1 call, 0 errors",
            vec![github, "bobs-title"],
            vec!["Bash", jira, "doras-title"],
        ),
        (
            "model=claude-opus-4-7",
            "2 calls, 0 errors",
            vec!["Bash", jira, "doras-title"],
            vec![github, "bobs-title"],
        ),
        (
            "provider=anthropic&tool=Bash",
            "2 calls, 0 errors",
            vec!["Bash", "bobs-title"],
            vec![github, "doras-title"],
        ),
        (
            "client=codex",
            "2 calls, 0 errors",
            vec![jira],
            vec![github, "bobs-title"],
        ),
        (
            "user=bob%40example.com",
            "3 calls, 0 errors",
            vec!["Bash", github],
            vec![jira, "doras-title"],
        ),
        (
            "tool=Bash&model=nothing",
            "No call in this period is as the filter says",
            vec!["No recent session has calls"],
            vec!["bobs-title"],
        ),
    ] {
        let path = format!("/ui/tool-use/?{query}");
        let page = main_of(&house, &dora(), Role::Admin, &path).await;
        assert!(page.contains(total), "{query}: {total} in {page}");
        for word in has {
            assert!(page.contains(word), "{query}: {word} in {page}");
        }
        for word in hasnt {
            assert!(!page.contains(word), "{query}: no {word} in {page}");
        }
    }
    // What there is to choose is what the caller has.
    let rsp = house.ask(&bob(), Role::User, "/ui/tool-use/").await;
    let form = text(&rsp).split_once("</form>").unwrap().0;
    assert!(form.contains(github) && form.contains(">github<"));
    assert!(!form.contains("jira") && !form.contains("codex") && !form.contains("name=\"user\""));
    let page = main_of(&house, &bob(), Role::User, "/ui/tool-use/?tool=Bash").await;
    assert!(page.contains("2 calls, 0 errors"), "{page}");
    // A tool's name leads to it alone, and keeps what else is chosen.
    let path = "/ui/tool-use/?period=30d&client=codex";
    let page = main_of(&house, &dora(), Role::Admin, path).await;
    let link = "/ui/tool-use/?period=30d&amp;client=codex&amp;tool=Bash";
    assert!(page.contains(link), "{page}");
}

#[tokio::test]
async fn models_are_narrowed_by_name_and_provider_and_their_figures_by_who_asked() {
    let house = busy().await;
    for (query, has, hasnt) in [
        (
            "",
            vec!["claude-haiku-4-5", "backup", "everyone's requests"],
            vec!["as the filter says"],
        ),
        (
            "provider=backup",
            vec!["claude-opus-4-7", ">backup<"],
            vec!["claude-haiku-4-5", ">anthropic<"],
        ),
        ("q=HAIKU", vec!["claude-haiku-4-5"], vec!["claude-opus-4-7"]),
        (
            "user=bob%40example.com",
            vec![
                "requests of <bdi>bob@example.com",
                ">anthropic<",
                "all that are configured",
                "claude-opus-4-7",
            ],
            vec!["<td class=\"main\"><bdi>backup<"],
        ),
        (
            "user=carol%40example.com",
            vec!["No request that reached a provider in this period is as"],
            vec![],
        ),
        (
            "model=nothing",
            vec!["No model is as the filter says"],
            vec!["claude-opus-4-7"],
        ),
        (
            "until=2026-11-20",
            vec!["No request reached a provider in this period"],
            vec![],
        ),
    ] {
        let path = format!("/ui/models/?{query}");
        let rsp = house.ask(&dora(), Role::Admin, &path).await;
        let whole = text(&rsp);
        let page = main_of(&house, &dora(), Role::Admin, &path).await;
        for word in has {
            assert!(whole.contains(word), "{query}: {word} in {whole}");
        }
        for word in hasnt {
            assert!(!page.contains(word), "{query}: no {word} in {page}");
        }
    }
    // A user's figures are of their own requests, and nobody else can be named.
    let page = main_of(&house, &bob(), Role::User, "/ui/models/").await;
    assert!(
        page.contains("your requests") && !page.contains("backup"),
        "{page}"
    );
    for path in ["/ui/models/", "/ui/tool-use/"] {
        let theirs = format!("{path}?user=dora%40example.com");
        let rsp = house.ask(&bob(), Role::User, &theirs).await;
        assert_eq!(rsp.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn the_audit_trail_is_narrowed_ordered_and_paged() {
    let house = House::empty();
    for n in 0..230_u64 {
        let (who, login, action) = match n % 3 {
            0 => ("user:4", "dora@example.com", AuditAction::ViewedCapture),
            1 => ("user:9", "erin@example.com", AuditAction::ConfigChanged),
            _ => ("host", "", AuditAction::Exported),
        };
        house.writer.audit(AuditEntry {
            at: Timestamp(NOW.0 - (230 - n) * 3_600_000),
            who: who.into(),
            login: login.into(),
            action,
            subject: format!("subject-{n:03}"),
            detail: format!("Detail of {login}"),
        });
    }
    house.writer.flush().await.unwrap();
    let subjects = |page: &str| -> Vec<String> {
        let rows = page.split("<td class=\"opt id\"><bdi>").skip(1);
        rows.map(|row| row[..11].to_owned()).collect()
    };
    // Page by page.
    let (mut path, mut seen) = ("/ui/audit/".to_owned(), Vec::new());
    let mut pages = 0;
    loop {
        let page = main_of(&house, &dora(), Role::Admin, &path).await;
        seen.extend(subjects(&page));
        pages += 1;
        let Some((_, next)) = page.split_once("<a rel=\"next\" href=\"") else {
            break;
        };
        path = next.split_once('"').unwrap().0.replace("&amp;", "&");
    }
    let all: Vec<String> = (0..230).rev().map(|n| format!("subject-{n:03}")).collect();
    assert_eq!((pages, seen), (3, all));

    for (query, count, first) in [
        ("user=host", 76, "subject-227"),
        ("user=erin%40example.com", 77, "subject-229"),
        ("action=viewed_capture", 77, "subject-228"),
        ("action=viewed_capture&user=host", 0, ""),
        ("action=nonsense", 100, "subject-229"),
        ("q=SUBJECT-01", 10, "subject-019"),
        ("q=detail+of+erin", 77, "subject-229"),
        // Hours 0 to 23 before now: the day's own hours, and no others.
        ("period=24h&action=exported", 7, "subject-227"),
        ("until=2026-11-20&user=host", 55, "subject-164"),
        ("sort=audit.when", 100, "subject-229"),
        ("sort=-audit.when", 100, "subject-130"),
        ("sort=audit.subject", 100, "subject-130"),
        ("sort=audit.who", 100, "subject-228"),
        ("q=nothing-of-this", 0, ""),
    ] {
        let path = format!("/ui/audit/?{query}");
        let page = main_of(&house, &dora(), Role::Admin, &path).await;
        let found = subjects(&page);
        assert_eq!(found.len(), count, "{query}");
        assert_eq!(found.first().map_or("", String::as_str), first, "{query}");
        assert_eq!(page.contains("No entry is as the filter says"), count == 0);
    }
}

#[tokio::test]
async fn one_persons_overview_leads_to_anothers() {
    let house = busy().await;
    for path in [
        "/ui/?user=bob%40example.com",
        "/ui/dashboard/bob@example.com",
    ] {
        let rsp = house.ask(&dora(), Role::Admin, path).await;
        let (_, form) = text(&rsp).split_once("<form class=\"filter\"").unwrap();
        let form = form.split_once("</form>").unwrap().0;
        assert!(form.contains("action=\"/ui/\""), "{form}");
        assert!(
            form.contains("<option value=\"bob@example.com\" selected>"),
            "{form}"
        );
        assert!(form.contains("<a class=\"clear\" href=\"/ui/\">"), "{form}");
        assert!(text(&rsp).contains("data-live=\"/ui/live?user=bob@example.com\""));
        assert!(text(&rsp).contains("bobs-title") && !text(&rsp).contains("doras-title"));
    }
    // Active sessions are those that the filter names, on the page and in its events.
    for (query, has, hasnt) in [
        ("client=codex", "doras-title", "bobs-title"),
        ("model=claude-haiku-4-5", "bobs-title", "doras-title"),
    ] {
        for path in [Route::Overview, Route::Live] {
            let path = format!("{}?{query}", path.path());
            let rsp = house.ask(&dora(), Role::Admin, &path).await;
            assert!(text(&rsp).contains(has), "{path}");
            assert!(!text(&rsp).contains(hasnt), "{path}");
        }
    }
    let rsp = house.ask(&carol(), Role::User, "/ui/?client=codex").await;
    assert!(!text(&rsp).contains("doras-title"));
}
