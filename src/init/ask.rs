//! Questions and answers, on a terminal or through a pipe.
//!
//! Owns: the loop that explains a bad answer and asks again, and the echo of the terminal while a secret is typed. In: lines.
//! Out: answers that were accepted. Must not know: what is asked about.

use super::Error;
use parking_lot::Mutex;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use std::{
    io::{self, BufRead, Read as _, Write},
    sync::Arc,
};

/// Longest answer, in bytes.
const LONGEST: u64 = 64 << 10;

/// The echo of the terminal: off while a secret is typed, and on again whatever happens.
#[derive(Clone, Debug, Default)]
pub struct Echo(Arc<Mutex<Option<Termios>>>);

impl Echo {
    /// Turns it off, where answers come from a terminal; whether they do comes back.
    fn off(&self) -> bool {
        let input = io::stdin();
        if !isatty(&input) {
            return false;
        }
        let Ok(before) = tcgetattr(&input) else {
            return false;
        };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        *self.0.lock() = Some(before);
        tcsetattr(&input, OptionalActions::Flush, &silent).is_ok()
    }

    /// Turns it on again; to be called, too, when the command is interrupted.
    pub fn on(&self) {
        if let Some(before) = self.0.lock().take() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        }
    }
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// As it is asked.
    pub(super) text: &'a str,
    /// The argument that answers it.
    pub(super) flag: &'static str,
    /// What an empty answer means.
    pub(super) default: Option<&'a str>,
    /// Not to be shown while it is typed.
    pub(super) secret: bool,
}

/// A conversation.
pub(super) struct Dialogue<'a> {
    input: &'a mut dyn BufRead,
    out: &'a mut dyn Write,
    echo: &'a Echo,
    /// Whether anybody can be asked.
    attended: bool,
}

impl<'a> Dialogue<'a> {
    pub(super) fn new(
        input: &'a mut dyn BufRead,
        out: &'a mut dyn Write,
        echo: &'a Echo,
        attended: bool,
    ) -> Self {
        Self {
            input,
            out,
            echo,
            attended,
        }
    }

    /// Says something. A terminal that is gone is noticed by the next answer.
    pub(super) fn say(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    /// The first answer that is accepted: what an argument says, else what is typed, else, unattended, the default.
    pub(super) fn ask<T>(
        &mut self,
        question: Question<'_>,
        given: Option<&str>,
        mut accept: impl FnMut(&mut Self, &str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let mut given = given;
        loop {
            let answer = match given.take() {
                Some(given) => given.to_owned(),
                None if self.attended => self.answer(question)?,
                None => match question.default {
                    Some(default) => default.to_owned(),
                    None => {
                        return Err(Error::Missing {
                            question: question.text.to_owned(),
                            flag: question.flag,
                        });
                    }
                },
            };
            match accept(self, answer.trim()) {
                Ok(value) => return Ok(value),
                Err(why) if self.attended => self.say(&format!("  {why}")),
                Err(why) => {
                    return Err(Error::Refused {
                        flag: question.flag,
                        why,
                    });
                }
            }
        }
    }

    fn answer(&mut self, question: Question<'_>) -> Result<String, Error> {
        let default = match question.default {
            Some("") => " [none]".to_owned(),
            Some(default) => format!(" [{default}]"),
            None => String::new(),
        };
        let _ = write!(self.out, "{}{default}: ", question.text);
        let _ = self.out.flush();
        let silent = question.secret && self.echo.off();
        let mut line = String::new();
        let read = (&mut *self.input).take(LONGEST).read_line(&mut line);
        self.echo.on();
        if silent || !isatty(io::stdin()) {
            // The line's end was not shown.
            self.say("");
        }
        match read {
            Ok(0) | Err(_) => Err(Error::Ended(question.text.to_owned())),
            Ok(_) => match (line.trim(), question.default) {
                ("", Some(default)) => Ok(default.to_owned()),
                (answer, _) => Ok(answer.to_owned()),
            },
        }
    }
}
