//! A person's answer, and why one was not taken.

use wire::{
    evidence::AnsweredBy,
    ids::Digest,
    session::{Ability, Absence},
    time::Moment,
};

use crate::prompt::PromptId;

/// What a front end brings back from the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question that the person saw.
    pub prompt: PromptId,
    /// Digest of everything that the person saw.
    pub digest: Digest,
    /// What they said.
    pub verdict: Verdict,
}

/// Yes to some of it, or no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The person allows this.
    Allow {
        /// What of the asked abilities; a part is enough. For one use it may be left empty.
        abilities: Vec<Ability>,
        /// How the person was told from an accident or from a program.
        proof: Proof,
        /// The two words that the technician read out, as the person typed them.
        spoken_words: Option<String>,
    },
    /// The person says no.
    Deny,
}

/// What makes an answer a person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// What was typed at a terminal. It must be the word that the question shows; an empty line never is.
    TypedWord(String),
    /// Given on the consent page. The page's one-time token was checked by whoever serves the page.
    Page,
}

impl From<&Proof> for AnsweredBy {
    fn from(proof: &Proof) -> Self {
        match proof {
            Proof::TypedWord(_) => Self::TypedWord,
            Proof::Page => Self::Page,
        }
    }
}

/// Why an answer was not taken. Nothing was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerRefused {
    /// The question was answered, withdrawn, or its time is over.
    #[error("this question is no longer open")]
    NotOpen,
    /// The question waits behind another one and was not shown yet.
    #[error("this question has not been shown yet")]
    NotShown,
    /// The answer is for a text that differs from the question's.
    #[error("the answer is for a different text than the one that is open")]
    OtherText,
    /// The question was shown only a moment ago.
    #[error("the question can be allowed only after it has been on the screen for a moment")]
    TooEarly {
        /// When it can be.
        unlocks_at: Moment,
    },
    /// The person is away, so somebody else may be answering.
    #[error("the session is paused")]
    Paused {
        /// Why.
        reason: Absence,
    },
    /// Something was allowed that was not asked for.
    #[error("the answer allows something that was not asked for")]
    NotAsked,
    /// Nothing was ticked.
    #[error("nothing was chosen to be allowed")]
    NothingChosen,
    /// Not the word that the question shows.
    #[error("that is not the word shown with the question")]
    WrongWord {
        /// Further tries until that counts as a no.
        tries_left: u32,
    },
    /// The technician is not verified: the two words that they read out have to be typed.
    #[error("the two words that the technician reads out are needed")]
    SpokenWordsNeeded,
    /// Not the two words of this session. Whoever is on the phone is perhaps not who is connected.
    #[error("those are not the two words of this session")]
    WrongSpokenWords {
        /// Further tries until that counts as a no.
        tries_left: u32,
    },
}

impl AnswerRefused {
    /// Whether the same question can still be answered.
    pub fn can_answer_again(&self) -> bool {
        match self {
            Self::NotOpen => false,
            Self::WrongWord { tries_left } | Self::WrongSpokenWords { tries_left } => *tries_left > 0,
            Self::NotShown
            | Self::OtherText
            | Self::TooEarly { .. }
            | Self::Paused { .. }
            | Self::NotAsked
            | Self::NothingChosen
            | Self::SpokenWordsNeeded => true,
        }
    }
}
