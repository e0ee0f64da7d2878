//! The pages over a real store: who sees what, what hostile texts do, and how pages look.

mod house;
mod live;
mod looks;
mod reach;

use super::{response::POLICY, *};
use house::{House, NOW, text};
