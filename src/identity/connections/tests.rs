use super::*;
use crate::identity::testing::{FakeTailnet, answer};
use std::collections::HashSet;
use tokio::time::{advance, timeout};

const ROOMY: ConnectionLimits = ConnectionLimits {
    per_peer: 100,
    all: 1_000,
};

fn peer(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn open(connections: &Connections, peer: &str, node: &str) -> ConnectionGuard {
    connections
        .register(peer.parse().unwrap(), Some(NodeId::from(node)))
        .unwrap()
}

/// Nodes n1, n2, n3 at 100.64.0.1, .2, .3.
fn tailnet() -> FakeTailnet {
    let tailnet = FakeTailnet::new();
    for i in 1..=3 {
        tailnet.set(
            &format!("100.64.0.{i}"),
            answer(&format!("n{i}"), i, "a@example.com"),
        );
    }
    tailnet
}

fn resolver(tailnet: &FakeTailnet) -> Resolver<FakeTailnet> {
    Resolver::new(tailnet.clone(), Vec::new())
}

fn gone(guards: &[ConnectionGuard]) -> Vec<bool> {
    guards
        .iter()
        .map(|guard| guard.token().is_cancelled())
        .collect()
}

#[test]
fn limits_hold_for_a_peer_and_for_all_and_end_with_the_guard() {
    let connections = Connections::new(ConnectionLimits {
        per_peer: 2,
        all: 3,
    });
    let one = connections.register(peer("100.64.0.1:1"), None).unwrap();
    // The mapped form of an address is the same peer.
    let two = connections
        .register(peer("[::ffff:100.64.0.1]:2"), None)
        .unwrap();
    let third = connections.register(peer("100.64.0.1:3"), None);
    assert_eq!(third.unwrap_err(), TooMany::OfPeer { limit: 2 });
    let other = connections.register(peer("100.64.0.2:1"), None).unwrap();
    let fourth = connections.register(peer("100.64.0.3:1"), None);
    assert_eq!(fourth.unwrap_err(), TooMany::InAll { limit: 3 });
    assert_eq!(connections.count(), 3);

    drop(one);
    let again = connections.register(peer("100.64.0.1:4"), None).unwrap();
    drop((two, other, again));
    assert_eq!(connections.count(), 0);
    assert!(connections.shared.open.lock().peers.is_empty());

    connections.set_limits(ConnectionLimits {
        per_peer: 1,
        all: 1,
    });
    let _only = connections.register(peer("100.64.0.1:5"), None).unwrap();
    assert!(connections.register(peer("100.64.0.2:5"), None).is_err());
}

#[test]
fn expel_tells_those_it_picks_once() {
    let connections = Connections::new(ROOMY);
    let guards = [
        open(&connections, "100.64.0.1:1", "n1"),
        open(&connections, "100.64.0.1:2", "n9"),
        open(&connections, "100.64.0.2:1", "n2"),
    ];
    let picks = |_: IpAddr, node: Option<&NodeId>| node.is_some_and(|it| it.as_str() == "n9");
    assert_eq!(connections.expel(picks), 1);
    assert_eq!(gone(&guards), [false, true, false]);
    assert_eq!(connections.expel(picks), 0);
    assert_eq!(connections.expel(|_, _| true), 2);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_closes_the_connections_whose_node_is_gone() {
    let connections = Connections::new(ROOMY);
    let tailnet = tailnet();
    tailnet.set("100.64.0.4", answer("n4", 4, "a@example.com"));
    let resolver = resolver(&tailnet);
    let guards = [
        open(&connections, "100.64.0.1:1", "n1"), // stays
        open(&connections, "100.64.0.1:2", "n0"), // its address is n1's now
        open(&connections, "100.64.0.2:1", "n2"), // removed
        open(&connections, "100.64.0.3:1", "n3"), // expires
        connections.register(peer("100.64.0.4:1"), None).unwrap(), // never identified
        open(&connections, "[::ffff:100.64.0.1]:3", "n1"), // stays
    ];
    connections.sweep(&resolver).await;
    assert_eq!(gone(&guards), [false, true, false, false, true, false]);
    assert_eq!(tailnet.asked(), 4, "one question for each address");

    tailnet.remove("100.64.0.2");
    let mut expired = answer("n3", 3, "a@example.com");
    expired.node.expired = true;
    tailnet.set("100.64.0.3", expired);
    connections.sweep(&resolver).await;
    assert_eq!(gone(&guards), [false, true, true, true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_person_or_a_failing_question_expels_nobody() {
    let connections = Connections::new(ROOMY);
    let tailnet = tailnet();
    let resolver = resolver(&tailnet);
    let guards = [open(&connections, "100.64.0.1:1", "n1")];
    let mut retagged = answer("n1", 7, "bob@example.com");
    retagged.node.tags = Some(vec!["tag:ci".into()]);
    tailnet.set("100.64.0.1", retagged);
    connections.sweep(&resolver).await;
    tailnet.break_with(Some("busy"));
    connections.sweep(&resolver).await;
    assert_eq!(tailnet.asked(), 2);
    assert_eq!(gone(&guards), [false]);
}

/// The answer to a question tells nothing about a connection that was accepted after it.
#[tokio::test(start_paused = true)]
async fn a_connection_younger_than_the_question_is_left_alone() {
    let connections = Connections::new(ROOMY);
    let tailnet = FakeTailnet::held_back();
    tailnet.set("100.64.0.1", answer("old", 1, "a@example.com"));
    let resolver = resolver(&tailnet);
    let older = open(&connections, "100.64.0.1:1", "older");
    let sweep = connections.sweep(&resolver);
    let accept = async {
        tokio::task::yield_now().await;
        assert_eq!(tailnet.asked(), 1);
        // The address passes on and its new owner connects, while the question is under way.
        let guard = open(&connections, "100.64.0.1:2", "new");
        tailnet.let_answer(1);
        guard
    };
    let ((), younger) = tokio::join!(sweep, accept);
    assert_eq!(gone(&[older, younger]), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn the_patrol_finds_out_within_a_second_by_itself() {
    let connections = Connections::new(ROOMY);
    let tailnet = tailnet();
    let resolver = resolver(&tailnet);
    let stays = open(&connections, "100.64.0.1:1", "n1");
    let leaves = open(&connections, "100.64.0.2:1", "n2");
    let watched = async {
        advance(Duration::from_millis(10)).await;
        // A request has just been answered from a question before the change: that must not delay anything.
        resolver
            .resolve(peer("100.64.0.2:1").ip(), None)
            .await
            .unwrap();
        tailnet.remove("100.64.0.2");
        let began = Instant::now();
        timeout(Duration::from_secs(5), leaves.cancelled())
            .await
            .expect("expelled");
        began.elapsed()
    };
    let took = tokio::select! {
        () = connections.patrol(&resolver) => unreachable!("it goes on for ever"),
        took = watched => took,
    };
    assert!(took <= PATROL_INTERVAL, "{took:?}");
    assert!(!stays.token().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn the_patrol_looks_at_once_at_what_is_suspected_and_only_there() {
    let connections = Connections::new(ROOMY);
    let tailnet = tailnet();
    let resolver = resolver(&tailnet);
    let guards = [
        open(&connections, "100.64.0.1:1", "n1"),
        open(&connections, "100.64.0.2:1", "n2"),
        open(&connections, "100.64.0.3:1", "n3"),
    ];
    let told = async {
        advance(Duration::from_millis(1)).await;
        tokio::task::yield_now().await;
        assert_eq!(tailnet.asked(), 3, "the first round is over");
        for i in 1..=3 {
            tailnet.remove(&format!("100.64.0.{i}"));
        }
        let began = Instant::now();
        connections.suspect(Touched::Some {
            nodes: HashSet::from([NodeId::from("n1")]),
            addresses: HashSet::from(["100.64.0.3".parse().unwrap()]),
        });
        guards[0].cancelled().await;
        guards[2].cancelled().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(gone(&guards), [true, false, true]);
        assert_eq!(tailnet.asked(), 5);
        connections.suspect(Touched::Everything);
        guards[1].cancelled().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    };
    tokio::select! {
        () = connections.patrol(&resolver) => unreachable!("it goes on for ever"),
        () = told => {}
    }
}

#[tokio::test(start_paused = true)]
async fn rounds_are_bounded_and_take_turns() {
    let connections = Connections::new(ROOMY);
    let tailnet = FakeTailnet::new();
    let resolver = resolver(&tailnet);
    let peers = 2 * PATROL_QUESTIONS + 44;
    let guards: Vec<_> = (0..peers)
        .map(|i| {
            let address = format!("100.65.{}.{}:1", i / 200, i % 200);
            open(&connections, &address, "n")
        })
        .collect();
    let expelled = || gone(&guards).into_iter().filter(|gone| *gone).count();
    for (round, expected) in [PATROL_QUESTIONS, 2 * PATROL_QUESTIONS, peers]
        .into_iter()
        .enumerate()
    {
        advance(PATROL_INTERVAL).await;
        connections.sweep(&resolver).await;
        assert_eq!(expelled(), expected, "round {round}");
    }
}
