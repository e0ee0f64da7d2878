//! Whose data a request may read, and reading it.
//!
//! Owns: [`Scope`], which goes into every question to the store, and [`read`]. In: a role and the login that a request names.
//! Out: a scope; a user's is always their own. Reads block on the disk, so they run on blocking threads.
//! Must not know: what is read.

use super::{Asked, problem::Problem};
use crate::{
    config::grant::Role,
    identity::Caller,
    store::{AuditAction, AuditEntry, Filter, ReadError, Store},
};
use http::StatusCode;
use std::sync::Arc;

/// Whose data may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// The stable key that everything must belong to; none = everyone's.
    user: Option<Arc<str>>,
    /// Whom it is about, in words for the audit trail; none = the caller alone.
    others: Option<String>,
}

impl Scope {
    /// What the caller's role opens.
    pub(super) fn of(asked: &Asked<'_>) -> Self {
        match asked.role {
            Role::Admin => Self {
                user: None,
                others: Some("everyone".to_owned()),
            },
            Role::User => Self {
                user: Some(Arc::clone(&asked.caller.user)),
                others: None,
            },
        }
    }

    /// The same, narrowed to the login that the request names as `user`. A user may name themself only; whoever else they
    /// name does not exist.
    pub(super) async fn narrowed(asked: &Asked<'_>) -> Result<Self, Problem> {
        let scope = Self::of(asked);
        let Some(login) = asked.values.text("user") else {
            return Ok(scope);
        };
        if asked.role != Role::Admin {
            let own = *login == *asked.caller.login;
            return if own {
                Ok(scope)
            } else {
                Err(Problem::not_found())
            };
        }
        let wanted = login.to_owned();
        let key = read(asked, move |store| store.key_of(&wanted)).await?;
        // No key is empty, so nothing belongs to a login that nobody has.
        let key: Arc<str> = key.unwrap_or_default().into();
        let own = key == asked.caller.user;
        Ok(Self {
            user: Some(key),
            others: (!own).then(|| login.to_owned()),
        })
    }

    /// The key to ask the store for.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether something of that user is in it.
    pub(super) fn holds(&self, user: &str) -> bool {
        self.user().is_none_or(|own| own == user)
    }

    /// The filter that asks for nothing else. It goes by a key that may be cut: compare what it finds with [`Scope::holds`].
    pub(super) fn filter(&self) -> Filter {
        Filter {
            user: self.user().map(str::to_owned),
            ..Filter::default()
        }
    }

    /// Notes in the audit trail that somebody took a table of other people's data with them.
    pub(super) fn exported(&self, asked: &Asked<'_>, what: &str) {
        if let Some(whose) = &self.others {
            let detail = format!("of {whose}, as csv");
            audit(asked, AuditAction::Exported, what.to_owned(), detail);
        }
    }
}

/// Notes that the caller looked at texts of somebody else; looking at one's own is nobody's business.
pub(super) fn viewed(asked: &Asked<'_>, subject: String, owner: &str, login: &str) {
    if *owner != *asked.caller.user {
        let detail = format!("of {login}");
        audit(asked, AuditAction::ViewedCapture, subject, detail);
    }
}

fn audit(asked: &Asked<'_>, action: AuditAction, subject: String, detail: String) {
    let Caller { user, login, .. } = &**asked.caller;
    asked.api.writer.audit(AuditEntry {
        at: asked.now,
        who: user.to_string(),
        login: login.to_string(),
        action,
        subject,
        detail,
    });
}

/// Asks the store.
pub(super) async fn read<T: Send + 'static>(
    asked: &Asked<'_>,
    question: impl FnOnce(&Store) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Problem> {
    asked.api.store.ask(question).await.map_err(|error| {
        tracing::warn!(%error, "the API could not read from the store");
        let detail = "the records can't be read at the moment; requests to models are not affected";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })
}
