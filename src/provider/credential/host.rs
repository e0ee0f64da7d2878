//! What the gateway's host holds for its cloud: files and the metadata server.
//!
//! Owns: where they are, as the clouds' own tools find them, and the reading of files. In: the process's environment. Out:
//! texts. Must not know: what they mean.

use super::MintError;
use crate::config::cloud::Endpoint;
use http::Uri;
use std::path::{Path, PathBuf};

/// Largest file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Google's metadata server, which every machine of that cloud has on its own link.
const METADATA: &str = "http://169.254.169.254/";

/// Where the host's credentials are.
#[derive(Clone, Debug)]
pub struct Host {
    /// AWS keys by profile.
    pub aws_credentials: Option<PathBuf>,
    /// AWS profiles.
    pub aws_config: Option<PathBuf>,
    /// Google's file that somebody chose; it must be there.
    pub google_chosen: Option<PathBuf>,
    /// Google's file that its tools write; it may be there.
    pub google_usual: Option<PathBuf>,
    /// Google's metadata server.
    pub metadata: Uri,
}

impl Host {
    /// As the environment of this process says.
    pub fn from_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|text| !text.is_empty());
        let home = path("HOME").map(PathBuf::from);
        let below = |tail: &str| home.as_ref().map(|home| home.join(tail));
        let google = path("CLOUDSDK_CONFIG")
            .map(PathBuf::from)
            .or_else(|| below(".config/gcloud"));
        let metadata = std::env::var("GCE_METADATA_HOST")
            .ok()
            .and_then(|host| format!("http://{host}/").parse().ok());
        Self {
            aws_credentials: path("AWS_SHARED_CREDENTIALS_FILE")
                .map(PathBuf::from)
                .or_else(|| below(".aws/credentials")),
            aws_config: path("AWS_CONFIG_FILE")
                .map(PathBuf::from)
                .or_else(|| below(".aws/config")),
            google_chosen: path("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from),
            google_usual: google.map(|dir| dir.join("application_default_credentials.json")),
            metadata: metadata.unwrap_or_else(|| Uri::from_static(METADATA)),
        }
    }

    /// The metadata server, unless the document names another. The host's own is on its link, wherever its name leads.
    pub(super) fn metadata(&self, other: Option<&Endpoint>) -> Endpoint {
        other.cloned().unwrap_or_else(|| Endpoint {
            uri: self.metadata.clone(),
            local: true,
            tailnet: false,
        })
    }
}

/// A file's text; none when there is no such file.
pub(super) async fn read(path: Option<&Path>) -> Result<Option<String>, MintError> {
    let Some(path) = path else { return Ok(None) };
    let unusable =
        |why: &dyn std::fmt::Display| MintError::Host(format!("{}: {why}", path.display()));
    match tokio::fs::metadata(path).await {
        Ok(found) if found.len() > MAX_FILE => {
            return Err(unusable(&"the file is too large"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(&error.kind())),
    }
    let bytes = tokio::fs::read(path)
        .await
        .map_err(|error| unusable(&error.kind()))?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| unusable(&"the file is not text"))
}
