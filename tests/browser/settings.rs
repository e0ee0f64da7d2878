//! The configuration, edited in the browser: mistakes are said while one types, what would lock the editor out is refused, a
//! change of somebody else is met and merged, and an older version comes back.

use super::{World, axe, chromium::ONE, chromium::Tab, pages::sound};
use serde_json::json;

const PAGE: &str = "http://ai/ui/settings/";

#[tokio::test]
async fn the_configuration_is_edited_in_the_browser() {
    let _one = ONE.lock().await;
    let world = World::start(false).await;
    let (axe, mut wrong) = (axe(), Vec::new());
    let file = world.gateway.config_file();
    let text = || std::fs::read_to_string(&file).unwrap();
    let first = text();
    let tab = world.browser("alice").await;

    // A mistake is said at its line, while one types; it can't be saved, and nothing is.
    tab.goto(PAGE).await;
    let secret: bool = tab
        .eval("document.querySelector('#settings-text').value.includes('upstream-key')")
        .await;
    assert!(!secret, "secrets are not on the page");
    replace(
        &tab,
        "\"anthropic_messages\": true",
        "\"anthropic_mesages\": true",
    )
    .await;
    tab.until(
        "told of the mistake",
        "/1 mistake/.test(document.querySelector('#settings-summary').textContent)",
    )
    .await;
    tab.until("marked", "document.querySelector('#settings-gutter .bad')")
        .await;
    sound(&tab, "settings-mistake", &axe, &mut wrong).await;
    tab.click("#settings-problems [data-weight=bad] a").await;
    let chosen: String = tab
        .eval("(() => { const it = document.activeElement; return it.value.slice(it.selectionStart, it.selectionEnd); })()")
        .await;
    assert!(chosen.contains("anthropic_mesages"), "{chosen}");
    review(&tab).await;
    assert!(!offers_save(&tab).await, "a mistake can't be saved");

    // Nobody can lock themself out.
    tab.goto(PAGE).await;
    let admin = "{\"role\": \"admin\"}, {\"providers\"";
    replace(&tab, admin, "{\"role\": \"user\"}, {\"providers\"").await;
    tab.until(
        "told of the lock-out",
        "[...document.querySelectorAll('#settings-problems .state')].some((it) => it.textContent === 'lock-out')",
    )
    .await;
    review(&tab).await;
    assert!(!offers_save(&tab).await, "it would lock out who saves");
    assert_eq!(text(), first, "nothing was saved so far");

    // A change is reviewed, then saved; secrets stay where they were.
    tab.goto(PAGE).await;
    replace(&tab, "Bedrock, Vertex and Gemini", "Said by alice").await;
    review(&tab).await;
    let difference: String = tab
        .eval("document.querySelector('#settings-diff').innerText")
        .await;
    assert!(difference.contains("Said by alice"), "{difference}");
    sound(&tab, "settings-review", &axe, &mut wrong).await;
    save(&tab).await;
    assert_eq!(
        text(),
        first.replace("Bedrock, Vertex and Gemini", "Said by alice")
    );

    // Somebody changes the file meanwhile: both changes are shown, and fit together.
    tab.goto(PAGE).await;
    let theirs = text().replace("\"gpt-4o-mini\"", "\"gpt-4o-mini\", \"gpt-4.1\"");
    std::fs::write(&file, &theirs).unwrap();
    replace(&tab, "Said by alice", "Said again").await;
    review(&tab).await;
    assert!(
        tab.eval::<bool>("Boolean(document.querySelector('#settings-conflict'))")
            .await
    );
    sound(&tab, "settings-conflict", &axe, &mut wrong).await;
    assert_eq!(text(), theirs, "theirs is untouched");
    let leads = tab.click("#settings-merge button");
    tab.leads_on(leads).await;
    save(&tab).await;
    let merged = theirs.replace("Said by alice", "Said again");
    assert_eq!(text(), merged);

    // An older version comes back.
    tab.goto("http://ai/ui/settings/history/").await;
    sound(&tab, "settings-history", &axe, &mut wrong).await;
    let versions: Vec<String> = tab
        .eval("[...document.querySelectorAll('#settings-history a.name')].map((it) => it.getAttribute('href'))")
        .await;
    assert!(versions.len() >= 3, "{versions:?}");
    tab.goto(&format!("http://ai{}", versions.last().unwrap()))
        .await;
    sound(&tab, "settings-version", &axe, &mut wrong).await;
    let leads = tab.click("#settings-revert");
    tab.leads_on(leads).await;
    assert_eq!(text(), first);

    for path in ["provider", "grant"] {
        tab.goto(&format!("{PAGE}{path}")).await;
        sound(&tab, &format!("settings-{path}"), &axe, &mut wrong).await;
    }
    tab.close().await;
    // The browser notes each answer that refused what was asked: 422 for a mistake, 409 for a conflict.
    wrong.retain(|it| !it.contains("status of 422") && !it.contains("status of 409"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.gateway.stop().await;
}

/// Puts one text in the place of another, as typing does.
async fn replace(tab: &Tab, from: &str, to: &str) {
    let script = "const area = document.querySelector('#settings-text'), before = area.value;
        area.value = before.replace(arguments[0], arguments[1]);
        area.dispatchEvent(new Event('input', { bubbles: true }));
        return before !== area.value;";
    let changed: bool = tab.run(script, &[json!(from), json!(to)]).await;
    assert!(changed, "{from} is not in the document");
}

async fn review(tab: &Tab) {
    let leads = tab.click("#settings-review");
    tab.leads_on(leads).await;
}

async fn offers_save(tab: &Tab) -> bool {
    tab.eval("Boolean(document.querySelector('#settings-save'))")
        .await
}

async fn save(tab: &Tab) {
    let leads = tab.click("#settings-save");
    tab.leads_on(leads).await;
    let notice: String = tab
        .eval("document.querySelector('#settings-notice')?.className ?? 'no notice'")
        .await;
    assert!(notice.contains("good"), "{notice}");
}
