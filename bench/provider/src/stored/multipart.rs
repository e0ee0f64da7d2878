//! Forms with files, as far as clients send them: `multipart/form-data`.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;

/// One part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) filename: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) content: Bytes,
}

/// The parts of a body, as far as it can be read.
pub(super) fn parts(headers: &HeaderMap, body: &Bytes) -> Vec<Part> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let boundary = kind.and_then(|kind| parameter(kind, "boundary"));
    let Some(boundary) = boundary else {
        return Vec::new();
    };
    let delimiter = format!("--{boundary}");
    let places = find_all(body, delimiter.as_bytes());
    places
        .windows(2)
        .filter_map(|pair| {
            // A line ends the delimiter, another one the content.
            let (start, end) = (pair[0] + delimiter.len() + 2, pair[1].checked_sub(2)?);
            (start <= end)
                .then(|| part(&body.slice(start..end)))
                .flatten()
        })
        .collect()
}

fn part(bytes: &Bytes) -> Option<Part> {
    let end = *find_all(bytes, b"\r\n\r\n").first()?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let value = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        let mut named = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    };
    let disposition = value("content-disposition")?;
    Some(Part {
        name: parameter(disposition, "name")?.to_owned(),
        filename: parameter(disposition, "filename").map(str::to_owned),
        kind: value("content-type").map(str::to_owned),
        content: bytes.slice(end + 4..),
    })
}

fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let pairs = value
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    let mut named = pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value.trim_matches('"'))
}

fn find_all(haystack: &[u8], needle: &[u8]) -> Vec<usize> {
    let windows = haystack.windows(needle.len()).enumerate();
    windows
        .filter(|(_, window)| *window == needle)
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::HeaderMap;

    use super::parts;

    #[test]
    fn a_form_falls_into_its_parts() {
        let mut headers = HeaderMap::new();
        let kind = "multipart/form-data; boundary=\"b\"".parse().unwrap();
        headers.insert("content-type", kind);
        let body = Bytes::from_static(
            b"--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n\
              --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
              Content-Type: text/plain\r\n\r\none\r\n\r\ntwo\r\n--b--\r\n",
        );
        let parts = parts(&headers, &body);
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (parts[0].name.as_str(), &parts[0].content[..]),
            ("purpose", &b"user_data"[..])
        );
        assert_eq!(parts[1].filename.as_deref(), Some("a.txt"));
        assert_eq!(parts[1].kind.as_deref(), Some("text/plain"));
        assert_eq!(&parts[1].content[..], b"one\r\n\r\ntwo");
    }
}
