use proptest::prelude::*;
use wire::{
    ids::RequestId,
    session::{Ability, AccessRequest},
    text::{Label, Sentence},
};

use super::*;
use crate::{keys::SigningKey, testing::TestRng};

const SESSION: SessionId = SessionId([0x5e; 8]);

fn key(seed: &str) -> PublicKey {
    *SigningKey::generate(&mut TestRng::new(seed)).public()
}

fn binding(exporter: u8) -> ChannelBinding {
    ChannelBinding { exporter: [exporter; 32], agent_key: key("agent"), technician_key: key("technician") }
}

fn locator(value: u32) -> Locator {
    Locator::new(value, 4).unwrap()
}

/// A code for locator 4821; the same seed draws the same secret.
fn code(seed: &str) -> SessionCode {
    SessionCode::draw(locator(4821), &mut TestRng::new(seed))
}

fn introduction() -> Introduction {
    Introduction {
        claimed_name: Label::cut("Ana Ruiz"),
        certificate: Some(vec![0x30; 700]),
        request: AccessRequest {
            request: RequestId(1),
            abilities: vec![Ability::DiagBasic],
            reason: Sentence::cut("the printer hangs"),
            stay_secs: 1800,
        },
    }
}

/// One end's view of what it pairs for.
struct End {
    code: SessionCode,
    binding: ChannelBinding,
    rng: TestRng,
}

impl End {
    fn new(name: &str) -> Self {
        Self { code: code("right"), binding: binding(1), rng: TestRng::new(name) }
    }

    fn offer(&mut self) -> (AgentOffered, FromUnpairedAgent) {
        AgentPairing::offer(&self.code, &mut self.rng)
    }

    fn prove(&mut self, offer: FromUnpairedAgent) -> Result<(TechnicianProving, FromUnpairedTechnician), PairingError> {
        TechnicianPairing::prove(&self.code, &self.binding, offer, &introduction(), &mut self.rng)
    }
}

type AgentResult = Result<(Paired, Introduction, FromUnpairedAgent), PairingError>;

/// Runs both ends up to the agent's verdict.
fn up_to_proof(technician: &mut End, agent: &mut End) -> (TechnicianProving, FromUnpairedTechnician, AgentResult) {
    let (offered, offer) = agent.offer();
    let (proving, prove) = technician.prove(offer).unwrap();
    let accepted = offered.accept(&agent.binding, prove.clone(), SESSION);
    (proving, prove, accepted)
}

fn refused(technician: &mut End, agent: &mut End) -> PairingError {
    up_to_proof(technician, agent).2.map(|(paired, ..)| paired).unwrap_err()
}

/// Both ends paired, the technician first.
fn paired() -> (Paired, Paired) {
    let (proving, _, accepted) = up_to_proof(&mut End::new("technician"), &mut End::new("agent"));
    let (agent, _, accept) = accepted.unwrap();
    (proving.finish(accept).unwrap(), agent)
}

#[test]
fn two_ends_with_the_same_code_pair_and_share_everything() {
    let (proving, prove, accepted) = up_to_proof(&mut End::new("technician"), &mut End::new("agent"));
    let (agent, received, accept) = accepted.unwrap();
    let technician = proving.finish(accept.clone()).unwrap();
    assert_eq!(received, introduction());
    assert_eq!((technician.session, agent.session), (SESSION, SESSION));
    assert_eq!(technician.words, agent.words);
    assert!(technician.rendezvous == agent.rendezvous);
    // Both fit what their receivers take.
    assert!(codec::encode(&prove).is_ok() && codec::encode(&accept).is_ok());
}

#[test]
fn the_bytes_of_a_pairing_never_change() {
    let (mut technician, mut agent) = (End::new("technician"), End::new("agent"));
    let (offered, offer) = agent.offer();
    let (proving, prove) = technician.prove(offer.clone()).unwrap();
    let (paired, _, accept) = offered.accept(&agent.binding, prove.clone(), SESSION).unwrap();
    assert!(proving.finish(accept.clone()).is_ok());
    let digests = [
        digest(&codec::encode(&offer).unwrap()),
        digest(&codec::encode(&prove).unwrap()),
        digest(&codec::encode(&accept).unwrap()),
        digest(&paired.rendezvous.0),
    ];
    let golden = [
        "50d20fb99ecb245925f359de20cb223b2457d34d548c3302775c03aa1240e126",
        "68cf405e9769c0b2186624a1892aacc57faa361165073b4e4aa55bb976abdbf7",
        "f08ebb78aeca1981a2cb0fecad24a65cd3516151c897eaf6a684c975c3396877",
        "9449a55898a7c75c1be95fa2468a1de2710315eb69791415169578589916c916",
    ];
    assert_eq!(
        (digests.map(|digest| digest.to_string()).each_ref().map(String::as_str), paired.words.to_string().as_str()),
        (golden, "surprise tip")
    );
}

#[test]
fn labels_never_change_and_none_begins_another() {
    assert_eq!(EXPORTER_LABEL, b"EXPORTER-assent-pair-v1");
    assert_eq!(exporter_context(SUITE, locator(42)), b"\x01\x040042client=technician server=agent");
    let expanded = [TECHNICIAN_CONFIRMS, AGENT_CONFIRMS, INTRODUCTION, WORDS, RENDEZVOUS];
    let hashed = [SHARED, PROVED, ACCEPTED, COMMITMENT];
    let names = ["technician confirms", "agent confirms", "introduction", "words", "rendezvous"];
    let more = ["shared", "proved", "accepted", "commitment"];
    for (label, name) in expanded.iter().chain(&hashed).zip(names.iter().chain(&more)) {
        assert_eq!(str::from_utf8(label).unwrap(), format!("assent-pair-v1 {name}"));
        let beginnings = expanded.iter().chain(&hashed).filter(|other| other.starts_with(label)).count();
        assert_eq!(beginnings, 1, "{name}");
    }
}

#[test]
fn a_wrong_code_is_refused_and_counted_on_the_agents_side() {
    let mut technician = End { code: code("wrong"), ..End::new("technician") };
    let error = refused(&mut technician, &mut End::new("agent"));
    assert_eq!(error, PairingError::WrongCode);
    assert_eq!(error.refusal(), Some(PairingRefusal::WrongCode));
    assert!(error.counts_as_try());
}

#[test]
fn a_technician_that_is_told_about_a_wrong_code_counts_it_too() {
    let (proving, ..) = up_to_proof(&mut End::new("technician"), &mut End::new("agent"));
    let error = proving.finish(FromUnpairedAgent::Refuse { reason: PairingRefusal::WrongCode }).unwrap_err();
    assert_eq!(error, PairingError::Refused(PairingRefusal::WrongCode));
    assert!(error.counts_as_try());
    assert_eq!(error.refusal(), None, "a technician sends nothing back");
    assert!(!PairingError::Refused(PairingRefusal::CodeVoid).counts_as_try());
}

#[test]
fn an_agent_that_does_not_know_the_code_is_found_out() {
    // It cannot check the proof, so it accepts whatever comes.
    let (mut technician, mut impostor) = (End::new("technician"), End { code: code("guess"), ..End::new("agent") });
    let (offered, offer) = impostor.offer();
    let (proving, prove) = technician.prove(offer).unwrap();
    let FromUnpairedTechnician::Prove { pake, proof, nonce, introduction } = prove else { panic!("{prove:?}") };
    let own_nonce = offered.nonce;
    let keys = offered.keys(&impostor.binding, &pake).unwrap();
    assert!(keys.unseal(introduction.clone()).is_err(), "the introduction stays sealed");
    let accepted = accepted(keys.proved(nonce, &introduction), &proof, own_nonce, SESSION);
    let proof = kdf::mac(&keys.agent_confirms, accepted);
    let error = proving.finish(FromUnpairedAgent::Accept { proof, nonce: own_nonce, session: SESSION });
    assert_eq!(error.as_ref().err(), Some(&PairingError::NotTheAgent));
    assert!(error.unwrap_err().counts_as_try());
}

#[test]
fn a_relay_that_ends_both_legs_of_the_channel_pairs_with_nobody() {
    // It copies every message, but each leg has its own exporter.
    let error = refused(&mut End::new("technician"), &mut End { binding: binding(2), ..End::new("agent") });
    assert_eq!(error, PairingError::WrongCode);
}

#[test]
fn a_relay_that_swaps_a_key_pairs_with_nobody() {
    let relay = key("relay");
    let seen_by_technician = ChannelBinding { agent_key: relay, ..binding(1) };
    let error = refused(&mut End { binding: seen_by_technician, ..End::new("technician") }, &mut End::new("agent"));
    assert_eq!(error, PairingError::WrongCode);
    let seen_by_agent = ChannelBinding { technician_key: relay, ..binding(1) };
    let error = refused(&mut End::new("technician"), &mut End { binding: seen_by_agent, ..End::new("agent") });
    assert_eq!(error, PairingError::WrongCode);
    let roles_swapped =
        ChannelBinding { exporter: [1; 32], agent_key: key("technician"), technician_key: key("agent") };
    let error = refused(&mut End { binding: roles_swapped, ..End::new("technician") }, &mut End::new("agent"));
    assert_eq!(error, PairingError::WrongCode);
}

#[test]
fn a_relay_that_swaps_locators_pairs_with_nobody() {
    // The same six digits under two locators: the technician typed one, the relay led it to the other.
    let mut elsewhere = TestRng::new("right");
    let agent = End { code: SessionCode::draw(locator(4822), &mut elsewhere), ..End::new("agent") };
    assert_eq!(agent.code.secret().as_slice(), code("right").secret().as_slice());
    let error = refused(&mut End::new("technician"), &mut { agent });
    assert_eq!(error, PairingError::WrongCode);
}

#[test]
fn an_end_does_not_pair_with_itself() {
    let own = ChannelBinding { agent_key: key("technician"), ..binding(1) };
    let mut technician = End { binding: own.clone(), ..End::new("technician") };
    let mut agent = End { binding: own, ..End::new("agent") };
    let (offered, offer) = agent.offer();
    assert!(matches!(technician.prove(offer.clone()).map(|_| ()).unwrap_err(), PairingError::Malformed { .. }));
    let (_, prove) = End::new("technician").prove(offer).unwrap();
    let error = offered.accept(&agent.binding, prove, SESSION).map(|_| ()).unwrap_err();
    assert!(matches!(error, PairingError::Malformed { .. }));
}

#[test]
fn a_message_sent_back_is_refused() {
    let (mut technician, mut agent) = (End::new("technician"), End::new("agent"));
    // The agent's own point under the technician's letter.
    let (offered, offer) = agent.offer();
    let (_, prove) = technician.prove(offer.clone()).unwrap();
    let FromUnpairedAgent::Offer { pake: mut reflected, .. } = offer else { panic!("{offer:?}") };
    reflected[0] = b'A';
    let FromUnpairedTechnician::Prove { proof, nonce, introduction, .. } = prove else { panic!("{prove:?}") };
    let prove = FromUnpairedTechnician::Prove { pake: reflected, proof, nonce, introduction };
    let error = offered.accept(&agent.binding, prove, SESSION).map(|_| ()).unwrap_err();
    assert_eq!(error, PairingError::Malformed { what: "key exchange" });

    // The technician's own proof and nonce as the agent's.
    let (proving, prove, accepted) = up_to_proof(&mut End::new("technician"), &mut agent);
    assert!(accepted.is_ok());
    let FromUnpairedTechnician::Prove { proof, nonce, .. } = prove else { panic!("{prove:?}") };
    let reflected = FromUnpairedAgent::Accept { proof, nonce, session: SESSION };
    assert_eq!(proving.finish(reflected).unwrap_err(), PairingError::NotTheAgent);
}

#[test]
fn messages_of_one_pairing_do_not_fit_another() {
    let (_, old_prove, old_accepted) = up_to_proof(&mut End::new("technician"), &mut End::new("agent"));
    let (_, _, old_accept) = old_accepted.unwrap();

    // A recorded technician against an agent that shows the same code on the same keys again.
    let mut agent = End::new("agent later");
    let (offered, offer) = agent.offer();
    let error = offered.accept(&agent.binding, old_prove, SESSION).map(|_| ()).unwrap_err();
    assert_eq!(error, PairingError::WrongCode);

    // A recorded agent against a technician.
    let (proving, _) = End::new("technician later").prove(offer).unwrap();
    assert_eq!(proving.finish(old_accept).unwrap_err(), PairingError::NotTheAgent);
}

#[test]
fn messages_out_of_order_are_refused() {
    let (mut technician, mut agent) = (End::new("technician"), End::new("agent"));
    let (_, offer) = agent.offer();
    let (proving, _) = technician.prove(offer.clone()).unwrap();
    assert_eq!(proving.finish(offer).unwrap_err(), PairingError::OutOfOrder);
    let accept = FromUnpairedAgent::Accept { proof: [0; 32], nonce: [0; 16], session: SESSION };
    assert_eq!(technician.prove(accept).map(|_| ()).unwrap_err(), PairingError::OutOfOrder);
    let void = FromUnpairedAgent::Refuse { reason: PairingRefusal::CodeVoid };
    let error = technician.prove(void).map(|_| ()).unwrap_err();
    assert_eq!(error, PairingError::Refused(PairingRefusal::CodeVoid));
    assert_eq!(PairingError::OutOfOrder.refusal(), Some(PairingRefusal::Malformed));
}

#[test]
fn a_suite_that_is_not_known_never_gets_as_far_as_here() {
    // The suite is the second byte of `Offer`; the only one known is 0.
    let (_, offer) = End::new("agent").offer();
    let mut bytes = codec::encode(&offer).unwrap();
    assert_eq!(bytes[..2], [0, 0]);
    bytes[1] = 1;
    assert!(codec::decode::<FromUnpairedAgent>(&bytes).is_err());
    assert_eq!(PairingError::UnknownSuite.refusal(), None, "a technician sends nothing back");
}

#[test]
fn any_change_to_the_proof_is_noticed() {
    let (mut technician, mut agent) = (End::new("technician"), End::new("agent"));
    let another_share = {
        let (_, prove) = technician.prove(agent.offer().1).unwrap();
        let FromUnpairedTechnician::Prove { pake, .. } = prove else { panic!("{prove:?}") };
        pake
    };
    for change in 0..5 {
        let (offered, offer) = agent.offer();
        let (_, prove) = technician.prove(offer).unwrap();
        let FromUnpairedTechnician::Prove { mut pake, mut proof, mut nonce, mut introduction } = prove else {
            panic!("{prove:?}")
        };
        match change {
            0 => pake.clone_from(&another_share),
            1 => proof[31] ^= 1,
            2 => nonce[0] ^= 1,
            3 => introduction[5] ^= 1,
            _ => drop(introduction.pop()),
        }
        let changed = FromUnpairedTechnician::Prove { pake, proof, nonce, introduction };
        let error = offered.accept(&agent.binding, changed, SESSION).map(|_| ()).unwrap_err();
        assert_eq!(error, PairingError::WrongCode, "change {change}");
    }
}

#[test]
fn any_change_to_the_offer_is_noticed_by_the_agent() {
    let (mut technician, mut agent) = (End::new("technician"), End::new("agent"));
    let (_, elsewhere) = agent.offer();
    let FromUnpairedAgent::Offer { pake: another_share, .. } = elsewhere else { panic!("{elsewhere:?}") };
    for change_share in [true, false] {
        let (offered, offer) = agent.offer();
        let FromUnpairedAgent::Offer { suite, mut pake, mut commitment } = offer else { panic!("{offer:?}") };
        if change_share {
            pake.clone_from(&another_share);
        } else {
            commitment[0] ^= 1;
        }
        let (_, prove) = technician.prove(FromUnpairedAgent::Offer { suite, pake, commitment }).unwrap();
        let error = offered.accept(&agent.binding, prove, SESSION).map(|_| ()).unwrap_err();
        assert_eq!(error, PairingError::WrongCode);
    }
}

#[test]
fn a_changed_acceptance_is_noticed_by_the_technician() {
    for field in 0..3 {
        let (proving, _, accepted) = up_to_proof(&mut End::new("technician"), &mut End::new("agent"));
        let (_, _, accept) = accepted.unwrap();
        let FromUnpairedAgent::Accept { mut proof, mut nonce, mut session } = accept else { panic!("{accept:?}") };
        match field {
            0 => proof[0] ^= 1,
            1 => nonce[0] ^= 1,
            _ => session.0[0] ^= 1,
        }
        let error = proving.finish(FromUnpairedAgent::Accept { proof, nonce, session }).unwrap_err();
        assert_eq!(error, PairingError::NotTheAgent);
    }
}

#[test]
fn somebody_who_guessed_the_code_cannot_choose_the_words() {
    // An impostor with the right code that commits to one nonce and reveals another after it saw the technician's.
    let (mut technician, mut impostor) = (End::new("technician"), End::new("agent"));
    let (offered, offer) = impostor.offer();
    let (proving, prove) = technician.prove(offer).unwrap();
    let FromUnpairedTechnician::Prove { pake, proof, nonce, introduction } = prove else { panic!("{prove:?}") };
    let keys = offered.keys(&impostor.binding, &pake).unwrap();
    let chosen = [7; 16];
    let accepted = accepted(keys.proved(nonce, &introduction), &proof, chosen, SESSION);
    let proof = kdf::mac(&keys.agent_confirms, accepted);
    let error = proving.finish(FromUnpairedAgent::Accept { proof, nonce: chosen, session: SESSION }).unwrap_err();
    assert_eq!(error, PairingError::ChangedNonce);
    assert!(error.counts_as_try());
}

#[test]
fn a_man_in_the_middle_who_guessed_the_code_shows_different_words() {
    // The right code on both legs, but two channels: the words differ, so the two people notice.
    let leg = |exporter, technician: &str, agent: &str| {
        let mut technician = End { binding: binding(exporter), ..End::new(technician) };
        let mut agent = End { binding: binding(exporter), ..End::new(agent) };
        up_to_proof(&mut technician, &mut agent).2.unwrap().0
    };
    let (with_technician, with_agent) = (leg(1, "technician", "middle"), leg(2, "middle", "agent"));
    assert_ne!(with_technician.words, with_agent.words);
    assert!(with_technician.rendezvous != with_agent.rendezvous);
}

#[test]
fn an_introduction_that_is_too_large_is_not_sent_and_not_taken() {
    let (mut technician, mut agent) = (End::new("technician"), End::new("agent"));
    let prove_as = |technician: &mut End, offer, introduction: &Introduction| {
        TechnicianPairing::prove(&technician.code, &technician.binding, offer, introduction, &mut technician.rng)
    };
    let large = Introduction { certificate: Some(vec![0; CERTIFICATE_BYTES + 1]), ..introduction() };
    let error = prove_as(&mut technician, agent.offer().1, &large).map(|_| ()).unwrap_err();
    assert_eq!(error, PairingError::IntroductionTooLarge);

    // The largest that fits is taken.
    let largest = Introduction {
        claimed_name: Label::cut(&"n".repeat(128)),
        certificate: Some(vec![0; CERTIFICATE_BYTES]),
        request: AccessRequest {
            abilities: Ability::ALL.to_vec(),
            reason: Sentence::cut(&"r".repeat(512)),
            ..introduction().request
        },
    };
    let (offered, offer) = agent.offer();
    let (_, prove) = prove_as(&mut technician, offer, &largest).unwrap();
    assert_eq!(offered.accept(&agent.binding, prove, SESSION).unwrap().1, largest);

    // A peer that knows the code and keeps to no limit.
    let (offered, offer) = agent.offer();
    let (_, prove) = technician.prove(offer).unwrap();
    let FromUnpairedTechnician::Prove { pake, proof, nonce, .. } = prove else { panic!("{prove:?}") };
    let sealed = vec![0; Introduction::MAX_BYTES + TAG_BYTES + 1];
    let prove = FromUnpairedTechnician::Prove { pake, proof, nonce, introduction: sealed };
    let error = offered.accept(&agent.binding, prove, SESSION).map(|_| ()).unwrap_err();
    assert_eq!(error, PairingError::Malformed { what: "introduction" });
}

/// A technician with the right code that seals whatever bytes it likes, and the agent before it.
fn prove_with(plain: &[u8]) -> (AgentOffered, FromUnpairedTechnician) {
    let (mut technician, mut agent) = (End::new("technician"), End::new("agent"));
    let (offered, offer) = agent.offer();
    let (proving, prove) = technician.prove(offer).unwrap();
    let FromUnpairedTechnician::Prove { pake, .. } = prove else { panic!("{prove:?}") };
    let mut sealed = plain.to_vec();
    let aad = Aad::from(proving.keys.shared.0);
    proving.keys.sealing_key().seal_in_place_append_tag(Keys::only_nonce(), aad, &mut sealed).unwrap();
    let proof = kdf::mac(&proving.keys.technician_confirms, proving.keys.proved(proving.nonce, &sealed));
    (offered, FromUnpairedTechnician::Prove { pake, proof, nonce: proving.nonce, introduction: sealed })
}

fn verdict((offered, prove): (AgentOffered, FromUnpairedTechnician)) -> Result<(), PairingError> {
    offered.accept(&binding(1), prove, SESSION).map(|_| ())
}

#[test]
fn a_technician_with_the_right_code_is_still_not_trusted() {
    let good = codec::encode(&introduction()).unwrap();
    assert_eq!(verdict(prove_with(&good)), Ok(()));
    let trailing = [good.as_slice(), b"x"].concat();
    let mut large = introduction();
    large.certificate = Some(vec![0; CERTIFICATE_BYTES + 1]);
    let large = codec::encode(&large).unwrap();
    for (plain, what) in [(&b""[..], "introduction"), (&trailing, "introduction"), (&large, "certificate")] {
        assert_eq!(verdict(prove_with(plain)), Err(PairingError::Malformed { what }));
    }
}

#[test]
fn two_sessions_of_the_same_two_ends_with_the_same_code_meet_in_different_places() {
    let (first, _) = paired();
    let second = up_to_proof(&mut End::new("technician again"), &mut End::new("agent")).2.unwrap().0;
    assert!(first.rendezvous != second.rendezvous);
}

#[test]
fn nothing_secret_is_shown() {
    let (paired, _) = paired();
    assert_eq!(format!("{paired:?}"), "Paired { session: 5e5e5e5e5e5e5e5e, .. }");
    let binding = format!("{:?}", binding(0xab));
    assert!(!binding.contains("171") && !binding.contains("abab"), "{binding}");
    let (agent, _) = End::new("agent").offer();
    assert_eq!(format!("{agent:?}"), "AgentOffered(..)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_share_makes_an_agent_panic(pake in any::<Vec<u8>>(), point in any::<[u8; 32]>(), proof in any::<[u8; 32]>()) {
        for pake in [pake, [b"A", point.as_slice()].concat()] {
            let mut agent = End::new("agent");
            let (offered, _) = agent.offer();
            let prove = FromUnpairedTechnician::Prove { pake, proof, nonce: [0; 16], introduction: Vec::new() };
            prop_assert!(offered.accept(&agent.binding, prove, SESSION).is_err());
        }
    }

    #[test]
    fn no_offer_makes_a_technician_panic(pake in any::<Vec<u8>>(), point in any::<[u8; 32]>(), commitment in any::<[u8; 32]>()) {
        for pake in [pake, [b"B", point.as_slice()].concat()] {
            let mut technician = End::new("technician");
            let _ = technician.prove(FromUnpairedAgent::Offer { suite: SUITE, pake, commitment });
        }
    }

    #[test]
    fn no_proof_but_the_right_one_is_accepted(proof in any::<[u8; 32]>(), nonce in any::<[u8; 16]>(), sealed in any::<Vec<u8>>()) {
        let (mut technician, mut agent) = (End::new("technician"), End::new("agent"));
        let (offered, offer) = agent.offer();
        let (_, honest) = technician.prove(offer).unwrap();
        let FromUnpairedTechnician::Prove { pake, .. } = honest else { panic!("{honest:?}") };
        let prove = FromUnpairedTechnician::Prove { pake, proof, nonce, introduction: sealed };
        prop_assert_eq!(offered.accept(&agent.binding, prove, SESSION).map(|_| ()).unwrap_err(), PairingError::WrongCode);
    }

    #[test]
    fn no_plain_text_makes_an_agent_panic(plain in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = verdict(prove_with(&plain));
    }

    #[test]
    fn only_the_same_secret_pairs(one in 0u32..4, other in 0u32..4) {
        let mut technician = End { code: code(&one.to_string()), ..End::new("technician") };
        let mut agent = End { code: code(&other.to_string()), ..End::new("agent") };
        let pairs = up_to_proof(&mut technician, &mut agent).2.is_ok();
        prop_assert_eq!(pairs, one == other);
    }
}
