//! Is this allowed at `now`, under which grant?
//!
//! Effective permission = device ceiling ∩ organisation policy ∩ session grant. Each layer can only take away, a denial by one is final,
//! and what nobody allowed is denied. A grant comes from one person's answer to one [`Prompt`] and from nothing else: there is no call in
//! this crate that makes one without an [`Answer`] which names the prompt's digest, after the moment at which the prompt unlocks.
//!
//! [`Consent`] is a state machine without a clock: time and randomness are arguments. Rights are checked against `now` when they are used
//! ([`Consent::covering`]); [`Consent::handle_timeout`] only tidies up and tells. A machine that was suspended therefore wakes up with
//! every right gone whose time passed meanwhile.
//!
//! | module | what is in it |
//! |---|---|
//! | [`ceiling`](Ceiling) | what the device and the organisation ever allow |
//! | [`prompt`](Prompt) | one question, and the digest of everything that it shows |
//! | [`answer`](Answer) | a person's answer, and why one was not taken |
//! | [`grant`](Grant) | what a yes allows, and until when |
//! | [`machine`](Consent) | the state machine |

#![deny(missing_docs)]

mod answer;
mod ceiling;
mod fatigue;
mod grant;
mod machine;
mod prompt;

pub use answer::{Answer, AnswerRefused, Proof, Verdict};
pub use ceiling::{Ceiling, CeilingError, Policy, Rule, Stay, asked_with_each_use, usual_stay, view_only};
pub use fatigue::{COOL_DOWN, DENIALS_BEFORE_COOL_DOWN, SAME_QUESTION_PAUSE};
pub use grant::{Act, Grant};
pub use machine::{Consent, ConsentEvent, ConsentSetup};
pub use prompt::{Once, Prompt, PromptId, PromptKind};
