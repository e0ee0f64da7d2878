use super::*;
use proptest::prelude::*;

const OURS: &str =
    r#"data: {"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":1}}"#;

fn filter<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut filter = UsageChunkFilter::default();
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend(filter.push(&Bytes::copy_from_slice(chunk)).concat());
    }
    out.extend(filter.finish().unwrap_or_default());
    out
}

#[test]
fn nothing_waits_that_is_not_the_chunk() {
    let mut filter = UsageChunkFilter::default();
    let mut push = |text: &str| -> String {
        let out = filter
            .push(&Bytes::copy_from_slice(text.as_bytes()))
            .concat();
        String::from_utf8(out).unwrap()
    };
    let whole = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
    assert_eq!(push(whole), whole, "a whole event passes at once");
    assert_eq!(push("data: {\"id\":1,\"choices\""), "", "may still be ours");
    let decided = ":[{\"delta\":";
    assert_eq!(
        push(decided),
        "data: {\"id\":1,\"choices\":[{\"delta\":",
        "a choice decides"
    );
    assert_eq!(
        push("{}}"),
        "{}}",
        "the rest of a decided event passes as it comes"
    );
    assert_eq!(push("]}\n"), "]}\n");
    assert_eq!(push("\n"), "\n");
    assert_eq!(
        push(&format!("{OURS}\n\ndata: [DONE]\n\n")),
        "data: [DONE]\n\n"
    );
}

#[test]
fn what_looks_like_it_stays() {
    let kept = [
        "data: {\"choices\":[],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[{}]}\n\n",
        "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: \"choices\":[] \"usage\":{}\n\n",
        ": keep-alive\n\n",
        "data: [DONE]\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":",
    ];
    for text in kept {
        assert_eq!(filter([text.as_bytes()]), text.as_bytes(), "{text}");
    }
}

#[test]
fn how_the_bytes_came_decides_nothing() {
    // Lines that say nothing belong to the event of the chunk behind them.
    let misled = format!("x \"choices\":\n{OURS}\n\n");
    let full = format!("{}{OURS}\n\n", ":\n".repeat((HELD - OURS.len() - 2) / 2));
    let larger = format!("{}{full}", ":\n".repeat(HELD / 2));
    assert!(full.len() <= HELD, "{}", full.len());
    for (text, kept) in [(&misled, &*misled), (&full, ""), (&larger, &*larger)] {
        for size in [1, 7, 100, text.len()] {
            let out = filter(text.as_bytes().chunks(size));
            assert_eq!(String::from_utf8(out).unwrap(), kept, "in pieces of {size}");
        }
    }
}

#[test]
fn a_large_event_passes() {
    let text = format!(
        "data: {{\"x\":\"{}\",\"choices\":[],\"usage\":{{}}}}\n\n",
        "x".repeat(2 * HELD)
    );
    assert_eq!(filter(text.as_bytes().chunks(1000)), text.as_bytes());
}

#[test]
fn slices_of_the_chunk_are_given_out_not_copies() {
    let text = Bytes::from("data: {\"choices\":[{}]}\n\n".repeat(10));
    let out = UsageChunkFilter::default().push(&text);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), text.as_ptr());
}

/// One event, and whether it is ours.
fn event() -> impl Strategy<Value = (String, bool)> {
    let data = prop_oneof![
        2 => Just((OURS.to_owned(), true)),
        1 => Just((r#"data: {"usage":{},"choices" : [ ] }"#.to_owned(), true)),
        2 => "[a-z\\\\\" é]{0,30}".prop_map(|text| {
            let text = serde_json::Value::from(text).to_string();
            (format!("data: {{\"id\":\"c\",\"choices\":[{{\"delta\":{{\"content\":{text}}}}}],\"usage\":null}}"), false)
        }),
        1 => Just((r#"data: {"choices":[],"usage":null}"#.to_owned(), false)),
        1 => Just((r#"data: {"choices":[{"delta":{"content":"\"choices\":[],\"usage\":{}"}}],"usage":{}}"#.to_owned(), false)),
        1 => Just((": ping".to_owned(), false)),
        1 => Just(("event: x\ndata: [DONE]".to_owned(), false)),
        1 => "[a-z:\" {}]{0,20}".prop_map(|text| (text, false)),
    ];
    data.prop_map(|(text, ours)| (text + "\n\n", ours))
}

proptest! {
    #[test]
    fn exactly_the_extra_chunk_goes(
        events in proptest::collection::vec(event(), 0..12),
        line_end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        tail in "(data: \\{\"choi)?[a-z]{0,5}",
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let mut all: String = events.iter().map(|(text, _)| text.as_str()).collect();
        let mut kept: String = events.iter().filter(|(_, ours)| !ours).map(|(text, _)| text.as_str()).collect();
        all = all.replace('\n', line_end);
        kept = kept.replace('\n', line_end);
        all.push_str(&tail);
        kept.push_str(&tail);
        let all = all.as_bytes();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(all.len() + 1)).collect();
        cuts.extend([0, all.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| &all[pair[0]..pair[1]]);
        prop_assert_eq!(String::from_utf8(filter(chunks)).unwrap(), kept.clone());
        prop_assert_eq!(String::from_utf8(filter(all.chunks(1))).unwrap(), kept);
    }

    #[test]
    fn bytes_that_hold_no_such_event_pass_unchanged(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1..20_usize) {
        prop_assert_eq!(filter(bytes.chunks(size)), bytes);
    }
}
