//! `aperture erase`: what is kept of a person goes, and the sums stay.
//!
//! Owns: whom a name means, what is shown before, and what is said after. In: [`Options`], the store. Out: a [`Report`]. It
//! serves the command both ways: inside a running gateway, which holds the files, and without one.
//! Must not know: how things are kept, HTTP.

use crate::{
    record::Timestamp,
    store::{AuditAction, AuditEntry, Erased, Personal, ReadError, Store, WriteError, Writer},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// A login, or a stable key.
    pub user: String,
    /// Whether to erase; otherwise what would go is only counted.
    pub apply: bool,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The stable key of the person.
    pub user: String,
    /// Logins under which they were seen.
    pub logins: Vec<String>,
    /// What was there.
    pub found: Personal,
    /// What was done; none = it was only counted.
    pub erased: Option<Erased>,
}

/// Why nothing was erased, or not all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A login that several people had, one after the other.
    #[error("{login} was the login of several: name the one whom you mean, --user {}", .keys.join(" or --user "))]
    Several {
        /// The login.
        login: String,
        /// Their stable keys.
        keys: Vec<String>,
    },
    /// Records can't be read.
    #[error("reading records: {0}")]
    Read(String),
    /// The store stopped before the end.
    #[error("{0}; what was erased so far stays erased, and the same command does the rest")]
    Write(#[from] WriteError),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Read(error.to_string())
    }
}

impl Report {
    /// Whether anything was there.
    pub fn is_empty(&self) -> bool {
        self.found == Personal::default()
    }
}

/// Erases a person, or says what that would take.
pub async fn run(options: Options, store: &Store, writer: &Writer) -> Result<Report, Error> {
    // Requests that just ended belong to the picture.
    writer.flush().await?;
    let (looked, name) = (store.clone(), options.user);
    let look = move || look(&looked, name);
    let (user, logins, found) = tokio::task::spawn_blocking(look)
        .await
        .map_err(|error| Error::Read(error.to_string()))??;
    let erased = if options.apply {
        let by = AuditEntry {
            at: Timestamp::now(),
            who: "host".to_owned(),
            login: String::new(),
            action: AuditAction::Erased,
            subject: user.clone(),
            detail: String::new(),
        };
        Some(writer.erase_user(&user, &logins, by).await?)
    } else {
        None
    };
    Ok(Report {
        user,
        logins,
        found,
        erased,
    })
}

/// Whom a name means, and what is kept of them. A name that nobody has may still be in audit entries.
fn look(store: &Store, name: String) -> Result<(String, Vec<String>, Personal), Error> {
    let mut users = store.users_called(&name)?;
    let user = match users.len() {
        0 => name.clone(),
        1 => users.remove(0).user,
        _ => {
            return Err(Error::Several {
                login: name,
                keys: users.into_iter().map(|user| user.user).collect(),
            });
        }
    };
    let mut logins = store.logins(&user)?;
    if user == name && logins.is_empty() {
        logins.push(name);
    }
    let found = store.personal(&user, &logins)?;
    Ok((user, logins, found))
}

/// A table for people, and what to do next.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.user, self.logins.join(", "))?;
        let found = &self.found;
        for (count, what) in [
            (
                found.records,
                "requests: only their figures stay, under nobody's name",
            ),
            (found.captures, "of them with bodies: removed"),
            (found.sessions, "sessions: removed"),
            (
                found.owned,
                "objects stored at providers: nobody can reach them through the gateway any more",
            ),
            (
                found.audit,
                "audit entries and saved configurations: the name in them is taken out",
            ),
        ] {
            writeln!(f, "{count:>10}  {what}")?;
        }
        match &self.erased {
            None if self.is_empty() => writeln!(
                f,
                "Nothing is kept of anybody by this name. A login must be written as it was recorded."
            ),
            None => writeln!(
                f,
                "Nothing was erased: add --yes for that. It can't be undone."
            ),
            Some(erased) => {
                writeln!(
                    f,
                    "Erased: {} requests, {} of them with bodies. Both files are written anew, so nothing of that is left in them.",
                    erased.records, erased.captures
                )?;
                if erased.in_flight > 0 {
                    writeln!(
                        f,
                        "{} requests are under way and were left alone: give the same command again when they have ended.",
                        erased.in_flight
                    )?;
                }
                writeln!(f, "Backups that were made before still hold everything.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_said_before_and_after() {
        let mut report = Report {
            user: "user:1".into(),
            logins: vec!["alice@example.com".into()],
            found: Personal {
                records: 12,
                captures: 10,
                sessions: 3,
                owned: 1,
                audit: 2,
                in_flight: 1,
            },
            erased: None,
        };
        let before = report.to_string();
        report.erased = Some(Erased {
            records: 12,
            captures: 10,
            in_flight: 1,
            audit: 2,
        });
        insta::assert_snapshot!(format!("{before}\n{report}"));
    }
}
