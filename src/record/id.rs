//! Ids of requests and sessions.
//!
//! Owns: [`RequestId`], [`SessionId`] and how they are written. In: the clock, texts. Out: 128 bits, texts with a prefix.
//! Must not know: how a session is found.

use super::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:032x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let hex = text.strip_prefix($prefix).ok_or(BadId)?;
                if hex.len() != 32 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                    return Err(BadId);
                }
                u128::from_str_radix(hex, 16).map(Self).map_err(|_| BadId)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $prefix, "[0-9a-f]{32}$"),
                })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// An id that is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this gateway")]
pub struct BadId;

id128!(
    /// A request: time-ordered (UUID version 7), so that keys sort by start.
    RequestId,
    "req_"
);
id128!(
    /// A session: derived from the client's own id where it sends one.
    SessionId,
    "ses_"
);

impl RequestId {
    /// A new id that sorts after all earlier ones of this process.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().as_u128())
    }

    /// The smallest id of that millisecond: for range queries by time.
    pub const fn at(time: Timestamp) -> Self {
        Self((time.0 as u128) << 80)
    }

    /// When the request began, by its id.
    pub const fn time(self) -> Timestamp {
        let ms = (self.0 >> 80) as u64;
        Timestamp(ms)
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_sort_by_time() {
        let (one, two) = (RequestId::new(), RequestId::new());
        assert!(one < two);
        assert_eq!(one.to_string().parse(), Ok(one));
        assert!(RequestId::at(one.time()) <= one);
        for bad in [
            "",
            "req_",
            "req_zz",
            "ses_00000000000000000000000000000001",
            "req_+0000000000000000000000000000001",
        ] {
            assert_eq!(bad.parse::<RequestId>(), Err(BadId), "{bad}");
        }
    }
}
