//! A request of any endpoint: nothing panics, the model is the one that stands at its place, and the edits change what
//! they are for and nothing else.
#![no_main]

use aperture::{
    endpoint::Endpoint,
    provider::edit::{self, Wanted},
    tap::{IncludeUsage, RequestFacts, read_request, read_request_to},
};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((control, body)) = input.split_last() else {
        return;
    };
    let endpoint = Endpoint::ALL[usize::from(*control) % Endpoint::ALL.len()];
    let head = HeaderMap::new();
    let by_path = read_request_to("path-model", endpoint, &head, body);
    assert_eq!(by_path.model, "path-model");
    assert!(by_path.message_borders.is_sorted());
    let Ok(facts) = read_request(endpoint, &head, body) else {
        return;
    };
    let span = facts.model_span.clone().expect("a plain body has its model");
    let model: String = serde_json::from_slice(&body[span]).expect("a text");
    assert_eq!(model, facts.model);
    assert!(facts.message_borders.iter().all(|border| *border <= body.len()));
    edits(body, &facts);
});

fn edits(body: &[u8], facts: &RequestFacts) {
    let include_usage = match &facts.include_usage {
        IncludeUsage::Missing(splice) => Some(splice),
        IncludeUsage::NotApplicable | IncludeUsage::Asked => None,
    };
    let wanted = Wanted {
        bare_model: Some("bare \"model\""),
        include_usage,
    };
    let body = Bytes::copy_from_slice(body);
    let pieces = edit::edit_request(&body, facts, wanted).expect("a plain body can be edited");
    let edited: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
    // Numbers and depths that this parser refuses are none of ours.
    let Ok(mut expected) = serde_json::from_slice::<Value>(&body) else {
        return;
    };
    expected["model"] = "bare \"model\"".into();
    if include_usage.is_some() {
        let options = &mut expected["stream_options"];
        if options.is_null() {
            *options = Value::Object(serde_json::Map::new());
        }
        options["include_usage"] = true.into();
    }
    let edited: Value = serde_json::from_slice(&edited).expect("the edited body is JSON");
    assert_eq!(edited, expected);
}
