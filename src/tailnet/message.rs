//! The messages on a listener's descriptor.
//!
//! Owns: their format: the peer's `ip:port` and the node that had this address when the connection was made as data, and one
//! descriptor, together, so that they can't be mixed up. In: a `SOCK_SEQPACKET` socket. Out: a [`Message`]. Here without the
//! Go library, too, so that a fuzz target reaches it. Must not know: who waits for connections.

use super::Origin;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

/// Room for the longest address, `[…]:65535` in full, and a node's id: a longer text is neither.
pub const ADDRESS_ROOM: usize = 128;

/// What one read of the descriptor gave.
#[derive(Debug)]
pub enum Message {
    /// A connection, the peer's address, and the node that had it.
    Connection(UnixStream, SocketAddr, Origin),
    /// Not a connection; says what is wrong with it.
    Unusable(&'static str),
    /// There will be no more.
    End,
}

/// Reads one message; `WouldBlock` when there is none.
pub fn receive(descriptor: impl AsFd) -> io::Result<Message> {
    let mut data = [0; ADDRESS_ROOM];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut data)];
        match recvmsg(&descriptor, &mut parts, &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            // The other end went with messages of ours unread: the same end.
            Err(rustix::io::Errno::CONNRESET) => return Ok(Message::End),
            other => break other?,
        }
    };
    let mut descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        })
        .flatten()
        .collect::<Vec<OwnedFd>>();
    if received.bytes == 0
        && descriptors.is_empty()
        && !received.flags.contains(ReturnFlags::CTRUNC)
    {
        return Ok(Message::End);
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Ok(Message::Unusable(
            "its descriptor did not fit: too many are open",
        ));
    }
    let (Some(stream), true) = (descriptors.pop(), descriptors.is_empty()) else {
        return Ok(Message::Unusable("it does not hold exactly one descriptor"));
    };
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Ok(Message::Unusable("its address is too long"));
    }
    match peer(&data[..received.bytes]) {
        Some((peer, node)) => Ok(Message::Connection(stream.into(), peer, node)),
        None => Ok(Message::Unusable("it does not hold a peer's address")),
    }
}

/// Reads address and node strictly: as a socket address prints, of a host that can be a peer, and an id in one word.
pub fn peer(text: &[u8]) -> Option<(SocketAddr, Origin)> {
    let text = std::str::from_utf8(text).ok()?;
    let (address, node) = match text.split_once(' ') {
        Some((address, node)) if !node.is_empty() && node.bytes().all(|b| b.is_ascii_graphic()) => {
            (address, Origin::Node(node.to_owned()))
        }
        Some(_) => return None,
        None => (text, Origin::Nobody),
    };
    let peer: SocketAddr = address.parse().ok()?;
    let scoped = matches!(peer, SocketAddr::V6(v6) if v6.scope_id() != 0);
    let usable = !peer.ip().is_unspecified() && peer.port() != 0 && !scoped;
    (usable && peer.to_string() == address).then_some((peer, node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
        SocketType, sendmsg, socketpair,
    };
    use std::io::{IoSlice, Read, Write};

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    /// Sends as the library does.
    fn send(socket: &OwnedFd, data: &[u8], descriptors: &[&UnixStream]) {
        let descriptors: Vec<_> = descriptors.iter().map(|stream| stream.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        }
        sendmsg(
            socket,
            &[IoSlice::new(data)],
            &mut control,
            SendFlags::empty(),
        )
        .unwrap();
    }

    #[test]
    fn addresses_are_read_strictly() {
        for good in [
            "100.64.0.1:1",
            "[fd7a:115c:a1e0::1]:65535",
            "[fd7a:115c:a1e0:ab12:4843:cd96:6258:b240]:65535",
        ] {
            let address = good.parse().unwrap();
            assert_eq!(peer(good.as_bytes()), Some((address, Origin::Nobody)));
            let bound = format!("{good} nTestCNTRL");
            let node = Origin::Node("nTestCNTRL".to_owned());
            assert_eq!(peer(bound.as_bytes()), Some((address, node)));
            assert!(bound.len() < ADDRESS_ROOM);
        }
        for bad in [
            "",
            "100.64.0.1",
            "100.64.0.1:0",
            "0.0.0.0:1",
            "[::]:1",
            "fd7a::1:80",
            "[fd7a:0::1]:80",
            "[::FFFF]:80",
            "100.64.0.1:80 ",
            "100.64.0.1:80 a b",
            "100.64.0.1:80  a",
            " 100.64.0.1:80",
            "100.64.0.1:80 \u{e9}",
            "100.64.0.1:080",
            "alice:80",
            "<nil>",
            "100.64.0.1:80\0",
            "[fe80::1%1]:80",
            "é",
        ] {
            assert_eq!(peer(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn one_message_is_one_connection() {
        let (ours, theirs) = pair();
        assert_eq!(
            receive(&ours).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let (near, mut far) = UnixStream::pair().unwrap();
        send(&theirs, b"100.64.0.1:4000", &[&near]);
        drop(near);
        let Message::Connection(mut stream, peer, _) = receive(&ours).unwrap() else {
            panic!("not a connection");
        };
        assert_eq!(peer.to_string(), "100.64.0.1:4000");
        let flags = rustix::io::fcntl_getfd(&stream).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        stream.write_all(b"hello").unwrap();
        drop(stream);
        let mut heard = String::new();
        far.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        drop(theirs);
        assert!(matches!(receive(&ours).unwrap(), Message::End));
    }

    /// Whatever else arrives is dropped and closed, and the next message is read as usual.
    #[test]
    fn other_messages_are_dropped() {
        let (ours, theirs) = pair();
        let (near, mut far) = UnixStream::pair().unwrap();
        let long = [b'1'; ADDRESS_ROOM + 1];
        let cases: [(&[u8], &[&UnixStream]); 6] = [
            (b"100.64.0.1:4000", &[]),
            (b"100.64.0.1:4000", &[&near, &near]),
            (b"100.64.0.1:4000", &[&near, &near, &near, &near]),
            (b"nobody", &[&near]),
            (b"", &[&near]),
            (&long, &[&near]),
        ];
        for (data, descriptors) in cases {
            send(&theirs, data, descriptors);
            assert!(
                matches!(receive(&ours).unwrap(), Message::Unusable(_)),
                "{data:?}"
            );
        }
        send(&theirs, b"100.64.0.1:4000", &[&near]);
        assert!(matches!(receive(&ours).unwrap(), Message::Connection(..)));
        drop(near);
        assert_eq!(
            far.read(&mut [0]).unwrap(),
            0,
            "a dropped descriptor stayed open"
        );
    }
}
