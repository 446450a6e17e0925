//! Connections to one Blossom server.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::http::uri::Scheme;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::transport::blossom::BlossomError;
use crate::types::limits::BLOSSOM_HEAD_LEN_MAX;

/// Connections that rest until the next request; more are closed.
const IDLE_COUNT_MAX: usize = 16;

/// The way to a server.
pub(super) struct Lines {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    idle: Mutex<Vec<Line>>,
}

/// One connection, which takes one request at a time.
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; ends with the connection.
    _driver: JoinSet<()>,
    /// It has carried a request before: the server may have closed it since.
    pub(super) is_used: bool,
}

impl Lines {
    /// The way to the server at `url`: `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    pub(super) fn parse(url: &str) -> Result<Self, BlossomError> {
        let wrong = |why| BlossomError::Address { text: url.chars().take(80).collect(), why };
        let uri: Uri = url.trim().parse().map_err(|_| wrong("it is no URL"))?;
        let host = uri.host().ok_or_else(|| wrong("it names no host"))?;
        // Names of IPv6 stand in brackets in a URL, and nowhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("a server answers at its root, and nowhere below"));
        }
        let is_sealed = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(wrong("it begins neither with http:// nor with https://")),
        };
        let port = uri.port_u16().unwrap_or(if is_sealed { 443 } else { 80 });
        Ok(Self { host, port, tls: is_sealed.then(connector), idle: Mutex::default() })
    }

    /// The server as requests, and people, name it.
    pub(super) fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// A connection that rests, or a new one.
    pub(super) async fn take(&self) -> Result<Line, BlossomError> {
        match self.rested() {
            Some(line) => Ok(line),
            None => self.dial().await,
        }
    }

    fn rested(&self) -> Option<Line> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|line| line.sender.is_ready())
    }

    /// Keeps a connection for the next request.
    pub(super) fn give_back(&self, line: Line) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_COUNT_MAX {
            idle.push(Line { is_used: true, ..line });
        }
    }

    /// A new connection.
    pub(super) async fn dial(&self) -> Result<Line, BlossomError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        // Without it every round of few requests waits 44 ms for a delayed acknowledgement.
        stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
        let Some(tls) = &self.tls else { return self.begin(stream).await };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| self.unreachable(&error))?;
        let stream = tls.connect(name, stream).await.map_err(|error| self.unreachable(&error))?;
        self.begin(stream).await
    }

    async fn begin<S>(&self, stream: S) -> Result<Line, BlossomError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = Builder::new();
        builder.max_header_size(BLOSSOM_HEAD_LEN_MAX);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        let mut driver = JoinSet::new();
        // What ends it is told to whoever waits for an answer.
        driver.spawn(async move { drop(connection.await) });
        Ok(Line { sender, _driver: driver, is_used: false })
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> BlossomError {
        BlossomError::Unreachable { server: self.server(), why: error.to_string() }
    }

    pub(super) fn broken(&self, error: &hyper::Error) -> BlossomError {
        BlossomError::Broken { server: self.server(), why: error.to_string() }
    }
}

impl Line {
    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

/// TLS with the certificates that browsers trust.
fn connector() -> TlsConnector {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_a_url_without_a_path() {
        for (text, server) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://[::1]:3000/", "[::1]:3000"),
            (" https://blobs.example.com ", "blobs.example.com:443"),
            ("http://blobs.example.com/", "blobs.example.com:80"),
        ] {
            assert_eq!(
                Lines::parse(text).ok().map(|lines| lines.server()).as_deref(),
                Some(server),
                "{text}"
            );
        }
        for text in
            ["", "blobs.example.com", "ws://a.example", "http://", "http://a/b", "http://a/?q", "http://a b"]
        {
            assert!(matches!(Lines::parse(text), Err(BlossomError::Address { .. })), "{text}");
        }
    }
}
