//! AWS's security token service, by the query protocol: forms in, XML out.

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderValue};

use super::{LIFETIME, Refused, field, now};
use crate::plain::Plain;
use crate::reply::Request;
use crate::script::Script;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The account that everything belongs to.
const ACCOUNT: &str = "123456789012";

pub(super) fn reply(request: &Request<'_>, script: &Script) -> Result<Plain, Refused> {
    let form = request.plain;
    let action = field(form, "Action").unwrap_or_default();
    let is_signed = request
        .headers
        .get(AUTHORIZATION)
        .is_some_and(|value| value.as_bytes().starts_with(b"AWS4-HMAC-SHA256 "));
    // A web identity is proven by its own token instead of a signature.
    let by_token = action == "AssumeRoleWithWebIdentity";
    if !is_signed && !by_token {
        let why = "Request is missing Authentication Token";
        return Err(Refused::new(403, "MissingAuthenticationToken", why));
    }
    let needed = |name: &str| {
        let why = format!("the form must have a {name}");
        let value = field(form, name).filter(|value| !value.is_empty());
        value.ok_or_else(|| Refused::new(400, "ValidationError", why))
    };
    let result = match action.as_str() {
        "AssumeRole" | "AssumeRoleWithWebIdentity" => {
            if by_token {
                needed("WebIdentityToken")?;
            }
            let (role, session) = (needed("RoleArn")?, needed("RoleSessionName")?);
            let asked = field(form, "DurationSeconds").and_then(|text| text.parse().ok());
            let lifetime = script.expires_in.or(asked).unwrap_or(LIFETIME);
            assumed(request.seq, &role, &session, now() + lifetime)
        }
        "GetCallerIdentity" => format!(
            "<Arn>arn:aws:iam::{ACCOUNT}:user/scripted</Arn><UserId>AIDASCRIPTED</UserId>\
             <Account>{ACCOUNT}</Account>"
        ),
        other => {
            let why = format!("Could not find operation {}", escaped(other));
            return Err(Refused::new(400, "InvalidAction", why));
        }
    };
    let body = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>scripted-{}</RequestId></ResponseMetadata>\
         </{action}Response>",
        request.seq
    );
    Ok(xml(StatusCode::OK, body))
}

fn assumed(seq: u64, role: &str, session: &str, expires: u64) -> String {
    let name = role.rsplit('/').next().unwrap_or_default();
    let (name, session) = (escaped(name), escaped(session));
    format!(
        "<AssumedRoleUser><AssumedRoleId>AROASCRIPTED:{session}</AssumedRoleId>\
         <Arn>arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>ASIASCRIPTED{seq}</AccessKeyId>\
         <SecretAccessKey>scripted-secret-{seq}</SecretAccessKey>\
         <SessionToken>scripted-session-{seq}</SessionToken>\
         <Expiration>{}</Expiration></Credentials>",
        timestamp(expires)
    )
}

pub(super) fn refuse(seq: u64, status: StatusCode, refused: &Refused) -> Plain {
    let blame = if status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{blame}</Type><Code>{}</Code>\
         <Message>{}</Message></Error><RequestId>scripted-{seq}</RequestId></ErrorResponse>",
        escaped(&refused.kind),
        escaped(&refused.message)
    );
    xml(status, body)
}

fn xml(status: StatusCode, body: String) -> Plain {
    Plain::new(status, HeaderValue::from_static("text/xml"), body)
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}

/// Seconds since the epoch as a date and time of UTC.
fn timestamp(seconds: u64) -> String {
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (day, hour, minute, second) = (days + 1, time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn timestamps_know_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_404_147, "2026-11-23T03:22:27Z"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
    }
}
