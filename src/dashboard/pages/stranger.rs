//! What somebody sees whom no grant gives a role: who they are here, and what to ask for.

use crate::{dashboard::format, identity::Caller};
use maud::{Markup, html};

/// The page's content.
pub(in crate::dashboard) fn render(caller: &Caller) -> Markup {
    html! {
        h1 { "No access yet" }
        p.prose {
            "The tailnet says that you are " strong { bdi { (format::clip(&caller.login, 80)) } }
            @if !caller.node_name.is_empty() { ", on " bdi { (format::clip(&caller.node_name, 60)) } }
            ". No grant of this gateway gives you a role, so it shows you nothing and forwards nothing."
        }
        p.prose {
            "Ask an admin of this gateway for a grant: the role " code { "user" } " opens these pages, and "
            code { "models" } " says what you may use. Reload when it is there."
        }
    }
}
