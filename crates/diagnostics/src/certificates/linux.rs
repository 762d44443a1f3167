//! Reads [`Certificates`]: how many authorities the machine trusts, and when the certificates of its own services end.
//!
//! A file whose name has `key` in it is never opened, nor a folder called `private`; of any other only the certificate that it
//! begins with is read.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use wire::{
    diagnostics::sections::certificates::{Certificates, LocalCertificate, MAX_CERTIFICATES},
    text::Label,
    time::WallTime,
};

use super::pem;
use crate::{
    folders::list,
    manifest::Manifest,
    roots::Roots,
    sources::{CertificateFacts, Sources},
    text::read_file,
};

/// Files of one folder that are looked at. A trust store has some 400.
const MAX_FILES: usize = 2048;

/// Certificates that are read in all.
const MAX_READ: usize = 512;

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Certificates> {
    let mut content = Certificates {
        trusted: trusted(&sources.roots, manifest),
        trusted_added: added(&sources.roots, manifest),
        local: Vec::new(),
    };
    let mut files = BTreeSet::new();
    for (source, folder) in places(&sources.roots, manifest) {
        match files_in(&folder) {
            Ok((found, cut)) => {
                manifest.read(source);
                files.extend(found.into_iter().map(|file| (source, file)));
                if cut {
                    manifest.partial(source, &format!("more than the {MAX_FILES} files that are looked at"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => manifest.failed(source, &error),
        }
    }
    for (source, file) in files {
        if content.local.len() >= MAX_READ {
            manifest.partial(source, &format!("more than the {MAX_READ} certificates that are read"));
            break;
        }
        match pem::first(&file) {
            Ok(Some(der)) => match sources.certificates.describe(&der) {
                Some(facts) if facts.authority => {}
                Some(facts) => content.local.push(local(&file, facts)),
                None => manifest.partial(source, "some certificates could not be understood"),
            },
            // A link to a file that is gone is what an uninstalled authority leaves.
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => manifest.partial(source, &format!("some files: {}", crate::gaps::why(&error))),
        }
    }
    content.local.sort_by(|one, other| (one.not_after, &one.file).cmp(&(other.not_after, &other.file)));
    manifest.bound("certificates", &mut content.local, MAX_CERTIFICATES);
    (content != Certificates::default()).then_some(content)
}

/// Folders where services keep their certificates, each under the name that it is reported by.
fn places(roots: &Roots, manifest: &mut Manifest) -> Vec<(&'static str, PathBuf)> {
    let mut places = vec![
        ("/etc/ssl", roots.etc.join("ssl")),
        ("/etc/ssl/certs", roots.etc.join("ssl/certs")),
        ("/etc/pki/tls/certs", roots.etc.join("pki/tls/certs")),
    ];
    let live = "/etc/letsencrypt/live";
    match list(&roots.etc.join("letsencrypt/live"), MAX_FILES) {
        Ok(listing) => {
            places.extend(listing.names.iter().map(|name| (live, roots.etc.join("letsencrypt/live").join(name))));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => manifest.failed(live, &error),
    }
    places
}

/// Files that may begin with a certificate of a service. In a trust store, links lead to authorities; certbot's links lead to its
/// archive, and beside `cert.pem` repeat the same certificate.
fn files_in(folder: &Path) -> io::Result<(Vec<PathBuf>, bool)> {
    let listing = list(folder, MAX_FILES)?;
    let store = folder.ends_with("certs");
    let wanted = |name: &str| {
        let name = name.to_ascii_lowercase();
        let certificate = [".pem", ".crt", ".cer", ".cert"].iter().any(|end| name.ends_with(end));
        let bundle =
            ["ca-certificates", "ca-bundle", "chain.pem", "fullchain.pem"].iter().any(|part| name.contains(part));
        certificate && !bundle && !name.contains("key")
    };
    let names = listing.names.iter().filter(|name| name.to_str().is_some_and(wanted));
    let files = names.map(|name| folder.join(name));
    let files = files.filter(|file| !store || file.symlink_metadata().is_ok_and(|entry| entry.is_file()));
    Ok((files.collect(), listing.cut))
}

fn local(file: &Path, facts: CertificateFacts) -> LocalCertificate {
    LocalCertificate {
        file: Label::cut(&file.to_string_lossy()),
        subject: Label::cut(&facts.subject),
        issuer: Label::cut(&facts.issuer),
        not_before: wall_time(facts.not_before_secs),
        not_after: wall_time(facts.not_after_secs),
        self_signed: facts.self_signed,
    }
}

/// What is before 1970 is as good as 1970.
fn wall_time(secs: i64) -> WallTime {
    WallTime(u64::try_from(secs).unwrap_or(0).saturating_mul(1000))
}

/// The file that most programs read all authorities from, under its names on different distributions.
fn trusted(roots: &Roots, manifest: &mut Manifest) -> Option<u32> {
    let files = ["ssl/certs/ca-certificates.crt", "pki/tls/certs/ca-bundle.crt", "ssl/ca-bundle.pem", "ssl/cert.pem"];
    let mut buffer = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for file in files {
        match read_file(&roots.etc.join(file), &mut buffer) {
            Ok(text) => {
                manifest.read("trust store");
                return Some(pem::count(text));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => last = error,
        }
    }
    manifest.failed("trust store", &last);
    None
}

/// Files in the folders from which an administrator's authorities are taken.
fn added(roots: &Roots, manifest: &mut Manifest) -> Option<u32> {
    let folders = [
        roots.usr.join("local/share/ca-certificates"),
        roots.etc.join("pki/ca-trust/source/anchors"),
        roots.etc.join("pki/trust/anchors"),
    ];
    let mut count = None;
    for folder in folders {
        match list(&folder, MAX_FILES) {
            Ok(listing) => {
                let files = listing.names.iter().filter(|name| folder.join(name).is_file()).count();
                count = Some(count.unwrap_or(0) + u32::try_from(files).unwrap_or(u32::MAX));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => manifest.failed("added authorities", &error),
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustix::fs::inotify;
    use wire::diagnostics::report::Coverage;

    use super::*;
    use crate::{
        sources::NoCertificates,
        testing::{Printing, Tree, told},
    };

    /// `openssl req -x509 -newkey ed25519 -subj "/CN=mail.example.org/O=Example Co" -days 90`
    const LEAF: &str = include_str!("testdata/leaf.pem");
    /// The same with `-addext basicConstraints=critical,CA:true`.
    const AUTHORITY: &str = include_str!("testdata/authority.pem");

    fn read_all(tree: &Tree) -> (Option<Certificates>, Vec<(String, Coverage, String)>) {
        let mut manifest = Manifest::default();
        let content = read(&tree.sources(Printing::default()), &mut manifest);
        (content, told(manifest))
    }

    #[test]
    fn a_service_s_certificate_says_when_it_ends_and_authorities_are_only_counted() {
        let tree = Tree::new();
        tree.write("etc/ssl/certs/ca-certificates.crt", AUTHORITY.repeat(3));
        tree.write("etc/ssl/certs/company.pem", AUTHORITY);
        tree.write("usr/local/share/ca-certificates/company.crt", AUTHORITY);
        tree.write("etc/ssl/mail.pem", LEAF);
        tree.write("etc/ssl/openssl.cnf", "x");
        let (content, told) = read_all(&tree);
        let content = content.unwrap();
        assert_eq!((content.trusted, content.trusted_added), (Some(3), Some(1)));
        assert_eq!(content.local.len(), 1);
        let leaf = &content.local[0];
        assert_eq!((leaf.subject.raw(), leaf.issuer.raw(), leaf.self_signed), ("mail.example.org", "Example Co", true));
        assert!(leaf.file.raw().ends_with("/etc/ssl/mail.pem"));
        assert_eq!(leaf.not_after.0 - leaf.not_before.0, 90 * 86_400_000);
        assert!(told.iter().all(|(_, coverage, _)| *coverage == Coverage::Read), "{told:?}");
    }

    #[test]
    fn certbot_s_folder_is_read_once_for_each_name_and_its_keys_never() {
        let tree = Tree::new();
        tree.write("etc/letsencrypt/archive/a/cert1.pem", LEAF);
        for (file, content) in [("fullchain.pem", LEAF), ("chain.pem", AUTHORITY), ("privkey.pem", "CANARY")] {
            tree.write(&format!("etc/letsencrypt/live/a/{file}"), content);
        }
        std::os::unix::fs::symlink("../../archive/a/cert1.pem", tree.at("etc/letsencrypt/live/a/cert.pem")).unwrap();
        tree.write("etc/letsencrypt/live/README", "x");
        tree.write("etc/ssl/server.key.pem", LEAF);
        tree.write("etc/ssl/private/server.pem", LEAF);
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
        for key in ["etc/letsencrypt/live/a/privkey.pem", "etc/ssl/server.key.pem", "etc/ssl/private"] {
            inotify::add_watch(&watch, tree.at(key), inotify::WatchFlags::OPEN).unwrap();
        }
        let (content, _) = read_all(&tree);
        let files = content.unwrap().local.iter().map(|leaf| leaf.file.raw().to_owned()).collect::<Vec<_>>();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(rustix::io::read(&watch, &mut [0; 512]), Err(rustix::io::Errno::AGAIN), "somebody opened a key");
        std::fs::File::open(tree.at("etc/ssl/server.key.pem")).unwrap();
        assert!(rustix::io::read(&watch, &mut [0; 512]).is_ok(), "the watch works");
    }

    #[test]
    fn what_cannot_be_understood_is_said_to_be() {
        let tree = Tree::new();
        tree.write("etc/ssl/a.pem", "-----BEGIN CERTIFICATE-----\nMTIz\n-----END CERTIFICATE-----\n");
        tree.write("etc/ssl/b.pem", "-----BEGIN CERTIFICATE-----\nMTIz\n");
        tree.write("etc/ssl/c.pem", "-----BEGIN RSA PRIVATE KEY-----\nMTIz\n");
        let (content, told) = read_all(&tree);
        assert_eq!(content, None);
        assert!(told.iter().any(|(source, coverage, _)| source == "/etc/ssl" && *coverage == Coverage::Partial));
    }

    #[test]
    fn without_a_reader_every_certificate_is_one_that_was_not_understood() {
        let tree = Tree::new();
        tree.write("etc/ssl/mail.pem", LEAF);
        let sources = Sources { certificates: Arc::new(NoCertificates), ..tree.sources(Printing::default()) };
        let mut manifest = Manifest::default();
        assert_eq!(read(&sources, &mut manifest), None);
        let gap = ("/etc/ssl".to_owned(), Coverage::Partial, "some certificates could not be understood".to_owned());
        assert!(told(manifest).contains(&gap));
    }

    #[test]
    fn the_one_that_ends_first_stands_in_front_and_long_lists_are_cut() {
        let tree = Tree::new();
        (0..MAX_CERTIFICATES + 3).for_each(|number| tree.write(&format!("etc/ssl/{number}.crt"), LEAF));
        let (content, told) = read_all(&tree);
        assert_eq!(content.unwrap().local.len(), MAX_CERTIFICATES);
        assert!(told.iter().any(|(source, _, reason)| source == "certificates" && reason.starts_with("3 more")));
        assert_eq!((wall_time(-5), wall_time(i64::MAX).0), (WallTime(0), u64::MAX));
    }
}
