//! A client that keeps one connection, so that a test can say what happens on *this* connection.

use super::http::Answer;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// One HTTP/1.1 connection, kept open.
#[derive(Debug)]
pub struct Kept {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
}

impl Kept {
    /// Connects to `http://ADDRESS`.
    pub async fn open(url: &str) -> Self {
        let host = url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, host }
    }

    /// Posts JSON and waits for the response's head; an error when the connection is gone.
    pub async fn open_post(
        &mut self,
        path: &str,
        body: impl Into<Bytes>,
    ) -> hyper::Result<Response<Incoming>> {
        let request = Request::post(path)
            .header("host", &self.host)
            .header("content-type", "application/json")
            .body(Full::new(body.into()))
            .unwrap();
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// Posts JSON and reads the response.
    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> hyper::Result<Answer> {
        let (head, body) = self.open_post(path, body).await?.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }
}
