//! The configuration, edited in the browser: mistakes are said while one types, what would lock the editor out is refused, a
//! change of somebody else is met and merged, and an older version comes back.

use super::{World, axe, chromium::ONE, chromium::Tab, driver::Key, pages::Wrong, pages::sound};
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

    a_mistake_is_said_at_its_line(&tab, &axe, &mut wrong).await;
    the_keys_of_the_text(&tab).await;
    assert_eq!(text(), first, "nothing was saved so far");

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

/// A mistake is said at its line, while one types; it can't be saved.
async fn a_mistake_is_said_at_its_line(tab: &Tab, axe: &str, wrong: &mut Wrong) {
    tab.goto(PAGE).await;
    let secret: bool = tab
        .eval("document.querySelector('#settings-text').value.includes('upstream-key')")
        .await;
    assert!(!secret, "secrets are not on the page");
    replace(
        tab,
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
    let (marked, line): (String, usize) = tab
        .eval(
            "[document.querySelector('#settings-gutter .bad').textContent,
              document.querySelector('#settings-text').value.split('anthropic_mesages')[0].split('\\n').length]",
        )
        .await;
    assert_eq!(marked, line.to_string(), "it is at its line");
    sound(tab, "settings-mistake", axe, wrong).await;
    tab.click("#settings-problems [data-weight=bad] a").await;
    let chosen: String = tab
        .eval("(() => { const it = document.activeElement; return it.value.slice(it.selectionStart, it.selectionEnd); })()")
        .await;
    assert!(chosen.contains("anthropic_mesages"), "{chosen}");
    review(tab).await;
    assert!(!offers_save(tab).await, "a mistake can't be saved");
}

/// Tab indents while one types, and goes on through the page otherwise; Enter keeps the indentation; all of it can be undone;
/// every line has its number; Ctrl+Enter reviews.
async fn the_keys_of_the_text(tab: &Tab) {
    tab.goto(PAGE).await;
    let before: String = value(tab).await;
    let () = tab
        .run("document.querySelector('#settings-text').focus();", &[])
        .await;
    tab.press(&[Key::Tab]).await;
    assert!(!in_text(tab).await, "who only passes is not held");
    assert_eq!(value(tab).await, before);

    // A line below an open brace is one step further in.
    let place = "const area = document.querySelector('#settings-text'), at = area.value.indexOf('{', area.value.indexOf('\"providers\"')) + 1;
        area.focus(); area.setSelectionRange(at, at); return /^([ \\t]+)\\S/m.exec(area.value)[1];";
    let step: String = tab.run(place, &[]).await;
    tab.press(&[Key::Enter]).await;
    typed(tab, "//").await;
    assert_eq!(line(tab).await, format!("{step}{step}//"));
    tab.press(&[Key::Tab]).await;
    typed(tab, "by keys").await;
    let commented = format!("{step}{step}//{step}by keys");
    assert_eq!(line(tab).await, commented);
    tab.press(&[Key::Enter]).await;
    typed(tab, "//").await;
    assert_eq!(
        line(tab).await,
        format!("{step}{step}//"),
        "as the line above"
    );
    let numbers: Vec<usize> = tab
        .eval("[...document.querySelectorAll('#settings-gutter span')].map((it) => Number(it.textContent))")
        .await;
    let lines = value(tab).await.split('\n').count();
    assert_eq!(lines, before.split('\n').count() + 2);
    assert_eq!(numbers, (1..=lines).collect::<Vec<_>>());

    // Lines that are chosen move together, out and in again.
    let both = "const area = document.querySelector('#settings-text'), from = area.value.indexOf('//' + arguments[0] + 'by keys');
        area.setSelectionRange(from, area.selectionEnd);";
    let () = tab.run(both, &[json!(step)]).await;
    tab.press(&[Key::Shift, Key::Tab]).await;
    let typed_in = value(tab).await;
    let out = format!("\n{step}//{step}by keys\n{step}//\n");
    assert!(typed_in.contains(&out), "{typed_in}");
    tab.press(&[Key::Tab]).await;
    let typed_in = value(tab).await;
    assert!(
        typed_in.contains(&format!("\n{commented}\n{step}{step}//\n")),
        "{typed_in}"
    );
    assert!(in_text(tab).await);
    tab.press(&[Key::Control, Key::Character('z')]).await;
    assert!(value(tab).await.contains(&out), "what a key did is undone");

    // Esc lets go of the text.
    tab.press(&[Key::Escape]).await;
    tab.press(&[Key::Tab]).await;
    let next: String = tab.eval("document.activeElement.id").await;
    assert_eq!(next, "settings-review");
    let () = tab
        .run("document.querySelector('#settings-text').focus();", &[])
        .await;
    let leads = tab.press(&[Key::Control, Key::Enter]);
    tab.leads_on(leads).await;
    assert!(offers_save(tab).await);
    let difference: String = tab
        .eval("document.querySelector('#settings-diff').innerText")
        .await;
    assert!(difference.contains("by keys"), "{difference}");
}

async fn value(tab: &Tab) -> String {
    tab.eval("document.querySelector('#settings-text').value")
        .await
}

async fn in_text(tab: &Tab) -> bool {
    tab.eval("document.activeElement.id === 'settings-text'")
        .await
}

/// The line that is written in, up to where one writes.
async fn line(tab: &Tab) -> String {
    tab.eval(
        "(() => { const it = document.activeElement; return it.value.slice(0, it.selectionStart).split('\\n').pop(); })()",
    )
    .await
}

async fn typed(tab: &Tab, text: &str) {
    for character in text.chars() {
        tab.press(&[Key::Character(character)]).await;
    }
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
