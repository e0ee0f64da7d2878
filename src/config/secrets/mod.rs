//! Secrets of the document: literals, environment variables, files.
//!
//! Owns: the references `env:NAME` and `file:NAME`, where they may point, and the guesses that keep keys out of messages.
//! In: the texts of the document and the process's surroundings. Out: secrets, or the reason why there is none.
//! Must not know: which provider a secret is for.

use super::check::CheckOptions;
use crate::secret::Secret;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Largest secret file, in bytes: a certificate bundle still fits.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How keys of well-known services begin.
const KEY_PREFIXES: [&str; 12] = [
    "sk-",
    "sk_",
    "pk-",
    "AIza",
    "xoxb-",
    "xoxp-",
    "ghp_",
    "github_pat_",
    "glpat-",
    "tskey-",
    "hf_",
    "gsk_",
];

/// Why a reference gives no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not a name that the document may read.
    #[error(
        "environment variable {name} may not be read; its name must start with APERTURE_SECRET_ or end with _API_KEY"
    )]
    Forbidden {
        /// The variable.
        name: String,
    },
    /// No such variable, or an empty one.
    #[error("environment variable {name} is not set")]
    Unset {
        /// The variable.
        name: String,
    },
    /// There is nowhere to look for files.
    #[error("file:{name} needs a secrets directory (--secrets-dir or CREDENTIALS_DIRECTORY)")]
    NoDirectory {
        /// The file.
        name: String,
    },
    /// The name leads out of the directory.
    #[error("file:{name} is not below the secrets directory")]
    Outside {
        /// The file.
        name: String,
    },
    /// The file can't be read.
    #[error("file:{name} cannot be read: {kind}")]
    Unreadable {
        /// The file.
        name: String,
        /// The system's reason.
        kind: io::ErrorKind,
    },
    /// The file is empty, too large, or not text.
    #[error("file:{name} {reason}")]
    Unusable {
        /// The file.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl SecretError {
    /// Whether the document is wrong, rather than the surroundings.
    pub(crate) const fn is_mistake(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::Outside { .. })
    }
}

/// The environment variables that a document may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, Secret>);

impl Environment {
    /// Takes the allowed variables of this process.
    pub fn from_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }
}

impl Environment {
    /// Whether a variable is there and has a text.
    pub fn has(&self, name: &str) -> bool {
        let value = self.0.get(name).map(Secret::expose);
        value.is_some_and(|value| !value.trim().is_empty())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .filter(|(name, _)| allowed(name))
                .map(|(name, value)| (name, Secret::new(value)))
                .collect(),
        )
    }
}

/// What references lead to, by their text.
pub(crate) type Resolved = BTreeMap<String, Result<Secret, SecretError>>;

/// A text that stands for a secret kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference<'a> {
    /// An environment variable.
    Env(&'a str),
    /// A file below the secrets directory.
    File(&'a str),
}

impl<'a> Reference<'a> {
    /// Reads a reference; none = the text is the secret itself.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        text.strip_prefix("env:")
            .map(Self::Env)
            .or_else(|| text.strip_prefix("file:").map(Self::File))
    }
}

/// Reads what references lead to.
pub(crate) fn resolve<'a>(
    texts: impl Iterator<Item = &'a str>,
    options: &CheckOptions,
) -> Resolved {
    texts
        .filter_map(|text| Some((text, Reference::parse(text)?)))
        .map(|(text, reference)| {
            let secret = match reference {
                Reference::Env(name) => variable(name, &options.environment),
                Reference::File(name) => file(name, options.secrets_dir.as_deref()),
            };
            (text.to_owned(), secret)
        })
        .collect()
}

/// The files that references name, to be watched.
pub(crate) fn files(resolved: &Resolved, options: &CheckOptions) -> Vec<PathBuf> {
    let Some(directory) = &options.secrets_dir else {
        return Vec::new();
    };
    resolved
        .keys()
        .filter_map(|text| match Reference::parse(text) {
            Some(Reference::File(name)) => Some(directory.join(relative(name)?)),
            _ => None,
        })
        .collect()
}

fn allowed(name: &str) -> bool {
    name.starts_with("APERTURE_SECRET_") || name.ends_with("_API_KEY")
}

fn variable(name: &str, environment: &Environment) -> Result<Secret, SecretError> {
    if !allowed(name) {
        let shown = if is_variable_name(name) {
            name
        } else {
            echo(name)
        };
        let name = shown.to_owned();
        return Err(SecretError::Forbidden { name });
    }
    environment
        .0
        .get(name)
        .map(|secret| Secret::new(secret.expose().trim()))
        .filter(|secret| !secret.expose().is_empty())
        .ok_or_else(|| SecretError::Unset {
            name: name.to_owned(),
        })
}

/// A name that is a plain path downwards.
fn relative(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    let down = path
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    (down && !name.is_empty()).then_some(path)
}

fn file(name: &str, directory: Option<&Path>) -> Result<Secret, SecretError> {
    let shown = || name.to_owned();
    let directory = directory.ok_or_else(|| SecretError::NoDirectory { name: shown() })?;
    let path = relative(name).ok_or_else(|| SecretError::Outside { name: shown() })?;
    let unreadable = |error: io::Error| SecretError::Unreadable {
        name: shown(),
        kind: error.kind(),
    };
    let unusable = |reason| SecretError::Unusable {
        name: shown(),
        reason,
    };
    // Links are followed (Kubernetes mounts secrets as links), but only to places below the directory.
    let directory = directory.canonicalize().map_err(unreadable)?;
    let path = directory.join(path).canonicalize().map_err(unreadable)?;
    if !path.starts_with(&directory) {
        return Err(SecretError::Outside { name: shown() });
    }
    let metadata = fs::metadata(&path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unusable("is not a file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(unusable("is too large for a secret"));
    }
    let bytes = fs::read(&path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| unusable("is not text"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(unusable("is empty"));
    }
    Ok(Secret::new(text))
}

/// A text as a message may repeat it: itself when it is a plain word, else a placeholder.
///
/// A key often lands in the wrong place (a scheme's name, a header line without a colon), and messages go to logs.
pub(crate) fn echo(text: &str) -> &str {
    if is_plain_word(text) {
        text
    } else {
        "(not shown)"
    }
}

/// Whether a text is a word that people choose: short, of letters and hyphens, and not like a key.
pub(crate) fn is_plain_word(text: &str) -> bool {
    text.len() <= 24
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
        && !has_key_prefix(text)
}

/// Whether a text is the name of an environment variable.
pub(crate) fn is_variable_name(text: &str) -> bool {
    text.len() <= 128
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether a word begins like the key of a well-known service.
pub(crate) fn has_key_prefix(word: &str) -> bool {
    KEY_PREFIXES.iter().any(|prefix| word.starts_with(prefix))
}

/// Whether a secret is a sample that someone meant to replace.
pub(crate) fn is_placeholder(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    let bracketed = secret.starts_with('<') && secret.ends_with('>');
    bracketed
        || [
            "...",
            "…",
            "xxxx",
            "changeme",
            "change-me",
            "your-",
            "your_",
            "replace",
        ]
        .iter()
        .any(|sample| lower.contains(sample))
}

#[cfg(test)]
mod tests;
