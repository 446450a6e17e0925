//! Names from outside on a terminal: files', snapshots', hosts'. They are bytes, and may be anything.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// A name of bytes as a person can read it and no terminal obeys it: what is no UTF-8 or moves the cursor stands as
/// `\xNN` or `\u{N}`, and a backslash is doubled. So no two names look alike.
pub fn name_text(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for part in name.utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '\\' => text.push_str(r"\\"),
                '\n' => text.push_str(r"\n"),
                '\t' => text.push_str(r"\t"),
                '\r' => text.push_str(r"\r"),
                c if is_unfit(c) => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in part.invalid() {
            text.extend([r"\x", &hex::encode([*byte])]);
        }
    }
    text
}

/// A path as [`name_text`] shows names.
pub fn path_text(path: &Path) -> String {
    name_text(path.as_os_str().as_bytes())
}

/// A line of our own that may quote something from outside: what no terminal should obey becomes a space.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if is_unfit(c) { ' ' } else { c }).collect()
}

/// Whether a character changes how others are shown: control characters, and those that turn the direction of writing.
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A path in JSON, whose texts are UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonPath {
    /// The path, with U+FFFD for what is no UTF-8.
    path: String,
    /// Its bytes, where they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
}

impl From<&Path> for JsonPath {
    fn from(path: &Path) -> Self {
        let bytes = path.as_os_str().as_bytes();
        let is_text = std::str::from_utf8(bytes).is_ok();
        let path = String::from_utf8_lossy(bytes).into_owned();
        Self { path, path_base64: (!is_text).then(|| STANDARD.encode(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn names_are_shown_on_one_line_and_no_two_alike() {
        let names: [&[u8]; 10] = [
            b"plain name.txt",
            "gr\u{fc}n \u{1f600}".as_bytes(),
            b"line\nbreak",
            br"line\nbreak",
            b"\x1b[31mred",
            b"\xff",
            br"\xff",
            "\u{fffd}".as_bytes(),
            "\u{202e}txt.exe".as_bytes(),
            b"\x80\x81a\xe2\x82",
        ];
        let shown: BTreeSet<String> = names.iter().map(|name| name_text(name)).collect();
        assert_eq!(shown.len(), names.len());
        assert!(shown.iter().all(|text| !text.chars().any(is_unfit)));
        assert_eq!(name_text(names[0]), "plain name.txt");
        assert_eq!(name_text(names[2]), r"line\nbreak");
        assert_eq!(name_text(names[4]), r"\u{1b}[31mred");
        assert_eq!(name_text(names[9]), r"\x80\x81a\xe2\x82");
    }

    #[test]
    fn json_has_the_bytes_of_a_path_only_where_its_text_has_not() {
        let plain = JsonPath::from(Path::new("a/b"));
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"path":"a/b"}"#);
        let bytes = JsonPath::from(Path::new(OsStr::from_bytes(b"a/\xff")));
        assert_eq!(bytes.path_base64.as_deref(), Some("YS//"));
    }
}
