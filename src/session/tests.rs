use super::*;
use crate::tap::read_request;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};

const NOW: Timestamp = Timestamp(1_000_000);
const ALICE: &str = "user:alice";

fn client() -> Client {
    Client {
        name: "test".into(),
        version: String::new(),
    }
}

fn facts(body: &str) -> RequestFacts {
    read_request(Endpoint::OpenaiChat, &HeaderMap::new(), body.as_bytes()).unwrap()
}

fn chat(messages: &[(&str, String)]) -> RequestFacts {
    let messages: Vec<_> = messages
        .iter()
        .map(|(role, content)| serde_json::json!({"role": role, "content": content}))
        .collect();
    facts(&serde_json::json!({"model": "m", "messages": messages}).to_string())
}

fn reply(text: &str) -> ResponseFacts {
    let body = serde_json::json!({"id": "x", "choices": [{"message": {"content": text}}]});
    let mut tap = crate::tap::ResponseTap::new(Endpoint::OpenaiChat, 200, &HeaderMap::new());
    tap.feed(body.to_string().as_bytes());
    let mut facts = tap.finish(true);
    facts.response_id = None;
    facts
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

impl Sessions {
    fn ask(
        &self,
        user: &str,
        lines: &[(&'static str, &str)],
        facts: &RequestFacts,
        now: Timestamp,
    ) -> Assigned {
        self.assign(
            user,
            &client(),
            Endpoint::OpenaiChat,
            &headers(lines),
            facts,
            &[],
            now,
        )
    }
}

#[test]
fn two_programs_that_begin_alike_go_on_in_their_own_sessions() {
    let sessions = Sessions::new(100);
    let other = Client {
        name: "other".into(),
        ..Client::default()
    };
    let hello = chat(&[("user", "hello".into())]);
    let after = chat(&[
        ("user", "hello".into()),
        ("assistant", "hi".into()),
        ("user", "go on".into()),
    ]);
    let ask = |client: &Client, request| {
        let none = headers(&[]);
        let endpoint = Endpoint::OpenaiChat;
        let assigned = sessions.assign(ALICE, client, endpoint, &none, request, &[], NOW);
        assigned.session.unwrap()
    };
    let (first, second) = (ask(&client(), &hello), ask(&other, &hello));
    sessions.learn(ALICE, &client().name, first, &hello, &reply("hi"), NOW);
    sessions.learn(ALICE, &other.name, second, &hello, &reply("hi"), NOW);
    assert_eq!(ask(&other, &after), second);
    assert_eq!(ask(&client(), &after), first);
}

#[test]
fn a_stated_id_decides_and_belongs_to_its_caller_and_client() {
    let sessions = Sessions::new(100);
    let hello = chat(&[("user", "hello".into())]);
    let first = sessions.ask(ALICE, &[("agent-session-id", "20261123_1")], &hello, NOW);
    assert!(first.fresh && first.parent.is_none());
    let again = sessions.ask(ALICE, &[("agent-session-id", "20261123_1")], &hello, NOW);
    assert_eq!(
        again,
        Assigned {
            fresh: false,
            title: None,
            ..first.clone()
        }
    );
    let bob = sessions.ask(
        "user:bob",
        &[("agent-session-id", "20261123_1")],
        &hello,
        NOW,
    );
    assert_ne!(bob.session, first.session);
    let other = Client {
        name: "other".into(),
        ..Client::default()
    };
    let other = sessions.assign(
        ALICE,
        &other,
        Endpoint::OpenaiChat,
        &headers(&[("agent-session-id", "20261123_1")]),
        &hello,
        &[],
        NOW,
    );
    assert_ne!(other.session, first.session);
    assert!(
        sessions
            .ask(ALICE, &[("agent-session-id", " ")], &hello, NOW)
            .fresh,
        "an empty id is none"
    );
}

#[test]
fn configured_lines_come_first_and_the_body_last() {
    let sessions = Sessions::new(100);
    let body = facts(r#"{"model":"m","prompt_cache_key":"k","input":"x"}"#);
    let by_body = sessions.ask(ALICE, &[], &body, NOW);
    assert_eq!(
        sessions.ask(ALICE, &[], &body, NOW).session,
        by_body.session
    );
    let lines = [("x-session-id", "a"), ("x-team-run", "b")];
    let by_line = sessions.ask(ALICE, &lines, &body, NOW);
    assert_ne!(by_line.session, by_body.session);
    let configured = [HeaderName::from_static("x-team-run")];
    let by_configured = sessions.assign(
        ALICE,
        &client(),
        Endpoint::OpenaiChat,
        &headers(&lines),
        &body,
        &configured,
        NOW,
    );
    assert_ne!(by_configured.session, by_line.session);
    let direct = sessions.ask(ALICE, &[("session-id", "b")], &body, NOW);
    assert_eq!(
        direct.session, by_configured.session,
        "the id counts, not the line that carries it"
    );
}

#[test]
fn a_token_count_begins_no_session() {
    let sessions = Sessions::new(100);
    let hello = chat(&[("user", "hello".into())]);
    let lines = [("x-claude-code-session-id", "s")];
    let count = |lines: &[(&'static str, &str)]| {
        sessions.assign(
            ALICE,
            &client(),
            Endpoint::AnthropicCountTokens,
            &headers(lines),
            &hello,
            &[],
            NOW,
        )
    };
    assert_eq!(count(&lines), Assigned::default());
    let session = sessions.ask(ALICE, &lines, &hello, NOW);
    assert!(session.fresh);
    assert_eq!(count(&lines).session, session.session);
    assert_eq!(count(&[]).session, None);
}

#[test]
fn a_sub_agent_stays_in_its_session() {
    let sessions = Sessions::new(100);
    let main = sessions.ask(
        ALICE,
        &[("x-claude-code-session-id", "s")],
        &chat(&[("user", "a".into())]),
        NOW,
    );
    let sub = sessions.ask(
        ALICE,
        &[
            ("x-claude-code-session-id", "s"),
            ("x-claude-code-agent-id", "ag"),
        ],
        &chat(&[("user", "b".into())]),
        NOW,
    );
    assert_eq!(
        (sub.session, sub.agent.as_deref(), sub.fresh),
        (main.session, Some("ag"), false)
    );
}

#[test]
fn the_first_request_with_a_text_of_the_user_names_the_session() {
    let sessions = Sessions::new(100);
    let lines = [("agent-session-id", "1")];
    let title = |lines: &[(&'static str, &str)], text: &str| {
        sessions
            .ask(ALICE, lines, &chat(&[("user", text.into())]), NOW)
            .title
    };
    assert_eq!(title(&lines, "---BEGIN USER MESSAGES---\nx"), None);
    assert_eq!(
        title(
            &[lines[0], ("x-claude-code-agent-id", "a")],
            "for the agent"
        ),
        None
    );
    assert_eq!(title(&lines, "do it").as_deref(), Some("do it"));
    assert_eq!(title(&lines, "and again"), None);
}

#[test]
fn a_fork_names_its_parent() {
    let sessions = Sessions::new(100);
    let lines = [("x-claude-code-session-id", "one")];
    let first = chat(&[("user", "a".into())]);
    let parent = sessions.ask(ALICE, &lines, &first, NOW).session.unwrap();
    sessions.learn(ALICE, &client().name, parent, &first, &reply("b"), NOW);
    let second = chat(&[
        ("user", "a".into()),
        ("assistant", "b".into()),
        ("user", "c".into()),
    ]);
    let fork = sessions.ask(ALICE, &[("x-claude-code-session-id", "two")], &second, NOW);
    assert_eq!((fork.parent, fork.fresh), (Some(parent), true));
    let next = sessions.ask(ALICE, &[("x-claude-code-session-id", "two")], &second, NOW);
    assert_eq!(
        (next.parent, next.session),
        (None, fork.session),
        "said once"
    );
}

#[test]
fn a_stored_response_is_continued() {
    let sessions = Sessions::new(100);
    let first = facts(r#"{"model":"m","input":"hi"}"#);
    let session = sessions.ask(ALICE, &[], &first, NOW).session.unwrap();
    let answer = ResponseFacts {
        response_id: Some("resp_1".into()),
        ..reply("x")
    };
    sessions.learn(ALICE, &client().name, session, &first, &answer, NOW);
    let next = facts(r#"{"model":"m","input":"and","previous_response_id":"resp_1"}"#);
    assert_eq!(sessions.ask(ALICE, &[], &next, NOW).session, Some(session));
    assert_ne!(
        sessions.ask("user:bob", &[], &next, NOW).session,
        Some(session),
        "not for another caller"
    );
}

const CALL: &str = r#"{"role":"assistant","tool_calls":[{"id":"call_7","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call_7","content":"r"}"#;

fn with_call(first: &str) -> RequestFacts {
    facts(&format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"{first}"}},{CALL}]}}"#
    ))
}

fn called() -> ResponseFacts {
    let call = crate::record::ToolCall {
        name: "f".into(),
        call: "call_7".into(),
        ..Default::default()
    };
    ResponseFacts {
        tools: vec![call],
        ..ResponseFacts::default()
    }
}

#[test]
fn a_tool_call_finds_its_session_though_texts_were_rewritten() {
    let sessions = Sessions::new(100);
    let first = chat(&[("user", "do".into())]);
    let session = sessions.ask(ALICE, &[], &first, NOW).session.unwrap();
    sessions.learn(ALICE, &client().name, session, &first, &called(), NOW);
    assert_eq!(
        sessions
            .ask(ALICE, &[], &with_call("do it, rewritten"), NOW)
            .session,
        Some(session)
    );
    assert_ne!(
        sessions
            .ask("user:bob", &[], &with_call("do it, rewritten"), NOW)
            .session,
        Some(session)
    );
}

/// Some servers number their calls (`functions.bash:0`): an id that two sessions know says nothing.
#[test]
fn a_call_id_that_is_used_again_does_not_merge_sessions() {
    let sessions = Sessions::new(100);
    let prompts = ["one", "two"].map(|text| chat(&[("user", text.into())]));
    let mut answer = called();
    let own = prompts.each_ref().map(|prompt| {
        let session = sessions.ask(ALICE, &[], prompt, NOW).session.unwrap();
        answer.reply_turn = Some(with_call_turn());
        sessions.learn(ALICE, &client().name, session, prompt, &answer, NOW);
        session
    });
    assert_ne!(own[0], own[1]);
    for (session, prompt) in own.into_iter().zip(["one", "two"]) {
        assert_eq!(
            sessions.ask(ALICE, &[], &with_call(prompt), NOW).session,
            Some(session),
            "by its history"
        );
    }
    assert!(sessions.ask(ALICE, &[], &with_call("three"), NOW).fresh);
}

/// The turn of [`CALL`], as the tap reads it from a reply.
fn with_call_turn() -> u64 {
    let body = br#"{"choices":[{"message":{"tool_calls":[{"id":"call_7","function":{"name":"f","arguments":"{}"}}]}}]}"#;
    let mut tap = crate::tap::ResponseTap::new(Endpoint::OpenaiChat, 200, &HeaderMap::new());
    tap.feed(body);
    tap.finish(true).reply_turn.unwrap()
}

#[test]
fn a_title_call_and_its_prompt_are_one_session_but_the_same_prompt_twice_is_two() {
    let sessions = Sessions::new(100);
    let title = facts(
        r#"{"model":"m","messages":[{"role":"system","content":"t"},{"role":"user","content":"Generate a title for this conversation:"},{"role":"user","content":"hi"}]}"#,
    );
    let main = facts(
        r#"{"model":"m","tools":[{"type":"function"}],"messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"}]}"#,
    );
    let ask = |facts, now| sessions.ask(ALICE, &[], facts, now).session.unwrap();
    let first = ask(&title, NOW);
    assert_eq!(ask(&main, NOW), first);
    let second = ask(&main, NOW);
    assert_ne!(second, first, "the pair is complete");
    let third = ask(&main, NOW);
    assert_ne!(third, second, "the same prompt in the same form");
    assert_eq!(ask(&title, NOW), second, "one title each");
    assert_eq!(ask(&title, Timestamp(NOW.0 + SIBLING)), third);
    let late = ask(&title, NOW);
    assert_ne!(ask(&main, Timestamp(NOW.0 + SIBLING + 1)), late, "too late");
}

#[test]
fn a_conversation_is_found_for_a_day_and_after_a_restart() {
    let sessions = Sessions::new(100);
    let first = chat(&[("user", "a".into())]);
    let session = sessions.ask(ALICE, &[], &first, NOW).session.unwrap();
    let anchors = sessions.learn(ALICE, &client().name, session, &first, &reply("b"), NOW);
    let second = chat(&[
        ("user", "a".into()),
        ("assistant", "b".into()),
        ("user", "c".into()),
    ]);

    let restarted = Sessions::new(100);
    restarted.restore([(session, anchors, NOW)]);
    let found = restarted.ask(ALICE, &[], &second, Timestamp(NOW.0 + WINDOW));
    assert_eq!((found.session, found.fresh), (Some(session), false));
    assert_ne!(
        sessions
            .ask(ALICE, &[], &second, Timestamp(NOW.0 + WINDOW + 1))
            .session,
        Some(session)
    );
}

/// One conversation of the generated ones: what the user says, turn by turn.
#[derive(Clone, Debug)]
struct Script {
    user: usize,
    prompts: Vec<String>,
    /// A retry of that turn: the same request twice, one reply.
    retried: Option<usize>,
}

fn scripts(reply_differs: bool) -> impl Strategy<Value = (Vec<Script>, Vec<prop::sample::Index>)> {
    // Few words, so that conversations often begin, and go on, with the same ones.
    let word = prop_oneof![
        Just("hi"),
        Just("go on"),
        Just("fix it"),
        Just("<info-msg>t</info-msg>hi")
    ];
    let prompts = proptest::collection::vec(word.prop_map(str::to_owned), 1..6);
    let retried = prop::option::of(1..6_usize)
        .prop_filter("only where replies differ", move |retried| {
            reply_differs || retried.is_none()
        });
    let script = (0..2_usize, prompts, retried).prop_map(|(user, prompts, retried)| Script {
        user,
        prompts,
        retried,
    });
    (
        proptest::collection::vec(script, 1..6),
        proptest::collection::vec(any::<prop::sample::Index>(), 60),
    )
}

/// Runs the conversations, interleaved; returns the session of each request of each conversation.
fn run(
    scripts: &[Script],
    order: &[prop::sample::Index],
    reply_to: impl Fn(usize, usize) -> String,
) -> Vec<Vec<SessionId>> {
    let sessions = Sessions::new(10_000);
    let mut histories: Vec<Vec<(&str, String)>> = vec![Vec::new(); scripts.len()];
    let mut turns = vec![0; scripts.len()];
    // Requests under way: conversation, request, session, waiting for their reply.
    let mut waiting: HashMap<usize, (RequestFacts, SessionId)> = HashMap::new();
    let mut found = vec![Vec::new(); scripts.len()];
    for pick in order.iter().cycle() {
        let open: Vec<usize> = (0..scripts.len())
            .filter(|one| turns[*one] < scripts[*one].prompts.len() || waiting.contains_key(one))
            .collect();
        if open.is_empty() {
            return found;
        }
        let one = open[pick.index(open.len())];
        let user = format!("user:{}", scripts[one].user);
        if let Some((request, session)) = waiting.remove(&one) {
            let text = reply_to(one, turns[one]);
            sessions.learn(&user, &client().name, session, &request, &reply(&text), NOW);
            histories[one].push(("assistant", text));
        } else {
            histories[one].push(("user", scripts[one].prompts[turns[one]].clone()));
            let request = chat(&histories[one]);
            let session = sessions.ask(&user, &[], &request, NOW).session.unwrap();
            found[one].push(session);
            if scripts[one].retried == Some(turns[one]) {
                found[one].push(sessions.ask(&user, &[], &request, NOW).session.unwrap());
            }
            turns[one] += 1;
            waiting.insert(one, (request, session));
        }
    }
    found
}

proptest! {
    /// Models seldom say the same twice: then no conversation is split, and no two are merged.
    #[test]
    fn concurrent_conversations_neither_merge_nor_split((scripts, order) in scripts(true)) {
        let found = run(&scripts, &order, |one, turn| format!("reply {turn} to {one}"));
        let mut owners = BTreeMap::new();
        for (one, sessions) in found.iter().enumerate() {
            let distinct: HashSet<_> = sessions.iter().collect();
            prop_assert_eq!(distinct.len(), 1, "conversation {} was split: {:?}", one, found);
            prop_assert!(owners.insert(sessions[0], one).is_none(), "two conversations are one session: {:?}", found);
        }
    }

    /// Even when every reply is the same, there are as many sessions as conversations, each with a whole one in it.
    #[test]
    fn conversations_that_say_the_same_are_told_apart_by_number((scripts, order) in scripts(false)) {
        let found = run(&scripts, &order, |_, turn| format!("reply {turn}"));
        let mut of_session: BTreeMap<SessionId, usize> = BTreeMap::new();
        for session in found.iter().flatten() {
            *of_session.entry(*session).or_default() += 1;
        }
        prop_assert_eq!(of_session.len(), scripts.len());
        let users = |session| found.iter().zip(&scripts).filter(|(sessions, _)| sessions.contains(session)).map(|(_, script)| script.user).collect::<HashSet<_>>();
        for session in of_session.keys() {
            prop_assert_eq!(users(session).len(), 1, "a session has one caller");
        }
    }

    #[test]
    fn memory_is_bounded(bodies in 1..200_usize) {
        let sessions = Sessions::new(16);
        for number in 0..bodies {
            let request = chat(&[("user", number.to_string())]);
            let session = sessions.ask(ALICE, &[], &request, NOW).session.unwrap();
            sessions.learn(ALICE, &client().name, session, &request, &reply("x"), NOW);
        }
        let state = sessions.state.lock();
        prop_assert!(state.known.len() <= 16 && state.prompts.len() <= 16 && state.anchors.len() <= 256);
    }
}
