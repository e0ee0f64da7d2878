use super::*;
use crate::identity::{
    connections::ConnectionLimits,
    testing::{FakeTailnet, answer},
};
use serde_json::json;

fn named(nodes: &[&str], addresses: &[&str]) -> Touched {
    Touched::Some {
        nodes: nodes.iter().map(|node| NodeId::from(*node)).collect(),
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
    }
}

#[test]
fn each_notification_touches_what_it_names() {
    let peers = |peers| json!({"Version": "1", "PeersChanged": peers}).to_string();
    let many: Vec<_> = (0..=MAX_NAMED)
        .map(|i| json!({"StableID": format!("n{i}")}))
        .collect();
    for (line, touched) in [
        // As the bus writes it: fields without a value are null.
        (
            json!({"Version": "1", "ErrMessage": null, "State": null, "NetMap": null,
                "Engine": {"RBytes": 1}})
            .to_string(),
            Touched::Nothing,
        ),
        (
            json!({"Health": {"Warnings": {}}}).to_string(),
            Touched::Nothing,
        ),
        (
            json!({"Prefs": {"WantRunning": true}}).to_string(),
            Touched::Nothing,
        ),
        (
            json!({"BrowseToURL": "https://x.example"}).to_string(),
            Touched::Nothing,
        ),
        (
            json!({"PeerChangedPatch": [{"NodeID": 1, "Online": true}]}).to_string(),
            Touched::Nothing,
        ),
        // Every field empty: follows changes that have no field.
        (
            json!({"Version": "1", "SessionID": "s", "NetMap": null}).to_string(),
            Touched::Everything,
        ),
        (json!({}).to_string(), Touched::Everything),
        (json!({"State": 2}).to_string(), Touched::Everything),
        (
            json!({"NetMap": {"Peers": []}}).to_string(),
            Touched::Everything,
        ),
        (
            json!({"SelfChange": {"ID": 1}}).to_string(),
            Touched::Everything,
        ),
        (
            json!({"InitialStatus": {}}).to_string(),
            Touched::Everything,
        ),
        (
            json!({"UserProfiles": {"1": {"LoginName": "a"}}}).to_string(),
            Touched::Everything,
        ),
        (
            json!({"PeersRemoved": [12]}).to_string(),
            Touched::Everything,
        ),
        (
            peers(json!([
                {"ID": 1, "StableID": "n1", "Addresses": ["100.64.0.1/32", "fd7a:115c:a1e0::1/128"]},
                {"ID": 2, "StableID": "n2"},
                {"ID": 3, "StableID": "n3", "Addresses": null, "Expired": true},
            ])),
            named(&["n1", "n2", "n3"], &["100.64.0.1", "fd7a:115c:a1e0::1"]),
        ),
        // Too many to name, or not understood: all.
        (peers(json!(many)), Touched::Everything),
        (peers(json!([{"ID": 1}])), Touched::Everything),
        (
            peers(json!([{"StableID": "n1", "Addresses": ["?"]}])),
            Touched::Everything,
        ),
        (peers(json!([null])), Touched::Everything),
        (peers(json!("n1")), Touched::Everything),
        (json!([]).to_string(), Touched::Everything),
        ("{\"PeersChanged\":[{\"Sta".into(), Touched::Everything),
        (String::new(), Touched::Everything),
    ] {
        assert_eq!(Touched::read(&line), touched, "{line}");
    }
}

#[test]
fn touched_adds_up_and_covers() {
    let [one, two] = ["100.64.0.1", "100.64.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let (n1, n9) = (NodeId::from("n1"), NodeId::from("n9"));
    let mut touched = Touched::default();
    assert!(touched.is_nothing() && !touched.covers(one, Some(&n1)));
    touched.add(named(&["n1"], &[]));
    touched.add(Touched::Nothing);
    touched.add(named(&["n2"], &["100.64.0.2"]));
    assert_eq!(touched, named(&["n1", "n2"], &["100.64.0.2"]));
    assert!(touched.covers(one, Some(&n1)), "by node");
    assert!(touched.covers(two, None), "by address");
    assert!(!touched.covers(one, Some(&n9)) && !touched.covers(one, None));
    touched.add(Touched::Everything);
    touched.add(named(&["n3"], &[]));
    assert!(touched.covers(one, Some(&n9)) && touched.covers(one, None));
}

#[test]
fn what_adds_up_is_bounded() {
    let mut touched = Touched::Nothing;
    for i in 0..=16 * MAX_NAMED {
        touched.add(named(&[&format!("n{i}")], &[]));
    }
    assert_eq!(touched, Touched::Everything);
}

/// Across a watch that closes and the next one, nothing from before is used.
#[tokio::test(start_paused = true)]
async fn following_forgets_at_begin_end_and_each_change() {
    let tailnet = FakeTailnet::new();
    let ip = "100.64.0.1";
    let peer: IpAddr = ip.parse().unwrap();
    tailnet.set(ip, answer("n1", 1, "alice@example.com"));
    let resolver = Resolver::new(tailnet.clone(), Vec::new());
    let connections = Connections::new(ConnectionLimits {
        per_peer: 1,
        all: 1,
    });
    let (lines, source) = mpsc::channel(8);
    let following = follow(source, &resolver, &connections);
    let changes = async {
        let asks = async |expected: usize, when: &str| {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            resolver.resolve(peer, None).await.unwrap();
            assert_eq!(tailnet.asked(), expected, "{when}");
        };
        asks(1, "at the beginning").await;
        asks(1, "nothing changed").await;
        lines.send(json!({"Engine": {}}).to_string()).await.unwrap();
        asks(1, "an unrelated notification").await;
        let other = json!({"PeersChanged": [{"StableID": "n2", "Addresses": ["100.64.0.2/32"]}]});
        lines.send(other.to_string()).await.unwrap();
        asks(1, "another peer changed").await;
        let own = json!({"PeersChanged": [{"StableID": "n1", "Addresses": ["100.64.0.1/32"]}]});
        lines.send(own.to_string()).await.unwrap();
        asks(2, "this peer changed").await;
        lines.send("not JSON".into()).await.unwrap();
        asks(3, "not understood").await;
        drop(lines);
        asks(4, "the watch closed").await;
    };
    tokio::join!(following, changes);
}
