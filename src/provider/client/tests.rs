//! Kept connections, against sockets that say what they are told.

use super::*;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::{future::poll_fn, io::ErrorKind, pin::Pin, task::Poll};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
};

fn client() -> Client {
    Client::new(Options {
        dial: None,
        allow_local: true,
        connect_timeout: Duration::from_secs(10),
    })
}

struct Upstream {
    listener: TcpListener,
    url: String,
}

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/v1/messages?beta=true",
            listener.local_addr().unwrap()
        );
        Self { listener, url }
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// Takes a connection and a request, and says this.
    async fn answer(&self, text: &str) -> TcpStream {
        let mut stream = self.accept().await;
        heard(&mut stream).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// A whole exchange on a connection of its own; gives back the upstream's end of it.
    async fn exchange(&self, client: &Client) -> TcpStream {
        let (answer, stream) = tokio::join!(send(client, self.request()), self.answer(ANSWER));
        drop(answer.unwrap().into_body().collect().await.unwrap());
        stream
    }

    /// Nobody else has connected: asked of the kernel, which knows it before the runtime does.
    fn assert_quiet(self) {
        let accepted = self.listener.into_std().unwrap().accept();
        assert_eq!(accepted.unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    fn request(&self) -> Request<Pieces> {
        let body = Pieces::new([
            Bytes::from_static(b"{\"model\":"),
            Bytes::from_static(b"1}"),
        ]);
        Request::post(&self.url).body(body).unwrap()
    }
}

async fn send(
    client: &Client,
    request: Request<Pieces>,
) -> Result<Response<AnswerBody>, SendError> {
    client.send_over(Network::Host, None, request).await
}

/// Reads one request of [`Upstream::request`].
async fn heard(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"1}") {
        assert_ne!(
            stream.read_buf(&mut text).await.unwrap(),
            0,
            "the connection ended"
        );
    }
    String::from_utf8(text).unwrap()
}

/// The beginning of an answer, and its first chunk.
const BEGUN: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";
/// A whole one.
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let (client, upstream) = (client(), Upstream::start().await);
    let mut stream = None;
    for _ in 0..3 {
        let served = async {
            if stream.is_none() {
                stream = Some(upstream.accept().await);
            }
            let stream = stream.as_mut().unwrap();
            let text = heard(stream).await;
            stream.write_all(ANSWER.as_bytes()).await.unwrap();
            text
        };
        let (answer, text) = tokio::join!(send(&client, upstream.request()), served);
        assert!(
            text.starts_with("POST /v1/messages?beta=true HTTP/1.1\r\n"),
            "{text}"
        );
        let host = upstream.url.split('/').nth(2).unwrap();
        assert!(text.contains(&format!("host: {host}\r\n")), "{text}");
        let body = answer.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "ok");
    }
    upstream.assert_quiet();
}

#[tokio::test]
async fn a_kept_connection_that_has_ended_is_replaced_before_a_byte_is_sent() {
    let (client, upstream) = (client(), Upstream::start().await);
    let stream = upstream.exchange(&client).await;
    drop(stream);
    // Until its end has been noticed, nobody could know.
    tokio::task::yield_now().await;
    upstream.exchange(&client).await;
}

#[tokio::test]
async fn a_request_is_not_sent_again_once_it_was_sent() {
    let (client, upstream) = (client(), Upstream::start().await);
    let mut stream = upstream.exchange(&client).await;
    let broken = async {
        heard(&mut stream).await;
        drop(stream);
    };
    let (answer, ()) = tokio::join!(send(&client, upstream.request()), broken);
    assert!(matches!(answer.unwrap_err(), SendError::Broken(_)));
    upstream.assert_quiet();
}

#[tokio::test]
async fn chunks_that_are_there_together_are_handed_on_together() {
    let (client, upstream) = (client(), Upstream::start().await);
    let text = format!("{BEGUN}3\r\ntwo\r\n5\r\nthree\r\n");
    let served = upstream.answer(&text);
    let (answer, _stream) = tokio::join!(send(&client, upstream.request()), served);
    let mut body = answer.unwrap().into_body();
    let mut found = Vec::new();
    // Nothing of this waits: one poll takes whatever there is.
    poll_fn(|cx| {
        while let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) {
            found.push(frame.unwrap().unwrap().into_data().unwrap());
        }
        Poll::Ready(())
    })
    .await;
    assert_eq!(found, ["one", "two", "three"]);
}

#[tokio::test]
async fn an_answer_that_nobody_wants_ends_its_connection_at_once() {
    let (client, upstream) = (client(), Upstream::start().await);
    let served = upstream.answer(BEGUN);
    let (answer, mut stream) = tokio::join!(send(&client, upstream.request()), served);
    let mut body = answer.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);

    // And so does a request that nobody waits for any longer.
    let mut sent = Box::pin(send(&client, upstream.request()));
    let mut stream = tokio::select! {
        _ = sent.as_mut() => panic!("nothing was answered"),
        stream = upstream.answer("") => stream,
    };
    drop(sent);
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test]
async fn the_kept_ones_that_have_ended_are_let_go() {
    let (client, upstream) = (client(), Upstream::start().await);
    let mut stream = upstream.exchange(&client).await;
    stream.shutdown().await.unwrap();
    // The other end closes although nothing is sent to this place again.
    tokio::time::pause();
    let mut byte = [0];
    let ended = tokio::time::timeout(2 * pool::SWEEP, stream.read(&mut byte));
    assert_eq!(ended.await.expect("it was let go").unwrap(), 0);
}

/// What a client still sends, and the end that it sends it into.
async fn uploading(length: usize) -> (Incoming, DuplexStream) {
    let (near, mut far) = duplex(1 << 10);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near))
        .await
        .unwrap();
    pool::beside(connection.map(drop));
    let asked = sender.send_request(Request::new(Empty::<Bytes>::new()));
    let begun = async {
        far.read_u8().await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        far.write_all(head.as_bytes()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(asked, begun);
    (answer.unwrap().into_body(), far)
}

#[tokio::test]
async fn an_upload_goes_on_while_its_answer_is_not_taken() {
    const LENGTH: usize = 1 << 20;
    let (client, upstream) = (client(), Upstream::start().await);
    let (rest, mut far) = uploading(LENGTH).await;
    let body = Pieces::default().followed_by(rest, Upload::default(), Duration::from_mins(1));
    let request = Request::post(&upstream.url).body(body).unwrap();
    let answered = async {
        let mut stream = upstream.accept().await;
        let mut begun = Vec::new();
        while !begun.ends_with(b"\r\n\r\n") {
            begun.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(BEGUN.as_bytes()).await.unwrap();
        stream
    };
    let (answer, mut stream) = tokio::join!(send(&client, request), answered);
    let answer = answer.unwrap();
    let (sent, mut arrived) = (vec![1; LENGTH], vec![0; LENGTH]);
    let upload = async { tokio::join!(far.write_all(&sent), stream.read_exact(&mut arrived)) };
    let upload = tokio::time::timeout(Duration::from_secs(30), upload);
    let (written, read) = upload.await.expect("it waits for nobody");
    written.unwrap();
    assert!(sent == arrived);
    assert_eq!(read.unwrap(), LENGTH);
    drop(answer);
}
