//! Says to a person why a kernel is read as it is: which rule and which note decided, and what is odd about it.

mod rules;
mod warnings;

use serde::Serialize;
use shared::kernel::{Decisions, Kernel, Plan};

/// Why a plan is as it is.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Which rule decided the places, the virtual addresses and the entry, in this order; one line each.
    pub rules: Vec<String>,
    /// What is odd about the kernel; one line each.
    pub warnings: Vec<String>,
}

/// Explains the plan that `kernel` and `decisions` led to.
pub fn explain(kernel: &Kernel, decisions: &Decisions, plan: &Plan) -> Explanation {
    let rules = vec![
        rules::places(kernel, decisions, plan),
        rules::addresses(kernel, decisions, plan),
        rules::entry(kernel, decisions, plan),
    ];
    Explanation { rules, warnings: warnings::all(kernel, decisions, plan) }
}

#[cfg(test)]
mod tests;
