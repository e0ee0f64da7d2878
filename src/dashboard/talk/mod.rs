//! What was said in a session, read from its captures: the new part of each request, and the answer to it.
//!
//! Agents send the whole history with every request. A page shows each message once: of a request only what follows the
//! last answer in it, then what the provider answered. Bodies are read by their shape and not by dialect, so that a new
//! dialect reads as far as it resembles a known one; what can't be read is said and linked, never guessed.
//! Owns: [`Turn`], [`Part`] and the bounds of both. In: records with their captures. Out: turns, in order.
//! Must not know: HTML, how captures are stored.

mod answer;
mod asked;
mod messages;
mod parts;
#[cfg(test)]
mod tests;

pub use messages::{Messages, messages};
pub(super) use parts::{Call, Image, Outcome, Part, Text};

use super::{body, frames};
use crate::{
    record::{Capture, End, Record, Timestamp},
    store::failed,
};
use parts::Budget;
use std::collections::HashMap;

/// Bytes of one body that are decoded for reading.
const BODY_BYTES: usize = 8 << 20;

/// One request and its answer.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// The request.
    pub(super) record: Record,
    /// The system prompt, when it is the first one here or another one than before.
    pub(super) system: Option<String>,
    /// Messages that were sent along and are shown with earlier turns.
    pub(super) earlier: usize,
    /// What is new in the request.
    pub(super) asked: Vec<Part>,
    /// The request before failed, and this one asks the same.
    pub(super) again: bool,
    /// What the model answered.
    pub(super) answer: Vec<Part>,
    /// Why some of it can't be shown.
    pub(super) gaps: Vec<String>,
}

/// Reads turns; captures that are missing leave gaps.
pub(super) fn turns(captured: Vec<(Record, Option<Capture>)>) -> Vec<Turn> {
    let mut budget = Budget::of_a_page();
    let mut turns: Vec<Turn> = Vec::with_capacity(captured.len());
    let mut systems: HashMap<Option<String>, String> = HashMap::new();
    let mut calls: HashMap<String, (usize, usize)> = HashMap::new();
    for (record, capture) in captured {
        let mut turn = Turn {
            system: None,
            earlier: 0,
            asked: Vec::new(),
            again: false,
            answer: Vec::new(),
            gaps: Vec::new(),
            record,
        };
        match capture {
            Some(capture) => read(&mut turn, &capture, &mut budget),
            None if turn.record.end == End::InFlight => {}
            None => turn.gaps.push("Its texts are not kept.".into()),
        }
        let thread = turn.record.agent.clone();
        match (&turn.system, systems.get(&thread)) {
            (Some(system), Some(known)) if system == known => turn.system = None,
            (Some(system), _) => {
                systems.insert(thread, system.clone());
            }
            (None, _) => {}
        }
        settle(&mut turn, &mut turns, &calls);
        let here = turns.len();
        for (at, part) in turn.answer.iter().enumerate() {
            if let Part::Call(call) = part {
                calls.insert(call.id.clone(), (here, at));
            }
        }
        turns.push(turn);
    }
    turns
}

fn read(turn: &mut Turn, capture: &Capture, budget: &mut Budget) {
    match body::decoded(&capture.request, &capture.request_head, BODY_BYTES) {
        Ok(bytes) => match asked::read(&bytes, budget) {
            Some(asked) => {
                turn.system = asked.system;
                turn.earlier = asked.earlier;
                turn.asked = asked.parts;
            }
            None if bytes.is_empty() => {}
            None => turn
                .gaps
                .push("The request can't be read as a conversation.".into()),
        },
        Err(why) => turn.gaps.push(format!("The request is not shown: {why}.")),
    }
    match body::decoded(&capture.response, &capture.response_head, BODY_BYTES) {
        Ok(bytes) if bytes.is_empty() => {}
        Ok(bytes) => {
            let parts = if frames::are_in(&capture.response_head) {
                let frames = frames::read(&bytes);
                if frames.unreadable > 0 {
                    turn.gaps.push("Some of its frames can't be read.".into());
                }
                answer::streamed(frames.values(), budget)
            } else {
                answer::read(&bytes, budget)
            };
            match parts {
                Some(parts) => turn.answer = parts,
                None => turn
                    .gaps
                    .push("The answer can't be read as a conversation.".into()),
            }
        }
        Err(why) => turn.gaps.push(format!("The answer is not shown: {why}.")),
    }
    if budget.is_spent() {
        turn.gaps
            .push("This page is full: the rest of this turn is with its request.".into());
    }
}

/// Puts the results of tools to the calls that they answer, with the time that passed between.
fn settle(turn: &mut Turn, turns: &mut [Turn], calls: &HashMap<String, (usize, usize)>) {
    let began = turn.record.started;
    let mut kept = Vec::new();
    for part in std::mem::take(&mut turn.asked) {
        let Part::Outcome(mut outcome) = part else {
            kept.push(part);
            continue;
        };
        let place = calls.get(&outcome.call).copied();
        let call = place.and_then(|(turn, part)| {
            let asking = turns.get_mut(turn)?;
            let ended = ended(&asking.record);
            match asking.answer.get_mut(part)? {
                Part::Call(call) => Some((call, ended)),
                _ => None,
            }
        });
        match call {
            // Sent again, after an answer that failed.
            Some((call, _)) if call.outcome.is_some() => {}
            Some((call, ended)) => {
                outcome.took_ms = began.0.checked_sub(ended.0);
                call.outcome = Some(outcome);
            }
            None => kept.push(Part::Outcome(outcome)),
        }
    }
    turn.asked = kept;
    let thread = |other: &&Turn| other.record.agent == turn.record.agent;
    let before = turns.iter().rfind(thread);
    let again = before.is_some_and(|before| {
        let failed = before.record.end != End::Complete || failed(&before.record);
        failed && !before.asked.is_empty() && before.asked == turn.asked
    });
    if again {
        turn.asked.clear();
        turn.again = true;
    }
}

/// When a request ended.
fn ended(record: &Record) -> Timestamp {
    let lasted = record.timings.total_us / 1_000;
    Timestamp(record.started.0.saturating_add(lasted))
}
