//! Answers as the node gives them, and as it might one day.

use super::*;

const PERSON: &str = r#"{
	"Node": {
		"ID": 7, "StableID": "nAlice", "Name": "laptop.tail-scale.ts.net.", "User": 123, "Key": "nodekey:00",
		"KeyExpiry": "0001-01-01T00:00:00Z", "Addresses": ["100.64.0.1/32"], "Hostinfo": {"OS": "linux"},
		"ComputedName": "laptop", "CapMap": {"https://tailscale.com/cap/is-admin": null}
	},
	"UserProfile": {"ID": 123, "LoginName": "alice@example.com", "DisplayName": "Alice", "Groups": ["group:eng"]},
	"CapMap": {"tailscale.com/cap/aperture": [{"role": "admin"}, {"models": ["**"]}], "empty": null, "odd": "text"}
}"#;

#[test]
fn whois_tells_people_apart_from_nobody_and_failure() {
    let who = whois(200, PERSON).unwrap().unwrap();
    assert_eq!(who.node.stable_id, "nAlice");
    assert_eq!(who.node.computed_name, "laptop");
    assert_eq!(who.node.tags, None);
    assert_eq!(who.user_profile.id, 123);
    assert_eq!(who.user_profile.groups.unwrap(), ["group:eng"]);
    let capabilities = who.cap_map.unwrap();
    assert_eq!(
        capabilities["tailscale.com/cap/aperture"]
            .as_ref()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(capabilities["empty"], None);
    assert_eq!(capabilities["odd"], None);

    assert!(whois(404, "no match for IP:port").unwrap().is_none());
    for (status, body) in [(500, "boom"), (400, "invalid 'addr'"), (403, ""), (302, "")] {
        let error = whois(status, body).unwrap_err();
        assert!(matches!(error, LocalApiError::Refused { status: s, .. } if s == status));
    }
    for nameless in ["{}", "[]", r#"{"Node": {"StableID": ""}}"#] {
        let error = whois(200, nameless).unwrap_err();
        assert!(matches!(error, LocalApiError::Nameless), "{nameless}");
    }
    for unreadable in [
        "",
        "null",
        "{",
        r#"{"Node": 1}"#,
        r#"{"Node": {"User": "x"}}"#,
    ] {
        let error = whois(200, unreadable).unwrap_err();
        assert!(
            matches!(error, LocalApiError::Unreadable(_)),
            "{unreadable}"
        );
    }
}

#[test]
fn whois_reads_what_is_missing_as_empty() {
    for rest in [
        "",
        r#", "CapMap": null"#,
        r#", "CapMap": [], "Later": {"x": [1]}"#,
    ] {
        let who = whois(200, &format!(r#"{{"Node": {{"StableID": "n1"}}{rest}}}"#))
            .unwrap()
            .unwrap();
        assert!(
            who.cap_map.is_none() && who.user_profile.login_name.is_empty(),
            "{rest}"
        );
    }
}

#[test]
fn status_has_what_an_operator_needs() {
    let pending: Status = answer(
        200,
        r#"{"BackendState": "NeedsLogin", "AuthURL": "https://login.example/a", "TailscaleIPs": null, "Self": {"ID": ""}}"#,
    )
    .unwrap();
    assert_eq!(pending.backend_state, "NeedsLogin");
    assert_eq!(pending.auth_url, "https://login.example/a");
    let running: Status = answer(
        200,
        r#"{"BackendState": "Running", "TailscaleIPs": ["100.64.0.3", "fd7a:115c:a1e0::3"], "CertDomains": ["ai.x.ts.net"],
            "Self": {"ID": "n3", "DNSName": "ai-1.x.ts.net.", "Tags": ["tag:ai"], "KeyExpiry": "2027-01-01T00:00:00Z"},
            "CurrentTailnet": {"Name": "x", "MagicDNSSuffix": "x.ts.net", "MagicDNSEnabled": true}}"#,
    )
    .unwrap();
    assert_eq!(running.addresses.unwrap().len(), 2);
    assert_eq!(running.own.unwrap().dns_name, "ai-1.x.ts.net.");
    assert_eq!(running.current_tailnet.unwrap().suffix, "x.ts.net");
}

#[test]
fn refusals_are_short() {
    let error = successful(500, &"é".repeat(10_000)).unwrap_err();
    assert!(error.to_string().len() < 1000);
}

#[test]
fn certificates_are_split() {
    let pem = "-----BEGIN EC PRIVATE KEY-----\nk\n-----END EC PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\nc\n";
    let certificate = certificate(pem).unwrap();
    assert!(certificate.key.expose().ends_with("PRIVATE KEY-----\n"));
    assert!(certificate.chain.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(super::certificate("-----BEGIN CERTIFICATE-----").is_none());
    assert!(super::certificate("").is_none());
}

#[test]
fn only_some_news_is_about_identities() {
    for news in [
        "SelfChange",
        "PeersChanged",
        "PeersRemoved",
        "UserProfiles",
        "NetMap",
    ] {
        let notify: Notify = serde_json::from_str(&format!(r#"{{"{news}": [1]}}"#)).unwrap();
        assert!(notify.changes_identities(), "{news}");
        let notify: Notify = serde_json::from_str(&format!(r#"{{"{news}": null}}"#)).unwrap();
        assert!(!notify.changes_identities(), "{news}");
    }
    let other: Notify =
        serde_json::from_str(r#"{"State": 6, "Health": {}, "Engine": {"RBytes": 1}}"#).unwrap();
    assert!(!other.changes_identities());
}
