use super::*;
use proptest::prelude::*;
use serde_json::Value;

/// The elements, and none for each that is too large.
fn split<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    let mut splitter = ArraySplitter::with_limit(limit);
    let mut items = Vec::new();
    for chunk in chunks {
        splitter.feed(chunk, |item| {
            items.push(match item {
                ArrayItem::Element(bytes) => Some(bytes.to_vec()),
                ArrayItem::TooLarge => None,
            });
        });
    }
    items
}

fn texts(array: &str) -> Vec<String> {
    split(1000, [array.as_bytes()])
        .into_iter()
        .map(|item| String::from_utf8(item.unwrap()).unwrap())
        .collect()
}

#[test]
fn elements_come_as_they_stand() {
    assert_eq!(
        texts("[{\"a\": \"]}\\\"\"}\n,\r\n{\"b\":[{},[1]]}\n]\n"),
        ["{\"a\": \"]}\\\"\"}", "{\"b\":[{},[1]]}"]
    );
    assert_eq!(texts(" [ ]"), [""; 0]);
    assert_eq!(texts("[1 , \"a,b\",null]{}"), ["1", "\"a,b\"", "null"]);
    assert_eq!(texts("{\"a\":1}"), [""; 0], "no array at all");
    assert_eq!(texts("[{\"a\":1"), [""; 0], "an element that does not end");
    assert_eq!(
        texts("[[[}}]"),
        ["[[}}"],
        "brackets are counted, not matched"
    );
}

#[test]
fn a_large_element_is_passed_over_and_the_next_one_comes() {
    let large = format!("[{{\"a\":\"{}\"}},{{\"b\":1}}]", "x".repeat(100));
    for size in [1, 7, 1000] {
        assert_eq!(
            split(50, large.as_bytes().chunks(size)),
            [None, Some(b"{\"b\":1}".to_vec())]
        );
    }
}

/// However deep and long, nothing is kept of what is passed over.
#[test]
fn bombs_take_no_memory() {
    let mut splitter = ArraySplitter::default();
    for piece in [
        vec![b'['; 1 << 20],
        vec![b'x'; 1 << 20],
        vec![b'"'; 1 << 20],
    ] {
        for _ in 0..12 {
            splitter.feed(&piece, |item| assert_eq!(item, ArrayItem::TooLarge));
            assert!(splitter.held.capacity() <= 4 * ELEMENT);
        }
    }
}

fn elements() -> impl Strategy<Value = Vec<Value>> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Value::from),
        "[a-z\"\\\\/{}\\[\\],: \né🌍]{0,12}".prop_map(Value::from),
    ];
    let element = leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec(("[a-z\"]{0,4}", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    proptest::collection::vec(element, 0..8)
}

proptest! {
    #[test]
    fn what_was_joined_is_split(elements in elements(), pretty: bool, size in 1..40_usize) {
        let text = if pretty { serde_json::to_string_pretty(&elements) } else { serde_json::to_string(&elements) }.unwrap();
        let found = split(usize::MAX, text.as_bytes().chunks(size));
        let found: Vec<Value> = found.into_iter().map(|item| serde_json::from_slice(&item.unwrap()).unwrap()).collect();
        prop_assert_eq!(found, elements);
    }

    #[test]
    fn any_bytes_give_the_same_items_in_any_split(
        bytes in proptest::collection::vec(prop_oneof![Just(b'['), Just(b']'), Just(b'{'), Just(b'}'), Just(b'"'), Just(b'\\'), Just(b','), any::<u8>()], 0..200),
        size in 1..20_usize,
        limit in 0..60_usize,
    ) {
        prop_assert_eq!(split(limit, bytes.chunks(size)), split(limit, [&bytes[..]]));
    }
}
