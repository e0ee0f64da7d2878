//! Stand-ins of clouds: tokens for those who ask properly, errors in each one's words.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use provider::{Matcher, Options, Provider, Script};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::client::Client;

const PUBLIC: &str = include_str!("../data/service-account.pub.pem");
const PRIVATE: &[u8] = include_bytes!("../data/service-account.pk8");
const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A form with an assertion that is good from that time on, for that long.
fn form(algorithm: &str, from: u64, seconds: u64) -> String {
    let header = json!({"alg": algorithm, "typ": "JWT"});
    let claims = json!({
        "iss": "a@b.iam.gserviceaccount.com", "scope": "s", "aud": "https://oauth2.googleapis.com/token",
        "iat": from, "exp": from + seconds,
    });
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = RsaKeyPair::from_pkcs8(PRIVATE).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    let random = SystemRandom::new();
    key.sign(
        &RSA_PKCS1_SHA256,
        &random,
        signed.as_bytes(),
        &mut signature,
    )
    .unwrap();
    let signature = URL_SAFE_NO_PAD.encode(signature);
    format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={signed}.{signature}"
    )
}

async fn start() -> (Provider, Client) {
    let options = Options {
        google_key: Some(PUBLIC.into()),
        // Who asks for credentials has none yet.
        key: Some("secret".into()),
        ..Options::default()
    };
    let provider = Provider::start(options).await.unwrap();
    let client = Client::h1(provider.addr()).await;
    (provider, client)
}

#[tokio::test]
async fn a_service_account_gets_a_token_for_a_good_assertion_only() {
    let (provider, mut client) = start().await;
    let good = form("RS256", now(), 3600);
    let given = client
        .post("/token", &[], good.clone())
        .await
        .unwrap()
        .json();
    assert_eq!(
        given,
        json!({"access_token": "ya29.scripted-1", "expires_in": 3599, "token_type": "Bearer"})
    );
    let (before, signature) = good.rsplit_once('.').unwrap();
    let (first, rest) = signature.split_at(1);
    let other = if first == "A" { "B" } else { "A" };
    for (bad, kind, words) in [
        (
            format!("{before}.{other}{rest}"),
            "invalid_grant",
            "Signature",
        ),
        (form("none", now(), 3600), "invalid_grant", "RS256"),
        (
            form("RS256", now() - 7200, 3600),
            "invalid_grant",
            "at this time",
        ),
        (
            form("RS256", now(), 7200),
            "invalid_grant",
            "more than an hour",
        ),
        (
            String::from("grant_type=password"),
            "unsupported_grant_type",
            "password",
        ),
        (String::from("assertion=x"), "invalid_request", "grant_type"),
        (
            String::from("grant_type=refresh_token&client_id=a"),
            "invalid_request",
            "client_secret",
        ),
    ] {
        let refused = client.post("/oauth2/token", &[], bad).await.unwrap();
        assert_eq!(refused.status, 400);
        assert_eq!(refused.json()["error"], kind);
        let why = refused.json()["error_description"].to_string();
        assert!(why.contains(words), "{why}");
    }
    let refresh = "grant_type=refresh_token&client_id=a&client_secret=b&refresh_token=c";
    assert_eq!(
        client.post("/token", &[], refresh).await.unwrap().status,
        200
    );
    let calls = provider.log();
    let of_token = |entry: &&provider::Entry| entry.request.dialect == Some("google_token");
    assert_eq!(calls.iter().filter(of_token).count(), 9);
}

#[tokio::test]
async fn a_key_that_is_none_is_told_at_the_start() {
    let options = Options {
        google_key: Some("not a key".into()),
        ..Options::default()
    };
    let error = Provider::start(options).await.unwrap_err();
    assert!(error.to_string().contains("BEGIN PUBLIC KEY"));
}

#[tokio::test]
async fn scripts_decide_how_long_a_token_is_good_and_how_a_service_fails() {
    let (provider, mut client) = start().await;
    let script = |json| Script::from_json(json).unwrap();
    provider.script_times(1, Matcher::path("/token"), script(r#"{"expires_in":2}"#));
    // A rule for models is not used up by a cloud.
    provider.script_times(1, Matcher::any(), Script::status(500));
    let good = form("RS256", now(), 600);
    let given = client.post("/token", &[], good.clone()).await.unwrap();
    assert_eq!(given.json()["expires_in"], 2);
    let failing = r#"{"status":503,"error":{"type":"internal_failure","message":"down"}}"#;
    provider.script_times(1, Matcher::path("/token"), script(failing));
    let failed = client.post("/token", &[], good.clone()).await.unwrap();
    assert_eq!(failed.status, 503);
    assert_eq!(
        failed.json(),
        json!({"error": "internal_failure", "error_description": "down"})
    );
    let hanging = r#"{"stall":"before_head"}"#;
    provider.script_times(1, Matcher::path("/token"), script(hanging));
    let asked = client.post("/token", &[], good.clone());
    assert!(
        tokio::time::timeout(Duration::from_millis(50), asked)
            .await
            .is_err()
    );
    let mut client = Client::h1(provider.addr()).await;
    assert_eq!(client.post("/token", &[], good).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_metadata_server_answers_who_says_the_header() {
    let (provider, mut client) = start().await;
    assert_eq!(client.get(TOKEN, &[]).await.status, 403);
    let flavor = [("metadata-flavor", "Google")];
    let given = client.get(TOKEN, &flavor).await;
    assert_eq!(given.header("metadata-flavor"), "Google");
    assert_eq!(given.json()["access_token"], "ya29.scripted-2");
    let project = client
        .get("/computeMetadata/v1/project/project-id", &flavor)
        .await;
    assert_eq!(project.text(), "scripted-project");
    let path = "/computeMetadata/v1/instance/service-accounts/default/?recursive=true";
    let account = client.get(path, &flavor).await.json();
    assert!(
        account["email"]
            .as_str()
            .unwrap()
            .ends_with(".iam.gserviceaccount.com")
    );
    assert_eq!(client.get("/", &flavor).await.status, 200);
    let unknown = client.get("/computeMetadata/v1/unheard/of", &flavor).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(provider.log()[1].request.dialect, Some("google_metadata"));
}

#[tokio::test]
async fn a_role_is_given_to_a_signed_request() {
    let (provider, mut client) = start().await;
    let signed = [(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/sts/aws4_request",
    )];
    let form = "Action=AssumeRole&Version=2011-06-15&RoleSessionName=s%3C1&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fpath%2Fr";
    let given = client.post("/", &signed, form).await.unwrap();
    assert_eq!(given.header("content-type"), "text/xml");
    for part in [
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>",
        "<Arn>arn:aws:sts::123456789012:assumed-role/r/s&lt;1</Arn>",
        "<AccessKeyId>ASIASCRIPTED1</AccessKeyId>",
        "<SecretAccessKey>scripted-secret-1</SecretAccessKey>",
        "<SessionToken>scripted-session-1</SessionToken>",
        "<Expiration>20",
    ] {
        assert!(given.text().contains(part), "{part} in {}", given.text());
    }
    let unsigned = client.post("/", &[], form).await.unwrap();
    assert_eq!(unsigned.status, 403);
    assert!(
        unsigned
            .text()
            .contains("<Code>MissingAuthenticationToken</Code>")
    );
    let identity =
        "Action=AssumeRoleWithWebIdentity&RoleArn=r&RoleSessionName=s&WebIdentityToken=t";
    let given = client.post("/", &[], identity).await.unwrap();
    assert!(
        given
            .text()
            .starts_with("<AssumeRoleWithWebIdentityResponse")
    );
    let unknown = client.post("/", &signed, "Action=Dance").await.unwrap();
    assert!(unknown.text().contains("<Code>InvalidAction</Code>"));
    let incomplete = client
        .post("/", &signed, "Action=AssumeRole")
        .await
        .unwrap();
    assert!(incomplete.text().contains("RoleArn"));
    provider.script(Matcher::path("/"), Script::status(403));
    let refused = client.post("/", &signed, form).await.unwrap();
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("<Code>AccessDenied</Code>"));
    assert_eq!(provider.log()[0].request.dialect, Some("aws_sts"));
}
