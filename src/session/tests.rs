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
        self.ask_as(&client(), user, lines, facts, now)
    }

    fn ask_as(
        &self,
        client: &Client,
        user: &str,
        lines: &[(&'static str, &str)],
        facts: &RequestFacts,
        now: Timestamp,
    ) -> Assigned {
        self.assign(&Asking {
            user,
            node: "n1",
            client,
            endpoint: Endpoint::OpenaiChat,
            headers: &headers(lines),
            facts,
            configured: &[],
            now,
        })
    }

    /// A whole reply.
    fn answer(
        &self,
        user: &str,
        client: &str,
        session: SessionId,
        request: &RequestFacts,
        response: &ResponseFacts,
    ) -> Vec<u64> {
        self.answer_as(user, client, session, request, response, true)
    }

    fn answer_as(
        &self,
        user: &str,
        client: &str,
        session: SessionId,
        request: &RequestFacts,
        response: &ResponseFacts,
        whole: bool,
    ) -> Vec<u64> {
        let learnt = self.learn(&Answered {
            user,
            client,
            session,
            model: ["p", "m"],
            request,
            response,
            whole,
            started: NOW,
            now: NOW,
        });
        learnt.anchors
    }
}

#[test]
fn of_requests_at_the_same_time_one_begins_the_session_and_each_takes_a_place_of_its_own() {
    let sessions = Sessions::new(1000);
    let hello = chat(&[("user", "hello".into())]);
    let after = chat(&[
        ("user", "hello".into()),
        ("assistant", "hi".into()),
        ("user", "go on".into()),
    ]);
    let ask = |lines: &[(&'static str, &str)], request| {
        std::thread::scope(|scope| {
            let asks = || sessions.ask(ALICE, lines, request, NOW);
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(asks)).collect();
            let assigned = threads.into_iter().map(|thread| thread.join().unwrap());
            assigned.collect::<Vec<_>>()
        })
    };
    for round in 0..50 {
        let id = format!("conversation-{round}");
        let stated = ask(&[("x-session-id", &id)], &hello);
        assert_eq!(stated.iter().filter(|one| one.fresh).count(), 1);
    }
    let begun = ask(&[], &hello);
    let each: HashSet<_> = begun.iter().map(|one| one.session.unwrap()).collect();
    assert_eq!(each.len(), 8);
    for session in &each {
        sessions.answer(ALICE, &client().name, *session, &hello, &reply("hi"));
    }
    let gone_on = ask(&[], &after);
    let gone_on: HashSet<_> = gone_on.iter().map(|one| one.session.unwrap()).collect();
    assert_eq!(gone_on, each, "each goes on once");
}

#[test]
fn an_anchor_of_one_session_takes_56_bytes() {
    // There may be 1.6 million of them.
    let entry = size_of::<(u64, (state::Place, Timestamp))>();
    assert_eq!(entry, 56);
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
        let assigned = sessions.ask_as(client, ALICE, &[], request, NOW);
        assigned.session.unwrap()
    };
    let (first, second) = (ask(&client(), &hello), ask(&other, &hello));
    sessions.answer(ALICE, &client().name, first, &hello, &reply("hi"));
    sessions.answer(ALICE, &other.name, second, &hello, &reply("hi"));
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
    let lines = [("agent-session-id", "20261123_1")];
    let other = sessions.ask_as(&other, ALICE, &lines, &hello, NOW);
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
    let body = facts(
        r#"{"model":"m","prompt_cache_key":"01a20656-a634-71f3-bc58-d825acbf5f94","input":"x"}"#,
    );
    let by_body = sessions.ask(ALICE, &[], &body, NOW);
    assert_eq!(
        sessions.ask(ALICE, &[], &body, NOW).session,
        by_body.session
    );
    let lines = [("x-session-id", "a"), ("x-team-run", "b")];
    let by_line = sessions.ask(ALICE, &lines, &body, NOW);
    assert_ne!(by_line.session, by_body.session);
    let configured = [HeaderName::from_static("x-team-run")];
    let by_configured = sessions.assign(&Asking {
        user: ALICE,
        node: "n1",
        client: &client(),
        endpoint: Endpoint::OpenaiChat,
        headers: &headers(&lines),
        facts: &body,
        configured: &configured,
        now: NOW,
    });
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
        sessions.assign(&Asking {
            user: ALICE,
            node: "n1",
            client: &client(),
            endpoint: Endpoint::AnthropicCountTokens,
            headers: &headers(lines),
            facts: &hello,
            configured: &[],
            now: NOW,
        })
    };
    assert_eq!(count(&lines), Assigned::default());
    let session = sessions.ask(ALICE, &lines, &hello, NOW);
    assert!(session.fresh);
    assert_eq!(count(&lines).session, session.session);
    assert_eq!(count(&[]).session, None);
}

#[test]
fn a_sub_agent_has_a_session_below_its_parents() {
    let sessions = Sessions::new(100);
    let ask = |lines: &[(&'static str, &str)], text: &str| {
        sessions.ask(ALICE, lines, &chat(&[("user", text.into())]), NOW)
    };
    let claude = ("x-claude-code-session-id", "s");
    let agent = |id| ("x-claude-code-agent-id", id);
    let main = ask(&[claude], "a");
    let sub = ask(&[claude, agent("ag")], "b");
    assert_eq!(
        (sub.parent, sub.agent.as_deref()),
        (main.session, Some("ag"))
    );
    assert!(sub.fresh && sub.session != main.session);
    let again = ask(&[claude, agent("ag")], "c");
    assert_eq!((again.session, again.parent), (sub.session, main.session));
    let nested = [
        claude,
        agent("deep"),
        ("x-claude-code-parent-agent-id", "ag"),
    ];
    assert_eq!(ask(&nested, "d").parent, sub.session);

    let codex = ask(&[("session-id", "S"), ("thread-id", "S")], "e");
    assert_eq!((codex.parent, codex.agent), (None, None));
    let spawned = [
        ("session-id", "S"),
        ("thread-id", "T"),
        ("x-openai-subagent", "collab_spawn"),
    ];
    let spawned = ask(&spawned, "f");
    assert_eq!(
        (spawned.parent, spawned.agent.as_deref()),
        (codex.session, Some("collab_spawn"))
    );
    let deeper = [
        ("session-id", "S"),
        ("thread-id", "U"),
        ("x-codex-parent-thread-id", "T"),
    ];
    assert_eq!(ask(&deeper, "g").parent, spawned.session);
    let forked = [
        ("session-id", "V"),
        ("thread-id", "V"),
        ("x-codex-forked-from-thread-id", "S"),
    ];
    let forked = ask(&forked, "h");
    assert_eq!((forked.parent, forked.agent), (codex.session, None));
    let compact = [
        ("session-id", "S"),
        ("thread-id", "S"),
        ("x-openai-subagent", "compact"),
    ];
    assert_eq!(ask(&compact, "i").session, codex.session);

    let open = ask(&[("x-session-id", "ses_1")], "j");
    let task = ask(
        &[("x-session-id", "ses_2"), ("x-parent-session-id", "ses_1")],
        "k",
    );
    assert_eq!(
        (task.parent, task.agent.as_deref()),
        (open.session, Some("ses_2"))
    );
}

#[test]
fn ids_that_the_body_or_a_json_line_states() {
    let sessions = Sessions::new(100);
    let ask = |lines: &[(&'static str, &str)], body: &str| {
        sessions
            .ask(ALICE, lines, &facts(body), NOW)
            .session
            .unwrap()
    };
    let codex = r#"{"model":"m","input":"x","client_metadata":{"session_id":"s","thread_id":"t","x-openai-subagent":"review"}}"#;
    let child = sessions.ask(ALICE, &[], &facts(codex), NOW);
    let main = ask(
        &[],
        r#"{"model":"m","input":"x","client_metadata":{"session_id":"s","thread_id":"s"}}"#,
    );
    assert_eq!(
        (child.parent, child.agent.as_deref()),
        (Some(main), Some("review"))
    );
    let named = r#"{"model":"m","input":"x","metadata":{"sessionId":"z"}}"#;
    assert_eq!(
        ask(&[], named),
        ask(
            &[("x-amzn-bedrock-request-metadata", r#"{"session":"z"}"#)],
            named
        )
    );
    assert_eq!(ask(&[("x-mux-workspace-id", "z")], named), ask(&[], named));
    // One key for everybody who shares a prompt is no session.
    let shared = r#"{"model":"m","input":"x","prompt_cache_key":"support-bot-v2"}"#;
    assert_ne!(ask(&[], shared), ask(&[], shared));
}

/// Goose counts its sessions by day, and so does the same person's other machine.
#[test]
fn a_numbered_session_belongs_to_its_node() {
    let sessions = Sessions::new(100);
    let hello = chat(&[("user", "hello".into())]);
    let ask = |node: &str| {
        let asking = Asking {
            user: ALICE,
            node,
            client: &client(),
            endpoint: Endpoint::OpenaiChat,
            headers: &headers(&[("agent-session-id", "20261123_1")]),
            facts: &hello,
            configured: &[],
            now: NOW,
        };
        sessions.assign(&asking).session
    };
    assert_eq!(ask("n1"), ask("n1"));
    assert_ne!(ask("n1"), ask("n2"));
}

#[test]
fn a_first_request_that_failed_is_sent_again_or_gone_on_from() {
    let sessions = Sessions::new(100);
    let first = chat(&[("user", "a".into())]);
    let lost = ResponseFacts::default();
    let ask = |request: &RequestFacts, after: u64| {
        let assigned = sessions.ask(ALICE, &[], request, Timestamp(NOW.0 + after));
        assigned.session.unwrap()
    };
    let session = ask(&first, 0);
    sessions.answer_as(ALICE, "test", session, &first, &lost, false);
    assert_eq!(ask(&first, state::REPEAT), session, "sent again");
    assert_ne!(ask(&first, state::REPEAT), session, "once");

    let cut = ask(&chat(&[("user", "b".into())]), 0);
    sessions.answer_as(
        ALICE,
        "test",
        cut,
        &chat(&[("user", "b".into())]),
        &reply("part of a"),
        false,
    );
    let gone_on = chat(&[
        ("user", "b".into()),
        ("assistant", "part".into()),
        ("user", "stop, do this".into()),
    ]);
    assert_eq!(ask(&gone_on, 0), cut);
    let late = ask(&chat(&[("user", "c".into())]), 0);
    sessions.answer_as(
        ALICE,
        "test",
        late,
        &chat(&[("user", "c".into())]),
        &lost,
        false,
    );
    assert_ne!(ask(&chat(&[("user", "c".into())]), state::REPEAT + 1), late);
}

#[test]
fn a_compacted_history_goes_on_and_a_quoted_reply_names_its_origin() {
    let sessions = Sessions::new(100);
    let first = chat(&[("user", "a".into())]);
    let session = sessions.ask(ALICE, &[], &first, NOW).session.unwrap();
    let summary = "The user wants the build fixed. ".repeat(12);
    sessions.answer(ALICE, "test", session, &first, &reply(&summary));
    let compacted = |text: String| {
        chat(&[
            ("user", text),
            ("assistant", "Got it.".into()),
            ("user", "go on".into()),
        ])
    };
    for text in [
        summary.clone(),
        format!("This is what happened:\n\n{summary}"),
        format!("Before: <summary>\n{summary}\n</summary> That was it."),
    ] {
        let found = sessions.ask(ALICE, &[], &compacted(text), NOW);
        assert_eq!((found.session, found.fresh), (Some(session), false));
    }
    let quoting = sessions.ask(ALICE, &[], &chat(&[("user", summary)]), NOW);
    assert_eq!((quoting.fresh, quoting.parent), (true, Some(session)));
}

#[test]
fn a_tools_duration_is_told_once_and_after_a_restart() {
    let sessions = Sessions::new(100);
    let first = chat(&[("user", "do".into())]);
    let session = sessions.ask(ALICE, &[], &first, NOW).session.unwrap();
    let anchors = sessions.answer(ALICE, "test", session, &first, &called());
    let next = with_call("do");
    let durations = |sessions: &Sessions| {
        let found = sessions.ask(ALICE, &[], &next, Timestamp(NOW.0 + 1500));
        assert_eq!(found.session, Some(session));
        found.durations
    };
    assert_eq!(durations(&sessions), [Some(1500)]);
    assert_eq!(durations(&sessions), [None], "sent again");
    let restarted = Sessions::new(100);
    restarted.restore([Restored {
        session,
        anchors,
        calls: vec!["call_7".into()],
        started: NOW,
        ended: Timestamp(NOW.0 + 500),
    }]);
    assert_eq!(durations(&restarted), [Some(1000)]);
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
        )
        .as_deref(),
        Some("for the agent"),
        "of the agent's own session"
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
    sessions.answer(ALICE, &client().name, parent, &first, &reply("b"));
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

/// Somebody cancels a prompt and gives it again: the second session named the first as its origin.
#[test]
fn a_prompt_that_was_cancelled_and_given_again_is_no_fork() {
    let sessions = Sessions::new(100);
    let hello = chat(&[("user", "hello".into())]);
    let ask = |id| sessions.ask(ALICE, &[("x-claude-code-session-id", id)], &hello, NOW);
    let first = ask("one").session.unwrap();
    sessions.answer_as(ALICE, "test", first, &hello, &reply("h"), false);
    let second = ask("two");
    assert_ne!(second.session, Some(first));
    assert_eq!((second.parent, second.fresh), (None, true));
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
    sessions.answer(ALICE, &client().name, session, &first, &answer);
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
    sessions.answer(ALICE, &client().name, session, &first, &called());
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
        sessions.answer(ALICE, &client().name, session, prompt, &answer);
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
    assert_eq!(ask(&title, Timestamp(NOW.0 + state::SIBLING)), third);
    let late = ask(&title, NOW);
    assert_ne!(
        ask(&main, Timestamp(NOW.0 + state::SIBLING + 1)),
        late,
        "too late"
    );
}

#[test]
fn a_conversation_is_found_for_a_day_and_after_a_restart() {
    let sessions = Sessions::new(100);
    let first = chat(&[("user", "a".into())]);
    let session = sessions.ask(ALICE, &[], &first, NOW).session.unwrap();
    let anchors = sessions.answer(ALICE, &client().name, session, &first, &reply("b"));
    let second = chat(&[
        ("user", "a".into()),
        ("assistant", "b".into()),
        ("user", "c".into()),
    ]);

    let restarted = Sessions::new(100);
    restarted.restore([Restored {
        session,
        anchors,
        calls: Vec::new(),
        started: NOW,
        ended: NOW,
    }]);
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
            sessions.answer(&user, &client().name, session, &request, &reply(&text));
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
            sessions.answer(ALICE, &client().name, session, &request, &reply("x"));
        }
        let state = &sessions.state;
        prop_assert!(state.known.lock().len() <= 16 && state.prompts.lock().len() <= 16 && state.anchors.lock().len() <= 256);
    }
}
