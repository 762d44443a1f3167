//! Texts with places for the evidence of a finding.
//!
//! `{subject}` is the finding's subject and `{busy}` the evidence [`What::Busy`], all of it if there is more than one. A part in
//! brackets is left out if anything is missing that it has a place for: `busy {busy}[, most by {busy-process}]`.

use wire::{
    diagnostics::findings::{Evidence, Finding, What},
    text::shown,
};

use crate::units;

/// What stands for a figure that the finding does not have.
const MISSING: &str = "(not measured)";

/// Fills `template` from `finding`.
pub(crate) fn fill(template: &str, finding: &Finding) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, part)) = rest.split_once('[') {
        let (optional, after) = part.split_once(']').unwrap_or((part, ""));
        out.push_str(&filled(before, finding).text);
        let optional = filled(optional, finding);
        if optional.complete {
            out.push_str(&optional.text);
        }
        rest = after;
    }
    out.push_str(&filled(rest, finding).text);
    out
}

/// The names in the places of `template`.
#[cfg(test)]
pub(crate) fn places(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).map(|part| part.split('}').next().unwrap_or_default())
}

struct Filled {
    text: String,
    complete: bool,
}

fn filled(part: &str, finding: &Finding) -> Filled {
    let mut filled = Filled { text: String::new(), complete: true };
    let mut rest = part;
    while let Some((before, place)) = rest.split_once('{') {
        let (name, after) = place.split_once('}').unwrap_or((place, ""));
        filled.text.push_str(before);
        match value(name, finding) {
            Some(value) => filled.text.push_str(&value),
            None => {
                filled.text.push_str(MISSING);
                filled.complete = false;
            }
        }
        rest = after;
    }
    filled.text.push_str(rest);
    filled
}

fn value(name: &str, finding: &Finding) -> Option<String> {
    if name == "subject" {
        return finding.subject.as_ref().map(|subject| shown(subject.label().raw()));
    }
    let what = What::ALL.iter().find(|what| what.name() == name)?;
    let all = finding.evidence.iter().filter(|evidence| evidence.what == *what);
    let all = all.filter_map(piece).collect::<Vec<_>>();
    (!all.is_empty()).then(|| all.join(", "))
}

/// One piece of evidence: `firefox 180 %`, `12 %`, or `sda`.
pub(crate) fn piece(evidence: &Evidence) -> Option<String> {
    let name = evidence.name.as_ref().map(|name| shown(name.label().raw()));
    match (name, evidence.amount.map(units::amount)) {
        (Some(name), Some(amount)) => Some(format!("{name} {amount}")),
        (name, amount) => name.or(amount),
    }
}

#[cfg(test)]
mod tests {
    use wire::{
        diagnostics::{
            findings::{Amount, Check, Confidence, Unit, Verdict},
            schema::Named,
        },
        text::Label,
    };

    use super::*;

    fn finding(evidence: Vec<Evidence>) -> Finding {
        Finding {
            check: Check::CpuBusy,
            version: 1,
            verdict: Verdict::Pass,
            severity: None,
            confidence: Confidence::High,
            subject: Some(Named::Path(Label::cut("/srv\u{1b}[2J"))),
            since: None,
            reason: None,
            evidence,
            forecast: None,
            exonerates: Vec::new(),
            runbook: Label::default(),
        }
    }

    fn process(name: &str, permille: i64) -> Evidence {
        let amount = Some(Amount { value: permille, unit: Unit::Permille });
        Evidence { what: What::BusyProcess, amount, name: Some(Named::Technical(Label::cut(name))) }
    }

    #[test]
    fn places_take_all_evidence_of_their_kind() {
        let finding = finding(vec![process("firefox", 1800), process("make", 500)]);
        assert_eq!(fill("most by {busy-process}.", &finding), "most by firefox 180 %, make 50 %.");
    }

    #[test]
    fn an_optional_part_without_its_evidence_is_left_out() {
        let template = "busy {busy}[, most by {busy-process}], all told";
        assert_eq!(fill(template, &finding(vec![])), "busy (not measured), all told");
        let with = fill(template, &finding(vec![process("make", 500)]));
        assert_eq!(with, "busy (not measured), most by make 50 %, all told");
    }

    #[test]
    fn what_a_machine_names_cannot_act_on_the_screen_nor_be_a_template() {
        assert_eq!(fill("{subject}", &finding(vec![])), "/srv\\u{1b}[2J");
        let named = finding(vec![process("{subject}[", 1)]);
        assert_eq!(fill("{busy-process}", &named), "{subject}[ 0.1 %");
    }

    #[test]
    fn a_broken_template_is_shown_as_far_as_it_goes() {
        assert_eq!(fill("a {busy", &finding(vec![])), "a (not measured)");
        assert_eq!(fill("a [b {busy", &finding(vec![])), "a ");
    }
}
