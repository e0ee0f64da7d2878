//! What clients did wrong of late, beside what their requests say.
//!
//! Owns: the words for each kind of mistake. In: the server's list. Out: findings; what is over an hour old is a note.
//! Must not know: how a mistake was noticed.

use super::{LATELY, Outcome, Report, ago};
use crate::{
    app::App,
    record::Timestamp,
    server::{Kind, Mistake},
};

pub(super) fn look(app: &App, report: &mut Report) {
    let name = app.node.name();
    for mistake in app.mistakes.all() {
        let outcome = if Timestamp::now().0.saturating_sub(mistake.last.0) < LATELY {
            Outcome::Warning
        } else {
            Outcome::Note
        };
        let (id, what, remedy) = words(&mistake, &name, app.tls.is_some());
        let said = match &*mistake.words {
            "" => String::new(),
            words => format!(" ({words})"),
        };
        report.add(
            id,
            outcome,
            format!(
                "{} {what}{said}, {} times, last at {} ({})",
                who(&mistake),
                mistake.count,
                mistake.last,
                ago(mistake.last)
            ),
            remedy,
        );
    }
}

fn who(mistake: &Mistake) -> String {
    match (&*mistake.login, &*mistake.node_name) {
        ("", _) => "somebody whom the tailnet does not know".to_owned(),
        (login, "") => login.to_owned(),
        (login, node) => format!("{login} on {node}"),
    }
}

fn words(mistake: &Mistake, name: &str, https: bool) -> (&'static str, &'static str, String) {
    match mistake.kind {
        Kind::TlsOnHttp => (
            "client.https_on_http",
            "asked for https on the port for http",
            if https {
                format!("set the client's address to http://{name}, or to https:// without the port for http")
            } else {
                format!("set the client's address to http://{name}, or start the gateway with --tls")
            },
        ),
        Kind::HttpOnTls => (
            "client.http_on_https",
            "spoke http on the port for https",
            format!("set the client's address to http://{name} without the port for https, or to https://"),
        ),
        Kind::Untrusted => (
            "client.handshake",
            "ended the handshake on the port for https",
            "does it trust the certificate, and call by a name that is in it?".to_owned(),
        ),
        Kind::ForeignOrigin => (
            "client.origin",
            "opened a web page of another site that called the gateway, and was refused",
            "if that page may call, list its origin in gateway.cors.origins; otherwise it tried to act as that user".to_owned(),
        ),
        Kind::ForeignHost => (
            "client.host",
            "asked for a page under a name that is not the gateway's, and was refused",
            format!("open http://{name}/ui/ instead; a name in another DNS serves models only"),
        ),
        Kind::OwnKey => (
            "client.key",
            "sends a key of its own, which the gateway drops",
            "no client needs one: set it to `-` or `not-needed`, so that the real key is on no laptop (aperture connect shows how)".to_owned(),
        ),
    }
}
