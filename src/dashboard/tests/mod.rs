//! The pages over a real store: who sees what, what hostile texts do, and how pages look.

mod filters;
mod house;
mod live;
mod looks;
mod reach;
mod settings;

use super::{response::POLICY, *};
use house::{House, NOW, nothing, text};
