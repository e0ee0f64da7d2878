//! The loop against servers of a few lines.

use super::*;
use tokio::net::TcpListener;

/// A server that answers each request on a connection with the next of these texts, then closes.
async fn serving(answers: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut connections = JoinSet::new();
    let accept = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut buffer = [0; 1024];
                for answer in answers {
                    // The requests of these tests come in one read.
                    if !matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {
                        return;
                    }
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    };
    let mut server = JoinSet::new();
    server.spawn(accept);
    server.detach_all();
    address
}

fn plan(target: SocketAddr, requests: u64) -> Plan {
    Plan {
        target,
        requests: vec![Asked::new(crate::wire::request(
            "test",
            "/",
            &[""; 0],
            Some(b"{}"),
        ))],
        connections: 1,
        warm_up: 0,
        limit: Limit {
            requests,
            time: Duration::from_mins(1),
        },
        timeout: Duration::from_secs(10),
        first: 0,
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn counts_exactly_what_was_asked_for_and_keeps_connections() {
    let target = serving(&[OK; 8]).await;
    let mut plan = plan(target, 6);
    plan.connections = 2;
    plan.warm_up = 1;
    plan.requests[0].expected = Some(Arc::from(*b"ok"));
    let outcome = run(plan, &[]).await.unwrap();
    // Two connections, eight answers each: warm-up and all requests pass without a third one.
    assert_eq!(outcome.measured.statuses, BTreeMap::from([(200, 6)]));
    assert_eq!((outcome.measured.bytes, outcome.failed()), (12, 0));
}

#[tokio::test]
async fn other_bytes_are_a_failure() {
    for body in ["ko", "o", "okk"] {
        let target = serving(&[OK]).await;
        let mut plan = plan(target, 1);
        plan.requests[0].expected = Some(Arc::from(body.as_bytes()));
        let outcome = run(plan, &[]).await.unwrap();
        assert_eq!(outcome.failed(), 1, "{body}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_counted_and_made_anew() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok";
    let target = serving(Box::leak(Box::new([OK, cut]))).await;
    let outcome = run(plan(target, 4), &[]).await.unwrap();
    assert_eq!(outcome.measured.statuses, BTreeMap::from([(200, 2)]));
    let failures: Vec<_> = outcome.measured.failures.into_iter().collect();
    assert_eq!(
        failures,
        [("closed before the response's end".to_owned(), 2)]
    );
}

#[tokio::test]
async fn each_request_has_a_number_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut plan = plan(listener.local_addr().unwrap(), 2);
    let request = crate::wire::request("test", "/", &[""; 0], Some(b"<0000>"));
    plan.requests = vec![Asked::new(request).varied("0000")];
    plan.warm_up = 1;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut buffer, mut bodies) = ([0; 1024], Vec::new());
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            bodies.push(String::from_utf8_lossy(&buffer[count - 6..count]).into_owned());
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
        bodies
    };
    let (outcome, bodies) = tokio::join!(run(plan, &[]), server);
    assert_eq!(outcome.unwrap().failed(), 0);
    assert_eq!(bodies, ["<0000>", "<0001>", "<0002>"]);
}

#[tokio::test]
async fn several_requests_take_turns() {
    let no = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno";
    let target = serving(Box::leak(Box::new([OK, no, OK, no]))).await;
    let mut plan = plan(target, 4);
    let one = plan.requests[0].clone();
    plan.requests = vec![
        Asked {
            status: 200,
            ..one.clone()
        },
        Asked { status: 404, ..one },
    ];
    let outcome = run(plan, &[]).await.unwrap();
    assert_eq!(
        outcome.measured.statuses,
        BTreeMap::from([(200, 2), (404, 2)])
    );
    assert_eq!(outcome.failed(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_as_planned_is_no_failure() {
    let target = serving(&["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"]).await;
    let mut plan = plan(target, 3);
    plan.requests[0].leaves = Some(1);
    let outcome = run(plan, &[]).await.unwrap();
    assert_eq!((outcome.measured.left, outcome.failed()), (3, 0));
    assert_eq!(outcome.answered(), 0);
}
