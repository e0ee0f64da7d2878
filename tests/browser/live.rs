//! Pages that move by themselves while a request runs, and what pages let do: try a model, copy a text.

use super::{World, chromium::ONE, driver::Key};
use crate::support::{http, message};
use ::http::Method;
use http_body_util::BodyExt as _;
use provider::{Gate, Matcher, Script};

/// A stream of so many writes that each makes a figure grow.
fn held(world: &World) -> Gate {
    let gate = Gate::new();
    let text = "word ".repeat(200);
    let script = Script {
        chunks: Some(40),
        ..Script::text(text)
    };
    world
        .provider
        .script(Matcher::body("\"stream\":true"), script.gated(&gate));
    gate
}

#[tokio::test]
async fn streams_grow_while_one_looks_and_pages_do_what_they_offer() {
    let _one = ONE.lock().await;
    let world = World::start(false).await;
    a_stream_grows(&world).await;
    a_trial_and_a_copy(&world).await;
    assert_eq!(world.strayed(), [""; 0]);
    world.gateway.stop().await;
}

async fn a_stream_grows(world: &World) {
    let gate = held(world);
    let tab = world.browser("bob").await;
    tab.goto("http://ai/ui/").await;
    let () = tab.run("window.sameVisit = true;", &[]).await;
    tab.until(
        "told that it is live",
        "document.querySelector('[data-live-note]').textContent === 'live'",
    )
    .await;

    let url = format!("{}/v1/messages", world.door("bob").await);
    let body = message("claude-haiku-4-5", "count with me", true);
    let json = [("content-type", "application/json")];
    gate.release(6);
    let streaming = tokio::spawn(async move {
        let rsp = http::open(Method::POST, &url, &json, body).await;
        rsp.into_body().collect().await.unwrap().to_bytes()
    });
    // The overview learns of the session without a reload.
    let row = "document.querySelector('section.live tbody tr')";
    tab.until(
        "shown as active",
        &format!("{row}?.textContent.includes('active')"),
    )
    .await;
    assert!(tab.eval::<bool>("window.sameVisit").await);

    let leads = tab.click("section.live tbody a.name");
    tab.leads_on(leads).await;
    let () = tab.run("window.sameVisit = true;", &[]).await;
    tab.until("active", "document.querySelector('.facts .state.live')")
        .await;
    let output = "[...document.querySelectorAll('.facts dt')].find((it) => it.textContent === 'Output').nextElementSibling.textContent";
    // Providers state figures at the end; until then what has passed is counted.
    let so_far = format!("Number(/about (\\d+) more so far/.exec({output})?.[1] ?? 0)");
    let mut last: u64 = 0;
    for _ in 0..2 {
        gate.release(6);
        tab.until("more tokens", &format!("{so_far} > {last}"))
            .await;
        last = tab.eval(&so_far).await;
    }
    gate.open();
    let bytes = streaming.await.unwrap();
    assert!(bytes.ends_with(b"\n\n"), "the client has all of it");
    tab.until("over", "!document.querySelector('.facts .state.live')")
        .await;
    let whole: u64 = tab.eval(&format!("parseInt({output})")).await;
    assert!(whole > last, "{whole} after {last}");
    assert!(
        tab.eval::<bool>("window.sameVisit").await,
        "without a reload"
    );
    let record = world.gateway.finished(1).await.remove(0);
    assert_eq!(
        record.usage.output, whole,
        "the page ended with what is recorded"
    );
    assert_eq!(tab.complaints().await, [""; 0]);
    tab.close().await;
}

async fn a_trial_and_a_copy(world: &World) {
    let busy = Script {
        status: Some(529),
        ..Script::default()
    };
    world
        .provider
        .script(Matcher::model("claude-opus-4-5"), busy);
    world
        .provider
        .script(Matcher::any(), Script::text("hello <b>there</b>"));
    let tab = world.browser("alice").await;
    tab.goto("http://ai/ui/connect/").await;
    let models: Vec<String> = tab
        .eval("[...document.querySelectorAll('form.trial option')].map((it) => it.textContent.trim())")
        .await;
    assert!(models.len() >= 9, "{models:?}");
    for model in &models {
        let choose = "const select = document.querySelector('form.trial select');
            select.value = [...select.options].find((it) => it.textContent.trim() === arguments[0]).value;
            document.querySelector('form.trial output').textContent = '';";
        let () = tab.run(choose, &[model.as_str().into()]).await;
        tab.click("form.trial button").await;
        tab.until(
            "answered",
            "document.querySelector('form.trial output pre')",
        )
        .await;
        let said: String = tab
            .eval("document.querySelector('form.trial output').textContent")
            .await;
        if model == "claude-opus-4-5" {
            assert!(said.starts_with("Refused: 529 in "), "{model}: {said}");
        } else {
            assert!(said.starts_with("It works: 200 in "), "{model}: {said}");
            assert!(said.ends_with("hello <b>there</b>"), "{model}: {said}");
        }
    }
    let records = world.gateway.finished(1 + models.len()).await;
    for record in &records[1..] {
        assert_eq!(record.who.login, "alice@example.com");
    }
    // The link leads to the request that was made.
    let leads = tab.click("form.trial output a");
    tab.leads_on(leads).await;
    let address: String = tab.eval("location.pathname").await;
    let last = records.last().unwrap();
    assert_eq!(address, format!("/ui/requests/{}", last.id));

    // A plain-http name has no clipboard of its own: what was copied comes out where it is pasted.
    tab.goto("http://ai/ui/connect/").await;
    tab.click("[data-copy=base-url]").await;
    tab.until(
        "copied",
        "document.querySelector('[data-copy=base-url]').textContent === 'Copied'",
    )
    .await;
    tab.goto("http://ai/ui/logs/").await;
    tab.click("input[type=search]").await;
    tab.press(&[Key::Control, Key::Character('v')]).await;
    let pasted: String = tab
        .eval("document.querySelector('input[type=search]').value")
        .await;
    assert_eq!(pasted, "http://ai");
    // Chromium itself notes the refusal that was asked for.
    let complaints = tab.complaints().await;
    assert!(
        complaints.iter().all(|it| it.contains("529")),
        "{complaints:?}"
    );
    tab.close().await;
}
