//! What the document is to say: providers with keys and models, and who may use what.
//!
//! Owns: the questions in their order, and what makes an answer good. In: arguments and answers. Out: a [`Plan`].
//! Must not know: how a document is written, how providers are asked.

use super::{
    Error,
    ask::{Dialogue, Question},
    kinds::{self, KINDS, Kind, Needs},
    probe::Found,
    render,
};
use crate::{
    cli::InitArgs,
    config::{
        self, CheckOptions, Environment,
        address::{self, Place},
    },
};
use std::collections::BTreeSet;

/// Asks a provider.
pub(super) type Probing<'a> = dyn Fn(&config::Provider) -> Found + 'a;

/// What answers are judged by.
pub(super) struct Surroundings<'a> {
    pub(super) options: &'a CheckOptions,
    /// Asks a provider; none = it is not to be asked.
    pub(super) probe: Option<&'a Probing<'a>>,
}

/// Everything that the document says.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) hostname: String,
    pub(super) providers: Vec<Provider>,
    pub(super) admins: Vec<String>,
    /// Who else may use it.
    pub(super) users: Vec<String>,
    /// `provider/model` that only these may use.
    pub(super) premium: Vec<String>,
    pub(super) premium_users: Vec<String>,
    /// Tags of machines, and what they may use.
    pub(super) ci: Vec<String>,
    pub(super) ci_models: Vec<String>,
}

/// One provider.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    pub(super) id: String,
    pub(super) kind: &'static Kind,
    pub(super) base: String,
    pub(super) tailnet: bool,
    pub(super) project: String,
    pub(super) region: String,
    /// The key or where it is; empty = none.
    pub(super) key: String,
    pub(super) models: Vec<String>,
}

/// Stands for keys that are not looked for.
const STAND_IN: &str = "env:APERTURE_SECRET_STAND_IN";

/// The same options, with a key where the stand-in is looked for.
pub(super) fn with_stand_in(options: &CheckOptions) -> CheckOptions {
    let variable = STAND_IN.trim_start_matches("env:").to_owned();
    CheckOptions {
        environment: Environment::from_iter([(variable, "k-0123456789".to_owned())]),
        ..options.clone()
    }
}

impl Plan {
    /// The document with a stand-in for every key that is kept elsewhere.
    pub(super) fn checkable(&self, document: &str) -> String {
        let elsewhere = |key: &str| key.starts_with("env:") || key.starts_with("file:");
        let keys = self.providers.iter().filter(|one| elsewhere(&one.key));
        keys.filter(|one| one.kind.needs != Needs::Project)
            .fold(document.to_owned(), |text, one| {
                text.replace(&render::quoted(&one.key), &render::quoted(STAND_IN))
            })
    }

    /// `provider/model` of everything.
    pub(super) fn models(&self) -> Vec<String> {
        all(&self.providers)
    }

    /// Those that are not for some only.
    pub(super) fn common(&self) -> Vec<String> {
        let mut models = self.models();
        models.retain(|model| !self.premium.contains(model));
        models
    }
}

fn all(providers: &[Provider]) -> Vec<String> {
    let of = |one: &Provider| {
        let id = one.id.clone();
        let names = one.models.clone();
        names.into_iter().map(move |model| format!("{id}/{model}"))
    };
    providers.iter().flat_map(of).collect()
}

/// The words of a list.
fn words(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    text.split([',', ' '])
        .map(str::trim)
        .filter(|word| !word.is_empty() && seen.insert(word.to_owned()))
        .map(str::to_owned)
        .collect()
}

/// What `ID=VALUE` arguments say about one provider.
fn given<'a>(pairs: &'a [String], id: &str) -> Option<&'a str> {
    pairs.iter().find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == id).then_some(value)
    })
}

/// Asks for everything.
pub(super) fn gather(
    dialogue: &mut Dialogue<'_>,
    args: &InitArgs,
    around: &Surroundings<'_>,
) -> Result<Plan, Error> {
    let hostname = dialogue.ask(
        question(
            "The gateway's name on the tailnet (clients use http://NAME)",
            "--hostname",
            Some("ai"),
        ),
        args.hostname.as_deref(),
        |_, answer| label(answer),
    )?;
    let mut providers: Vec<Provider> = Vec::new();
    for (id, kind, address) in chosen(dialogue, args)? {
        let provider = provider(dialogue, args, around, (id, kind, address))?;
        providers.push(provider);
    }
    let admins = dialogue.ask(
        question(
            "Your own login on the tailnet, such as you@example.com: you will be the admin",
            "--admin",
            None,
        ),
        joined(&args.admin).as_deref(),
        |_, answer| logins(answer),
    )?;
    let users = dialogue.ask(
        question(
            "Who else may use it? * for everyone on the tailnet, or logins, group:NAME, tag:NAME",
            "--users",
            Some("*"),
        ),
        args.users.as_deref(),
        |_, answer| people(answer, true),
    )?;
    let models = all(&providers);
    let premium = dialogue.ask(
        question(
            "Models that only some of them may use (a dearer tier)",
            "--premium-models",
            Some(""),
        ),
        args.premium_models.as_deref(),
        |_, answer| pick(answer, &models),
    )?;
    let premium_users = if premium.is_empty() {
        Vec::new()
    } else {
        dialogue.ask(
            question("Who may use those? (you may)", "--premium-users", Some("")),
            args.premium_users.as_deref(),
            |_, answer| people(answer, false),
        )?
    };
    let (ci, ci_models) = machines(dialogue, args, &users, &models)?;
    Ok(Plan {
        hostname,
        providers,
        admins,
        users,
        premium,
        premium_users,
        ci,
        ci_models,
    })
}

/// Tags of CI, and the models that these may use.
fn machines(
    dialogue: &mut Dialogue<'_>,
    args: &InitArgs,
    users: &[String],
    models: &[String],
) -> Result<(Vec<String>, Vec<String>), Error> {
    if users.iter().any(|user| user == "*") && args.ci.is_none() {
        dialogue.say("  (Everyone includes tagged machines, such as CI. To limit those, name people or groups instead.)");
        return Ok((Vec::new(), Vec::new()));
    }
    let ci = dialogue.ask(
        question(
            "Tags of machines that may use it, such as tag:ci",
            "--ci",
            Some(""),
        ),
        args.ci.as_deref(),
        |_, answer| {
            let tags = people(answer, false)?;
            match tags.iter().find(|tag| !tag.starts_with("tag:")) {
                Some(other) => Err(format!("{other} is no tag: write tag:NAME")),
                None => Ok(tags),
            }
        },
    )?;
    if ci.is_empty() {
        return Ok((ci, Vec::new()));
    }
    let picked = dialogue.ask(
        question("Models for these machines", "--ci-models", None),
        args.ci_models.as_deref(),
        |_, answer| match pick(answer, models)? {
            picked if picked.is_empty() => Err("name at least one model".to_owned()),
            picked => Ok(picked),
        },
    )?;
    Ok((ci, picked))
}

const fn question<'a>(text: &'a str, flag: &'static str, default: Option<&'a str>) -> Question<'a> {
    Question {
        text,
        flag,
        default,
        secret: false,
    }
}

fn joined(list: &[String]) -> Option<String> {
    (!list.is_empty()).then(|| list.join(","))
}

/// Id, kind and, where it was given, address.
type Chosen = (String, &'static Kind, Option<String>);

/// The providers: `KIND`, or `ID=URL` for a model server of one's own.
fn chosen(dialogue: &mut Dialogue<'_>, args: &InitArgs) -> Result<Vec<Chosen>, Error> {
    if args.provider.is_empty() {
        dialogue.say("Providers:");
        for kind in &KINDS {
            dialogue.say(&format!("  {:<12} {}", kind.name, kind.title));
        }
    }
    dialogue.ask(
        question("Which, separated by commas", "--provider", None),
        joined(&args.provider).as_deref(),
        |_, answer| {
            let mut chosen: Vec<Chosen> = Vec::new();
            for word in words(answer) {
                let (id, kind, address) = match word.split_once('=') {
                    Some((id, url)) => (id, kinds::find("self-hosted"), Some(url.to_owned())),
                    None => (word.as_str(), kinds::find(&word), None),
                };
                let kind = kind.ok_or_else(|| {
                    let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
                    format!(
                        "{word} is not among {}; a model server of your own is ID=URL",
                        known.join(", ")
                    )
                })?;
                label(id)?;
                if chosen.iter().any(|(other, ..)| other == id) {
                    return Err(format!("{id} is named twice"));
                }
                chosen.push((id.to_owned(), kind, address));
            }
            if chosen.is_empty() {
                return Err("name at least one".to_owned());
            }
            Ok(chosen)
        },
    )
}

/// Asks about one provider until its key works.
fn provider(
    dialogue: &mut Dialogue<'_>,
    args: &InitArgs,
    around: &Surroundings<'_>,
    (id, kind, address): Chosen,
) -> Result<Provider, Error> {
    let mut one = Provider {
        base: kind.base.to_owned(),
        tailnet: false,
        project: String::new(),
        region: String::new(),
        key: String::new(),
        models: Vec::new(),
        kind,
        id,
    };
    place(dialogue, args, &mut one, address)?;
    let id = one.id.clone();
    let default = default_key(kind, &around.options.environment);
    let text = key_question(&id, kind);
    let asked = Question {
        text: &text,
        flag: "--key",
        default: default.as_deref(),
        secret: true,
    };
    let argument = given(&args.key, &id);
    if argument
        .is_some_and(|key| !(key == "adc" || key.starts_with("env:") || key.starts_with("file:")))
    {
        return Err(Error::Refused {
            flag: "--key",
            why: format!(
                "arguments are visible to other users of this machine: give {id}=env:NAME or {id}=file:NAME, or answer when asked"
            ),
        });
    }
    let (key, listed) = dialogue.ask(asked, argument, |dialogue, answer| {
        let mut tried = one.clone();
        answer.clone_into(&mut tried.key);
        tried.models = vec!["model".to_owned()];
        let provider = judged(&tried, around)?;
        let listed = match around.probe.map(|probe| probe(&provider)) {
            None => Vec::new(),
            Some(Found::Works(models)) => {
                let count = models.len();
                dialogue.say(&format!("  {id}: the key works ({count} models)"));
                models
            }
            Some(Found::Open(models)) => {
                let count = models.len();
                dialogue.say(&format!(
                    "  {id}: answers, and lists its {count} models to anybody: the key could not be tried"
                ));
                models
            }
            Some(Found::Refused(why)) => return Err(format!("{id}: {why}")),
            Some(Found::Unknown(why)) => {
                dialogue.say(&format!("  {id}: not checked: {why}"));
                Vec::new()
            }
        };
        Ok((answer.to_owned(), listed))
    })?;
    one.key = key;
    one.models = models(dialogue, args, &one, &listed)?;
    Ok(one)
}

/// Where the provider is.
fn place(
    dialogue: &mut Dialogue<'_>,
    args: &InitArgs,
    one: &mut Provider,
    address: Option<String>,
) -> Result<(), Error> {
    let other = given(&args.base_url, &one.id).map(str::to_owned);
    if one.kind.needs == Needs::Address || other.is_some() {
        let text = format!(
            "{}: its address, such as http://gpu-box:8080 or http://100.99.98.31:8080",
            one.id
        );
        let asked = question(&text, "--provider ID=URL", None);
        let (base, tailnet) = dialogue.ask(asked, address.or(other).as_deref(), |_, answer| {
            located(answer)
        })?;
        (one.base, one.tailnet) = (base, tailnet);
    }
    if one.kind.needs == Needs::Project {
        let text = format!("{}: the project", one.id);
        one.project = dialogue.ask(
            question(&text, "--project", None),
            args.project.as_deref(),
            |_, answer| label(answer),
        )?;
    }
    if matches!(one.kind.needs, Needs::Region | Needs::Project) {
        let default = if one.kind.needs == Needs::Region {
            "us-east-1"
        } else {
            "global"
        };
        let text = format!("{}: the region", one.id);
        let asked = question(&text, "--region", Some(default));
        one.region = dialogue.ask(asked, args.region.as_deref(), |_, answer| label(answer))?;
        one.base = one.base.replace("REGION", &one.region);
        if one.kind.needs == Needs::Project && one.region != "global" {
            one.base = format!("https://{}-aiplatform.googleapis.com", one.region);
        }
    }
    Ok(())
}

/// An address, and whether it is on the tailnet.
fn located(answer: &str) -> Result<(String, bool), String> {
    let upstream = address::read(answer).map_err(str::to_owned)?;
    if upstream.placeholder {
        return Err(
            "that is a placeholder: write the real address (`tailscale status` lists them)"
                .to_owned(),
        );
    }
    let host = upstream.base.host().unwrap_or_default();
    // A name of one word is the tailnet's: nothing else gives those to a gateway.
    let short = !host.contains(['.', ':']);
    let tailnet = upstream.place == Place::Tailnet || (short && upstream.place == Place::Private);
    Ok((answer.trim_end_matches('/').to_owned(), tailnet))
}

fn default_key(kind: &Kind, environment: &Environment) -> Option<String> {
    match kind.needs {
        Needs::Address => Some(String::new()),
        Needs::Project => Some("adc".to_owned()),
        _ if environment.has(kind.variable) => Some(format!("env:{}", kind.variable)),
        _ => None,
    }
}

fn key_question(id: &str, kind: &Kind) -> String {
    match kind.needs {
        Needs::Project => format!(
            "{id}: the key file, as file:NAME below --secrets-dir, or adc for the host's own credentials"
        ),
        _ => format!(
            "{id}: the key itself, env:NAME (from the environment) or file:NAME (below --secrets-dir)"
        ),
    }
}

/// The provider as the checker reads it, or everything that it finds wrong.
fn judged(one: &Provider, around: &Surroundings<'_>) -> Result<config::Provider, String> {
    if one.key.is_empty() && one.kind.needs != Needs::Address {
        return Err("a key is needed".to_owned());
    }
    if let Some(name) = one.key.strip_prefix("env:")
        && !Environment::from_iter([(name.to_owned(), "k".to_owned())]).has(name)
    {
        return Err(format!(
            "{name} may not be read; the variable's name must start with APERTURE_SECRET_ or end with _API_KEY"
        ));
    }
    let plan = Plan {
        hostname: "ai".to_owned(),
        providers: vec![one.clone()],
        admins: vec!["admin@example.com".to_owned()],
        users: vec!["*".to_owned()],
        premium: Vec::new(),
        premium_users: Vec::new(),
        ci: Vec::new(),
        ci_models: Vec::new(),
    };
    let document = render::document(&plan);
    let checked = if around.probe.is_none() {
        config::check(&plan.checkable(&document), &with_stand_in(around.options))
    } else {
        config::check(&document, around.options)
    };
    let said: Vec<String> = checked
        .findings
        .iter()
        .map(|finding| match &finding.hint {
            Some(hint) => format!("{} ({hint})", finding.message),
            None => finding.message.clone(),
        })
        .collect();
    let provider = checked
        .config
        .as_ref()
        .and_then(|config| config.providers.get(one.id.as_str()).cloned());
    match provider {
        Some(provider) if said.is_empty() => Ok((*provider).clone()),
        _ => Err(said.join("; ")),
    }
}

/// The models; those that the provider does not list are named, and kept when they are given again.
fn models(
    dialogue: &mut Dialogue<'_>,
    args: &InitArgs,
    one: &Provider,
    listed: &[String],
) -> Result<Vec<String>, Error> {
    let there = |name: &str| listed.is_empty() || listed.iter().any(|other| other == name);
    let mut usual: Vec<String> = one
        .kind
        .models
        .iter()
        .filter(|name| there(name))
        .map(|name| (*name).to_owned())
        .collect();
    if usual.is_empty() && listed.len() <= 20 {
        usual = listed.to_vec();
    }
    let default = joined(&usual);
    let text = format!(
        "{}: models, by their exact names, separated by commas",
        one.id
    );
    let asked = question(&text, "--models", default.as_deref());
    let mut doubted = None;
    dialogue.ask(asked, given(&args.models, &one.id), |_, answer| {
        let names = words(answer);
        if names.is_empty() {
            return Err("name at least one".to_owned());
        }
        let Some(odd) = names.iter().find(|name| !there(name)) else {
            return Ok(names);
        };
        if doubted.as_ref() == Some(&names) {
            return Ok(names);
        }
        let alike = crate::policy::nearest(odd, listed.iter().map(String::as_str));
        let meant = if alike.is_empty() {
            String::new()
        } else {
            format!(", but {}", alike.join(", "))
        };
        let why = format!(
            "{} does not list {odd}{meant}. The same answer again keeps it",
            one.id
        );
        doubted = Some(names);
        Err(why)
    })
}

/// One part of a DNS name.
fn label(answer: &str) -> Result<String, String> {
    let fits = !answer.is_empty()
        && answer.len() <= 63
        && answer
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !answer.starts_with('-')
        && !answer.ends_with('-');
    if fits {
        Ok(answer.to_owned())
    } else {
        Err(format!(
            "{answer:?} is no name: small letters, digits and hyphens, at most 63"
        ))
    }
}

fn login(word: &str) -> bool {
    word.split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
}

fn logins(answer: &str) -> Result<Vec<String>, String> {
    let names = words(answer);
    if names.is_empty() {
        return Err("somebody must be the admin, or nobody can change the settings".to_owned());
    }
    match names.iter().find(|name| !login(name)) {
        Some(other) => Err(format!(
            "{other} is no login: write it as the tailnet's admin console shows it, such as you@example.com"
        )),
        None => Ok(names),
    }
}

/// People, groups and tags; `*` alone is everyone.
fn people(answer: &str, everyone: bool) -> Result<Vec<String>, String> {
    let names = words(answer);
    for name in &names {
        let known = login(name)
            || ["group:", "tag:"].iter().any(|start| {
                name.strip_prefix(start)
                    .is_some_and(|rest| !rest.is_empty())
            });
        if name == "*" {
            if !everyone {
                return Err("not everyone: that is what this question is for".to_owned());
            }
            if names.len() > 1 {
                return Err("* already means everyone: write it alone".to_owned());
            }
        } else if !known {
            return Err(format!(
                "{name} is neither a login (you@example.com) nor group:NAME nor tag:NAME"
            ));
        }
    }
    Ok(names)
}

/// Models by their name, or by `provider/model`.
fn pick(answer: &str, models: &[String]) -> Result<Vec<String>, String> {
    let mut picked = Vec::new();
    for word in words(answer) {
        let fits = |model: &&String| {
            **model == word || model.split_once('/').is_some_and(|(_, name)| name == word)
        };
        let before = picked.len();
        picked.extend(models.iter().filter(fits).cloned());
        if picked.len() == before {
            return Err(format!("{word} is not among {}", models.join(", ")));
        }
    }
    Ok(picked)
}
