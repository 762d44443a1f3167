//! What the page sends, turned into what a person did.

use std::str::FromStr as _;

use consent::{Answer, PromptId, Proof, Verdict};
use serde::Deserialize;
use wire::{
    ids::{Digest, GrantId, RunId},
    session::Ability,
};

use crate::view::UserAct;

/// The body of `POST /act`.
#[derive(Debug, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ActMessage {
    /// Yes to a question.
    Allow { prompt: u32, digest: Digest, abilities: Vec<String>, spoken_words: Option<String> },
    /// No to a question.
    Deny { prompt: u32, digest: Digest },
    /// Stop everything.
    Stop {},
    /// A new code, please.
    NewCode {},
    /// Take a grant back.
    Revoke { grant: GrantId },
    /// Keep only these abilities of a grant.
    Narrow { grant: GrantId, abilities: Vec<String> },
    /// Stop one run.
    StopRun { run: RunId },
}

/// The message names an ability that there is not.
#[derive(Debug)]
pub(super) struct Unknown;

impl ActMessage {
    /// Whether this gives something. Everything else only takes away, and is taken from any page that was let in.
    pub(super) fn gives(&self) -> bool {
        match self {
            Self::Allow { .. } | Self::NewCode {} => true,
            Self::Deny { .. } | Self::Stop {} | Self::Revoke { .. } | Self::Narrow { .. } | Self::StopRun { .. } => {
                false
            }
        }
    }

    pub(super) fn into_act(self) -> Result<UserAct, Unknown> {
        let answer = |prompt, digest, verdict| UserAct::Answer(Answer { prompt: PromptId(prompt), digest, verdict });
        Ok(match self {
            Self::Allow { prompt, digest, abilities, spoken_words } => {
                let abilities = parse(&abilities)?;
                answer(prompt, digest, Verdict::Allow { abilities, proof: Proof::Page, spoken_words })
            }
            Self::Deny { prompt, digest } => answer(prompt, digest, Verdict::Deny),
            Self::Stop {} => UserAct::Stop,
            Self::NewCode {} => UserAct::NewCode,
            Self::Revoke { grant } => UserAct::Revoke(grant),
            Self::Narrow { grant, abilities } => UserAct::Narrow(grant, parse(&abilities)?),
            Self::StopRun { run } => UserAct::StopRun(run),
        })
    }
}

fn parse(names: &[String]) -> Result<Vec<Ability>, Unknown> {
    names.iter().map(|name| Ability::from_str(name).map_err(|_| Unknown)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<UserAct> {
        serde_json::from_str::<ActMessage>(json).ok()?.into_act().ok()
    }

    #[test]
    fn what_the_page_sends_is_what_the_person_did() {
        let digest = Digest([0xab; 32]);
        let answer = |verdict| Some(UserAct::Answer(Answer { prompt: PromptId(3), digest, verdict }));
        let abilities = vec![Ability::DiagBasic, Ability::RunR0];
        assert_eq!(
            read(&format!(
                r#"{{"act":"allow","prompt":3,"digest":"{digest}","abilities":["diag.basic","run.r0"],"spoken_words":null}}"#
            )),
            answer(Verdict::Allow { abilities: abilities.clone(), proof: Proof::Page, spoken_words: None })
        );
        assert_eq!(
            read(&format!(
                r#"{{"act":"allow","prompt":3,"digest":"{digest}","abilities":[],"spoken_words":"apple river"}}"#
            )),
            answer(Verdict::Allow {
                abilities: vec![],
                proof: Proof::Page,
                spoken_words: Some("apple river".to_owned())
            })
        );
        assert_eq!(read(&format!(r#"{{"act":"deny","prompt":3,"digest":"{digest}"}}"#)), answer(Verdict::Deny));
        assert_eq!(read(r#"{"act":"stop"}"#), Some(UserAct::Stop));
        assert_eq!(read(r#"{"act":"new_code"}"#), Some(UserAct::NewCode));
        assert_eq!(read(r#"{"act":"revoke","grant":2}"#), Some(UserAct::Revoke(GrantId(2))));
        assert_eq!(
            read(r#"{"act":"narrow","grant":2,"abilities":["diag.basic","run.r0"]}"#),
            Some(UserAct::Narrow(GrantId(2), abilities))
        );
        assert_eq!(read(r#"{"act":"stop_run","run":9}"#), Some(UserAct::StopRun(RunId(9))));
    }

    #[test]
    fn anything_else_is_refused() {
        let digest = Digest([0; 32]);
        for json in [
            "",
            "null",
            "{}",
            r#"{"act":"allow"}"#,
            r#"{"act":"present"}"#,
            r#"{"act":"stop","now":true}"#,
            r#"{"act":"revoke","grant":-1}"#,
            r#"{"act":"revoke","grant":4294967296}"#,
            r#"{"act":"narrow","grant":1,"abilities":["everything"]}"#,
            r#"{"act":"deny","prompt":1,"digest":"00"}"#,
            &format!(r#"{{"act":"deny","prompt":1,"digest":"{digest}","proof":"typed"}}"#),
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn no_page_can_claim_that_a_word_was_typed() {
        let digest = Digest([0; 32]);
        let json = format!(
            r#"{{"act":"allow","prompt":1,"digest":"{digest}","abilities":[],"spoken_words":null,"proof":{{"typed_word":"river"}}}}"#
        );
        assert_eq!(read(&json), None);
    }
}
