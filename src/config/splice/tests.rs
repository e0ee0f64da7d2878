//! After a splice the document parses, means exactly the old one and the new entry, and no other byte has changed.

use super::*;
use crate::config::{CheckOptions, check, default_document, grant::Role};
use proptest::prelude::*;
use serde_json::{Value, json};

fn meaning(text: &str) -> Value {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parsed: Option<Value> = jsonc_parser::parse_to_serde_value(text, &ParseOptions::default())
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    parsed.unwrap_or_else(|| json!({}))
}

fn value_of(piece: &Piece) -> Value {
    serde_json::from_str(&piece.inline()).unwrap()
}

fn provider() -> Piece {
    Piece::object([
        ("baseurl", Piece::text("https://p.example")),
        ("apikey", Piece::text("k\"ey\\ \u{e9}")),
        ("models", Piece::texts(["a", "b"])),
        (
            "compatibility",
            Piece::object([("openai_chat", Piece::Flag(true))]),
        ),
    ])
}

fn grant() -> Piece {
    let role = Piece::object([("role", Piece::text("user"))]);
    Piece::object([
        ("src", Piece::texts(["bob@example.com"])),
        ("app", Piece::object([("c", Piece::List(vec![role]))])),
    ])
}

/// The old text's bytes are all there, in order, in one or two pieces that nothing but the new ones is between.
fn nothing_else_changed(old: &str, new: &str) {
    let front = old
        .bytes()
        .zip(new.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let back = old[front..]
        .bytes()
        .rev()
        .zip(new.bytes().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let left = old.get(front..old.len() - back);
    let left = left.expect("what is changed are whole characters");
    // Where a comma had to be added before a comment, that comment alone is between two insertions.
    let inserted = &new[front..new.len() - back];
    assert!(
        left.is_empty() || inserted.starts_with(',') && inserted[1..].starts_with(left),
        "{left:?} is gone from\n{old}\nto\n{new}"
    );
}

fn holds(old: &str) {
    let new = add_member(old, "providers", "new-one", &provider()).unwrap();
    nothing_else_changed(old, &new);
    let mut expected = meaning(old);
    expected["providers"]["new-one"] = value_of(&provider());
    assert_eq!(meaning(&new), expected, "{new}");

    let new = add_element(old, "grants", &grant()).unwrap();
    nothing_else_changed(old, &new);
    let mut expected = meaning(old);
    match &mut expected["grants"] {
        Value::Array(grants) => grants.push(value_of(&grant())),
        none => *none = json!([value_of(&grant())]),
    }
    assert_eq!(meaning(&new), expected, "{new}");

    // Line ends stay of one kind.
    if !old.replace("\r\n", "").contains('\n') && old.contains("\r\n") {
        assert!(!new.replace("\r\n", "").contains('\n'), "{new:?}");
    }
    // And once more into what has come of it.
    let again = add_element(&new, "grants", &grant()).unwrap();
    nothing_else_changed(&new, &again);
    meaning(&again);
}

#[test]
fn documents_in_every_layout_take_a_new_entry() {
    let documents = [
        "",
        "// nothing yet",
        "/* nothing yet */\n",
        "{}",
        "{ }",
        "{\n}",
        "{\n  // nothing yet\n}\n",
        "{ /* nothing */ }",
        "{\"providers\":{}}",
        "{\"providers\":{},\"grants\":[]}",
        "{\"providers\":{\"a\":{}},\"grants\":[{}]}",
        "{ \"providers\": { \"a\": {}, }, \"grants\": [ {}, ], }",
        "{\n  \"providers\": {\n    \"a\": {} // about a\n  },\n  \"grants\": [\n    {} /* one */ // two\n  ]\n}\n",
        "{\n  \"providers\": {\n    \"a\": {}, // about a\n    // \"b\": {},\n  },\n  \"grants\": [\n    // none\n  ],\n}\n",
        "{\n\t\"providers\": {\n\t\t\"a\": {\n\t\t\t\"x\": 1\n\t\t}\n\t}\n}\n",
        "{\r\n  \"providers\": {\r\n    \"a\": {} // c\r\n  },\r\n  \"grants\": [\r\n    // none\r\n  ]\r\n}\r\n",
        "{\n  \"providers\": {\n    \"a\": {} /* over\n    lines */\n  }\n}",
        "{\n  \"providers\": {\n    \"a\": {}\n    , // a comma of its own line\n  }\n}",
        "{\n  \"providers\": {\n    \"a\": 1, \"b\": 2 },\n  \"grants\": [\n    1, /* c */ ]\n}",
        "{\"providers\": {\"a\": 1 // c\n}, \"grants\": [1, // c\n]}",
        "{\"providers\": 1, \"providers\": {\"a\": 1}}",
        "\u{feff}{\n  \"grants\": []\n}",
        "{\"x\": \"// no comment ] } , \\\" \u{fc}\", \"grants\": [\"]\", \"\\\\\"]}",
    ];
    for document in documents {
        holds(document);
    }
    holds(default_document());
}

#[test]
fn new_entries_look_like_their_neighbours() {
    let spread = "{\n    \"providers\": {\n        \"a\": {\n            \"x\": 1,\n        }, // about a\n        // \"b\": {}\n    },\n}\n";
    let new = add_member(spread, "providers", "b", &provider()).unwrap();
    insta::assert_snapshot!(new, @r#"
    {
        "providers": {
            "a": {
                "x": 1,
            }, // about a
            "b": {
                "baseurl": "https://p.example",
                "apikey": "k\"ey\\ é",
                "models": ["a", "b"],
                "compatibility": { "openai_chat": true },
            },
            // "b": {}
        },
    }
    "#);
    let lines = "{\n  \"grants\": [\n    {\"src\": [\"*\"]}\n  ]\n}\n";
    let new = add_element(lines, "grants", &grant()).unwrap();
    insta::assert_snapshot!(new, @r#"
    {
      "grants": [
        {"src": ["*"]},
        { "src": ["bob@example.com"], "app": { "c": [{ "role": "user" }] } }
      ]
    }
    "#);
    let new = add_member("", "providers", "b", &provider()).unwrap();
    insta::assert_snapshot!(new, @r#"
    {
      "providers": {
        "b": {
          "baseurl": "https://p.example",
          "apikey": "k\"ey\\ é",
          "models": ["a", "b"],
          "compatibility": { "openai_chat": true }
        }
      }
    }
    "#);
}

#[test]
fn what_can_not_be_edited_is_said() {
    let add = |text: &str| add_member(text, "providers", "a", &provider());
    assert_eq!(add("{"), Err(SpliceError::Unreadable));
    assert_eq!(add("[]"), Err(SpliceError::Occupied("the document".into())));
    assert_eq!(
        add("{\"providers\": null}"),
        Err(SpliceError::Occupied("providers".into()))
    );
    assert_eq!(
        add("{\"providers\": {\"a\": 1}}"),
        Err(SpliceError::Exists("providers.a".into()))
    );
    let element = add_element("{\"grants\": {}}", "grants", &grant());
    assert_eq!(element, Err(SpliceError::Occupied("grants".into())));
}

// --- everybody is an admin ---

fn roles(text: &str, login: &str) -> Option<Role> {
    let config = check(text, &CheckOptions::default()).config.unwrap();
    let named = |src: &crate::config::grant::Src| match src {
        crate::config::grant::Src::Everyone => true,
        crate::config::grant::Src::Login(of) => of == login,
        _ => false,
    };
    let grants = config.grants.iter().filter(|g| g.src.iter().any(named));
    grants
        .flat_map(|grant| grant.capabilities.iter().filter_map(|c| c.role))
        .max()
}

#[test]
fn the_founding_grant_names_its_admin_and_everybody_stays_a_user() {
    let old = default_document();
    let new = make_admin(old, "alice@example.com", "c").unwrap();
    assert_eq!(
        new,
        old.replacen("\"src\": [\"*\"]", "\"src\": [\"alice@example.com\"]", 1)
    );
    assert_eq!(roles(&new, "alice@example.com"), Some(Role::Admin));
    assert_eq!(roles(&new, "bob@example.com"), Some(Role::User));
    assert_eq!(
        make_admin(&new, "alice@example.com", "c"),
        Err(SpliceError::Nothing)
    );
}

#[test]
fn a_grant_that_gives_more_keeps_it_for_everybody() {
    for old in [
        // Roles and models in one grant.
        r#"{"grants": [{"src": ["*"], "app": {"tailscale.com/cap/aperture": [{"role": "admin"}, {"models": "**"}]}}]}"#,
        r#"{"grants": [{"src": ["*"], "app": {"tailscale.com/cap/aperture": [{"role": "admin", "models": "**"}]}}]}"#,
        // Nothing else makes everybody a user.
        r#"{"grants": [{"src": ["*"], "app": {"tailscale.com/cap/aperture": [{"role": "admin"}]}}]}"#,
        // Alice is named beside everybody.
        r#"{"grants": [{"src": ["alice@example.com", "*"], "app": {"example.com/cap/ai": [{"role": "admin"}]}}], "gateway": {"capability": "example.com/cap/ai"}}"#,
        // The old form.
        r#"{"temp_grants": [{"src": ["*"], "grants": [{"role": "admin"}, {"providers": [{"provider": "*", "model": "*"}]}]}]}"#,
        // Twice.
        r#"{"temp_grants": [{"src": ["*"], "grants": [{"role": "admin"}]}], "grants": [{"src": ["*"], "app": {"tailscale.com/cap/aperture": [{"role": "admin"}]}}]}"#,
    ] {
        let new = make_admin(old, "alice@example.com", "example.com/cap/ai").unwrap();
        assert_eq!(roles(&new, "alice@example.com"), Some(Role::Admin), "{new}");
        assert_eq!(roles(&new, "bob@example.com"), Some(Role::User), "{new}");
        let count = |text: &str| text.matches("models").count() + text.matches("providers").count();
        assert_eq!(count(old), count(&new));
        let config = check(&new, &CheckOptions::default()).config.unwrap();
        assert!(!config.everyone_is_admin(), "{new}");
    }
}

// --- any document ---

/// White space and comments between two tokens.
fn gap() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just(String::new()),
        3 => Just(" ".to_owned()),
        3 => Just("\n    ".to_owned()),
        1 => Just("\n\t".to_owned()),
        1 => Just(" // c } ] , \"\n".to_owned()),
        1 => Just("/* c } ] , \" */".to_owned()),
        1 => Just(" /* over\n lines */ ".to_owned()),
    ];
    prop::collection::vec(piece, 0..3).prop_map(|pieces| pieces.concat())
}

/// A container with such gaps around everything.
fn container(open: char, close: char, entries: Vec<String>) -> impl Strategy<Value = String> {
    let count = entries.len();
    (
        prop::collection::vec((gap(), gap()), count),
        gap(),
        any::<bool>(),
    )
        .prop_map(move |(gaps, end, trailing)| {
            let mut out = String::from(open);
            for (at, ((before, after), entry)) in gaps.iter().zip(&entries).enumerate() {
                out.push_str(before);
                out.push_str(entry);
                out.push_str(after);
                if trailing || at + 1 < count {
                    out.push(',');
                }
            }
            out.push_str(&end);
            out.push(close);
            out
        })
}

fn document() -> impl Strategy<Value = String> {
    let providers = (0..3_usize).prop_flat_map(|count| {
        let entries = (0..count).map(|n| format!("\"p{n}\": {{\"x\": [1, 2,]}}"));
        container('{', '}', entries.collect())
    });
    let grants = (0..3_usize).prop_flat_map(|count| {
        let entries = (0..count).map(|n| format!("{{\"src\": [\"{n}\"], }}"));
        container('[', ']', entries.collect())
    });
    let parts = (
        prop::option::of(providers),
        prop::option::of(grants),
        any::<bool>(),
    );
    let root = parts.prop_flat_map(|(providers, grants, more)| {
        let mut entries = Vec::new();
        entries.extend(providers.map(|text| format!("\"providers\": {text}")));
        entries.extend(more.then(|| "\"other\": \"\u{1f600} // }\"".to_owned()));
        entries.extend(grants.map(|text| format!("\"grants\":{text}")));
        container('{', '}', entries)
    });
    (gap(), root, gap(), any::<bool>()).prop_map(|(before, root, after, windows)| {
        let text = format!("{before}{root}{after}");
        if windows {
            text.replace('\n', "\r\n")
        } else {
            text
        }
    })
}

proptest! {
    #[test]
    fn any_document_takes_a_new_entry_and_keeps_the_rest(text in document()) {
        holds(&text);
    }
}
