//! JSON text, written in the order in which its author lists the fields.
//!
//! Real providers put `type` first and so does every client's recorded reply;
//! a map that sorts its keys would make a stand-in that no parser meets in
//! life. Comes in: names and values. Goes out: text. Knows no dialect.

/// A finished piece of JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Json(String);

impl Json {
    /// Text that is JSON already, such as a tool's input from a script.
    pub(crate) fn raw(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// What can stand as a value in [`object!`].
pub(crate) trait ToJson {
    fn write_json(&self, out: &mut String);
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn write_json(&self, out: &mut String) {
        (**self).write_json(out);
    }
}

impl ToJson for Json {
    fn write_json(&self, out: &mut String) {
        out.push_str(&self.0);
    }
}

impl ToJson for str {
    fn write_json(&self, out: &mut String) {
        out.push_str(&serde_json::to_string(self).expect("a string is always JSON"));
    }
}

impl ToJson for String {
    fn write_json(&self, out: &mut String) {
        self.as_str().write_json(out);
    }
}

impl ToJson for bool {
    fn write_json(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl ToJson for u64 {
    fn write_json(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

impl ToJson for usize {
    fn write_json(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

impl ToJson for f32 {
    fn write_json(&self, out: &mut String) {
        out.push_str(&serde_json::to_string(self).expect("a number is always JSON"));
    }
}

/// The unit stands for `null`.
impl ToJson for () {
    fn write_json(&self, out: &mut String) {
        out.push_str("null");
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn write_json(&self, out: &mut String) {
        match self {
            Some(value) => value.write_json(out),
            None => ().write_json(out),
        }
    }
}

impl<T: ToJson> ToJson for [T] {
    fn write_json(&self, out: &mut String) {
        out.push('[');
        for (position, value) in self.iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            value.write_json(out);
        }
        out.push(']');
    }
}

impl<T: ToJson, const N: usize> ToJson for [T; N] {
    fn write_json(&self, out: &mut String) {
        self.as_slice().write_json(out);
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write_json(&self, out: &mut String) {
        self.as_slice().write_json(out);
    }
}

/// An object under construction; [`object!`] and optional fields use it.
#[derive(Debug)]
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }

    pub(crate) fn field(mut self, name: &str, value: &(impl ToJson + ?Sized)) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        name.write_json(&mut self.0);
        self.0.push(':');
        value.write_json(&mut self.0);
        self
    }

    /// Adds the field only when there is a value.
    pub(crate) fn field_if(self, name: &str, value: Option<&(impl ToJson + ?Sized)>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    pub(crate) fn finish(mut self) -> Json {
        self.0.push('}');
        Json(self.0)
    }
}

/// Builds an object with its fields in the order given.
macro_rules! object {
    ($($name:literal : $value:expr),* $(,)?) => {
        $crate::json::Object::new()$(.field($name, &$value))*.finish()
    };
}
pub(crate) use object;

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn fields_keep_their_order_and_text_is_escaped() {
        let inner = object! {"z": 1_u64, "a": "line\n\"quoted\""};
        let text = object! {
            "type": "first", "b": inner, "list": ["x", "y"], "none": (), "yes": true,
            "raw": Json::raw("{}"),
        };
        assert_eq!(
            text.as_str(),
            r#"{"type":"first","b":{"z":1,"a":"line\n\"quoted\""},"list":["x","y"],"none":null,"yes":true,"raw":{}}"#
        );
        assert_eq!(object! {}.as_str(), "{}");
    }
}
