//! `/ui/node/login`: an admin asks for a new login of the gateway's own node, and is told where to go.
//!
//! In: a form that `receive` has taken. Out: a page with the address, or the reason why there is none.

use crate::dashboard::{OwnNode, form::TOKEN, format, layout::Frame, route::Route, settings::Done};
use http::StatusCode;
use maud::{Markup, html};

/// What the button does, and the button.
pub(in crate::dashboard) fn form(token: &str) -> Markup {
    html! {
        h1 { "Log in again" }
        p.prose {
            "This asks the tailnet's control server for a new login of the gateway's node. An auth key that is still good is enough; "
            "otherwise you get an address, where the node's owner logs in. Requests go on meanwhile: until then the old key "
            "stays in force."
        }
        form.bar method="post" action=(Route::NodeLogin.path()) {
            input type="hidden" name=(TOKEN) value=(token);
            button.primary type="submit" { "Log in again" }
        }
    }
}

/// Asks the node, and says what came of it.
pub(in crate::dashboard) async fn take(node: &OwnNode, frame: &Frame<'_>) -> Done {
    tracing::info!(login = %frame.caller.login, "an admin asks for a new login of the node");
    let (status, body) = match (node.log_in)().await {
        Ok(Some(address)) => (
            StatusCode::OK,
            html! {
                p.prose {
                    "Open this address and log in as the owner of the gateway's node: "
                    // Only what a browser opens as a page: the address comes from the control server.
                    @if address.starts_with("https://") || address.starts_with("http://") {
                        a href=(address) rel="noreferrer" { (format::clip(&address, 300)) }
                    } @else {
                        code { (format::clip(&address, 300)) }
                    }
                }
                p.prose { "Until then the old key stays in force. The address is in the log, too." }
            },
        ),
        Ok(None) => (
            StatusCode::OK,
            html! { p.prose { "The node has logged in again with its auth key: nothing else is needed." } },
        ),
        Err(error) => (
            StatusCode::BAD_GATEWAY,
            html! { p.prose { "The control server gave no address: " (format::clip(&error, 300)) } },
        ),
    };
    let page = html! {
        h1 { "Log in again" }
        (body)
        p.prose { a href=(Route::Overview.path()) { "To the overview" } }
    };
    Done::Page(status, "Log in again", page)
}
