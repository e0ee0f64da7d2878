//! Which operation a request is.
//!
//! Owns: [`Route`]. In: a method and a raw path. Out: the row of the table with what varies in its path, or the methods that
//! the path has, or nothing. Must not know: callers, queries.

use super::table::{self, Operation, Place};
use http::Method;
use percent_encoding::percent_decode_str;

/// What a request asks for.
pub(super) enum Route {
    /// An operation, and the decoded values of its path.
    Operation(&'static Operation, Vec<(&'static str, String)>),
    /// The path has other methods: these.
    WrongMethod(Vec<&'static str>),
    /// No operation has this path.
    Unknown,
}

/// Whether a path belongs to the API, so that a mistake in it is answered in its words.
pub fn owns(path: &str) -> bool {
    path.starts_with("/aperture/") || table::operations().any(|operation| operation.path == path)
}

impl Route {
    /// Finds it. HEAD goes where GET goes.
    pub(super) fn find(method: &Method, path: &str) -> Self {
        let get = *method == Method::HEAD;
        let wanted = if get { &Method::GET } else { method };
        let mut methods = Vec::new();
        for operation in table::operations() {
            if let Some(values) = values(operation, path) {
                if operation.method == *wanted {
                    return Self::Operation(operation, values);
                }
                if operation.method == Method::GET {
                    methods.push("HEAD");
                }
                methods.push(operation.method.as_str());
            }
        }
        if methods.is_empty() {
            return Self::Unknown;
        }
        methods.sort_unstable();
        Self::WrongMethod(methods)
    }
}

/// What varies in a path, decoded, when it has the form of the operation's.
fn values(operation: &'static Operation, path: &str) -> Option<Vec<(&'static str, String)>> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().ok()?;
        Some(text.into_owned()).filter(|text| !text.is_empty())
    };
    let mut values = Vec::new();
    let mut rest = Some(path);
    let mut template = operation.path.split('/');
    while let Some(part) = template.next() {
        let whole = rest?;
        let (segment, behind) = match whole.split_once('/') {
            Some((segment, behind)) => (segment, Some(behind)),
            None => (whole, None),
        };
        let name = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        match name {
            Some(name) => {
                let all = operation
                    .parameters
                    .iter()
                    .any(|parameter| parameter.name == name && parameter.place == Place::Rest);
                if all {
                    values.push((name, decoded(whole)?));
                    return template.next().is_none().then_some(values);
                }
                values.push((name, decoded(segment)?));
            }
            // A client may write a colon as it likes.
            None if segment == part || decoded(segment).as_deref() == Some(part) => {}
            None => return None,
        }
        rest = behind;
    }
    rest.is_none().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_its_own_path() {
        for operation in table::operations() {
            let path = operation.path.replace(['{', '}'], "");
            match Route::find(&operation.method, &path) {
                Route::Operation(found, _) => assert_eq!(found.id, operation.id),
                _ => panic!("{path} is not found"),
            }
            assert!(owns(operation.path), "{}", operation.path);
            match Route::find(&Method::TRACE, &path) {
                Route::WrongMethod(methods) => {
                    assert!(methods.contains(&operation.method.as_str()));
                }
                _ => panic!("{path} has TRACE"),
            }
        }
    }

    #[test]
    fn what_is_almost_a_path_is_none() {
        for path in [
            "/aperture/",
            "/aperture//",
            "/aperture/openapi.json/",
            "/aperture/openapi",
            "/aperture/../ui/",
            "/aperture/%ff",
        ] {
            assert!(owns(path), "{path}");
            assert!(
                matches!(Route::find(&Method::GET, path), Route::Unknown),
                "{path}"
            );
        }
        for path in [
            "/aperture",
            "/aperturex/usage",
            "/api/providers",
            "/ui/",
            "/",
        ] {
            assert!(!owns(path), "{path}");
        }
    }
}
