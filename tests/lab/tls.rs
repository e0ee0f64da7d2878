//! Https on the tailnet, with the certificate that the node gets for its own name.

use super::{MODEL, USERS, change, doctor_says, health, person, with};
use crate::support::{Gateway, Lab, gateway::Options, message};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use provider::Provider;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

const NAME: &str = "ai.tail-scale.ts.net";

/// A tailnet with certificates, where the issuer behaves so, and a gateway that is still joining it.
async fn start(issuer: Value) -> (Provider, Lab, Gateway) {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let mut carol = person("carol", "carol@example.com");
    carol["forward"] = json!(["ai:443", "ai:80"]);
    let mut topology = with(&[carol]);
    topology["https"] = json!(true);
    let lab = Lab::start(&topology).await;
    change(&lab, "/issuer", issuer).await;
    let acme = lab.state().await["acmeURL"].as_str().unwrap().to_owned();
    let options = Options {
        arguments: vec!["--tls".into()],
        environment: vec![("TS_DEBUG_ACME_DIRECTORY_URL".into(), acme)],
        ..Options::default()
    };
    let config = crate::support::config(&provider.url(), USERS);
    let gateway = Gateway::on(&lab, &config, options).await;
    (provider, lab, gateway)
}

/// Waits for a certificate.
async fn certified(gateway: &Gateway) {
    gateway
        .event("https: a certificate is in force", |fields| {
            (fields["name"] == NAME).then_some(())
        })
        .await;
}

/// Calls the gateway by its full name, from that node.
async fn connect(lab: &Lab, node: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let ca = lab.state().await["ca"].as_str().unwrap().to_owned();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let door = lab.forward(node, "ai:443").await;
    let stream = TcpStream::connect(door.trim_start_matches("http://"))
        .await
        .unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(NAME).unwrap(), stream)
        .await
}

async fn issued(lab: &Lab) -> u64 {
    lab.state().await["issued"].as_u64().unwrap()
}

#[tokio::test]
async fn a_request_over_https_is_its_callers() {
    let (_provider, lab, gateway) = start(json!({})).await;
    certified(&gateway).await;
    let stream = connect(&lab, "carol").await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("/v1/messages")
        .header("host", NAME)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(message(MODEL, "hello", true))))
        .unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
    let records = gateway.finished(1).await;
    assert_eq!(records[0].who.login, "carol@example.com");
    assert_eq!(records[0].who.node_name, "carol");
    assert_eq!(issued(&lab).await, 1);
    let (_, said) = doctor_says(&gateway, &[]).await;
    assert!(
        said.contains("ok    https.certificate: certificate from the node"),
        "{said}"
    );
    assert!(
        said.contains(&format!("clients call https://{NAME}")),
        "{said}"
    );

    // A client that asks for https on the port for http is named.
    let door = lab.forward("carol", "ai:80").await;
    let mut stream = TcpStream::connect(door.trim_start_matches("http://"))
        .await
        .unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0])
        .await
        .unwrap();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)
        .await
        .unwrap();
    assert_eq!(answer, [21, 3, 1, 0, 2, 2, 70]);
    let (_, said) = doctor_says(&gateway, &[]).await;
    assert!(
        said.contains("carol@example.com on carol asked for https on the port for http"),
        "{said}"
    );
    gateway.stop().await;
}

/// A certificate that has lived most of its life when it comes is renewed at once; while the issuer gives no better one, the
/// gateway waits before it asks again.
#[tokio::test]
async fn a_certificate_that_is_due_is_renewed() {
    let old = json!({"age_ms": 3_600_000, "valid_ms": 600_000});
    let (_provider, lab, gateway) = start(old).await;
    // When the certificate ends that was taken as the first, second, ….
    let ends = |number: usize| {
        let mut taken = 0;
        gateway.event("https: a certificate is in force", move |fields| {
            taken += 1;
            (taken == number).then(|| fields["until"].as_str().unwrap().to_owned())
        })
    };
    let (first, second) = (ends(1).await, ends(2).await);
    // Times are in whole seconds, and renewing takes less.
    assert!(first <= second, "{first} {second}");
    // No stream of asking: it waits for some seconds.
    assert_eq!(issued(&lab).await, 2);
    let usual = json!({"age_ms": 0, "valid_ms": 7_776_000_000_u64});
    change(&lab, "/issuer", usual).await;
    ends(3).await;
    assert_eq!(issued(&lab).await, 3);
    assert!(connect(&lab, "carol").await.is_ok());
    let (_, said) = doctor_says(&gateway, &[]).await;
    assert!(said.contains("good for 89 days"), "{said}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_refusal_is_told_everywhere_and_tried_again() {
    let (_provider, lab, gateway) = start(json!({"refuse": "no more today"})).await;
    gateway
        .event("https: no certificate from the node", |fields| {
            fields["error"]
                .as_str()?
                .contains("no more today")
                .then_some(())
        })
        .await;
    assert!(connect(&lab, "carol").await.is_err());
    let (serves, state) = health(&gateway).await;
    assert!(serves);
    assert_eq!(state["https"], "failed");
    let (well, said) = doctor_says(&gateway, &[]).await;
    assert!(
        !well && said.contains("FAIL  https.certificate: no certificate from the node"),
        "{said}"
    );
    assert!(said.contains("no more today"), "{said}");
    change(&lab, "/issuer", json!({"refuse": ""})).await;
    certified(&gateway).await;
    assert!(connect(&lab, "carol").await.is_ok());
    assert_eq!(health(&gateway).await.1["https"], "ok");
    gateway.stop().await;
}
