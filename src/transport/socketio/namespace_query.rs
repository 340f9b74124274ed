//! Namespace queries of Socket.IO 2 clients: `40/ws/signals?token=abc,` asks for `/ws/signals`, with the query in place
//! of the `auth` of later versions.
//!
//! Such a client accepts answers that name the namespace alone, which the reference server sends since 3.1.1
//! (`Client.ondecoded` for protocol 3). The engine here would look for a namespace with the query in its name. So the
//! packet is rewritten on its way in, over both transports, to `40/ws/signals,{"token":"abc"}`.

use axum::extract::Query;
use http::Uri;
use serde_json::{Map, Value};

use crate::listener::InboundFilter;

/// Start of every packet that may be rewritten: a message, a connection, and a namespace.
const CONNECT: &str = "40/";
/// Longest packet that may be rewritten, in bytes: far more than a token needs.
const MAX_PACKET: usize = 16 * 1024;
/// Longest header of a client's WebSocket frame, in bytes: two, an extended length of eight, a mask of four.
const MAX_HEADER: usize = 14;
const FIN_TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
/// Length markers: the length follows in two bytes, or in eight.
const LENGTH_16: u8 = 0x7e;
const LENGTH_64: u8 = 0x7f;

/// Returns the replacement of a packet that connects to a namespace with a query.
fn rewritten(packet: &str) -> Option<String> {
    let name = packet.strip_prefix("40").filter(|name| name.starts_with('/'))?;
    let name = name.split_once(',').map_or(name, |(name, _)| name);
    let (namespace, query) = name.split_once('?')?;
    // Every client of version 2 is in the main namespace already.
    if namespace == "/" {
        return None;
    }
    let uri: Uri = format!("/?{query}").parse().ok()?;
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&uri).ok()?.0;
    let auth: Map<String, Value> = pairs.into_iter().rev().map(|(name, value)| (name, value.into())).collect();
    Some(format!("40{namespace},{}", Value::Object(auth)))
}

/// Rewrites the body of a long poll of Engine.IO 3 (`<length>:<packet>`, repeatedly; lengths in UTF-16 units). Returns
/// `None` when nothing changes.
pub(super) fn rewritten_payload(payload: &[u8]) -> Option<String> {
    let payload = std::str::from_utf8(payload).ok().filter(|payload| payload.contains(CONNECT))?;
    let (mut rest, mut out, mut changed) = (payload, String::with_capacity(payload.len()), false);
    while !rest.is_empty() {
        let (length, after) = rest.split_once(':')?;
        let mut left: usize = length.parse().ok()?;
        let end = after.char_indices().find_map(|(at, c)| {
            let end = (left == 0).then_some(at);
            left = left.saturating_sub(c.len_utf16());
            end
        });
        let (packet, next) = after.split_at(end.unwrap_or(after.len()));
        let new = rewritten(packet);
        changed |= new.is_some();
        let packet = new.as_deref().unwrap_or(packet);
        out.extend([packet.encode_utf16().count().to_string().as_str(), ":", packet]);
        rest = next;
    }
    changed.then_some(out)
}

/// Rewrites the packets of a WebSocket of Engine.IO 3. All other bytes pass unchanged.
#[derive(Debug, Default)]
pub(super) struct ConnectFilter {
    state: FilterState,
}

#[derive(Debug, Default)]
enum FilterState {
    /// Between two frames.
    #[default]
    Between,
    /// Within a frame whose header is incomplete, or that may have to be rewritten: its bytes so far.
    Held(Vec<u8>),
    /// Within a frame that passes unchanged: the number of bytes to come.
    Passing(u64),
    /// The bytes are not a client's frame and pass unchanged; the engine rejects them.
    Foreign,
}

/// What the first bytes of a frame show.
enum Frame {
    /// More bytes are needed.
    Unknown,
    /// It is not a client's frame.
    Foreign,
    /// It passes unchanged: its total length.
    Passes(u64),
    /// It is a short text frame: its total length, and the offset of the mask.
    Text(usize, usize),
}

fn frame(bytes: &[u8]) -> Frame {
    let [first, second, ..] = *bytes else { return Frame::Unknown };
    let known = matches!(first & 0x0f, 0..=2 | 8..=10);
    if first & 0x70 != 0 || !known || second & MASKED == 0 {
        return Frame::Foreign;
    }
    let (length, mask) = match second & !MASKED {
        LENGTH_16 => match bytes.get(2..4) {
            Some(length) => (u64::from(u16::from_be_bytes([length[0], length[1]])), 4),
            None => return Frame::Unknown,
        },
        LENGTH_64 => match bytes.get(2..10).and_then(|length| length.try_into().ok()) {
            Some(length) => (u64::from_be_bytes(length), 10),
            None => return Frame::Unknown,
        },
        length => (length.into(), 2),
    };
    let whole = length.saturating_add(mask as u64 + 4);
    if first != FIN_TEXT || length < CONNECT.len() as u64 || length > MAX_PACKET as u64 {
        return Frame::Passes(whole);
    }
    let Some(key) = bytes.get(mask..mask + 4) else { return Frame::Unknown };
    let begins = bytes[mask + 4..].iter().zip(key).map(|(byte, key)| byte ^ key);
    if !begins.zip(CONNECT.bytes()).all(|(byte, expected)| byte == expected) {
        return Frame::Passes(whole);
    }
    Frame::Text(whole as usize, mask)
}

/// Returns the replacement of a complete text frame whose mask begins at `mask`.
fn rewritten_frame(bytes: &[u8], mask: usize) -> Option<Vec<u8>> {
    let (key, payload) = bytes[mask..].split_at(4);
    let unmasked: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    let packet = rewritten(std::str::from_utf8(&unmasked).ok()?)?;
    let mut frame = vec![FIN_TEXT];
    match u16::try_from(packet.len()).ok()? {
        length @ 0..126 => frame.push(MASKED | length as u8),
        length => {
            frame.push(MASKED | LENGTH_16);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(packet.bytes().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    Some(frame)
}

impl InboundFilter for ConnectFilter {
    fn filter(&mut self, mut received: &[u8], out: &mut Vec<u8>) {
        while !received.is_empty() {
            self.state = match std::mem::take(&mut self.state) {
                FilterState::Foreign => {
                    out.extend(received);
                    self.state = FilterState::Foreign;
                    return;
                }
                FilterState::Passing(left) => {
                    let (frame, rest) =
                        received.split_at(received.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
                    out.extend(frame);
                    received = rest;
                    match left - frame.len() as u64 {
                        0 => FilterState::Between,
                        left => FilterState::Passing(left),
                    }
                }
                FilterState::Between => FilterState::Held(Vec::with_capacity(MAX_HEADER)),
                FilterState::Held(mut held) => {
                    held.push(received[0]);
                    received = &received[1..];
                    match frame(&held) {
                        Frame::Foreign => {
                            out.extend(held);
                            FilterState::Foreign
                        }
                        Frame::Passes(whole) => {
                            out.extend(&held);
                            match whole - held.len() as u64 {
                                0 => FilterState::Between,
                                left => FilterState::Passing(left),
                            }
                        }
                        Frame::Text(whole, mask) if held.len() == whole => {
                            out.extend(rewritten_frame(&held, mask).unwrap_or(held));
                            FilterState::Between
                        }
                        Frame::Unknown | Frame::Text(..) => FilterState::Held(held),
                    }
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_namespace_query_becomes_auth() {
        for (packet, expected) in [
            ("40/ws/signals?token=abc,", Some(r#"40/ws/signals,{"token":"abc"}"#)),
            ("40/ws/signals?token=abc", Some(r#"40/ws/signals,{"token":"abc"}"#)),
            ("40/ws/signals/?since=e%3A7&token=a%2Bb+c,", Some(r#"40/ws/signals/,{"since":"e:7","token":"a+b c"}"#)),
            (
                "40/ws/signals?sessionId=2053&revision=develop,",
                Some(r#"40/ws/signals,{"revision":"develop","sessionId":"2053"}"#),
            ),
            ("40/ws/signals?,", Some("40/ws/signals,{}")),
            ("40/elsewhere?a=1&a=2,", Some(r#"40/elsewhere,{"a":"1"}"#)),
            ("40/ws/signals,", None),
            ("40/?token=abc,", None),
            ("40", None),
            (r#"42/ws/signals,["subscribe?"]"#, None),
            (r#"40/ws/signals,{"what":"?"}"#, None),
        ] {
            assert_eq!(rewritten(packet).as_deref(), expected, "{packet}");
        }
    }

    #[test]
    fn a_poll_is_rewritten_packet_by_packet() {
        let payload = "24:40/ws/signals?token=abc,6:42[\"ü\"2:42";
        let expected = "29:40/ws/signals,{\"token\":\"abc\"}6:42[\"ü\"2:42";
        assert_eq!(rewritten_payload(payload.as_bytes()).as_deref(), Some(expected));
        for untouched in ["14:40/ws/signals,", "", "nonsense", "9999:40/a?b", "2:40/ws?a=b", "x:40/a?b=1,"] {
            let rewritten = rewritten_payload(untouched.as_bytes());
            assert!(rewritten.is_none_or(|payload| payload.contains(",{")), "{untouched}");
        }
        assert_eq!(rewritten_payload(b"14:40/ws/signals,"), None);
        assert_eq!(rewritten_payload(b"\xff40/a?b=1,"), None);
    }

    fn client_frame(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(MASKED | length as u8),
            length @ 126..65536 => {
                frame.push(MASKED | LENGTH_16);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(MASKED | LENGTH_64);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(key);
        frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    fn filtered(bytes: &[u8], chunk: usize) -> Vec<u8> {
        let (mut filter, mut out) = (ConnectFilter::default(), Vec::new());
        for chunk in bytes.chunks(chunk.max(1)) {
            filter.filter(chunk, &mut out);
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn only_connections_with_a_query_are_rewritten(
            frames in proptest::collection::vec((0..6usize, 0..700usize, any::<[u8; 4]>()), 1..8),
            chunk in 1..600usize,
        ) {
            let (mut sent, mut expected) = (Vec::new(), Vec::new());
            for (kind, length, key) in frames {
                let filler = "x".repeat(length);
                let (first, payload, becomes) = match kind {
                    0 => (FIN_TEXT, format!("40/ws?token={filler},"), format!("40/ws,{{\"token\":\"{filler}\"}}")),
                    1 => (FIN_TEXT, format!("42[\"{filler}\"]"), format!("42[\"{filler}\"]")),
                    2 => (0x89, filler[..length.min(125)].to_owned(), filler[..length.min(125)].to_owned()),
                    3 => (0x82, filler.clone(), filler),
                    4 => (0x01, format!("40/ws?{filler},"), format!("40/ws?{filler},")),
                    _ => (FIN_TEXT, "x".repeat(length * 200), "x".repeat(length * 200)),
                };
                sent.extend(client_frame(first, payload.as_bytes(), key));
                expected.extend(client_frame(first, becomes.as_bytes(), key));
            }
            prop_assert_eq!(filtered(&sent, chunk), expected);
        }

        #[test]
        fn other_bytes_pass_unchanged(bytes in proptest::collection::vec(any::<u8>(), 0..300), chunk in 1..40usize) {
            let mut http = b"GET / HTTP/1.1\r\n".to_vec();
            http.extend(bytes);
            prop_assert_eq!(filtered(&http, chunk), http);
        }
    }
}
