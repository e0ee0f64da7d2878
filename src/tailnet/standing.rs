//! Where the node stands with its tailnet, and what people should do about it.
//!
//! Owns: [`Standing`] and [`Concern`], the two closed lists of what can be told, with the words that the log, `doctor`,
//! the pages and docs/operations/joining.md share; [`Trouble`], what the control server said last. In: facts of the
//! node. Out: [`Notice`]s. Must not know: who is told, or how.

/// Days before its expiry at which a node's key is complained of.
pub const EXPIRY_DAYS: u64 = 7;

/// Foreign words are cut there.
const SAID_MAX: usize = 240;

/// Where the node stands: exactly one of these at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// No node: a development listener.
    Dev,
    /// Nothing has gone wrong yet.
    Starting,
    /// A person has to log the node in.
    NeedsLogin,
    /// A person tried, and was refused.
    LoginRefused,
    /// The auth key is not taken.
    KeyRefused,
    /// The tags are not this node's to ask for.
    TagsRefused,
    /// The control server can't be reached, and without it the node can't start.
    ControlUnreachable,
    /// Something answers, but it is no control server.
    ControlInvalid,
    /// An admin of the tailnet has to approve the machine.
    NeedsApproval,
    /// It was connected; its key has expired or was revoked.
    Expired,
    /// It was connected; the tailnet does not know it any more.
    Removed,
    /// Connected, but tailnet lock keeps peers from talking to it.
    LockedOut,
    /// Switched off by its settings.
    Stopped,
    /// Peers can reach it.
    Running,
    /// Closed by us.
    Closed,
}

/// What is wrong, or will be, while the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Concern {
    /// The tailnet gave it another name than it asked for.
    NameTaken,
    /// Its key ends within [`EXPIRY_DAYS`].
    KeyExpires,
    /// It was told to log in again, and nobody has done so yet.
    LoginPending,
    /// It runs on what it knew: news of the tailnet don't arrive.
    ControlLost,
}

/// How grave a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// As it should be, or nothing but patience is needed.
    Good,
    /// It serves, but something needs to be done.
    Warning,
    /// Nobody reaches the gateway.
    Failure,
}

/// One thing that people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The standing's or the concern's word.
    pub word: &'static str,
    /// How grave it is.
    pub gravity: Gravity,
    /// What is the case.
    pub what: String,
    /// What to do; empty when there is nothing.
    pub remedy: String,
    /// The address that it names for a login.
    pub login: Option<String>,
    /// It quotes foreign words, which may differ every time.
    quotes: bool,
}

/// What fills the gaps of the words.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// Where a person can log the node in.
    pub login: Option<String>,
    /// The last words of the control server, or of the network on the way to it.
    pub said: String,
    /// The control server's address.
    pub control: String,
    /// The name that was asked for.
    pub wanted: String,
    /// The name that was given.
    pub name: String,
    /// How long the key is good, in words.
    pub left: String,
}

impl Details {
    /// So many milliseconds, in words.
    pub fn left_of(milliseconds: u64) -> String {
        match milliseconds / 86_400_000 {
            0 => "less than a day".to_owned(),
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        }
    }
}

/// The words of one standing or concern: its name, what is the case, and what to do; `{…}` are [`Details`].
type Words = (&'static str, &'static str, &'static str);

impl Standing {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Dev,
        Self::Starting,
        Self::NeedsLogin,
        Self::LoginRefused,
        Self::KeyRefused,
        Self::TagsRefused,
        Self::ControlUnreachable,
        Self::ControlInvalid,
        Self::NeedsApproval,
        Self::Expired,
        Self::Removed,
        Self::LockedOut,
        Self::Stopped,
        Self::Running,
        Self::Closed,
    ];

    const fn words(self) -> Words {
        match self {
            Self::Dev => (
                "dev",
                "development listener: everybody is the same user",
                "",
            ),
            Self::Starting => (
                "starting",
                "joining the tailnet: waiting for its control server at {control}",
                "",
            ),
            Self::NeedsLogin => (
                "needs_login",
                "this node has to be logged in: open {login}",
                "log in there as whoever shall own the node, or restart with an auth key (--auth-key-file, TS_AUTHKEY)",
            ),
            Self::LoginRefused => (
                "login_refused",
                "the control server refuses this login: {said}",
                "ask an admin of the tailnet why, then run `aperture login` on the gateway's host for a new address",
            ),
            Self::KeyRefused => (
                "key_refused",
                "the control server refuses the auth key: {said}",
                "make a new key in the admin console (a single-use key is spent once a node has joined with it, and every key \
                 expires), put it where the old one is, and restart",
            ),
            Self::TagsRefused => (
                "tags_refused",
                "the control server does not give this node its tags: {said}",
                "let the key's owner set them (tagOwners in the tailnet policy), or make a key that carries these tags, or change \
                 --advertise-tags; then restart",
            ),
            Self::ControlUnreachable => (
                "control_unreachable",
                "the control server at {control} can't be reached: {said}",
                "check --control-url, and that this host may reach it (name resolution, firewall, proxy); it is tried again without \
                 a restart",
            ),
            Self::ControlInvalid => (
                "control_invalid",
                "what answers at {control} is no control server: {said}",
                "correct --control-url: scheme (https or http), name and port; without it Tailscale's own control server is used",
            ),
            Self::NeedsApproval => (
                "needs_approval",
                "an admin of the tailnet has to approve this node",
                "approve it in the admin console (Machines), or join with a key that is pre-approved; it goes on by itself",
            ),
            Self::Expired => (
                "expired",
                "the node's key has expired or was revoked, and nobody reaches the gateway: it has to log in again{at_login}",
                "log in there, or run `aperture login` on the gateway's host for an address; then turn off key expiry for this machine \
                 in the admin console, or give it a tag",
            ),
            Self::Removed => (
                "removed",
                "the tailnet does not know this node any more: an admin has removed it, and nobody reaches the gateway until it has \
                 logged in again{at_login}",
                "if that was a mistake, run `aperture login` on the gateway's host, or restart it with an auth key; it joins as a new \
                 machine",
            ),
            Self::LockedOut => (
                "locked_out",
                "tailnet lock is on and nobody has signed this node's key: peers do not talk to it",
                "sign it on a signing node: `tailscale lock sign`, with the key that the admin console shows for this machine",
            ),
            Self::Stopped => (
                "stopped",
                "the node is switched off in its settings",
                "restart the gateway: that switches it on",
            ),
            Self::Running => ("running", "running as {name}", ""),
            Self::Closed => ("closed", "the node is closed: the gateway is stopping", ""),
        }
    }

    /// Its name in metrics, `health` and `doctor --json`.
    pub const fn word(self) -> &'static str {
        self.words().0
    }

    /// Whether peers can reach the gateway.
    pub const fn is_serving(self) -> bool {
        matches!(self, Self::Running | Self::Dev)
    }

    /// What people are told.
    pub fn notice(self, details: &Details) -> Notice {
        let gravity = match self {
            Self::Dev | Self::Running | Self::Closed => Gravity::Good,
            _ => Gravity::Failure,
        };
        fill(self.words(), gravity, details)
    }
}

impl Concern {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::NameTaken,
        Self::KeyExpires,
        Self::LoginPending,
        Self::ControlLost,
    ];

    const fn words(self) -> Words {
        match self {
            Self::NameTaken => (
                "name_taken",
                "the name {wanted} was taken, so the tailnet calls this node {name}: clients that call {wanted} reach another machine",
                "in the admin console (Machines) remove or rename the other machine, then rename this one to {wanted}, without a \
                 restart; or tell clients the new name; or start with another --hostname",
            ),
            Self::KeyExpires => (
                "key_expires",
                "the node's key expires in {left}; then nobody reaches the gateway",
                "turn off key expiry for this machine in the admin console, or give it a tag, or log in again now: the button on the \
                 dashboard, or `aperture login` on the gateway's host",
            ),
            Self::LoginPending => (
                "login_pending",
                "a new login was asked for and waits: open {login}",
                "log in there as the node's owner; until then the old key stays in force",
            ),
            Self::ControlLost => (
                "control_lost",
                "the control server at {control} does not answer: {said}",
                "the gateway goes on with the machines, users and grants that it knew last; check the network and the control server, \
                 it is tried again without a restart",
            ),
        }
    }

    /// Its name in metrics and `doctor --json`.
    pub const fn word(self) -> &'static str {
        self.words().0
    }

    /// What people are told.
    pub fn notice(self, details: &Details) -> Notice {
        fill(self.words(), Gravity::Warning, details)
    }
}

/// Puts the details into the words.
fn fill((word, what, remedy): Words, gravity: Gravity, details: &Details) -> Notice {
    let login = details.login.as_deref();
    let at_login = login.map_or_else(String::new, |url| format!(" at {url}"));
    let put = |text: &str| {
        text.replace("{at_login}", &at_login)
            .replace("{login}", login.unwrap_or("the address that is to come"))
            .replace("{control}", &details.control)
            .replace("{wanted}", &details.wanted)
            .replace("{name}", &details.name)
            .replace("{left}", &details.left)
            // Last: these are foreign words.
            .replace("{said}", &details.said)
    };
    Notice {
        word,
        gravity,
        login: details.login.clone().filter(|_| what.contains("login}")),
        quotes: what.contains("{said}"),
        what: put(what),
        remedy: put(remedy),
    }
}

/// What stands between the node and its tailnet, as the control server or the network said it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The control server does not let the node in.
    Refused(String),
    /// Nothing answers.
    Unreachable(String),
    /// What answers is something else.
    NotControl(String),
    /// The node was in, and is not known any more.
    Unknown(String),
}

impl Trouble {
    /// Whether the control server refuses what the node offered: its key, or an address for a login.
    pub(super) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Whether `now` refuses something else than what is `forgotten`: the log may still tell of a key that was given up.
    pub(super) fn is_new_refusal(now: Option<&Self>, forgotten: Option<&Self>) -> bool {
        now.is_some_and(Self::is_refusal) && now != forgotten
    }

    /// Reads a line of the node's log: the one place where the library tells every reason.
    ///
    /// `Received error: …` is written by `ipnlocal` for whatever its control client reports, and the words after it begin
    /// with the step that failed. Tests on the private tailnet meet each of them with the library as it is pinned.
    pub fn of_log(line: &str) -> Option<Self> {
        // A poll that is open may outlive its node; then only the small updates beside it are refused.
        let (_, said) = line.split_once("Received error: ").or_else(|| {
            line.split_once("lite map update error after ")
                .filter(|(_, said)| said.contains("initial fetch failed 4"))
        })?;
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let quoted = clip(said);
        if has(&["context canceled", "<nil>"]) || said == "EOF" {
            return None;
        }
        if has(&[
            "initial fetch failed 401",
            "initial fetch failed 403",
            "initial fetch failed 404",
        ]) {
            return Some(Self::Unknown(quoted));
        }
        let foreign = [
            "server gave HTTP response to HTTPS client",
            "does not look like a TLS handshake",
            "malformed HTTP",
            "x509:",
            "fetch control key: 3",
            "fetch control key: 4",
            "invalid character",
            "unexpected end of JSON",
            "hex string",
            "unsupported protocol scheme",
        ];
        if has(&foreign) {
            return Some(Self::NotControl(quoted));
        }
        let network = [
            "PollNetMap:",
            "fetch control key",
            "register request",
            "dial tcp",
            "i/o timeout",
            "deadline exceeded",
            "connection refused",
            "connection reset",
            "EOF",
            "no such host",
            "rate limit",
        ];
        if has(&network) {
            return Some(Self::Unreachable(quoted));
        }
        Some(Self::Refused(quoted))
    }

    /// The words.
    pub fn said(&self) -> &str {
        match self {
            Self::Refused(said)
            | Self::Unreachable(said)
            | Self::NotControl(said)
            | Self::Unknown(said) => said,
        }
    }

    /// Where a node stands that is not in yet.
    pub fn standing(&self, with_key: bool) -> Standing {
        match self {
            Self::Refused(said) if said.contains("requested tags") => Standing::TagsRefused,
            Self::Refused(_) if with_key => Standing::KeyRefused,
            Self::Refused(_) => Standing::LoginRefused,
            Self::Unreachable(_) => Standing::ControlUnreachable,
            Self::NotControl(_) => Standing::ControlInvalid,
            Self::Unknown(_) => Standing::Removed,
        }
    }
}

/// Foreign words on one line, bounded.
fn clip(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SAID_MAX)
        .collect();
    clean.trim().to_owned()
}

impl Notice {
    /// Whether whoever was told that one knows this one: other words of the same network error are no news, and neither is
    /// that an address for a login has served its turn; another address is.
    pub fn repeats(&self, told: &Self) -> bool {
        let served = told.login.is_some() && self.login.is_none();
        self.word == told.word && (self.quotes || served || self == told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_says_late_of_a_key_that_was_given_up_is_no_new_refusal() {
        let refused = |said: &str| Some(Trouble::Refused(said.to_owned()));
        let is_new = |now: Option<Trouble>, forgotten: Option<Trouble>| {
            Trouble::is_new_refusal(now.as_ref(), forgotten.as_ref())
        };
        assert!(is_new(refused("used already"), None));
        assert!(!is_new(refused("used already"), refused("used already")));
        assert!(is_new(refused("tags"), refused("used already")));
        assert!(!is_new(None, None));
        assert!(!is_new(Some(Trouble::NotControl("x509".to_owned())), None));
    }

    /// The page names every standing and concern, in these very words.
    #[test]
    fn the_page_about_joining_has_every_word() {
        let page = include_str!("../../docs/operations/joining.md");
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let page = flat(page);
        let standings = Standing::ALL.map(Standing::words);
        let concerns = Concern::ALL.map(Concern::words);
        for (word, what, remedy) in standings.into_iter().chain(concerns) {
            assert!(page.contains(&format!("### `{word}`")), "no {word}");
            for text in [what, remedy] {
                assert!(page.contains(&flat(text)), "{word}: no {text:?}");
            }
        }
    }

    #[test]
    fn the_reasons_are_told_apart() {
        let unreachable = |said: &str| Some(Trouble::Unreachable(said.to_owned()));
        let invalid = |said: &str| Some(Trouble::NotControl(said.to_owned()));
        let refused = |said: &str| Some(Trouble::Refused(said.to_owned()));
        let cases = [
            ("magicsock: home is now derp-1", None),
            ("Received error: EOF", None),
            ("Received error: PollNetMap: context canceled", None),
            ("Received error: PollNetMap: %!w(<nil>)", None),
        ];
        for (line, want) in cases {
            assert_eq!(Trouble::of_log(line), want, "{line}");
        }
        for (said, want) in [
            (
                "fetch control key: Get \"http://127.0.0.1:1/key?v=1\": dial tcp 127.0.0.1:1: connect: connection refused",
                unreachable as fn(&str) -> _,
            ),
            ("fetch control key: 503 Service Unavailable", unreachable),
            ("PollNetMap: unexpected EOF", unreachable),
            ("fetch control key: 404 Not Found", invalid),
            (
                "invalid character '<' looking for beginning of value",
                invalid,
            ),
            (
                "fetch control key: Get \"https://x/key\": http: server gave HTTP response to HTTPS client",
                invalid,
            ),
            ("invalid key: API key does not exist", refused),
        ] {
            assert_eq!(
                Trouble::of_log(&format!("Received error: {said}")),
                want(said),
                "{said}"
            );
        }
        for line in [
            "Received error: PollNetMap: initial fetch failed 404: gone",
            "control: lite map update error after 2ms: initial fetch failed 404: node not found",
        ] {
            let gone = Trouble::of_log(line).map(|gone| gone.standing(true));
            assert_eq!(gone, Some(Standing::Removed), "{line}");
        }
        let lite = "control: lite map update error after 2ms: unexpected EOF";
        assert_eq!(Trouble::of_log(lite), None, "the poll itself will tell");
        let tags =
            Trouble::of_log("Received error: requested tags [tag:x] are invalid or not permitted");
        assert_eq!(
            tags.map(|tags| tags.standing(true)),
            Some(Standing::TagsRefused)
        );
    }

    #[test]
    fn foreign_words_stay_on_one_line_and_can_fill_nothing() {
        let long = format!("Received error: no\n{{login}}{}", "x".repeat(1_000));
        let trouble = Trouble::of_log(&long).unwrap();
        assert_eq!(trouble.said().chars().count(), SAID_MAX);
        let details = Details {
            said: trouble.said().to_owned(),
            login: Some("http://secret".to_owned()),
            ..Details::default()
        };
        let notice = Standing::KeyRefused.notice(&details);
        assert!(!notice.what.contains(['\n']) && !notice.what.contains("secret"));
        assert!(notice.what.contains("no {login}xxx"));
        assert!(notice.repeats(&Standing::KeyRefused.notice(&Details::default())));
        let login = Standing::NeedsLogin.notice(&details);
        assert!(login.repeats(&login));
        let without = Standing::NeedsLogin.notice(&Details::default());
        assert!(!login.repeats(&without) && without.repeats(&login));
    }

    #[test]
    fn words_are_names_of_metrics_and_every_failure_has_a_remedy() {
        let details = Details::default();
        let all: Vec<Notice> = Standing::ALL
            .map(|standing| standing.notice(&details))
            .into_iter()
            .chain(Concern::ALL.map(|concern| concern.notice(&details)))
            .collect();
        for notice in &all {
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(notice.word.chars().all(plain), "{}", notice.word);
            let good = notice.gravity == Gravity::Good || notice.word == "starting";
            assert_eq!(notice.remedy.is_empty(), good, "{}", notice.word);
        }
        let mut words: Vec<_> = all.iter().map(|notice| notice.word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all.len());
    }
}
