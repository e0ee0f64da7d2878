use super::*;
use crate::{
    config::grant::Role,
    identity::testing::{FakeTailnet, answer},
};
use serde_json::json;
use tokio::time::advance;

const IP: &str = "100.64.0.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn resolver(tailnet: &FakeTailnet) -> Arc<Resolver<FakeTailnet>> {
    Arc::new(Resolver::new(tailnet.clone(), vec!["cap".into()]))
}

fn alice_tailnet() -> FakeTailnet {
    let tailnet = FakeTailnet::new();
    tailnet.set(IP, answer("n1", 1, "alice@example.com"));
    tailnet
}

async fn login(resolver: &Resolver<FakeTailnet>) -> String {
    let caller = resolver.resolve(ip(IP), None).await.unwrap();
    caller.login.to_string()
}

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn start(
    resolver: &Arc<Resolver<FakeTailnet>>,
) -> tokio::task::JoinHandle<Result<Arc<Caller>, Unidentified>> {
    let resolver = resolver.clone();
    #[expect(clippy::disallowed_methods, reason = "a test waits for its own tasks")]
    tokio::spawn(async move { resolver.resolve(ip(IP), None).await })
}

#[tokio::test(start_paused = true)]
async fn an_answer_serves_for_a_second() {
    let tailnet = alice_tailnet();
    let resolver = resolver(&tailnet);
    for _ in 0..5 {
        assert_eq!(login(&resolver).await, "alice@example.com");
    }
    advance(MAX_AGE).await;
    assert_eq!(login(&resolver).await, "alice@example.com");
    assert_eq!(tailnet.asked(), 1);

    tailnet.set(IP, answer("n1", 2, "bob@example.com"));
    advance(Duration::from_millis(1)).await;
    assert_eq!(login(&resolver).await, "bob@example.com");
    assert_eq!(tailnet.asked(), 2);
    assert_eq!(
        resolver.counts(),
        Counts {
            lookups: 7,
            hits: 5,
            failures: 0
        }
    );
}

/// A slow answer is as old as its question: it serves those who waited, and no request that comes a second later.
#[tokio::test(start_paused = true)]
async fn age_counts_from_the_question() {
    let tailnet = FakeTailnet::held_back();
    tailnet.set(IP, answer("n1", 1, "alice@example.com"));
    let resolver = resolver(&tailnet);
    let first = start(&resolver);
    settle().await;
    assert_eq!(tailnet.asked(), 1);
    tailnet.set(IP, answer("n1", 2, "bob@example.com"));

    // A request that arrives more than a second after the question asks for itself, though none is answered yet.
    advance(MAX_AGE + Duration::from_millis(1)).await;
    let second = start(&resolver);
    settle().await;
    assert_eq!(tailnet.asked(), 2);

    tailnet.let_answer(2);
    assert_eq!(&*first.await.unwrap().unwrap().login, "alice@example.com");
    assert_eq!(&*second.await.unwrap().unwrap().login, "bob@example.com");
    assert_eq!(login(&resolver).await, "bob@example.com");
    assert_eq!(tailnet.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_burst_asks_once() {
    let tailnet = FakeTailnet::held_back();
    tailnet.set(IP, answer("n1", 1, "alice@example.com"));
    let resolver = resolver(&tailnet);
    let burst: Vec<_> = (0..100).map(|_| start(&resolver)).collect();
    settle().await;
    assert_eq!(tailnet.asked(), 1);
    tailnet.let_answer(1);
    for request in burst {
        assert_eq!(&*request.await.unwrap().unwrap().user, "user:1");
    }
    assert_eq!(
        resolver.counts(),
        Counts {
            lookups: 100,
            hits: 99,
            failures: 0
        }
    );
}

/// The one who asked leaves: another who waits asks on, and nobody waits for ever.
#[tokio::test(start_paused = true)]
async fn who_asked_may_leave() {
    let tailnet = FakeTailnet::held_back();
    tailnet.set(IP, answer("n1", 1, "alice@example.com"));
    let resolver = resolver(&tailnet);
    let leaves = start(&resolver);
    settle().await;
    let stays = start(&resolver);
    settle().await;
    leaves.abort();
    settle().await;
    assert_eq!(tailnet.asked(), 2);
    tailnet.let_answer(1);
    assert_eq!(&*stays.await.unwrap().unwrap().user, "user:1");
}

#[tokio::test(start_paused = true)]
async fn a_flush_forgets_answers() {
    let tailnet = alice_tailnet();
    let resolver = resolver(&tailnet);
    assert_eq!(login(&resolver).await, "alice@example.com");
    tailnet.set(IP, answer("n1", 2, "bob@example.com"));
    resolver.flush();
    assert_eq!(login(&resolver).await, "bob@example.com");
}

#[tokio::test(start_paused = true)]
async fn a_flush_forgets_the_answer_to_a_question_under_way() {
    for touched in [Touched::Everything, named("other", "100.64.9.9")] {
        let tailnet = FakeTailnet::held_back();
        tailnet.set(IP, answer("n1", 1, "alice@example.com"));
        let resolver = resolver(&tailnet);
        let early = start(&resolver);
        settle().await;
        tailnet.set(IP, answer("n1", 2, "bob@example.com"));
        resolver.forget(&touched);
        tailnet.let_answer(1);
        assert_eq!(&*early.await.unwrap().unwrap().user, "user:1");
        // Its answer was from before the flush: the next request asks.
        tailnet.let_answer(1);
        assert_eq!(login(&resolver).await, "bob@example.com");
        assert_eq!(tailnet.asked(), 2);
    }
}

fn named(node: &str, address: &str) -> Touched {
    Touched::Some {
        nodes: [NodeId::from(node)].into(),
        addresses: [ip(address)].into(),
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_touched_is_forgotten() {
    let unknown = "100.64.0.9";
    for (touched, forgotten) in [
        (Touched::Nothing, [false, false]),
        (named("n1", "100.64.0.7"), [true, false]),
        (named("n7", IP), [true, false]),
        (named("n7", unknown), [false, true]),
        (named("n7", "100.64.0.7"), [false, false]),
        (Touched::Everything, [true, true]),
    ] {
        let tailnet = alice_tailnet();
        let resolver = resolver(&tailnet);
        for (peer, forgotten) in [IP, unknown].into_iter().zip(forgotten) {
            let before = resolver.resolve(ip(peer), None).await;
            let asked = tailnet.asked();
            resolver.forget(&touched);
            assert_eq!(resolver.resolve(ip(peer), None).await, before);
            assert_eq!(
                tailnet.asked() - asked,
                usize::from(forgotten),
                "{peer} {touched:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_a_refusal_never_an_older_answer() {
    let tailnet = alice_tailnet();
    let resolver = resolver(&tailnet);
    assert_eq!(login(&resolver).await, "alice@example.com");
    tailnet.break_with(Some("backend stopped"));
    advance(MAX_AGE + Duration::from_millis(1)).await;
    for _ in 0..2 {
        assert_eq!(
            resolver.resolve(ip(IP), None).await,
            Err(Unidentified::Failed("backend stopped".into()))
        );
    }
    assert_eq!(resolver.counts().failures, 2);
    // The failure itself is not remembered.
    tailnet.break_with(None);
    assert_eq!(login(&resolver).await, "alice@example.com");
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_fails_once_for_all_who_wait() {
    let tailnet = FakeTailnet::held_back();
    tailnet.set(IP, answer("n1", 1, "alice@example.com"));
    let resolver = resolver(&tailnet);
    let began = Instant::now();
    let waiting: Vec<_> = (0..10).map(|_| start(&resolver)).collect();
    for request in waiting {
        let refused = request.await.unwrap().unwrap_err();
        assert!(matches!(refused, Unidentified::Failed(_)), "{refused}");
    }
    let waited = began.elapsed();
    assert!(
        waited >= QUESTION_DEADLINE && waited < QUESTION_DEADLINE * 2,
        "{waited:?}"
    );
    assert_eq!(tailnet.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_peer_is_asked_about_again_after_a_second() {
    let tailnet = FakeTailnet::new();
    let resolver = resolver(&tailnet);
    for _ in 0..3 {
        assert_eq!(
            resolver.resolve(ip(IP), None).await,
            Err(Unidentified::UnknownPeer)
        );
    }
    assert_eq!(tailnet.asked(), 1);
    tailnet.set(IP, answer("n1", 1, "alice@example.com"));
    advance(MAX_AGE + Duration::from_millis(1)).await;
    assert_eq!(login(&resolver).await, "alice@example.com");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_passed_on_is_refused_to_the_old_connection() {
    let tailnet = alice_tailnet();
    let resolver = resolver(&tailnet);
    let node = resolver.resolve(ip(IP), None).await.unwrap().node.clone();
    assert!(resolver.resolve(ip(IP), Some(&node)).await.is_ok());

    tailnet.set(IP, answer("n2", 1, "alice@example.com"));
    resolver.flush();
    let refused = resolver.resolve(ip(IP), Some(&node)).await;
    assert_eq!(refused, Err(Unidentified::Reassigned));
    // A new connection from there is the new node's.
    let heir = resolver.resolve(ip(IP), None).await.unwrap().node.clone();
    assert_eq!(heir.as_str(), "n2");
    assert!(resolver.resolve(ip(IP), Some(&heir)).await.is_ok());

    tailnet.remove(IP);
    resolver.flush();
    let refused = resolver.resolve(ip(IP), Some(&heir)).await;
    assert_eq!(refused, Err(Unidentified::UnknownPeer));
}

#[tokio::test(start_paused = true)]
async fn a_mapped_address_is_the_same_peer() {
    let tailnet = alice_tailnet();
    let resolver = resolver(&tailnet);
    let plain = resolver.resolve(ip(IP), None).await.unwrap();
    let mapped = resolver
        .resolve(ip("::ffff:100.64.0.1"), Some(&plain.node))
        .await;
    assert_eq!(mapped.unwrap(), plain);
    assert_eq!(tailnet.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_peers_are_never_mixed_up() {
    let tailnet = FakeTailnet::new();
    let peers: Vec<String> = (0..200).map(|i| format!("100.64.1.{i}")).collect();
    for (i, peer) in (0..).zip(&peers) {
        tailnet.set(peer, answer(&format!("n{i}"), 1000 + i, "x@example.com"));
    }
    let resolver = resolver(&tailnet);
    for round in 0..3 {
        for (i, peer) in peers.iter().enumerate() {
            let caller = resolver.resolve(ip(peer), None).await.unwrap();
            assert_eq!(*caller.user, format!("user:{}", 1000 + i), "round {round}");
        }
    }
    assert_eq!(tailnet.asked(), peers.len());
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded_and_makes_room() {
    let tailnet = alice_tailnet();
    let resolver = resolver(&tailnet);
    let stranger = |i: u32| IpAddr::from((0xfd7a_0000_u128 + u128::from(i)).to_be_bytes());
    let most = u32::try_from(MAX_ADDRESSES).unwrap();
    for i in 0..most + 100 {
        drop(resolver.resolve(stranger(i), None).await);
    }
    assert_eq!(resolver.cache.lock().slots.len(), MAX_ADDRESSES);
    // Full of what is still fresh: others are answered all the same, each by a question of its own.
    let asked = tailnet.asked();
    assert_eq!(login(&resolver).await, "alice@example.com");
    assert_eq!(login(&resolver).await, "alice@example.com");
    assert_eq!(tailnet.asked(), asked + 2);

    advance(MAX_AGE + Duration::from_millis(1)).await;
    assert_eq!(login(&resolver).await, "alice@example.com");
    assert_eq!(login(&resolver).await, "alice@example.com");
    assert_eq!(tailnet.asked(), asked + 3);
    assert_eq!(resolver.cache.lock().slots.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_capability_name_holds_from_the_next_request() {
    let tailnet = FakeTailnet::new();
    let mut whois = answer("n1", 1, "alice@example.com");
    whois.cap_map =
        serde_json::from_value(json!({"cap": [{"role": "user"}], "other": [{"role": "admin"}]}))
            .unwrap();
    tailnet.set(IP, whois);
    let resolver = resolver(&tailnet);
    let caller = resolver.resolve(ip(IP), None).await.unwrap();
    assert_eq!(caller.capabilities[0].role, Some(Role::User));
    resolver.set_capabilities(vec!["other".into()]);
    let caller = resolver.resolve(ip(IP), None).await.unwrap();
    assert_eq!(caller.capabilities[0].role, Some(Role::Admin));
}

/// A kept answer about the last owner of an address must not refuse the next one.
#[tokio::test(start_paused = true)]
async fn a_connection_of_the_new_owner_is_asked_about_anew() {
    let tailnet = alice_tailnet();
    let resolver = resolver(&tailnet);
    assert_eq!(login(&resolver).await, "alice@example.com");
    tailnet.set(IP, answer("n2", 2, "bob@example.com"));
    let caller = resolver
        .resolve(ip(IP), Some(&NodeId::from("n2")))
        .await
        .unwrap();
    assert_eq!(&*caller.login, "bob@example.com");
}
