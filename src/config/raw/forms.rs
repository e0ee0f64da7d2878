//! Values that may be written in two forms, read by hand.
//!
//! Owns: `Deserialize` and schema of [`Authorization`], [`Globs`] and [`ByteSize`], and the schemas of [`App`] and [`Span`].
//! In: a JSON value. Out: the struct. Must not know: meaning.

use super::{App, Authorization, AuthorizationObject, ByteSize, Capability, Globs, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{borrow::Cow, fmt};

// === impl Authorization ===

impl<'de> Deserialize<'de> for Authorization {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Authorization;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type's name or an object with a type")
            }

            fn visit_str<E: de::Error>(self, scheme: &str) -> Result<Authorization, E> {
                Ok(Authorization(AuthorizationObject {
                    scheme: Some(scheme.to_owned()),
                    ..AuthorizationObject::default()
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Authorization, A::Error> {
                AuthorizationObject::deserialize(MapAccessDeserializer::new(map)).map(Authorization)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for Authorization {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Authorization".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = generator.subschema_for::<AuthorizationObject>();
        json_schema!({ "oneOf": [{ "type": "string" }, object] })
    }
}

// === impl App ===

impl JsonSchema for App {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "App".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let capability = generator.subschema_for::<Capability>();
        json_schema!({
            "type": "object",
            "properties": { crate::config::DEFAULT_CAPABILITY: { "type": "array", "items": capability } },
            "additionalProperties": { "type": "array", "items": true },
        })
    }
}

// === impl Globs ===

impl<'de> Deserialize<'de> for Globs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Globs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a glob or a list of globs")
            }

            fn visit_str<E: de::Error>(self, glob: &str) -> Result<Globs, E> {
                Ok(Globs(vec![glob.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Globs, A::Error> {
                let mut globs = Vec::new();
                while let Some(glob) = items.next_element()? {
                    globs.push(glob);
                }
                Ok(Globs(globs))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for Globs {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Globs".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

// === impl Span ===

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": "duration", "examples": ["30s", "5m", "720h", "30d"] })
    }
}

// === impl ByteSize ===

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes or a text with a unit")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize::Number(bytes))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                Ok(ByteSize::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "size",
            "examples": ["64MiB", 1_048_576],
            "oneOf": [{ "type": "string" }, { "type": "integer", "format": "uint64", "minimum": 0 }],
        })
    }
}
