//! A decision as a table for people: aligned columns, no colour, nothing that a log cannot hold.
//!
//! May import `types`, `api`, `observe` and `plan`.

use std::fmt::Write as _;

use super::json::{PlanView, WaitView};
use super::sentence::step_words;
use super::width::{padded, plain, width};
use crate::api::v1alpha1::{RolloutState, StepState};
use crate::plan::Decision;

/// A decision as a table for people.
#[must_use]
pub fn table(decision: &Decision) -> String {
    let view = PlanView::from(decision);
    let mut text = head(&view);
    if let Some(does) = &view.does {
        let _ = writeln!(text, "Now: {}", plain(does));
    }
    if !view.steps.is_empty() {
        let mut rows = vec![["", "STEP", "WHAT", "WHY"].map(str::to_owned)];
        rows.extend(view.steps.iter().map(|step| {
            [
                mark(step.state).to_owned(),
                step_words(step.kind, step.role),
                plain(&step.what),
                plain(&step.why),
            ]
        }));
        text.push('\n');
        text.push_str(&aligned(&rows));
    }
    let halted: Vec<WaitView> = view.halted.iter().cloned().collect();
    for (title, waits) in [("Halted", &halted), ("Waits for", &view.waits), ("Note", &view.notes)] {
        let news = waits.iter().filter(|wait| title == "Halted" || view.halted.as_ref() != Some(*wait));
        let rows: Vec<[String; 4]> = news.map(|wait| wait_row(title, wait)).collect();
        if !rows.is_empty() {
            text.push('\n');
            text.push_str(&aligned(&rows));
        }
    }
    text
}

fn head(view: &PlanView) -> String {
    let state = match view.state {
        None => "nothing is under way",
        Some(RolloutState::Gating) => "waits for the gates of the next act",
        Some(RolloutState::Acting) => "the next act is written down",
        Some(RolloutState::Verifying) => "an act is done, its effect is waited for",
        Some(RolloutState::Done) => "everything is as the spec wants it",
        Some(RolloutState::Paused) => "paused",
        Some(RolloutState::Halted) => "halted: a person is needed",
    };
    match (&view.plan, view.generation) {
        (Some(plan), Some(generation)) => format!("Plan {plan} (generation {generation}): {state}\n"),
        _ => format!("Plan: {state}\n"),
    }
}

const fn mark(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "",
        StepState::Current => "now",
        StepState::Done => "done",
    }
}

fn wait_row(title: &str, wait: &WaitView) -> [String; 4] {
    [title.to_owned(), plain(&wait.subject), format!("{:?}", wait.reason), plain(&wait.message)]
}

/// Rows with each column as wide as its widest cell, and no spaces at the ends of lines.
fn aligned(rows: &[[String; 4]]) -> String {
    let mut widths = [0; 4];
    for row in rows {
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = width(cell).max(*column);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).filter(|(_, to)| *to > 0).map(|(cell, to)| padded(cell, to)).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}
