//! How long a certificate is good: the one fact that rustls does not tell.
//!
//! Owns: [`read`], a walk over the first fields of an X.509 certificate (RFC 5280 section 4.1). In: DER. Out: two times, or
//! nothing for what is not exactly that. Must not know: names, keys, signatures; rustls judges these.

use super::Validity;
use crate::record::Timestamp;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads the validity of a certificate.
pub(super) fn read(der: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    let (_serial, fields) = element(fields, INTEGER)?;
    let (_algorithm, fields) = element(fields, SEQUENCE)?;
    let (_issuer, fields) = element(fields, SEQUENCE)?;
    let (validity, _) = element(fields, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some(Validity { from, until })
}

/// The contents of the element with that tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, short], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // Longer lengths come in that many bytes; a certificate has at most three.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms that certificates may use.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (century, (text, rest)) = match element(der, UTC_TIME) {
        Some(found) => (true, found),
        None => (false, element(der, GENERALIZED_TIME)?),
    };
    let text = std::str::from_utf8(text).ok()?;
    if !text.is_ascii() || text.len() != if century { 13 } else { 15 } {
        return None;
    }
    let text = match century {
        // RFC 5280: 50 and later are of the last century.
        true if text < "50" => format!("20{text}"),
        true => format!("19{text}"),
        false => text.to_owned(),
    };
    let (date, clock) = text.split_at(8);
    let written = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &clock[..2],
        &clock[2..4],
        clock[4..].strip_suffix('Z')?
    );
    Some((Timestamp::parse(&written)?, rest))
}
