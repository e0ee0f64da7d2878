//! What goes up instead of the client's credential: signatures, minted tokens, and nothing where there is none.

use crate::support::{
    EVERYBODY, Gateway, chat,
    cloud::{Asked, Said, Signer, StandIn, keyfile, said, verify},
    gateway::Options,
    http::{self as client, Answer},
    repository,
};
use aperture::record::End;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use parking_lot::Mutex;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

const ROLE: &str = "arn:aws:iam::123456789012:role/gateway";

/// Texts that must be found nowhere but where they are due.
const SECRETS: [&str; 7] = [
    "marker-access-key",
    "marker-secret-key",
    "marker-session-token",
    "marker-minted-token",
    "marker-refresh-token",
    "marker-client-secret",
    "marker-of-the-client",
];

/// A document with one provider that speaks everything.
fn document(upstream: &str, authorization: &str) -> String {
    format!(
        r#"{{
  "providers": {{
    "cloud": {{
      "baseurl": "{upstream}",
      {authorization},
      "models": ["gpt-4o", "anthropic.claude-v1:0", "arn:aws:bedrock:us-east-1:1:inference-profile/abc", "gemini-2.5-flash", "claude-sonnet-4-5@20250929"],
      "compatibility": {{"openai_chat": true, "bedrock": true, "vertex": true}},
    }},
  }},
  "temp_grants": [{EVERYBODY}],
}}"#
    )
}

/// An upstream that is content with everything.
async fn upstream() -> StandIn {
    StandIn::saying(200, "{\"ok\":true}").await
}

async fn start(document: &str) -> Gateway {
    Gateway::dev(document, Options::default()).await
}

/// A plain request, whose client has credentials of its own.
async fn ask(gateway: &Gateway, path: &str) -> Answer {
    let headers = [
        ("content-type", "application/json"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=marker-of-the-client/20261128/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00",
        ),
        ("x-amz-date", "20200101T000000Z"),
        ("x-amz-security-token", "marker-of-the-client"),
        ("x-amz-content-sha256", "00"),
        ("x-api-key", "marker-of-the-client"),
    ];
    let url = format!("{}{path}", gateway.url);
    client::send(Method::POST, &url, &headers, r#"{"messages":[]}"#).await
}

async fn ask_chat(gateway: &Gateway) -> Answer {
    let url = format!("{}/v1/chat/completions", gateway.url);
    client::post(&url, chat("gpt-4o", "hello", true)).await
}

/// Stops the gateway, and fails if a secret is in its log or in a file of its state.
async fn stop_without_traces(gateway: Gateway) {
    let doctor = gateway.command(&["doctor", "--json"]).await;
    let export = gateway.command(&["export", "records"]).await;
    let lines = gateway.process.stderr.clone();
    let state = gateway.state_dir();
    let dir = gateway.stop().await;
    let mut places = vec![
        ("doctor".to_owned(), doctor.stdout),
        ("records".to_owned(), export.stdout),
        ("the log".to_owned(), lines.all().join("\n").into_bytes()),
    ];
    for entry in std::fs::read_dir(&state).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            places.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    for (place, bytes) in places {
        for secret in SECRETS {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {place}");
        }
    }
    drop(dir);
}

const STATIC: &str = r#""authorization": {"type": "aws-sigv4", "region": "us-east-1", "access_key_id": "marker-access-key", "secret_access_key": "marker-secret-key""#;

const STATIC_SIGNER: Signer<'_> = Signer {
    access_key: "marker-access-key",
    secret_key: "marker-secret-key",
    token: "",
    region: "us-east-1",
    service: "bedrock",
};

#[tokio::test]
async fn requests_are_signed_whatever_the_spelling_of_their_path() {
    for (token, signer) in [
        ("", STATIC_SIGNER),
        (
            r#", "session_token": "marker-session-token+/==""#,
            Signer {
                token: "marker-session-token+/==",
                ..STATIC_SIGNER
            },
        ),
    ] {
        let upstream = upstream().await;
        let gateway = start(&document(&upstream.url, &format!("{STATIC}{token}}}"))).await;
        let arn = "arn:aws:bedrock:us-east-1:1:inference-profile%2Fabc";
        let encoded = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fabc";
        for (path, sent) in [
            ("/bedrock/model/anthropic.claude-v1:0/invoke".to_owned(), "/model/anthropic.claude-v1%3A0/invoke".to_owned()),
            ("/model/anthropic.claude-v1%3A0/converse".to_owned(), "/model/anthropic.claude-v1%3A0/converse".to_owned()),
            (format!("/bedrock/model/{arn}/converse"), format!("/model/{encoded}/converse")),
            (format!("/bedrock/model/{encoded}/converse-stream"), format!("/model/{encoded}/converse-stream")),
            (
                "/bedrock/model/anthropic.claude-v1%3a0/invoke-with-response-stream?b=x%20y&a=%2F+z&key=marker-of-the-client".to_owned(),
                "/model/anthropic.claude-v1%3A0/invoke-with-response-stream?b=x%20y&a=%2F%20z".to_owned(),
            ),
        ] {
            let answer = ask(&gateway, &path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert_eq!(upstream.asked().last().unwrap().target, sent);
        }
        // A body that goes up in pieces, because the gateway edits it.
        assert_eq!(ask_chat(&gateway).await.status, 200);
        let asked = upstream.asked();
        assert!(asked.last().unwrap().text().contains("include_usage"));
        assert!(!format!("{asked:?}").contains("marker-of-the-client"));
        verify(&upstream, &asked, signer).await;
        stop_without_traces(gateway).await;
    }
}

#[tokio::test]
async fn the_verification_sees_a_signature_of_other_keys_and_a_changed_request() {
    let upstream = upstream().await;
    let gateway = start(&document(&upstream.url, &format!("{STATIC}}}"))).await;
    assert_eq!(ask_chat(&gateway).await.status, 200);
    let asked = upstream.asked();
    verify(&upstream, &asked, STATIC_SIGNER).await;
    let other = Signer {
        secret_key: "other",
        ..STATIC_SIGNER
    };
    let mut changed = asked.clone();
    changed[0].body = "{}".into();
    for (asked, signer) in [(asked, other), (changed, STATIC_SIGNER)] {
        let upstream = upstream.clone();
        let task = tokio::spawn(async move { verify(&upstream, &asked, signer).await });
        assert!(task.await.is_err());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_to_hold_is_not_signed() {
    let upstream = upstream().await;
    let text = document(&upstream.url, &format!("{STATIC}}}"));
    let text = text.strip_suffix('}').unwrap();
    let gateway = start(&format!(
        "{text} \"gateway\": {{\"limits\": {{\"request_body_bytes\": 1024}}}} }}"
    ))
    .await;
    let url = format!("{}/model/anthropic.claude-v1:0/invoke", gateway.url);
    let answer = client::post(&url, "x".repeat(4_096)).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(upstream.asked().is_empty());
    gateway.stop().await;
}

/// A security token service whose keys are numbered and end after that time.
async fn token_service(lifetime: Duration, gate: Option<Arc<Semaphore>>) -> StandIn {
    StandIn::start(move |asked, before| {
        assert_eq!(asked.field("Action"), "AssumeRole");
        let number = before + 1;
        let end = OffsetDateTime::from(SystemTime::now() + lifetime);
        let end = end.format(&time::format_description::well_known::Rfc3339);
        Said {
            gate: gate.clone(),
            ..said(
                200,
                format!(
                    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n<AssumeRoleResult><AssumedRoleUser><Arn>a</Arn></AssumedRoleUser>\n<Credentials><AccessKeyId>marker-access-key-{number}</AccessKeyId><SecretAccessKey>marker-secret-key-{number}</SecretAccessKey>\n<SessionToken>marker-session-token-{number}</SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
                    end.unwrap()
                ),
            )
        }
    })
    .await
}

fn with_role(service: &str) -> String {
    format!("{STATIC}, \"role_arn\": \"{ROLE}\", \"endpoint\": \"{service}\"}}")
}

#[tokio::test]
async fn a_role_is_assumed_once_for_all_who_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let service = token_service(Duration::from_hours(1), Some(Arc::clone(&gate))).await;
    let upstream = upstream().await;
    let gateway = start(&document(&upstream.url, &with_role(&service.url))).await;
    let waiting = 20;
    let requests: Vec<_> = (0..waiting).map(|_| ask_chat(&gateway)).collect();
    let released = async {
        // Each has its record before it waits for the keys.
        let waits = |end: &End| *end == End::InFlight;
        while gateway
            .records()
            .await
            .iter()
            .filter(|record| waits(&record.end))
            .count()
            < waiting
        {}
        gate.add_permits(waiting);
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(requests), released);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(ask_chat(&gateway).await.status, 200);

    let asked = service.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].field("RoleArn"), ROLE);
    let long_lived = Signer {
        service: "sts",
        ..STATIC_SIGNER
    };
    verify(&service, &asked, long_lived).await;
    assert_eq!(upstream.asked().len(), waiting + 1);
    verify(
        &upstream,
        &upstream.asked(),
        Signer {
            access_key: "marker-access-key-1",
            secret_key: "marker-secret-key-1",
            token: "marker-session-token-1",
            ..STATIC_SIGNER
        },
    )
    .await;
    stop_without_traces(gateway).await;
}

#[tokio::test]
async fn keys_past_their_end_are_never_sent() {
    let lifetime = Duration::from_secs(2);
    let service = token_service(lifetime, None).await;
    let upstream = upstream().await;
    let gateway = start(&document(&upstream.url, &with_role(&service.url))).await;
    // Requests without a pause, until the third set of keys is in use.
    while service.asked().len() < 3 {
        assert_eq!(ask_chat(&gateway).await.status, 200);
    }
    let ends: Vec<SystemTime> = service
        .asked()
        .iter()
        .map(|asked| asked.at + lifetime)
        .collect();
    let mut used = Vec::new();
    for asked in upstream.asked() {
        let token = asked.header("x-amz-security-token");
        let number: usize = token.rsplit('-').next().unwrap().parse().unwrap();
        assert!(
            asked.at < ends[number - 1] + Duration::from_millis(100),
            "{token}"
        );
        used.push(number);
    }
    used.dedup();
    assert!(used.len() >= 2 && used.is_sorted(), "{used:?}");
    stop_without_traces(gateway).await;
}

#[tokio::test]
async fn profiles_come_from_the_hosts_files() {
    let service = token_service(Duration::from_hours(1), None).await;
    let upstream = upstream().await;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let aws = dir.path().join(".aws");
    std::fs::create_dir(&aws).unwrap();
    std::fs::write(
        aws.join("credentials"),
        "[base]\naws_access_key_id = marker-access-key\naws_secret_access_key = marker-secret-key\n",
    )
    .unwrap();
    std::fs::write(
        aws.join("config"),
        format!("[profile bedrock]\nsource_profile = base\nrole_arn = {ROLE}\n[profile sso]\nsso_session = x\n"),
    )
    .unwrap();
    let provider = |profile: &str| {
        document(
            &upstream.url,
            &format!(
                r#""authorization": {{"type": "aws-sigv4", "region": "eu-west-1", "profile": "{profile}", "endpoint": "{}"}}"#,
                service.url
            ),
        )
    };
    let options = Options {
        dir: Some(Arc::clone(&dir)),
        ..Options::default()
    };
    let gateway = Gateway::dev(&provider("bedrock"), options).await;
    assert_eq!(ask_chat(&gateway).await.status, 200);
    assert_eq!(service.asked()[0].field("RoleArn"), ROLE);
    let signer = Signer {
        access_key: "marker-access-key-1",
        secret_key: "marker-secret-key-1",
        token: "marker-session-token-1",
        region: "eu-west-1",
        service: "bedrock",
    };
    verify(&upstream, &upstream.asked(), signer).await;
    let report = gateway.command(&["doctor", "--json"]).await;
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(report.contains("its credential can be had"), "{report}");
    stop_without_traces(gateway).await;

    let options = Options {
        dir: Some(Arc::clone(&dir)),
        ..Options::default()
    };
    let gateway = Gateway::dev(&provider("sso"), options).await;
    let answer = ask_chat(&gateway).await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.text().contains("provider cloud"),
        "{}",
        answer.text()
    );
    let report = gateway.command(&["doctor", "--json"]).await;
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(report.contains("gets its keys by sso_session"), "{report}");
    stop_without_traces(gateway).await;
}

fn token(number: usize) -> Said {
    let body = format!(
        r#"{{"access_token":"marker-minted-token-{number}","expires_in":3599,"token_type":"Bearer"}}"#
    );
    Said {
        headers: vec![
            ("content-type", "application/json"),
            ("metadata-flavor", "Google"),
        ],
        ..said(200, body)
    }
}

/// Fails unless an assertion is signed by the account of the tests, for that endpoint.
fn assert_asserted(asked: &Asked, endpoint: &str) {
    assert_eq!(
        asked.field("grant_type"),
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    let assertion = asked.field("assertion");
    let (signed, proof) = assertion.rsplit_once('.').unwrap();
    let public = std::fs::read(repository("tests/fixtures/credentials/account.public.der"));
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.unwrap())
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(proof).unwrap())
        .unwrap();
    let part = |index: usize| -> Value {
        let text = signed.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    };
    assert_eq!(part(0)["alg"], "RS256");
    assert_eq!(part(0)["kid"], "key-of-the-tests");
    let claims = part(1);
    assert_eq!(
        claims["iss"],
        "gateway@acme-models.iam.gserviceaccount.example"
    );
    assert_eq!(claims["aud"], endpoint);
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/cloud-platform"
    );
    let (since, until) = (
        claims["iat"].as_u64().unwrap(),
        claims["exp"].as_u64().unwrap(),
    );
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    assert!(now.unwrap().as_secs() - since < 60 && until - since == 3600);
}

#[tokio::test]
async fn a_service_accounts_tokens_are_minted_from_every_form_of_its_key_file() {
    use base64::engine::general_purpose::STANDARD;
    let service = StandIn::start(|_, before| token(before + 1)).await;
    let upstream = upstream().await;
    let file = keyfile(&format!("{}/token", service.url));
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("vertex.json"), &file).unwrap();
    let inline = Value::from(file.as_str()).to_string();
    let encoded = STANDARD.encode(&file);
    let object = |keyfile: &str| {
        format!(r#""authorization": {{"type": "google-service-account", "keyfile": {keyfile}}}"#)
    };
    let forms = [
        format!(r#""authorization": "bearer", "apikey": "keyfile::{encoded}""#),
        object("\"file:vertex.json\""),
        object(&inline),
        object(&format!("\"{encoded}\"")),
    ];
    let project =
        "/v1/projects/_aperture_auto_vertex_project_id_/locations/_aperture_auto_vertex_region_";
    for (number, form) in forms.iter().enumerate() {
        let options = Options {
            arguments: vec![
                "--secrets-dir".into(),
                secrets.path().to_str().unwrap().into(),
            ],
            ..Options::default()
        };
        let gateway = Gateway::dev(&document(&upstream.url, form), options).await;
        for (path, sent) in [
            (
                format!("{project}/publishers/google/models/gemini-2.5-flash:generateContent"),
                "/v1/projects/acme-models/locations/global/publishers/google/models/gemini-2.5-flash:generateContent",
            ),
            (
                "/projects/own/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict".to_owned(),
                "/v1/projects/own/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
            ),
        ] {
            let answer = ask(&gateway, &path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let asked = upstream.asked();
            let asked = asked.last().unwrap();
            assert_eq!(asked.target, sent);
            let bearer = format!("Bearer marker-minted-token-{}", number + 1);
            assert_eq!(asked.header("authorization"), bearer);
            assert!(!format!("{asked:?}").contains("marker-of-the-client"));
        }
        // Both were paid with one token.
        assert_eq!(service.asked().len(), number + 1);
        assert_asserted(&service.asked()[number], &format!("{}/token", service.url));
        stop_without_traces(gateway).await;
    }
}

#[tokio::test]
async fn a_refusal_names_provider_and_cause_and_is_over_when_it_is() {
    let refuse = Arc::new(Mutex::new(Some(said(
        400,
        r#"{"error":"invalid_grant","error_description":"marker-secret-key of marker-access-key"}"#,
    ))));
    let answers = Arc::clone(&refuse);
    let service = StandIn::start(move |_, before| {
        answers.lock().clone().unwrap_or_else(|| token(before + 1))
    })
    .await;
    let upstream = upstream().await;
    let file = Value::from(keyfile(&service.url)).to_string();
    let form =
        format!(r#""authorization": {{"type": "google-service-account", "keyfile": {file}}}"#);
    let gateway = start(&document(&upstream.url, &form)).await;
    for (broken, words, retry) in [
        (None, "refused with 400 (invalid_grant)", false),
        (Some(said(503, "busy")), "refused with 503", true),
        (Some(said(200, "<html>")), "can't be used", false),
        (
            Some(said(
                200,
                r#"{"access_token":"marker-minted-token","expires_in":0}"#,
            )),
            "expired already",
            false,
        ),
        (Some(said(200, "x".repeat(100_000))), "too long", false),
    ] {
        if broken.is_some() {
            *refuse.lock() = broken;
        }
        let answer = ask_chat(&gateway).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        let message = answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            message.contains("provider cloud") && message.contains(words),
            "{message}"
        );
        assert_eq!(answer.headers.contains_key("x-should-retry"), !retry);
        assert!(!answer.text().contains("marker"), "{}", answer.text());
    }
    assert!(upstream.asked().is_empty());
    let report = gateway.command(&["doctor", "--json"]).await;
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(report.contains("its credential can't be had"), "{report}");
    *refuse.lock() = None;
    assert_eq!(ask_chat(&gateway).await.status, 200);
    let records = gateway.finished(6).await;
    assert_eq!(
        records
            .iter()
            .filter(|record| record.end == End::Refused)
            .count(),
        5
    );
    stop_without_traces(gateway).await;
}

#[tokio::test]
async fn a_token_endpoint_that_hangs_or_is_not_there_fails_requests_in_time() {
    let never = Arc::new(Semaphore::new(0));
    let service = StandIn::start(move |_, _| Said {
        gate: Some(Arc::clone(&never)),
        ..token(1)
    })
    .await;
    let upstream = upstream().await;
    let form = |endpoint: &str| {
        let file = Value::from(keyfile(endpoint)).to_string();
        format!(r#""authorization": {{"type": "google-service-account", "keyfile": {file}}}"#)
    };
    let gateway = start(&document(&upstream.url, &form(&service.url))).await;
    let waiting = (0..3).map(|_| ask_chat(&gateway));
    for answer in futures_util::future::join_all(waiting).await {
        assert_eq!(answer.status, 502);
        assert!(
            answer.text().contains("no answer within 10 s"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(service.asked().len(), 1);
    gateway.stop().await;

    let gateway = start(&document(&upstream.url, &form("http://127.0.0.1:1"))).await;
    let answer = ask_chat(&gateway).await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.text().contains("can't be reached"),
        "{}",
        answer.text()
    );
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    gateway.stop().await;
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn default_credentials_are_the_chosen_file_the_usual_one_or_the_metadata_server() {
    let metadata = StandIn::start(|_, _| token(1)).await;
    let service = StandIn::start(|_, _| token(2)).await;
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &Path, text: String| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let person = format!(
        r#"{{"type":"authorized_user","client_id":"c","client_secret":"marker-client-secret","refresh_token":"marker-refresh-token","token_uri":"{}"}}"#,
        service.url
    );
    let chosen = write(&dir.path().join("chosen.json"), keyfile(&service.url));
    write(
        &dir.path()
            .join("gcloud/application_default_credentials.json"),
        person,
    );
    let other = write(
        &dir.path().join("other.json"),
        r#"{"type":"external_account","x":"marker-secret-key"}"#.into(),
    );
    let gcloud = dir.path().join("gcloud").to_str().unwrap().to_owned();
    let host = metadata.url.trim_start_matches("http://").to_owned();
    let plain = r#""authorization": "google-adc""#.to_owned();
    let named = format!(
        r#""authorization": {{"type": "google-adc", "project": "acme", "endpoint": "{}"}}"#,
        metadata.url
    );
    for (form, environment, bearer) in [
        (
            &plain,
            vec![
                ("GOOGLE_APPLICATION_CREDENTIALS", &chosen),
                ("CLOUDSDK_CONFIG", &gcloud),
            ],
            Some(2),
        ),
        (&plain, vec![("CLOUDSDK_CONFIG", &gcloud)], Some(2)),
        (&plain, vec![("GCE_METADATA_HOST", &host)], Some(1)),
        (&named, vec![("CLOUDSDK_CONFIG", &gcloud)], Some(1)),
        (
            &plain,
            vec![("GOOGLE_APPLICATION_CREDENTIALS", &other)],
            None,
        ),
    ] {
        let before = upstream.asked().len();
        let options = Options {
            environment: environment
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
            ..Options::default()
        };
        let gateway = Gateway::dev(&document(&upstream.url, form), options).await;
        let answer = ask_chat(&gateway).await;
        let Some(number) = bearer else {
            assert_eq!(answer.status, 502, "{}", answer.text());
            assert!(
                answer.text().contains("no usable credential"),
                "{}",
                answer.text()
            );
            assert_eq!(upstream.asked().len(), before);
            stop_without_traces(gateway).await;
            continue;
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        let asked = upstream.asked();
        let bearer = format!("Bearer marker-minted-token-{number}");
        assert_eq!(asked.last().unwrap().header("authorization"), bearer);
        stop_without_traces(gateway).await;
    }
    let posted = service.asked();
    assert_asserted(&posted[0], &format!("{}/", service.url));
    assert_eq!(posted[1].field("refresh_token"), "marker-refresh-token");
    assert_eq!(posted[1].field("client_secret"), "marker-client-secret");
    assert_eq!(posted.len(), 2);
    assert_eq!(metadata.asked().len(), 2);
    for asked in metadata.asked() {
        assert_eq!(asked.header("metadata-flavor"), "Google");
        let target = "/computeMetadata/v1/instance/service-accounts/default/token";
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("GET", target)
        );
    }
}

#[tokio::test]
async fn a_subscription_passes_with_its_account_and_a_signature_never_does() {
    let upstream = upstream().await;
    let form = format!("\"auth_mode\": \"passthrough\", {STATIC}}}");
    let gateway = start(&document(&upstream.url, &form)).await;
    let url = format!("{}/v1/chat/completions", gateway.url);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer marker-of-the-client"),
        ("chatgpt-account-id", "account"),
        ("cookie", "never"),
    ];
    let body = chat("gpt-4o", "hello", false);
    client::send(Method::POST, &url, &headers, body.clone()).await;
    let own = upstream.asked().pop().unwrap();
    assert_eq!(own.header("authorization"), "Bearer marker-of-the-client");
    assert_eq!(own.header("chatgpt-account-id"), "account");
    assert_eq!(own.header("cookie"), "");

    let headers = [
        ("content-type", "application/json"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=marker-of-the-client",
        ),
        ("chatgpt-account-id", "account"),
    ];
    client::send(Method::POST, &url, &headers, body).await;
    let asked = upstream.asked();
    verify(&upstream, &asked[1..], STATIC_SIGNER).await;
    assert_eq!(asked[1].header("chatgpt-account-id"), "");
    stop_without_traces(gateway).await;
}
