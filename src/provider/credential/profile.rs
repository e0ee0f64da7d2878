//! Profiles of the AWS files on the gateway's host.
//!
//! Owns: the reading of `credentials` and `config`, and which kinds of profile are understood. In: the texts of both files
//! and a name. Out: keys and the roles to assume with them, or what is wrong. Must not know: how a role is assumed.

use super::sigv4::Keys;
use crate::secret::Secret;
use std::collections::BTreeMap;

/// Profiles that one may lead through.
const MAX_CHAIN: usize = 5;

/// What a profile stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The keys at its root.
    pub(super) keys: Keys,
    /// Roles to assume, the first one first.
    pub(super) roles: Vec<Role>,
}

/// A role of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) external_id: Option<String>,
}

type Section = BTreeMap<String, String>;

/// Keys of a section that need more than files and one request.
const OTHER_SOURCES: [&str; 6] = [
    "credential_process",
    "credential_source",
    "login_session",
    "sso_account_id",
    "sso_session",
    "web_identity_token_file",
];

/// Finds a profile; the credentials file counts before the other.
pub(super) fn find(credentials: &str, config: &str, name: &str) -> Result<Found, String> {
    let mut profiles = sections(config, true);
    for (name, section) in sections(credentials, false) {
        profiles.entry(name).or_default().extend(section);
    }
    let mut roles = Vec::new();
    let mut at = name.to_owned();
    loop {
        let Some(section) = profiles.get(&at) else {
            return Err(format!("there is no profile {at:?} in the AWS files"));
        };
        let Some(arn) = section.get("role_arn") else {
            roles.reverse();
            let keys = keys(section, &at)?;
            return Ok(Found { keys, roles });
        };
        roles.push(Role {
            arn: arn.clone(),
            external_id: section.get("external_id").cloned(),
        });
        if section.contains_key("mfa_serial") {
            return Err(format!("profile {at:?} wants a person's MFA code"));
        }
        let Some(source) = section.get("source_profile") else {
            return Err(other_source(section, &at));
        };
        // A profile that names itself holds the keys, too.
        if *source == at {
            roles.reverse();
            let keys = keys(section, &at)?;
            return Ok(Found { keys, roles });
        }
        if roles.len() >= MAX_CHAIN {
            return Err(format!("profile {name:?} leads through too many others"));
        }
        at.clone_from(source);
    }
}

fn keys(section: &Section, name: &str) -> Result<Keys, String> {
    let secret = |key: &str| section.get(key).filter(|text| !text.is_empty());
    match (secret("aws_access_key_id"), secret("aws_secret_access_key")) {
        (Some(id), Some(key)) => Ok(Keys {
            access_key_id: Secret::new(id.as_str()),
            secret_access_key: Secret::new(key.as_str()),
            session_token: secret("aws_session_token").map(|token| Secret::new(token.as_str())),
        }),
        _ => Err(other_source(section, name)),
    }
}

fn other_source(section: &Section, name: &str) -> String {
    match OTHER_SOURCES.iter().find(|key| section.contains_key(**key)) {
        Some(key) => format!(
            "profile {name:?} gets its keys by {key}, which this gateway does not do; keys and roles with a source_profile it does"
        ),
        None => format!("profile {name:?} has no keys"),
    }
}

/// The sections of a file. In the config file all but `default` are called `profile NAME`; others are no profiles.
fn sections(text: &str, prefixed: bool) -> BTreeMap<String, Section> {
    let mut all: BTreeMap<String, Section> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        // An indented line belongs to a nested setting (`s3 =`), which says nothing about keys.
        if line.starts_with([' ', '\t', '#', ';']) {
            continue;
        }
        if let Some(title) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            let title = title.trim();
            let name = match title.strip_prefix("profile ") {
                Some(name) => Some(name.trim()),
                None if prefixed && title != "default" => None,
                None => Some(title),
            };
            current = name.map(|name| name.trim_matches('"').to_owned());
            if let Some(name) = &current {
                all.entry(name.clone()).or_default();
            }
        } else if let (Some(name), Some((key, value))) = (&current, line.split_once('=')) {
            // A `#` after a space begins a comment; keys may hold one otherwise.
            let value = value.split(" #").next().unwrap_or_default().trim();
            let section = all.entry(name.clone()).or_default();
            section.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# comment\n[default]\naws_access_key_id = AK\naws_secret_access_key=SK/+= # note\n\n[temporary]\naws_access_key_id=AT\naws_secret_access_key=ST\naws_session_token=T==\n";
    const CONFIG: &str = "[default]\nregion = us-east-1\ns3 =\n  aws_access_key_id = no\n[profile outer]\nrole_arn = arn:aws:iam::1:role/outer\nsource_profile = inner\nexternal_id = x\n[profile inner]\nrole_arn = arn:aws:iam::1:role/inner\nsource_profile = default\n[profile sso]\nsso_session = s\n[profile round]\nrole_arn = a\nsource_profile = about\n[profile about]\nrole_arn = a\nsource_profile = round\n[sso-session s]\nsso_region = x\n[profile empty]\n[profile mfa]\nrole_arn = a\nmfa_serial = m\nsource_profile = default\n";

    #[test]
    fn keys_roles_and_chains_are_found() {
        let found = find(CREDENTIALS, CONFIG, "default").unwrap();
        assert_eq!(found.keys.access_key_id.expose(), "AK");
        assert_eq!(found.keys.secret_access_key.expose(), "SK/+=");
        assert_eq!(found.keys.session_token, None);
        assert!(found.roles.is_empty());
        let found = find(CREDENTIALS, CONFIG, "temporary").unwrap();
        assert_eq!(found.keys.session_token.unwrap().expose(), "T==");
        let found = find(CREDENTIALS, CONFIG, "outer").unwrap();
        let arns: Vec<&str> = found.roles.iter().map(|role| role.arn.as_str()).collect();
        assert_eq!(
            arns,
            ["arn:aws:iam::1:role/inner", "arn:aws:iam::1:role/outer"]
        );
        assert_eq!(found.roles[1].external_id.as_deref(), Some("x"));
        assert_eq!(found.keys.access_key_id.expose(), "AK");
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (name, words) in [
            ("none", "no profile \"none\""),
            ("sso", "by sso_session"),
            ("round", "too many others"),
            ("empty", "has no keys"),
            ("mfa", "MFA"),
            ("s", "no profile"),
        ] {
            let said = find(CREDENTIALS, CONFIG, name).unwrap_err();
            assert!(said.contains(words), "{said}");
            assert!(!said.contains("SK/"), "{said}");
        }
    }
}
