//! One person in the place of everybody: the edit that ends "everyone is an admin".
//!
//! Owns: [`make_admin`]. In: a text in which a grant gives `"*"` the admin role, and a login. Out: the text in which that login
//! has it, and everybody keeps whatever else they had. Must not know: callers, requests.

use super::{Edit, Piece, Source, SpliceError, add_element, last, piece::quote};
use crate::config::DEFAULT_CAPABILITY;
use jsonc_parser::{
    ast,
    common::{Range, Ranged as _},
};

/// A text and where it stands.
struct Word {
    text: String,
    range: Range,
}

/// One grant, of either list.
struct Rule {
    src: Vec<Word>,
    roles: Vec<Word>,
    /// It gives roles and nothing else.
    roles_only: bool,
}

/// Gives the admin role to a login in the place of everybody.
///
/// A grant that only makes everybody an admin names the login instead, where another one makes everybody a user. Any other
/// gives the role of a user from now on, and the login gets a grant of its own.
///
/// # Errors
/// When the text can't be read, or does not make everybody an admin.
pub fn make_admin(text: &str, login: &str, capability: &str) -> Result<String, SpliceError> {
    let source = Source::read(text)?;
    let rules = rules(&source, capability)?;
    let open = |rule: &&Rule| rule.names("*") && rule.gives("admin");
    let mut edits = Vec::new();
    let mut named = rules
        .iter()
        .any(|rule| !open(&rule) && rule.names(login) && rule.gives("admin"));
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| open(rule)) {
        let mut others = rules.iter().enumerate().filter(|(other, _)| *other != at);
        let users_elsewhere = others.any(|(_, other)| other.names("*") && other.gives("user"));
        if rule.is_of_admins_alone() && users_elsewhere && !rule.names(login) {
            let everybody = rule.src.iter().filter(|word| word.text.trim() == "*");
            edits.extend(everybody.map(|word| word.replaced(login)));
            named = true;
        } else {
            let admins = rule.roles.iter().filter(|word| word.text == "admin");
            edits.extend(admins.map(|word| word.replaced("user")));
        }
    }
    if edits.is_empty() {
        return Err(SpliceError::Nothing);
    }
    let text = source.apply(edits);
    if named {
        return Ok(text);
    }
    let role = Piece::object([("role", Piece::text("admin"))]);
    let app = Piece::object([(DEFAULT_CAPABILITY, Piece::List(vec![role]))]);
    let grant = Piece::object([("src", Piece::texts([login])), ("app", app)]);
    add_element(&text, "grants", &grant)
}

fn rules(source: &Source<'_>, capability: &str) -> Result<Vec<Rule>, SpliceError> {
    let mut rules = Vec::new();
    for list in ["grants", "temp_grants"] {
        let Some(ast::Value::Array(grants)) = source.member(list)? else {
            continue;
        };
        for grant in &grants.elements {
            let ast::Value::Object(grant) = grant else {
                continue;
            };
            let mut rule = Rule {
                src: texts(last(grant, "src")),
                roles: Vec::new(),
                roles_only: true,
            };
            rule.take(last(grant, "grants"));
            if let Some(ast::Value::Object(app)) = last(grant, "app") {
                for member in &app.properties {
                    let ours = [DEFAULT_CAPABILITY, capability].contains(&member.name.as_str());
                    if ours {
                        rule.take(Some(&member.value));
                    } else {
                        rule.roles_only = false;
                    }
                }
            }
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn texts(value: Option<&ast::Value<'_>>) -> Vec<Word> {
    let Some(ast::Value::Array(array)) = value else {
        return Vec::new();
    };
    array.elements.iter().filter_map(Word::of).collect()
}

impl Word {
    fn of(value: &ast::Value<'_>) -> Option<Self> {
        let ast::Value::StringLit(literal) = value else {
            return None;
        };
        Some(Self {
            text: literal.value.to_string(),
            range: literal.range(),
        })
    }

    fn replaced(&self, text: &str) -> Edit {
        Edit {
            start: self.range.start,
            end: self.range.end,
            text: quote(text),
        }
    }
}

impl Rule {
    /// Takes in the objects of a capability.
    fn take(&mut self, objects: Option<&ast::Value<'_>>) {
        let Some(ast::Value::Array(objects)) = objects else {
            return;
        };
        for object in &objects.elements {
            let ast::Value::Object(object) = object else {
                self.roles_only = false;
                continue;
            };
            self.roles.extend(last(object, "role").and_then(Word::of));
            self.roles_only &= object.properties.iter().all(|p| p.name.as_str() == "role");
        }
    }

    fn names(&self, who: &str) -> bool {
        self.src.iter().any(|word| word.text.trim() == who)
    }

    fn gives(&self, role: &str) -> bool {
        self.roles.iter().any(|word| word.text == role)
    }

    fn is_of_admins_alone(&self) -> bool {
        self.roles_only && self.roles.iter().all(|word| word.text == "admin")
    }
}
