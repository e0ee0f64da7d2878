use crate::config::{
    CheckOptions, Checked, Environment, Provider, Strictness, check,
    cloud::{AwsKeys, CloudCredential},
    refused,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::sync::Arc;

const ACCOUNT: &str = include_str!("../../../../tests/fixtures/credentials/account.json");

fn checked(baseurl: &str, fields: &str, allow_local: bool) -> Checked {
    let text = format!(
        r#"{{"providers":{{"x":{{"baseurl":"{baseurl}","models":["m"],"compatibility":{{"bedrock":true,"vertex":true}},{fields}}}}},
        "grants":[{{"src":["*"],"app":{{"tailscale.com/cap/aperture":[{{"role":"admin"}}]}}}}]}}"#
    );
    let options = CheckOptions {
        allow_local_upstreams: allow_local,
        secrets_dir: None,
        environment: Environment::from_iter([(
            "APERTURE_SECRET_AWS".to_owned(),
            "s3cret".to_owned(),
        )]),
    };
    check(&text, &options)
}

const AWS: &str = "https://bedrock-runtime.us-east-1.amazonaws.com";
const VERTEX: &str = "https://europe-west1-aiplatform.googleapis.com";

fn good(baseurl: &str, fields: &str) -> Arc<Provider> {
    let checked = checked(baseurl, fields, true);
    assert_eq!(checked.findings, [], "{fields}");
    Arc::clone(&checked.config.unwrap().providers["x"])
}

fn account(change: &[(&str, &str)]) -> String {
    let mut file: serde_json::Value = serde_json::from_str(ACCOUNT).unwrap();
    for (key, value) in change {
        file[*key] = (*value).into();
    }
    file.to_string()
}

fn keyfile(change: &[(&str, &str)]) -> String {
    let text = STANDARD.encode(account(change));
    format!(r#""authorization":{{"type":"google-service-account","keyfile":"{text}"}}"#)
}

#[test]
fn every_form_is_read() {
    let provider = good(
        AWS,
        r#""authorization":{"type":"AWS-SigV4","access_key_id":"AK","secret_access_key":"env:APERTURE_SECRET_AWS","session_token":"T"}"#,
    );
    let Some(CloudCredential::Aws(aws)) = &provider.cloud else {
        panic!("{provider:?}")
    };
    assert_eq!(&*aws.region, "us-east-1", "from the host's name");
    let AwsKeys::Static {
        secret_access_key, ..
    } = &aws.keys
    else {
        panic!("{aws:?}")
    };
    assert_eq!(secret_access_key.expose(), "s3cret");
    assert!(!format!("{provider:?}").contains("s3cret"));

    let provider = good(
        "https://bedrock.example.com",
        r#""authorization":{"type":"aws-sigv4","region":"eu-west-1","profile":"p","role_arn":"arn:aws:iam::123456789012:role/a/b","endpoint":"http://127.0.0.1:1"}"#,
    );
    let Some(CloudCredential::Aws(aws)) = &provider.cloud else {
        panic!("{provider:?}")
    };
    assert_eq!(aws.keys, AwsKeys::Profile("p".into()));
    assert!(aws.role_arn.is_some() && aws.endpoint.as_ref().unwrap().local);

    let provider = good(VERTEX, r#""authorization":"google-adc""#);
    assert!(matches!(provider.cloud, Some(CloudCredential::Adc(_))));
    assert_eq!(&*provider.vertex.region, "europe-west1");
    assert_eq!(provider.vertex.project, None);

    let provider = good(VERTEX, &keyfile(&[]));
    assert_eq!(provider.vertex.project.as_deref(), Some("acme-models"));
    let private = account(&[]);
    let private = private.split("BEGIN PRIVATE KEY").nth(1).unwrap();
    assert!(!format!("{provider:?}").contains(&private[20..60]));

    // The document's project and region count before what is found.
    let own = keyfile(&[]).replacen(
        '{',
        r#"{"project":"example.com:other","region":"us-east5","#,
        1,
    );
    let provider = good(VERTEX, &own);
    assert_eq!(
        provider.vertex.project.as_deref(),
        Some("example.com:other")
    );
    assert_eq!(&*provider.vertex.region, "us-east5");

    // A key file counts, whatever the type says.
    let text = STANDARD.encode(account(&[]));
    let provider = good(
        "https://aiplatform.googleapis.com",
        &format!(r#""authorization":"x-api-key","apikey":"keyfile::{text}""#),
    );
    assert!(matches!(
        provider.cloud,
        Some(CloudCredential::ServiceAccount(_))
    ));
    assert!(provider.credential.is_none());
    assert_eq!(&*provider.vertex.region, "global");
}

#[test]
fn what_is_wrong_is_said_at_its_key_and_requests_fail_clearly() {
    let aws = |rest: &str| format!(r#""authorization":{{"type":"aws-sigv4"{rest}}}"#);
    let keys = r#","access_key_id":"AK","secret_access_key":"s3cret""#;
    for (fields, path, message) in [
        (aws(""), "", "has no AWS keys"),
        (
            aws(r#","access_key_id":"AK""#),
            "",
            "one half of its AWS keys",
        ),
        (
            aws(&format!("{keys},\"profile\":\"p\"")),
            ".profile",
            "both a profile and keys",
        ),
        (
            aws(&format!("{keys},\"region\":\"x.evil.example/\"")),
            ".region",
            "no region's name",
        ),
        (
            aws(&format!("{keys},\"role_arn\":\"arn:aws:iam::1:user/x\"")),
            ".role_arn",
            "names no role",
        ),
        (
            aws(&format!("{keys},\"endpoint\":\"http://169.254.169.254/\"")),
            ".endpoint",
            "gateway's own host, its link or a metadata service",
        ),
        (
            aws(&format!("{keys},\"endpoint\":\"http://sts.example.com\"")),
            ".endpoint",
            "must begin with https://",
        ),
        (
            r#""authorization":{"type":"google-adc","endpoint":"http://metadata.google.internal"}"#
                .into(),
            ".endpoint",
            "gateway's own host",
        ),
        (
            r#""authorization":{"type":"google-service-account"}"#.into(),
            ".keyfile",
            "has no keyfile",
        ),
        (
            r#""authorization":{"type":"google-service-account","keyfile":"bm8="}"#.into(),
            ".keyfile",
            "it is not a key file",
        ),
        (
            keyfile(&[("private_key", "s3cret")]),
            ".keyfile",
            "private_key is not a PKCS#8 key",
        ),
        (
            keyfile(&[("token_uri", "http://127.0.0.1/s3cret")]),
            ".keyfile",
            "token_uri is the gateway's own host",
        ),
        (
            keyfile(&[("token_uri", "http://evil.example/s3cret")]),
            ".keyfile",
            "token_uri is not an address",
        ),
    ] {
        let checked = checked(AWS, &fields, false);
        let path = format!("providers.x.authorization{path}");
        let found = checked
            .findings
            .iter()
            .find(|finding| finding.path == path && finding.message.contains(message));
        let finding = found.unwrap_or_else(|| panic!("{path}: {message}: {:#?}", checked.findings));
        assert!(finding.hint.is_some() && finding.line > 0);
        assert!(!format!("{:?}", checked.findings).contains("s3cret"));
        assert!(refused(&checked.findings, Strictness::Save), "{fields}");
        let provider = &checked.config.unwrap().providers["x"];
        assert!(provider.cloud.is_none() && provider.missing_secret.is_some());
    }
    // Without a region in the host's name, and all mistakes at once.
    let found = checked(
        "https://bedrock.example.com",
        &aws(r#","role_arn":"x""#),
        false,
    );
    for message in ["no region to sign for", "names no role", "has no AWS keys"] {
        assert!(
            found
                .findings
                .iter()
                .any(|finding| finding.message.contains(message)),
            "{message}"
        );
    }
}

#[test]
fn keys_of_another_type_are_told() {
    for (fields, path) in [
        (
            r#""authorization":{"type":"aws-sigv4","profile":"p","keyfile":"x"}"#,
            "keyfile",
        ),
        (
            r#""authorization":{"type":"google-adc","value":"x"}"#,
            "value",
        ),
        (
            r#""authorization":{"type":"bearer","value":"x","role_arn":"y"}"#,
            "role_arn",
        ),
    ] {
        let found = checked(AWS, fields, false);
        let path = format!("providers.x.authorization.{path}");
        assert!(
            found
                .findings
                .iter()
                .any(|finding| finding.path == path && finding.message.contains("does not take")),
            "{:?}",
            found.findings
        );
        assert!(!refused(&found.findings, Strictness::Save));
    }
    let both = r#""apikey":"k","authorization":{"type":"aws-sigv4","profile":"p"}"#;
    let found = checked(AWS, both, false).findings;
    assert!(found[0].message.contains("apikey is not sent"), "{found:?}");
}
