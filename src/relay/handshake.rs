//! The HTTP request that every connection starts with (RFC 6455 §4): a WebSocket is opened, or the relay describes
//! itself (NIP-11).

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::connection::READ_BUFFER_LEN;
use super::options::RelayOptions;
use crate::types::limits::{
    EVENT_TAG_COUNT_MAX, FILTER_COUNT_MAX, RELAY_ANSWER_COUNT_MAX, RELAY_SUBSCRIPTION_COUNT_MAX,
    SUBSCRIPTION_NAME_LEN_MAX,
};

/// Bytes of a request up to its empty line.
const HEAD_LEN_MAX: usize = 8 * 1024;
/// How long a client may take for its request.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);

/// Answers the request. `Some` is a client that speaks WebSocket now.
pub(super) async fn accept(
    mut stream: TcpStream,
    options: &RelayOptions,
) -> Option<WebSocketStream<TcpStream>> {
    let (head, rest) = timeout(HEAD_WAIT_MAX, read_head(&mut stream)).await.ok()??;
    let Some(key) = websocket_key(&head) else {
        // Whoever asks goes away either way.
        let _ = timeout(HEAD_WAIT_MAX, stream.write_all(describe(&head, options).as_bytes())).await;
        return None;
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_LEN)
        .max_message_size(Some(options.message_len_max))
        .max_frame_size(Some(options.message_len_max));
    Some(WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(config)).await)
}

/// The request up to its empty line, and what came after it.
async fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    const END: &[u8] = b"\r\n\r\n";
    let mut read = Vec::with_capacity(1024);
    loop {
        if let Some(end) = read.windows(END.len()).position(|window| window == END) {
            let rest = read.split_off(end + END.len());
            return Some((String::from_utf8(read).ok()?, rest));
        }
        if read.len() >= HEAD_LEN_MAX || stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

/// The value of the first header of this name.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    headers.find(|(found, _)| found.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The client's key, if the request asks for a WebSocket of the version that there is.
pub(super) fn websocket_key(head: &str) -> Option<&str> {
    let is_upgrade = header(head, "Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    let is_version = header(head, "Sec-WebSocket-Version") == Some("13");
    let is_get = head.starts_with("GET ");
    header(head, "Sec-WebSocket-Key").filter(|_| is_upgrade && is_version && is_get)
}

/// The answer to a request that asks for no WebSocket.
pub(super) fn describe(head: &str, options: &RelayOptions) -> String {
    let wants_document = header(head, "Accept").is_some_and(|value| value.contains("application/nostr+json"));
    let (kind, body) = if wants_document {
        ("application/nostr+json", document(options).to_string())
    } else {
        ("text/plain; charset=utf-8", "This is a Nostr relay. Open it as a WebSocket.\n".to_owned())
    };
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Headers: *\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn document(options: &RelayOptions) -> serde_json::Value {
    json!({
        "name": "blobdvm relay",
        "description": "carries events for blobdvm; keeps replaceable, addressable and a bounded number of other events",
        "software": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "supported_nips": [1, 11],
        "limitation": {
            "max_message_length": options.message_len_max,
            "max_subscriptions": RELAY_SUBSCRIPTION_COUNT_MAX,
            "max_filters": FILTER_COUNT_MAX,
            "max_limit": RELAY_ANSWER_COUNT_MAX,
            "max_subid_length": SUBSCRIPTION_NAME_LEN_MAX,
            "max_event_tags": EVENT_TAG_COUNT_MAX,
            "min_pow_difficulty": 0,
            "auth_required": false,
            "payment_required": false,
            "restricted_writes": false
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: x\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    #[test]
    fn websocket_is_recognised_by_its_headers() {
        assert_eq!(websocket_key(UPGRADE), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        for (from, to) in [("GET", "PUT"), ("13", "8"), ("WebSocket", "h2c"), ("Sec-WebSocket-Key", "Key")] {
            assert_eq!(websocket_key(&UPGRADE.replacen(from, to, 1)), None, "{to}");
        }
    }

    #[test]
    fn relay_describes_its_limits() {
        let options = RelayOptions { message_len_max: 77_777, ..RelayOptions::default() };
        let answer = describe("GET / HTTP/1.1\r\nAccept: application/nostr+json\r\n\r\n", &options);
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["limitation"]["max_message_length"], 77_777);
        assert!(answer.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
