//! What an import has found: one list, errors last.

use std::fmt;

/// How much a finding matters, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// What was found and how it was read.
    Found,
    /// A value that the file does not have and that was chosen here.
    Guessed,
    /// Nothing is written.
    Error,
}

/// One line about the description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What, where, and for an error what would be right.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Found => "found",
            Severity::Guessed => "guess",
            Severity::Error => "ERROR",
        };
        write!(f, "{word}  {}", self.text)
    }
}

/// Findings in the order in which they were made.
#[derive(Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn found(&mut self, text: impl Into<String>) {
        self.add(Severity::Found, text.into());
    }

    pub(super) fn guessed(&mut self, text: impl Into<String>) {
        self.add(Severity::Guessed, text.into());
    }

    pub(super) fn error(&mut self, text: impl Into<String>) {
        self.add(Severity::Error, text.into());
    }

    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }

    fn add(&mut self, severity: Severity, text: String) {
        // Names in a file may hold line breaks.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let finding = Finding { severity, text };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Errors last.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| finding.severity);
        self.findings
    }
}
