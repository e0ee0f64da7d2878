use super::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

/// A certificate that is good from the first to the second year, and its key.
fn pair(from: i32, until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["ai.example".to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 2);
    params.not_after = date_time_ymd(until, 3, 4);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn tls() -> Tls {
    Tls::new("a test".to_owned(), Metrics::new())
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

#[test]
fn the_validity_is_read_in_both_forms_of_time() {
    // X.509 writes years from 2050 on in another form.
    for (from, until) in [(1999, 2026), (2026, 2051), (2051, 2060)] {
        let (chain, key) = pair(from, until);
        let (validity, is_new) = tls().install(chain.as_bytes(), key.as_bytes()).unwrap();
        assert!(is_new);
        assert_eq!(validity.from, at(&format!("{from}-01-02")));
        assert_eq!(validity.until, at(&format!("{until}-03-04")));
    }
}

#[test]
fn a_cut_certificate_is_refused_wherever_it_is_cut() {
    let (chain, _) = pair(2020, 2050);
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
    assert!(validity::read(&der).is_some());
    for end in 0..der.len() {
        assert_eq!(validity::read(&der[..end]), None, "{end}");
    }
}

#[test]
fn what_can_not_be_used_leaves_the_last_good_one_in_force() {
    let (chain, key) = pair(2020, 2050);
    let (other, other_key) = pair(2020, 2050);
    let tls = tls();
    assert!(tls.settings().is_none());
    assert_eq!(tls.state().word(Timestamp::now()), "pending");
    tls.failed("no network".to_owned());
    assert_eq!(tls.state().word(Timestamp::now()), "failed");
    tls.install(chain.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(tls.state().word(Timestamp::now()), "ok");
    let before = tls.settings().unwrap();
    for (chain, key) in [
        (chain.as_str(), other_key.as_str()),
        ("", key.as_str()),
        ("nonsense", key.as_str()),
        (chain.as_str(), ""),
        (chain.as_str(), chain.as_str()),
    ] {
        let error = tls.install(chain.as_bytes(), key.as_bytes()).unwrap_err();
        tls.failed(error.to_string());
        assert!(Arc::ptr_eq(&before, &tls.settings().unwrap()));
    }
    let state = tls.state();
    assert_eq!(state.word(Timestamp::now()), "failing");
    assert_eq!(state.word(at("2051-01-01")), "expired");
    let (_, is_new) = tls.install(chain.as_bytes(), key.as_bytes()).unwrap();
    assert!(!is_new);
    let (_, is_new) = tls.install(other.as_bytes(), other_key.as_bytes()).unwrap();
    assert!(is_new);
    assert!(!Arc::ptr_eq(&before, &tls.settings().unwrap()));
}
