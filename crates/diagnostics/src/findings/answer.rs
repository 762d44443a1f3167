//! What a check says about one subject.

use wire::{
    diagnostics::{
        findings::{Amount, Confidence, Evidence, Forecast, Unit, What},
        schema::Named,
    },
    text::{Label, Sentence},
};

use super::level::Level;

/// What a check says: about each of its subjects, or why it can say nothing at all. A check that finds no subject says
/// [`Missing::NotApplicable`], or nothing, which means the same.
pub(crate) type Answers = Result<Vec<Answer>, Missing>;

/// What a check says about one subject.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// About what; absent where it is the whole machine.
    pub(crate) subject: Option<Named>,
    /// What was seen of it.
    pub(crate) seen: Result<Reading, Missing>,
    /// Counters to remember, for how much they go up: what each counts, of which part of the subject if not of all of it, and its value.
    pub(crate) counters: Vec<(What, Option<Named>, i64)>,
}

/// Why there is nothing to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It could not be looked at.
    Unknown(Sentence),
    /// The machine has nothing of the kind.
    NotApplicable(Sentence),
}

/// What was seen, and how it stands.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) level: Level,
    pub(crate) confidence: Confidence,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) forecast: Option<Forecast>,
}

impl Answer {
    /// About the whole machine.
    pub(crate) fn of_machine(seen: Result<Reading, Missing>) -> Self {
        Self { subject: None, seen, counters: Vec::new() }
    }

    /// About a part of it.
    pub(crate) fn about(subject: Named, seen: Result<Reading, Missing>) -> Self {
        Self { subject: Some(subject), seen, counters: Vec::new() }
    }

    /// With a counter to remember.
    pub(crate) fn counting(mut self, what: What, value: i64) -> Self {
        self.counters.push((what, None, value));
        self
    }

    /// With a counter of a part of it to remember. A part that is not counted the next time is forgotten.
    pub(crate) fn counting_part(mut self, part: Named, what: What, value: i64) -> Self {
        self.counters.push((what, Some(part), value));
        self
    }
}

impl Missing {
    pub(crate) fn unknown(reason: &str) -> Self {
        Self::Unknown(Sentence::cut(reason))
    }

    pub(crate) fn not_applicable(reason: &str) -> Self {
        Self::NotApplicable(Sentence::cut(reason))
    }
}

impl Reading {
    /// Measured, without evidence yet.
    pub(crate) fn new(level: Level) -> Self {
        Self { level, confidence: Confidence::High, evidence: Vec::new(), forecast: None }
    }

    /// Less sure than measured.
    pub(crate) fn sure(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// Rests on `value` as well. A figure larger than an `i64` stands as its largest.
    pub(crate) fn figure(self, what: What, value: impl TryInto<i64>, unit: Unit) -> Self {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.with(Evidence { what, amount: Some(Amount { value, unit }), name: None })
    }

    /// As [`Reading::figure`], if it is known.
    pub(crate) fn figure_if(self, what: What, value: Option<impl TryInto<i64>>, unit: Unit) -> Self {
        match value {
            Some(value) => self.figure(what, value, unit),
            None => self,
        }
    }

    /// Rests on the thing `name` as well.
    pub(crate) fn name(self, what: What, name: Named) -> Self {
        self.with(Evidence { what, amount: None, name: Some(name) })
    }

    /// As [`Reading::name`], if there is such a word of the kernel or a vendor.
    pub(crate) fn word(self, what: What, word: &Label) -> Self {
        if word.is_blank() { self } else { self.name(what, Named::Technical(word.clone())) }
    }

    /// Rests on all of `more` as well, if anything is wrong: who might be to blame says nothing where all is well.
    pub(crate) fn blame(mut self, more: impl IntoIterator<Item = Evidence>) -> Self {
        if self.level != Level::FINE {
            self.evidence.extend(more);
        }
        self
    }

    /// Rests on `more` as well, whether anything is wrong or not.
    pub(crate) fn also(mut self, more: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(more);
        self
    }

    /// When it gets worse.
    pub(crate) fn forecast(mut self, forecast: Option<Forecast>) -> Self {
        self.forecast = forecast;
        self
    }

    fn with(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }
}

/// The answer of a check that asks about the whole machine.
pub(crate) fn machine(reading: Reading) -> Answers {
    Ok(vec![Answer::of_machine(Ok(reading))])
}

/// A figure of the wire as an amount; what is too large stands as the largest.
pub(crate) fn amount(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// `part` of `whole` in thousandths, none of nothing.
pub(crate) fn permille(part: u64, whole: u64) -> Option<i64> {
    if whole == 0 {
        return None;
    }
    i64::try_from(u128::from(part) * 1000 / u128::from(whole)).ok()
}

/// What `name` has of something.
pub(crate) fn named(what: What, name: Named, value: i64, unit: Unit) -> Evidence {
    Evidence { what, amount: Some(Amount { value, unit }), name: Some(name) }
}
