use proptest::prelude::*;
use rcgen::CustomExtension;

use super::*;
use crate::testing::TestRng;

/// 2026-11-22T06:35:04Z.
const NOW: WallTime = WallTime(1_795_329_304_000);
const DAY: Duration = Duration::from_secs(86_400);

fn later(by: Duration) -> WallTime {
    WallTime(NOW.0 + u64::try_from(by.as_millis()).unwrap())
}

fn organisation(name: &str) -> OrganisationKey {
    OrganisationKey::create(name, &mut TestRng::new(name), NOW).unwrap()
}

fn technician() -> PublicKey {
    *SigningKey::generate(&mut TestRng::new("technician")).public()
}

fn issued(organisation: &OrganisationKey) -> Vec<u8> {
    organisation.issue("Ana Ruiz", &technician(), DAY, &mut TestRng::new("serial"), NOW).unwrap()
}

fn check(der: &[u8], trusted: &[&OrganisationKey]) -> Result<TechnicianIdentity, CertificateError> {
    let roots = trusted.iter().map(|organisation| organisation.root().clone()).collect::<Vec<_>>();
    verify(der, &technician(), &roots, NOW)
}

/// A certificate for the technician's key with whatever is asked for, really signed by the organisation.
fn crafted(organisation: &OrganisationKey, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Ana Ruiz");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let issuer = Issuer::new(root_params(organisation.root().name().raw()).unwrap(), Signer(&organisation.key));
    params.signed_by(&Subject(&technician()), &issuer).unwrap().der().to_vec()
}

#[test]
fn an_organisation_vouches_for_a_technician() {
    let help = organisation("Example Help");
    let der = issued(&help);
    assert!(der.len() <= CERTIFICATE_BYTES, "{} bytes", der.len());
    let expected =
        TechnicianIdentity::Verified { name: Label::cut("Ana Ruiz"), organisation: Label::cut("Example Help") };
    assert_eq!(check(&der, &[&organisation("Other"), &help]), Ok(expected));
}

#[test]
fn an_organisation_that_is_not_trusted_vouches_for_nobody() {
    let help = organisation("Example Help");
    assert_eq!(check(&issued(&help), &[]), Err(CertificateError::Untrusted));
    assert_eq!(check(&issued(&help), &[&organisation("Other")]), Err(CertificateError::Untrusted));
}

#[test]
fn the_name_of_a_trusted_organisation_is_no_signature() {
    let (real, impostor) = (organisation("Example Help"), {
        OrganisationKey::create("Example Help", &mut TestRng::new("impostor"), NOW).unwrap()
    });
    assert_eq!(check(&issued(&impostor), &[&real]), Err(CertificateError::Signature));
    assert!(check(&issued(&impostor), &[&real, &impostor]).is_ok(), "two roots of one name, as when a key is changed");
}

#[test]
fn the_organisation_shown_is_the_roots_and_not_what_the_certificate_says() {
    let help = organisation("Example Help");
    let der = crafted(&help, |params| params.distinguished_name.push(DnType::OrganizationName, "A Bank"));
    let Ok(TechnicianIdentity::Verified { organisation, .. }) = check(&der, &[&help]) else { panic!() };
    assert_eq!(organisation.raw(), "Example Help");
}

#[test]
fn a_certificate_is_good_for_one_key() {
    let help = organisation("Example Help");
    let other = *SigningKey::generate(&mut TestRng::new("other")).public();
    let result = verify(&issued(&help), &other, &[help.root().clone()], NOW);
    assert_eq!(result, Err(CertificateError::OtherKey));
}

#[test]
fn a_certificate_is_good_for_its_time() {
    let help = organisation("Example Help");
    let der = issued(&help);
    let at = |wall| verify(&der, &technician(), &[help.root().clone()], wall).map(|_| ());
    assert_eq!(at(WallTime(NOW.0 - 299_000)), Ok(()), "a clock that is five minutes slow");
    assert_eq!(
        at(WallTime(NOW.0 - 301_000)),
        Err(CertificateError::RootNotValid),
        "before its organisation was founded"
    );
    assert_eq!(at(later(DAY)), Ok(()));
    assert_eq!(at(later(DAY + Duration::from_secs(1))), Err(CertificateError::Expired));
    assert_eq!(at(WallTime(0)), Err(CertificateError::RootNotValid));
    assert_eq!(at(WallTime(u64::MAX)), Err(CertificateError::RootNotValid));

    let tomorrow = help.issue("Ana Ruiz", &technician(), DAY, &mut TestRng::new("serial"), later(DAY)).unwrap();
    let result = verify(&tomorrow, &technician(), &[help.root().clone()], NOW);
    assert_eq!(result, Err(CertificateError::NotYetValid));
    let years = ROOT_VALIDITY + DAY;
    assert_eq!(at(later(years)), Err(CertificateError::RootNotValid));
    let late = help.issue("Ana Ruiz", &technician(), DAY, &mut TestRng::new("serial"), later(years));
    assert_eq!(late, Err(IssueError::Root(CertificateError::RootNotValid)), "an old organisation issues nothing");
}

#[test]
fn a_certificate_that_may_issue_others_is_refused() {
    let help = organisation("Example Help");
    let authority = crafted(&help, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(check(&authority, &[&help]), Err(CertificateError::Purpose));
    let signer = crafted(&help, |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    assert_eq!(check(&signer, &[&help]), Err(CertificateError::Purpose));
}

#[test]
fn a_certificate_for_another_purpose_is_refused() {
    let help = organisation("Example Help");
    let server = crafted(&help, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_eq!(check(&server, &[&help]), Err(CertificateError::Purpose));
    let nothing = crafted(&help, |params| params.extended_key_usages.clear());
    assert_eq!(check(&nothing, &[&help]), Err(CertificateError::Purpose));
    let both = crafted(&help, |params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth));
    assert!(check(&both, &[&help]).is_ok());
}

#[test]
fn a_critical_extension_that_is_not_known_refuses_and_another_does_not() {
    let help = organisation("Example Help");
    let with = |critical| {
        crafted(&help, |params| {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![0x05, 0x00]);
            extension.set_criticality(critical);
            params.custom_extensions = vec![extension];
        })
    };
    assert_eq!(check(&with(true), &[&help]), Err(CertificateError::Purpose));
    assert!(check(&with(false), &[&help]).is_ok());
}

#[test]
fn an_extension_that_contradicts_itself_is_refused() {
    let help = organisation("Example Help");
    let twice = crafted(&help, |params| {
        // A second extended key usage beside the real one.
        let second = CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0x00]);
        params.custom_extensions = vec![second];
    });
    assert!(matches!(check(&twice, &[&help]), Err(CertificateError::Malformed)));
}

#[test]
fn a_name_that_no_person_could_read_is_refused() {
    let help = organisation("Example Help");
    let named = |name: &str| {
        crafted(&help, |params| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
        })
    };
    for name in ["", "  ", "Ana\u{202e}ziuR", "Ana\nRuiz", "A\u{200b}na", &"x".repeat(129)] {
        assert_eq!(check(&named(name), &[&help]), Err(CertificateError::Name), "{name:?}");
        let issued = help.issue(name, &technician(), DAY, &mut TestRng::new("serial"), NOW);
        assert_eq!(issued, Err(IssueError::Name), "{name:?}");
        let created = OrganisationKey::create(name, &mut TestRng::new("root"), NOW).map(|_| ());
        assert_eq!(created, Err(IssueError::Name), "{name:?}");
    }
    assert!(check(&named(&"x".repeat(128)), &[&help]).is_ok());
    assert!(check(&named("Zoë Müller-Ångström"), &[&help]).is_ok());
    let nameless = crafted(&help, |params| params.distinguished_name = DistinguishedName::new());
    assert_eq!(check(&nameless, &[&help]), Err(CertificateError::Name));
}

#[test]
fn a_technicians_certificate_is_no_root() {
    let help = organisation("Example Help");
    assert_eq!(TrustedOrganisation::from_der(&issued(&help)).unwrap_err(), CertificateError::Untrusted);
    // Self-signed by the technician, which any technician can do.
    let key = SigningKey::generate(&mut TestRng::new("technician"));
    let mut params = root_params("Example Help").unwrap();
    params.is_ca = IsCa::NoCa;
    let own = params.self_signed(&Signer(&key)).unwrap().der().to_vec();
    assert_eq!(TrustedOrganisation::from_der(&own).unwrap_err(), CertificateError::Purpose);
}

#[test]
fn a_root_that_somebody_else_signed_is_none() {
    let (one, other) = (organisation("Example Help"), organisation("Other"));
    let issuer = Issuer::new(root_params("Example Help").unwrap(), Signer(&other.key));
    let der = root_params("Example Help").unwrap().signed_by(&Signer(&one.key), &issuer).unwrap().der().to_vec();
    assert_eq!(TrustedOrganisation::from_der(&der).unwrap_err(), CertificateError::Signature);
}

#[test]
fn an_organisation_is_stored_and_taken_up_again() {
    let help = organisation("Example Help");
    let pem = help.root().to_pem();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"), "{pem}");
    let root = TrustedOrganisation::from_pem(&format!("our root:\n{pem}")).unwrap();
    assert_eq!(&root, help.root());
    assert_eq!(TrustedOrganisation::from_der(root.der()).as_ref(), Ok(help.root()));
    let again = OrganisationKey::from_parts(&help.to_pkcs8(), root).unwrap();
    assert_eq!(issued(&again), issued(&help));

    let other = organisation("Other");
    let mixed = OrganisationKey::from_parts(&help.to_pkcs8(), other.root().clone()).map(|_| ());
    assert_eq!(mixed, Err(IssueError::KeyMismatch));
    let no_key = OrganisationKey::from_parts(b"rubbish", other.root().clone()).map(|_| ());
    assert_eq!(no_key, Err(IssueError::Key(KeyError::NotPrivateKey)));
}

#[test]
fn a_text_without_exactly_one_certificate_is_refused() {
    let pem = organisation("Example Help").root().to_pem();
    let key = pem.replace("CERTIFICATE", "PRIVATE KEY");
    for text in ["", "rubbish", &format!("{pem}{pem}"), &key, &pem[..pem.len() / 2]] {
        assert_eq!(TrustedOrganisation::from_pem(text).unwrap_err(), CertificateError::Pem, "{text}");
    }
    assert_eq!(TrustedOrganisation::from_pem(&" ".repeat(1 << 20)).unwrap_err(), CertificateError::TooLarge);
}

#[test]
fn absurd_times_are_refused_and_do_not_panic() {
    let help = organisation("Example Help");
    let issue = |valid_for, wall| {
        help.issue("Ana Ruiz", &technician(), valid_for, &mut TestRng::new("serial"), wall).map(|_| ())
    };
    assert_eq!(issue(Duration::from_secs(59), NOW), Err(IssueError::Validity));
    assert_eq!(issue(LONGEST_VALIDITY + Duration::from_secs(1), NOW), Err(IssueError::Validity));
    assert_eq!(issue(LONGEST_VALIDITY, NOW), Ok(()));
    for wall in [LAST_WALL_TIME, WallTime(u64::MAX)] {
        assert_eq!(issue(DAY, wall), Err(IssueError::Validity));
        let created = OrganisationKey::create("Late", &mut TestRng::new("late"), wall).map(|_| ());
        assert_eq!(created, Err(IssueError::Validity));
    }
    assert!(
        OrganisationKey::create("Early", &mut TestRng::new("early"), WallTime(0)).is_ok(),
        "a machine without a clock"
    );
    let last_years = WallTime(LAST_WALL_TIME.0 - u64::try_from(ROOT_VALIDITY.as_millis()).unwrap());
    assert!(OrganisationKey::create("Last", &mut TestRng::new("last"), last_years).is_ok());
}

#[test]
fn a_private_key_is_never_shown() {
    let help = organisation("Example Help");
    let shown = format!("{help:?}");
    assert!(shown.contains("Example Help") && shown.len() < 250, "{shown}");
}

#[test]
fn a_certificate_that_is_too_large_is_not_parsed() {
    assert_eq!(check(&[0x30; CERTIFICATE_BYTES + 1], &[]), Err(CertificateError::TooLarge));
    let help = organisation("Example Help");
    let large = crafted(&help, |params| {
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![0; CERTIFICATE_BYTES])];
    });
    assert_eq!(check(&large, &[&help]), Err(CertificateError::TooLarge));
}

#[test]
fn every_changed_byte_of_a_certificate_is_noticed() {
    let help = organisation("Example Help");
    let der = issued(&help);
    for position in 0..der.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = der.clone();
            changed[position] ^= change;
            assert!(check(&changed, &[&help]).is_err(), "byte {position} changed by {change:#x}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
        let help = organisation("Example Help");
        prop_assert!(check(&bytes, &[&help]).is_err());
        prop_assert!(TrustedOrganisation::from_der(&bytes).is_err());
    }

    #[test]
    fn no_mutated_certificate_is_taken(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        inserted in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let help = organisation("Example Help");
        let original = issued(&help);
        for original in [&original, help.root().der()] {
            let mut der = original.to_vec();
            for (position, byte) in &changes {
                let position = position.index(der.len());
                der[position] = *byte;
            }
            let at = cut.index(der.len());
            der.splice(at..at, inserted.clone());
            prop_assume!(der != original);
            prop_assert!(check(&der, &[&help]).is_err());
            prop_assert!(TrustedOrganisation::from_der(&der).is_err());
            prop_assert!(check(&der[..at], &[&help]).is_err());
        }
    }

    #[test]
    fn no_text_makes_the_pem_reader_panic(text in any::<String>(), base64 in "[A-Za-z0-9+/=\n]{0,400}") {
        let _ = TrustedOrganisation::from_pem(&text);
        let _ = TrustedOrganisation::from_pem(&format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n"));
    }
}
