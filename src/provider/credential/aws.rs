//! Keys for AWS: of the document, of a profile, of an assumed role.
//!
//! Owns: where keys come from and for how long they are good, and the one question to the security token service. In: an
//! [`Aws`] credential. Out: a lease on keys. Must not know: what is signed with them.

use super::{
    MintError,
    fetch::{Errand, form, network_of},
    host::{self, Host},
    profile::{self, Role},
    renew::Lease,
    sigv4::{Keys, Scope, sign},
};
use crate::{
    config::cloud::{Aws, AwsKeys, Endpoint},
    secret::Secret,
};
use std::time::{Duration, SystemTime};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// How long keys of a file are used before the file is looked at again.
const FILE_LIFETIME: Duration = Duration::from_mins(1);

/// How long keys of the document are: until the document changes, which makes it another credential.
const DOCUMENT_LIFETIME: Duration = Duration::from_hours(24 * 365);

/// Keys that are good now.
pub(super) async fn mint(
    credential: Aws,
    host: Host,
    errand: Errand,
) -> Result<Lease<Keys>, MintError> {
    let (mut keys, mut roles, mut lifetime) = match &credential.keys {
        AwsKeys::Static {
            access_key_id,
            secret_access_key,
            session_token,
        } => {
            let keys = Keys {
                access_key_id: access_key_id.clone(),
                secret_access_key: secret_access_key.clone(),
                session_token: session_token.clone(),
            };
            (keys, Vec::new(), DOCUMENT_LIFETIME)
        }
        AwsKeys::Profile(name) => {
            let credentials = host::read(host.aws_credentials.as_deref()).await?;
            let config = host::read(host.aws_config.as_deref()).await?;
            let found = profile::find(
                &credentials.unwrap_or_default(),
                &config.unwrap_or_default(),
                name,
            )
            .map_err(MintError::Host)?;
            (found.keys, found.roles, FILE_LIFETIME)
        }
    };
    roles.extend(credential.role_arn.as_ref().map(|arn| Role {
        arn: arn.to_string(),
        external_id: None,
    }));
    for role in roles {
        let lease = assume(&credential, &keys, &role, &errand).await?;
        (keys, lifetime) = (lease.value, lease.lifetime);
    }
    Ok(Lease {
        value: keys,
        lifetime,
    })
}

/// Asks the security token service for a role's temporary keys.
async fn assume(
    credential: &Aws,
    keys: &Keys,
    role: &Role,
    errand: &Errand,
) -> Result<Lease<Keys>, MintError> {
    let endpoint = match &credential.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => regional(&credential.region)?,
    };
    let mut fields = vec![
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleSessionName", "aperture"),
        ("RoleArn", role.arn.as_str()),
    ];
    fields.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
    let mut request = form(endpoint.uri.clone(), &fields);
    let scope = Scope {
        region: &credential.region,
        service: "sts",
    };
    sign(keys, scope, SystemTime::now(), &mut request)?;
    let (_, answer) = errand.ask(network_of(&endpoint), request, code_of).await?;
    let part = |name| {
        element_of(&answer, name)
            .filter(|text| !text.is_empty())
            .ok_or(MintError::Unusable("it holds no temporary keys"))
    };
    let end = OffsetDateTime::parse(part("Expiration")?, &Rfc3339)
        .map_err(|_| MintError::Unusable("its expiration is no time"))?;
    let lifetime = SystemTime::from(end)
        .duration_since(SystemTime::now())
        .map_err(|_| MintError::Unusable("its keys have expired already"))?;
    Ok(Lease {
        value: Keys {
            access_key_id: Secret::new(part("AccessKeyId")?),
            secret_access_key: Secret::new(part("SecretAccessKey")?),
            session_token: Some(Secret::new(part("SessionToken")?)),
        },
        lifetime,
    })
}

/// The security token service of a region.
fn regional(region: &str) -> Result<Endpoint, MintError> {
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    Endpoint::read(&format!("https://sts.{region}.{domain}/")).map_err(MintError::Unusable)
}

/// The word of a refusal.
fn code_of(xml: &str) -> Option<&str> {
    element_of(xml, "Code")
}

/// The text of the first element of that name. The service's answers are flat, and keys hold nothing that XML escapes.
fn element_of<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let start = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let length = xml[start..].find(&format!("</{name}>"))?;
    Some(xml[start..start + length].trim())
}
