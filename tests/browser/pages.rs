//! Every page for everybody: it looks right wide and narrow, light and dark, complains of nothing, and does what it offers.

use super::{
    World, axe,
    chromium::{NARROW, ONE, Tab, WIDE},
    driver::Key,
};

/// Rules of accessibility that depend on colours.
const CONTRAST: [&str; 2] = ["color-contrast", "link-in-text-block"];

/// What is wrong, of all pages together: they are mended together, too.
pub(super) type Wrong = Vec<String>;

/// What a page must be in any window and any light.
pub(super) async fn sound(tab: &Tab, name: &str, axe: &str, wrong: &mut Wrong) {
    let who = tab.who;
    // What the colours of the dark scheme can break is only contrast.
    // Users see the admin's pages, with less on them: those are looked at in one light, and not kept.
    let user = matches!(who, "bob" | "ci");
    let schemes = [("light", &[][..]), ("dark", &CONTRAST[..])];
    for (scheme, rules) in &schemes[..if user { 1 } else { 2 }] {
        tab.scheme(scheme).await;
        let findings = tab.inaccessible(axe, rules).await;
        wrong.extend(
            findings
                .iter()
                .map(|it| format!("{who} {name}, {scheme}: {it}")),
        );
        if !user {
            tab.picture(&format!("{name}-{scheme}")).await;
        }
    }
    tab.size(NARROW).await;
    let wide = tab.overflow().await;
    wrong.extend(
        wide.iter()
            .map(|it| format!("{who} {name} at 390 px: {it}")),
    );
    if !user {
        tab.picture(&format!("{name}-narrow")).await;
    }
    tab.size(WIDE).await;
    tab.scheme("light").await;
    let wide = tab.overflow().await;
    wrong.extend(wide.iter().map(|it| format!("{who} {name}: {it}")));
    let complaints = tab.complaints().await;
    wrong.extend(complaints.iter().map(|it| format!("{who} {name}: {it}")));
}

/// The navigation's addresses.
async fn navigation(tab: &Tab) -> Vec<String> {
    tab.goto("http://ai/ui/").await;
    tab.eval("[...document.querySelectorAll('header nav a')].map((it) => it.getAttribute('href'))")
        .await
}

/// An address as the name of a picture.
fn named(path: &str) -> String {
    let name = path.trim_start_matches("/ui/").trim_end_matches('/');
    let name = name.split(['?', '/']).next().unwrap();
    if name.is_empty() { "overview" } else { name }.to_owned()
}

/// The first address on the page that begins so.
async fn first(tab: &Tab, page: &str, begins: &str) -> String {
    tab.goto(page).await;
    let link =
        format!("document.querySelector('main a[href^=\"{begins}\"]')?.getAttribute('href') ?? ''");
    let found: String = tab.eval(&link).await;
    assert!(!found.is_empty(), "{} {page} leads to no {begins}", tab.who);
    found
}

#[tokio::test]
async fn pages_are_sound_and_do_what_they_offer_for_everybody() {
    let _one = ONE.lock().await;
    let world = World::start(true).await;
    let tab = world.browser("alice").await;
    the_keyboard_reaches_everything(&tab).await;
    filters_order_and_pages(&tab).await;
    tab.close().await;
    every_page_is_sound(&world).await;
    assert_eq!(world.strayed(), [""; 0]);
    world.gateway.stop().await;
}

async fn every_page_is_sound(world: &World) {
    let (axe, mut wrong) = (axe(), Wrong::new());
    let expected = [
        (
            "alice",
            vec![
                "", "logs", "tool-use", "adoption", "models", "connect", "access", "audit",
                "settings",
            ],
        ),
        (
            "bob",
            vec!["", "logs", "tool-use", "adoption", "models", "connect"],
        ),
        (
            "ci",
            vec!["", "logs", "tool-use", "adoption", "models", "connect"],
        ),
    ];
    for (who, pages) in expected {
        let tab = world.browser(who).await;
        let paths = navigation(&tab).await;
        let path = |page: &&str| {
            if page.is_empty() {
                "/ui/".to_owned()
            } else {
                format!("/ui/{page}/")
            }
        };
        assert_eq!(paths, pages.iter().map(path).collect::<Vec<_>>(), "{who}");
        let mut visits = Vec::new();
        // What admins do is looked at last: the audit trail then has something to show.
        visits.extend(paths.iter().filter(|path| !path.contains("audit")).cloned());
        let session = first(&tab, "http://ai/ui/logs/?period=90d", "/ui/sessions/").await;
        let request = first(
            &tab,
            &format!("http://ai{session}?view=requests"),
            "/ui/requests/",
        )
        .await;
        visits.extend([format!("{session}?view=requests"), session, request]);
        if who == "alice" {
            visits.push("/ui/dashboard/bob@example.com?period=90d".into());
            visits.push("/ui/access/?who=bob%40example.com&model=claude-haiku-4-5".into());
            visits.push("/ui/audit/".into());
        }
        for path in &visits {
            tab.goto(&format!("http://ai{path}")).await;
            let status: u16 = tab
                .eval("performance.getEntriesByType('navigation')[0].responseStatus")
                .await;
            assert_eq!(status, 200, "{who} {path}");
            let name = if path.contains("view=requests") {
                "requests".into()
            } else {
                named(path)
            };
            sound(&tab, &name, &axe, &mut wrong).await;
        }
        if who != "alice" {
            others_are_closed(&tab, &axe, &mut wrong).await;
        }
        tab.close().await;
    }
    nobody_has_no_pages(world, &axe, &mut wrong).await;
    assert!(
        wrong.is_empty(),
        "{} findings:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A user sees nothing of others, and is told whose pages those of admins are.
async fn others_are_closed(tab: &Tab, axe: &str, wrong: &mut Wrong) {
    for path in [
        "settings/",
        "audit/",
        "access/",
        "dashboard/alice@example.com",
    ] {
        tab.goto(&format!("http://ai/ui/{path}")).await;
        let text: String = tab.eval("document.querySelector('main').innerText").await;
        assert!(
            text.starts_with("Admins only"),
            "{} {path}: {text}",
            tab.who
        );
    }
    // The browser notes each refusal, and nothing else.
    let complaints = tab.complaints().await;
    assert!(
        complaints.iter().all(|it| it.contains("403")),
        "{complaints:?}"
    );
    for path in [
        "",
        "logs/?period=90d",
        "tool-use/?period=90d",
        "adoption/?period=90d",
    ] {
        tab.goto(&format!("http://ai/ui/{path}")).await;
        let text: String = tab.eval("document.querySelector('main').innerText").await;
        assert!(!text.contains("alice@example.com"), "{} {path}", tab.who);
    }
    sound(tab, "others", axe, wrong).await;
}

/// Who has no role is told who they are and what to ask for.
async fn nobody_has_no_pages(world: &World, axe: &str, wrong: &mut Wrong) {
    let tab = world.browser("nobody").await;
    for path in ["", "logs/", "settings/", "connect/"] {
        tab.goto(&format!("http://ai/ui/{path}")).await;
        let text: String = tab.eval("document.querySelector('main').innerText").await;
        assert!(text.starts_with("No access yet"), "{path}: {text}");
        assert!(text.contains("nobody@example.com"), "{path}: {text}");
        let complaints = tab.complaints().await;
        assert!(
            complaints.iter().all(|it| it.contains("403")),
            "{complaints:?}"
        );
    }
    sound(&tab, "refused", axe, wrong).await;
    tab.close().await;
}

async fn filters_order_and_pages(tab: &Tab) {
    for path in [
        "?period=90d",
        "logs/",
        "tool-use/?period=90d",
        "adoption/?period=90d",
        "models/?period=90d",
    ] {
        filters(tab, path).await;
    }
    for path in [
        "?period=90d",
        "tool-use/?period=90d",
        "adoption/?period=90d",
        "models/?period=90d",
    ] {
        order(tab, path).await;
    }
    let session = first(tab, "http://ai/ui/logs/?period=90d", "/ui/sessions/").await;
    order(
        tab,
        &format!("{}?view=requests", session.trim_start_matches("/ui/")),
    )
    .await;
    let sessions =
        "[...document.querySelectorAll('td.main a.name')].map((it) => it.getAttribute('href'))";
    paging(tab, "http://ai/ui/logs/", sessions, 130).await;
    searching(tab).await;
    the_audit_trail(tab).await;
    assert_eq!(tab.complaints().await, [""; 0]);
}

/// What admins did, of many days' worth: more than two pages, in any order, of one kind or by one person.
async fn the_audit_trail(tab: &Tab) {
    // Each is of somebody else, and the last one is waited for: the trail is written in its own time.
    let () = tab
        .run_async(
            "const [many, done] = arguments;
             const take = (n) => fetch(`/aperture/usage?format=csv&user=nobody-${n}@example.com`);
             const last = async () => (await (await fetch('/aperture/audit?limit=1')).json()).entries[0]?.detail ?? '';
             (async () => {
               for (let n = 0; n < many; n += 10) await Promise.all([...Array(10).keys()].map((it) => take(n + it)));
               await take('last');
               while (!(await last()).includes('nobody-last@')) {}
               done(null);
             })();",
            &[230.into()],
        )
        .await;
    let details = "[...document.querySelectorAll('tbody td.muted')].map((it) => it.textContent)";
    paging(tab, "http://ai/ui/audit/", details, 231).await;
    order(tab, "audit/").await;
    filters(tab, "audit/").await;
    // An order stays from page to page.
    tab.goto("http://ai/ui/audit/?sort=-audit.when").await;
    let leads = tab.click("a[rel=next]");
    tab.leads_on(leads).await;
    let (sorted, query): (String, String) = tab
        .eval("[document.querySelector('th[aria-sort]').ariaSort, location.search]")
        .await;
    assert_eq!(sorted, "ascending", "{query}");
}

/// Each choice of each filter is taken over at once, stands in the address, and comes off again.
async fn filters(tab: &Tab, path: &str) {
    let url = format!("http://ai/ui/{path}");
    tab.goto(&url).await;
    let fields: Vec<(String, Vec<String>)> = tab
        .eval(
            "[...document.querySelectorAll('form.filter select')].map((it) => [it.name,
               [...it.options].map((option) => option.value).filter((value) => value !== '')])",
        )
        .await;
    assert!(!fields.is_empty(), "{path}");
    for (name, values) in &fields {
        assert!(!values.is_empty(), "{path}: {name} has nothing to choose");
        for value in values.iter().take(2) {
            tab.goto(&url).await;
            let choose = "const select = document.querySelector(`form.filter select[name=${arguments[0]}]`);
                select.value = arguments[1]; select.dispatchEvent(new Event('change', { bubbles: true }));";
            let chosen = async {
                let () = tab
                    .run(choose, &[name.as_str().into(), value.as_str().into()])
                    .await;
            };
            tab.leads_on(chosen).await;
            let kept: String = tab
                .eval(&format!(
                    "new URLSearchParams(location.search).get('{name}')"
                ))
                .await;
            assert_eq!(&kept, value, "{path}: {name}");
            let shown: String = tab
                .eval(&format!(
                    "document.querySelector('form.filter select[name={name}]').value"
                ))
                .await;
            assert_eq!(&shown, value, "{path}: {name} is still chosen on the page");
        }
        if name != "period" {
            let leads = tab.click("a.clear");
            tab.leads_on(leads).await;
            let query: String = tab.eval("location.search").await;
            assert!(!query.contains(&format!("{name}=")), "{path}: {query}");
        }
    }
    // Periods keep what else is chosen.
    if tab
        .eval::<bool>("Boolean(document.querySelector('nav.periods'))")
        .await
    {
        tab.goto(&format!("{url}&user=bob%40example.com")).await;
        for nth in 0..tab
            .eval::<usize>("document.querySelectorAll('nav.periods a:not(.step)').length")
            .await
        {
            let click = format!(
                "[...document.querySelectorAll('nav.periods a:not(.step)')][{nth}].click()"
            );
            let clicked = async {
                let () = tab.run(&click, &[]).await;
            };
            tab.leads_on(clicked).await;
            // As a filter, or as the page of that person.
            let address: String = tab.eval("location.href").await;
            assert!(address.contains("bob@example.com"), "{address}");
            assert_eq!(
                tab.eval::<usize>("[...document.querySelectorAll('nav.periods a:not(.step)')].findIndex((it) => it.ariaCurrent === 'true')").await,
                nth
            );
        }
        let leads = tab.click("nav.periods a.step");
        tab.leads_on(leads).await;
        assert!(
            tab.eval::<String>("location.search")
                .await
                .contains("until=")
        );
    }
}

/// A click on a column's head orders by it, another one the other way round; the address says so.
async fn order(tab: &Tab, path: &str) {
    let url = format!("http://ai/ui/{path}");
    tab.goto(&url).await;
    let heads: Vec<String> = tab
        .eval("[...document.querySelectorAll('thead th a')].map((it) => it.getAttribute('href'))")
        .await;
    assert!(!heads.is_empty(), "{path} has nothing to order by");
    for nth in 0..heads.len() {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let click = format!("[...document.querySelectorAll('thead th a')][{nth}].click()");
            let clicked = async {
                let () = tab.run(&click, &[]).await;
            };
            tab.leads_on(clicked).await;
            let head = format!("[...document.querySelectorAll('thead th a')][{nth}].closest('th')");
            let state: String = tab.eval(&format!("{head}.ariaSort ?? 'none'")).await;
            let cells = format!(
                "(() => {{ const th = {head}, at = [...th.parentElement.children].indexOf(th);
                   // Moments are told as long ago as they are.
                   const told = (cell) => cell.querySelector('time')?.dateTime ?? cell.textContent.trim();
                   return [...th.closest('table').tBodies[0].rows].map((row) => told(row.cells[at])); }})()"
            );
            let cells: Vec<String> = tab.eval(&cells).await;
            seen.push((state, cells));
        }
        let [(one, ahead), (other, back)] = seen.as_slice() else {
            panic!("two visits");
        };
        assert!(
            one != other && one != "none" && other != "none",
            "{path} {nth}: {one}, {other}"
        );
        let reversed: Vec<String> = back.iter().rev().cloned().collect();
        assert_eq!(ahead, &reversed, "{path}, column {nth}");
        tab.goto(&url).await;
    }
}

/// Older pages go on where the newer ended, and there is a way back.
async fn paging(tab: &Tab, url: &str, listed: &str, all: usize) {
    tab.goto(url).await;
    let first: Vec<String> = tab.eval(listed).await;
    let mut seen = first.clone();
    let mut pages = 1;
    while tab
        .eval::<bool>("Boolean(document.querySelector('a[rel=next]'))")
        .await
    {
        let leads = tab.click("a[rel=next]");
        tab.leads_on(leads).await;
        let more: Vec<String> = tab.eval(listed).await;
        assert!(
            more.iter().all(|it| !seen.contains(it)),
            "a row is on two pages"
        );
        seen.extend(more);
        pages += 1;
        assert!(pages < 20, "pages without end");
    }
    assert!(
        pages > 2 && seen.len() >= all,
        "{} rows on {pages} pages",
        seen.len()
    );
    let click = "[...document.querySelectorAll('nav.paging a')].find((it) => it.textContent === 'Newest').click()";
    let clicked = async {
        let () = tab.run(click, &[]).await;
    };
    tab.leads_on(clicked).await;
    assert_eq!(tab.eval::<Vec<String>>(listed).await, first);
}

/// Text is looked for with Enter; what is not there is said so, with a way out.
async fn searching(tab: &Tab) {
    tab.goto("http://ai/ui/logs/").await;
    let title: String = tab
        .eval("document.querySelector('td.main a.name bdi').textContent.split(' ').find((it) => /^[a-zA-Z]{5,}$/.test(it)) ?? 'claude'")
        .await;
    for (text, found) in [(title.as_str(), true), ("nothing-is-called-so", false)] {
        tab.goto("http://ai/ui/logs/").await;
        tab.type_into("input[type=search]", text).await;
        let leads = tab.press(&[Key::Enter]);
        tab.leads_on(leads).await;
        let rows: usize = tab
            .eval("document.querySelectorAll('td.main a.name').length")
            .await;
        assert_eq!(rows > 0, found, "{text}: {rows}");
        let kept: String = tab
            .eval("document.querySelector('input[type=search]').value")
            .await;
        assert_eq!(kept, text);
    }
    let leads = tab.click("p.nothing a");
    tab.leads_on(leads).await;
    assert_eq!(tab.eval::<String>("location.search").await, "");
}

async fn the_keyboard_reaches_everything(tab: &Tab) {
    let session = first(
        tab,
        "http://ai/ui/logs/?client=claude-code",
        "/ui/sessions/",
    )
    .await;
    let request = first(
        tab,
        &format!("http://ai{session}?view=requests"),
        "/ui/requests/",
    )
    .await;
    for path in ["/ui/?period=90d", "/ui/models/", "/ui/settings/", &request] {
        tab.goto(&format!("http://ai{path}")).await;
        everything_is_reached(tab, path).await;
    }

    tab.goto("http://ai/ui/logs/").await;
    tab.press(&[Key::Tab]).await;
    let skip: (String, bool) = tab
        .eval("[document.activeElement.textContent, document.activeElement.getBoundingClientRect().left >= 0]")
        .await;
    assert_eq!(skip, ("Skip to the content".to_owned(), true));
    tab.press(&[Key::Enter]).await;
    tab.press(&[Key::Tab]).await;
    assert!(
        tab.eval::<bool>("Boolean(document.activeElement.closest('main'))")
            .await,
        "the skip link leads past the navigation"
    );

    tab.goto("http://ai/ui/logs/").await;
    tab.press(&[Key::Character('/')]).await;
    let field: (String, String) = tab
        .eval("[document.activeElement.name, document.activeElement.value]")
        .await;
    assert_eq!(field, ("q".to_owned(), String::new()));

    tab.goto(&format!("http://ai{session}")).await;
    let mut turns: Vec<String> = Vec::new();
    for key in ['j', 'j', 'k'] {
        tab.press(&[Key::Character(key)]).await;
        turns.push(tab.eval("document.activeElement.id").await);
    }
    assert!(
        turns[0].starts_with("req_") && turns[0] == turns[2] && turns[0] != turns[1],
        "{turns:?}"
    );
    assert_eq!(tab.complaints().await, [""; 0]);
}

/// Tab goes through all that can be used, in the order of the page, and where it is can be seen.
async fn everything_is_reached(tab: &Tab, path: &str) {
    let mark = "let n = 0;
        for (const it of document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex=\"0\"]'))
          if (it.checkVisibility() && !it.disabled && it.type !== 'hidden') it.dataset.nth = n++;
        return n;";
    let all: usize = tab.run(mark, &[]).await;
    let mut next = 0;
    for _ in 0..all + 20 {
        tab.press(&[Key::Tab]).await;
        let at: (Option<usize>, bool, String) = tab
            .eval(
                "(() => { const it = document.activeElement;
                   const shows = (e) => { const style = getComputedStyle(e);
                     return (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none'; };
                   // A field may leave it to the frame around it.
                   const seen = shows(it) || (it.tagName === 'TEXTAREA' && shows(it.parentElement));
                   return [it.dataset.nth === undefined ? null : Number(it.dataset.nth), seen, it.outerHTML.slice(0, 120)]; })()",
            )
            .await;
        let (Some(stop), seen, what) = at else {
            continue;
        };
        assert!(seen, "{path}: the focus can't be seen on {what}");
        // A field of several parts is stopped at several times.
        assert!(
            stop == next || stop + 1 == next,
            "{path}: {next} was passed over, before {what}"
        );
        next = stop + 1;
        if next == all {
            return;
        }
    }
    panic!("{path}: {next} of {all} were reached");
}
