//! h2, TLS and both: the same replies, and faults that fit the protocol.

use hyper::Version;
use provider::{End, Matcher, Options, Provider, Script};

use crate::client::{Client, anthropic, post};

#[tokio::test]
async fn every_protocol_gives_the_same_reply() {
    let provider = Provider::start(Options::default().with_tls())
        .await
        .unwrap();
    let script = r#"{"text":"a b c","usage":{"input":1,"output":2}}"#;
    provider.script(Matcher::any(), Script::from_json(script).unwrap());
    let (address, trusted) = (provider.tls_addr().unwrap(), provider.ca_pem().unwrap());
    let clients = [
        (Client::h1(provider.addr()).await, Version::HTTP_11),
        (Client::h2(provider.addr()).await, Version::HTTP_2),
        (
            Client::tls(address, trusted, "http/1.1").await,
            Version::HTTP_11,
        ),
        (Client::tls(address, trusted, "h2").await, Version::HTTP_2),
    ];
    let mut bodies = Vec::new();
    for (mut client, version) in clients {
        let reply = client
            .post("/v1/messages", &[], anthropic("x", true))
            .await
            .unwrap();
        assert_eq!(reply.version, version);
        assert_eq!(provider.log().pop().unwrap().request.protocol, version);
        bodies.push(reply.body);
    }
    // The script says everything, so the reply was made once: the very same bytes.
    assert!(
        bodies
            .iter()
            .all(|body| *body == bodies[0] && !body.is_empty())
    );
}

#[tokio::test]
async fn a_cut_on_h2_ends_the_stream_or_the_connection() {
    let provider = Provider::start(Options::default()).await.unwrap();
    for (how, survives) in [("stream", true), ("fin", false), ("rst", false)] {
        let script = format!(r#"{{"text":"a b c","cut":4,"cut_how":"{how}"}}"#);
        provider.script_times(1, Matcher::any(), Script::from_json(&script).unwrap());
        let mut client = Client::h2(provider.addr()).await;
        let reply = client
            .post("/v1/messages", &[], anthropic("x", true))
            .await
            .unwrap();
        assert!(reply.is_broken, "{how}");
        let entry = provider.log().pop().unwrap();
        assert_eq!(
            (entry.answer.end, entry.answer.chunks_sent),
            (Some(End::Cut), 4)
        );
        if !survives {
            // A stream's reset may overtake its data; a closed connection may not.
            assert_eq!(entry.answer.body().unwrap(), reply.body, "{how}");
        }
        let next = client.post("/v1/messages", &[], anthropic("x", true)).await;
        assert_eq!(next.is_ok(), survives, "{how}");
    }
}

#[tokio::test]
async fn a_cancelled_h2_stream_is_the_client_leaving() {
    let provider = Provider::start(Options::default()).await.unwrap();
    provider.script_times(
        1,
        Matcher::any(),
        Script::from_json(r#"{"stall":"after_head"}"#).unwrap(),
    );
    let mut client = Client::h2(provider.addr()).await;
    let open = client
        .send(post("/v1/messages", &[], anthropic("x", true)))
        .await
        .unwrap();
    drop(open);
    provider.await_ended(1).await;
    assert_eq!(provider.log()[0].answer.end, Some(End::ClientGone));
    assert!(
        client
            .post("/v1/messages", &[], anthropic("x", true))
            .await
            .is_ok()
    );
    assert_eq!(provider.accepted(), 1);
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let listen = Some("0.0.0.0:0".parse().unwrap());
    let error = Provider::start(Options {
        listen,
        ..Options::default()
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("not a loopback address"));
}
