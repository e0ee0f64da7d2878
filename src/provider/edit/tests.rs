use super::*;
use crate::{
    endpoint::Endpoint,
    tap::{IncludeUsage, read_request},
};
use http::HeaderMap;

fn read(body: &str) -> RequestFacts {
    read_request(Endpoint::OpenaiChat, &HeaderMap::new(), body.as_bytes()).unwrap()
}

fn edited(body: &str, bare: Option<&str>) -> String {
    let facts = read(body);
    let include_usage = match &facts.include_usage {
        IncludeUsage::Missing(splice) => Some(splice),
        IncludeUsage::Asked | IncludeUsage::NotApplicable => None,
    };
    let wanted = Wanted {
        bare_model: bare,
        include_usage,
    };
    let pieces = edit_request(&Bytes::from(body.to_owned()), &facts, wanted).unwrap();
    String::from_utf8(pieces.concat()).unwrap()
}

#[test]
fn only_the_model_changes() {
    let cases = [
        (r#"{"model":"p/m","x":"p/m"}"#, r#"{"model":"m","x":"p/m"}"#),
        (
            "{ \"x\" : [\"é\\u0041\"],\n\t\"model\" :\"p\\/m\" }\n",
            "{ \"x\" : [\"é\\u0041\"],\n\t\"model\" :\"m\" }\n",
        ),
        (
            r#"{"a":{"model":"p/m"},"model":"p/m","n":1.50e+3}"#,
            r#"{"a":{"model":"p/m"},"model":"m","n":1.50e+3}"#,
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(edited(body, Some("m")), expected);
    }
    assert_eq!(
        edited(r#"{"model":"p/m"}"#, Some("a\"\\b")),
        r#"{"model":"a\"\\b"}"#
    );
}

#[test]
fn usage_is_asked_for_where_it_is_not() {
    let cases = [
        (
            r#"{"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
        ),
        (
            " {\"model\":\"m\",\"stream\":true}",
            " {\"stream_options\":{\"include_usage\":true},\"model\":\"m\",\"stream\":true}",
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":null}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{ }}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true }}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"x":1}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        // As it was: asked for already, no stream, or unclear.
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream":false}"#,
            r#"{"model":"m","stream":false}"#,
        ),
        (r#"{"model":"m"}"#, r#"{"model":"m"}"#),
        (
            r#"{"model":"m","stream":true,"stream":true}"#,
            r#"{"model":"m","stream":true,"stream":true}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":[]}"#,
            r#"{"model":"m","stream":true,"stream_options":[]}"#,
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(edited(body, None), expected);
        serde_json::from_str::<serde_json::Value>(expected).unwrap();
    }
    assert_eq!(
        edited(r#"{"stream":true,"model":"p/m"}"#, Some("m")),
        r#"{"stream_options":{"include_usage":true},"stream":true,"model":"m"}"#,
        "both edits at once"
    );
}

#[test]
fn the_rest_is_not_copied() {
    let body = Bytes::from(format!(
        r#"{{"model":"p/m","messages":[{}]}}"#,
        "0,".repeat(1000) + "0"
    ));
    let facts = read_request(Endpoint::OpenaiChat, &HeaderMap::new(), &body).unwrap();
    let untouched = edit_request(&body, &facts, Wanted::default()).unwrap();
    assert_eq!(untouched.len(), 1);
    assert_eq!(untouched[0].as_ptr(), body.as_ptr());
    let wanted = Wanted {
        bare_model: Some("m"),
        include_usage: None,
    };
    let pieces = edit_request(&body, &facts, wanted).unwrap();
    assert_eq!(pieces.len(), 3);
    assert_eq!(
        pieces[2].as_ptr(),
        body[facts.model_span.unwrap().end..].as_ptr()
    );
}

#[test]
fn an_encoded_body_keeps_its_model() {
    let body = Bytes::from(zstd::encode_all(&br#"{"model":"p/m"}"#[..], 1).unwrap());
    let mut headers = HeaderMap::new();
    headers.insert("content-encoding", "zstd".parse().unwrap());
    let facts = read_request(Endpoint::OpenaiChat, &headers, &body).unwrap();
    assert_eq!(facts.model, "p/m");
    let wanted = Wanted {
        bare_model: Some("m"),
        include_usage: None,
    };
    assert!(edit_request(&body, &facts, wanted).is_none());
    assert_eq!(
        edit_request(&body, &facts, Wanted::default())
            .unwrap()
            .concat(),
        body
    );
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = EDITS.iter().map(|edit| edit.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), EDITS.len());
}
