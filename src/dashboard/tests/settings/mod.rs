//! The settings: what the editor says (`edit`), what holds for all of its forms (`guard`), and the two that make an edit (`forms`).

mod edit;
mod forms;
mod guard;

use super::{
    house::{DOCUMENT, bob, caller, dora, encoded},
    looks::sound,
    *,
};
use crate::config::{PLACEHOLDER, grant::Src, redact};
use http::header::{CONTENT_TYPE, LOCATION, ORIGIN};
use http_body_util::Full;

const SETTINGS: &str = "/ui/settings/";

/// The value of a hidden field, or the text of a field of several lines, as a browser would send it.
fn field(page: &str, name: &str) -> String {
    let unescape = |text: &str| {
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&amp;", "&")
    };
    if let Some((_, after)) = page.split_once(&format!("name=\"{name}\" value=\"")) {
        return unescape(after.split_once('"').unwrap().0);
    }
    let areas = page.split("<textarea ").skip(1);
    let mut named = areas.filter(|area| {
        area.split('>')
            .next()
            .unwrap()
            .contains(&format!("name=\"{name}\""))
    });
    let area = named
        .next()
        .unwrap_or_else(|| panic!("no field {name} in {page}"));
    let (_, text) = area.split_once('>').unwrap();
    let text = text.split_once("</textarea>").unwrap().0;
    // The first line break belongs to the markup.
    unescape(text.strip_prefix('\n').unwrap_or(text))
}

/// The editor as Dora opens it: its text, what that was made from, and its version.
async fn opened(house: &House) -> (String, String, String) {
    let page = house.ask(&dora(), Role::Admin, SETTINGS).await;
    assert_eq!(page.status(), StatusCode::OK);
    let page = text(&page);
    (
        field(page, "text"),
        field(page, "base"),
        field(page, "etag"),
    )
}

async fn sent(
    house: &House,
    action: &str,
    (draft, base, etag): (&str, &str, &str),
) -> Response<Bytes> {
    let fields = [
        ("do", action),
        ("text", draft),
        ("base", base),
        ("etag", etag),
    ];
    let rsp = house.send(&dora(), Role::Admin, SETTINGS, &fields).await;
    if rsp.status() != StatusCode::SEE_OTHER {
        sound(text(&rsp));
    }
    assert!(!text(&rsp).contains("never-shown-key"));
    rsp
}

/// Where a save leads to.
fn seen(rsp: &Response<Bytes>) -> String {
    assert_eq!(rsp.status(), StatusCode::SEE_OTHER, "{}", text(rsp));
    rsp.headers()[LOCATION].to_str().unwrap().to_owned()
}
