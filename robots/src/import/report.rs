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

    /// Errors last. Of findings that say the same of several links or joints one is made.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        let mut merged: Vec<(Finding, Option<Subject>)> = Vec::new();
        for finding in self.findings {
            let subject = Subject::of(&finding.text);
            let same = merged.iter_mut().find_map(|(earlier, other)| {
                let other = other
                    .as_mut()
                    .filter(|_| earlier.severity == finding.severity)?;
                let subject = subject.as_ref()?;
                (other.kind == subject.kind && other.rest == subject.rest).then_some(other)
            });
            match (same, subject) {
                (Some(same), Some(subject)) => same.names.extend(subject.names),
                (_, subject) => merged.push((finding, subject)),
            }
        }
        let findings = merged.into_iter().map(|(finding, subject)| match subject {
            Some(subject) if subject.names.len() > 1 => Finding {
                text: subject.text(),
                ..finding
            },
            _ => finding,
        });
        let mut findings: Vec<_> = findings.collect();
        findings.sort_by_key(|finding| finding.severity);
        findings
    }
}

/// Names in a line: those of four legs.
const MOST_NAMES: usize = 4;

/// A finding of the form "link `name`: ...", taken apart.
struct Subject {
    kind: &'static str,
    names: Vec<String>,
    rest: String,
}

impl Subject {
    fn of(text: &str) -> Option<Self> {
        let kind = ["link", "joint", "foot"]
            .into_iter()
            .find(|kind| text.starts_with(&format!("{kind} `")))?;
        let (name, rest) = text[kind.len() + 2..].split_once("`: ")?;
        Some(Self {
            kind,
            names: vec![format!("`{name}`")],
            rest: rest.to_owned(),
        })
    }

    fn text(&self) -> String {
        let kind = if self.kind == "foot" {
            "feet".to_owned()
        } else {
            format!("{}s", self.kind)
        };
        let (shown, more) = self.names.split_at(self.names.len().min(MOST_NAMES));
        let more = match more.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{kind} {}{more}: {}", shown.join(", "), self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_of_several_links_is_one_line_and_errors_are_last() {
        let mut report = Report::default();
        report.error("wrong");
        for name in ["a", "b"] {
            report.found(format!("link `{name}`: a box"));
            report.guessed(format!("link `{name}`: a box"));
        }
        report.found("joint `a`: a box");
        let lines: Vec<_> = report
            .into_findings()
            .iter()
            .map(Finding::to_string)
            .collect();
        let expected = [
            "found  links `a`, `b`: a box",
            "found  joint `a`: a box",
            "guess  links `a`, `b`: a box",
            "ERROR  wrong",
        ];
        assert_eq!(lines, expected);
    }
}
