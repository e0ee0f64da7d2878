//! What the Go library sends: a peer's address with its descriptor, lines of the bus and of the log, answers of the LocalAPI.
//! The first byte says which.
#![no_main]

use aperture::tailnet::{
    Origin, Trouble,
    localapi::{self, Notify, Ping, Status},
    message::{ADDRESS_ROOM, Message, peer, receive},
};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg, socketpair,
};
use serde_json::Value;
use std::{io::IoSlice, mem::MaybeUninit, os::{fd::AsFd as _, unix::net::UnixStream}};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    match kind % 8 {
        0 => connection(bytes),
        1 => received(bytes, usize::from(kind / 8) % 4),
        2 => notification(bytes),
        3 => whois(&text),
        4 => drop(localapi::answer::<Status>(200, &text)),
        5 => drop(localapi::answer::<Ping>(u16::from(*kind), &text)),
        6 => certificate(&text),
        _ => trouble(&text),
    }
});

/// An address is read in one spelling only: the one in which it is written.
fn connection(bytes: &[u8]) {
    let Some((address, node)) = peer(bytes) else {
        return;
    };
    let written = match node {
        Origin::Node(node) => format!("{address} {node}"),
        Origin::Nobody => address.to_string(),
        Origin::Unknown => panic!("the library always knows"),
    };
    assert_eq!(written.as_bytes(), bytes);
    assert!(address.port() != 0 && !address.ip().is_unspecified());
}

/// One descriptor and one address are a connection; everything else is none, and the next message is read as ever.
fn received(bytes: &[u8], descriptors: usize) {
    let bytes = &bytes[..bytes.len().min(2 * ADDRESS_ROOM)];
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let Ok((ours, theirs)) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None) else {
        return;
    };
    let (near, far) = UnixStream::pair().expect("a pair of sockets");
    let send = |bytes: &[u8], descriptors: usize| {
        let all = vec![near.as_fd(); descriptors];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(descriptors == 0 || control.push(SendAncillaryMessage::ScmRights(&all)));
        sendmsg(&theirs, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).expect("room");
    };
    send(bytes, descriptors);
    match (receive(&ours).expect("a message"), peer(bytes)) {
        (Message::Connection(_, address, node), Some(wanted)) => {
            assert_eq!((address, node), wanted);
            assert!(descriptors == 1 && bytes.len() <= ADDRESS_ROOM);
        }
        (Message::Connection(..), None) => panic!("a connection from nowhere"),
        (Message::Unusable(_), wanted) => assert!(descriptors != 1 || wanted.is_none() || bytes.len() > ADDRESS_ROOM),
        // An empty message is how the end looks.
        (Message::End, _) => assert!(bytes.is_empty() && descriptors == 0),
    }
    send(b"100.64.0.1:4000 n1", 1);
    assert!(matches!(receive(&ours).expect("a message"), Message::Connection(..)));
    drop(far);
}

/// What may change an identity is taken for such a change.
fn notification(line: &[u8]) {
    let Ok(notify) = serde_json::from_slice::<Notify>(line) else {
        return;
    };
    let Ok(Value::Object(value)) = serde_json::from_slice::<Value>(line) else {
        return;
    };
    let has = |key: &str| value.get(key).is_some_and(|value| !value.is_null());
    let changes = ["NetMap", "SelfChange", "PeersChanged", "PeersRemoved", "UserProfiles"];
    assert_eq!(notify.changes_identities(), changes.into_iter().any(has));
    assert_eq!(notify.login_is_finished(), has("LoginFinished"));
}

/// Nobody is nobody, and somebody has an id.
fn whois(text: &str) {
    if let Ok(Some(who)) = localapi::whois(200, text) {
        assert!(!who.node.stable_id.is_empty());
    }
    assert!(matches!(localapi::whois(404, text), Ok(None)));
    assert!(localapi::whois(500, text).is_err());
}

/// Key and chain are the two parts of what came.
fn certificate(text: &str) {
    if let Some(pair) = localapi::certificate(text) {
        assert_eq!(format!("{}{}", pair.key.expose(), pair.chain), text);
        assert!(pair.chain.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(!format!("{pair:?}").contains("PRIVATE KEY") || pair.chain.contains("PRIVATE KEY"));
    }
}

/// What a log line says is cut, and one line.
fn trouble(line: &str) {
    if let Some(trouble) = Trouble::of_log(line) {
        let said = trouble.said();
        assert!(said.chars().count() <= 240 && !said.chars().any(char::is_control), "{said}");
    }
}
